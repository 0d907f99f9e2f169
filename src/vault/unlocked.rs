//! A vault that is open: its identities, and its secrets and list as they were checked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::codes::VaultId;
use super::document::{self, Moves, OpenedDocument};
use super::keyring::{self, Keyring};
use super::list::{Member, Written};
use super::machine;
use super::memory::Memory;
use super::store::{StoreError, Version};
use super::vouched::{self, Voucher};
use super::{AgeIdentity, ListChange, RolledBack, Vault, VaultError, log};
use crate::model::credential::AnyCredential;
use crate::model::ids::CredentialName;

/// What everything is sealed to.
#[derive(Clone)]
pub(super) enum Ring {
    /// A vault of version 1: nobody vouches for the list.
    One(Vec<Member>),
    Two(Keyring),
}

impl Ring {
    /// 0 in version 1.
    pub(super) fn epoch(&self) -> u64 {
        match self {
            Self::One(_) => 0,
            Self::Two(ring) => ring.epoch(),
        }
    }
}

/// A vault together with the identities that open it.
pub struct Unlocked<'v> {
    pub(super) vault: &'v Vault,
    pub(super) identities: Vec<AgeIdentity>,
    pub(super) by_own_identity: bool,
    pub(super) voucher: Voucher,
    pub(super) ring: Mutex<Arc<Ring>>,
    pub(super) memory: Mutex<Memory>,
    pub(super) first_seen: bool,
}

/// A credential's document, with what the store calls this state of it.
pub(super) struct Found {
    pub(super) document: OpenedDocument,
    pub(super) version: Version,
}

