//! The organisation's user as whom the API is used, and how a key becomes that user's.
//!
//! Enrolling trades a one-time code for a registered key. The key is sealed before the code is even asked for, and once
//! more with the user's name before the code is spent, so that a lost answer can be found out about by logging in.

use secrecy::SecretString;
use thiserror::Error;

use super::job::{JobError, THE_KEY, new_key, open_key, random};
use super::settings::{Asked, same};
use crate::api::{ApiError, CallError, Client, SigningError, UserSession};
use crate::keys::PrivateKey;
use crate::model::credential::{
    AnyCredential, Credential, Enrolling, Environment, Kind, PendingGeneration, Stage, UserGeneration,
};
use crate::model::ids::{CredentialId, CredentialName, OrganisationId, Username};
use crate::model::record::PublicRecord;
use crate::vault::{Edit, FreeName, Unlocked};

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
    /// What any job may meet.
    #[error(transparent)]
    Job(JobError),
}

impl<E> From<E> for AdministratorError
where
    JobError: From<E>,
{
    fn from(error: E) -> Self {
        Self::Job(error.into())
    }
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
            key: open_key(THE_KEY, &credential.name, private_key)?,
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
    asked: Asked,
    expected_user: Option<&Username>,
) -> Result<Begun<'a>, AdministratorError> {
    let name = edit.name().clone();
    let credential = match edit.take() {
        None => return fresh(edit, asked).await.map(Begun::NeedsCode),
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
    asked.agree_with(&begun)?;
    if let Some(username) = &begun.username {
        same(&name, "the user", Some(username), expected_user)?;
    }
    resume(edit, client, credential).await
}

async fn fresh(mut edit: Edit<'_>, asked: Asked) -> Result<Enrolment<'_>, AdministratorError> {
    let (name, now) = (edit.name().clone(), edit.vault().clock().now());
    let key = new_key(Stage::AwaitingToken, asked.key.as_ref()).await?;
    let credential = Credential::new(name, Kind::User, asked.environment()?, now, key);
    edit.put(&credential).await?;
    Ok(Enrolment { credential, edit })
}

async fn resume<'a>(
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
    let PendingGeneration {
        private_key,
        public_key,
        stage: _,
    } = &credential.current;
    let user = UserGeneration {
        private_key: private_key.clone(),
        public_key: public_key.clone(),
        username: enrolling.username,
        credential_id: Some(enrolling.credential_id),
    };
    let (name, environment) = (credential.name.clone(), credential.environment.clone());
    Credential {
        upkeep: credential.upkeep.clone(),
        ..Credential::new(name, credential.kind, environment, credential.created_at, user)
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
        credential_id: CredentialId::of_bytes(&random::<24>()?),
    };
    credential.current.stage = Stage::Enrolling(enrolling.clone());
    edit.put(&credential).await?;
    let key = open_key(THE_KEY, &credential.name, &credential.current.private_key)?;
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
