//! Advisory locks that keep two processes apart. The kernel drops them with the process, so none is ever stale.
#![expect(
    clippy::disallowed_types,
    reason = "a lock needs the open file itself; like `files`, this is a door to the disk"
)]

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::files;
use crate::model::quoted;

/// A lock could not be had.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process has it.
    #[error("locked by another dfns-keys ({holder})")]
    Held {
        /// What the other process said of itself: its process id and what it does.
        holder: String,
    },
    /// The lock file cannot be opened or locked.
    #[error("cannot lock {}", quoted::path(.path))]
    Io {
        /// The lock file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// A lock that is held until the value is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the lock at `path`, waiting up to `wait`. `purpose` is what others are told while it is held.
///
/// # Errors
/// [`LockError::Held`] when another process still has it after `wait`.
pub fn acquire(path: &Path, purpose: &str, wait: Duration) -> Result<Lock, LockError> {
    let fail = |source| LockError::Io {
        path: path.to_owned(),
        source,
    };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = files::open_to_write(&mut options, path).map_err(fail)?;
    let deadline = Instant::now() + wait;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(Duration::from_millis(50)),
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held {
                    holder: holder(&mut file),
                });
            }
            Err(TryLockError::Error(source)) => return Err(fail(source)),
        }
    }
    if has_other_names(&file) {
        // Under another name it may be somebody's own file: the lock is as good without the note.
        return Ok(Lock { _file: file });
    }
    let note = format!("pid {}, {purpose}\n", std::process::id());
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(note.as_bytes()))
        .map_err(fail)?;
    Ok(Lock { _file: file })
}

#[cfg(unix)]
fn has_other_names(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    file.metadata().is_ok_and(|metadata| metadata.nlink() > 1)
}

#[cfg(not(unix))]
fn has_other_names(_: &File) -> bool {
    false
}

fn holder(file: &mut File) -> String {
    // The note is a courtesy; without it the message is still true. Its author may be just about to write it.
    for _ in 0..10 {
        let mut note = String::new();
        let read = file.rewind().and_then(|()| file.take(200).read_to_string(&mut note));
        if let (Ok(_), Some(line)) = (read, note.lines().next())
            && note.ends_with('\n')
        {
            return quoted::cleared(line).escape_debug().to_string();
        }
        sleep(Duration::from_millis(5));
    }
    "which did not say what it is doing".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_of_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let first = acquire(&path, "rotate payments-api", Duration::ZERO).unwrap();
        let error = acquire(&path, "list", Duration::ZERO).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "locked by another dfns-keys (pid {}, rotate payments-api)",
                std::process::id()
            )
        );
        drop(first);
        acquire(&path, "list", Duration::ZERO).unwrap();
    }
}
