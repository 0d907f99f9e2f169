//! The one client: HTTPS (plain HTTP to loopback alone), no redirects, timeouts, keep-alive, the system's proxies and
//! roots, retries where they are safe, and a rate limit shared by all parallel work.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode};
use serde::de::{DeserializeOwned, IgnoredAny};

use super::call::Call;
use super::error::ApiError;
use super::limiter::Limiter;
use super::remote_text::{message_in, safe_text, without_token};
use crate::model::effect::Effect;
use crate::model::ids::IdError;
use crate::model::url::ApiUrl;
use crate::sys::instants;

/// No answer of the auth API comes near this size.
const BODY_LIMIT: usize = 4 * 1024 * 1024;
/// A body that comes in parts is cut off after this long all the same.
const LONGEST_STREAM: Duration = Duration::from_secs(60 * 60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const ATTEMPTS: usize = 4;
/// Asked to wait longer than this, we say so and stop instead.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

const APP_ID: HeaderName = HeaderName::from_static("x-dfns-appid");
const USER_ACTION: HeaderName = HeaderName::from_static("x-dfns-useraction");

/// Is told when the client waits, so that a person is not left wondering.
pub trait Progress: Send + Sync {
    /// The client waits before it tries again.
    fn waiting(&self, reason: &ApiError, wait: Duration);
    /// A request was answered, with this status, after this long.
    fn answered(&self, method: &str, path: &str, status: u16, elapsed: Duration);
}

/// How the client behaves.
pub struct ClientConfig {
    /// For one request, from the connection to the last byte.
    pub timeout: Duration,
    /// Requests a minute at the most, over everything this client does.
    pub per_minute: NonZeroU32,
    /// Who is told of waits.
    pub progress: Box<dyn Progress>,
}

impl Default for ClientConfig {
    /// What the program does unless it is told otherwise: 30 seconds, 900 requests a minute, and nobody is told.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            per_minute: const { NonZeroU32::new(900).expect("it is not zero") },
            progress: Box::new(Untold),
        }
    }
}

/// Nobody is told.
struct Untold;

impl Progress for Untold {
    fn waiting(&self, _reason: &ApiError, _wait: Duration) {}

    fn answered(&self, _method: &str, _path: &str, _status: u16, _elapsed: Duration) {}
}

/// The client. Cheap to share; counts its requests.
pub struct Client {
    config: ClientConfig,
    limiter: Limiter,
    secure: OnceLock<reqwest::Client>,
    loopback: OnceLock<reqwest::Client>,
    requests: AtomicU32,
    /// What each host said last of the time.
    clocks: Mutex<HashMap<ApiUrl, Timestamp>>,
}

/// An error that may pass, if the call behind it may do better later.
pub(super) trait MayPass {
    /// The call that failed, if one did.
    fn call(&self) -> Option<&ApiError>;
}

impl MayPass for ApiError {
    fn call(&self) -> Option<&ApiError> {
        Some(self)
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

    /// What time it was there at the last answer, if one told it.
    #[must_use]
    pub fn time_at(&self, api_url: &ApiUrl) -> Option<Timestamp> {
        self.clocks().get(api_url).copied()
    }

    fn clocks(&self) -> MutexGuard<'_, HashMap<ApiUrl, Timestamp>> {
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
            self.clocks().insert(call.api_url.clone(), date);
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

    /// Repeats something that is safe to repeat for as long as its failures are passing ones.
    pub(super) async fn retrying<T, E: MayPass>(&self, mut attempt: impl AsyncFnMut() -> Result<T, E>) -> Result<T, E> {
        let mut number = 1;
        loop {
            let error = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let Some(cause) = error.call().filter(|cause| cause.is_transient()) else {
                return Err(error);
            };
            if number == ATTEMPTS || !self.pause(cause, number).await {
                return Err(error);
            }
            number += 1;
        }
    }
}

impl Client {
    /// Waits before something is begun anew, unless the wait asked for is too long.
    pub(super) async fn pause(&self, cause: &ApiError, attempt: usize) -> bool {
        let pause = backoff().nth(attempt - 1).unwrap_or(LONGEST_WAIT);
        let wait = asked_wait(cause).map_or(pause, |asked| asked.max(pause));
        if wait > LONGEST_WAIT {
            return false;
        }
        self.config.progress.waiting(cause, wait);
        tokio::time::sleep(wait).await;
        true
    }
}

/// Jittered pauses, each longer than the one before.
fn backoff() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(250))
        .with_max_delay(Duration::from_secs(8))
        .with_max_times(ATTEMPTS - 1)
        .with_jitter()
        .build()
}

fn asked_wait(cause: &ApiError) -> Option<Duration> {
    match cause {
        ApiError::RateLimited { retry_after } => *retry_after,
        _ => None,
    }
}

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

fn refusal(host: &str, status: u16, headers: &HeaderMap, body: &[u8], call: &Call<'_>) -> ApiError {
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

fn date_in(headers: &HeaderMap) -> Option<Timestamp> {
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
