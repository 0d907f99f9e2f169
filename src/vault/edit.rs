//! Writing a credential: the only way is an [`Edit`], which has the lease of the name and knows what it replaces.

use std::time::Duration;

use super::document::{self, Contents, Moves, Removed, Turn};
use super::store::{self, Expected, Lease, StoreError, Version};
use super::unlocked::{Found, Ring, Unlocked};
use super::{Vault, VaultError, list};
use crate::model::credential::AnyCredential;
use crate::model::ids::CredentialName;

/// How long to wait for others who only look whether the list is being changed.
const LOOK: Duration = Duration::from_secs(2);

/// The lease of a name: nobody else writes the credential while it is held.
pub struct NameLease {
    name: CredentialName,
    _lease: Lease,
}

impl NameLease {
    pub(super) async fn take(
        vault: &Vault,
        name: &CredentialName,
        purpose: &str,
        wait: Duration,
    ) -> Result<Self, VaultError> {
        let lease = vault
            .store
            .lease(&document::document_name(name), purpose, wait)
            .await
            .map_err(|error| VaultError::of_credential(error, name))?;
        Ok(Self {
            name: name.clone(),
            _lease: lease,
        })
    }

    /// The name that is leased.
    #[must_use]
    pub fn name(&self) -> &CredentialName {
        &self.name
    }
}

/// A credential that is being worked on. What was there is what the next [`Edit::put`] replaces.
pub struct Edit<'u> {
    unlocked: &'u Unlocked<'u>,
    lease: NameLease,
    expected: Expected,
    turn: Turn,
    moves: Option<Moves>,
    credential: Option<AnyCredential>,
    is_there: bool,
    /// It was there, and its file is gone without a trace.
    vanished: bool,
}

impl Unlocked<'_> {
    /// Begins to work on a credential, there or not.
    ///
    /// # Errors
    /// As [`Unlocked::get`], except that a name may be free.
    pub async fn edit(&self, lease: NameLease) -> Result<Edit<'_>, VaultError> {
        let ring = self.refresh().await?;
        if matches!(*ring, Ring::One(_)) {
            // Whoever moves the vault to version 2 has the list's lease, and then each name's once.
            drop(self.lease_list("looking", self.vault.wait.max(LOOK)).await?);
            self.refresh().await?;
        }
        let name = lease.name().clone();
        let mut edit = if let Some(Found { document, version }) = self.find(&name).await? {
            if document.credential.is_some() && !document.authenticated {
                return Err(VaultError::Unauthenticated(name));
            }
            let known = document.trusted_turn();
            let mark = self.memory().mark(&name).cloned();
            // A removal that nobody vouches for is none that a member made.
            let vanished = known.is_none() && mark.is_some();
            let turn = known.unwrap_or_else(|| Turn::of(mark));
            let mut edit = self.over(lease, Expected::Version(version), turn);
            edit.moves = document.moves;
            edit.is_there = document.credential.is_some();
            edit.credential = document.credential;
            edit.vanished = vanished;
            edit
        } else {
            let mark = self.memory().mark(&name).cloned();
            let vanished = mark.is_some();
            let mut edit = self.over(lease, Expected::Absent, Turn::of(mark));
            edit.vanished = vanished;
            edit
        };
        edit.settle_move().await?;
        match edit.settle_arrival(Duration::ZERO).await {
            // Whoever has the other name may be about to do it.
            Ok(()) | Err(VaultError::Locked { .. }) => Ok(edit),
            Err(error) => Err(error),
        }
    }

    /// An edit that replaces what is expected, as the turn after this one.
    fn over(&self, lease: NameLease, expected: Expected, turn: Turn) -> Edit<'_> {
        Edit {
            unlocked: self,
            lease,
            expected,
            turn,
            moves: None,
            credential: None,
            is_there: false,
            vanished: false,
        }
    }

    /// Seals a credential in place of the document that was found under its name, whoever wrote that.
    pub(super) async fn overwrite(
        &self,
        lease: NameLease,
        found: &Found,
        credential: &AnyCredential,
    ) -> Result<(), VaultError> {
        let mut turn = found.document.trusted_turn().unwrap_or_else(|| Turn::of(None));
        if let Some(mark) = self.memory().mark(lease.name())
            && mark.revision > turn.revision
        {
            turn = Turn::of(Some(mark.clone()));
        }
        let mut edit = self.over(lease, Expected::Version(found.version.clone()), turn);
        edit.moves = found.document.trusted_moves();
        edit.put(credential).await
    }

    /// Removes whatever stands under a name, readable or not.
    ///
    /// # Errors
    /// When there is nothing, or the store refuses.
    pub async fn discard(&self, lease: NameLease) -> Result<(), VaultError> {
        let name = lease.name().clone();
        let (_, version) = self
            .vault
            .store
            .get(&document::document_name(&name))
            .await
            .map_err(|error| VaultError::of_credential(error, &name))?;
        // What nobody vouches for says nothing that counts, of other names neither.
        let (known, moves) = match self.find(&name).await {
            Ok(Some(Found { document, .. })) => (document.trusted_turn(), document.trusted_moves()),
            _ => (None, None),
        };
        let turn = known.unwrap_or_else(|| Turn::of(self.memory().mark(&name).cloned()));
        let mut edit = self.over(lease, Expected::Version(version), turn);
        edit.moves = moves;
        edit.settle_arrival(self.vault.wait).await?;
        edit.bury(None).await
    }

    /// Gives a credential another name. It has one or the other at every instant.
    ///
    /// # Errors
    /// When there is none of the old name, or one of the new name.
    pub async fn rename(&self, from: NameLease, to: NameLease) -> Result<(), VaultError> {
        if matches!(*self.refresh().await?, Ring::One(_)) {
            return Err(VaultError::VersionOne);
        }
        let (old_name, new_name) = (from.name().clone(), to.name().clone());
        let mut old = self.edit(from).await?;
        let mut new = self.edit(to).await?;
        if new.is_there() {
            return Err(VaultError::CredentialExists(new_name));
        }
        let Some(mut credential) = old.take() else {
            return Err(VaultError::NoSuchCredential(old_name));
        };
        // One that came from the name it goes to has been settled there.
        if !matches!(&old.moves, Some(Moves::From { name, .. }) if *name == new_name) {
            old.settle_arrival(self.vault.wait).await?;
        }
        let id = Turn::after(0, &[])?.writes.remove(0);
        old.moves = Some(Moves::To {
            name: new_name.clone(),
            id: id.clone(),
        });
        old.put(&credential).await?;
        credential.rename(new_name.clone());
        new.moves = Some(Moves::From { name: old_name, id });
        new.put(&credential).await?;
        old.bury(Some(new_name)).await
    }
}

