//! What an answer says: its JSON, or what its status and its body mean.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{DATE, HeaderMap, LOCATION, RETRY_AFTER};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::call::Call;
use super::error::ApiError;
use super::remote_text::{message_in, safe_text, without_token};
use crate::model::effect::Effect;
use crate::model::ids::IdError;

/// The JSON of an answer with a status of success.
pub(super) fn parse<T: DeserializeOwned>(call: &Call<'_>, body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        let host = call.api_url.host();
        if error.is_eof() && !body.is_empty() {
            let effect = if call.changes { Effect::Done } else { Effect::None };
            return ApiError::broken(host, "the JSON ends too early", effect);
        }
        ApiError::NotDfns {
            host: host.to_owned(),
            what: if IdError::is_in(&error) {
                "JSON with an id that is none"
            } else {
                what_is(body)
            },
            effect: call.effect_if_sent(),
        }
    })
}

/// What an answer without a status of success means.
pub(super) fn refusal(host: &str, status: u16, headers: &HeaderMap, body: &[u8], call: &Call<'_>) -> ApiError {
    let message = message_in(body, call.token);
    match status {
        202 => ApiError::AwaitingApproval,
        300..=399 => ApiError::Redirected {
            host: host.to_owned(),
            location: headers
                .get(LOCATION)
                .and_then(|location| location.to_str().ok())
                .map(|location| safe_text(&without_token(location, call.token))),
            effect: call.effect_if_sent(),
        },
        429 => ApiError::RateLimited {
            retry_after: retry_after(headers),
        },
        500..=599 => ApiError::Failing {
            status,
            message,
            effect: call.effect_if_sent(),
        },
        // A refusal of Dfns's is JSON; a web page comes from something in between.
        _ if message.is_none() && !body.is_empty() && serde_json::from_slice::<IgnoredAny>(body).is_err() => {
            ApiError::NotDfns {
                host: host.to_owned(),
                what: what_is(body),
                effect: call.effect_if_sent(),
            }
        }
        _ => ApiError::Refused {
            status,
            message,
            server_time: date_in(headers),
        },
    }
}

fn what_is(body: &[u8]) -> &'static str {
    let start = body.trim_ascii_start();
    if body.is_empty() {
        "an empty answer"
    } else if start.first() == Some(&b'<') {
        "a web page (HTML)"
    } else if matches!(start.first(), Some(b'{' | b'[')) {
        "JSON of another form"
    } else {
        "no JSON"
    }
}

/// The server's clock.
pub(super) fn date_in(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(DATE)?.to_str().ok()?;
    Some(rfc2822::parse(text).ok()?.timestamp())
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    // RFC 9110 section 10.2.3 allows a date instead; the server's own clock is the one to measure it by.
    let until = rfc2822::parse(text).ok()?.timestamp();
    let now = date_in(headers).unwrap_or_else(Timestamp::now);
    u64::try_from(until.as_second() - now.as_second())
        .ok()
        .map(Duration::from_secs)
}
