//! Putting right what a kill or a stranger left: a list that was tampered with is put back as members left it, and what is sealed to
//! an older list is sealed again.

use std::path::PathBuf;

use super::codes::{Secret, VaultId};
use super::identity::{self, Keyholder, PassphrasePurpose};
use super::keyring::{self, Keyring};
use super::list::{self, Member, Written};
use super::machine;
use super::memory::Memory;
use super::reseal::{Resealed, Watch};
use super::store::{Expected, StoreError};
use super::vouched::Voucher;
use super::{AgeIdentity, Unlocked, Vault, VaultError, document};

/// How many key objects are tried at the most; each may cost a touch of somebody's hardware.
const MOST_OBJECTS: usize = 32;

/// A list that can be put back.
pub struct Repair {
    identities: Vec<AgeIdentity>,
    id: Option<VaultId>,
    by_own_identity: bool,
    ring: Keyring,
    expected: Expected,
    /// This machine has seen that very list; otherwise somebody has to look at it.
    pub is_known: bool,
    /// The list that is there is an older one of members', who may have meant to go back.
    pub undoes_a_rollback: bool,
    /// What is wrong with the list that is there, in words.
    pub change: String,
}

impl Repair {
    /// Those who can open the vault once the list is put back.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.ring.list.members
    }
}

/// The vault is open, or its list has to be put back first.
pub enum Synced<'v> {
    /// The list is as members wrote it.
    Sound(Unlocked<'v>),
    /// It is not, and this is what members wrote.
    Broken(Box<Repair>),
}

impl Vault {
    /// Unlocks the vault, or finds out what its list has to be.
    ///
    /// # Errors
    /// As [`Vault::unlock`], where the list is not what is wrong, or nothing tells what it has to be.
    pub async fn examine(&self, files: &[PathBuf], keyholder: &dyn Keyholder) -> Result<Synced<'_>, VaultError> {
        let by_own_identity = files.is_empty();
        let load = async || {
            if by_own_identity {
                identity::open_own(&*self.store, keyholder).await
            } else {
                Ok((identity::open_files(files, keyholder)?, None))
            }
        };
        // What is put back goes over what was refused, and over nothing that members wrote since.
        let (expected, listed) = self.expected_list().await?;
        let (identities, id) = load().await?;
        let refusal = match self.unlock_with(identities, id.clone(), by_own_identity).await {
            Ok(unlocked) => return Ok(Synced::Sound(unlocked)),
            Err(
                error @ (VaultError::ListChanged(_)
                | VaultError::ListMissing(_)
                | VaultError::Damaged { .. }
                | VaultError::RolledBack(_)
                | VaultError::NotAMember),
            ) => error,
            Err(error) => return Err(error),
        };
        let (identities, _) = load().await?;
        let change = match &refusal {
            VaultError::ListChanged(change) => change.to_string(),
            VaultError::ListMissing(_) => "it is gone".to_owned(),
            error => error.to_string(),
        };
        match self.find_genuine(&identities, id.clone()).await? {
            // Perhaps members made it when they took this one out; it is not for this one to go back to theirs.
            Some((ring, _)) if matches!(refusal, VaultError::NotAMember) && listed > ring.epoch() => {
                Err(VaultError::NotOnTheList {
                    found: listed,
                    known: ring.epoch(),
                })
            }
            Some((ring, is_known)) => Ok(Synced::Broken(Box::new(Repair {
                identities,
                id,
                by_own_identity,
                ring,
                expected,
                is_known,
                undoes_a_rollback: matches!(refusal, VaultError::RolledBack(_)),
                change,
            }))),
            None => Err(refusal),
        }
    }

    /// The list as it stands, to be replaced, and the epoch that it says it has.
    async fn expected_list(&self) -> Result<(Expected, u64), VaultError> {
        match self.store.get(list::FILE).await {
            Ok((bytes, version)) => {
                let epoch = match list::parse(&bytes) {
                    Ok(Written::Two(signed)) => signed.list.epoch,
                    Ok(Written::One(_)) | Err(_) => 0,
                };
                Ok((Expected::Version(version), epoch))
            }
            Err(StoreError::NotFound) => Ok((Expected::Absent, 0)),
            Err(error) => Err(error.into()),
        }
    }

    /// The ring that members used last: the newest that a document is sealed with, or else the one that this machine has seen. Only
    /// rings of the vault that is vouched for are looked at, and only those that came after what this machine has seen.
    async fn find_genuine(
        &self,
        identities: &[AgeIdentity],
        id: Option<VaultId>,
    ) -> Result<Option<(Keyring, bool)>, VaultError> {
        let place = self.store.place();
        let pin = machine::pin(&self.machine, &place)?;
        let voucher = Voucher::find(id, &self.machine, pin.as_ref())?;
        let Some(id) = voucher.id() else { return Ok(None) };
        let mut memory = Memory::load(&self.machine, &place, id)?;
        let least = self
            .machine
            .expected
            .as_ref()
            .and_then(|(_, least)| *least)
            .unwrap_or(0);
        let mut rings = Vec::new();
        let mut objects = self.store.list(keyring::KEYS).await?;
        // The one that this machine knows first: anybody could add others.
        let is_known = |name: &str| pin.as_ref().is_some_and(|pin| pin.keys == name);
        objects.sort_by_key(|(name, _)| std::cmp::Reverse((is_known(name), epoch_of(name))));
        for (name, _) in objects.into_iter().take(MOST_OBJECTS) {
            if let Ok((bytes, _)) = self.store.get(&name).await
                && let Ok(ring) = keyring::open_object(&name, &bytes, identities)
                && ring.id == *id
                && ring.epoch() >= least
                && memory
                    .check_epoch(ring.epoch(), &name, |epoch| ring.secret(epoch).map(Secret::proof))
                    .is_ok()
            {
                rings.push(ring);
            }
        }
        rings.sort_by_key(|ring| std::cmp::Reverse(ring.epoch()));
        let is_pinned = |ring: &Keyring| is_known(&ring.list.keys);
        let mut used = None;
        for ring in &rings {
            if self.verifies_a_document(ring, identities).await? {
                used = Some(ring.clone());
                break;
            }
        }
        let only = (rings.len() == 1).then(|| rings[0].clone());
        Ok(used
            .or_else(|| rings.iter().find(|ring| is_pinned(ring)).cloned())
            .or(only)
            .map(|ring| {
                let known = is_pinned(&ring);
                (ring, known)
            }))
    }

    /// Whether a document is sealed in the ring's own epoch, and under its secret.
    async fn verifies_a_document(&self, ring: &Keyring, identities: &[AgeIdentity]) -> Result<bool, VaultError> {
        for (document, _) in self.store.list(document::FOLDER).await? {
            let Some(name) = document::credential_name(&document) else {
                continue;
            };
            let Ok((bytes, _)) = self.store.get(&document).await else {
                continue;
            };
            if document::glimpse(&name, &bytes).is_ok_and(|glimpse| glimpse.epoch == ring.epoch())
                && document::open(&name, &bytes, identities, ring, 0).is_ok_and(|opened| opened.authenticated)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Puts the list back as members left it.
    ///
    /// # Errors
    /// When it was changed once more in the meantime, or the store refuses.
    pub async fn repair(&self, repair: Repair) -> Result<Unlocked<'_>, VaultError> {
        let Repair {
            identities,
            id,
            by_own_identity,
            ring,
            expected,
            is_known: _,
            undoes_a_rollback: _,
            change: _,
        } = repair;
        let lease = self.store.lease(list::FILE, "recipients sync", self.wait).await?;
        ring.into_new().put_list(&*self.store, &expected).await?;
        drop(lease);
        self.unlock_with(identities, id, by_own_identity).await
    }
}

