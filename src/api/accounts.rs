//! Service accounts, personal access tokens and permissions, as an organisation's user manages them.

use reqwest::Method;
use secrecy::ExposeSecret;
use secrecy::SecretString;

use super::client::{Call, Client};
use super::error::{ApiError, Stage};
use super::login::{CallError, UserSession};
use super::user_action::{Access, Action};
use super::wire;
use crate::model::credential::Kind;
use crate::model::ids::{CredentialId, ExternalId, IdentityId, PermissionId, TokenId};
use crate::model::token::AuthToken;

/// A list of more pages than this, or larger, is somebody keeping us busy.
const MOST_PAGES: usize = 1_000;
const LARGEST_LIST: usize = 64 * 1024 * 1024;
const LONGEST_PAGE_TOKEN: usize = 4 * 1024;
/// How often a signed call is begun anew while it surely has not happened.
const ATTEMPTS: usize = 4;

/// An account to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewAccount<'a> {
    /// Service account or personal access token.
    pub kind: Kind,
    /// Its name at Dfns, which is unique there.
    pub name: &'a str,
    /// SPKI PEM.
    pub public_key: &'a str,
    /// How long its token lives; Dfns decides where this is left out.
    pub days_valid: Option<u32>,
    /// What makes a half-finished creation findable.
    pub external_id: &'a ExternalId,
}

/// An account that was made. The token is shown this once.
pub struct CreatedAccount {
    /// The token.
    pub token: AuthToken,
    /// What permissions are assigned to.
    pub identity_id: IdentityId,
    /// The token's id.
    pub token_id: TokenId,
    /// What signatures name the key by, where the answer says so.
    pub credential_id: Option<CredentialId>,
}

/// An account as Dfns lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteAccount {
    /// Service account or personal access token.
    pub kind: Kind,
    /// What it is activated, deactivated and deleted by, and what permissions are assigned to.
    pub identity_id: IdentityId,
    /// The id of its token, where it is listed.
    pub token_id: Option<TokenId>,
    /// Its name.
    pub name: String,
    /// Whether its token is accepted.
    pub active: bool,
    /// The public keys of its tokens, as PEM.
    pub public_keys: Vec<String>,
    /// The permissions it has.
    pub permissions: Vec<PermissionId>,
}

/// What to do with an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountVerb {
    /// Let its token be accepted again.
    Activate,
    /// Refuse its token from now on.
    Deactivate,
    /// Make an end of it.
    Delete,
}

