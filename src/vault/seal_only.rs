//! A writer that can seal and never open (CI). It cannot check who wrote the list, so it seals to the one it was told of; and nobody
//! vouches for what it makes until a member adopts it.

use super::document::{self, Contents, Turn};
use super::edit::{Edit, NameLease, put_document};
use super::list::{self, Member, Written};
use super::machine;
use super::store::{Expected, StoreError};
use super::unlocked::Found;
use super::{ListChange, RolledBack, Vault, VaultError, keyring};
use crate::model::credential::AnyCredential;
use crate::model::ids::CredentialName;
use crate::model::record::PublicRecord;

/// The list that a writer which only seals was told of.
pub struct SealOnly<'v> {
    vault: &'v Vault,
    members: Vec<Member>,
    /// 0 in version 1.
    epoch: u64,
    digest: String,
}

impl Vault {
    /// The list to seal to without an identity: that whose digest this machine was told.
    ///
    /// # Errors
    /// When it was told none, or the list is another one.
    pub async fn seal_only(&self) -> Result<SealOnly<'_>, VaultError> {
        let (written, bytes, _) = keyring::read_list(&*self.store).await?;
        let found = list::list_digest(&bytes);
        let place = self.store.place();
        let pin = machine::pin(&self.machine, &place)?;
        let is_known = pin.is_some() || self.machine.expected.is_some();
        let pinned = pin.and_then(|pin| pin.recipients_digest);
        let expected = self.machine.recipients_digest.clone().or(pinned);
        let (members, epoch) = match written {
            // Where anything says which vault it is, it was moved, and a list of version 1 is none of its.
            Written::One(_) if is_known => return Err(VaultError::ListChanged(ListChange::Downgraded)),
            // Nobody ever vouched for a list of version 1; a digest is compared where there is one.
            Written::One(members) => (members, 0),
            Written::Two(_) if expected.is_none() => return Err(VaultError::ListNotPinned { place, found }),
            Written::Two(signed) => (signed.list.members, signed.list.epoch),
        };
        match expected {
            Some(expected) if expected != found => Err(VaultError::OtherList { expected, found }),
            _ => Ok(SealOnly {
                vault: self,
                members,
                epoch,
                digest: found,
            }),
        }
    }
}

impl SealOnly<'_> {
    /// The vault.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        self.vault
    }

    /// Seals a new credential.
    ///
    /// # Errors
    /// When there is or was one of that name, the list was replaced meanwhile, or the store refuses.
    pub async fn create<'c>(&self, lease: &NameLease, contents: impl Into<Contents<'c>>) -> Result<(), VaultError> {
        let contents = contents.into();
        assert_eq!(contents.name(), lease.name(), "a lease is for one name");
        let recipients = keyring::recipients_of(&self.members);
        let turn = Turn::after(0, &[])?;
        let bytes = if self.epoch == 0 {
            document::seal_version_1(&contents, &recipients)?
        } else {
            document::seal_unauthenticated(&contents, &turn, self.epoch, &recipients)?
        };
        self.check_list().await?;
        // Remembered before it is there: whoever is killed in between knows it again.
        machine::remember_sealed(&self.vault.machine, &self.vault.store.place(), lease.name(), &bytes);
        put_document(self.vault, lease.name(), &bytes, &Expected::Absent, &turn)
            .await
            .map_err(|error| VaultError::of_credential(error, lease.name()))?;
        self.check_list().await
    }

    async fn check_list(&self) -> Result<(), VaultError> {
        let (_, bytes, _) = keyring::read_list(&*self.vault.store).await?;
        let found = list::list_digest(&bytes);
        if found == self.digest {
            return Ok(());
        }
        Err(VaultError::OtherList {
            expected: self.digest.clone(),
            found,
        })
    }

    /// The public record of a credential that this machine sealed, if its file is still that to the byte; none where the name is
    /// free.
    ///
    /// # Errors
    /// When somebody else wrote it.
    pub async fn own_record(&self, name: &CredentialName) -> Result<Option<PublicRecord>, VaultError> {
        let (bytes, _) = match self.vault.store.get(&document::document_name(name)).await {
            Ok(found) => found,
            Err(StoreError::NotFound) => return Ok(None),
            Err(error) => return Err(VaultError::of_credential(error, name)),
        };
        let record = document::glimpse(name, &bytes)?
            .record
            .ok_or_else(|| VaultError::SealsOnly(name.clone()))?;
        if self.epoch > 0 && !machine::has_sealed(&self.vault.machine, &self.vault.store.place(), name, &bytes) {
            return Err(VaultError::Unauthenticated(name.clone()));
        }
        Ok(Some(record))
    }
}

impl super::Unlocked<'_> {
    /// Looks at a credential that nobody vouches for, to be shown before it is adopted.
    ///
    /// # Errors
    /// When there is none, a member vouches for it, or there was one of that name that a member vouched for.
    pub async fn unauthenticated(&self, name: &CredentialName) -> Result<AnyCredential, VaultError> {
        self.find_unauthenticated(name).await.map(|(_, credential)| credential)
    }

    async fn find_unauthenticated(&self, name: &CredentialName) -> Result<(Found, AnyCredential), VaultError> {
        let mut found = self
            .find(name)
            .await?
            .ok_or_else(|| VaultError::NoSuchCredential(name.clone()))?;
        match found.document.credential.take() {
            None => Err(VaultError::NoSuchCredential(name.clone())),
            Some(_) if found.document.authenticated => Err(VaultError::Authenticated(name.clone())),
            Some(credential) => {
                if self.memory().mark(name).is_some() {
                    self.refuse_or_accept(RolledBack {
                        what: format!("the file of {name}"),
                        reason: "this machine has seen one that a member vouched for in its place".to_owned(),
                    })?;
                }
                Ok((found, credential))
            }
        }
    }

    /// Makes a credential that nobody vouches for one of the vault's. `matches` tells whether the key that is sealed in it is the one
    /// that the writer printed.
    ///
    /// # Errors
    /// As [`Self::unauthenticated`]; when the key is another one.
    pub async fn adopt(
        &self,
        lease: NameLease,
        matches: impl Fn(&AnyCredential) -> bool,
    ) -> Result<PublicRecord, VaultError> {
        let name = lease.name().clone();
        let (found, credential) = self.find_unauthenticated(&name).await?;
        if !matches(&credential) {
            return Err(VaultError::OtherFingerprint(name));
        }
        self.overwrite(lease, &found, &credential).await?;
        Ok(PublicRecord::from(&credential))
    }
}

/// A name that is free, to be taken by a member or by a writer that only seals.
pub enum FreeName<'a> {
    /// By a member.
    Member(Edit<'a>),
    /// By a writer that only seals.
    SealOnly(&'a SealOnly<'a>, NameLease),
}

impl FreeName<'_> {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &CredentialName {
        match self {
            Self::Member(edit) => edit.name(),
            Self::SealOnly(_, lease) => lease.name(),
        }
    }

    /// The vault.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        match self {
            Self::Member(edit) => edit.vault(),
            Self::SealOnly(writer, _) => writer.vault(),
        }
    }

    /// Seals a credential under the name.
    ///
    /// # Errors
    /// When the name is taken, or the store refuses.
    pub async fn put<'c>(&mut self, contents: impl Into<Contents<'c>>) -> Result<(), VaultError> {
        match self {
            Self::Member(edit) if edit.is_there() => Err(VaultError::CredentialExists(edit.name().clone())),
            Self::Member(edit) => edit.put(contents).await,
            Self::SealOnly(writer, lease) => writer.create(lease, contents).await,
        }
    }
}
