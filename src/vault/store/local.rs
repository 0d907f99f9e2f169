//! The local directory: a file a document, each replaced by one rename. Between processes the document's lease closes the gap
//! between comparing and renaming.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::{Expected, Lease, Store, StoreError, Version};
use crate::sys::files::{self, FileError, IfExists, Readable};
use crate::sys::lock::{self, LockError};
use crate::sys::stamp;

/// No document comes near this size.
const FILE_LIMIT: u64 = 8 * 1024 * 1024;
/// How often somebody who waits for a lease looks again.
const LOOK: Duration = Duration::from_millis(20);

/// A vault in a directory of this machine.
pub struct LocalDirectory {
    directory: PathBuf,
}

impl LocalDirectory {
    /// The store in this directory.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn version(&self, name: &str) -> Result<Version, StoreError> {
        let path = self.path(name);
        stamp::of(&path).map(Version::new).map_err(|source| {
            missing_or(FileError {
                operation: "look at",
                path,
                source,
            })
        })
    }

    /// `credentials/a.json` is kept by `credentials/.a.lock`, and the list by `.lock`, as in version 1. The file is never
    /// removed: another process may be about to lock it.
    fn lock_file(&self, name: &str) -> PathBuf {
        match name.rsplit_once('/') {
            Some((folder, file)) => {
                let stem = file.strip_suffix(".json").unwrap_or(file);
                self.directory.join(folder).join(format!(".{stem}.lock"))
            }
            None => self.directory.join(".lock"),
        }
    }
}

fn missing_or(error: FileError) -> StoreError {
    if error.is_not_found() {
        StoreError::NotFound
    } else {
        StoreError::File(error)
    }
}

#[async_trait]
impl Store for LocalDirectory {
    fn place(&self) -> String {
        files::canonical(&self.directory).to_string_lossy().into_owned()
    }

    async fn get(&self, name: &str) -> Result<(Zeroizing<Vec<u8>>, Version), StoreError> {
        // Looked at before and after: a file that is replaced in between is read again.
        loop {
            let before = self.version(name)?;
            let bytes = files::read_plain(&self.path(name), FILE_LIMIT).map_err(missing_or)?;
            if self.version(name)? == before {
                return Ok((bytes, before));
            }
        }
    }

    async fn put(&self, name: &str, bytes: &[u8], expected: &Expected) -> Result<Version, StoreError> {
        let path = self.path(name);
        let if_exists = match expected {
            Expected::Absent => IfExists::Refuse,
            Expected::Version(version) => {
                match self.version(name) {
                    Ok(found) if found == *version => {}
                    Ok(_) | Err(StoreError::NotFound) => return Err(StoreError::Changed),
                    Err(error) => return Err(error),
                }
                IfExists::Replace
            }
        };
        match files::write(&path, bytes, if_exists, Readable::ByOwner) {
            Ok(()) => self.version(name),
            Err(error) if error.is_already_exists() => Err(StoreError::AlreadyExists),
            // It may have failed after the rename, in syncing the directory.
            Err(error) => match files::read_plain(&path, FILE_LIMIT) {
                Ok(found) if *found == bytes => Err(StoreError::Unclear(error)),
                Ok(_) | Err(_) => Err(StoreError::File(error)),
            },
        }
    }

    async fn list(&self, folder: &str) -> Result<Vec<(String, Version)>, StoreError> {
        let mut documents = Vec::new();
        let names = match files::list(&self.path(folder)) {
            Ok(names) => names,
            Err(error) if error.is_not_found() => return Ok(documents),
            Err(error) => return Err(error.into()),
        };
        for name in names.into_iter().filter(|name| !name.starts_with('.')) {
            let name = format!("{folder}/{name}");
            match self.version(&name) {
                Ok(version) => documents.push((name, version)),
                // Removed since the folder was read.
                Err(StoreError::NotFound) => {}
                // One that cannot be looked at hides no other: whoever gets it is told what is wrong with it.
                Err(_) => documents.push((name, Version::new("cannot be looked at"))),
            }
        }
        Ok(documents)
    }

    async fn delete(&self, name: &str, expected: &Version) -> Result<(), StoreError> {
        if self.version(name)? != *expected {
            return Err(StoreError::Changed);
        }
        files::remove(&self.path(name)).map_err(missing_or)
    }

    async fn lease(&self, name: &str, purpose: &str, wait: Duration) -> Result<Lease, StoreError> {
        let path = self.lock_file(name);
        let deadline = Instant::now() + wait;
        loop {
            match lock::acquire(&path, purpose, Duration::ZERO) {
                Ok(lock) => return Ok(Lease::new(lock)),
                Err(LockError::Held { .. }) if Instant::now() < deadline => tokio::time::sleep(LOOK).await,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_keeps_the_contract() {
        let directory = tempfile::tempdir().unwrap();
        files::create_private_directory(&directory.path().join("credentials")).unwrap();
        super::super::contract::holds(&LocalDirectory::new(directory.path())).await;
    }

    #[tokio::test]
    async fn what_a_kill_left_behind_is_no_document() {
        let directory = tempfile::tempdir().unwrap();
        files::create_private_directory(&directory.path().join("credentials")).unwrap();
        let left = directory.path().join("credentials/.dfns-keys-x1y2z3");
        files::write(&left, b"half", IfExists::Refuse, Readable::ByOwner).unwrap();
        let store = LocalDirectory::new(directory.path());
        assert!(store.list("credentials").await.unwrap().is_empty());
    }
}
