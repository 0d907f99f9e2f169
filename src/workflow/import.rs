//! Taking in what people have today: a key in a file, a Postman environment, a `.env` file.

use std::str::FromStr;

use thiserror::Error;

use super::onboard::{self, OnboardError, Onboarded};
use super::refusal::check_claims;
use super::settings::Asked;
use super::sharing::{Sharer, sharers};
use super::sources::{Source, Subject, Unreadable, Variable};
use crate::api::Client;
use crate::keys::mend::read_mending;
use crate::keys::{KeyError, PrivateKey};
use crate::model::credential::{ActiveGeneration, Credential, Environment, Kind, PendingGeneration, Stage};
use crate::model::ids::{CredentialId, CredentialName, IdError};
use crate::model::record::PublicRecord;
use crate::model::token::{AuthToken, TokenShapeError};
use crate::model::url::{ApiUrl, UrlError};
use crate::model::user_action::Signer;
use crate::vault::{FreeName, Vault};

/// What a source does not give.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The source cannot be read.
    #[error("{}: {}", .0.label, .0.message)]
    Unreadable(Unreadable),
    /// A variable is not there, or empty.
    #[error("{label} has no {variable}")]
    Missing {
        /// The source.
        label: String,
        /// What the source would call it.
        variable: &'static str,
    },
    /// The key is unusable.
    #[error("{variable} in {label} {error}")]
    Key {
        /// The source.
        label: String,
        /// What the source calls it.
        variable: &'static str,
        /// In which way.
        error: KeyError,
    },
    /// The token is none.
    #[error("{variable} in {label}: {error}")]
    Token {
        /// The source.
        label: String,
        /// What the source calls it.
        variable: &'static str,
        /// In which way.
        error: TokenShapeError,
    },
    /// An address is none.
    #[error("{variable} in {label}: {error}")]
    Address {
        /// The source.
        label: String,
        /// What the source calls it.
        variable: &'static str,
        /// In which way.
        error: UrlError,
    },
    /// An id is none.
    #[error("{variable} in {label}: {error}")]
    Id {
        /// The source.
        label: String,
        /// What the source calls it.
        variable: &'static str,
        /// In which way.
        error: IdError,
    },
    /// Without asking Dfns there is no telling which key of the identity it is.
    #[error("the credential id is not known, and without a call to Dfns it cannot be learnt")]
    CredentialIdUnknown,
    /// Other names have the key or the token already.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    KnownAlready(Vec<Sharer>),
    /// Its name is taken, the pair is refused, or the vault refuses.
    #[error(transparent)]
    Onboard(#[from] OnboardError),
}

/// What is taken in.
pub struct Imported {
    /// Where it is used.
    pub environment: Environment,
    /// The private key, mended where its source had wounded it.
    pub key: PrivateKey,
    /// The wound, if there was one.
    pub wound: Option<KeyError>,
    /// The token.
    pub token: AuthToken,
    /// The credential's id, where it is known.
    pub credential_id: Option<CredentialId>,
}

impl Imported {
    /// Takes key, token and the rest out of a source. What the user says goes before what the source says.
    ///
    /// # Errors
    /// What the source lacks, or what in it is no key, token or address.
    pub fn in_source(
        subject: &Subject,
        asked: &Asked,
        mut credential_id: Option<CredentialId>,
    ) -> Result<Self, ImportError> {
        let label = || subject.label.clone();
        let needed = |variable: &Variable| {
            let value = variable.value().map(|value| zeroize::Zeroizing::new(value.to_owned()));
            value.ok_or(ImportError::Missing {
                label: label(),
                variable: variable.name,
            })
        };
        let (key, wound) = read_mending(&needed(&subject.private_key)?).map_err(|error| ImportError::Key {
            label: label(),
            variable: subject.private_key.name,
            error,
        })?;
        let token = AuthToken::parse(&needed(&subject.token)?).map_err(|error| ImportError::Token {
            label: label(),
            variable: subject.token.name,
            error,
        })?;
        let address = |variable: &Variable, error| ImportError::Address {
            label: label(),
            variable: variable.name,
            error,
        };
        let mut all = asked.clone();
        if let (None, Some(text)) = (&all.api_url, subject.api_url.value()) {
            all.api_url = Some(api_url(subject, text).map_err(|error| address(&subject.api_url, error))?);
        }
        if let (None, Some(text)) = (&all.origin, subject.origin.value()) {
            all.origin = Some(text.parse().map_err(|error| address(&subject.origin, error))?);
        }
        id(subject, &subject.application_id, &mut all.application_id)?;
        id(subject, &subject.organisation_id, &mut all.organisation_id)?;
        id(subject, &subject.credential_id, &mut credential_id)?;
        Ok(Self {
            environment: all.environment().map_err(OnboardError::from)?,
            key,
            wound,
            token,
            credential_id,
        })
    }

