//! A credential and its states. A state is a type: a pending credential has no token to be missing.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ids::{ApplicationId, CredentialId, CredentialName, IdentityId, OrganisationId, TokenId};
use super::secret::PrivateKeyPem;
use super::token::AuthToken;
use super::url::{ApiUrl, Origin};

/// Which kind of Dfns identity a credential signs for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A service account of the organisation.
    ServiceAccount,
    /// A personal access token of one of its users.
    Pat,
}

impl Kind {
    /// The words a sentence uses.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::ServiceAccount => "service account",
            Self::Pat => "personal access token",
        }
    }
}

/// Where a credential stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The key is sealed, the token still to come.
    Pending,
    /// Token and key were proven together.
    Active,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Active => "active",
        })
    }
}

/// Where and as what a credential is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Where the API is.
    pub api_url: ApiUrl,
    /// The origin named in client data.
    pub origin: Origin,
    /// The application, where one is configured.
    pub application_id: Option<ApplicationId>,
    /// The organisation: what the user said, or else what the token says.
    pub organisation_id: Option<OrganisationId>,
}

/// A public key, as metadata: what a dashboard takes and a person compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKeyText {
    /// SPKI PEM (RFC 5280, RFC 7468), with one trailing new line.
    pub pem: String,
    /// `SHA256:` and unpadded base64 of the SHA-256 of the SPKI DER.
    pub fingerprint: String,
}

/// A key waiting for its token.
pub struct PendingGeneration {
    /// The private key.
    pub private_key: PrivateKeyPem,
    /// Its public half.
    pub public_key: PublicKeyText,
}

/// A key and the token it was proven with.
pub struct ActiveGeneration {
    /// The private key.
    pub private_key: PrivateKeyPem,
    /// Its public half.
    pub public_key: PublicKeyText,
    /// The token.
    pub token: AuthToken,
    /// What signatures name the key by.
    pub credential_id: CredentialId,
    /// The identity the token belongs to, where known.
    pub identity_id: Option<IdentityId>,
    /// The token's id, where known.
    pub token_id: Option<TokenId>,
}

/// A credential, as the vault's sealed part holds it.
pub struct Credential<G> {
    /// Its local name.
    pub name: CredentialName,
    /// The kind of identity.
    pub kind: Kind,
    /// Where it is used.
    pub environment: Environment,
    /// When its first key was made.
    pub created_at: Timestamp,
    /// When its key was last replaced.
    pub rotated_at: Option<Timestamp>,
    /// Counts the keys, from 1.
    pub generation: u32,
    /// Key and, once active, token.
    pub current: G,
}

impl<G> Credential<G> {
    /// The same credential with another generation in it.
    pub fn with_generation<H>(self, convert: impl FnOnce(G) -> H) -> Credential<H> {
        let Self {
            name,
            kind,
            environment,
            created_at,
            rotated_at,
            generation,
            current,
        } = self;
        Credential {
            name,
            kind,
            environment,
            created_at,
            rotated_at,
            generation,
            current: convert(current),
        }
    }
}

/// A credential in whichever state it was found.
pub enum AnyCredential {
    /// A key without a token.
    Pending(Credential<PendingGeneration>),
    /// A proven pair.
    Active(Credential<ActiveGeneration>),
}

/// What may be known of a credential without unlocking the vault: the `public` part of its file, and the words of
/// `list` and `show`. It is for display: only what was unsealed is believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicRecord {
    /// Its local name.
    pub name: CredentialName,
    /// The kind of identity.
    pub kind: Kind,
    /// Where it stands.
    pub state: State,
    /// Where the API is.
    pub api_url: ApiUrl,
    /// The origin named in client data.
    pub origin: Origin,
    /// The application, where one is configured.
    pub app_id: Option<ApplicationId>,
    /// The organisation, where known.
    pub org_id: Option<OrganisationId>,
    /// The identity, where known.
    pub identity_id: Option<IdentityId>,
    /// The token's id, where known.
    pub token_id: Option<TokenId>,
    /// What signatures name the key by.
    pub credential_id: Option<CredentialId>,
    /// Of the public key: `SHA256:` and unpadded base64.
    pub fingerprint: String,
    /// SPKI PEM.
    pub public_key: String,
    /// When its first key was made.
    pub created_at: Timestamp,
    /// When its key was last replaced.
    pub rotated_at: Option<Timestamp>,
    /// When the token ends, from its claims.
    pub token_expires_at: Option<Timestamp>,
    /// Counts the keys, from 1.
    pub generation: u32,
}

impl From<&AnyCredential> for PublicRecord {
    fn from(credential: &AnyCredential) -> Self {
        match credential {
            AnyCredential::Pending(pending) => Self::from(pending),
            AnyCredential::Active(active) => Self::from(active),
        }
    }
}

impl From<&Credential<PendingGeneration>> for PublicRecord {
    fn from(credential: &Credential<PendingGeneration>) -> Self {
        let PendingGeneration {
            private_key: _,
            public_key,
        } = &credential.current;
        Self::of(credential, State::Pending, public_key)
    }
}

impl From<&Credential<ActiveGeneration>> for PublicRecord {
    fn from(credential: &Credential<ActiveGeneration>) -> Self {
        let ActiveGeneration {
            private_key: _,
            public_key,
            token,
            credential_id,
            identity_id,
            token_id,
        } = &credential.current;
        Self {
            identity_id: identity_id.clone(),
            token_id: token_id.clone(),
            credential_id: Some(credential_id.clone()),
            token_expires_at: token.claims().expires_at,
            ..Self::of(credential, State::Active, public_key)
        }
    }
}

impl PublicRecord {
    fn of<G>(credential: &Credential<G>, state: State, public_key: &PublicKeyText) -> Self {
        let Credential {
            name,
            kind,
            environment:
                Environment {
                    api_url,
                    origin,
                    application_id,
                    organisation_id,
                },
            created_at,
            rotated_at,
            generation,
            current: _,
        } = credential;
        Self {
            name: name.clone(),
            kind: *kind,
            state,
            api_url: api_url.clone(),
            origin: origin.clone(),
            app_id: application_id.clone(),
            org_id: organisation_id.clone(),
            identity_id: None,
            token_id: None,
            credential_id: None,
            fingerprint: public_key.fingerprint.clone(),
            public_key: public_key.pem.clone(),
            created_at: *created_at,
            rotated_at: *rotated_at,
            token_expires_at: None,
            generation: *generation,
        }
    }
}
