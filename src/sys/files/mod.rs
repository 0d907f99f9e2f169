//! The one door to the disk. What is written here is created for its owner alone (0600, directories 0700), appears
//! whole or not at all (write, fsync, then its name), and survives a power cut (the directory is synced too).
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this module is the door that the rest of the crate is kept from going around"
)]

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

use crate::model::quoted;

mod leftovers;
mod lines;
mod plain;
mod prepared;

pub use lines::{Appending, Line, Lines, append, rewrite, tail};
pub(in crate::sys) use plain::{open_to_read, open_to_write};
pub use plain::{read_plain, read_trusted};
pub use prepared::{Prepared, prepare};

/// A file operation failed.
#[derive(Debug, Error)]
#[error("cannot {operation} {}", quoted::path(.path))]
pub struct FileError {
    /// What was tried, as a verb.
    pub operation: &'static str,
    /// On what.
    pub path: PathBuf,
    /// Why it failed.
    #[source]
    pub source: io::Error,
}

impl FileError {
    fn new(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self {
            operation,
            path: path.to_owned(),
            source,
        }
    }

    /// Whether the file was not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// Whether the file was there already.
    #[must_use]
    pub fn is_already_exists(&self) -> bool {
        self.source.kind() == io::ErrorKind::AlreadyExists
    }
}

/// What to do about a file that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExists {
    /// Fail, leaving it untouched.
    Refuse,
    /// Replace it in one rename.
    Replace,
}

/// Who may read a file that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readable {
    /// The owner alone (0600).
    ByOwner,
    /// Everybody, within the umask's usual 0644.
    ByAll,
    /// As these bits say, and as this user's and group's where they are given.
    Exactly {
        /// The permission bits.
        mode: u32,
        /// The user's and the group's number.
        owner: Option<(u32, u32)>,
    },
}

/// The numbers of a user and of its own group, by the user's name or number; `None` where there is no such user.
#[must_use]
pub fn owner(name: &str) -> Option<(u32, u32)> {
    #[cfg(unix)]
    {
        use nix::unistd::{Uid, User};
        let user = match name.parse() {
            Ok(number) => User::from_uid(Uid::from_raw(number)),
            Err(_) => User::from_name(name),
        };
        user.ok().flatten().map(|user| (user.uid.as_raw(), user.gid.as_raw()))
    }
    #[cfg(not(unix))]
    {
        let _ = name;
        None
    }
}

/// The number of the user whose a file is, where files have such.
///
/// # Errors
/// When the file cannot be looked at.
pub fn owner_of(path: &Path) -> Result<Option<u32>, FileError> {
    let metadata = std::fs::metadata(path).map_err(|source| FileError::new("look at", path, source))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Ok(Some(metadata.uid()))
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        Ok(None)
    }
}

/// Reads a whole file into memory that is wiped afterwards.
///
/// # Errors
/// When it cannot be read, or has more than `limit` bytes.
pub fn read(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let fail = |source| FileError::new("read", path, source);
    let file = File::open(path).map_err(fail)?;
    read_limited(file, limit).map_err(fail)
}

/// Reads a stream to its end into memory that is wiped afterwards.
///
/// # Errors
/// When reading fails, or there are more than `limit` bytes.
pub fn read_limited(mut source: impl Read, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    // A vector that grows leaves copies behind, so each is replaced and wiped here.
    let mut bytes = Zeroizing::new(Vec::with_capacity(16 * 1024));
    let mut chunk = Zeroizing::new([0_u8; 8 * 1024]);
    loop {
        let count = match source.read(&mut *chunk) {
            Ok(0) => return Ok(bytes),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if (bytes.len() + count) as u64 > limit {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("it is larger than {limit} bytes"),
            ));
        }
        if bytes.capacity() < bytes.len() + count {
            let mut larger = Zeroizing::new(Vec::with_capacity(bytes.capacity() * 2 + count));
            larger.extend_from_slice(&bytes);
            bytes = larger;
        }
        bytes.extend_from_slice(&chunk[..count]);
    }
}

/// Writes a file whole: it is synced before it has its name, and the directory after that.
///
/// # Errors
/// When any step fails; then no file, or the old one, is there.
pub fn write(path: &Path, bytes: &[u8], if_exists: IfExists, readable: Readable) -> Result<(), FileError> {
    prepare(path, bytes, if_exists, readable)?.publish()
}

/// Refuses at once what [`write()`] would refuse later, as far as a look can tell.
///
/// # Errors
/// When something of that name is there and is to stay, or there is no directory to write into.
pub fn check_target(path: &Path, if_exists: IfExists) -> Result<(), FileError> {
    let refuse = |kind: io::ErrorKind| Err(FileError::new("write", path, kind.into()));
    if if_exists == IfExists::Refuse && exists(path) {
        return refuse(io::ErrorKind::AlreadyExists);
    }
    if path.is_dir() {
        return refuse(io::ErrorKind::IsADirectory);
    }
    let directory = directory_of(path);
    match std::fs::metadata(directory) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => refuse(io::ErrorKind::NotADirectory),
        Err(source) => Err(FileError::new("write", path, source)),
    }
}

