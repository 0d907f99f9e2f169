//! The organisation's user as whom the API is used, and how a key becomes that user's.
//!
//! Enrolling trades a one-time code for a registered key. The key is sealed before the code is even asked for, and once
//! more with the user's name before the code is spent, so that a lost answer can be found out about by logging in.

use secrecy::SecretString;
use thiserror::Error;

use super::settings::{OtherSettings, Wishes, same};
use crate::api::{ApiError, CallError, Client, SigningError, UserSession};
use crate::keys::{KeyError, KeyPair, PrivateKey, RandomnessError, pem};
use crate::model::credential::{
    AnyCredential, Credential, Enrolling, Environment, Kind, PendingGeneration, Stage, UserGeneration,
};
use crate::model::ids::{CredentialId, CredentialName, OrganisationId, Username};
use crate::model::record::PublicRecord;
use crate::model::url::UrlError;
use crate::vault::{Edit, FreeName, Unlocked, VaultError};

/// A user could not be enrolled or used.
#[derive(Debug, Error)]
pub enum AdministratorError {
    /// The credential of that name is something else.
    #[error("{name} is a {kind}, and only an organisation's user may do this")]
    NotAUser {
        /// The credential.
        name: CredentialName,
        /// What it is.
        kind: &'static str,
    },
    /// Its enrolment is not finished.
    #[error("{0} is not enrolled yet")]
    NotEnrolled(CredentialName),
    /// It is enrolled already.
    #[error("{0} is enrolled already")]
    AlreadyEnrolled(CredentialName),
    /// It was begun with other settings.
    #[error(transparent)]
    OtherSettings(#[from] OtherSettings),
    /// Neither the user nor Dfns said which organisation.
    #[error("Dfns did not say which organisation {username} belongs to")]
    OrganisationUnknown {
        /// Who.
        username: Username,
    },
    /// The code is another user's.
    #[error("the code belongs to {found}, not to {expected}")]
    OtherUser {
        /// Whose it is.
        found: Username,
        /// Whose it should be.
        expected: Username,
    },
    /// Dfns refuses the code, or could not be asked.
    #[error("the one-time code: {0}")]
    Code(CallError),
    /// Logging in with the key failed.
    #[error(transparent)]
    Login(CallError),
    /// The sealed key is unusable.
    #[error("the sealed key of {name} {error}")]
    Key {
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

/// An enrolled user, unsealed.
pub struct Administrator {
    environment: Environment,
    organisation_id: OrganisationId,
    username: Username,
    key: PrivateKey,
    credential_id: Option<CredentialId>,
}

impl Administrator {
    /// Takes an enrolled user out of the vault.
    ///
    /// # Errors
    /// When the credential is another kind's, not finished, or cannot be opened.
    pub async fn open(unlocked: &Unlocked<'_>, name: &CredentialName) -> Result<Self, AdministratorError> {
        let refuse = |kind: Kind| AdministratorError::NotAUser {
            name: name.clone(),
            kind: kind.in_words(),
        };
        match unlocked.get(name).await? {
            AnyCredential::User(credential) => Self::from_credential(&credential),
            AnyCredential::Active(credential) => Err(refuse(credential.kind)),
            AnyCredential::Rotating(credential) => Err(refuse(credential.kind)),
            AnyCredential::Pending(credential) if credential.kind == Kind::User => {
                Err(AdministratorError::NotEnrolled(name.clone()))
            }
            AnyCredential::Pending(credential) => Err(refuse(credential.kind)),
        }
    }

    fn from_credential(credential: &Credential<UserGeneration>) -> Result<Self, AdministratorError> {
        let UserGeneration {
            private_key,
            public_key: _,
            username,
            credential_id,
        } = &credential.current;
        Ok(Self {
            organisation_id: credential.environment.organisation_id.clone().ok_or_else(|| {
                AdministratorError::OrganisationUnknown {
                    username: username.clone(),
                }
            })?,
            environment: credential.environment.clone(),
            username: username.clone(),
            key: pem::unseal(private_key).map_err(|error| AdministratorError::Key {
                name: credential.name.clone(),
                error,
            })?,
            credential_id: credential_id.clone(),
        })
    }

    /// Where this user acts; the defaults for what it makes.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The organisation it belongs to.
    #[must_use]
    pub fn organisation_id(&self) -> &OrganisationId {
        &self.organisation_id
    }

    /// A session that logs in when it is first needed.
    #[must_use]
    pub fn session<'a>(&'a self, client: &'a Client) -> UserSession<'a> {
        UserSession::new(
            client,
            &self.environment,
            &self.organisation_id,
            &self.username,
            &self.key,
            self.credential_id.as_ref(),
        )
    }
}

/// A key that is sealed and waits for its code, or for word whether its code was spent.
pub struct Enrolment<'a> {
    credential: Credential<PendingGeneration>,
    edit: Edit<'a>,
}

/// How an enrolment stands before a code is asked for.
pub enum Begun<'a> {
    /// It needs a code.
    NeedsCode(Enrolment<'a>),
    /// An earlier run had already succeeded without knowing: logging in works.
    Enrolled(PublicRecord),
}

/// Seals a new key for a user, or takes up an enrolment that was cut short, which it finds out about by logging in.
///
/// # Errors
/// When the name is taken, the enrolment was begun with other settings, the vault refuses, or Dfns could not be asked how
/// an earlier run ended.
pub async fn begin<'a>(
    mut edit: Edit<'a>,
    client: &Client,
    wishes: Wishes,
    expected_user: Option<&Username>,
) -> Result<Begun<'a>, AdministratorError> {
    let name = edit.name().clone();
    let credential = match edit.take() {
        None => return fresh(edit, wishes.environment()?).await.map(Begun::NeedsCode),
        Some(AnyCredential::Pending(credential)) if credential.kind == Kind::User => credential,
        Some(AnyCredential::User(_)) => return Err(AdministratorError::AlreadyEnrolled(name)),
        Some(other) => {
            return Err(AdministratorError::NotAUser {
                name,
                kind: PublicRecord::from(&other).kind.in_words(),
            });
        }
    };
    let begun = PublicRecord::from(&credential);
    wishes.agree_with(&begun)?;
    if let Some(username) = &begun.username {
        same(&name, "the user", Some(username), expected_user)?;
    }
    take_up(edit, client, credential).await
}

