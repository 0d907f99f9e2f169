//! The vendor's JSON, as it is on the wire. Unknown fields are let be, optional ones may be missing.

use serde::{Deserialize, Serialize};

use crate::model::ids::{
    AssignmentId, CredentialId, CredentialUuid, IdentityId, PermissionId, TokenId, Username, where_known,
};

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

impl Challenge {
    /// The keys that may answer it.
    pub(super) fn keys(&self) -> Vec<CredentialId> {
        let keys = &self.allow_credentials.key;
        keys.iter().filter_map(|key| key.id.clone()).collect()
    }
}

#[derive(Deserialize, Default)]
pub(super) struct AllowCredentials {
    #[serde(default)]
    pub(super) key: Vec<AllowedCredential>,
}

#[derive(Deserialize)]
pub(super) struct AllowedCredential {
    #[serde(default, deserialize_with = "where_known")]
    pub(super) id: Option<CredentialId>,
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page<T> {
    #[serde(default = "Vec::new")]
    pub(super) items: Vec<T>,
    pub(super) next_page_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccessToken {
    #[serde(default, deserialize_with = "where_known")]
    pub(super) cred_id: Option<CredentialId>,
    #[serde(default)]
    pub(super) public_key: String,
    #[serde(default, deserialize_with = "where_known")]
    pub(super) token_id: Option<TokenId>,
    #[serde(default, deserialize_with = "where_known")]
    pub(super) linked_user_id: Option<IdentityId>,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) is_active: bool,
    #[serde(default)]
    pub(super) permission_assignments: Vec<PermissionAssignment>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PermissionAssignment {
    #[serde(default, deserialize_with = "where_known")]
    pub(super) assignment_id: Option<AssignmentId>,
    pub(super) permission_id: PermissionId,
    pub(super) operations: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServiceAccount {
    pub(super) user_info: UserInfo,
    #[serde(default)]
    pub(super) access_tokens: Vec<AccessToken>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserInfo {
    #[serde(default, deserialize_with = "where_known")]
    pub(super) user_id: Option<IdentityId>,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) is_active: bool,
    #[serde(default)]
    pub(super) permission_assignments: Vec<PermissionAssignment>,
}

#[derive(Deserialize)]
pub(super) struct Permission {
    #[serde(default)]
    pub(super) operations: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct NamedPermission {
    pub(super) id: PermissionId,
    #[serde(default)]
    pub(super) name: String,
}

#[derive(Deserialize)]
pub(super) struct LoginAnswer {
    pub(super) token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CodeChallenge {
    pub(super) challenge: String,
    pub(super) challenge_identifier: String,
    pub(super) user: CodeUser,
}

#[derive(Deserialize)]
pub(super) struct CodeUser {
    pub(super) name: Username,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RegisteredCredential {
    #[serde(default, deserialize_with = "where_known")]
    pub(super) credential_id: Option<CredentialId>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewServiceAccount {
    pub(super) user_info: UserInfo,
    pub(super) access_tokens: Vec<NewToken>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewToken {
    pub(super) access_token: String,
    pub(super) token_id: TokenId,
    #[serde(default, deserialize_with = "where_known")]
    pub(super) cred_id: Option<CredentialId>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeyChallenge {
    pub(super) challenge: String,
    pub(super) challenge_identifier: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Credential {
    #[serde(default, deserialize_with = "where_known")]
    pub(super) credential_id: Option<CredentialId>,
    #[serde(default, deserialize_with = "where_known")]
    pub(super) credential_uuid: Option<CredentialUuid>,
    #[serde(default)]
    pub(super) public_key: String,
    #[serde(default)]
    pub(super) is_active: bool,
}