impl UserSession<'_> {
    /// Makes an account: three requests. Not repeated where it may have happened.
    ///
    /// # Errors
    /// When it is refused, needs an approval, or the answer is lost.
    pub async fn create(&self, account: NewAccount<'_>) -> Result<CreatedAccount, CallError> {
        let NewAccount {
            kind,
            name,
            public_key,
            days_valid,
            external_id,
        } = account;
        let mut body = serde_json::json!({"name": name, "publicKey": public_key, "externalId": external_id});
        if let Some(days) = days_valid {
            body["daysValid"] = days.into();
        }
        let body = body.to_string();
        let answer = self.mutate(&Method::POST, collection(kind), Some(&body)).await?;
        let host = self.environment().api_url.host();
        let incomplete = || ApiError::NotDfns {
            host: host.to_owned(),
            what: "a new account without its token",
        };
        let (token, identity_id) = match kind {
            Kind::Pat => {
                let token: wire::NewToken = parse(host, &answer)?;
                let identity_id = IdentityId::new(token.token_id.clone());
                (token, identity_id)
            }
            Kind::ServiceAccount | Kind::User => {
                let account: wire::NewServiceAccount = parse(host, &answer)?;
                let token = account.access_tokens.into_iter().next().ok_or_else(incomplete)?;
                (token, IdentityId::new(account.user_info.user_id))
            }
        };
        let text = SecretString::from(token.access_token);
        Ok(CreatedAccount {
            token: AuthToken::parse(text.expose_secret()).map_err(|_| incomplete())?,
            identity_id,
            token_id: TokenId::new(token.token_id),
            credential_id: Some(token.cred_id).filter(|id| !id.is_empty()).map(CredentialId::new),
        })
    }

    /// All accounts of a kind that this user may see.
    ///
    /// # Errors
    /// When the list is refused or cannot be had.
    pub async fn accounts(&self, kind: Kind) -> Result<Vec<RemoteAccount>, CallError> {
        Ok(match kind {
            Kind::Pat => {
                let tokens: Vec<wire::AccessToken> = self.list(collection(kind)).await?;
                tokens.into_iter().map(RemoteAccount::from_token).collect()
            }
            Kind::ServiceAccount | Kind::User => {
                let accounts: Vec<wire::ServiceAccount> = self.list(collection(kind)).await?;
                accounts.into_iter().map(RemoteAccount::from_account).collect()
            }
        })
    }

    /// One account.
    ///
    /// # Errors
    /// When there is none, or it cannot be had.
    pub async fn account(&self, kind: Kind, id: &IdentityId) -> Result<RemoteAccount, CallError> {
        let path = format!("{}/{id}", collection(kind));
        Ok(match kind {
            Kind::Pat => RemoteAccount::from_token(self.get(&path).await?),
            Kind::ServiceAccount | Kind::User => RemoteAccount::from_account(self.get(&path).await?),
        })
    }

    /// Activates, deactivates or deletes an account. Doing it twice is the same as once, so a lost answer is asked for
    /// again.
    ///
    /// # Errors
    /// When it is refused, needs an approval, or cannot be done.
    pub async fn change(&self, kind: Kind, id: &IdentityId, verb: AccountVerb) -> Result<(), CallError> {
        let path = format!("{}/{id}", collection(kind));
        let (method, path, body) = match verb {
            AccountVerb::Activate => (Method::PUT, format!("{path}/activate"), Some("{}")),
            AccountVerb::Deactivate => (Method::PUT, format!("{path}/deactivate"), Some("{}")),
            AccountVerb::Delete => (Method::DELETE, path, None),
        };
        let mut last = self.mutate(&method, &path, body).await;
        for _ in 1..ATTEMPTS {
            match &last {
                Err(error) if error.may_have_happened() => last = self.mutate(&method, &path, body).await,
                _ => break,
            }
        }
        last.map(drop)
    }

    /// Gives an identity a permission: three requests. Not repeated where it may have happened.
    ///
    /// # Errors
    /// When it is refused, needs an approval, or the answer is lost.
    pub async fn assign(&self, permission: &PermissionId, identity: &IdentityId) -> Result<(), CallError> {
        let path = format!("/permissions/{permission}/assignments");
        let body = serde_json::json!({ "identityId": identity }).to_string();
        self.mutate(&Method::POST, &path, Some(&body)).await.map(drop)
    }

    /// All permissions of the organisation: id and name.
    ///
    /// # Errors
    /// When the list is refused or cannot be had.
    pub async fn permissions(&self) -> Result<Vec<(PermissionId, String)>, CallError> {
        let permissions: Vec<wire::NamedPermission> = self.list("/permissions").await?;
        Ok(permissions
            .into_iter()
            .map(|permission| (PermissionId::new(permission.id), permission.name))
            .collect())
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.call(async |access| Ok(self.client().read(access, path).await?))
            .await
    }

    async fn list<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, CallError> {
        let mut items = Vec::new();
        let mut target = path.to_owned();
        let mut size = 0;
        for _ in 0..MOST_PAGES {
            let (page, bytes): (wire::Page<T>, usize) = self
                .call(async |access| Ok(self.client().read_sized(access, &target).await?))
                .await?;
            items.extend(page.items);
            size += bytes;
            match page.next_page_token.filter(|token| !token.is_empty()) {
                Some(token) if size <= LARGEST_LIST && token.len() <= LONGEST_PAGE_TOKEN => {
                    let query: String = url::form_urlencoded::byte_serialize(token.as_bytes()).collect();
                    target = format!("{path}?paginationToken={query}");
                }
                Some(_) => break,
                None => return Ok(items),
            }
        }
        // Part of a list would be taken for the whole.
        Err(CallError::Call(ApiError::NotDfns {
            host: self.environment().api_url.host().to_owned(),
            what: "a list without end",
        }))
    }

    async fn mutate(&self, method: &Method, path: &str, body: Option<&str>) -> Result<Vec<u8>, CallError> {
        self.call(async |access| self.client().mutate(access, method, path, body).await)
            .await
    }
}