/// Whether the system would run a file as a program.
#[cfg(unix)]
#[must_use]
pub fn is_program(path: &Path) -> bool {
    use rustix::fs::{Access, access};
    is_file(path) && access(path, Access::EXEC_OK).is_ok()
}

/// Creates a directory for its owner alone, with those above it where they are missing. One that is there already must be
/// ours, and nobody else's to write to; then it is closed to others.
///
/// # Errors
/// When it cannot be created, something else has the name, or it is not ours alone.
pub fn create_private_directory(path: &Path) -> Result<(), FileError> {
    let fail = |source| FileError::new("create the directory", path, source);
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|above| !above.as_os_str().is_empty() && !exists(above))
        .collect();
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(path).map_err(fail)?;
    check_is_ours(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(fail)?;
    }
    for created in missing.into_iter().rev() {
        sync_directory(directory_of(created)).map_err(fail)?;
    }
    Ok(())
}

/// Refuses a directory that is another user's, or that others can write to.
///
/// # Errors
/// When it is so, or it cannot be looked at.
pub fn check_is_ours(path: &Path) -> Result<(), FileError> {
    let fail = |source| FileError::new("use the directory", path, source);
    let metadata = std::fs::metadata(path).map_err(fail)?;
    if !metadata.is_dir() {
        return Err(fail(io::ErrorKind::NotADirectory.into()));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(fail(io::Error::other("it belongs to another user")));
        }
        if metadata.mode() & 0o022 != 0 {
            let mode = metadata.mode() & 0o7777;
            return Err(fail(io::Error::other(format!(
                "others can write to it (its mode is {mode:04o})"
            ))));
        }
    }
    Ok(())
}

/// The names in a directory.
///
/// # Errors
/// When the directory cannot be read.
pub fn list(path: &Path) -> Result<Vec<String>, FileError> {
    let fail = |source| FileError::new("list", path, source);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(fail)? {
        // A name that is not UTF-8 is none of ours.
        if let Ok(name) = entry.map_err(fail)?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Removes a file and syncs its directory.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(path: &Path) -> Result<(), FileError> {
    let fail = |source| FileError::new("remove", path, source);
    std::fs::remove_file(path).map_err(fail)?;
    sync_directory(directory_of(path)).map_err(fail)
}

/// The path without links and detours, or as it is where it cannot be resolved.
#[must_use]
pub fn canonical(path: &Path) -> PathBuf {
    std::fs::canonicalize(path)
        .or_else(|_| std::path::absolute(path))
        .unwrap_or_else(|_| path.to_owned())
}

/// Whether a path names a plain file itself: no link to one, no pipe, no device. What cannot be looked at is none.
#[must_use]
pub fn is_plain(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
}

/// A path that means the same file from everywhere: the directory's own name, without links, and the file's name in it.
#[must_use]
pub fn from_everywhere(path: &Path) -> PathBuf {
    match (directory_of(path).canonicalize(), path.file_name()) {
        (Ok(directory), Some(name)) => directory.join(name),
        _ => path.to_owned(),
    }
}

/// Whether a path leads to a file, be it by a link.
#[must_use]
pub fn is_file(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
}

/// Whether something of that name exists. What cannot be looked at counts as there.
#[must_use]
pub fn exists(path: &Path) -> bool {
    path.try_exists().unwrap_or(true)
}

/// The permission bits of a file that others than its owner have, or `None` where the system has no such bits.
///
/// # Errors
/// When the file cannot be looked at.
pub fn permissions(path: &Path) -> Result<Option<u32>, FileError> {
    let metadata = std::fs::metadata(path).map_err(|source| FileError::new("look at", path, source))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        Ok(Some(metadata.permissions().mode() & 0o777))
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        Ok(None)
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_overwrite_leaves_the_file_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write(&path, b"one", IfExists::Refuse, Readable::ByOwner).unwrap();
        let error = write(&path, b"two", IfExists::Refuse, Readable::ByOwner).unwrap_err();
        assert!(error.is_already_exists());
        assert_eq!(*read(&path, 10).unwrap(), b"one");
        assert_eq!(list(directory.path()).unwrap(), ["file"]);
        write(&path, b"three", IfExists::Replace, Readable::ByOwner).unwrap();
        assert_eq!(*read(&path, 10).unwrap(), b"three");
        #[cfg(unix)]
        assert_eq!(permissions(&path).unwrap(), Some(0o600));
    }

    #[test]
    fn a_file_over_the_limit_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write(&path, &vec![b'x'; 40_000], IfExists::Refuse, Readable::ByOwner).unwrap();
        assert_eq!(read(&path, 40_000).unwrap().len(), 40_000);
        assert!(read(&path, 39_999).is_err());
    }
}
