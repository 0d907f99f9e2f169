//! The vendor's JSON, as it is on the wire. Unknown fields are let be, optional ones may be missing.

use serde::{Deserialize, Serialize};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserActionInit<'a> {
    pub(super) user_action_payload: &'a str,
    pub(super) user_action_http_method: &'a str,
    pub(super) user_action_http_path: &'a str,
    pub(super) user_action_server_kind: &'static str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Challenge {
    pub(super) challenge: String,
    pub(super) challenge_identifier: String,
    #[serde(default)]
    pub(super) allow_credentials: AllowCredentials,
}

#[derive(Deserialize, Default)]
pub(super) struct AllowCredentials {
    #[serde(default)]
    pub(super) key: Vec<AllowedCredential>,
}

#[derive(Deserialize)]
pub(super) struct AllowedCredential {
    pub(super) id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SignedChallenge<'a> {
    pub(super) challenge_identifier: &'a str,
    pub(super) first_factor: FirstFactor<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FirstFactor<'a> {
    pub(super) kind: &'static str,
    pub(super) credential_assertion: CredentialAssertion<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CredentialAssertion<'a> {
    pub(super) cred_id: &'a str,
    pub(super) client_data: String,
    pub(super) signature: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserAction {
    pub(super) user_action: String,
}
