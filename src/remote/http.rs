//! One request, one answer, within limits.

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Method};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::model::effect::Effect;
use crate::model::quoted;
use crate::model::url::ApiUrl;
use crate::sys::files::FileError;
use crate::sys::{files, instants};

/// Nothing that we read there is larger.
const LIMIT: usize = 4 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A request was not made, or its answer was lost.
#[derive(Debug, Error)]
pub(crate) enum RemoteError {
    /// A file that is needed could not be read.
    #[error("{error}: {}", .error.source)]
    NoFile {
        /// In which way.
        error: FileError,
    },
    /// What has to be known of this machine's surroundings is not there, or cannot be.
    #[error("{0}")]
    NotSetUp(String),
    /// The server was not reached, or its answer was lost.
    #[error("{server} cannot be reached: {reason}")]
    Unreachable {
        /// What it is called.
        server: &'static str,
        /// Why.
        reason: String,
        /// What the request has done.
        effect: Effect,
    },
    /// It answered with what is no answer.
    #[error("{server} answers with {what}")]
    Rubbish {
        /// What it is called.
        server: &'static str,
        /// In which way.
        what: &'static str,
    },
}

/// Whose certificates are believed.
pub(crate) enum Authorities<'a> {
    /// The system's.
    System,
    /// The system's, and those of this file.
    Also(&'a Path),
    /// Those of this file's text alone.
    Only(&'a [u8]),
}

/// A server, and who we are to it.
pub(crate) struct Server {
    /// What it is called in messages.
    name: &'static str,
    address: ApiUrl,
    headers: HeaderMap,
    client: reqwest::Client,
}

/// What it answers.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl Server {
    pub(crate) fn new(
        name: &'static str,
        address: ApiUrl,
        headers: HeaderMap,
        authorities: &Authorities<'_>,
        limit: Duration,
    ) -> Result<Self, RemoteError> {
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
                let text = files::read(path, LIMIT as u64).map_err(|error| RemoteError::NoFile { error })?;
                builder.tls_certs_merge(certificates(&text)?)
            }
            Authorities::Only(text) => builder.no_proxy().tls_certs_only(certificates(text)?),
        };
        let client = builder
            .build()
            .map_err(|_| RemoteError::NotSetUp("a connection cannot be set up on this machine".to_owned()))?;
        Ok(Self {
            name,
            address,
            headers,
            client,
        })
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn address(&self) -> &ApiUrl {
        &self.address
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer, RemoteError> {
        self.send(Method::GET, path, HeaderMap::new(), None).await
    }

    /// Sends a body of a type.
    pub(crate) async fn put(
        &self,
        method: Method,
        path: &str,
        media_type: &str,
        body: &[u8],
    ) -> Result<Answer, RemoteError> {
        self.send(method, path, HeaderMap::new(), Some((media_type, body)))
            .await
    }

    /// Posts a body of a type, with headers of its own.
    pub(crate) async fn post(
        &self,
        path: &str,
        headers: HeaderMap,
        media_type: &str,
        body: &[u8],
    ) -> Result<Answer, RemoteError> {
        self.send(Method::POST, path, headers, Some((media_type, body))).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Option<(&str, &[u8])>,
    ) -> Result<Answer, RemoteError> {
        let effect = if body.is_some() { Effect::Unknown } else { Effect::None };
        let mut request = self
            .client
            .request(method, self.address.join(path))
            .headers(self.headers.clone())
            .headers(headers);
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

    fn lost(&self, error: &reqwest::Error, effect: Effect) -> RemoteError {
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            reason = cause.to_string();
            source = cause.source();
        }
        if error.is_timeout() && !error.is_connect() {
            "no answer in time".clone_into(&mut reason);
        }
        RemoteError::Unreachable {
            server: self.name,
            reason: quoted::cleared(&reason),
            effect: if error.is_connect() || error.is_builder() {
                Effect::None
            } else {
                effect
            },
        }
    }

    pub(crate) fn rubbish(&self, what: &'static str) -> RemoteError {
        RemoteError::Rubbish {
            server: self.name,
            what,
        }
    }

    /// Whether a text has the token that every request brings: something on the way may repeat what it was sent.
    pub(crate) fn shows_who_we_are(&self, text: &str) -> bool {
        let secrets = self.headers.values().filter(|value| value.is_sensitive());
        let tokens = secrets.filter_map(|value| value.to_str().ok()?.split(' ').next_back());
        tokens
            .filter(|token| !token.is_empty())
            .any(|token| text.contains(token))
    }
}

fn certificates(text: &[u8]) -> Result<Vec<Certificate>, RemoteError> {
    let none = || RemoteError::NotSetUp("the file of the server's authority has no certificate in it".to_owned());
    let certificates = Certificate::from_pem_bundle(text).map_err(|_| none())?;
    if certificates.is_empty() {
        Err(none())
    } else {
        Ok(certificates)
    }
}