async fn fresh(mut edit: Edit<'_>, environment: Environment) -> Result<Enrolment<'_>, AdministratorError> {
    let pair = KeyPair::generate()?;
    let credential = Credential {
        name: edit.name().clone(),
        kind: Kind::User,
        environment,
        created_at: edit.vault().clock().now(),
        rotated_at: None,
        generation: 1,
        earlier_keys: Vec::new(),
        deliveries: Vec::new(),
        upkeep: None,
        current: PendingGeneration {
            private_key: pair.to_sealable(),
            public_key: pair.public_key().to_text(),
            stage: Stage::AwaitingToken,
        },
    };
    edit.put(&credential).await?;
    Ok(Enrolment { credential, edit })
}

async fn take_up<'a>(
    mut edit: Edit<'a>,
    client: &Client,
    credential: Credential<PendingGeneration>,
) -> Result<Begun<'a>, AdministratorError> {
    let Stage::Enrolling(enrolling) = credential.current.stage.clone() else {
        return Ok(Begun::NeedsCode(Enrolment { credential, edit }));
    };
    let user = as_user(&credential, enrolling);
    match Administrator::from_credential(&user)?.session(client).log_in().await {
        Ok(()) => {
            edit.put(&user).await?;
            Ok(Begun::Enrolled(PublicRecord::from(&user)))
        }
        // Refused: the key was never registered, and another code is needed.
        Err(error)
            if !matches!(error, CallError::Login(SigningError::Signer(_)))
                && error
                    .api_error()
                    .is_none_or(|error| matches!(error, ApiError::Refused { .. })) =>
        {
            Ok(Begun::NeedsCode(Enrolment { credential, edit }))
        }
        Err(error) => Err(AdministratorError::Login(error)),
    }
}

