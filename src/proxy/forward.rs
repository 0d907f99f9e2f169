//! One request on its way: read whole, signed where it must be, sent on, and its answer handed back as it comes.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Request, Response, StatusCode};
use serde_json::json;

use super::credential::Live;
use super::gate::Refused;
use super::{Shared, headers};
use crate::api::raw::{RawAnswer, RawCall};
use crate::api::{ApiError, CallError, SigningError};
use crate::loopback::{Busy, Client, Unread};
use crate::model::effect::Effect;
use crate::model::user_action::SignerError;

/// Bodies are signed, and therefore held.
pub(super) const LARGEST_BODY: usize = 8 * 1024 * 1024;

type Body = UnsyncBoxBody<Bytes, ApiError>;

pub(super) async fn answer(
    shared: &Shared<'_>,
    client: Arc<Client>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let busy = client.busy();
    let (parts, body) = request.into_parts();
    let method = parts.method.as_str();
    let path = parts.uri.path();
    match shared.gate.check(&parts.method, &parts.uri, &parts.headers) {
        Ok(()) => client.is_known(),
        Err(refused @ (Refused::OtherHost | Refused::FromAPage | Refused::Token)) => {
            shared.ledger.note_stranger(method, path, refused.status()).await;
            return Ok(refusal(refused.status(), &refused.to_string()));
        }
        Err(refused @ (Refused::Path | Refused::Method | Refused::ReadOnly | Refused::NotPermitted)) => {
            client.is_known();
            let live = shared.holder.live().await;
            shared
                .ledger
                .note(method, path, refused.status(), live.fingerprint())
                .await;
            return Ok(refusal(refused.status(), &refused.to_string()));
        }
    }
    // While its body comes, it is the client that is waited for.
    drop(busy);
    let body = shared.bodies.read(body).await;
    let busy = client.busy();
    let mut live = shared.holder.live().await;
    let text = body
        .as_ref()
        .map_err(|error| unread(*error))
        .and_then(|body| text(&body.bytes));
    let response = match text {
        Ok(text) => {
            let call = RawCall {
                method,
                path,
                query: parts.uri.query().unwrap_or_default(),
                body: (!text.is_empty() || parts.headers.contains_key(CONTENT_TYPE)).then_some(text),
            };
            send(shared, busy, &mut live, call, &headers::sent_on(&parts.headers)).await
        }
        Err(response) => response,
    };
    shared
        .ledger
        .note(method, path, response.status(), live.fingerprint())
        .await;
    Ok(response)
}

/// The body as the text that is signed.
fn text(body: &[u8]) -> Result<&str, Response<Body>> {
    std::str::from_utf8(body).map_err(|_| {
        refusal(
            StatusCode::BAD_REQUEST,
            "the body is not text (UTF-8), and Dfns signs text only",
        )
    })
}

fn unread(error: Unread) -> Response<Body> {
    let status = match error {
        Unread::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Unread::BrokenOff => StatusCode::BAD_REQUEST,
        Unread::TooSlow => StatusCode::REQUEST_TIMEOUT,
        Unread::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut response = refusal(status, &error.to_string());
    // What is left of the body is not read.
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Sends a call on; `live` is afterwards what it was signed with.
async fn send(
    shared: &Shared<'_>,
    busy: Busy,
    live: &mut Rc<Live>,
    call: RawCall<'_>,
    headers: &HeaderMap,
) -> Response<Body> {
    let first = shared.client.forward(live.access(), call, headers.clone()).await;
    let is_refused = match &first {
        Ok(answer) => answer.status() == 401,
        Err(CallError::Signing(error) | CallError::Login(error)) => is_key_refused(error),
        Err(CallError::Call(_)) => false,
    };
    // A rotation may have ended since the credential was read. What was refused was not done.
    let newer = if is_refused {
        shared.holder.instead_of(live).await
    } else {
        None
    };
    let outcome = match newer {
        Some(newer) => {
            *live = newer;
            shared.client.forward(live.access(), call, headers.clone()).await
        }
        None => first,
    };
    match outcome {
        Ok(answer) => handed_back(answer, busy),
        Err(error) => failure(&error),
    }
}

fn is_key_refused(error: &SigningError) -> bool {
    match error {
        SigningError::Challenge(error) | SigningError::Signature(error) => {
            matches!(error, ApiError::Refused { status: 401 | 403, .. })
        }
        SigningError::Signer(_) => false,
        SigningError::NoKeys | SigningError::KeyNotAmong { .. } | SigningError::NoneFits { .. } => true,
    }
}

/// The answer as it comes; `busy` lasts until its end.
fn handed_back(answer: RawAnswer, busy: Busy) -> Response<Body> {
    let status = StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::BAD_GATEWAY);
    let headers = headers::handed_back(answer.headers());
    let parts = stream::unfold(Some((answer, busy)), |state| async {
        let (mut answer, busy) = state?;
        match answer.chunk().await {
            Ok(Some(chunk)) => Some((Ok(Frame::data(chunk)), Some((answer, busy)))),
            Ok(None) => None,
            // What was promised does not come: the connection is cut, which is how a client learns of it.
            Err(error) => Some((Err(error), None)),
        }
    });
    let mut response = Response::new(UnsyncBoxBody::new(StreamBody::new(parts)));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn failure(error: &CallError) -> Response<Body> {
    let message = match error {
        CallError::Signing(error) | CallError::Login(error) => {
            format!("the call was not signed, and not sent: {error}")
        }
        CallError::Call(error) => match error.effect() {
            Effect::None => format!("{error}; nothing was changed at Dfns"),
            Effect::Unknown | Effect::Done => format!("{error}; the call may have happened"),
        },
    };
    let status = match error.api_error() {
        Some(ApiError::Refused { status, .. } | ApiError::Failing { status, .. }) => {
            StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY)
        }
        Some(ApiError::RateLimited { .. }) => StatusCode::TOO_MANY_REQUESTS,
        Some(ApiError::Setup { .. }) => StatusCode::BAD_REQUEST,
        Some(
            ApiError::Unreachable { .. }
            | ApiError::NotDfns { .. }
            | ApiError::AwaitingApproval
            | ApiError::Redirected { .. },
        ) => StatusCode::BAD_GATEWAY,
        None => match error {
            CallError::Signing(SigningError::Signer(SignerError::Held(error))) if error.may_pass() => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::FORBIDDEN,
        },
    };
    let mut response = own(status, &message, error.effect());
    if let Some(ApiError::RateLimited {
        retry_after: Some(wait),
    }) = error.api_error()
    {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(wait.as_secs()));
    }
    response
}

/// A refusal of the proxy's own: the call is not made.
fn refusal(status: StatusCode, message: &str) -> Response<Body> {
    own(status, message, Effect::None)
}

/// An answer of the proxy's own, in the form of Dfns's, with what the call has done.
fn own(status: StatusCode, message: &str, effect: Effect) -> Response<Body> {
    let document = json!({"error": {
        "id": "dfns-keys-proxy",
        "status": status.as_u16(),
        "message": message,
        "effect": effect,
    }});
    let body = Full::new(Bytes::from(document.to_string())).map_err(|never| match never {});
    let mut response = Response::new(UnsyncBoxBody::new(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
