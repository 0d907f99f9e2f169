//! What jobs have in common: how a key is taken out of the vault to sign with, and what goes wrong with any of them.

use thiserror::Error;

use super::settings::OtherSettings;
use crate::api::CallError;
use crate::keys::{KeyError, KeyPair, PrivateKey, RandomnessError, pem};
use crate::model::credential::{PendingGeneration, Stage};
use crate::model::ids::CredentialName;
use crate::model::secret::PrivateKeyPem;
use crate::model::url::UrlError;
use crate::vault::VaultError;

/// A job did not go on, for a reason that any of them may have.
#[derive(Debug, Error)]
pub enum JobError {
    /// It was begun with other settings.
    #[error(transparent)]
    OtherSettings(#[from] OtherSettings),
    /// Somebody has to approve it.
    #[error("{0} waits for a policy approval at Dfns")]
    AwaitingApproval(&'static str),
    /// A call failed.
    #[error("{doing}: {error}")]
    Call {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        error: CallError,
    },
    /// New accounts keep becoming orphans.
    #[error("the answers to {0} creations were lost one after the other")]
    TooManyOrphans(usize),
    /// A sealed key is unusable.
    #[error("{which} of {name} {error}")]
    Key {
        /// Which of its keys.
        which: &'static str,
        /// The credential.
        name: CredentialName,
        /// In which way.
        error: KeyError,
    },
    /// The operating system gave no randomness.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
    /// A default address is wrong, which cannot be.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// A call failed, with what was being done.
pub(super) fn failed(doing: &'static str) -> impl Fn(CallError) -> JobError + Copy {
    move |error| JobError::Call { doing, error }
}

/// The sealed key of a credential that has one.
pub(super) const THE_KEY: &str = "the sealed key";

/// A private key out of the vault, to sign with; `which` of the credential's keys it is.
pub(super) fn open_key(
    which: &'static str,
    name: &CredentialName,
    sealed: &PrivateKeyPem,
) -> Result<PrivateKey, JobError> {
    let name = || name.clone();
    pem::unseal(sealed).map_err(|error| JobError::Key {
        which,
        name: name(),
        error,
    })
}

/// A new key, as it is sealed.
pub(super) fn new_key(stage: Stage) -> Result<PendingGeneration, RandomnessError> {
    let pair = KeyPair::generate()?;
    Ok(PendingGeneration {
        private_key: pair.to_sealable(),
        public_key: pair.public_key().to_text(),
        stage,
    })
}

/// Random bytes, for an id that nothing else has.
pub(super) fn random<const N: usize>() -> Result<[u8; N], RandomnessError> {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes).map_err(|_| RandomnessError)?;
    Ok(bytes)
}
