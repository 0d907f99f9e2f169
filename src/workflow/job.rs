//! What jobs have in common: how a key is taken out of the vault to sign with, and what goes wrong with any of them.

use thiserror::Error;

use super::settings::OtherSettings;
use crate::api::CallError;
use crate::keys::{KeyError, KeyPair, PrivateKey, RandomnessError, pem, provider};
use crate::model::credential::{KeyMaterial, PendingGeneration, PublicKeyText, Stage};
use crate::model::held_key::HeldKeyError;
use crate::model::ids::CredentialName;
use crate::model::key_uri::KeyUri;
use crate::model::url::UrlError;
use crate::model::user_action::Signer;
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
    /// A key that is held elsewhere was not made.
    #[error(transparent)]
    Held(#[from] HeldKeyError),
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

/// So many names beside a key may be taken.
const MOST_TAKEN: u32 = 100;

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
    sealed: &KeyMaterial,
) -> Result<PrivateKey, JobError> {
    let name = || name.clone();
    pem::unseal(sealed).map_err(|error| JobError::Key {
        which,
        name: name(),
        error,
    })
}

/// A new key, as it is sealed, or where it is held. One that is there already, where it was said to be, is taken as it is: an
/// earlier run may have made it and come no further.
pub(super) async fn new_key(stage: Stage, at: Option<&KeyUri>) -> Result<PendingGeneration, JobError> {
    let (private_key, public_key) = match at {
        None => {
            let pair = KeyPair::generate()?;
            (pair.to_sealable(), pair.public_key().to_text())
        }
        Some(uri) => {
            let key = match provider::make(uri).await {
                Err(HeldKeyError::Exists { .. }) => provider::find(uri).await?,
                made => made?,
            };
            (key.to_sealable(), key.public_key())
        }
    };
    Ok(pending(private_key, public_key, stage))
}

/// A new key where the one before is: beside it, under a name that no key has yet.
pub(super) async fn new_key_beside(
    before: &KeyMaterial,
    stage: Stage,
    name: &CredentialName,
    generation: u32,
) -> Result<PendingGeneration, JobError> {
    let Some(uri) = before.held() else {
        return new_key(stage, None).await;
    };
    let mut attempt = 1;
    loop {
        match provider::make(&uri.next(name, generation, attempt)).await {
            Err(HeldKeyError::Exists { .. }) if attempt < MOST_TAKEN => attempt += 1,
            made => {
                let key = made?;
                return Ok(pending(key.to_sealable(), key.public_key(), stage));
            }
        }
    }
}

fn pending(private_key: KeyMaterial, public_key: PublicKeyText, stage: Stage) -> PendingGeneration {
    PendingGeneration {
        private_key,
        public_key,
        stage,
    }
}

/// Random bytes, for an id that nothing else has.
pub(super) fn random<const N: usize>() -> Result<[u8; N], RandomnessError> {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes).map_err(|_| RandomnessError)?;
    Ok(bytes)
}
