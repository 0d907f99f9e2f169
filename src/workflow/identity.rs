//! Which account at Dfns a token belongs to: what it says itself, or else what Dfns lets it know. And which one a key does.

use crate::api::accounts::RemoteAccount;
use crate::api::{Access, Client};
use crate::keys::pem::same_public_key;
use crate::model::credential::Kind;
use crate::model::ids::{CredentialId, IdentityId, TokenId};

/// What the account is addressed by, and its token's id. Not every token says it, and not every account may look itself
/// up: what nobody tells stays unknown.
pub(super) async fn account_ids(
    client: &Client,
    access: Access<'_>,
    kind: Kind,
    credential_id: &CredentialId,
) -> (Option<IdentityId>, Option<TokenId>) {
    match kind.account_ids(access.token.claims()) {
        (None, said) => match client.own_ids(access, kind, credential_id).await {
            Ok(Some((identity_id, token_id))) => (Some(identity_id), Some(token_id)),
            Ok(None) | Err(_) => (None, said),
        },
        said => said,
    }
}

/// Whether an account has this public key.
pub(super) fn has_key(account: &RemoteAccount, public_key: &str) -> bool {
    account.public_keys.iter().any(|key| same_public_key(key, public_key))
}
