//! What an identity is registered with and may do, as far as it may read that itself.

use std::collections::BTreeSet;

use reqwest::Method;

use super::answer::parse;
use super::call::Call;
use super::client::Client;
use super::error::ApiError;
use super::user_action::Access;
use super::wire;
use crate::model::credential::Kind;
use crate::model::effect::Effect;
use crate::model::ids::{CredentialId, IdentityId, TokenId};

/// A list of more pages than this, or larger, is somebody keeping us busy.
const MOST_PAGES: usize = 1_000;
const LARGEST_LIST: usize = 64 * 1024 * 1024;
const LONGEST_PAGE_TOKEN: usize = 4 * 1024;

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

    /// Reads a list page by page, until what is looked for is on one.
    ///
    /// # Errors
    /// When a page is refused or cannot be had, or there is no end of them.
    pub(super) async fn find_listed<T: serde::de::DeserializeOwned, R>(
        &self,
        access: Access<'_>,
        path: &str,
        mut look: impl FnMut(Vec<T>) -> Option<R>,
    ) -> Result<Option<R>, ApiError> {
        let mut target = path.to_owned();
        let mut size = 0;
        for _ in 0..MOST_PAGES {
            let (page, bytes): (wire::Page<T>, usize) = self.read_sized(access, &target).await?;
            if let Some(found) = look(page.items) {
                return Ok(Some(found));
            }
            size += bytes;
            match page.next_page_token.filter(|token| !token.is_empty()) {
                Some(token) if size <= LARGEST_LIST && token.len() <= LONGEST_PAGE_TOKEN => {
                    let query: String = url::form_urlencoded::byte_serialize(token.as_bytes()).collect();
                    target = format!("{path}?paginationToken={query}");
                }
                Some(_) => break,
                None => return Ok(None),
            }
        }
        // Part of a list would be taken for the whole.
        Err(ApiError::NotDfns {
            host: access.environment.api_url.host().to_owned(),
            what: "a list without end",
            effect: Effect::None,
        })
    }

    /// All of a list.
    ///
    /// # Errors
    /// As [`Self::find_listed`].
    pub(super) async fn list<T: serde::de::DeserializeOwned>(
        &self,
        access: Access<'_>,
        path: &str,
    ) -> Result<Vec<T>, ApiError> {
        let mut all = Vec::new();
        let keep = |items| {
            all.extend::<Vec<T>>(items);
            None::<()>
        };
        self.find_listed(access, path, keep).await?;
        Ok(all)
    }

    pub(super) async fn read<T: serde::de::DeserializeOwned>(
        &self,
        access: Access<'_>,
        path: &str,
    ) -> Result<T, ApiError> {
        self.read_sized(access, path).await.map(|(value, _)| value)
    }

    /// The same, and how many bytes it took.
    pub(super) async fn read_sized<T: serde::de::DeserializeOwned>(
        &self,
        access: Access<'_>,
        path: &str,
    ) -> Result<(T, usize), ApiError> {
        let call = Call {
            api_url: &access.environment.api_url,
            method: Method::GET,
            target: path,
            token: Some(access.token),
            application_id: access.environment.application_id.as_ref(),
            user_action: None,
            body: None,
            changes: false,
        };
        self.retrying(async || {
            let answer = self.send(&call).await?;
            Ok((parse(&call, &answer.body)?, answer.body.len()))
        })
        .await
    }
}

impl Client {
    /// A request that changes nothing although it is a POST, so that passing failures are waited out.
    pub(super) async fn post_unsigned<T: serde::de::DeserializeOwned>(
        &self,
        access: Access<'_>,
        path: &str,
        body: &str,
    ) -> Result<T, ApiError> {
        let call = Call {
            api_url: &access.environment.api_url,
            method: Method::POST,
            target: path,
            token: Some(access.token),
            application_id: access.environment.application_id.as_ref(),
            user_action: None,
            body: Some(body.as_bytes().to_vec()),
            changes: false,
        };
        self.retrying(async || self.send_json(&call).await)
            .await
            .map(|(value, _)| value)
    }
}

fn own(tokens: Vec<wire::AccessToken>, credential_id: &CredentialId) -> Option<wire::AccessToken> {
    tokens
        .into_iter()
        .find(|token| token.cred_id.as_ref() == Some(credential_id))
}
