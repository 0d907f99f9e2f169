//! Who is known here, and what they have: keys and permissions.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::judge::JudgedKey;
use crate::model::credential::Kind;

/// A key registered for an identity.
pub(super) struct RegisteredKey {
    pub(super) id: String,
    pub(super) pem: String,
    pub(super) uuid: String,
    pub(super) key: JudgedKey,
    pub(super) active: bool,
}

/// A service account or personal access token with its one token, or a user.
pub(super) struct Identity {
    pub(super) kind: Kind,
    pub(super) user_id: String,
    pub(super) token_id: String,
    pub(super) name: String,
    pub(super) external_id: Option<String>,
    /// For a personal access token: the user who made it.
    pub(super) linked_user_id: Option<String>,
    pub(super) active: bool,
    pub(super) created_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) keys: Vec<RegisteredKey>,
    pub(super) assignments: Vec<Assignment>,
}

/// A named set of operations.
pub(super) struct Permission {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) operations: Vec<String>,
}

/// A permission given to an identity.
pub(super) struct Assignment {
    pub(super) id: String,
    pub(super) permission_id: String,
}

impl Identity {
    /// One without a key and without an end.
    pub(super) fn new(kind: Kind, user_id: String, token_id: String, name: &str, created_at: Timestamp) -> Self {
        Self {
            kind,
            user_id,
            token_id,
            name: name.to_owned(),
            external_id: None,
            linked_user_id: None,
            active: true,
            created_at,
            expires_at: Timestamp::MAX,
            keys: Vec::new(),
            assignments: Vec::new(),
        }
    }

    /// What an account is addressed by.
    pub(super) fn is_addressed(&self, kind: Kind, id: &str) -> bool {
        let own = if kind == Kind::Pat {
            &self.token_id
        } else {
            &self.user_id
        };
        self.kind == kind && own == id
    }

    /// A challenge that its active keys may answer, as the vendor sends it.
    pub(super) fn challenged(&self, challenge: &str, identifier: &str) -> Value {
        let keys = self.keys.iter().filter(|key| key.active);
        let keys: Vec<Value> = keys.map(|key| json!({"type": "public-key", "id": key.id})).collect();
        json!({
            "challenge": challenge,
            "challengeIdentifier": identifier,
            "allowCredentials": {"key": keys, "webauthn": []},
            "supportedCredentialKinds": [{"kind": "Key", "factor": "first", "requiresSecondFactor": false}],
            "userVerification": "required",
            "attestation": "direct",
            "externalAuthenticationUrl": "",
        })
    }
}
