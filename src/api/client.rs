//! The one client: HTTPS (plain HTTP to loopback alone), no redirects, timeouts, keep-alive, the system's proxies and
//! roots, retries where they are safe, and a rate limit shared by all parallel work.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode};
use serde::de::DeserializeOwned;

use super::answer::{date_in, parse, refusal};
use super::call::Call;
use super::config::{ClientConfig, Progress};
use super::error::ApiError;
use super::limiter::Limiter;
use crate::model::effect::Effect;
use crate::model::url::ApiUrl;
use crate::sys::instants;

/// No answer of the auth API comes near this size.
const BODY_LIMIT: usize = 4 * 1024 * 1024;
/// A body that comes in parts is cut off after this long all the same.
const LONGEST_STREAM: Duration = Duration::from_secs(60 * 60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

const APP_ID: HeaderName = HeaderName::from_static("x-dfns-appid");
const USER_ACTION: HeaderName = HeaderName::from_static("x-dfns-useraction");

/// The client. Cheap to share; counts its requests.
pub struct Client {
    config: ClientConfig,
    limiter: Limiter,
    secure: OnceLock<reqwest::Client>,
    loopback: OnceLock<reqwest::Client>,
    requests: AtomicU32,
    /// What each host said last of the time.
    clocks: Mutex<HashMap<ApiUrl, Heard>>,
}

/// What a host said of the time.
#[derive(Clone, Copy)]
struct Heard {
    date: Timestamp,
    at: Instant,
}

impl Heard {
    /// What time it is there when it is `now` here.
    fn time(self, now: Instant) -> Timestamp {
        let since = SignedDuration::try_from(now.saturating_duration_since(self.at)).unwrap_or(SignedDuration::MAX);
        self.date.saturating_add(since).unwrap_or(Timestamp::MAX)
    }
}

/// An answer whose body is still coming.
pub(super) struct Streamed {
    pub(super) response: Response,
    /// What the call has done, by the head of the answer.
    pub(super) effect: Effect,
    host: String,
    patience: Duration,
}

impl Streamed {
    /// The next part of the body; none at its end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, ApiError> {
        match tokio::time::timeout(self.patience, self.response.chunk()).await {
            Ok(chunk) => chunk.map_err(|error| ApiError::from_transport(&self.host, &error, self.effect)),
            Err(_) => Err(ApiError::timed_out(&self.host, self.effect)),
        }
    }
}

/// What came back with a status of success.
pub(super) struct Answer {
    pub(super) body: Vec<u8>,
    /// The server's clock.
    pub(super) date: Option<Timestamp>,
}

