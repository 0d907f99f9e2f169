//! Moving a vault from version 1, whose list nobody ever vouched for, to version 2.

use std::collections::BTreeMap;

use super::change::{PATIENCE, Resealed, Watch};
use super::codes::digest;
use super::edit::NameLease;
use super::identity::{self, Keyholder, PassphrasePurpose};
use super::keyring::{self, NewKeyring};
use super::list::{Member, Written};
use super::store::Expected;
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

    /// Moves the vault to version 2, whole. `confirmed` are the recipients that a member was shown and confirmed.
    ///
    /// # Errors
    /// When the list is another by now, a credential does not open or is being worked on, or the store refuses. Run again, it goes on.
    pub async fn move_to_version_2(
        &self,
        confirmed: &[Member],
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
        // From here on a dfns-keys that knows only version 1 begins nothing.
        settings::write(store, self.vault.clock.now()).await?;
        files::create_private_directory(&self.vault.directory.join(keyring::KEYS))?;
        let mut hashes = BTreeMap::new();
        for (name, _) in store.list(document::FOLDER).await? {
            let Some(name) = document::credential_name(&name) else {
                continue;
            };
            // Whoever works on it ends before it is looked at; whoever comes later sees that the list is leased.
            let _lease =
                NameLease::take(self.vault, &name, "moving to version 2", self.vault.wait.max(PATIENCE)).await?;
            if self.find(&name).await?.is_some() {
                let (bytes, _) = store
                    .get(&document::document_name(&name))
                    .await
                    .map_err(|error| VaultError::of_credential(error, &name))?;
                hashes.insert(name.to_string(), digest(&bytes));
            }
        }
        let ring = NewKeyring::first(confirmed.to_vec(), hashes)?;
        let id = ring.id.clone();
        let mut memory = super::machine::Memory::load(&self.vault.machine, &store.place(), &id)?;
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
        self.seal_all(watch).await
    }
}
