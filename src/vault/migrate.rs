//! Moving a vault from version 1, whose list nobody ever vouched for, to version 2.

use std::collections::BTreeMap;

use super::codes::digest;
use super::edit::NameLease;
use super::identity::{self, Keyholder, PassphrasePurpose};
use super::keyring::{self, NewKeyring};
use super::list::{Member, Written};
use super::reseal::{PATIENCE, Resealed, Watch};
use super::store::{Expected, StoreError};
use super::unlocked::{Ring, Unlocked};
use super::{VaultError, document, settings};
use crate::sys::files;

impl Unlocked<'_> {
    /// Those to whom a vault of version 1 is sealed, whom nobody ever vouched for; none in version 2.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub async fn unconfirmed_members(&self) -> Result<Option<Vec<Member>>, VaultError> {
        Ok(match &*self.refresh().await? {
            Ring::One(members) => Some(members.clone()),
            Ring::Two(_) => None,
        })
    }

    /// Moves the vault to version 2, whole. `confirmed` are the recipients that a member was shown and confirmed, `added` one among
    /// them that they named: adding it may have been cut short, so that credentials are not sealed to it yet.
    ///
    /// # Errors
    /// When the list is another by now, a credential does not open, was never sealed to another recipient than `added`, or is being
    /// worked on, or the store refuses. Run again, it goes on.
    pub async fn move_to_version_2(
        &self,
        confirmed: &[Member],
        added: Option<&Member>,
        keyholder: &dyn Keyholder,
        watch: Watch<'_>,
    ) -> Result<Resealed, VaultError> {
        let store = &*self.vault.store;
        let lease = self
            .lease_list("moving the vault to version 2", self.vault.wait)
            .await?;
        let (written, _, version) = keyring::read_list(store).await?;
        match written {
            Written::One(members) if members == confirmed => {}
            Written::One(_) => return Err(VaultError::ListMoved),
            Written::Two(_) => return Err(VaultError::VersionTwo),
        }
        // What cannot be moved stays as it is, for a dfns-keys that knows only version 1 too.
        let seen = self.version_1_files(confirmed, added, &BTreeMap::new()).await?;
        // From here on such a one begins nothing. One that had begun may have written since.
        settings::write(store, self.vault.clock.now()).await?;
        files::create_private_directory(&self.vault.directory.join(keyring::KEYS))?;
        let hashes = self.version_1_files(confirmed, added, &seen).await?;
        let labelled = |member: &Member| match added {
            Some(added) if added.recipient == member.recipient => Member {
                label: added.label.clone(),
                ..member.clone()
            },
            _ => member.clone(),
        };
        let ring = NewKeyring::first(confirmed.iter().map(labelled).collect(), hashes)?;
        let id = ring.id.clone();
        let mut memory = super::memory::Memory::load(&self.vault.machine, &store.place(), &id)?;
        std::mem::swap(&mut *self.memory(), &mut memory);
        self.put_ring(ring, &Expected::Version(version)).await?;
        if self.by_own_identity {
            let (mut own, version) = identity::read_own(store, keyholder).await?;
            own.id = Some(id);
            let passphrase = keyholder.passphrase(&PassphrasePurpose::Vault)?;
            self.put_identity(&own, &passphrase, &Expected::Version(version))
                .await?;
        }
        drop(lease);
        Ok(Resealed {
            changed: true,
            ..self.seal_all(watch).await?
        })
    }

    /// The SHA-256 of each credential's file, all of which open and are sealed to the members, but for the one that is `added`. What
    /// was `seen` already is not opened again.
    async fn version_1_files(
        &self,
        members: &[Member],
        added: Option<&Member>,
        seen: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, VaultError> {
        let store = &*self.vault.store;
        let mut hashes = BTreeMap::new();
        for (document, _) in store.list(document::FOLDER).await? {
            let Some(name) = document::credential_name(&document) else {
                continue;
            };
            // Whoever works on it ends before it is looked at; whoever comes later sees that the list is leased.
            let _lease =
                NameLease::take(self.vault, &name, "moving to version 2", self.vault.wait.max(PATIENCE)).await?;
            let bytes = match store.get(&document).await {
                Ok((bytes, _)) => bytes,
                Err(StoreError::NotFound) => continue,
                Err(error) => return Err(VaultError::of_credential(error, &name)),
            };
            let hash = digest(&bytes);
            if seen.get(name.as_str()) != Some(&hash) {
                let known = members
                    .iter()
                    .filter(|member| added.is_none_or(|added| added.recipient != member.recipient));
                self.open_version_1(&name, &bytes, known)?;
            }
            hashes.insert(name.to_string(), hash);
        }
        Ok(hashes)
    }
}
