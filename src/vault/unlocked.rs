//! A vault that is open: credentials read, and everything sealed again for other recipients or under another passphrase.

use super::document;
use super::identity::{self, Keyholder};
use super::recipients::{self, RecipientError, RecipientText};
use super::store::{Expected, StoreError};
use super::{Opened, Vault, VaultError};
use crate::model::credential::AnyCredential;
use crate::model::ids::CredentialName;
use crate::model::secret::Passphrase;

/// A vault together with the identities that open it.
pub struct Unlocked<'v> {
    pub(super) vault: &'v Vault,
    pub(super) identities: Vec<Box<dyn age::Identity + Send + Sync>>,
    pub(super) by_own_identity: bool,
}

impl Unlocked<'_> {
    /// The vault itself.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        self.vault
    }

    /// Opens a credential and checks that its public part agrees with the sealed one.
    ///
    /// # Errors
    /// When there is none, no identity opens it, or it was tampered with.
    pub fn get(&self, name: &CredentialName) -> Result<Opened, VaultError> {
        let (opened, sealed_to) = self.read(name)?;
        // Whoever can write to the vault could add a recipient and wait for the next sealing.
        let unexpected = self
            .vault
            .recipients()?
            .into_iter()
            .find(|recipient| !sealed_to.contains(recipient));
        match unexpected {
            None => Ok(opened),
            Some(recipient) => Err(VaultError::UnexpectedRecipient {
                name: name.clone(),
                recipient,
            }),
        }
    }

    fn read(&self, name: &CredentialName) -> Result<(Opened, Vec<RecipientText>), VaultError> {
        let (bytes, version) = self
            .vault
            .store
            .get(name)
            .map_err(|error: StoreError| error.about(name))?;
        let (credential, recipients) = document::open(name, &bytes, &self.identities)?;
        Ok((Opened { credential, version }, recipients))
    }

    /// Adds a recipient and seals every credential again, so that it can open them all.
    ///
    /// # Errors
    /// When a credential cannot be opened; those done before stay done, and a second run does the rest.
    pub fn add_recipient(&self, recipient: &RecipientText) -> Result<usize, VaultError> {
        let _lock = self.vault.lock_whole("recipients add")?;
        let mut recipients = self.vault.recipients()?;
        if !recipients.contains(recipient) {
            recipients.push(recipient.clone());
        }
        recipients::check(&recipients)?;
        self.seal_all_to(&recipients, recipients::own(&self.vault.directory)?.as_ref())
    }

    /// Removes a recipient and seals every credential again without it. It may have kept what it once opened: keys it
    /// could read should be rotated.
    ///
    /// # Errors
    /// When it is not among the recipients or is the last one, or a credential cannot be opened.
    pub fn remove_recipient(&self, recipient: &RecipientText) -> Result<usize, VaultError> {
        let _lock = self.vault.lock_whole("recipients remove")?;
        let mut recipients = self.vault.recipients()?;
        let before = recipients.len();
        recipients.retain(|known| known != recipient);
        if recipients.len() == before {
            return Err(RecipientError::NotListed(recipient.clone()).into());
        }
        recipients::check(&recipients)?;
        self.seal_all_to(&recipients, recipients::own(&self.vault.directory)?.as_ref())
    }

    /// Makes a new identity of the vault's own under a new passphrase, and seals every credential again: to the new
    /// identity, to the other recipients, and no longer to the old identity.
    ///
    /// # Errors
    /// When a credential cannot be opened or the disk refuses; a second run then finishes the work.
    pub fn rekey(&self, passphrase: &Passphrase, keyholder: &dyn Keyholder) -> Result<usize, VaultError> {
        let _lock = self.vault.lock_whole("rekey")?;
        let directory = &self.vault.directory;
        // At first old and new together, under the new passphrase: whenever the work is cut short, one of them opens
        // each credential. (Somebody who came in by another identity may not know the old passphrase at all.)
        let replacement = if self.by_own_identity {
            identity::Replacement::beside_old(directory, passphrase, keyholder)?
        } else {
            identity::Replacement::alone(directory, passphrase)?
        };
        let mut recipients = self.vault.recipients()?;
        let old = recipients::own(directory)?;
        recipients.retain(|recipient| !replacement.replaced().contains(recipient) && old.as_ref() != Some(recipient));
        recipients.insert(0, replacement.recipient().clone());
        let count = self.seal_all_to(&recipients, Some(replacement.recipient()))?;
        replacement.finish(directory, passphrase)?;
        Ok(count)
    }

    fn seal_all_to(&self, recipients: &[RecipientText], own: Option<&RecipientText>) -> Result<usize, VaultError> {
        let names = self.vault.names()?;
        let locks = names
            .iter()
            .map(|name| self.vault.lock(name, "sealing again"))
            .collect::<Result<Vec<_>, _>>()?;
        // All must open before the first is written: a damaged file is found while nothing has changed.
        for name in &names {
            self.read(name)?;
        }
        recipients::write(&self.vault.directory, recipients, own)?;
        for name in &names {
            let (opened, _) = self.read(name)?;
            let expected = Expected::Version(opened.version);
            match &opened.credential {
                AnyCredential::Pending(pending) => self.vault.put_pending(pending, &expected)?,
                AnyCredential::Active(active) => self.vault.put_active(active, &expected)?,
                AnyCredential::Rotating(rotating) => self.vault.put_rotating(rotating, &expected)?,
                AnyCredential::User(user) => self.vault.put_user(user, &expected)?,
            };
        }
        drop(locks);
        Ok(names.len())
    }
}
