//! User Action Signing: a challenge for a call that changes state, signed, becomes a token that allows this one call.
//!
//! Source: <https://docs.dfns.co/api-reference/auth/signing-flows>.

use std::sync::OnceLock;

use base64ct::{Base64UrlUnpadded, Encoding};
use bytes::Bytes;
use jiff::Timestamp;
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};
use thiserror::Error;

use super::call::Call;
use super::client::Client;
use super::error::ApiError;
use super::retry::Retryable;
use super::wire;
use crate::model::credential::{ActiveGeneration, Environment};
use crate::model::ids::CredentialId;
use crate::model::token::AuthToken;
use crate::model::user_action::{Ceremony, Signer, SignerError, client_data};

/// More registered keys than this are not tried one after the other.
const MOST_TRIES: usize = 20;

/// Who calls: an environment, a token and the key that belongs to it.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    /// Where, and as which application.
    pub environment: &'a Environment,
    /// The token.
    pub token: &'a AuthToken,
    /// The private key.
    pub signer: &'a dyn Signer,
    /// Which of the identity's keys it is, where that is known.
    pub credential_id: Option<&'a CredentialId>,
}

impl<'a> Access<'a> {
    /// With a token and a key that were proven together.
    #[must_use]
    pub fn of(environment: &'a Environment, generation: &'a ActiveGeneration, signer: &'a dyn Signer) -> Self {
        Self {
            environment,
            token: &generation.token,
            signer,
            credential_id: generation.credential_id.as_ref(),
        }
    }

    /// A call with this token that nobody signed, without a body.
    pub(super) fn call(self, method: Method, target: &'a str) -> Call<'a> {
        Call::new(self.environment, Some(self.token), method, target)
    }
}

/// The call that a signature is to allow.
#[derive(Debug, Clone, Copy)]
pub struct Action<'a> {
    /// `POST`, `PUT`, `DELETE` or `GET`.
    pub method: &'a str,
    /// The path, without a query.
    pub path: &'a str,
    /// The exact text of the body, empty where there is none.
    pub payload: &'a str,
}

impl Action<'static> {
    /// The action of the signed test call. It is never carried out, and would change nothing if it were: there is no
    /// such token. Its name explains itself to whoever reads the organisation's audit log.
    pub const TEST_CALL: Self = Self {
        method: "PUT",
        path: "/auth/pats/dfns-keys-signed-test-call",
        payload: "{}",
    };
}

/// A signature that Dfns accepted.
pub struct SignedAction {
    /// The token that allows the call once.
    pub user_action: SecretString,
    /// The key it was signed with.
    pub credential_id: CredentialId,
    /// How many keys the identity has.
    pub registered_keys: usize,
}

/// The server's clock at the first answer that told it, whatever came of the rest.
#[derive(Debug, Default)]
pub struct ServerClock(OnceLock<Timestamp>);

impl ServerClock {
    /// What it said, if anything did.
    #[must_use]
    pub fn first(&self) -> Option<Timestamp> {
        self.0.get().copied()
    }

    fn note(&self, time: Option<Timestamp>) {
        if let Some(time) = time {
            // Only the first counts: later ones may have been waited for.
            let _ = self.0.set(time);
        }
    }
}

/// An action was not signed. The step tells which part was refused.
#[derive(Debug, Error)]
pub enum SigningError {
    /// Step 1, the challenge: the token is refused, or the call itself failed.
    #[error(transparent)]
    Challenge(ApiError),
    /// Step 3, the signature: the key is refused, or the call itself failed.
    #[error(transparent)]
    Signature(ApiError),
    /// The private key did not sign; nothing more was asked of Dfns.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The identity has no key at all.
    #[error("the identity of this token has no key registered")]
    NoKeys,
    /// The identity has keys, but not the one we were told to use.
    #[error("credential {wanted} is not among the {registered} of this identity")]
    KeyNotAmong {
        /// The one we know.
        wanted: CredentialId,
        /// How many there are.
        registered: usize,
    },
    /// None of several registered keys is ours.
    #[error("none of the {tried} keys registered for this identity is the one held here")]
    NoneFits {
        /// How many were tried.
        tried: usize,
        /// The last refusal.
        last: ApiError,
    },
}

impl Retryable for SigningError {
    fn call(&self) -> Option<&ApiError> {
        match self {
            Self::Challenge(error) | Self::Signature(error) => Some(error),
            Self::Signer(_) | Self::NoKeys | Self::KeyNotAmong { .. } | Self::NoneFits { .. } => None,
        }
    }
}

impl Client {
    /// Gets an action signed: two requests when the identity has one key or the right one is known.
    ///
    /// Everything here may be done again from the start, so passing failures are waited out.
    ///
    /// # Errors
    /// Which step was refused, and how.
    pub async fn sign(&self, access: Access<'_>, action: Action<'_>) -> Result<SignedAction, SigningError> {
        self.sign_noting(access, action, &ServerClock::default()).await
    }

