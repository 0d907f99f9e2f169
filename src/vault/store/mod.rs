//! Where a vault's documents are kept: a small trait that works by compare-and-swap, with the local directory behind it. What
//! a store must do is in `contract`, one test that each store passes.

#[cfg(test)]
pub(in crate::vault) mod contract;
mod local;
#[cfg(test)]
pub(in crate::vault) mod memory;

use std::any::Any;
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::sys::files::FileError;
use crate::sys::lock::LockError;

pub use local::LocalDirectory;

/// Tells whether a document changed since it was read. Only the store that gave it compares it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Version(String);

impl Version {
    /// A version in the store's own words.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// What must be there for a write to go through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// No document of that name.
    Absent,
    /// The document as it was read.
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
    /// The write may have happened, and nobody said so.
    #[error("it is not known whether it was written")]
    Unclear(#[source] FileError),
    /// Another process has the lease.
    #[error(transparent)]
    Lease(#[from] LockError),
    /// The disk.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Keeps others away from a document until it is dropped, or the process ends.
pub struct Lease(#[expect(dead_code, reason = "it is held, not looked at")] Box<dyn Any + Send + Sync>);

impl Lease {
    /// A lease that lasts as long as `guard` is not dropped.
    #[must_use]
    pub fn new(guard: impl Any + Send + Sync) -> Self {
        Self(Box::new(guard))
    }
}

/// Keeps documents by name, such as `recipients.txt` or `credentials/payments-api.json`. Every write says what it expects to
/// find, appears whole or not at all, and is durable when it is reported.
#[async_trait]
pub trait Store: Send + Sync {
    /// Where it is, the same text for everybody on this machine who uses it.
    fn place(&self) -> String;

    /// The document and its version.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or what the medium says.
    async fn get(&self, name: &str) -> Result<(Zeroizing<Vec<u8>>, Version), StoreError>;

    /// Writes the document whole, if what is there is what is expected. A write is never sent a second time.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`], [`StoreError::Changed`], [`StoreError::Unclear`], or what the medium says: then nothing was
    /// written.
    async fn put(&self, name: &str, bytes: &[u8], expected: &Expected) -> Result<Version, StoreError>;

    /// The names of all documents whose names begin with `folder` and a slash, sorted, with their versions.
    ///
    /// # Errors
    /// What the medium says.
    async fn list(&self, folder: &str) -> Result<Vec<(String, Version)>, StoreError>;

    /// Removes a document, if it is the one that is expected.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Changed`], or what the medium says.
    async fn delete(&self, name: &str, expected: &Version) -> Result<(), StoreError>;

    /// Keeps others from working on a document, waiting up to `wait` for it. `purpose` is what they are told meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Lease`] when another still has it after `wait`.
    async fn lease(&self, name: &str, purpose: &str, wait: Duration) -> Result<Lease, StoreError>;
}

/// Puts a document, and where the answer was lost finds out what became of it: the one place that does. `is_ours` tells whether
/// a document that is there now is this write. One on top of it is another's, and means that the lease was lost: `Changed`.
///
/// # Errors
/// As [`Store::put`]; [`StoreError::Unclear`] only where the store cannot be read either.
pub(super) async fn put_for_certain(
    store: &dyn Store,
    name: &str,
    bytes: &[u8],
    expected: &Expected,
    is_ours: impl Fn(&[u8]) -> bool + Send + Sync,
) -> Result<Version, StoreError> {
    const TRIES: usize = 3;
    let mut unclear = false;
    for _ in 0..TRIES {
        match store.put(name, bytes, expected).await {
            Ok(version) => return Ok(version),
            Err(StoreError::Unclear(_)) => unclear = true,
            // After an unclear attempt a refusal is unclear too: it may be our own write that is in the way.
            Err(StoreError::AlreadyExists | StoreError::Changed) if unclear => {}
            Err(error) => return Err(error),
        }
        match (store.get(name).await, expected) {
            (Ok((found, version)), _) if is_ours(&found) => return Ok(version),
            (Ok((_, version)), Expected::Version(before)) if version == *before => {}
            (Err(StoreError::NotFound), Expected::Absent) => {}
            (Ok(_), Expected::Absent) => return Err(StoreError::AlreadyExists),
            (Ok(_) | Err(StoreError::NotFound), Expected::Version(_)) => return Err(StoreError::Changed),
            (Err(error), _) => return Err(error),
        }
    }
    Err(StoreError::Changed)
}
