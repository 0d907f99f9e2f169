//! Temporary files that a process left when it was killed. They are removed by the next run that writes in their folder:
//! only those of our names and our user, and none that a living process holds the lock of.

#[cfg(unix)]
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use tempfile::NamedTempFile;

/// How a temporary file's name begins.
pub(super) const PREFIX: &str = ".dfns-keys-";
/// How many letters and digits follow. So many that no user chose such a name.
pub(super) const RANDOM: usize = 24;

/// Removes leftovers in a folder, the first time that this process writes there. Best effort: nothing depends on it.
pub(super) fn remove_once(directory: &Path) {
    static SEEN: OnceLock<Mutex<Vec<PathBuf>>> = OnceLock::new();
    let Ok(directory) = std::path::absolute(directory) else {
        return;
    };
    {
        let Ok(mut seen) = SEEN.get_or_init(Mutex::default).lock() else {
            return;
        };
        if seen.contains(&directory) {
            return;
        }
        seen.push(directory.clone());
    }
    remove(&directory);
}

/// Removes the leftovers in a folder.
pub(super) fn remove(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(is_temporary) {
            // Whatever the reason is, the file stays, and the next run comes.
            let _ = remove_stale(&entry.path());
        }
    }
}

fn is_temporary(name: &str) -> bool {
    name.strip_prefix(PREFIX)
        .is_some_and(|random| random.len() == RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

#[cfg(unix)]
fn remove_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;

    use rustix::fs::{Mode, OFlags, open};
    // Neither through a link nor waiting for a pipe's other end. A lock on a network's file wants one that can be written.
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    let ours = metadata.is_file() && metadata.uid() == rustix::process::geteuid().as_raw();
    if ours && file.try_lock().is_ok() && is_name_of(path, &file) {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// Without locks on open files that survive a rename there is no telling a leftover from a file at work.
#[cfg(not(unix))]
fn remove_stale(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Locks a new temporary file, so that it is no leftover while this process lives. `false` when somebody was faster
/// and has removed it.
#[cfg(unix)]
pub(super) fn keep(file: &NamedTempFile) -> bool {
    match file.as_file().try_lock() {
        Err(std::fs::TryLockError::WouldBlock) => false,
        // Where there are no locks, nobody removes anything.
        Err(std::fs::TryLockError::Error(_)) => true,
        Ok(()) => is_name_of(file.path(), file.as_file()),
    }
}

#[cfg(not(unix))]
pub(super) fn keep(_: &NamedTempFile) -> bool {
    true
}

#[cfg(unix)]
fn is_name_of(path: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    match (std::fs::symlink_metadata(path), file.metadata()) {
        (Ok(there), Ok(here)) => identity(there) == identity(here),
        _ => false,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_ours_and_held_by_nobody_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let ours = |letter: &str| format!("{PREFIX}{}", letter.repeat(RANDOM));
        let others = [
            ".dfns-keys-notes".to_owned(),
            format!("{PREFIX}{}", "a".repeat(RANDOM - 1)),
            format!("{PREFIX}{}.", "a".repeat(RANDOM - 1)),
            format!("x{}", ours("a")),
        ];
        for name in &others {
            std::fs::write(path(name), "somebody's").unwrap();
        }
        std::fs::create_dir(path(&ours("b"))).unwrap();
        std::os::unix::fs::symlink(path(&others[0]), path(&ours("c"))).unwrap();
        std::fs::write(path(&ours("d")), "stale").unwrap();
        let held = File::create(path(&ours("e"))).unwrap();
        held.lock().unwrap();
        remove(directory.path());
        let left = |letter: &str| std::fs::symlink_metadata(path(&ours(letter))).is_ok();
        assert_eq!(["b", "c", "d", "e"].map(left), [true, true, false, true]);
        assert!(others.iter().all(|name| path(name).exists()));
        drop(held);
        remove(directory.path());
        assert!(!left("e"));
    }
}
