//! What an identity is registered with and may do, as far as it may read that itself.

use std::collections::BTreeSet;

use super::client::Client;
use super::error::ApiError;
use super::user_action::Access;
use super::wire;
use crate::model::credential::Kind;
use crate::model::ids::{CredentialId, IdentityId, TokenId};

/// What Dfns holds about one key of an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The public key, as PEM.
    pub public_key: String,
    /// The operations that its permissions grant, such as `Wallets:Create`.
    pub operations: BTreeSet<String>,
}

impl Client {
    /// Looks the caller's own key up among the tokens it may list: personal access tokens (no permission needed), then
    /// service accounts (`Auth:ServiceAccounts:Read`).
    ///
    /// # Errors
    /// When a list is refused or cannot be had.
    pub async fn registration(
        &self,
        access: Access<'_>,
        credential_id: &CredentialId,
    ) -> Result<Option<Registration>, ApiError> {
        let pats = |tokens| own(tokens, credential_id);
        let mut found = self.find_listed(access, "/auth/pats", pats).await?;
        if found.is_none() {
            let accounts = |accounts: Vec<wire::ServiceAccount>| {
                accounts.into_iter().find_map(|account| {
                    let assignments = account.user_info.permission_assignments;
                    let mut token = own(account.access_tokens, credential_id)?;
                    token.permission_assignments.extend(assignments);
                    Some(token)
                })
            };
            found = self.find_listed(access, "/auth/service-accounts", accounts).await?;
        }
        let Some(token) = found else { return Ok(None) };
        let mut operations = BTreeSet::new();
        for assignment in token.permission_assignments {
            if let Some(named) = assignment.operations {
                operations.extend(named);
            } else {
                let path = format!("/permissions/{}", assignment.permission_id);
                let permission: wire::Permission = self.read(access, &path).await?;
                operations.extend(permission.operations);
            }
        }
        Ok(Some(Registration {
            public_key: token.public_key,
            operations,
        }))
    }

    /// The ids of the caller's own account: what it is addressed by, and its token's. A service account needs
    /// `Auth:ServiceAccounts:Read`; a user has none.
    ///
    /// # Errors
    /// When the list is refused or cannot be had.
    pub async fn own_ids(
        &self,
        access: Access<'_>,
        kind: Kind,
        credential_id: &CredentialId,
    ) -> Result<Option<(IdentityId, TokenId)>, ApiError> {
        Ok(match kind {
            Kind::Pat => {
                let pats = |tokens| own(tokens, credential_id);
                let token = self.find_listed(access, "/auth/pats", pats).await?;
                token.and_then(|token| token.token_id).map(|id| (id.clone().into(), id))
            }
            Kind::ServiceAccount => {
                let accounts = |accounts: Vec<wire::ServiceAccount>| {
                    accounts.into_iter().find_map(|account| {
                        let token = own(account.access_tokens, credential_id)?;
                        Some((account.user_info.user_id?, token.token_id?))
                    })
                };
                self.find_listed(access, "/auth/service-accounts", accounts).await?
            }
            Kind::User => None,
        })
    }
}

fn own(tokens: Vec<wire::AccessToken>, credential_id: &CredentialId) -> Option<wire::AccessToken> {
    tokens
        .into_iter()
        .find(|token| token.cred_id.as_ref() == Some(credential_id))
}