    /// Proves key and token by the signed test call and seals them as active.
    ///
    /// # Errors
    /// When they do not go together or could not be tried, or the name is taken; then the vault is as it was.
    pub async fn prove_and_seal(
        self,
        free: FreeName<'_>,
        client: &Client,
        kind: Kind,
    ) -> Result<Onboarded, ImportError> {
        let credential = pending(&free, kind, self.environment, &self.key);
        Ok(onboard::complete_free(client, free, credential, self.token).await?)
    }

    /// Seals key and token as active, with no more proof than what the token says of itself.
    ///
    /// # Errors
    /// When the token has ended or is another organisation's, the credential's id is not known, or the name is taken.
    pub async fn seal_unproven(self, mut free: FreeName<'_>, kind: Kind) -> Result<PublicRecord, ImportError> {
        let credential_id = self.credential_id.ok_or(ImportError::CredentialIdUnknown)?;
        let claims = self.token.claims().clone();
        let mut credential = pending(&free, kind, self.environment, &self.key);
        check_claims(&claims, &credential.environment, free.vault().clock().now()).map_err(|refusal| {
            OnboardError::Refused {
                name: credential.name.clone(),
                refusal,
                fingerprint: credential.current.public_key.fingerprint.clone(),
                organisation_id: claims.organisation_id.clone(),
            }
        })?;
        let (identity_id, token_id) = kind.account_ids(&claims);
        credential.environment.organisation_id = credential.environment.organisation_id.or(claims.organisation_id);
        let credential = credential.with_generation(|pending| ActiveGeneration {
            private_key: pending.private_key,
            public_key: pending.public_key,
            token: self.token,
            credential_id: Some(credential_id),
            identity_id,
            token_id,
        });
        free.put(&credential).await.map_err(OnboardError::from)?;
        Ok(PublicRecord::from(&credential))
    }
}

/// Refuses a key or token that another name of the vault has: what is retired under one name would stop under the other.
///
/// # Errors
/// When another name has it, or the vault cannot be read.
pub async fn refuse_known(
    vault: &Vault,
    name: &CredentialName,
    fingerprint: &str,
    token: Option<&AuthToken>,
) -> Result<(), ImportError> {
    let sharers = sharers(vault, name, fingerprint, token)
        .await
        .map_err(OnboardError::from)?;
    if sharers.is_empty() {
        Ok(())
    } else {
        Err(ImportError::KnownAlready(sharers))
    }
}

/// Seals a key that has no token yet; `onboard NAME --token-file` brings it.
///
/// # Errors
/// When the name is taken or the vault refuses.
pub async fn seal_key(
    mut free: FreeName<'_>,
    kind: Kind,
    environment: Environment,
    key: &PrivateKey,
) -> Result<PublicRecord, ImportError> {
    let credential = pending(&free, kind, environment, key);
    free.put(&credential).await.map_err(OnboardError::from)?;
    Ok(PublicRecord::from(&credential))
}

fn pending(
    free: &FreeName<'_>,
    kind: Kind,
    environment: Environment,
    key: &PrivateKey,
) -> Credential<PendingGeneration> {
    let generation = PendingGeneration {
        private_key: key.to_sealable(),
        public_key: key.public_key(),
        stage: Stage::AwaitingToken,
    };
    let (name, now) = (free.name().clone(), free.vault().clock().now());
    Credential::new(name, kind, environment, now, generation)
}

/// An id of a source, where the user does not say another.
fn id<T: FromStr<Err = IdError>>(
    subject: &Subject,
    variable: &Variable,
    said: &mut Option<T>,
) -> Result<(), ImportError> {
    if said.is_none() {
        *said = variable.read().transpose().map_err(|error| ImportError::Id {
            label: subject.label.clone(),
            variable: variable.name,
            error,
        })?;
    }
    Ok(())
}

/// Postman keeps a host name alone. Where somebody wrote the scheme too, what was meant is clear.
fn api_url(subject: &Subject, text: &str) -> Result<ApiUrl, UrlError> {
    if subject.source == Source::Postman && !text.contains("://") {
        format!("{}://{text}", subject.scheme).parse()
    } else {
        text.parse()
    }
}
