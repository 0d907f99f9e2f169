//! Removing a credential from the vault, which must not drop the last copy of something that still works.

use thiserror::Error;

use super::administrator::{Administrator, AdministratorError};
use super::refusal::{Refusal, diagnose};
use crate::api::{Access, Action, ApiError, CallError, Client, SigningError};
use crate::keys::{KeyError, pem};
use crate::model::credential::{AnyCredential, Stage};
use crate::model::ids::CredentialName;
use crate::vault::{Unlocked, VaultError};

/// A credential was not removed.
#[derive(Debug, Error)]
pub enum RemoveError {
    /// The signed test call was accepted.
    #[error("Dfns still honours {0}")]
    StillHonoured(CredentialName),
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
        error: ApiError,
    },
    /// The sealed key is unusable.
    #[error("the sealed key of {name} {error}")]
    Key {
        /// The credential.
        name: CredentialName,
        /// In which way.
        error: KeyError,
    },
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Makes sure that nothing is lost when this credential goes: it is pending, or Dfns refuses it.
///
/// # Errors
/// When Dfns still honours it, or could not be asked.
pub async fn check_unused(unlocked: &Unlocked<'_>, client: &Client, name: &CredentialName) -> Result<(), RemoveError> {
    let credential = match unlocked.get(name)?.credential {
        AnyCredential::Pending(credential) => {
            return match credential.current.stage {
                Stage::AwaitingToken => Ok(()),
                // Somewhere an account or key may exist whose only secret is here.
                Stage::Registering(_) | Stage::Created(_) | Stage::Enrolling(_) => {
                    Err(RemoveError::HalfMade(name.clone()))
                }
            };
        }
        AnyCredential::Rotating(_) => return Err(RemoveError::HalfRotated(name.clone())),
        AnyCredential::User(_) => return user_unused(unlocked, client, name).await,
        AnyCredential::Active(credential) => credential,
    };
    let generation = &credential.current;
    let key = pem::unseal(&generation.private_key).map_err(|error| RemoveError::Key {
        name: name.clone(),
        error,
    })?;
    let access = Access {
        environment: &credential.environment,
        token: &generation.token,
        signer: &key,
        credential_id: generation.credential_id.as_ref(),
    };
    match client.sign(access, Action::TEST_CALL).await {
        Ok(_) => Err(RemoveError::StillHonoured(name.clone())),
        Err(error) => unless_dead(error, name, access),
    }
}

async fn user_unused(unlocked: &Unlocked<'_>, client: &Client, name: &CredentialName) -> Result<(), RemoveError> {
    match Administrator::open(unlocked, name)?.session(client).log_in().await {
        Ok(()) => Err(RemoveError::StillHonoured(name.clone())),
        Err(CallError::Login(SigningError::Challenge(error) | SigningError::Signature(error)))
            if !matches!(error, ApiError::Refused { status: 400..=404, .. }) =>
        {
            Err(RemoveError::Unknown {
                name: name.clone(),
                error,
            })
        }
        Err(_) => Ok(()),
    }
}

/// A token that Dfns refuses is dead. One that it knows still reads, even where its key no longer signs.
fn unless_dead(error: SigningError, name: &CredentialName, access: Access<'_>) -> Result<(), RemoveError> {
    match diagnose(error, access.token.claims(), access.environment) {
        Refusal::TokenExpired { .. } | Refusal::TokenRefused { .. } => Ok(()),
        Refusal::Call(error) => Err(RemoveError::Unknown {
            name: name.clone(),
            error,
        }),
        Refusal::OtherOrganisation { .. }
        | Refusal::OtherRegion { .. }
        | Refusal::NotAllowed { .. }
        | Refusal::NoKeyRegistered
        | Refusal::OtherKey { .. }
        | Refusal::KeyGone { .. }
        | Refusal::OriginRefused { .. } => Err(RemoveError::StillHonoured(name.clone())),
    }
}
