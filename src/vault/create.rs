//! A new vault: key object, identity, list, in this order. The list is last, so that a vault without one does not exist, and a
//! run that was cut short is finished by the next one with the same passphrase.

use std::path::Path;
use std::time::Duration;

use super::identity::{self, Own};
use super::keyring::{self, Keyring, NewKeyring};
use super::list::{self, Member};
use super::machine::Machine;
use super::memory;
use super::recipients::{self, RecipientText};
use super::store::{Expected, StoreError};
use super::{AgeIdentity, IdentityError, Vault, VaultError, document, log, settings};
use crate::model::quoted;
use crate::model::secret::Passphrase;
use crate::sys::clock::Clock;
use crate::sys::files;

/// How long one `init` waits for another at the same place.
const WAIT: Duration = Duration::from_secs(30);

/// How a new vault is to be opened later on.
pub enum Opening<'a> {
    /// By the vault's own identity, sealed under this passphrase.
    Passphrase(&'a Passphrase),
    /// Not here: it can seal, and never open.
    SealOnly,
}

impl Vault {
    /// Creates a vault, or finishes one that an earlier run with the same passphrase began.
    ///
    /// # Errors
    /// When there is one already, the folder holds anything else, a recipient is invalid, or the disk refuses.
    pub async fn create(
        directory: &Path,
        opening: &Opening<'_>,
        others: &[Member],
        machine: Machine,
        clock: Box<dyn Clock>,
    ) -> Result<Self, VaultError> {
        recipients::check(&keyring::recipients_of(others))?;
        check_free(directory)?;
        files::create_private_directory(directory)?;
        let vault = Self::at(directory, machine, clock, Duration::ZERO);
        let _lease = vault.store.lease(list::FILE, "init", WAIT).await?;
        // Another one may have been faster.
        check_free(directory)?;
        for folder in [document::FOLDER, keyring::KEYS] {
            files::create_private_directory(&directory.join(folder))?;
        }
        let ring = match opening {
            // It would stay, and open another vault than this one.
            Opening::SealOnly if vault.has_identity().await? => {
                return Err(VaultError::Unfinished(directory.to_owned()));
            }
            Opening::SealOnly => {
                let ring = NewKeyring::first(others.to_vec(), std::collections::BTreeMap::new())?;
                ring.put_object(&*vault.store).await?;
                ring
            }
            Opening::Passphrase(passphrase) => vault.own_ring(passphrase, others).await?,
        };
        settings::write(&*vault.store, vault.clock.now()).await?;
        // Remembered before it is there: where another vault was, nobody is to take the new one for a forgery of it.
        vault.pin_new(&ring.clone().into_ring(), matches!(opening, Opening::SealOnly));
        ring.put_list(&*vault.store, &Expected::Absent).await?;
        Ok(vault)
    }

    /// The first ring, with an identity of the vault's own.
    async fn own_ring(&self, passphrase: &Passphrase, others: &[Member]) -> Result<NewKeyring, VaultError> {
        if let Ok((bytes, _)) = self.store.get(identity::FILE).await {
            return self.resume(&bytes, passphrase, others).await;
        }
        let mut own = Own::generate();
        let ring = NewKeyring::first(members(&own.recipient(), others), std::collections::BTreeMap::new())?;
        ring.put_object(&*self.store).await?;
        own.id = Some(ring.id.clone());
        match self
            .store
            .put(identity::FILE, own.seal(passphrase)?.as_bytes(), &Expected::Absent)
            .await
        {
            Ok(_) => Ok(ring),
            Err(StoreError::AlreadyExists) => Err(VaultError::Exists(self.directory.clone())),
            Err(error) => Err(error.into()),
        }
    }

    /// Goes on with what an earlier run made: the identity, and the key object that fits the id in it.
    async fn resume(&self, bytes: &[u8], passphrase: &Passphrase, others: &[Member]) -> Result<NewKeyring, VaultError> {
        let unfinished = || VaultError::Unfinished(self.directory.clone());
        let own = match identity::open_own_with(bytes, passphrase) {
            Ok(own) => own,
            Err(IdentityError::WrongPassphrase { .. }) => return Err(unfinished()),
            Err(error) => return Err(error.into()),
        };
        let id = own.id.clone().ok_or_else(unfinished)?;
        let wanted = members(&own.recipient(), others);
        let identities: Vec<AgeIdentity> = own.into_identities();
        for (name, _) in self.store.list(keyring::KEYS).await? {
            // One that cannot be read is not the one; anybody could have put it there.
            if let Ok((object, _)) = self.store.get(&name).await
                && let Ok(ring) = keyring::open_object(&name, &object, &identities)
                && ring.id == id
                && ring.epoch() == 1
            {
                if keyring::recipients_of(&ring.list.members) != keyring::recipients_of(&wanted) {
                    return Err(unfinished());
                }
                return Ok(ring.into_new());
            }
        }
        Err(unfinished())
    }

    fn pin_new(&self, ring: &Keyring, seal_only: bool) {
        let mut pin = ring.pin(&self.store.place());
        pin.recipients_digest = seal_only.then(|| list::list_digest(ring.list_text().as_bytes()));
        memory::pin_list(&self.machine, pin);
    }
}

fn members(own: &RecipientText, others: &[Member]) -> Vec<Member> {
    let own = Member {
        recipient: own.clone(),
        label: None,
        own: true,
    };
    std::iter::once(own).chain(others.iter().cloned()).collect()
}

/// Whether there is anything in the folder of credentials.
pub(super) fn has_credentials(directory: &Path) -> Result<bool, VaultError> {
    match files::list(&directory.join(document::FOLDER)) {
        Ok(names) => Ok(names.iter().any(|name| !name.starts_with('.'))),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A vault may be made where nothing is, or what an `init` that was cut short left.
fn check_free(directory: &Path) -> Result<(), VaultError> {
    if !files::exists(directory) {
        return Ok(());
    }
    if files::exists(&directory.join(list::FILE)) || log::is_there(directory) {
        return Err(VaultError::Exists(directory.to_owned()));
    }
    if has_credentials(directory)? {
        return Err(VaultError::ListMissing(directory.to_owned()));
    }
    let ours = [identity::FILE, settings::FILE, document::FOLDER, keyring::KEYS];
    match files::list(directory)?
        .into_iter()
        .find(|name| !ours.contains(&name.as_str()) && !name.starts_with(".dfns-keys-") && name != ".lock")
    {
        None => Ok(()),
        Some(found) => Err(VaultError::Occupied {
            directory: directory.to_owned(),
            found: quoted::shown(&found),
        }),
    }
}