impl<'u> Edit<'u> {
    /// The credential's name.
    #[must_use]
    pub fn name(&self) -> &CredentialName {
        self.lease.name()
    }

    /// The vault.
    #[must_use]
    pub fn vault(&self) -> &'u Vault {
        self.unlocked.vault
    }

    /// The vault's identities, to open other credentials with.
    #[must_use]
    pub fn unlocked(&self) -> &'u Unlocked<'u> {
        self.unlocked
    }

    /// The credential as it was found, until it is taken.
    #[must_use]
    pub fn credential(&self) -> Option<&AnyCredential> {
        self.credential.as_ref()
    }

    /// Takes the credential as it was found out, to be changed and put.
    pub fn take(&mut self) -> Option<AnyCredential> {
        self.credential.take()
    }

    /// Whether there is a credential of this name.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.is_there
    }

    /// Whether this machine has seen a credential of this name whose file is gone without having been removed by a member.
    #[must_use]
    pub fn has_vanished(&self) -> bool {
        self.vanished
    }

    /// Seals a credential in place of what was there. When it returns, it is durable, and sealed to the newest list.
    ///
    /// # Errors
    /// When another process wrote it in spite of the lease, the list is not as members wrote it, or the store refuses.
    pub async fn put<'c>(&mut self, contents: impl Into<Contents<'c>>) -> Result<(), VaultError> {
        let contents = contents.into();
        assert_eq!(contents.name(), self.lease.name(), "a lease is for one name");
        loop {
            let ring = self.unlocked.refresh().await?;
            self.put_under(&contents, &ring).await?;
            self.is_there = true;
            // The list may have been replaced after it was read, and who replaced it may have looked before this was there.
            if self.unlocked.refresh().await?.epoch() == ring.epoch() {
                return Ok(());
            }
        }
    }

    async fn put_under(&mut self, contents: &Contents<'_>, ring: &Ring) -> Result<(), VaultError> {
        let turn = Turn::after(self.turn.revision, &self.turn.writes)?;
        let (bytes, mark) = match ring {
            Ring::One(members) => {
                let recipients = super::keyring::recipients_of(members);
                (document::seal_version_1(contents, &recipients)?, None)
            }
            Ring::Two(keyring) => {
                let (bytes, mark) = document::seal(contents, self.moves.as_ref(), &turn, keyring)?;
                (bytes, Some((keyring.id.clone(), mark)))
            }
        };
        self.write(&bytes, turn).await?;
        if let Some((id, mark)) = mark {
            self.unlocked.memory().see(&id, self.lease.name(), mark);
        }
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8], turn: Turn) -> Result<(), VaultError> {
        let name = self.lease.name();
        let version = put_document(self.vault(), name, bytes, &self.expected, &turn)
            .await
            .map_err(|error| VaultError::of_credential(error, name))?;
        self.expected = Expected::Version(version);
        self.turn = turn;
        Ok(())
    }

    /// Removes the credential from the vault. What Dfns knows of it is untouched.
    ///
    /// # Errors
    /// When there is none, or the store refuses.
    pub async fn remove(mut self) -> Result<(), VaultError> {
        if !self.is_there {
            return Err(VaultError::NoSuchCredential(self.lease.name().clone()));
        }
        self.settle_arrival(self.vault().wait).await?;
        self.bury(None).await
    }

    async fn bury(&mut self, moved_to: Option<CredentialName>) -> Result<(), VaultError> {
        let ring = self.unlocked.refresh().await?;
        let keyring = match &*ring {
            Ring::One(_) => {
                let Expected::Version(version) = &self.expected else {
                    return Ok(());
                };
                return self.unlocked.delete(self.lease.name(), version).await;
            }
            Ring::Two(keyring) => keyring,
        };
        let removed = Removed {
            at: self.vault().clock().now(),
            moved_to,
        };
        let turn = Turn::after(self.turn.revision, &self.turn.writes)?;
        let (bytes, mark) = document::bury(self.lease.name(), &removed, &turn, keyring);
        self.moves = None;
        self.write(&bytes, turn).await?;
        self.unlocked.memory().see(&keyring.id, self.lease.name(), mark);
        self.credential = None;
        self.is_there = false;
        Ok(())
    }

    /// Finishes a move that was cut short, or forgets one that never came to its second half.
    async fn settle_move(&mut self) -> Result<(), VaultError> {
        let Some(Moves::To { name: to, id }) = self.moves.clone() else {
            return Ok(());
        };
        self.moves = None;
        if self.unlocked.has_arrived(&to, &id).await {
            self.bury(Some(to)).await?;
        }
        Ok(())
    }

    /// Takes away the old name of what came from it, where a move was cut short before that: once this one is gone, or moved on,
    /// nothing else would say that the old one counts no more.
    async fn settle_arrival(&mut self, wait: Duration) -> Result<(), VaultError> {
        let Some(Moves::From { name: from, id: ours }) = self.moves.clone() else {
            return Ok(());
        };
        let lease = NameLease::take(self.vault(), &from, "finishing a rename", wait).await?;
        // What cannot be read there is nothing that could count.
        if let Ok(Some(Found { document, version })) = self.unlocked.find(&from).await
            && document.authenticated
            && matches!(&document.moves, Some(Moves::To { id, .. }) if *id == ours)
        {
            let mut old = self.unlocked.over(lease, Expected::Version(version), document.turn());
            old.bury(Some(self.lease.name().clone())).await?;
        }
        self.moves = None;
        Ok(())
    }
}

/// Writes a document for certain: after a lost answer it is looked at, and written again where it was not.
pub(super) async fn put_document(
    vault: &Vault,
    name: &CredentialName,
    bytes: &[u8],
    expected: &Expected,
    turn: &Turn,
) -> Result<Version, StoreError> {
    store::put_for_certain(
        &*vault.store,
        &document::document_name(name),
        bytes,
        expected,
        |found| document::is_of(found, turn),
    )
    .await
}

impl Unlocked<'_> {
    /// Keeps others from changing the list.
    pub(super) async fn lease_list(&self, purpose: &str, wait: Duration) -> Result<Lease, VaultError> {
        Ok(self.vault.store.lease(list::FILE, purpose, wait).await?)
    }
}
