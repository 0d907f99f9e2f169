//! Calls that change state: signed, sent once, and asked for again only where that cannot do a second thing.

use bytes::Bytes;
use reqwest::Method;
use secrecy::ExposeSecret;
use serde::de::IgnoredAny;

use super::answer::parse;
use super::call::Call;
use super::client::Client;
use super::error::{ApiError, Phase};
use super::login::CallError;
use super::user_action::{Access, Action};
use crate::model::effect::Effect;

/// How often a call is begun anew.
const ATTEMPTS: usize = 4;

/// What it means that there is nothing (any more) where a call was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// An attempt whose answer was lost has made an end of it.
    IsDone,
    /// It is not what was wanted.
    IsAFailure,
}

impl Client {
    /// A call that changes state: signed, then sent once with the very bytes that were signed. Begun anew only while it
    /// surely has not happened.
    pub(super) async fn mutate<T>(
        &self,
        access: Access<'_>,
        method: &Method,
        path: &str,
        body: Option<&str>,
        read: impl Fn(&Call<'_>, &[u8]) -> Result<T, ApiError>,
    ) -> Result<T, CallError> {
        let mut attempt = 1;
        loop {
            let action = Action {
                method: method.as_str(),
                path,
                payload: body.unwrap_or_default(),
            };
            let signed = self.sign(access, action).await.map_err(CallError::Signing)?;
            let call = Call {
                user_action: Some(signed.user_action.expose_secret()),
                body: body.map(|body| Bytes::copy_from_slice(body.as_bytes())),
                changes: true,
                ..access.call(method.clone(), path)
            };
            let error = match self.send(&call).await {
                Ok(answer) => return Ok(read(&call, &answer.body)?),
                Err(error) => error,
            };
            if attempt == ATTEMPTS || !surely_not_done(&error) || !self.pause(&error, attempt).await {
                return Err(error.into());
            }
            attempt += 1;
        }
    }
}

/// Reads an answer that says no more than that it was done: JSON, or nothing at all.
pub(super) fn acknowledged(call: &Call<'_>, body: &[u8]) -> Result<(), ApiError> {
    if body.is_empty() {
        return Ok(());
    }
    parse(call, body).map(|_: IgnoredAny| ())
}

/// Makes a change that is the same twice as once, and makes it again while nobody knows whether it was done. A clear
/// failure of a later attempt says nothing of the earlier ones, so that the doubt stays.
pub(super) async fn until_done(gone: Gone, attempt: impl AsyncFn() -> Result<(), CallError>) -> Result<(), CallError> {
    let mut outcome = attempt().await;
    for _ in 1..ATTEMPTS {
        let Err(doubt) = outcome else { return Ok(()) };
        if doubt.effect() != Effect::Unknown {
            outcome = Err(doubt);
            break;
        }
        outcome = match attempt().await {
            Err(error) if gone == Gone::IsDone && error.is_not_found() => Ok(()),
            Err(error) if error.effect() == Effect::None && !error.awaits_approval() => return Err(doubt),
            next => next,
        };
    }
    match outcome {
        Err(error) if error.effect() == Effect::Done => Ok(()),
        outcome => outcome,
    }
}

/// Failures that leave no doubt, and may pass.
fn surely_not_done(error: &ApiError) -> bool {
    match error {
        ApiError::RateLimited { .. } => true,
        ApiError::Unreachable { stage, .. } => matches!(stage, Phase::Dns | Phase::Connect),
        _ => false,
    }
}
