//! Acting as an organisation's user: logging in with a `Key` credential, and registering one by a one-time code.
//!
//! The session token is short-lived: it is kept in memory only, and renewed when it ends in the middle of a job.

use std::fmt::Write as _;
use std::sync::OnceLock;

use base64ct::{Base64UrlUnpadded, Encoding};
use jiff::Timestamp;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio::sync::Mutex;

use super::call::Call;
use super::client::Client;
use super::error::ApiError;
use super::user_action::{Access, SigningError, assertion, bytes_of, candidates};
use super::wire;
use crate::model::credential::Environment;
use crate::model::effect::Effect;
use crate::model::ids::{CredentialId, IdentityId, OrganisationId, Username};
use crate::model::token::AuthToken;
use crate::model::user_action::{Ceremony, Signer, SignerError, client_data};

/// How often a session is renewed for the sake of one call.
const MOST_RENEWALS: usize = 5;

/// A call as a user failed.
#[derive(Debug, Error)]
pub enum CallError {
    /// Logging in was refused, or could not be tried.
    #[error("logging in: {0}")]
    Login(SigningError),
    /// The call was not signed.
    #[error(transparent)]
    Signing(SigningError),
    /// The call itself failed.
    #[error(transparent)]
    Call(#[from] ApiError),
}

impl CallError {
    /// The failure of the call itself or of one that led to it, where there is one.
    #[must_use]
    pub fn api_error(&self) -> Option<&ApiError> {
        match self {
            Self::Call(error)
            | Self::Signing(SigningError::Challenge(error) | SigningError::Signature(error))
            | Self::Login(SigningError::Challenge(error) | SigningError::Signature(error)) => Some(error),
            Self::Signing(_) | Self::Login(_) => None,
        }
    }

    /// What the call has done. One that was not even signed has done nothing, whatever became of the requests before it.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match self {
            Self::Call(error) => error.effect(),
            Self::Login(_) | Self::Signing(_) => Effect::None,
        }
    }

    /// Whether the call may have taken effect although its answer is missing.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        self.effect() != Effect::None
    }

    /// Whether somebody has to approve it first.
    #[must_use]
    pub fn awaits_approval(&self) -> bool {
        matches!(self, Self::Call(ApiError::AwaitingApproval))
    }

    /// Whether there is nothing where the call was sent.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Call(ApiError::Refused { status: 404, .. }))
    }

    /// Whether it looks as if the session had ended, at whichever step of the call that was.
    fn session_ended(&self) -> bool {
        matches!(
            self,
            Self::Call(ApiError::Refused { status: 401, .. })
                | Self::Signing(
                    SigningError::Challenge(ApiError::Refused { status: 401, .. })
                        | SigningError::Signature(ApiError::Refused { status: 401, .. })
                )
        )
    }
}

/// A user who acts through the API.
pub struct UserSession<'a> {
    client: &'a Client,
    environment: &'a Environment,
    organisation_id: &'a OrganisationId,
    username: &'a Username,
    signer: &'a dyn Signer,
    credential_id: Option<&'a CredentialId>,
    /// The key that fitted, where it was not known before.
    found: OnceLock<CredentialId>,
    token: Mutex<Option<AuthToken>>,
}

impl<'a> UserSession<'a> {
    /// A session that logs in when it is first needed.
    #[must_use]
    pub fn new(
        client: &'a Client,
        environment: &'a Environment,
        organisation_id: &'a OrganisationId,
        username: &'a Username,
        signer: &'a dyn Signer,
        credential_id: Option<&'a CredentialId>,
    ) -> Self {
        Self {
            client,
            environment,
            organisation_id,
            username,
            signer,
            credential_id,
            found: OnceLock::new(),
            token: Mutex::new(None),
        }
    }

