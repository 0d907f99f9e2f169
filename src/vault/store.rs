//! Where credential files are kept: a small trait that works by compare-and-swap, and the local directory behind it.

use std::fmt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use super::VaultError;
use crate::model::ids::CredentialName;
use crate::sys::files::{self, FileError, IfExists, Readable};

/// The folder of credential files inside the vault.
pub(super) const CREDENTIALS: &str = "credentials";

/// No credential file comes near this size.
const FILE_LIMIT: u64 = 4 * 1024 * 1024;

/// Tells whether a file changed since it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(String);

impl Version {
    fn of(bytes: &[u8]) -> Self {
        use fmt::Write as _;
        let mut hex = String::with_capacity(64);
        for byte in Sha256::digest(bytes) {
            write!(hex, "{byte:02x}").expect("writing to a string succeeds");
        }
        Self(hex)
    }
}

/// What must be there for a write to go through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// No file of that name.
    Absent,
    /// The file as it was read.
    Version(Version),
}

/// A store refused.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Nothing of that name.
    #[error("not found")]
    NotFound,
    /// There is one already.
    #[error("already exists")]
    AlreadyExists,
    /// It is not the version that was expected.
    #[error("changed in the meantime")]
    Changed,
    /// The disk.
    #[error(transparent)]
    File(#[from] FileError),
}

impl StoreError {
    pub(super) fn about(self, name: &CredentialName) -> VaultError {
        match self {
            Self::NotFound => VaultError::NoSuchCredential(name.clone()),
            Self::AlreadyExists => VaultError::CredentialExists(name.clone()),
            Self::Changed => VaultError::Changed(name.clone()),
            Self::File(error) => VaultError::File(error),
        }
    }

    pub(super) fn without_name(self) -> VaultError {
        match self {
            Self::File(error) => VaultError::File(error),
            Self::NotFound | Self::AlreadyExists | Self::Changed => VaultError::Damaged {
                what: CREDENTIALS.to_owned(),
                reason: self.to_string(),
            },
        }
    }
}

/// Keeps one document a name. Every write says what it expects to find.
pub trait Store: Send + Sync {
    /// The document and its version.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or what the medium says.
    fn get(&self, name: &CredentialName) -> Result<(Zeroizing<Vec<u8>>, Version), StoreError>;

    /// Writes the document whole, if what is there is what is expected.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`], [`StoreError::Changed`], or what the medium says.
    fn put(&self, name: &CredentialName, bytes: &[u8], expected: &Expected) -> Result<Version, StoreError>;

    /// The names of all documents, sorted.
    ///
    /// # Errors
    /// What the medium says.
    fn list(&self) -> Result<Vec<CredentialName>, StoreError>;

    /// Removes a document.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or what the medium says.
    fn delete(&self, name: &CredentialName) -> Result<(), StoreError>;
}

/// The local directory: a file a credential, each replaced by one rename. Between processes the credential's lock
/// closes the gap between comparing and renaming.
pub struct LocalDirectory {
    credentials: PathBuf,
}

impl LocalDirectory {
    /// The store inside the vault at `vault`.
    #[must_use]
    pub fn new(vault: &Path) -> Self {
        Self {
            credentials: vault.join(CREDENTIALS),
        }
    }

    fn path(&self, name: &CredentialName) -> PathBuf {
        self.credentials.join(format!("{name}.json"))
    }
}

fn missing_or(error: FileError) -> StoreError {
    if error.is_not_found() {
        StoreError::NotFound
    } else {
        StoreError::File(error)
    }
}

impl Store for LocalDirectory {
    fn get(&self, name: &CredentialName) -> Result<(Zeroizing<Vec<u8>>, Version), StoreError> {
        let bytes = files::read(&self.path(name), FILE_LIMIT).map_err(missing_or)?;
        let version = Version::of(&bytes);
        Ok((bytes, version))
    }

    fn put(&self, name: &CredentialName, bytes: &[u8], expected: &Expected) -> Result<Version, StoreError> {
        let path = self.path(name);
        let if_exists = match expected {
            Expected::Absent => IfExists::Refuse,
            Expected::Version(version) => {
                let (_, found) = self.get(name).map_err(|error| match error {
                    StoreError::NotFound => StoreError::Changed,
                    other => other,
                })?;
                if found != *version {
                    return Err(StoreError::Changed);
                }
                IfExists::Replace
            }
        };
        files::write(&path, bytes, if_exists, Readable::ByOwner).map_err(|error| {
            if error.is_already_exists() {
                StoreError::AlreadyExists
            } else {
                StoreError::File(error)
            }
        })?;
        Ok(Version::of(bytes))
    }

    fn list(&self) -> Result<Vec<CredentialName>, StoreError> {
        let mut names: Vec<CredentialName> = files::list(&self.credentials)?
            .iter()
            .filter_map(|file| file.strip_suffix(".json"))
            .filter_map(|stem| stem.parse().ok())
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    fn delete(&self, name: &CredentialName) -> Result<(), StoreError> {
        files::remove(&self.path(name)).map_err(missing_or)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_goes_through_only_over_what_it_expects() {
        let directory = tempfile::tempdir().unwrap();
        files::create_private_directory(&directory.path().join(CREDENTIALS)).unwrap();
        let store = LocalDirectory::new(directory.path());
        let name: CredentialName = "a".parse().unwrap();
        assert!(matches!(store.get(&name), Err(StoreError::NotFound)));
        let first = store.put(&name, b"1", &Expected::Absent).unwrap();
        assert!(matches!(
            store.put(&name, b"x", &Expected::Absent),
            Err(StoreError::AlreadyExists)
        ));
        let second = store.put(&name, b"2", &Expected::Version(first.clone())).unwrap();
        assert!(matches!(
            store.put(&name, b"x", &Expected::Version(first)),
            Err(StoreError::Changed)
        ));
        assert_eq!(*store.get(&name).unwrap().0, b"2");
        store.delete(&name).unwrap();
        assert!(matches!(
            store.put(&name, b"x", &Expected::Version(second)),
            Err(StoreError::Changed)
        ));
        assert!(store.list().unwrap().is_empty());
    }
}
