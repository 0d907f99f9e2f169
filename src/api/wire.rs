//! The vendor's JSON, as it is on the wire. Unknown fields are let be, optional ones may be missing.

use serde::Deserialize;

use crate::model::ids::{
    AssignmentId, CredentialId, CredentialUuid, IdentityId, PermissionId, TokenId, Username, where_known,
};

/// Answers and what they are made of.
macro_rules! answers {
    ($($(#[$about:meta])* $name:ident { $($(#[$how:meta])* $field:ident: $kind:ty,)* })*) => {$(
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        $(#[$about])*
        pub(super) struct $name {
            $($(#[$how])* pub(super) $field: $kind,)*
        }
    )*};
}

answers! {
    Challenge {
        challenge: String,
        challenge_identifier: String,
        #[serde(default)]
        allow_credentials: AllowCredentials,
    }
    #[derive(Default)]
    #[serde(default)]
    AllowCredentials {
        key: Vec<AllowedCredential>,
    }
    AllowedCredential {
        #[serde(default, deserialize_with = "where_known")]
        id: Option<CredentialId>,
    }
    UserAction {
        user_action: String,
    }
    #[derive(Default)]
    #[serde(default)]
    AccessToken {
        #[serde(deserialize_with = "where_known")]
        cred_id: Option<CredentialId>,
        public_key: String,
        #[serde(deserialize_with = "where_known")]
        token_id: Option<TokenId>,
        #[serde(deserialize_with = "where_known")]
        linked_user_id: Option<IdentityId>,
        name: String,
        is_active: bool,
        permission_assignments: Vec<PermissionAssignment>,
    }
    PermissionAssignment {
        #[serde(default, deserialize_with = "where_known")]
        assignment_id: Option<AssignmentId>,
        permission_id: PermissionId,
        operations: Option<Vec<String>>,
    }
    ServiceAccount {
        user_info: UserInfo,
        #[serde(default)]
        access_tokens: Vec<AccessToken>,
    }
    #[derive(Default)]
    #[serde(default)]
    UserInfo {
        #[serde(deserialize_with = "where_known")]
        user_id: Option<IdentityId>,
        name: String,
        is_active: bool,
        permission_assignments: Vec<PermissionAssignment>,
    }
    Permission {
        #[serde(default)]
        operations: Vec<String>,
    }
    NamedPermission {
        id: PermissionId,
        #[serde(default)]
        name: String,
    }
    LoginAnswer {
        token: String,
    }
    CodeChallenge {
        challenge: String,
        challenge_identifier: String,
        user: CodeUser,
    }
    CodeUser {
        name: Username,
    }
    NewServiceAccount {
        user_info: UserInfo,
        access_tokens: Vec<NewToken>,
    }
    NewToken {
        access_token: String,
        token_id: TokenId,
        #[serde(default, deserialize_with = "where_known")]
        cred_id: Option<CredentialId>,
    }
    #[derive(Default)]
    #[serde(default)]
    Credential {
        #[serde(deserialize_with = "where_known")]
        credential_id: Option<CredentialId>,
        #[serde(deserialize_with = "where_known")]
        credential_uuid: Option<CredentialUuid>,
        public_key: String,
        is_active: bool,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page<T> {
    #[serde(default = "Vec::new")]
    pub(super) items: Vec<T>,
    pub(super) next_page_token: Option<String>,
}

impl Challenge {
    /// The keys that may answer it.
    pub(super) fn keys(&self) -> Vec<CredentialId> {
        let keys = &self.allow_credentials.key;
        keys.iter().filter_map(|key| key.id.clone()).collect()
    }
}
