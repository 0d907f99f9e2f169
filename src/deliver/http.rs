//! The places that have an HTTP API of their own and need no program: one request, one answer, within limits.

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Method};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::said::{NOT_REPEATED, repeatable};
use super::{Contents, PlaceError};
use crate::model::effect::Effect;
use crate::model::quoted;
use crate::model::url::ApiUrl;
use crate::sys::{files, instants};

/// Nothing that we read there is larger.
const LIMIT: usize = 4 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Whose certificates are believed.
pub(super) enum Authorities<'a> {
    /// The system's.
    System,
    /// The system's, and those of this file.
    Also(&'a Path),
    /// Those of this file's text alone.
    Only(&'a [u8]),
}

/// A server, and who we are to it.
pub(super) struct Server {
    /// What it is called in messages.
    name: &'static str,
    address: ApiUrl,
    headers: HeaderMap,
    client: reqwest::Client,
}

/// What it answers.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Zeroizing<Vec<u8>>,
}

impl Server {
    pub(super) fn new(
        name: &'static str,
        address: ApiUrl,
        headers: HeaderMap,
        authorities: &Authorities<'_>,
        limit: Duration,
    ) -> Result<Self, PlaceError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("dfns-keys/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            // Shorter than the whole, so that a connection that never came about is told from an answer that never came.
            .connect_timeout(CONNECT_TIMEOUT.min(limit * 9 / 10))
            .timeout(limit);
        builder = if address.is_plain_http() {
            builder.no_proxy().tls_certs_only([])
        } else {
            builder.https_only(true)
        };
        builder = match authorities {
            Authorities::System => builder,
            Authorities::Also(path) => {
                let text = files::read(path, LIMIT as u64).map_err(|error| PlaceError::NoFile { error })?;
                builder.tls_certs_merge(certificates(&text)?)
            }
            Authorities::Only(text) => builder.no_proxy().tls_certs_only(certificates(text)?),
        };
        let client = builder
            .build()
            .map_err(|_| PlaceError::NotSetUp("a connection cannot be set up on this machine".to_owned()))?;
        Ok(Self {
            name,
            address,
            headers,
            client,
        })
    }

    pub(super) fn address(&self) -> &ApiUrl {
        &self.address
    }

    pub(super) async fn get(&self, path: &str) -> Result<Answer, PlaceError> {
        self.send(Method::GET, path, None).await
    }

    /// Sends a body of a type.
    pub(super) async fn put(
        &self,
        method: Method,
        path: &str,
        media_type: &str,
        body: &[u8],
    ) -> Result<Answer, PlaceError> {
        self.send(method, path, Some((media_type, body))).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<(&str, &[u8])>) -> Result<Answer, PlaceError> {
        let effect = if body.is_some() { Effect::Unknown } else { Effect::None };
        let mut request = self
            .client
            .request(method, self.address.join(path))
            .headers(self.headers.clone());
        if let Some((media_type, body)) = body {
            request = request
                .header(CONTENT_TYPE, media_type)
                .body(Bytes::from_owner(Zeroizing::new(body.to_vec())));
        }
        instants::pass();
        let lost = |error: &reqwest::Error| self.lost(error, effect);
        let mut response = request.send().await.map_err(|error| lost(&error))?;
        let status = response.status().as_u16();
        let mut body = Zeroizing::new(Vec::with_capacity(16 * 1024));
        while let Some(chunk) = response.chunk().await.map_err(|error| lost(&error))? {
            if body.len() + chunk.len() > LIMIT {
                return Err(self.rubbish("more than 4 MiB"));
            }
            body.extend_from_slice(&chunk);
        }
        instants::pass();
        Ok(Answer { status, body })
    }

    fn lost(&self, error: &reqwest::Error, effect: Effect) -> PlaceError {
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            reason = cause.to_string();
            source = cause.source();
        }
        if error.is_timeout() && !error.is_connect() {
            "no answer in time".clone_into(&mut reason);
        }
        PlaceError::Unreachable {
            server: self.name,
            reason: quoted::cleared(&reason),
            effect: if error.is_connect() || error.is_builder() {
                Effect::None
            } else {
                effect
            },
        }
    }

    pub(super) fn rubbish(&self, what: &'static str) -> PlaceError {
        PlaceError::Rubbish {
            program: self.name.to_owned(),
            what,
        }
    }

    /// Whether a text has the token that every request brings: something on the way may repeat what it was sent.
    fn shows_who_we_are(&self, text: &str) -> bool {
        let secrets = self.headers.values().filter(|value| value.is_sensitive());
        let tokens = secrets.filter_map(|value| value.to_str().ok()?.split(' ').next_back());
        tokens
            .filter(|token| !token.is_empty())
            .any(|token| text.contains(token))
    }

    /// A refusal, with what the table knows of it.
    pub(super) fn refused(
        &self,
        answer: &Answer,
        contents: &Contents,
        advice: &[(&'static str, &'static str)],
    ) -> PlaceError {
        let text = said(&answer.body);
        let known = advice.iter().find(|(words, _)| text.contains(words));
        PlaceError::Refused {
            program: self.name.to_owned(),
            how: format!("HTTP {}", answer.status),
            words: if self.shows_who_we_are(&text) {
                Some(NOT_REPEATED.to_owned())
            } else {
                repeatable(text.as_bytes(), contents)
            },
            advice: known.map(|(_, advice)| *advice),
        }
    }
}

/// The sentence in a refusal, as Kubernetes or Vault writes it, or all of it.
fn said(body: &[u8]) -> Zeroizing<String> {
    #[derive(Deserialize)]
    struct Said {
        message: Option<String>,
        #[serde(default)]
        errors: Vec<String>,
    }
    let said = serde_json::from_slice::<Said>(body).ok();
    let sentence = said.map(|said| {
        said.message
            .into_iter()
            .chain(said.errors)
            .collect::<Vec<_>>()
            .join("; ")
    });
    let whole = || String::from_utf8_lossy(body).into_owned();
    Zeroizing::new(sentence.filter(|sentence| !sentence.is_empty()).unwrap_or_else(whole))
}

fn certificates(text: &[u8]) -> Result<Vec<Certificate>, PlaceError> {
    let none = || PlaceError::NotSetUp("the file of the server's authority has no certificate in it".to_owned());
    let certificates = Certificate::from_pem_bundle(text).map_err(|_| none())?;
    if certificates.is_empty() {
        Err(none())
    } else {
        Ok(certificates)
    }
}