fn as_user(credential: &Credential<PendingGeneration>, enrolling: Enrolling) -> Credential<UserGeneration> {
    let Enrolling {
        username,
        credential_id,
    } = enrolling;
    Credential {
        name: credential.name.clone(),
        kind: credential.kind,
        environment: credential.environment.clone(),
        created_at: credential.created_at,
        rotated_at: credential.rotated_at,
        generation: credential.generation,
        earlier_keys: credential.earlier_keys.clone(),
        deliveries: Vec::new(),
        upkeep: None,
        current: UserGeneration {
            private_key: credential.current.private_key.clone(),
            public_key: credential.current.public_key.clone(),
            username,
            credential_id: Some(credential_id),
        },
    }
}

/// Spends the code: registers the key for the user whom the code belongs to, and proves it by logging in.
///
/// # Errors
/// When the code or the key is refused. After a lost answer [`begin`] finds out how it ended.
pub async fn enroll(
    client: &Client,
    enrolment: Enrolment<'_>,
    code: &SecretString,
    expected_user: Option<&Username>,
) -> Result<PublicRecord, AdministratorError> {
    let Enrolment {
        mut credential,
        mut edit,
    } = enrolment;
    let opened = client
        .open_code(&credential.environment, code)
        .await
        .map_err(|error| AdministratorError::Code(error.into()))?;
    if let Some(expected) = expected_user.filter(|expected| **expected != opened.username) {
        return Err(AdministratorError::OtherUser {
            found: opened.username,
            expected: expected.clone(),
        });
    }
    credential.environment.organisation_id = credential
        .environment
        .organisation_id
        .or_else(|| opened.organisation_id.clone());
    if credential.environment.organisation_id.is_none() {
        return Err(AdministratorError::OrganisationUnknown {
            username: opened.username,
        });
    }
    let enrolling = Enrolling {
        username: opened.username.clone(),
        credential_id: new_credential_id()?,
    };
    credential.current.stage = Stage::Enrolling(enrolling.clone());
    edit.put(&credential).await?;
    let key = pem::unseal(&credential.current.private_key).map_err(|error| AdministratorError::Key {
        name: credential.name.clone(),
        error,
    })?;
    let credential_name = format!("dfns-keys {}", credential.name);
    let credential_id = client
        .register_by_code(
            &credential.environment,
            &opened,
            &credential_name,
            &enrolling.credential_id,
            &key,
        )
        .await
        .map_err(AdministratorError::Code)?;
    let user = as_user(
        &credential,
        Enrolling {
            credential_id,
            ..enrolling
        },
    );
    let user = prove(client, user).await?;
    edit.put(&user).await?;
    Ok(PublicRecord::from(&user))
}

/// Logs in with a user's key, and learns the credential id that worked.
async fn prove(
    client: &Client,
    mut user: Credential<UserGeneration>,
) -> Result<Credential<UserGeneration>, AdministratorError> {
    let administrator = Administrator::from_credential(&user)?;
    let session = administrator.session(client);
    session.log_in().await.map_err(AdministratorError::Login)?;
    user.current.credential_id = session.credential_id().cloned();
    Ok(user)
}

/// Logs in with a user's key, and seals it as active when that works, with the credential id that worked.
///
/// # Errors
/// When the key is not accepted, or the vault refuses.
pub async fn prove_and_seal(
    mut free: FreeName<'_>,
    client: &Client,
    user: Credential<UserGeneration>,
) -> Result<PublicRecord, AdministratorError> {
    let user = prove(client, user).await?;
    free.put(&user).await?;
    Ok(PublicRecord::from(&user))
}

/// A credential id of our making: unique, base64url.
fn new_credential_id() -> Result<CredentialId, RandomnessError> {
    let mut bytes = [0_u8; 24];
    getrandom::fill(&mut bytes).map_err(|_| RandomnessError)?;
    Ok(CredentialId::of_bytes(&bytes))
}
