//! A second key for an identity that exists: registering, listing, activating and deactivating, as that identity itself.
//! Where its documents disagree whether service accounts and personal access tokens may, Dfns's answer decides.

use reqwest::Method;

use super::answer::parse;
use super::client::Client;
use super::error::ApiError;
use super::login::{CallError, credential_info};
use super::mutation::{Gone, acknowledged, until_done};
use super::user_action::Access;
use super::wire;
use crate::model::effect::Effect;
use crate::model::ids::{CredentialId, CredentialUuid};
use crate::model::user_action::Signer;

/// A key of an identity, as Dfns lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteKey {
    /// What signatures name it by, where the answer says so.
    pub credential_id: Option<CredentialId>,
    /// What it is activated and deactivated by, where the answer says so.
    pub credential_uuid: Option<CredentialUuid>,
    /// SPKI PEM.
    pub public_key: String,
    /// Whether its signatures are accepted.
    pub active: bool,
}

/// A key to be registered.
#[derive(Clone, Copy)]
pub struct NewKey<'a> {
    /// Its name at Dfns.
    pub name: &'a str,
    /// What signatures will name it by: unique, of our making.
    pub credential_id: &'a CredentialId,
    /// The new private key, which signs its own registration.
    pub signer: &'a dyn Signer,
}

impl Client {
    /// Registers a second key: four requests, the signed one by the old key. Not repeated where it may have happened.
    ///
    /// # Errors
    /// When it is refused (401 and 403: not offered here) or the answer is lost.
    pub async fn register_key(&self, access: Access<'_>, key: NewKey<'_>) -> Result<RemoteKey, CallError> {
        let challenge: wire::Challenge = self
            .post_unsigned(access, "/auth/credentials/init", r#"{"kind":"Key"}"#)
            .await?;
        let info = credential_info(access.environment, &challenge.challenge, key.credential_id, key.signer).await;
        let body = serde_json::json!({
            "challengeIdentifier": challenge.challenge_identifier,
            "credentialName": key.name,
            "credentialKind": "Key",
            "credentialInfo": info.map_err(|error| CallError::Signing(error.into()))?,
        })
        .to_string();
        let registered: wire::Credential = self
            .mutate(access, &Method::POST, "/auth/credentials", Some(&body), parse)
            .await?;
        Ok(RemoteKey::from_wire(registered, Some(key.credential_id)))
    }

    /// The identity's own keys.
    ///
    /// # Errors
    /// When the list is refused or cannot be had.
    pub async fn keys(&self, access: Access<'_>) -> Result<Vec<RemoteKey>, CallError> {
        let credentials: Vec<wire::Credential> = self.list(access, "/auth/credentials").await?;
        Ok(credentials
            .into_iter()
            .map(|credential| RemoteKey::from_wire(credential, None))
            .collect())
    }

    /// Lets a key's signatures be accepted or not. Twice is the same as once, so a lost answer is asked for again.
    ///
    /// # Errors
    /// When it is refused or cannot be done.
    pub async fn switch_key(&self, access: Access<'_>, key: &RemoteKey, active: bool) -> Result<(), CallError> {
        let Some(uuid) = &key.credential_uuid else {
            let error = ApiError::NotDfns {
                host: access.environment.api_url.host().to_owned(),
                what: "a key without an id",
                effect: Effect::None,
            };
            return Err(error.into());
        };
        let path = if active {
            "/auth/credentials/activate"
        } else {
            "/auth/credentials/deactivate"
        };
        let body = serde_json::json!({ "credentialUuid": uuid }).to_string();
        until_done(Gone::IsAFailure, async || {
            self.mutate(access, &Method::PUT, path, Some(&body), acknowledged).await
        })
        .await
    }
}

impl RemoteKey {
    fn from_wire(credential: wire::Credential, wished: Option<&CredentialId>) -> Self {
        Self {
            credential_id: credential.credential_id.or(wished.cloned()),
            credential_uuid: credential.credential_uuid,
            public_key: credential.public_key,
            active: credential.is_active,
        }
    }
}
