//! Attempts to create something at Dfns that were given up on.

use serde::{Deserialize, Serialize};

use super::ids::CredentialId;

/// An attempt to create of which nobody knows whether it took effect. It may yet, so that the next one has a key, a
/// name and an external id of its own, and this one is looked for again, by its key, before the job ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// The public key it was made with, as PEM.
    pub public_key: String,
    /// Of the public key: `SHA256:` and unpadded base64.
    pub fingerprint: String,
    /// For a second key of an account: what signatures were to name it by. An account of its own has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_id: Option<CredentialId>,
}
