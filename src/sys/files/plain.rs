//! Opening files of ours where others may be able to write: a link would have us write somewhere else, and a pipe would have us
//! wait for its other end for ever.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use zeroize::Zeroizing;

use super::{FileError, directory_of, read_limited};

/// Opens a plain file to be written, made for its owner alone if it is not there. A link is not followed.
///
/// # Errors
/// When it cannot be opened, or is no plain file.
pub(in crate::sys) fn open_to_write(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;

        use rustix::fs::OFlags;
        options
            .mode(0o600)
            .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK));
    }
    let file = options.open(path).map_err(|error| {
        if path.is_symlink() {
            io::Error::other("it is a link, and could lead anywhere")
        } else {
            error
        }
    })?;
    must_be_plain(file)
}

/// Opens a plain file to be read, be it by a link.
///
/// # Errors
/// When it cannot be opened, or is no plain file.
pub(in crate::sys) fn open_to_read(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;

        use rustix::fs::OFlags;
        options.custom_flags(flags(OFlags::NONBLOCK));
    }
    must_be_plain(options.open(path)?)
}

/// Reads a whole file as [`super::read`] does, but no pipe and no device.
///
/// # Errors
/// When it cannot be read, is no plain file, or has more than `limit` bytes.
pub fn read_plain(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let fail = |source| FileError::new("read", path, source);
    let file = open_to_read(path).map_err(fail)?;
    read_limited(file, limit).map_err(fail)
}

/// Reads a whole file that says what is to be done, as long as nobody but its user and root can say so: neither in the file nor by
/// putting another one in its place, in its directory or in that of a link to it.
///
/// # Errors
/// When it is not so, or it cannot be read, is no plain file, or has more than `limit` bytes.
pub fn read_trusted(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let fail = |source| FileError::new("read", path, source);
    let file = open_to_read(path).map_err(fail)?;
    file.metadata().and_then(|metadata| trusted(&metadata)).map_err(fail)?;
    for directory in [directory_of(path), directory_of(&super::canonical(path))] {
        std::fs::metadata(directory)
            .and_then(|metadata| trusted(&metadata))
            .map_err(|source| FileError::new("trust what is in", directory, source))?;
    }
    read_limited(file, limit).map_err(fail)
}

fn trusted(metadata: &std::fs::Metadata) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if ![0, rustix::process::geteuid().as_raw()].contains(&metadata.uid()) {
            return Err(io::Error::other("it belongs to another user"));
        }
        let mode = metadata.mode() & 0o7777;
        // In a sticky directory nobody can replace what is another's.
        let is_sticky = metadata.is_dir() && mode & 0o1000 != 0;
        if mode & 0o022 != 0 && !is_sticky {
            return Err(io::Error::other(format!(
                "others can write to it (its mode is {mode:04o})"
            )));
        }
    }
    #[cfg(not(unix))]
    let _ = metadata;
    Ok(())
}

#[cfg(unix)]
fn flags(flags: rustix::fs::OFlags) -> i32 {
    i32::try_from(flags.bits()).expect("flags of open are few bits")
}

fn must_be_plain(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("it is no plain file"))
    }
}
