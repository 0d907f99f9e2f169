//! Removing a credential from the vault, which must not drop the last copy of something that still works.

use thiserror::Error;

use super::administrator::{Administrator, AdministratorError};
use super::job::{JobError, THE_KEY, open_key};
use super::refusal::{Refusal, diagnose};
use super::sharing::sharers;
use crate::api::{Access, Action, ApiError, CallError, Client, SigningError};
use crate::model::credential::{ActiveGeneration, AnyCredential, Environment, Stage};
use crate::model::ids::CredentialName;
use crate::model::record::PublicRecord;
use crate::model::rotation::RotationStage;
use crate::model::url::ApiUrl;
use crate::vault::{NameLease, Unlocked};

/// A credential was not removed.
#[derive(Debug, Error)]
pub enum RemoveError {
    /// The signed test call was accepted.
    #[error("Dfns still honours {name}")]
    StillHonoured {
        /// The credential.
        name: CredentialName,
        /// Other names that use the same account with keys of their own.
        account_of: Vec<CredentialName>,
    },
    /// It was begun through the API, and nobody knows how far that came.
    #[error("{0} was begun through the API, and an account may exist at Dfns whose only secret is here")]
    HalfMade(CredentialName),
    /// A rotation is under way.
    #[error("{0} has a rotation under way")]
    HalfRotated(CredentialName),
    /// The user it belongs to cannot be used.
    #[error(transparent)]
    Administrator(#[from] AdministratorError),
    /// Whether it still works could not be found out.
    #[error("whether Dfns still honours {name} cannot be found out: {error}")]
    Unknown {
        /// The credential.
        name: CredentialName,
        /// Why not.
        error: CallError,
    },
    /// What any job may meet.
    #[error(transparent)]
    Job(JobError),
}

impl<E> From<E> for RemoveError
where
    JobError: From<E>,
{
    fn from(error: E) -> Self {
        Self::Job(error.into())
    }
}

/// Another name that has the same key and token, kept from going as well for as long as this lives.
pub struct Elsewhere {
    /// The other name.
    pub name: CredentialName,
    _lease: NameLease,
}

/// Makes sure that nothing is lost when this credential goes: it is pending, another name has the same, or Dfns refuses it.
///
/// # Errors
/// When Dfns still honours it, or could not be asked.
pub async fn check_unused(
    unlocked: &Unlocked<'_>,
    client: &Client,
    name: &CredentialName,
) -> Result<Option<Elsewhere>, RemoveError> {
    let found = unlocked.get(name).await?;
    let credential = match &found {
        AnyCredential::Pending(credential) => {
            return match credential.current.stage {
                Stage::AwaitingToken => Ok(None),
                // Somewhere an account or key may exist whose only secret is here.
                Stage::Registering(_) | Stage::Created(_) | Stage::Enrolling(_) => {
                    Err(RemoveError::HalfMade(name.clone()))
                }
            };
        }
        AnyCredential::Rotating(_) => return Err(RemoveError::HalfRotated(name.clone())),
        AnyCredential::User(_) => {
            return match elsewhere(unlocked, name, &found).await? {
                None => user_unused(unlocked, client, name).await.map(|()| None),
                found => Ok(found),
            };
        }
        AnyCredential::Active(credential) => credential,
    };
    if let Some(elsewhere) = elsewhere(unlocked, name, &found).await? {
        return Ok(Some(elsewhere));
    }
    let generation = &credential.current;
    let key = open_key(THE_KEY, name, &generation.private_key)?;
    let access = Access::of(&credential.environment, generation, &key);
    let fingerprint = &generation.public_key.fingerprint;
    let sharers = sharers(unlocked.vault(), name, fingerprint, Some(&generation.token)).await?;
    let account_of = sharers
        .into_iter()
        .filter(|sharer| sharer.token)
        .map(|sharer| sharer.name);
    let honoured = RemoveError::StillHonoured {
        name: name.clone(),
        account_of: account_of.collect(),
    };
    match client.sign(access, Action::TEST_CALL).await {
        Ok(_) => Err(honoured),
        Err(error) => unless_dead(error, name, access, honoured).map(|()| None),
    }
}

/// The name that has the same key and token. What its public part says is tried by opening it.
async fn elsewhere(
    unlocked: &Unlocked<'_>,
    name: &CredentialName,
    credential: &AnyCredential,
) -> Result<Option<Elsewhere>, RemoveError> {
    let vault = unlocked.vault();
    let fingerprint = PublicRecord::from(credential).fingerprint;
    for sharer in sharers(vault, name, &fingerprint, None).await? {
        // One that somebody works on, or that does not open, is no safe place.
        let Ok(lease) = vault.lease(&sharer.name, &format!("remove {name}")).await else {
            continue;
        };
        let own = secrets(credential);
        let same = unlocked
            .get(&sharer.name)
            .await
            .is_ok_and(|other| own.first().is_some_and(|own| secrets(&other).contains(own)));
        if same {
            return Ok(Some(Elsewhere {
                name: sharer.name,
                _lease: lease,
            }));
        }
    }
    Ok(None)
}

/// A key, what it goes with, and where.
type Secret<'a> = (&'a ApiUrl, &'a str, &'a str);

