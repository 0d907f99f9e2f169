//! Service accounts, personal access tokens and permissions, as an organisation's user manages them.

use reqwest::Method;
use secrecy::ExposeSecret;
use secrecy::SecretString;

use super::answer::parse;
use super::error::ApiError;
use super::login::{CallError, UserSession};
use super::mutation::{Gone, acknowledged, until_done};
use super::wire;
use crate::model::credential::Kind;
use crate::model::effect::Effect;
use crate::model::ids::{AssignmentId, CredentialId, ExternalId, IdentityId, PermissionId, TokenId};
use crate::model::quoted::Foreign;
use crate::model::token::AuthToken;

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
    /// For a personal access token: whose it is.
    pub linked_user_id: Option<IdentityId>,
    /// Its name.
    pub name: Foreign,
    /// Whether its token is accepted.
    pub active: bool,
    /// The public keys of its tokens, as PEM.
    pub public_keys: Vec<String>,
    /// The permissions it has.
    pub permissions: Vec<PermissionId>,
    /// What those that it was given itself are taken away by, where the list says so.
    pub assignments: Vec<(PermissionId, AssignmentId)>,
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
        let host = self.environment().api_url.host();
        let incomplete = || ApiError::NotDfns {
            host: host.to_owned(),
            what: "a new account without its token",
            effect: Effect::Done,
        };
        let (token, identity_id) = match kind {
            Kind::Pat => {
                let token: wire::NewToken = self.create_at(collection(kind), &body).await?;
                let identity_id = token.token_id.clone().into();
                (token, identity_id)
            }
            Kind::ServiceAccount | Kind::User => {
                let account: wire::NewServiceAccount = self.create_at(collection(kind), &body).await?;
                let token = account.access_tokens.into_iter().next().ok_or_else(incomplete)?;
                (token, account.user_info.user_id.ok_or_else(incomplete)?)
            }
        };
        let text = SecretString::from(token.access_token);
        Ok(CreatedAccount {
            token: AuthToken::parse(text.expose_secret()).map_err(|_| incomplete())?,
            identity_id,
            token_id: token.token_id,
            credential_id: token.cred_id,
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
                self.named(tokens.into_iter().map(RemoteAccount::from_token).collect::<Option<_>>())?
            }
            Kind::ServiceAccount | Kind::User => {
                let accounts: Vec<wire::ServiceAccount> = self.list(collection(kind)).await?;
                self.named(
                    accounts
                        .into_iter()
                        .map(RemoteAccount::from_account)
                        .collect::<Option<_>>(),
                )?
            }
        })
    }

    /// What Dfns has named: without an id nothing can be done with it.
    fn named<T>(&self, listed: Option<T>) -> Result<T, CallError> {
        listed.ok_or_else(|| {
            let error = ApiError::NotDfns {
                host: self.environment().api_url.host().to_owned(),
                what: "an account without an id",
                effect: Effect::None,
            };
            error.into()
        })
    }

    /// One account.
    ///
    /// # Errors
    /// When there is none, or it cannot be had.
    pub async fn account(&self, kind: Kind, id: &IdentityId) -> Result<RemoteAccount, CallError> {
        let path = format!("{}/{id}", collection(kind));
        Ok(match kind {
            Kind::Pat => self.named(RemoteAccount::from_token(self.get(&path).await?))?,
            Kind::ServiceAccount | Kind::User => self.named(RemoteAccount::from_account(self.get(&path).await?))?,
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
        let gone = if verb == AccountVerb::Delete {
            Gone::IsDone
        } else {
            Gone::IsAFailure
        };
        until_done(gone, async || self.acknowledged(&method, &path, body).await).await
    }

    /// Gives an identity a permission: three requests. Not repeated where it may have happened.
    ///
    /// # Errors
    /// When it is refused, needs an approval, or the answer is lost.
    pub async fn assign(&self, permission: &PermissionId, identity: &IdentityId) -> Result<(), CallError> {
        let path = format!("/permissions/{permission}/assignments");
        let body = serde_json::json!({ "identityId": identity }).to_string();
        match self.acknowledged(&Method::POST, &path, Some(&body)).await {
            Err(error) if error.effect() == Effect::Done => Ok(()),
            outcome => outcome,
        }
    }

    /// Takes a permission from an identity. Doing it twice is the same as once, so a lost answer is asked for again.
    ///
    /// # Errors
    /// When it is refused, needs an approval, or cannot be done.
    pub async fn revoke(&self, permission: &PermissionId, assignment: &AssignmentId) -> Result<(), CallError> {
        let path = format!("/permissions/{permission}/assignments/{assignment}");
        let revoked = until_done(Gone::IsDone, async || {
            self.acknowledged(&Method::DELETE, &path, None).await
        });
        match revoked.await {
            // Somebody else took it in the meantime.
            Err(error) if error.is_not_found() => Ok(()),
            outcome => outcome,
        }
    }

    /// All permissions of the organisation: id and name.
    ///
    /// # Errors
    /// When the list is refused or cannot be had.
    pub async fn permissions(&self) -> Result<Vec<(PermissionId, Foreign)>, CallError> {
        let permissions: Vec<wire::NamedPermission> = self.list("/permissions").await?;
        Ok(permissions
            .into_iter()
            .map(|permission| (permission.id, Foreign::new(permission.name)))
            .collect())
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.call(async |access| Ok(self.client().read(access, path).await?))
            .await
    }

    async fn list<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, CallError> {
        self.call(async |access| Ok(self.client().list(access, path).await?))
            .await
    }

    async fn create_at<T: serde::de::DeserializeOwned>(&self, path: &str, body: &str) -> Result<T, CallError> {
        self.call(async |access| {
            self.client()
                .mutate(access, &Method::POST, path, Some(body), parse)
                .await
        })
        .await
    }

    async fn acknowledged(&self, method: &Method, path: &str, body: Option<&str>) -> Result<(), CallError> {
        self.call(async |access| self.client().mutate(access, method, path, body, acknowledged).await)
            .await
    }
}

fn collection(kind: Kind) -> &'static str {
    match kind {
        Kind::Pat => "/auth/pats",
        Kind::ServiceAccount | Kind::User => "/auth/service-accounts",
    }
}

