//! New contents for a file, brought to the disk before anything of them can be seen, and then given its name in one step.
//!
//! Where the system has files without a name (Linux: `O_TMPFILE`), a process that is killed while it writes leaves nothing.
//! Elsewhere, and for the moment in which an existing file is replaced, they stand beside it under a temporary name; what
//! a kill leaves of those is removed by the next run (see `leftovers`).

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use super::leftovers;
use super::{FileError, IfExists, Readable, directory_of, sync_directory};
use crate::sys::instants;

/// Contents that are on the disk and have no name yet. Dropped, they are gone.
pub struct Prepared {
    path: PathBuf,
    if_exists: IfExists,
    contents: Contents,
}

enum Contents {
    /// A file that no name leads to.
    #[cfg(target_os = "linux")]
    Unnamed(File),
    /// A file under a temporary name.
    Named(NamedTempFile),
}

impl Contents {
    fn file(&mut self) -> &mut File {
        match self {
            #[cfg(target_os = "linux")]
            Self::Unnamed(file) => file,
            Self::Named(file) => file.as_file_mut(),
        }
    }
}

/// Writes what a file is to hold, and syncs it. Nobody sees it before [`Prepared::publish`].
///
/// # Errors
/// When it cannot be written, or what has the name is no file that could be replaced.
pub fn prepare(path: &Path, bytes: &[u8], if_exists: IfExists, readable: Readable) -> Result<Prepared, FileError> {
    let fail = |source| FileError::new("write", path, source);
    if if_exists == IfExists::Replace && is_irreplaceable(path) {
        return Err(fail(io::Error::other("what has this name is no plain file")));
    }
    let directory = directory_of(path);
    leftovers::remove_once(directory);
    let mut contents = empty(directory).map_err(fail)?;
    let file = contents.file();
    file.write_all(bytes).map_err(fail)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::{PermissionsExt, fchown};
        let (mode, owner) = match readable {
            Readable::ByOwner => (None, None),
            Readable::ByAll => (Some(0o644), None),
            Readable::Exactly { mode, owner } => (Some(mode), owner),
        };
        if let Some((user, group)) = owner {
            fchown(&*file, Some(user), Some(group)).map_err(fail)?;
        }
        if let Some(mode) = mode {
            file.set_permissions(std::fs::Permissions::from_mode(mode))
                .map_err(fail)?;
        }
    }
    #[cfg(not(unix))]
    let _ = readable;
    file.sync_all().map_err(fail)?;
    Ok(Prepared {
        path: path.to_owned(),
        if_exists,
        contents,
    })
}

impl Prepared {
    /// Gives the file its name, and syncs the directory.
    ///
    /// # Errors
    /// When there is a file of that name that was not to be replaced, or the disk refuses.
    pub fn publish(self) -> Result<(), FileError> {
        let Self {
            path,
            if_exists,
            contents,
        } = self;
        let fail = |source| FileError::new("write", &path, source);
        let directory = directory_of(&path);
        let named = match contents {
            #[cfg(target_os = "linux")]
            Contents::Unnamed(file) if if_exists == IfExists::Replace && is_there(&path) => {
                Some(with_temporary_name(file, directory).map_err(fail)?)
            }
            #[cfg(target_os = "linux")]
            Contents::Unnamed(file) => {
                instants::pass();
                match link(&file, &path) {
                    Ok(()) => None,
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        if if_exists == IfExists::Refuse {
                            return Err(fail(error));
                        }
                        Some(with_temporary_name(file, directory).map_err(fail)?)
                    }
                    // A file system that gives no second name to a file, or no /proc to find it by.
                    Err(_) => Some(copied(file, directory).map_err(fail)?),
                }
            }
            Contents::Named(file) => Some(file),
        };
        if let Some(named) = named {
            instants::pass();
            match if_exists {
                IfExists::Refuse => named.persist_noclobber(&path),
                IfExists::Replace => named.persist(&path),
            }
            .map_err(|error| fail(error.error))?;
        }
        sync_directory(directory).map_err(fail)?;
        instants::pass();
        Ok(())
    }
}

/// A pipe, a device, a directory: to put a file in its place would harm whoever relies on it.
fn is_irreplaceable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file())
}