fn epoch_of(name: &str) -> u64 {
    name.strip_prefix(keyring::KEYS)
        .and_then(|rest| rest.strip_prefix('/'))
        .and_then(|rest| rest.split('-').next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

impl Unlocked<'_> {
    /// Writes the vault's id into `identity.age`, where a move from version 1 was cut short before that. Without it the passphrase
    /// opens the vault on no machine but those that have seen it.
    ///
    /// # Errors
    /// When the passphrase is not to be had, somebody else changed the identity in the meantime, or the store refuses.
    pub async fn finish_identity(&self, keyholder: &dyn Keyholder) -> Result<(), VaultError> {
        let Some(id) = self.id() else { return Ok(()) };
        if !self.by_own_identity || self.vouched_by_identity() {
            return Ok(());
        }
        let _lease = self.lease_list("recipients sync", self.vault.wait).await?;
        let (mut own, version) = identity::read_own(&*self.vault.store, keyholder).await?;
        if own.id.is_none() {
            own.id = Some(id);
            let passphrase = keyholder.passphrase(&PassphrasePurpose::Vault)?;
            self.put_identity(&own, &passphrase, &Expected::Version(version))
                .await?;
        }
        Ok(())
    }

    /// Finishes what a change of recipients left undone.
    ///
    /// # Errors
    /// As [`Unlocked::seal_all`].
    pub async fn sync(&self, watch: Watch<'_>) -> Result<Resealed, VaultError> {
        let _lease = self.lease_list("recipients sync", self.vault.wait).await?;
        self.seal_all(watch).await
    }
}