    /// The same, and what the server's clock says.
    ///
    /// # Errors
    /// Which step was refused, and how.
    pub async fn sign_noting(
        &self,
        access: Access<'_>,
        action: Action<'_>,
        clock: &ServerClock,
    ) -> Result<SignedAction, SigningError> {
        let challenge = self
            .retrying(async || self.challenge(access, action, clock).await)
            .await?;
        let keys = challenge.keys();
        let registered_keys = keys.len();
        let candidates = candidates(keys, access.credential_id)?;
        let mut challenge = Some(challenge);
        let (user_action, credential_id) = self
            .first_that_fits(&candidates, async |candidate| {
                // A challenge is spent by a refused signature too.
                let current = match challenge.take() {
                    Some(current) => current,
                    None => self.challenge(access, action, clock).await?,
                };
                self.answer(access, &current, candidate).await
            })
            .await?;
        Ok(SignedAction {
            user_action,
            credential_id,
            registered_keys,
        })
    }

    /// Tries keys one after the other: where there are several, a refused signature leads on to the next.
    pub(super) async fn first_that_fits<T>(
        &self,
        candidates: &[CredentialId],
        mut attempt: impl AsyncFnMut(&CredentialId) -> Result<T, SigningError>,
    ) -> Result<(T, CredentialId), SigningError> {
        let several = candidates.len() > 1;
        let mut last = None;
        for candidate in candidates {
            match self.retrying(async || attempt(candidate).await).await {
                Ok(value) => return Ok((value, candidate.clone())),
                Err(SigningError::Signature(error @ ApiError::Refused { status: 400..=403, .. })) if several => {
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        match last {
            Some(last) => Err(SigningError::NoneFits {
                tried: candidates.len(),
                last,
            }),
            None => Err(SigningError::NoKeys),
        }
    }

    async fn challenge(
        &self,
        access: Access<'_>,
        action: Action<'_>,
        clock: &ServerClock,
    ) -> Result<wire::Challenge, SigningError> {
        let body = json!({
            "userActionPayload": action.payload,
            "userActionHttpMethod": action.method,
            "userActionHttpPath": action.path,
            "userActionServerKind": "Api",
        });
        let answer = self
            .send_json(&post(access, "/auth/action/init", &body))
            .await
            .inspect(|(_, time)| clock.note(*time))
            .map(|(challenge, _)| challenge);
        if let Err(ApiError::Refused { server_time, .. }) = &answer {
            clock.note(*server_time);
        }
        answer.map_err(SigningError::Challenge)
    }

    async fn answer(
        &self,
        access: Access<'_>,
        challenge: &wire::Challenge,
        credential_id: &CredentialId,
    ) -> Result<SecretString, SigningError> {
        let body = assertion(access.environment, access.signer, challenge, credential_id).await?;
        let (answer, _): (wire::UserAction, _) = self
            .send_json(&post(access, "/auth/action", &body))
            .await
            .map_err(SigningError::Signature)?;
        Ok(SecretString::from(answer.user_action))
    }
}

/// The answer to a challenge: its client data, signed.
pub(super) async fn assertion(
    environment: &Environment,
    signer: &dyn Signer,
    challenge: &wire::Challenge,
    credential_id: &CredentialId,
) -> Result<Value, SignerError> {
    let client_data = client_data(Ceremony::Get, &challenge.challenge, &environment.origin);
    let signature = signer.sign(&client_data).await?;
    Ok(json!({
        "challengeIdentifier": challenge.challenge_identifier,
        "firstFactor": {
            "kind": "Key",
            "credentialAssertion": {
                "credId": credential_id,
                "clientData": Base64UrlUnpadded::encode_string(&client_data),
                "signature": Base64UrlUnpadded::encode_string(&signature),
            },
        },
    }))
}

/// Which keys to try, in which order: the known one alone, or all there are.
pub(super) fn candidates(
    registered: Vec<CredentialId>,
    known: Option<&CredentialId>,
) -> Result<Vec<CredentialId>, SigningError> {
    if registered.is_empty() {
        return Err(SigningError::NoKeys);
    }
    match known {
        Some(known) if registered.contains(known) => Ok(vec![known.clone()]),
        Some(known) => Err(SigningError::KeyNotAmong {
            wanted: known.clone(),
            registered: registered.len(),
        }),
        None => Ok(registered.into_iter().take(MOST_TRIES).collect()),
    }
}

fn post<'a>(access: Access<'a>, target: &'a str, body: &Value) -> Call<'a> {
    Call {
        body: Some(bytes_of(body)),
        ..access.call(Method::POST, target)
    }
}

/// The body of a request of ours.
pub(super) fn bytes_of(body: &Value) -> Bytes {
    body.to_string().into()
}