impl Client {
    /// A call that changes state: signed, then sent once with the very bytes that were signed. Begun anew only while it
    /// surely has not happened.
    pub(super) async fn mutate(
        &self,
        access: Access<'_>,
        method: &Method,
        path: &str,
        body: Option<&str>,
    ) -> Result<Vec<u8>, CallError> {
        let mut attempt = 1;
        loop {
            let action = Action {
                method: method.as_str(),
                path,
                payload: body.unwrap_or_default(),
            };
            let signed = self.sign(access, action).await.map_err(CallError::Signing)?;
            let call = Call {
                api_url: &access.environment.api_url,
                method: method.clone(),
                target: path,
                token: Some(access.token),
                application_id: access.environment.application_id.as_ref(),
                user_action: Some(signed.user_action.expose_secret()),
                body: body.map(|body| body.as_bytes().to_vec()),
            };
            match self.send(&call).await {
                Ok(answer) => return Ok(answer.body),
                Err(error) if attempt < ATTEMPTS && surely_not_done(&error) && self.pause(&error, attempt).await => {
                    attempt += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Failures that leave no doubt, and may pass.
fn surely_not_done(error: &ApiError) -> bool {
    match error {
        ApiError::RateLimited { .. } => true,
        ApiError::Unreachable { stage, .. } => matches!(stage, Stage::Dns | Stage::Connect),
        _ => false,
    }
}

fn collection(kind: Kind) -> &'static str {
    match kind {
        Kind::Pat => "/auth/pats",
        Kind::ServiceAccount | Kind::User => "/auth/service-accounts",
    }
}

// An answer that came but does not parse: the account exists, and its token is lost with it.
pub(super) fn parse<T: serde::de::DeserializeOwned>(host: &str, body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|_| ApiError::Unreachable {
        host: host.to_owned(),
        stage: Stage::Broken,
        reason: "the answer to a creation is not whole".to_owned(),
    })
}

impl RemoteAccount {
    fn from_token(token: wire::AccessToken) -> Self {
        Self {
            kind: Kind::Pat,
            identity_id: IdentityId::new(token.token_id.clone()),
            token_id: Some(TokenId::new(token.token_id)),
            name: token.name,
            active: token.is_active,
            public_keys: vec![token.public_key],
            permissions: permission_ids(token.permission_assignments),
        }
    }

    fn from_account(account: wire::ServiceAccount) -> Self {
        let mut permissions = permission_ids(account.user_info.permission_assignments);
        let token_id = account.access_tokens.first().map(|token| TokenId::new(&token.token_id));
        let mut public_keys = Vec::new();
        for token in account.access_tokens {
            public_keys.push(token.public_key);
            permissions.extend(permission_ids(token.permission_assignments));
        }
        permissions.sort();
        permissions.dedup();
        Self {
            kind: Kind::ServiceAccount,
            identity_id: IdentityId::new(account.user_info.user_id),
            token_id,
            name: account.user_info.name,
            active: account.user_info.is_active,
            public_keys,
            permissions,
        }
    }
}

fn permission_ids(assignments: Vec<wire::PermissionAssignment>) -> Vec<PermissionId> {
    assignments
        .into_iter()
        .map(|assignment| PermissionId::new(assignment.permission_id))
        .collect()
}