    /// The client that this session calls with.
    #[must_use]
    pub fn client(&self) -> &'a Client {
        self.client
    }

    /// Where this session acts.
    #[must_use]
    pub fn environment(&self) -> &'a Environment {
        self.environment
    }

    /// What signatures name the key by: known before, or found out by logging in.
    #[must_use]
    pub fn credential_id(&self) -> Option<&CredentialId> {
        self.credential_id.or(self.found.get())
    }

    /// Logs in, unless that was done.
    ///
    /// # Errors
    /// When the key is not accepted for this user, or Dfns could not be asked.
    pub async fn log_in(&self) -> Result<(), CallError> {
        self.token(None).await.map(drop)
    }

    /// Who it is, as far as the session says.
    ///
    /// # Errors
    /// As [`UserSession::log_in`].
    pub async fn user_id(&self) -> Result<Option<IdentityId>, CallError> {
        Ok(self.token(None).await?.claims().user_id.clone())
    }

    /// A token that is not `ended`. Whoever comes first logs in for all.
    async fn token(&self, ended: Option<&AuthToken>) -> Result<AuthToken, CallError> {
        let mut current = self.token.lock().await;
        if let Some(token) = &*current
            && ended.is_none_or(|ended| ended.expose_secret() != token.expose_secret())
        {
            return Ok(token.clone());
        }
        let (token, credential_id) = self.client.log_in(self).await.map_err(CallError::Login)?;
        self.found.get_or_init(|| credential_id);
        *current = Some(token.clone());
        Ok(token)
    }

    /// Makes a call as this user; when the session has ended, again with a new one. A refused session means that nothing
    /// happened. A session that by its own claims is not over yet is renewed once only: the refusal may be meant.
    pub(super) async fn call<T>(
        &self,
        attempt: impl AsyncFn(Access<'_>) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let mut token = self.token(None).await?;
        let mut renewed_early = false;
        for _ in 0..MOST_RENEWALS {
            match attempt(self.access(&token)).await {
                Err(error) if error.session_ended() => {
                    let over = token.claims().expires_at.is_some_and(|at| at <= Timestamp::now());
                    if !over && renewed_early {
                        return Err(error);
                    }
                    renewed_early |= !over;
                }
                outcome => return outcome,
            }
            token = self.token(Some(&token)).await?;
        }
        attempt(self.access(&token)).await
    }

    fn access<'t>(&'t self, token: &'t AuthToken) -> Access<'t> {
        Access {
            environment: self.environment,
            token,
            signer: self.signer,
            credential_id: self.credential_id(),
        }
    }
}

/// What a one-time code leads to.
pub struct CodeChallenge {
    challenge: String,
    challenge_identifier: String,
    /// Whom the code belongs to.
    pub username: Username,
    /// The user's organisation, where the answer names it.
    pub organisation_id: Option<OrganisationId>,
}

impl Client {
    /// Logs in with the key that is known, or with the one that fits.
    async fn log_in(&self, session: &UserSession<'_>) -> Result<(AuthToken, CredentialId), SigningError> {
        let challenge = self.retrying(async || self.login_challenge(session).await).await?;
        let candidates = candidates(challenge.keys(), session.credential_id())?;
        let mut challenge = Some(challenge);
        self.first_that_fits(&candidates, async |candidate| {
            // A challenge is spent by a refused signature too.
            let current = match challenge.take() {
                Some(current) => current,
                None => self.login_challenge(session).await?,
            };
            self.answer_login(session, &current, candidate).await
        })
        .await
    }

    async fn login_challenge(&self, session: &UserSession<'_>) -> Result<wire::Challenge, SigningError> {
        let body = serde_json::json!({
            "username": session.username,
            "orgId": session.organisation_id,
        });
        let call = unauthenticated(session.environment, "/auth/login/init", &body);
        let (challenge, _) = self.send_json(&call).await.map_err(SigningError::Challenge)?;
        Ok(challenge)
    }

