//! A service that opens a vault at its start.

use super::{IdentityError, Keyholder, PassphrasePurpose, PluginDialogue};
use crate::model::secret::Passphrase;

/// Nobody to ask: a passphrase that was given or none, and no answer to a plugin.
#[derive(Default)]
pub struct Unattended(Option<Passphrase>);

impl Unattended {
    /// With the passphrase of the vault's own identity, where it is needed.
    #[must_use]
    pub fn with(passphrase: Option<Passphrase>) -> Self {
        Self(passphrase)
    }
}

impl Keyholder for Unattended {
    fn passphrase(&self, _purpose: &PassphrasePurpose) -> Result<Passphrase, IdentityError> {
        self.0.clone().ok_or(IdentityError::NobodyToAsk)
    }

    fn callbacks(&self) -> Box<dyn PluginDialogue> {
        Box::new(Self(None))
    }
}

impl PluginDialogue for Unattended {
    fn show(&self, _message: &str) {}

    fn secret(&self, _description: &str) -> Option<Passphrase> {
        None
    }

    fn text(&self, _description: &str) -> Option<String> {
        None
    }

    fn confirm(&self, _message: &str, _yes: &str, _no: Option<&str>) -> Option<bool> {
        None
    }
}
