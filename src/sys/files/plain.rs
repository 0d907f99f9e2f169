//! Opening files of ours where others may be able to write: a link would have us write somewhere else, and a pipe would have us
//! wait for its other end for ever.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use zeroize::Zeroizing;

use super::{FileError, read_limited};

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