    async fn answer_login(
        &self,
        session: &UserSession<'_>,
        challenge: &wire::Challenge,
        credential_id: &CredentialId,
    ) -> Result<AuthToken, SigningError> {
        let body = assertion(session.environment, session.signer, challenge, credential_id).await?;
        let call = unauthenticated(session.environment, "/auth/login", &body);
        let (answer, _): (wire::LoginAnswer, _) = self.send_json(&call).await.map_err(SigningError::Signature)?;
        let token = SecretString::from(answer.token);
        AuthToken::parse(token.expose_secret()).map_err(|_| {
            SigningError::Signature(ApiError::NotDfns {
                host: session.environment.api_url.host().to_owned(),
                what: "a log-in without a token",
                effect: Effect::None,
            })
        })
    }

    /// Trades a one-time code for a challenge. Asking changes nothing, so passing failures are waited out.
    ///
    /// # Errors
    /// When the code is refused, or Dfns could not be asked.
    pub async fn open_code(&self, environment: &Environment, code: &SecretString) -> Result<CodeChallenge, ApiError> {
        let body = serde_json::json!({"code": code.expose_secret(), "credentialKind": "Key"});
        let call = unauthenticated(environment, "/auth/credentials/code/init", &body);
        let (answer, _): (wire::CodeChallenge, _) = self.retrying(async || self.send_json(&call).await).await?;
        let claims = AuthToken::parse(&answer.challenge_identifier)
            .ok()
            .map(|token| token.claims().clone());
        Ok(CodeChallenge {
            username: answer.user.name,
            organisation_id: claims.and_then(|claims| claims.organisation_id),
            challenge: answer.challenge,
            challenge_identifier: answer.challenge_identifier,
        })
    }

    /// Registers a key for the user whom a code belongs to. Not repeated: the code is spent.
    ///
    /// # Errors
    /// When the key is refused, or the answer is lost.
    pub async fn register_by_code(
        &self,
        environment: &Environment,
        code: &CodeChallenge,
        credential_name: &str,
        credential_id: &CredentialId,
        signer: &dyn Signer,
    ) -> Result<CredentialId, CallError> {
        let info = credential_info(environment, &code.challenge, credential_id, signer).await;
        let body = serde_json::json!({
            "challengeIdentifier": code.challenge_identifier,
            "credentialName": credential_name,
            "credentialKind": "Key",
            "credentialInfo": info.map_err(|error| CallError::Signing(error.into()))?,
        });
        let call = Call {
            changes: true,
            ..unauthenticated(environment, "/auth/credentials/code/verify", &body)
        };
        let (answer, _): (wire::Credential, _) = self.send_json(&call).await?;
        Ok(answer.credential_id.unwrap_or_else(|| credential_id.clone()))
    }
}

/// What registers a new key: the client data, and by the new key itself a signature over that and its public half. Hex
/// here, where assertions have base64url.
pub(super) async fn credential_info(
    environment: &Environment,
    challenge: &str,
    credential_id: &CredentialId,
    signer: &dyn Signer,
) -> Result<serde_json::Value, SignerError> {
    let public_key = signer.public_key().pem;
    let client_data = client_data(Ceremony::Create, challenge, &environment.origin);
    let fingerprint = serde_json::json!({
        "clientDataHash": hex(&Sha256::digest(&client_data)),
        "publicKey": public_key,
    });
    let signature = signer.sign(fingerprint.to_string().as_bytes()).await?;
    let attestation = serde_json::json!({"publicKey": public_key, "signature": hex(&signature)});
    Ok(serde_json::json!({
        "credId": credential_id,
        "clientData": Base64UrlUnpadded::encode_string(&client_data),
        "attestationData": Base64UrlUnpadded::encode_string(attestation.to_string().as_bytes()),
    }))
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a string succeeds");
            text
        })
}

fn unauthenticated<'a>(environment: &'a Environment, target: &'a str, body: &serde_json::Value) -> Call<'a> {
    Call {
        body: Some(bytes_of(body)),
        ..Call::new(environment, None, Method::POST, target)
    }
}
