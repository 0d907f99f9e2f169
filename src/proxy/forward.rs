//! One request on its way: read whole, signed where it must be, sent on, and its answer handed back as it comes.

use std::convert::Infallible;
use std::rc::Rc;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Request, Response, StatusCode};
use serde_json::json;

use super::Shared;
use super::credential::Live;
use super::gate::Refused;
use crate::api::raw::{RawAnswer, RawCall};
use crate::api::{ApiError, CallError, SigningError};
use crate::model::effect::Effect;

/// Bodies are signed, and therefore held.
const BODY_LIMIT: usize = 8 * 1024 * 1024;

type Body = UnsyncBoxBody<Bytes, ApiError>;

/// What concerns one connection alone (RFC 9110 section 7.6.1), or is ours to set.
const NOT_SENT_ON: &[&str] = &[
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-dfns-appid",
    "x-dfns-useraction",
];

const NOT_HANDED_BACK: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(super) async fn answer(shared: &Shared<'_>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let method = parts.method.as_str();
    let path = parts.uri.path();
    match shared.gate.check(&parts.method, &parts.uri, &parts.headers) {
        Ok(()) => {}
        Err(refused @ (Refused::OtherHost | Refused::FromAPage | Refused::Token)) => {
            shared.ledger.note_stranger(method, path, refused.status()).await;
            return Ok(refusal(refused.status(), &refused.to_string()));
        }
        Err(refused @ (Refused::Path | Refused::ReadOnly | Refused::NotPermitted)) => {
            let live = shared.holder.live();
            shared
                .ledger
                .note(method, path, refused.status(), live.fingerprint())
                .await;
            return Ok(refusal(refused.status(), &refused.to_string()));
        }
    }
    let mut live = shared.holder.live();
    let response = match read(body).await {
        Ok(text) => {
            let call = RawCall {
                method,
                path,
                query: parts.uri.query().unwrap_or_default(),
                body: (!text.is_empty() || parts.headers.contains_key(CONTENT_TYPE)).then_some(text.as_str()),
            };
            send(shared, &mut live, call, &without(&parts.headers, NOT_SENT_ON)).await
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
async fn read(body: Incoming) -> Result<String, Response<Body>> {
    let bytes = Limited::new(body, BODY_LIMIT).collect().await.map_err(|_| {
        refusal(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is longer than 8 MiB, or broke off",
        )
    })?;
    String::from_utf8(bytes.to_bytes().to_vec()).map_err(|_| {
        refusal(
            StatusCode::BAD_REQUEST,
            "the body is not text (UTF-8), and Dfns signs text only",
        )
    })
}

/// Sends a call on; `live` is afterwards what it was signed with.
async fn send(shared: &Shared<'_>, live: &mut Rc<Live>, call: RawCall<'_>, headers: &HeaderMap) -> Response<Body> {
    let first = shared.client.forward(live.access(), call, headers.clone()).await;
    let is_refused = match &first {
        Ok(answer) => answer.status() == 401,
        Err(CallError::Signing(error) | CallError::Login(error)) => is_key_refused(error),
        Err(CallError::Call(_)) => false,
    };
    // A rotation may have ended since the credential was read. What was refused was not done.
    let outcome = match is_refused.then(|| shared.holder.instead_of(live)).flatten() {
        Some(newer) => {
            *live = newer;
            shared.client.forward(live.access(), call, headers.clone()).await
        }
        None => first,
    };
    match outcome {
        Ok(answer) => handed_back(answer),
        Err(error) => failure(&error),
    }
}

fn is_key_refused(error: &SigningError) -> bool {
    match error {
        SigningError::Challenge(error) | SigningError::Signature(error) => {
            matches!(error, ApiError::Refused { status: 401 | 403, .. })
        }
        SigningError::NoKeys | SigningError::KeyNotAmong { .. } | SigningError::NoneFits { .. } => true,
    }
}

/// The headers but for some, and for those that `Connection` names.
fn without(headers: &HeaderMap, some: &[&str]) -> HeaderMap {
    let mut kept = headers.clone();
    let named = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok());
    for name in named.flat_map(|names| names.split(',')).map(str::trim) {
        kept.remove(name);
    }
    for name in some {
        kept.remove(*name);
    }
    kept
}

fn handed_back(answer: RawAnswer) -> Response<Body> {
    let status = StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::BAD_GATEWAY);
    let headers = without(answer.headers(), NOT_HANDED_BACK);
    let parts = stream::unfold(Some(answer), |answer| async {
        let mut answer = answer?;
        match answer.chunk().await {
            Ok(Some(chunk)) => Some((Ok(Frame::data(chunk)), Some(answer))),
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
        None => StatusCode::FORBIDDEN,
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
