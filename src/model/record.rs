//! What is public of a credential.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::credential::{
    ActiveGeneration, AnyCredential, Credential, Environment, Kind, PendingGeneration, PublicKeyText, Stage, State,
    UserGeneration,
};
use super::delivery::PublicDelivery;
use super::ids::{
    ApplicationId, CredentialId, CredentialName, IdentityId, OrganisationId, TokenId, Username, where_known,
};
use super::rotation::{Grace, Rotating, RotationStage};
use super::token::AuthToken;
use super::upkeep::Upkeep;
use super::url::{ApiUrl, Origin};

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
    /// Who logs in, for a user.
    pub username: Option<Username>,
    /// What signatures name the key by, where known.
    #[serde(default, deserialize_with = "where_known")]
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
    /// The fingerprints of other keys that Dfns may know the account by, those that had been registered last at the end.
    /// Files of before lack it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_fingerprints: Vec<String>,
    /// What tells the token from others without being one. Files of before lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_fingerprint: Option<String>,
    /// The places that it is kept up to date in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deliveries: Vec<PublicDelivery>,
    /// The rotation under way. Files of before lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<PublicRotation>,
    /// What a reviewed file wants of it. Files of before lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upkeep: Option<Upkeep>,
}

/// What may be known of a rotation by whoever can read the vault's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicRotation {
    /// When it began.
    pub started_at: Timestamp,
    /// When the new key became active, if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted_at: Option<Timestamp>,
    /// How long the old key stays from then on.
    pub grace: Grace,
}

/// The field of a record that holds what is none of its kind, and in which way: an earlier version took any text for an id.
#[must_use]
pub fn refused_in(public: &Value) -> Option<(&'static str, String)> {
    fn wrong<T: FromStr<Err: fmt::Display>>(public: &Value, field: &'static str) -> Option<(&'static str, String)> {
        let text = public.get(field)?.as_str().filter(|text| !text.is_empty())?;
        Some((field, text.parse::<T>().err()?.to_string()))
    }
    wrong::<ApplicationId>(public, "app_id")
        .or_else(|| wrong::<OrganisationId>(public, "org_id"))
        .or_else(|| wrong::<IdentityId>(public, "identity_id"))
        .or_else(|| wrong::<TokenId>(public, "token_id"))
        .or_else(|| wrong::<CredentialId>(public, "credential_id"))
        .or_else(|| wrong::<Username>(public, "username"))
        .or_else(|| wrong::<Origin>(public, "origin"))
        .or_else(|| wrong::<ApiUrl>(public, "api_url"))
}

impl From<&AnyCredential> for PublicRecord {
    fn from(credential: &AnyCredential) -> Self {
        match credential {
            AnyCredential::Pending(pending) => Self::from(pending),
            AnyCredential::Active(active) => Self::from(active),
            AnyCredential::Rotating(rotating) => Self::from(rotating),
            AnyCredential::User(user) => Self::from(user),
        }
    }
}

impl From<&Credential<Rotating>> for PublicRecord {
    fn from(credential: &Credential<Rotating>) -> Self {
        let state = match credential.current.stage {
            RotationStage::Preparing(_) => State::Rotating,
            RotationStage::Retiring(_) => State::Retiring,
        };
        let promoted_at = match &credential.current.stage {
            RotationStage::Preparing(_) => None,
            RotationStage::Retiring(outgoing) => Some(outgoing.promoted_at),
        };
        let journal = &credential.current.journal;
        Self {
            rotation: Some(PublicRotation {
                started_at: journal.started_at,
                promoted_at,
                grace: journal.grace,
            }),
            ..Self::of_active(credential, state, &credential.current.active)
        }
    }
}

impl From<&Credential<UserGeneration>> for PublicRecord {
    fn from(credential: &Credential<UserGeneration>) -> Self {
        let UserGeneration {
            private_key: _,
            public_key,
            username,
            credential_id,
        } = &credential.current;
        Self {
            username: Some(username.clone()),
            credential_id: credential_id.clone(),
            ..Self::of(credential, State::Active, public_key)
        }
    }
}

impl From<&Credential<PendingGeneration>> for PublicRecord {
    fn from(credential: &Credential<PendingGeneration>) -> Self {
        let PendingGeneration {
            private_key: _,
            public_key,
            stage,
        } = &credential.current;
        let record = Self::of(credential, State::Pending, public_key);
        match stage {
            Stage::AwaitingToken | Stage::Registering(_) => record,
            Stage::Created(created) => Self {
                identity_id: Some(created.identity_id.clone()),
                token_id: Some(created.token_id.clone()),
                credential_id: created.credential_id.clone(),
                token_expires_at: created.token.claims().expires_at,
                token_fingerprint: Some(created.token.fingerprint()),
                ..record
            },
            Stage::Enrolling(enrolling) => Self {
                username: Some(enrolling.username.clone()),
                credential_id: Some(enrolling.credential_id.clone()),
                ..record
            },
        }
    }
}

impl From<&Credential<ActiveGeneration>> for PublicRecord {
    fn from(credential: &Credential<ActiveGeneration>) -> Self {
        Self::of_active(credential, State::Active, &credential.current)
    }
}

impl PublicRecord {
    /// Whether it has the key of this fingerprint: as its own, or on its way out.
    #[must_use]
    pub fn has_key(&self, fingerprint: &str) -> bool {
        let outgoing = self
            .earlier_fingerprints
            .last()
            .filter(|_| self.state == State::Retiring);
        self.fingerprint == fingerprint || outgoing.is_some_and(|outgoing| outgoing == fingerprint)
    }

    /// Whether its token is this one; `None` where the file does not tell.
    #[must_use]
    pub fn has_token(&self, token: &AuthToken) -> Option<bool> {
        match (&self.token_fingerprint, &self.token_id, &token.claims().token_id) {
            (Some(ours), ..) => Some(*ours == token.fingerprint()),
            (None, Some(ours), Some(theirs)) => Some(ours == theirs),
            (None, ..) => None,
        }
    }

    fn of_active<G>(credential: &Credential<G>, state: State, generation: &ActiveGeneration) -> Self {
        let ActiveGeneration {
            private_key: _,
            public_key,
            token,
            credential_id,
            identity_id,
            token_id,
        } = generation;
        Self {
            identity_id: identity_id.clone(),
            token_id: token_id.clone(),
            credential_id: credential_id.clone(),
            token_expires_at: token.claims().expires_at,
            token_fingerprint: Some(token.fingerprint()),
            ..Self::of(credential, state, public_key)
        }
    }

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
            earlier_keys,
            deliveries,
            upkeep,
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
            username: None,
            credential_id: None,
            fingerprint: public_key.fingerprint.clone(),
            public_key: public_key.pem.clone(),
            created_at: *created_at,
            rotated_at: *rotated_at,
            token_expires_at: None,
            generation: *generation,
            earlier_fingerprints: earlier_keys.clone(),
            token_fingerprint: None,
            deliveries: deliveries
                .iter()
                .filter(|delivery| !delivery.forgotten)
                .map(|delivery| PublicDelivery::of(delivery, &public_key.fingerprint))
                .collect(),
            rotation: None,
            upkeep: upkeep.clone(),
        }
    }
}
