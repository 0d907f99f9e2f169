//! Getting hold of what opens a vault: its identities, and its secrets and list, checked.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use zeroize::Zeroizing;

use super::codes::VaultId;
use super::identity::{self, Keyholder, Own};
use super::keyring;
use super::list::Written;
use super::machine;
use super::memory::Memory;
use super::unlocked::{Ring, Unlocked};
use super::vouched::{self, Voucher};
use super::{AgeIdentity, ListChange, Vault, VaultError};

impl Vault {
    /// Gets hold of the identities that open the vault, those in `files` or else its own, and of its secrets and list, which
    /// must be those of the vault that is vouched for.
    ///
    /// # Errors
    /// When there is no identity, a file is none, the passphrase is wrong, the list is not as members wrote it, or it is not the right
    /// vault.
    pub async fn unlock(&self, files: &[PathBuf], keyholder: &dyn Keyholder) -> Result<Unlocked<'_>, VaultError> {
        let by_own_identity = files.is_empty();
        if by_own_identity
            && let Some(text) = keyholder.unlocked()
            && let Ok(own) = Own::parse(&text)
        {
            let id = own.id.clone();
            match self.unlock_with(own.into_identities(), id, true).await {
                // It was kept from an earlier time: since then somebody changed the passphrase, and with it the identity, moved the
                // vault to version 2, or put another vault there. What the place has now is asked for.
                Err(VaultError::NotAMember | VaultError::WrongVault(_) | VaultError::Unknown { .. }) => {}
                outcome => return outcome,
            }
        }
        let (identities, id) = if by_own_identity {
            identity::open_own(&*self.store, keyholder).await?
        } else {
            (identity::open_files(files, keyholder)?, None)
        };
        self.unlock_with(identities, id, by_own_identity).await
    }

    /// Unlocks the vault by its passphrase, and returns what opens it without: the contents of `identity.age`, for
    /// [`Keyholder::unlocked`].
    ///
    /// # Errors
    /// As [`Vault::unlock`].
    pub async fn unlock_to_keep(
        &self,
        keyholder: &dyn Keyholder,
    ) -> Result<(Unlocked<'_>, Zeroizing<String>), VaultError> {
        let (own, _) = identity::read_own(&*self.store, keyholder).await?;
        let (text, id) = (own.to_text(), own.id.clone());
        let unlocked = self.unlock_with(own.into_identities(), id, true).await?;
        Ok((unlocked, text))
    }

    /// Unlocks with identities that are at hand. `id` is the vault's, where `identity.age` told it.
    pub(super) async fn unlock_with(
        &self,
        identities: Vec<AgeIdentity>,
        id: Option<VaultId>,
        by_own_identity: bool,
    ) -> Result<Unlocked<'_>, VaultError> {
        let place = self.store.place();
        // What is remembered is read before what is there: a writer beside us does it the other way round.
        let pin = machine::pin(&self.machine, &place)?;
        let voucher = Voucher::find(id, &self.machine, pin.as_ref())?;
        let mut memory = match voucher.id() {
            Some(id) => Memory::load(&self.machine, &place, id)?,
            None => Memory::none(),
        };
        let (written, _, version) = keyring::read_list(&*self.store).await?;
        let (ring, first_seen) = match written {
            // Where anything says which vault it is, it was moved, and a list of version 1 is none of its.
            Written::One(_) if voucher.id().is_some() => {
                return Err(VaultError::ListChanged(ListChange::Downgraded));
            }
            Written::One(members) => (Ring::One(members), false),
            Written::Two(signed) => {
                let ring = vouched::load(&*self.store, signed, version, &identities, &voucher).await?;
                if voucher == Voucher::None {
                    // An own identity that does not know its vault was not written by this version, or not by a member.
                    if by_own_identity {
                        return Err(VaultError::Unknown { place, id: ring.id });
                    }
                    memory = Memory::load(&self.machine, &place, &ring.id)?;
                }
                let first = vouched::check_and_remember(&ring, &mut memory, &self.machine, &place)?;
                let unvouched = matches!(voucher, Voucher::None);
                (Ring::Two(ring), first && unvouched)
            }
        };
        let unlocked = Unlocked {
            vault: self,
            identities,
            by_own_identity,
            voucher,
            ring: Mutex::new(Arc::new(ring)),
            memory: Mutex::new(memory),
            first_seen,
        };
        unlocked.vouch_for_log_of(self);
        unlocked.tell_what_was_accepted();
        Ok(unlocked)
    }
}
