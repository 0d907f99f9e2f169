//! A key on its way: waiting for its token, proven with it, or a user's own.

use serde::{Deserialize, Serialize};

use crate::model::attempt::Attempt;
use crate::model::credential::key_material::KeyMaterial;
use crate::model::ids::{CredentialId, ExternalId, IdentityId, PermissionId, TokenId, Username};
use crate::model::token::AuthToken;

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
    pub private_key: KeyMaterial,
    /// Its public half.
    pub public_key: PublicKeyText,
    /// How far it came.
    pub stage: Stage,
}

/// How far a pending credential came. Each stage is sealed *before* the remote call that leads out of it.
#[derive(Clone)]
pub enum Stage {
    /// A person is to bring the token from the dashboard.
    AwaitingToken,
    /// The API is being asked to make the account; whether it did is not known.
    Registering(Registering),
    /// The account was made and its token is here; permissions or the proof are still missing.
    Created(Created),
    /// A user's key is being registered by a one-time code; whether it was is not known.
    Enrolling(Enrolling),
}

/// A creation that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registering {
    /// What makes it findable.
    pub external_id: ExternalId,
    /// The name asked for at Dfns.
    pub account_name: String,
    /// The permissions it is to have.
    pub permissions: Vec<PermissionId>,
    /// Dfns said that somebody has to approve it.
    pub awaiting_approval: bool,
    /// Earlier attempts that may take effect yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
}

/// An account whose token arrived.
#[derive(Clone)]
pub struct Created {
    /// The token, which exists nowhere else.
    pub token: AuthToken,
    /// What permissions are assigned to.
    pub identity_id: IdentityId,
    /// The token's id.
    pub token_id: TokenId,
    /// What signatures name the key by, where the answer said so.
    pub credential_id: Option<CredentialId>,
    /// The permissions that it still lacks.
    pub missing_permissions: Vec<PermissionId>,
    /// Earlier attempts that may take effect yet.
    pub attempts: Vec<Attempt>,
}

/// A user's key on its way to Dfns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolling {
    /// Whom the code belongs to.
    pub username: Username,
    /// What the key is registered as.
    pub credential_id: CredentialId,
}

/// A key that an organisation's user logs in with.
pub struct UserGeneration {
    /// The private key.
    pub private_key: KeyMaterial,
    /// Its public half.
    pub public_key: PublicKeyText,
    /// Who logs in.
    pub username: Username,
    /// What signatures name the key by, where that is known.
    pub credential_id: Option<CredentialId>,
}

/// A key and the token it was proven with.
#[derive(Clone)]
pub struct ActiveGeneration {
    /// The private key.
    pub private_key: KeyMaterial,
    /// Its public half.
    pub public_key: PublicKeyText,
    /// The token.
    pub token: AuthToken,
    /// What signatures name the key by, where that is known.
    pub credential_id: Option<CredentialId>,
    /// The identity the token belongs to, where known.
    pub identity_id: Option<IdentityId>,
    /// The token's id, where known.
    pub token_id: Option<TokenId>,
}
