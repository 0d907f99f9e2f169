//! A rotation under way, as it is sealed beside the credential it concerns. Every step is recorded before the remote call
//! that needs it, and again after.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::attempt::Attempt;
use super::credential::generation::{ActiveGeneration, PublicKeyText};
use super::credential::key_material::KeyMaterial;
use super::ids::{CredentialId, ExternalId, IdentityId, PermissionId, TokenId};
use super::token::AuthToken;

/// How the new key comes to Dfns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// A second key for the same identity; the token stays.
    Credential,
    /// A new identity with the same permissions, made by an organisation's user.
    Replace,
    /// A person makes a new identity in the dashboard and brings its token.
    Dashboard,
}

impl Strategy {
    /// The word on the command line and in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Credential => "credential",
            Self::Replace => "replace",
            Self::Dashboard => "dashboard",
        }
    }
}

/// How long the old key stays after the new one is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grace {
    /// Until somebody says so.
    Manual,
    /// So many seconds.
    Seconds(u64),
}

/// What is remembered from the start of a rotation to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// The rotation's id, and the external id of what it makes.
    pub id: ExternalId,
    /// How the new key comes to Dfns.
    pub strategy: Strategy,
    /// How long the old key stays.
    pub grace: Grace,
    /// When it began.
    pub started_at: Timestamp,
    /// The name of the new account, where one is made.
    pub account_name: String,
    /// It is being undone.
    pub rolling_back: bool,
    /// What signatures are to name the next key by, where it is asked for as a second key of the same identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_id: Option<CredentialId>,
    /// Dfns said that somebody has to approve the new account.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub awaiting_approval: bool,
    /// Attempts to bring a new key in that may take effect yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// A switch that was asked for and may take effect yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<Switch>,
}

/// Dfns was asked to accept a generation or to refuse it, and whether it does is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    /// Whose key it is.
    pub fingerprint: String,
    /// Whether it is to be accepted.
    pub active: bool,
    /// When it was asked for, by Dfns's clock.
    pub asked_at: Timestamp,
}

/// A credential with a rotation under way.
pub struct Rotating {
    /// What works now, and is what everything but the rotation uses.
    pub active: ActiveGeneration,
    /// What is remembered throughout.
    pub journal: Journal,
    /// Where it stands.
    pub stage: RotationStage,
}

/// Before or after the promotion.
#[derive(Clone)]
pub enum RotationStage {
    /// The active generation is the old one; the next is being made.
    Preparing(Next),
    /// The active generation is the new one; the old one is on its way out.
    Retiring(Outgoing),
}

/// The next generation, on its way in.
#[derive(Clone)]
pub struct Next {
    /// Its private key.
    pub private_key: KeyMaterial,
    /// The public half.
    pub public_key: PublicKeyText,
    /// How far it came.
    pub step: NextStep,
}

/// How far the next generation came.
#[derive(Clone)]
pub enum NextStep {
    /// The key is sealed, and nobody else knows of it.
    KeySealed,
    /// Dfns is being asked to take it; whether it did is not known.
    Registering,
    /// Dfns has it.
    Registered(Registered),
    /// It was proven, and does not have fewer permissions than the old one.
    Proven(Registered),
}

/// What Dfns knows the next generation by.
#[derive(Clone)]
pub struct Registered {
    /// What signatures name the key by, where that is known.
    pub credential_id: Option<CredentialId>,
    /// The account, where it is a new one; otherwise the key is a second one of the same, and its token stays.
    pub account: Option<NewIdentity>,
}

/// An account of the next generation's own.
#[derive(Clone)]
pub struct NewIdentity {
    /// Its token.
    pub token: AuthToken,
    /// What it is addressed by, where known.
    pub identity_id: Option<IdentityId>,
    /// The token's id, where known.
    pub token_id: Option<TokenId>,
    /// The permissions of the old account that it still lacks.
    pub missing_permissions: Vec<PermissionId>,
}

impl Next {
    /// The generation that it would be, next to the active one; none where Dfns does not have it yet.
    #[must_use]
    pub fn generation(&self, active: &ActiveGeneration) -> Option<ActiveGeneration> {
        match &self.step {
            NextStep::KeySealed | NextStep::Registering => None,
            NextStep::Registered(registered) | NextStep::Proven(registered) => {
                Some(self.registered_as(registered, active))
            }
        }
    }

    /// The generation that it is with what Dfns knows it by.
    #[must_use]
    pub fn registered_as(&self, registered: &Registered, active: &ActiveGeneration) -> ActiveGeneration {
        let (token, identity_id, token_id) = match &registered.account {
            Some(account) => (&account.token, &account.identity_id, &account.token_id),
            None => (&active.token, &active.identity_id, &active.token_id),
        };
        ActiveGeneration {
            private_key: self.private_key.clone(),
            public_key: self.public_key.clone(),
            token: token.clone(),
            credential_id: registered.credential_id.clone(),
            identity_id: identity_id.clone(),
            token_id: token_id.clone(),
        }
    }
}

/// The old generation, on its way out.
#[derive(Clone)]
pub struct Outgoing {
    /// What worked before.
    pub previous: ActiveGeneration,
    /// When the new one became active.
    pub promoted_at: Timestamp,
    /// When the old one had itself replaced another: its age counts from there again after a rollback.
    pub rotated_before: Option<Timestamp>,
    /// Dfns is being asked to refuse it; whether it does is not known.
    pub retiring: bool,
    /// It was said to go whichever places may have it.
    pub regardless: bool,
}
