//! A credential and its states. A state is a type: a pending credential has no token to be missing.

pub(in crate::model) mod generation;
pub(in crate::model) mod key_material;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::delivery::Delivery;
use super::ids::{ApplicationId, CredentialName, IdentityId, OrganisationId, TokenId};
use super::rotation::Rotating;
use super::token::Claims;
use super::upkeep::Upkeep;
use super::url::{ApiUrl, Origin};

pub use key_material::{HeldReference, KeyIsHeld, KeyMaterial};

pub use generation::{
    ActiveGeneration, Created, Enrolling, PendingGeneration, PublicKeyText, Registering, Stage, UserGeneration,
};

/// Which kind of Dfns identity a credential signs for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Kind {
    /// A service account of the organisation.
    #[cfg_attr(feature = "cli", value(help = None::<&str>))]
    ServiceAccount,
    /// A personal access token of one of its users.
    #[cfg_attr(feature = "cli", value(help = None::<&str>))]
    Pat,
    /// One of its users, who has no lasting token and logs in with the key.
    #[cfg_attr(feature = "cli", value(help = None::<&str>))]
    User,
}

impl Kind {
    /// The words a sentence uses.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::ServiceAccount => "service account",
            Self::Pat => "personal access token",
            Self::User => "user",
        }
    }

    /// What the token of an account of this kind says of the account: what it is addressed by, and the token's id.
    #[must_use]
    pub fn account_ids(self, claims: &Claims) -> (Option<IdentityId>, Option<TokenId>) {
        let identity_id = match self {
            // Its user is another identity.
            Self::Pat => claims.token_id.clone().map(IdentityId::from),
            Self::ServiceAccount => claims.user_id.clone(),
            Self::User => None,
        };
        (identity_id, claims.token_id.clone())
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
    /// Active, and a new key is on its way in.
    Rotating,
    /// Active with a new key, and the old one works too.
    Retiring,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Rotating => "rotating",
            Self::Retiring => "retiring",
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
    /// The fingerprints of other keys that Dfns may know the account by, those that had been registered last at the end.
    pub earlier_keys: Vec<String>,
    /// The places that it is kept up to date in.
    pub deliveries: Vec<Delivery>,
    /// What a reviewed file wants of it.
    pub upkeep: Option<Upkeep>,
    /// Key and, once active, token.
    pub current: G,
}

impl<G> Credential<G> {
    /// A new one, with its first key.
    pub fn new(name: CredentialName, kind: Kind, environment: Environment, created_at: Timestamp, current: G) -> Self {
        Self {
            name,
            kind,
            environment,
            created_at,
            rotated_at: None,
            generation: 1,
            earlier_keys: Vec::new(),
            deliveries: Vec::new(),
            upkeep: None,
            current,
        }
    }

    /// The same credential with another generation in it.
    pub fn with_generation<H>(self, convert: impl FnOnce(G) -> H) -> Credential<H> {
        let Self {
            name,
            kind,
            environment,
            created_at,
            rotated_at,
            generation,
            earlier_keys,
            deliveries,
            upkeep,
            current,
        } = self;
        Credential {
            name,
            kind,
            environment,
            created_at,
            rotated_at,
            generation,
            earlier_keys,
            deliveries,
            upkeep,
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
    /// A proven pair with a rotation under way.
    Rotating(Credential<Rotating>),
    /// A user who logs in.
    User(Credential<UserGeneration>),
}

/// Why programs cannot use a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unusable {
    /// It is pending.
    #[error("it has no token yet")]
    NoToken,
    /// It is a user, who logs in and has no lasting token.
    #[error("it is a user, who logs in and has no lasting token")]
    User,
}

/// What is the same whatever the state.
macro_rules! in_any {
    ($any:expr, $credential:ident => $what:expr) => {
        match $any {
            AnyCredential::Pending($credential) => $what,
            AnyCredential::Active($credential) => $what,
            AnyCredential::Rotating($credential) => $what,
            AnyCredential::User($credential) => $what,
        }
    };
}

impl AnyCredential {
    /// The places that it is kept up to date in.
    #[must_use]
    pub fn deliveries(&self) -> &[Delivery] {
        in_any!(self, credential => &credential.deliveries)
    }

    /// What a reviewed file wants of it.
    #[must_use]
    pub fn upkeep(&self) -> Option<&Upkeep> {
        match self {
            Self::Pending(credential) => credential.upkeep.as_ref(),
            Self::Active(credential) => credential.upkeep.as_ref(),
            Self::Rotating(credential) => credential.upkeep.as_ref(),
            Self::User(credential) => credential.upkeep.as_ref(),
        }
    }

    /// Says what a reviewed file wants of it.
    pub fn keep_up(&mut self, upkeep: Option<Upkeep>) {
        in_any!(self, credential => credential.upkeep = upkeep);
    }

    /// Gives it another local name.
    pub fn rename(&mut self, name: CredentialName) {
        in_any!(self, credential => credential.name = name);
    }

    /// Key and token as programs use them; during a rotation, those in use now.
    ///
    /// # Errors
    /// When it has none.
    pub fn into_usable(self) -> Result<(Environment, ActiveGeneration), Unusable> {
        match self {
            Self::Active(credential) => Ok((credential.environment, credential.current)),
            Self::Rotating(credential) => Ok((credential.environment, credential.current.active)),
            Self::Pending(_) => Err(Unusable::NoToken),
            Self::User(_) => Err(Unusable::User),
        }
    }
}
