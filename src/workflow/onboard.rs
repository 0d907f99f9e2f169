//! Onboarding by way of the dashboard, in two halves that may lie days apart.
//!
//! First half: a key is made and sealed as *pending* before its public half is shown to anybody. Second half: the token
//! that a person brings is proven together with that key, and both are sealed as *active*. Nothing changes on a refusal.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use thiserror::Error;

use super::account::account_ids;
use super::job::{JobError, THE_KEY, new_key, open_key};
use super::refusal::{Refusal, check_claims, diagnose};
use super::settings::{Asked, same};
use crate::api::{Access, Action, Client};
use crate::model::credential::{ActiveGeneration, AnyCredential, Credential, Kind, PendingGeneration, Stage, State};
use crate::model::ids::{CredentialName, OrganisationId};
use crate::model::record::PublicRecord;
use crate::model::token::AuthToken;
use crate::vault::{Edit, FreeName, NameLease, SealOnly};

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
    /// Token and key do not go together, or could not be tried. Nothing was changed.
    #[error("{}", .refusal)]
    Refused {
        /// The credential.
        name: CredentialName,
        /// The diagnosis.
        refusal: Refusal,
        /// The fingerprint of the key that was tried.
        fingerprint: String,
        /// The organisation that the token names.
        organisation_id: Option<OrganisationId>,
    },
    /// What any job may meet.
    #[error(transparent)]
    Job(JobError),
}

impl<E> From<E> for OnboardError
where
    JobError: From<E>,
{
    fn from(error: E) -> Self {
        Self::Job(error.into())
    }
}

/// A pending credential, in the hands of whoever works on it.
pub struct Pending<'a> {
    credential: Credential<PendingGeneration>,
    edit: Edit<'a>,
    fresh: bool,
}

impl Pending<'_> {
    /// What is sealed.
    #[must_use]
    pub fn record(&self) -> PublicRecord {
        PublicRecord::from(&self.credential)
    }

    /// Whether its key was made just now.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }
}

/// The first half: makes a key and seals it, or finds the one made before.
///
/// # Errors
/// When the credential is active already or was begun with other settings, or the vault refuses.
pub async fn prepare<'a>(mut edit: Edit<'a>, asked: &Asked) -> Result<Pending<'a>, OnboardError> {
    if edit.is_there() {
        let found = edit.credential().map(PublicRecord::from);
        if found.as_ref().is_some_and(|record| record.state != State::Pending) {
            return Err(OnboardError::AlreadyActive(edit.name().clone()));
        }
        if let Some(record) = &found {
            asked.agree_with(record)?;
        }
        let pending = resume(edit)?;
        let held = pending.credential.current.private_key.held();
        same(&pending.credential.name, "the key", held, asked.key.as_ref()).map_err(JobError::from)?;
        return Ok(pending);
    }
    let credential = begin(edit.name(), edit.vault().clock().now(), asked).await?;
    edit.put(&credential).await?;
    Ok(Pending {
        credential,
        edit,
        fresh: true,
    })
}

/// The first half by somebody who can only seal. A key that was made before is told only where this machine made it.
///
/// # Errors
/// When the credential is active already, was begun with other settings or by somebody else, or the vault refuses.
pub async fn prepare_sealed(
    writer: &SealOnly<'_>,
    lease: &NameLease,
    asked: &Asked,
) -> Result<(PublicRecord, bool), OnboardError> {
    if let Some(record) = writer.own_record(lease.name()).await? {
        if record.state != State::Pending {
            return Err(OnboardError::AlreadyActive(lease.name().clone()));
        }
        asked.agree_with(&record)?;
        return Ok((record, false));
    }
    let credential = begin(lease.name(), writer.vault().clock().now(), asked).await?;
    writer.create(lease, &credential).await?;
    Ok((PublicRecord::from(&credential), true))
}

async fn begin(
    name: &CredentialName,
    now: Timestamp,
    asked: &Asked,
) -> Result<Credential<PendingGeneration>, JobError> {
    let environment = asked.clone().environment()?;
    Ok(Credential::new(
        name.clone(),
        asked.kind.unwrap_or(Kind::ServiceAccount),
        environment,
        now,
        new_key(Stage::AwaitingToken, asked.key.as_ref()).await?,
    ))
}

/// Takes up a pending credential for the second half.
///
/// # Errors
/// When there is none.
pub fn resume(mut edit: Edit<'_>) -> Result<Pending<'_>, OnboardError> {
    match edit.take() {
        None => Err(OnboardError::NotPrepared(edit.name().clone())),
        Some(AnyCredential::Pending(credential)) if matches!(credential.current.stage, Stage::AwaitingToken) => {
            Ok(Pending {
                credential,
                edit,
                fresh: false,
            })
        }
        Some(AnyCredential::Pending(credential)) => Err(OnboardError::BegunThroughApi(credential.name)),
        Some(AnyCredential::Active(_) | AnyCredential::Rotating(_) | AnyCredential::User(_)) => {
            Err(OnboardError::AlreadyActive(edit.name().clone()))
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
pub async fn complete(client: &Client, pending: Pending<'_>, token: AuthToken) -> Result<Onboarded, OnboardError> {
    let Pending {
        credential, mut edit, ..
    } = pending;
    let now = edit.vault().clock().now();
    let (credential, proof) = prove(client, credential, token, now).await?;
    edit.put(&credential).await?;
    Ok(proof)
}

/// The same for a name that is free.
pub(super) async fn complete_free(
    client: &Client,
    mut free: FreeName<'_>,
    credential: Credential<PendingGeneration>,
    token: AuthToken,
) -> Result<Onboarded, OnboardError> {
    let now = free.vault().clock().now();
    let (credential, proof) = prove(client, credential, token, now).await?;
    free.put(&credential).await?;
    Ok(proof)
}

/// Proves token and key by the signed test call.
async fn prove(
    client: &Client,
    mut credential: Credential<PendingGeneration>,
    token: AuthToken,
    now: Timestamp,
) -> Result<(Credential<ActiveGeneration>, Onboarded), OnboardError> {
    let claims = token.claims().clone();
    let refused = |refusal| OnboardError::Refused {
        name: credential.name.clone(),
        refusal,
        fingerprint: credential.current.public_key.fingerprint.clone(),
        organisation_id: claims.organisation_id.clone(),
    };
    check_claims(&claims, &credential.environment, now).map_err(refused)?;
    let key = open_key(THE_KEY, &credential.name, &credential.current.private_key)?;
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
    let proof = Onboarded {
        record: PublicRecord::from(&credential),
        requests,
        elapsed,
    };
    Ok((credential, proof))
}