#[cfg(target_os = "linux")]
fn is_there(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

fn empty(directory: &Path) -> io::Result<Contents> {
    #[cfg(target_os = "linux")]
    if let Some(file) = unnamed(directory)? {
        return Ok(Contents::Unnamed(file));
    }
    named(directory).map(Contents::Named)
}

/// A file without a name, or `None` where the system or the file system has no such thing.
#[cfg(target_os = "linux")]
fn unnamed(directory: &Path) -> io::Result<Option<File>> {
    use rustix::fs::{Mode, OFlags, open};
    use rustix::io::Errno;
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match open(directory, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => {
            let file = File::from(file);
            // Before it can have a temporary name, so that nobody takes it for a leftover then.
            let _ = file.try_lock();
            Ok(Some(file))
        }
        // An old kernel takes the flag for an attempt to write to a directory, some file systems for an unknown one.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT | Errno::NOSYS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(target_os = "linux")]
fn link(file: &File, path: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd;

    use rustix::fs::{AtFlags, CWD, linkat};
    // By the empty path it would take a privilege.
    let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(linkat(CWD, itself, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

#[cfg(target_os = "linux")]
fn with_temporary_name(file: File, directory: &Path) -> io::Result<NamedTempFile> {
    let ((), path) = temporary().make_in(directory, |path| link(&file, path))?.into_parts();
    Ok(NamedTempFile::from_parts(file, path))
}

#[cfg(target_os = "linux")]
fn copied(mut file: File, directory: &Path) -> io::Result<NamedTempFile> {
    use std::io::Seek;
    let mut copy = named(directory)?;
    file.rewind()?;
    io::copy(&mut file, &mut copy)?;
    copy.as_file().set_permissions(file.metadata()?.permissions())?;
    copy.as_file().sync_all()?;
    Ok(copy)
}

/// A file of our own under a temporary name, locked against being taken for a leftover.
fn named(directory: &Path) -> io::Result<NamedTempFile> {
    loop {
        let file = temporary().tempfile_in(directory)?;
        if leftovers::keep(&file) {
            return Ok(file);
        }
    }
}

fn temporary() -> Builder<'static, 'static> {
    let mut builder = Builder::new();
    builder.prefix(leftovers::PREFIX).rand_bytes(leftovers::RANDOM);
    builder
}

#[cfg(test)]
mod tests {
    use super::super::{list, read, write};
    use super::*;

    /// What was prepared by one process, or thread, is no leftover to another.
    #[test]
    fn two_that_write_in_one_folder_leave_each_other_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let first = Prepared {
            path: path("first"),
            if_exists: IfExists::Refuse,
            contents: Contents::Named(named(directory.path()).unwrap()),
        };
        let second = prepare(&path("second"), b"2", IfExists::Refuse, Readable::ByOwner).unwrap();
        leftovers::remove(directory.path());
        first.publish().unwrap();
        second.publish().unwrap();
        assert_eq!(list(directory.path()).unwrap(), ["first", "second"]);
    }

    #[test]
    fn what_is_not_published_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        drop(prepare(&path, b"1", IfExists::Refuse, Readable::ByOwner).unwrap());
        drop(named(directory.path()).unwrap());
        assert!(list(directory.path()).unwrap().is_empty());
    }

    #[test]
    fn a_name_that_was_taken_in_between_is_respected() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let late = prepare(&path, b"late", IfExists::Refuse, Readable::ByOwner).unwrap();
        let later = prepare(&path, b"later", IfExists::Replace, Readable::ByAll).unwrap();
        write(&path, b"early", IfExists::Refuse, Readable::ByOwner).unwrap();
        assert!(late.publish().unwrap_err().is_already_exists());
        assert_eq!(*read(&path, 10).unwrap(), b"early");
        later.publish().unwrap();
        assert_eq!(*read(&path, 10).unwrap(), b"later");
        #[cfg(unix)]
        assert_eq!(super::super::permissions(&path).unwrap(), Some(0o644));
        assert_eq!(list(directory.path()).unwrap(), ["file"]);
    }

    /// As on a file system that has unnamed files and gives them no name: the link fails, and a copy takes its place.
    #[cfg(target_os = "linux")]
    #[test]
    fn where_an_unnamed_file_gets_no_name_a_named_one_takes_its_place() {
        let directory = tempfile::tempdir().unwrap();
        // Of another file system; where there is but one, there is nothing to see.
        let Ok(Some(mut elsewhere)) = unnamed(Path::new("/dev/shm")) else {
            return;
        };
        elsewhere.write_all(b"contents").unwrap();
        for (if_exists, refused) in [
            (IfExists::Refuse, false),
            (IfExists::Refuse, true),
            (IfExists::Replace, false),
        ] {
            let prepared = Prepared {
                path: directory.path().join("file"),
                if_exists,
                contents: Contents::Unnamed(elsewhere.try_clone().unwrap()),
            };
            let published = prepared.publish();
            assert_eq!(published.is_err_and(|error| error.is_already_exists()), refused);
            assert_eq!(*read(&directory.path().join("file"), 10).unwrap(), b"contents");
            assert_eq!(
                super::super::permissions(&directory.path().join("file")).unwrap(),
                Some(0o600)
            );
            assert_eq!(list(directory.path()).unwrap(), ["file"]);
        }
    }
}
