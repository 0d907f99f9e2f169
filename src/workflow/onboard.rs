//! Onboarding by way of the dashboard, in two halves that may lie days apart.
//!
//! First half: a key is made and sealed as *pending* before its public half is shown to anybody. Second half: the token
//! that a person brings is proven together with that key, and both are sealed as *active*. Nothing changes on a refusal.

use std::time::{Duration, Instant};

use thiserror::Error;

use super::identity::account_ids;
use super::refusal::{Refusal, check_claims, diagnose};
use super::settings::{OtherSettings, Wishes};
use crate::api::{Access, Action, Client};
use crate::keys::{KeyError, KeyPair, RandomnessError, pem};
use crate::model::credential::{ActiveGeneration, AnyCredential, Credential, Kind, PendingGeneration, Stage, State};
use crate::model::ids::{CredentialName, OrganisationId};
use crate::model::record::PublicRecord;
use crate::model::token::AuthToken;
use crate::model::url::UrlError;
use crate::vault::{Expected, Unlocked, Vault, VaultError, Version};

/// Onboarding did not go on.
#[derive(Debug, Error)]
pub enum OnboardError {
    /// It is active already.
    #[error("{0} is active already")]
    AlreadyActive(CredentialName),
    /// No first half was done.
    #[error("there is no key waiting for a token under the name {0}")]
    NotPrepared(CredentialName),
    /// It was begun through the API, which brings the token itself.
    #[error("{0} was begun through the API")]
    BegunThroughApi(CredentialName),
    /// The first half was done with other settings.
    #[error(transparent)]
    OtherSettings(#[from] OtherSettings),
    /// The operating system gave no randomness.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
    /// The sealed key is unusable.
    #[error("the sealed key of {name} {error}")]
    Key {
        /// The credential.
        name: CredentialName,
        /// In which way.
        error: KeyError,
    },
    /// A default address is wrong, which cannot be.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Token and key do not go together, or could not be tried. Nothing was changed.
    #[error("{}", .refusal)]
    Refused {
        /// The diagnosis.
        refusal: Refusal,
        /// The fingerprint of the key that was tried.
        fingerprint: String,
        /// The organisation that the token names.
        organisation_id: Option<OrganisationId>,
    },
}

/// The first half's outcome.
pub struct Prepared {
    /// What is now sealed.
    pub record: PublicRecord,
    /// The key in memory, when it was made just now.
    pub fresh: Option<Pending>,
}

/// A pending credential together with its version in the vault.
pub struct Pending {
    credential: Credential<PendingGeneration>,
    version: Version,
}

/// The first half: makes a key and seals it, or finds the one made before.
///
/// # Errors
/// When the credential is active already or was begun with other settings, or the vault refuses.
pub fn prepare(vault: &Vault, name: &CredentialName, wishes: &Wishes) -> Result<Prepared, OnboardError> {
    match vault.record(name) {
        Ok(record) => {
            if record.state != State::Pending {
                return Err(OnboardError::AlreadyActive(name.clone()));
            }
            wishes.agree_with(&record)?;
            Ok(Prepared { record, fresh: None })
        }
        Err(VaultError::NoSuchCredential(_)) => begin(vault, name, wishes),
        Err(error) => Err(error.into()),
    }
}

fn begin(vault: &Vault, name: &CredentialName, wishes: &Wishes) -> Result<Prepared, OnboardError> {
    let pair = KeyPair::generate()?;
    let credential = Credential {
        name: name.clone(),
        kind: wishes.kind.unwrap_or(Kind::ServiceAccount),
        environment: wishes.clone().environment()?,
        created_at: vault.clock().now(),
        rotated_at: None,
        generation: 1,
        earlier_keys: Vec::new(),
        current: PendingGeneration {
            private_key: pair.to_sealable(),
            public_key: pair.public_key().to_text(),
            stage: Stage::AwaitingToken,
        },
    };
    let version = vault.put_pending(&credential, &Expected::Absent)?;
    Ok(Prepared {
        record: PublicRecord::from(&credential),
        fresh: Some(Pending { credential, version }),
    })
}

/// Takes a pending credential out of the vault for the second half.
///
/// # Errors
/// When there is none, or it cannot be opened.
pub fn resume(unlocked: &Unlocked<'_>, name: &CredentialName) -> Result<Pending, OnboardError> {
    let opened = match unlocked.get(name) {
        Ok(opened) => opened,
        Err(VaultError::NoSuchCredential(name)) => return Err(OnboardError::NotPrepared(name)),
        Err(error) => return Err(error.into()),
    };
    match opened.credential {
        AnyCredential::Pending(credential) if matches!(credential.current.stage, Stage::AwaitingToken) => Ok(Pending {
            credential,
            version: opened.version,
        }),
        AnyCredential::Pending(credential) => Err(OnboardError::BegunThroughApi(credential.name)),
        AnyCredential::Active(_) | AnyCredential::Rotating(_) | AnyCredential::User(_) => {
            Err(OnboardError::AlreadyActive(name.clone()))
        }
    }
}

/// The second half's outcome.
#[derive(Debug)]
pub struct Onboarded {
    /// What is now sealed.
    pub record: PublicRecord,
    /// How many requests the proof took.
    pub requests: u32,
    /// How long the proof took.
    pub elapsed: Duration,
}

/// The second half: proves token and key by the signed test call and seals them as active.
///
/// # Errors
/// When they do not go together or could not be tried; then the vault is as it was.
pub async fn complete(
    vault: &Vault,
    client: &Client,
    pending: Pending,
    token: AuthToken,
) -> Result<Onboarded, OnboardError> {
    let Pending { credential, version } = pending;
    prove(vault, client, credential, token, &Expected::Version(version)).await
}

/// Proves token and key by the signed test call and seals them as active.
pub(super) async fn prove(
    vault: &Vault,
    client: &Client,
    mut credential: Credential<PendingGeneration>,
    token: AuthToken,
    expected: &Expected,
) -> Result<Onboarded, OnboardError> {
    let claims = token.claims().clone();
    let refused = |refusal| OnboardError::Refused {
        refusal,
        fingerprint: credential.current.public_key.fingerprint.clone(),
        organisation_id: claims.organisation_id.clone(),
    };
    check_claims(&claims, &credential.environment, vault.clock().now()).map_err(refused)?;
    let key = pem::unseal(&credential.current.private_key).map_err(|error| OnboardError::Key {
        name: credential.name.clone(),
        error,
    })?;
    let access = Access {
        environment: &credential.environment,
        token: &token,
        signer: &key,
        credential_id: None,
    };
    let (began, requests_before) = (Instant::now(), client.requests());
    let signed = client
        .sign(access, Action::TEST_CALL)
        .await
        .map_err(|error| refused(diagnose(error, &claims, &credential.environment)))?;
    let (elapsed, requests) = (began.elapsed(), client.requests() - requests_before);
    let (identity_id, token_id) = account_ids(client, access, credential.kind, &signed.credential_id).await;
    credential.environment.organisation_id = credential.environment.organisation_id.or(claims.organisation_id);
    let credential = credential.with_generation(|pending| ActiveGeneration {
        private_key: pending.private_key,
        public_key: pending.public_key,
        token,
        credential_id: Some(signed.credential_id),
        identity_id,
        token_id,
    });
    vault.put_active(&credential, expected)?;
    Ok(Onboarded {
        record: PublicRecord::from(&credential),
        requests,
        elapsed,
    })
}
