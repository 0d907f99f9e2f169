//! Changing who may open the vault. The list is replaced by one put, which is the only commit point.

use super::VaultError;
use super::identity::{self, Keyholder, Own};
use super::keyring::{self, Keyring, NewKeyring};
use super::list::Member;
use super::recipients::{self, RecipientError, RecipientText};
use super::reseal::{Resealed, Watch};
use super::store::{Expected, StoreError};
use super::unlocked::{Ring, Unlocked};
use crate::model::secret::Passphrase;

/// Those of the others, apart from the vault's own, who are none of these.
fn missing_in<'m>(these: &'m [Member], others: &'m [Member]) -> impl Iterator<Item = &'m Member> {
    let is_new = |member: &&Member| !member.own && these.iter().all(|known| known.recipient != member.recipient);
    others.iter().filter(is_new)
}

impl Unlocked<'_> {
    /// Adds somebody who can open everything from now on.
    ///
    /// # Errors
    /// When they are among the recipients, or cannot be sealed to together with them.
    pub async fn add_recipient(&self, member: Member, watch: Watch<'_>) -> Result<Resealed, VaultError> {
        let _lease = self.lease_list("recipients add", self.vault.wait).await?;
        let ring = self.version_2().await?;
        let mut members = ring.list.members.clone();
        if members.iter().any(|known| known.recipient == member.recipient) {
            // Run again, it finishes what was cut short.
            return if self.is_complete().await? {
                Err(RecipientError::Listed(member.recipient).into())
            } else {
                self.seal_all(watch).await
            };
        }
        members.push(member);
        self.replace_list(&ring, members, watch).await
    }

    /// Shuts somebody out of whatever is sealed from now on. They may have kept what they once opened.
    ///
    /// # Errors
    /// When they are not among the recipients, are the last one, or the vault's own.
    pub async fn remove_recipient(&self, recipient: &RecipientText, watch: Watch<'_>) -> Result<Resealed, VaultError> {
        let _lease = self.lease_list("recipients remove", self.vault.wait).await?;
        let ring = self.version_2().await?;
        let (removed, members): (Vec<Member>, Vec<Member>) = ring
            .list
            .members
            .iter()
            .cloned()
            .partition(|member| member.recipient == *recipient);
        match &removed[..] {
            [] if !self.is_complete().await? => return self.seal_all(watch).await,
            [] => return Err(RecipientError::NotListed(recipient.clone()).into()),
            _ if removed.iter().any(|member| member.own) => {
                return Err(VaultError::OwnRecipient(recipient.clone()));
            }
            _ if members.is_empty() => return Err(RecipientError::None.into()),
            _ => {}
        }
        self.replace_list(&ring, members, watch).await
    }

    /// Makes a new identity of the vault's own under a new passphrase, and shuts the old one out of what is sealed from now on.
    ///
    /// # Errors
    /// When the store refuses. From the moment at which `identity.age` is replaced the new passphrase is in force.
    /// [`VaultError::IdentityKept`] where something would be lost with the old one.
    pub async fn rekey(
        &mut self,
        passphrase: &Passphrase,
        keyholder: &dyn Keyholder,
        watch: Watch<'_>,
    ) -> Result<Resealed, VaultError> {
        let _lease = self.lease_list("rekey", self.vault.wait).await?;
        let ring = self.version_2().await?;
        let with = |own: &Own| {
            let own = Member {
                recipient: own.recipient(),
                label: None,
                own: true,
            };
            std::iter::once(own)
                .chain(ring.list.members.iter().filter(|member| !member.own).cloned())
                .collect::<Vec<_>>()
        };
        if self.by_own_identity {
            // Old and new together: whenever the work is cut short, one of them opens each credential.
            let (old, version) = identity::read_own(&*self.vault.store, keyholder).await?;
            let mut own = old.with_newer();
            own.id = Some(ring.id.clone());
            recipients::check(&keyring::recipients_of(&with(&own)))?;
            self.put_identity(&own, passphrase, &Expected::Version(version)).await?;
            self.identities.push(own.newest());
            return self.replace_list(&ring, with(&own), watch).await;
        }
        // Somebody who came in by another identity may not know the old passphrase. Everything is sealed to both identities before the
        // new one takes its place: whenever the work is cut short, the passphrase of the one that is there opens it.
        let mut own = Own::generate();
        own.id = Some(ring.id.clone());
        let expected = match self.vault.store.get(identity::FILE).await {
            Ok((_, version)) => Expected::Version(version),
            Err(StoreError::NotFound) => Expected::Absent,
            Err(error) => return Err(error.into()),
        };
        let old = ring.list.members.iter().filter(|member| member.own).cloned();
        let both: Vec<Member> = with(&own).into_iter().chain(old).collect();
        self.identities.push(own.newest());
        self.commit(&ring, both.clone()).await?;
        if both == with(&own) {
            self.put_identity(&own, passphrase, &expected).await?;
            return Ok(Resealed {
                changed: true,
                ..self.seal_all(watch).await?
            });
        }
        let resealed = self.seal_all(watch).await?;
        if !resealed.left.is_empty() {
            return Err(VaultError::IdentityKept(resealed.left));
        }
        self.put_identity(&own, passphrase, &expected).await?;
        let ring = self.version_2().await?;
        self.replace_list(&ring, with(&own), watch).await
    }

    pub(super) async fn put_identity(
        &self,
        own: &Own,
        passphrase: &Passphrase,
        expected: &Expected,
    ) -> Result<(), VaultError> {
        let sealed = own.seal(passphrase)?;
        super::store::put_for_certain(
            &*self.vault.store,
            identity::FILE,
            sealed.as_bytes(),
            expected,
            |found| found == sealed.as_bytes(),
        )
        .await?;
        Ok(())
    }

    /// The ring of a vault of version 2.
    pub(super) async fn version_2(&self) -> Result<Keyring, VaultError> {
        match &*self.refresh().await? {
            Ring::One(_) => Err(VaultError::VersionOne),
            Ring::Two(ring) => Ok(ring.clone()),
        }
    }

    async fn replace_list(
        &self,
        ring: &Keyring,
        members: Vec<Member>,
        watch: Watch<'_>,
    ) -> Result<Resealed, VaultError> {
        self.commit(ring, members).await?;
        Ok(Resealed {
            changed: true,
            ..self.seal_all(watch).await?
        })
    }

    /// Puts the next list in place of the one that was checked.
    async fn commit(&self, ring: &Keyring, members: Vec<Member>) -> Result<(), VaultError> {
        recipients::check(&keyring::recipients_of(&members))?;
        let next = ring.next(members.clone(), self.memory().complete())?;
        self.put_ring(next, &Expected::Version(ring.version.clone())).await?;
        if let Some(witness) = &self.vault.witness {
            // The vault's own is changed by `rekey` alone.
            for member in missing_in(&ring.list.members, &members) {
                witness.recipient_added(self.vault, &member.recipient);
            }
            for member in missing_in(&members, &ring.list.members) {
                witness.recipient_removed(self.vault, &member.recipient);
            }
        }
        Ok(())
    }

    pub(super) async fn put_ring(&self, next: NewKeyring, expected: &Expected) -> Result<(), VaultError> {
        let store = &*self.vault.store;
        next.put_object(store).await?;
        let ring = next.put_list(store, expected).await?;
        self.check_and_remember(&ring)?;
        self.hold(Ring::Two(ring));
        Ok(())
    }
}
