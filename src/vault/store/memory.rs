//! A store in memory, for tests: it can lose answers and stop whoever asks at a chosen step.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::{Expected, Lease, Store, StoreError, Version};
use crate::sys::files::FileError;
use crate::sys::lock::LockError;

#[derive(Default)]
pub(in crate::vault) struct World {
    documents: BTreeMap<String, (Vec<u8>, u64)>,
    leases: BTreeMap<String, String>,
    writes: u64,
    /// How many answers to puts to lose from now on: the write happens, and its answer does not come.
    pub(in crate::vault) lose_answers: usize,
}

impl World {
    pub(in crate::vault) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.documents.get(name).map(|(bytes, _)| &bytes[..])
    }

    /// Writes as somebody would who asks nobody.
    pub(in crate::vault) fn overwrite(&mut self, name: &str, bytes: &[u8]) {
        self.writes += 1;
        self.documents.insert(name.to_owned(), (bytes.to_vec(), self.writes));
    }

    pub(in crate::vault) fn names(&self) -> Vec<String> {
        self.documents.keys().cloned().collect()
    }
}

/// Lets the others go first.
pub(in crate::vault) async fn turn() {
    let mut waited = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

/// Handles on one world; each step of each handle lets the others go first.
#[derive(Clone, Default)]
pub(in crate::vault) struct Memory(Arc<Mutex<World>>);

impl Memory {
    pub(in crate::vault) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lost() -> FileError {
    FileError {
        operation: "write",
        path: PathBuf::from("memory"),
        source: std::io::Error::other("the answer was lost"),
    }
}

struct Held {
    world: Arc<Mutex<World>>,
    name: String,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.world
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .leases
            .remove(&self.name);
    }
}

#[async_trait]
impl Store for Memory {
    fn place(&self) -> String {
        "memory".to_owned()
    }

    async fn get(&self, name: &str) -> Result<(Zeroizing<Vec<u8>>, Version), StoreError> {
        turn().await;
        let world = self.world();
        let (bytes, version) = world.documents.get(name).ok_or(StoreError::NotFound)?;
        Ok((Zeroizing::new(bytes.clone()), Version::new(version.to_string())))
    }

    async fn put(&self, name: &str, bytes: &[u8], expected: &Expected) -> Result<Version, StoreError> {
        turn().await;
        let written;
        {
            let mut world = self.world();
            let found = world.documents.get(name).map(|(_, version)| version.to_string());
            match (expected, found) {
                (Expected::Absent, None) => {}
                (Expected::Absent, Some(_)) => return Err(StoreError::AlreadyExists),
                (Expected::Version(version), Some(found)) if *version == Version::new(found.clone()) => {}
                (Expected::Version(_), _) => return Err(StoreError::Changed),
            }
            world.overwrite(name, bytes);
            written = world.writes;
            if world.lose_answers > 0 {
                world.lose_answers -= 1;
                return Err(StoreError::Unclear(lost()));
            }
        }
        turn().await;
        Ok(Version::new(written.to_string()))
    }

    async fn list(&self, folder: &str) -> Result<Vec<(String, Version)>, StoreError> {
        turn().await;
        let prefix = format!("{folder}/");
        let world = self.world();
        Ok(world
            .documents
            .iter()
            .filter(|(name, _)| name.starts_with(&prefix))
            .map(|(name, (_, version))| (name.clone(), Version::new(version.to_string())))
            .collect())
    }

    async fn delete(&self, name: &str, expected: &Version) -> Result<(), StoreError> {
        turn().await;
        let mut world = self.world();
        match world.documents.get(name) {
            None => Err(StoreError::NotFound),
            Some((_, version)) if Version::new(version.to_string()) != *expected => Err(StoreError::Changed),
            Some(_) => {
                world.documents.remove(name);
                Ok(())
            }
        }
    }

    async fn lease(&self, name: &str, purpose: &str, wait: Duration) -> Result<Lease, StoreError> {
        // Waiting is counted in turns, not in time.
        let turns = 1 + 1000 * usize::from(!wait.is_zero());
        let mut holder = String::new();
        for _ in 0..turns {
            turn().await;
            let mut world = self.world();
            if let Some(purpose) = world.leases.get(name) {
                holder.clone_from(purpose);
                continue;
            }
            world.leases.insert(name.to_owned(), purpose.to_owned());
            return Ok(Lease::new(Held {
                world: Arc::clone(&self.0),
                name: name.to_owned(),
            }));
        }
        Err(LockError::Held { holder }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::store::put_for_certain;

    #[tokio::test]
    async fn it_keeps_the_contract() {
        super::super::contract::holds(&Memory::default()).await;
    }

    #[tokio::test]
    async fn a_lost_answer_is_found_out_about() {
        let store = Memory::default();
        store.world().lose_answers = 1;
        let version = put_for_certain(&store, "a", b"1", &Expected::Absent, |found| found == b"1")
            .await
            .unwrap();
        // Another one writes between our lost answer and our look.
        store.world().lose_answers = 1;
        let expected = Expected::Version(version);
        let mut put = Box::pin(put_for_certain(&store, "a", b"2", &expected, |found| found == b"2"));
        while store.world().bytes("a") != Some(b"2") {
            let polled = put
                .as_mut()
                .poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
            assert!(polled.is_pending());
        }
        store.world().overwrite("a", b"3");
        let put = put.await;
        assert!(matches!(put, Err(StoreError::Changed)), "{put:?}");
    }
}
