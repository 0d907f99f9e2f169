//! Onboarding by way of the dashboard, in two halves that may lie days apart.
//!
//! First half: a key is made and sealed as *pending* before its public half is shown to anybody. Second half: the token
//! that a person brings is proven together with that key, and both are sealed as *active*. Nothing changes on a refusal.

use std::time::{Duration, Instant};

use thiserror::Error;

use super::refusal::{Refusal, check_claims, diagnose};
use crate::api::{Access, Action, Client};
use crate::keys::{KeyError, KeyPair, RandomnessError, pem};
use crate::model::credential::{
    ActiveGeneration, AnyCredential, Credential, Environment, Kind, PendingGeneration, Stage, State,
};
use crate::model::ids::{ApplicationId, CredentialName, OrganisationId};
use crate::model::record::PublicRecord;
use crate::model::token::AuthToken;
use crate::model::url::{ApiUrl, Origin, UrlError};
use crate::vault::{Expected, Unlocked, Vault, VaultError, Version};

/// What the user asked for. What is left out has a default for a new credential, and stays as it is for one begun.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// The kind of identity; a service account by default.
    pub kind: Option<Kind>,
    /// Where the API is; production by default.
    pub api_url: Option<ApiUrl>,
    /// The origin in client data; the dashboard's by default.
    pub origin: Option<Origin>,
    /// The application.
    pub application_id: Option<ApplicationId>,
    /// The organisation the token must belong to.
    pub organisation_id: Option<OrganisationId>,
}

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
    #[error("{name} was begun with {field} {begun}, not {wished}")]
    OtherSettings {
        /// The credential.
        name: CredentialName,
        /// Which setting.
        field: &'static str,
        /// What it was begun with.
        begun: String,
        /// What is asked for now.
        wished: String,
    },
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
            agrees(&record, wishes)?;
            Ok(Prepared { record, fresh: None })
        }
        Err(VaultError::NoSuchCredential(_)) => begin(vault, name, wishes),
        Err(error) => Err(error.into()),
    }
}

fn begin(vault: &Vault, name: &CredentialName, wishes: &Wishes) -> Result<Prepared, OnboardError> {
    let Wishes {
        kind,
        api_url,
        origin,
        application_id,
        organisation_id,
    } = wishes.clone();
    let pair = KeyPair::generate()?;
    let credential = Credential {
        name: name.clone(),
        kind: kind.unwrap_or(Kind::ServiceAccount),
        environment: Environment {
            api_url: api_url.map_or_else(|| ApiUrl::PRODUCTION.parse(), Ok)?,
            origin: origin.map_or_else(|| Origin::DASHBOARD.parse(), Ok)?,
            application_id,
            organisation_id,
        },
        created_at: vault.clock().now(),
        rotated_at: None,
        generation: 1,
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

fn agrees(record: &PublicRecord, wishes: &Wishes) -> Result<(), OnboardError> {
    let differs = |field, begun: Option<String>, wished: Option<String>| match wished {
        Some(wished) if begun.as_ref() != Some(&wished) => Err(OnboardError::OtherSettings {
            name: record.name.clone(),
            field,
            begun: begun.unwrap_or_else(|| "none".to_owned()),
            wished,
        }),
        _ => Ok(()),
    };
    let text = |value: &dyn ToString| Some(value.to_string());
    differs(
        "the kind",
        text(&record.kind.in_words()),
        wishes.kind.and_then(|kind| text(&kind.in_words())),
    )?;
    differs(
        "the api url",
        text(&record.api_url),
        wishes.api_url.as_ref().and_then(|v| text(v)),
    )?;
    differs(
        "the origin",
        text(&record.origin),
        wishes.origin.as_ref().and_then(|v| text(v)),
    )?;
    differs(
        "the application id",
        record.app_id.as_ref().and_then(|v| text(v)),
        wishes.application_id.as_ref().and_then(|v| text(v)),
    )?;
    differs(
        "the organisation",
        record.org_id.as_ref().and_then(|v| text(v)),
        wishes.organisation_id.as_ref().and_then(|v| text(v)),
    )
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
    credential.environment.organisation_id = credential.environment.organisation_id.or(claims.organisation_id);
    let credential = credential.with_generation(|pending| ActiveGeneration {
        private_key: pending.private_key,
        public_key: pending.public_key,
        token,
        credential_id: signed.credential_id,
        identity_id: None,
        token_id: None,
    });
    vault.put_active(&credential, expected)?;
    Ok(Onboarded {
        record: PublicRecord::from(&credential),
        requests,
        elapsed,
    })
}