impl RemoteAccount {
    /// None where Dfns does not say its id.
    fn from_token(token: wire::AccessToken) -> Option<Self> {
        Some(Self {
            kind: Kind::Pat,
            identity_id: token.token_id.clone()?.into(),
            token_id: token.token_id,
            linked_user_id: token.linked_user_id,
            name: Foreign::new(token.name),
            active: token.is_active,
            public_keys: vec![token.public_key],
            assignments: assignments(&token.permission_assignments),
            permissions: permission_ids(token.permission_assignments),
        })
    }

    fn from_account(account: wire::ServiceAccount) -> Option<Self> {
        let mut given = assignments(&account.user_info.permission_assignments);
        let mut permissions = permission_ids(account.user_info.permission_assignments);
        let token_id = account.access_tokens.first().and_then(|token| token.token_id.clone());
        let mut public_keys = Vec::new();
        for token in account.access_tokens {
            public_keys.push(token.public_key);
            given.extend(assignments(&token.permission_assignments));
            permissions.extend(permission_ids(token.permission_assignments));
        }
        given.sort();
        given.dedup();
        permissions.sort();
        permissions.dedup();
        Some(Self {
            kind: Kind::ServiceAccount,
            identity_id: account.user_info.user_id?,
            token_id,
            linked_user_id: None,
            name: Foreign::new(account.user_info.name),
            active: account.user_info.is_active,
            public_keys,
            permissions,
            assignments: given,
        })
    }
}

fn assignments(assignments: &[wire::PermissionAssignment]) -> Vec<(PermissionId, AssignmentId)> {
    assignments
        .iter()
        .filter_map(|one| Some((one.permission_id.clone(), one.assignment_id.clone()?)))
        .collect()
}

fn permission_ids(assignments: Vec<wire::PermissionAssignment>) -> Vec<PermissionId> {
    assignments
        .into_iter()
        .map(|assignment| assignment.permission_id)
        .collect()
}