/// The secrets that a credential keeps; the one in use is the first.
fn secrets(credential: &AnyCredential) -> Vec<Secret<'_>> {
    fn of<'a>(environment: &'a Environment, generation: &'a ActiveGeneration) -> Secret<'a> {
        let (key, token) = (&generation.public_key, &generation.token);
        (&environment.api_url, &key.fingerprint, token.expose_secret())
    }
    match credential {
        AnyCredential::Active(credential) => vec![of(&credential.environment, &credential.current)],
        AnyCredential::Rotating(credential) => {
            let mut secrets = vec![of(&credential.environment, &credential.current.active)];
            if let RotationStage::Retiring(outgoing) = &credential.current.stage {
                secrets.push(of(&credential.environment, &outgoing.previous));
            }
            secrets
        }
        AnyCredential::User(credential) => {
            let (key, user) = (&credential.current.public_key, &credential.current.username);
            vec![(&credential.environment.api_url, &key.fingerprint, user.as_str())]
        }
        AnyCredential::Pending(_) => Vec::new(),
    }
}

async fn user_unused(unlocked: &Unlocked<'_>, client: &Client, name: &CredentialName) -> Result<(), RemoveError> {
    match Administrator::open(unlocked, name)
        .await?
        .session(client)
        .log_in()
        .await
    {
        Ok(()) => Err(RemoveError::StillHonoured {
            name: name.clone(),
            account_of: Vec::new(),
        }),
        Err(error) => {
            let refused = match &error {
                CallError::Login(SigningError::Signer(_)) => false,
                error => matches!(
                    error.api_error(),
                    None | Some(ApiError::Refused { status: 400..=404, .. })
                ),
            };
            if refused {
                return Ok(());
            }
            Err(RemoveError::Unknown {
                name: name.clone(),
                error,
            })
        }
    }
}

/// A token that Dfns refuses is dead. One that it knows still reads, even where its key no longer signs.
fn unless_dead(
    error: SigningError,
    name: &CredentialName,
    access: Access<'_>,
    honoured: RemoveError,
) -> Result<(), RemoveError> {
    match diagnose(error, access.token.claims(), access.environment) {
        Refusal::TokenExpired { .. } | Refusal::TokenRefused { .. } => Ok(()),
        Refusal::Call(error) => Err(RemoveError::Unknown {
            name: name.clone(),
            error: error.into(),
        }),
        Refusal::Signer(error) => Err(RemoveError::Unknown {
            name: name.clone(),
            error: CallError::Signing(error.into()),
        }),
        Refusal::OtherOrganisation { .. }
        | Refusal::OtherRegion { .. }
        | Refusal::NotAllowed { .. }
        | Refusal::NoKeyRegistered
        | Refusal::OtherKey { .. }
        | Refusal::KeyGone { .. }
        | Refusal::OriginRefused { .. } => Err(honoured),
    }
}
