//! Changing who may open the vault. The list is replaced by one put, which is the only commit point; then everything is sealed
//! again, by whoever comes, for as long as anything is left.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt, stream};

use super::VaultError;
use super::document::{self, Glimpse, Turn};
use super::edit::NameLease;
use super::identity::{self, Keyholder, Own};
use super::keyring::{self, Keyring, NewKeyring};
use super::list::Member;
use super::recipients::{self, RecipientError, RecipientText};
use super::store::{Expected, StoreError, Version};
use super::unlocked::{Ring, Unlocked};
use crate::model::ids::CredentialName;
use crate::model::secret::Passphrase;

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

    /// Takes a credential's file away.
    pub(super) async fn delete(&self, name: &CredentialName, version: &Version) -> Result<(), VaultError> {
        let store = &*self.vault.store;
        store
            .delete(&document::document_name(name), version)
            .await
            .map_err(|error| VaultError::of_credential(error, name))
    }

    async fn bury_again(
        &self,
        lease: &NameLease,
        removed: &document::Removed,
        found: &super::unlocked::Found,
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
        super::edit::put_document(
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