impl<'v> Unlocked<'v> {
    /// The vault itself.
    #[must_use]
    pub fn vault(&self) -> &'v Vault {
        self.vault
    }

    /// The vault's id; none in version 1.
    #[must_use]
    pub fn id(&self) -> Option<VaultId> {
        match &*self.ring() {
            Ring::One(_) => None,
            Ring::Two(ring) => Some(ring.id.clone()),
        }
    }

    /// Counts the lists of recipients, from 1; 0 in version 1.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.ring().epoch()
    }

    /// Whether this machine has met the vault for the first time, with nobody to vouch for it, and remembers it from now on.
    #[must_use]
    pub fn first_seen(&self) -> bool {
        self.first_seen
    }

    /// Tells the vault's witness what was accepted since it was told last.
    pub(super) fn tell_what_was_accepted(&self) {
        let accepted = self.memory().take_accepted();
        if let Some(witness) = &self.vault.witness {
            for what in accepted {
                witness.rollback_accepted(self.vault, &what);
            }
        }
    }

    /// Refuses what is older than what was seen, unless that is accepted.
    pub(super) fn refuse_or_accept(&self, rolled_back: RolledBack) -> Result<(), VaultError> {
        self.memory().refuse_or_accept(rolled_back)?;
        self.tell_what_was_accepted();
        Ok(())
    }

    /// Refuses a ring that is older than what this machine knows of, and remembers a newer one.
    pub(super) fn check_and_remember(&self, ring: &Keyring) -> Result<(), VaultError> {
        let place = self.vault.store.place();
        vouched::check_and_remember(ring, &mut self.memory(), &self.vault.machine, &place)?;
        self.tell_what_was_accepted();
        Ok(())
    }

    /// Those who can open the vault, as they were checked.
    ///
    /// # Errors
    /// When the list is not as members wrote it.
    pub async fn members(&self) -> Result<Vec<Member>, VaultError> {
        Ok(match &*self.refresh().await? {
            Ring::One(members) => members.clone(),
            Ring::Two(ring) => ring.list.members.clone(),
        })
    }

    /// The SHA-256 of the list, in hex, for a writer that only seals.
    ///
    /// # Errors
    /// When the list is not as members wrote it, or the vault is of version 1.
    pub async fn list_digest(&self) -> Result<String, VaultError> {
        match &*self.refresh().await? {
            Ring::One(_) => Err(VaultError::VersionOne),
            Ring::Two(ring) => Ok(super::list::list_digest(ring.list_text().as_bytes())),
        }
    }

    /// Whether `identity.age` said which vault it is.
    pub(super) fn vouched_by_identity(&self) -> bool {
        matches!(self.voucher, Voucher::Identity(_))
    }

    pub(super) fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The list as it is now, checked.
    pub(super) async fn refresh(&self) -> Result<Arc<Ring>, VaultError> {
        let held = self.ring();
        let (bytes, version) = keyring::get_list(&*self.vault.store).await?;
        if let Ring::Two(ring) = &*held
            && ring.list_text().as_bytes() == &**bytes
        {
            if ring.version == version {
                return Ok(held);
            }
            // Put back to the byte.
            let mut ring = ring.clone();
            ring.version = version;
            return Ok(self.hold(Ring::Two(ring)));
        }
        let ring = match (&*held, keyring::parse_list(&bytes)?) {
            (Ring::One(_), Written::One(members)) => Ring::One(members),
            (Ring::Two(_), Written::One(_)) => return Err(VaultError::ListChanged(ListChange::Downgraded)),
            (_, Written::Two(signed)) => {
                // Whoever opened it once knows which vault it is.
                let voucher = match &*held {
                    Ring::Two(ring) => Voucher::Pin(ring.id.clone()),
                    Ring::One(_) => self.voucher.clone(),
                };
                let ring = vouched::load(&*self.vault.store, signed, version, &self.identities, &voucher).await?;
                let place = self.vault.store.place();
                if voucher == Voucher::None && self.by_own_identity {
                    return Err(VaultError::Unknown { place, id: ring.id });
                }
                if matches!(*held, Ring::One(_)) {
                    *self.memory() = Memory::load(&self.vault.machine, &place, &ring.id)?;
                }
                self.check_and_remember(&ring)?;
                Ring::Two(ring)
            }
        };
        Ok(self.hold(ring))
    }

    pub(super) fn hold(&self, ring: Ring) -> Arc<Ring> {
        let ring = Arc::new(ring);
        *self.ring.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&ring);
        self.vouch_for_log_of(self.vault);
        ring
    }

    /// Has what a handle on this same vault writes to the log vouched for by this member. In version 1 nobody can.
    pub fn vouch_for_log_of(&self, vault: &Vault) {
        if let Ring::Two(ring) = &*self.ring() {
            vault.vouch_with(log::Voucher {
                id: ring.id.clone(),
                epoch: ring.epoch(),
                secret: ring.newest().clone(),
            });
        }
    }

    /// Looks through the whole log: whether it is as it was written, and up to which line members vouch for it. What was good
    /// is remembered on this machine, so that it cannot be cut off later.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn check_log(&self) -> Result<log::Checked, VaultError> {
        let ring = self.ring();
        let keyring = match &*ring {
            Ring::One(_) => None,
            Ring::Two(keyring) => Some(keyring),
        };
        let known = machine::known_of_log(&self.vault.machine, &self.vault.store.place());
        let checked = log::check(
            &self.vault.directory,
            keyring.map(|ring| &ring.id),
            |epoch| keyring?.secret(epoch),
            known.as_ref().map(|known| (known.hash.as_str(), known.at)),
        )?;
        if let (0, Some((_, at, hash))) = (checked.fault_count, &checked.confirmed) {
            let known = machine::KnownOfLog {
                hash: hash.clone(),
                at: *at,
            };
            machine::remember_log(&self.vault.machine, &self.vault.store.place(), &known);
        }
        Ok(checked)
    }

    /// Opens a credential: a member wrote it, it is no older than what was seen, and its public part agrees with the sealed one.
    ///
    /// # Errors
    /// When there is none, no identity opens it, nobody vouches for it, it is older than what was seen, or it was tampered with.
    pub async fn get(&self, name: &CredentialName) -> Result<AnyCredential, VaultError> {
        let Found { document, .. } = self
            .find(name)
            .await?
            .ok_or_else(|| VaultError::NoSuchCredential(name.clone()))?;
        if let Some(Moves::To { name: to, id }) = &document.moves
            && self.has_arrived(to, id).await
        {
            return Err(VaultError::Renamed {
                from: name.clone(),
                to: to.clone(),
            });
        }
        let moved_to = document
            .removed
            .filter(|_| document.authenticated)
            .and_then(|removed| removed.moved_to);
        match (document.credential, moved_to) {
            (Some(credential), _) if document.authenticated => Ok(credential),
            (Some(_), _) => Err(VaultError::Unauthenticated(name.clone())),
            (None, Some(to)) => Err(VaultError::Renamed { from: name.clone(), to }),
            (None, None) => Err(VaultError::NoSuchCredential(name.clone())),
        }
    }

    /// Whether the second half of a move is there, by a member's hand: its id stands in the first half for everybody to read.
    pub(super) async fn has_arrived(&self, name: &CredentialName, move_id: &str) -> bool {
        let Ok(Some(Found { document, .. })) = self.find(name).await else {
            return false;
        };
        document.authenticated && matches!(document.moves, Some(Moves::From { id, .. }) if id == move_id)
    }

    /// Reads a document and checks it, authenticated or not.
    pub(super) async fn find(&self, name: &CredentialName) -> Result<Option<Found>, VaultError> {
        let (bytes, version) = match self.vault.store.get(&document::document_name(name)).await {
            Ok(found) => found,
            Err(StoreError::NotFound) => return Ok(None),
            Err(error) => return Err(VaultError::of_credential(error, name)),
        };
        let mut ring = self.ring();
        let complete = self.memory().complete();
        loop {
            let opened = match &*ring {
                Ring::One(members) => self.open_version_1(name, &bytes, members.iter()),
                Ring::Two(keyring) => document::open(name, &bytes, &self.identities, keyring, complete),
            };
            match opened {
                Ok(document) => {
                    if let Ring::Two(keyring) = &*ring {
                        self.check_mark(keyring, name, &document)?;
                    }
                    return Ok(Some(Found { document, version }));
                }
                // The list may have been replaced since it was read.
                Err(error @ (VaultError::UnknownEpoch { .. } | VaultError::Tampered { .. })) => {
                    let newer = self.refresh().await?;
                    if newer.epoch() == ring.epoch() {
                        return Err(error);
                    }
                    ring = newer;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn check_mark(&self, ring: &Keyring, name: &CredentialName, document: &OpenedDocument) -> Result<(), VaultError> {
        if document.authenticated {
            let mut memory = self.memory();
            memory.check(&ring.id, name, &document.mark)?;
            if document.mark.epoch > 0 {
                memory.see(&ring.id, name, document.mark.clone());
            }
        }
        self.tell_what_was_accepted();
        Ok(())
    }

    /// Takes a credential's file away.
    pub(super) async fn delete(&self, name: &CredentialName, version: &Version) -> Result<(), VaultError> {
        let store = &*self.vault.store;
        store
            .delete(&document::document_name(name), version)
            .await
            .map_err(|error| VaultError::of_credential(error, name))
    }

    /// Opens a document of version 1, which must have been sealed to all of these members.
    pub(super) fn open_version_1<'m>(
        &self,
        name: &CredentialName,
        bytes: &[u8],
        mut members: impl Iterator<Item = &'m Member>,
    ) -> Result<OpenedDocument, VaultError> {
        let mut document = document::open_version_1(name, bytes, &self.identities)?;
        // Whoever can write to the vault could add a recipient and wait for the next sealing.
        let sealed_to = document.sealed_to.take().unwrap_or_default();
        match members.find(|member| !sealed_to.contains(&member.recipient)) {
            None => {
                document.authenticated = true;
                Ok(document)
            }
            Some(member) => Err(VaultError::UnexpectedRecipient {
                name: name.clone(),
                recipient: member.recipient.clone(),
            }),
        }
    }
}