impl Client {
    /// A client that has not opened any connection yet.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        Self {
            limiter: Limiter::new(config.per_minute),
            config,
            secure: OnceLock::new(),
            loopback: OnceLock::new(),
            requests: AtomicU32::new(0),
            clocks: Mutex::default(),
        }
    }

    /// How many requests were sent so far.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// What time it is there by now, if an answer told what time it was.
    #[must_use]
    pub fn time_at(&self, api_url: &ApiUrl) -> Option<Timestamp> {
        self.clocks().get(api_url).map(|heard| heard.time(Instant::now()))
    }

    pub(super) fn progress(&self) -> &dyn Progress {
        &*self.config.progress
    }

    fn clocks(&self) -> MutexGuard<'_, HashMap<ApiUrl, Heard>> {
        // Whole at every instant, whoever panicked.
        self.clocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Loading the system's roots takes longer than a whole loopback call, so each kind is set up when first needed.
    fn http(&self, api_url: &ApiUrl) -> Result<&reqwest::Client, ApiError> {
        let plain = api_url.is_plain_http();
        let cell = if plain { &self.loopback } else { &self.secure };
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        let builder = reqwest::Client::builder()
            .user_agent(concat!("dfns-keys/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            // Shorter than the whole, so that a connection that never came about is told from an answer that never came.
            .connect_timeout(CONNECT_TIMEOUT.min(self.config.timeout * 9 / 10));
        let builder = if plain {
            builder.no_proxy().tls_certs_only([])
        } else {
            builder.https_only(true)
        };
        let client = builder.build().map_err(|error| ApiError::from_setup(&error))?;
        Ok(cell.get_or_init(|| client))
    }

    /// Sends one request, once.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Answer, ApiError> {
        let (status, headers, body) = self.exchange(call).await?;
        if status.is_success() && status.as_u16() != 202 {
            return Ok(Answer {
                body,
                date: date_in(&headers),
            });
        }
        Err(refusal(call.api_url.host(), status.as_u16(), &headers, &body, call))
    }

    /// Sends one request, once, and reads its answer whatever the status.
    async fn exchange(&self, call: &Call<'_>) -> Result<(StatusCode, HeaderMap, Vec<u8>), ApiError> {
        self.limiter.wait().await;
        let began = Instant::now();
        let response = self.open(call, HeaderMap::new(), self.config.timeout).await?;
        let status = response.status();
        let headers = response.headers().clone();
        if let Some(date) = date_in(&headers) {
            let at = Instant::now();
            self.clocks().insert(call.api_url.clone(), Heard { date, at });
        }
        let effect = call.effect_by(status, &headers);
        let body = read_limited(response, call.api_url.host(), effect).await?;
        instants::pass();
        self.answered(call, status, began);
        Ok((status, headers, body))
    }

    /// Sends one request, once, and hands its answer over as soon as its head is there. Each part of the body may take as
    /// long as a whole answer elsewhere.
    pub(super) async fn stream(&self, call: &Call<'_>, headers: HeaderMap) -> Result<Streamed, ApiError> {
        self.limiter.wait().await;
        let began = Instant::now();
        let host = call.api_url.host();
        let patience = self.config.timeout;
        let response = tokio::time::timeout(patience, self.open(call, headers, LONGEST_STREAM))
            .await
            .map_err(|_| ApiError::timed_out(host, call.effect_if_sent()))??;
        self.answered(call, response.status(), began);
        Ok(Streamed {
            effect: call.effect_by(response.status(), response.headers()),
            response,
            host: host.to_owned(),
            patience,
        })
    }

    fn answered(&self, call: &Call<'_>, status: StatusCode, began: Instant) {
        self.config
            .progress
            .answered(call.method.as_str(), call.target, status.as_u16(), began.elapsed());
    }

    /// Sends one request, with these headers beside those that every call has.
    async fn open(&self, call: &Call<'_>, extra: HeaderMap, timeout: Duration) -> Result<Response, ApiError> {
        let has_type = extra.contains_key(CONTENT_TYPE);
        let mut request = self
            .http(call.api_url)?
            .request(call.method.clone(), call.api_url.join(call.target))
            .timeout(timeout);
        request = request.headers(extra).headers(self.headers(call)?);
        if let Some(token) = call.token {
            request = request.bearer_auth(token.expose_secret());
        }
        if let Some(body) = &call.body {
            if !has_type {
                request = request.header(CONTENT_TYPE, "application/json");
            }
            request = request.body(body.clone());
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        instants::pass();
        let sent = request.send().await;
        sent.map_err(|error| ApiError::from_transport(call.api_url.host(), &error, call.effect_if_sent()))
    }

    fn headers(&self, call: &Call<'_>) -> Result<HeaderMap, ApiError> {
        let mut headers = HeaderMap::new();
        let value = |text: &str| {
            HeaderValue::from_str(text).map_err(|_| ApiError::Setup {
                reason: "a header has characters that HTTP does not allow".to_owned(),
            })
        };
        if let Some(id) = call.application_id {
            headers.insert(APP_ID, value(id.as_str())?);
        }
        if let Some(user_action) = call.user_action {
            let mut header = value(user_action)?;
            header.set_sensitive(true);
            headers.insert(USER_ACTION, header);
        }
        Ok(headers)
    }

    /// Sends a request and reads the JSON of its answer.
    pub(super) async fn send_json<T: DeserializeOwned>(
        &self,
        call: &Call<'_>,
    ) -> Result<(T, Option<Timestamp>), ApiError> {
        let answer = self.send(call).await?;
        Ok((parse(call, &answer.body)?, answer.date))
    }
}

async fn read_limited(mut response: Response, host: &str, effect: Effect) -> Result<Vec<u8>, ApiError> {
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| ApiError::from_transport(host, &error, effect))?
    {
        if body.len() + chunk.len() > BODY_LIMIT {
            return Err(ApiError::NotDfns {
                host: host.to_owned(),
                what: "more than 4 MiB",
                effect,
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_clock_goes_on_between_its_answers() {
        let heard = Heard {
            date: Timestamp::UNIX_EPOCH,
            at: Instant::now(),
        };
        assert_eq!(heard.time(heard.at), heard.date);
        assert_eq!(heard.time(heard.at + Duration::from_mins(9)).as_second(), 9 * 60);
    }
}
