//! Sealing everything again that is sealed to an older list than the newest, by whoever comes, for as long as anything is left.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt, stream};

use super::VaultError;
use super::document::{self, Glimpse, Turn};
use super::edit::{NameLease, put_document};
use super::store::{Expected, StoreError, Version};
use super::unlocked::{Found, Ring, Unlocked};
use crate::model::ids::CredentialName;

/// How many documents are sealed again at once.
const AT_ONCE: usize = 8;
/// How often one document is sealed again for a list in a run, whoever puts an older one in its place.
const MOST_ROUNDS: usize = 5;
/// How long to wait for somebody who works on a credential, before it is left to them or to a later run.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Is told how many documents were sealed again, of how many.
pub type Watch<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// What became of a change.
#[derive(Debug, Default)]
pub struct Resealed {
    /// There is another list than before; otherwise only what an earlier change left was done.
    pub changed: bool,
    /// How many documents were sealed again.
    pub count: usize,
    /// Those that could not be, and why.
    pub left: Vec<(CredentialName, String)>,
}

impl Resealed {
    /// Fails where anything was left.
    ///
    /// # Errors
    /// [`VaultError::LeftBehind`].
    pub fn complete(self) -> Result<usize, VaultError> {
        if self.left.is_empty() {
            Ok(self.count)
        } else {
            Err(VaultError::LeftBehind(self.left))
        }
    }
}

impl Unlocked<'_> {
    /// Whether everything is sealed to the newest list.
    ///
    /// # Errors
    /// When the vault cannot be read.
    pub async fn is_complete(&self) -> Result<bool, VaultError> {
        let epoch = self.refresh().await?.epoch();
        Ok(self.outdated(epoch, &mut BTreeMap::new()).await?.is_empty())
    }

    /// The names whose documents are sealed for an epoch below this one. `seen` remembers the states that are not.
    async fn outdated(
        &self,
        epoch: u64,
        seen: &mut BTreeMap<String, Version>,
    ) -> Result<Vec<CredentialName>, VaultError> {
        let mut names = Vec::new();
        for (document, version) in self.vault.store.list(document::FOLDER).await? {
            let Some(name) = document::credential_name(&document) else {
                continue;
            };
            if seen.get(&document) == Some(&version) {
                continue;
            }
            let bytes = match self.vault.store.get(&document).await {
                Ok((bytes, _)) => bytes,
                Err(StoreError::NotFound) => continue,
                // What cannot be read is found out about when it is opened.
                Err(_) => {
                    names.push(name);
                    continue;
                }
            };
            match document::glimpse(&name, &bytes) {
                Ok(Glimpse { epoch: found, .. }) if found >= epoch => {
                    seen.insert(document, version);
                }
                Ok(_) | Err(_) => names.push(name),
            }
        }
        Ok(names)
    }

    /// Seals everything again that is sealed to an older list than the newest, as often as a listing shows any.
    ///
    /// # Errors
    /// When the list is not as members wrote it, or the vault cannot be read. What one credential refuses is in the answer.
    pub async fn seal_all(&self, watch: Watch<'_>) -> Result<Resealed, VaultError> {
        let mut done = Resealed::default();
        let mut seen = BTreeMap::new();
        let mut left: BTreeMap<CredentialName, String> = BTreeMap::new();
        let (mut epoch, mut rounds) = (0, BTreeMap::<CredentialName, usize>::new());
        loop {
            let now = self.refresh().await?.epoch();
            if now != epoch {
                epoch = now;
                rounds.clear();
            }
            let names: Vec<CredentialName> = self
                .outdated(epoch, &mut seen)
                .await?
                .into_iter()
                .filter(|name| !left.contains_key(name))
                .collect();
            if names.is_empty() {
                break;
            }
            let total = done.count + names.len();
            let mut outcomes = stream::iter(names)
                .map(|name| async move {
                    let outcome = self.seal_again(&name, epoch).await;
                    (name, outcome)
                })
                .buffer_unordered(AT_ONCE);
            while let Some((name, outcome)) = outcomes.next().await {
                let round = rounds.entry(name.clone()).or_default();
                *round += 1;
                match outcome {
                    Ok(()) if *round > MOST_ROUNDS => {
                        left.insert(name, "others put an older file back again and again".to_owned());
                    }
                    Ok(()) => done.count += 1,
                    Err(error) => {
                        left.insert(name, error.to_string());
                    }
                }
                watch(done.count, total);
            }
        }
        done.left = left.into_iter().collect();
        if done.left.is_empty() {
            self.remember_complete();
        }
        Ok(done)
    }

    /// Everything is sealed for the newest epoch.
    fn remember_complete(&self) {
        let Ring::Two(ring) = &*self.ring() else { return };
        let mut memory = self.memory();
        let Some(mut pin) = memory.pin().cloned() else { return };
        if pin.complete < ring.epoch() {
            pin.complete = ring.epoch();
            memory.remember(pin);
        }
    }

    async fn seal_again(&self, name: &CredentialName, epoch: u64) -> Result<(), VaultError> {
        let lease = NameLease::take(self.vault, name, "sealing again", self.vault.wait.max(PATIENCE)).await?;
        let Some(found) = self.find(name).await? else {
            return Ok(());
        };
        // Whoever had the lease may have done it.
        if found.document.mark.epoch >= epoch {
            return Ok(());
        }
        if found.document.removed.is_some() && !found.document.authenticated {
            // A former member's: no member is to vouch for a removal that none made.
            return self.delete(name, &found.version).await;
        }
        if let Some(removed) = &found.document.removed {
            return self.bury_again(&lease, removed, &found).await;
        }
        let Some(credential) = &found.document.credential else {
            return Ok(());
        };
        if found.document.authenticated {
            return self.overwrite(lease, &found, credential).await;
        }
        let ring = self.version_2().await?;
        let turn = Turn::after(found.document.mark.revision, &found.document.mark.writes)?;
        let bytes = document::seal_unauthenticated(&credential.into(), &turn, ring.epoch(), &ring.recipients())?;
        self.put_over(&lease, &bytes, &turn, &found.version).await
    }

    async fn bury_again(
        &self,
        lease: &NameLease,
        removed: &document::Removed,
        found: &Found,
    ) -> Result<(), VaultError> {
        let ring = self.version_2().await?;
        let turn = Turn::after(found.document.mark.revision, &found.document.mark.writes)?;
        let (bytes, mark) = document::bury(lease.name(), removed, &turn, &ring);
        self.put_over(lease, &bytes, &turn, &found.version).await?;
        self.memory().see(&ring.id, lease.name(), mark);
        Ok(())
    }

    async fn put_over(
        &self,
        lease: &NameLease,
        bytes: &[u8],
        turn: &Turn,
        version: &Version,
    ) -> Result<(), VaultError> {
        put_document(
            self.vault,
            lease.name(),
            bytes,
            &Expected::Version(version.clone()),
            turn,
        )
        .await
        .map(drop)
        .map_err(|error| VaultError::of_credential(error, lease.name()))
    }
}
