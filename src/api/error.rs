//! What can go wrong between us and Dfns, told apart.

use std::error::Error as _;
use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error;

use super::remote_text::safe_text;
use crate::model::effect::Effect;

/// How far a request came before it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The host name did not resolve.
    Dns,
    /// No connection.
    Connect,
    /// No TLS session.
    Tls,
    /// No answer in time.
    Timeout,
    /// The connection broke.
    Broken,
}

/// A call to Dfns failed.
#[derive(Debug, Error)]
pub enum ApiError {
    /// No whole answer came.
    #[error("{host} {}", .stage.in_words())]
    Unreachable {
        /// Which host.
        host: String,
        /// How far we came.
        stage: Phase,
        /// The underlying error's words, innermost first where it helps.
        reason: String,
        /// What the request has done.
        effect: Effect,
    },
    /// 429, and waiting did not help or would take too long.
    #[error("Dfns limits the rate of requests{}", .retry_after.map(|wait| format!(" and asks to wait {} s", wait.as_secs())).unwrap_or_default())]
    RateLimited {
        /// What `Retry-After` said.
        retry_after: Option<Duration>,
    },
    /// 5xx.
    #[error("Dfns is failing: status {status}{}", said(.message.as_deref()))]
    Failing {
        /// The status.
        status: u16,
        /// What it said, made safe to show.
        message: Option<String>,
        /// What the request has done.
        effect: Effect,
    },
    /// 4xx.
    #[error("Dfns refuses: status {status}{}", said(.message.as_deref()))]
    Refused {
        /// The status.
        status: u16,
        /// What it said, made safe to show.
        message: Option<String>,
        /// The server's clock.
        server_time: Option<Timestamp>,
    },
    /// 202: accepted, but somebody has to approve it first.
    #[error("Dfns waits for an approval before it does this")]
    AwaitingApproval,
    /// 3xx. A client that followed would carry the token elsewhere.
    #[error("{host} answers with a redirect{}, which is not followed", .location.as_deref().map(|l| format!(" to {l}")).unwrap_or_default())]
    Redirected {
        /// Which host.
        host: String,
        /// Where to, made safe to show.
        location: Option<String>,
        /// What the request has done.
        effect: Effect,
    },
    /// An answer that is not what the API answers.
    #[error("{host} answers something that is not Dfns's: {what}")]
    NotDfns {
        /// Which host.
        host: String,
        /// What it is instead.
        what: &'static str,
        /// What the request has done.
        effect: Effect,
    },
    /// The HTTP client could not be set up.
    #[error("the HTTP client cannot be set up: {reason}")]
    Setup {
        /// In the library's words.
        reason: String,
    },
}

impl Phase {
    fn in_words(self) -> &'static str {
        match self {
            Self::Dns => "cannot be reached: its name does not resolve",
            Self::Connect => "cannot be reached: no connection",
            Self::Tls => "cannot be reached: no secure connection (TLS)",
            Self::Timeout => "gives no answer in time",
            Self::Broken => "was reached, but the connection broke before the answer was whole",
        }
    }
}

fn said(message: Option<&str>) -> String {
    message.map(|message| format!(", \"{message}\"")).unwrap_or_default()
}

impl ApiError {
    /// Whether the same request may do better a little later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::RateLimited { .. } | Self::Failing { .. } => true,
            Self::Unreachable { stage, .. } => match stage {
                Phase::Dns | Phase::Connect | Phase::Timeout | Phase::Broken => true,
                Phase::Tls => false,
            },
            Self::NotDfns { .. }
            | Self::Refused { .. }
            | Self::AwaitingApproval
            | Self::Redirected { .. }
            | Self::Setup { .. } => false,
        }
    }

    /// What the request that failed has done.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match self {
            Self::Unreachable { effect, .. }
            | Self::Failing { effect, .. }
            | Self::NotDfns { effect, .. }
            | Self::Redirected { effect, .. } => *effect,
            Self::RateLimited { .. } | Self::Refused { .. } | Self::AwaitingApproval | Self::Setup { .. } => {
                Effect::None
            }
        }
    }

    pub(super) fn timed_out(host: &str, effect: Effect) -> Self {
        Self::Unreachable {
            host: host.to_owned(),
            stage: Phase::Timeout,
            reason: String::new(),
            effect,
        }
    }

    /// A container may have no authorities at all, and then no TLS session can ever be had.
    pub(super) fn from_setup(error: &reqwest::Error) -> Self {
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            reason = cause.to_string();
            if let Some(rustls::Error::General(_)) = tls_error(cause) {
                "this machine has no certificate authorities: install the package ca-certificates, or name a file of them in SSL_CERT_FILE"
                    .clone_into(&mut reason);
                break;
            }
            source = cause.source();
        }
        Self::Setup {
            reason: safe_text(&reason),
        }
    }

    /// An answer that broke off.
    pub(super) fn broken(host: &str, reason: &str, effect: Effect) -> Self {
        Self::Unreachable {
            host: host.to_owned(),
            stage: Phase::Broken,
            reason: reason.to_owned(),
            effect,
        }
    }

    /// What the transport says. `effect` is what the request has done if it was sent.
    pub(super) fn from_transport(host: &str, error: &reqwest::Error, effect: Effect) -> Self {
        let mut last = None;
        let mut tls = false;
        let mut tls_reason = None;
        let mut name_unresolved = false;
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            tls |= tls_error(cause).is_some();
            tls_reason = tls_reason.or(certificate_reason(cause));
            // The resolver's error has no type of its own.
            name_unresolved |= text == "dns error";
            last = Some(text);
            source = cause.source();
        }
        let (stage, effect) = if error.is_connect() || error.is_builder() {
            let stage = if name_unresolved {
                Phase::Dns
            } else if tls {
                Phase::Tls
            } else {
                Phase::Connect
            };
            (stage, Effect::None)
        } else if error.is_timeout() {
            (Phase::Timeout, effect)
        } else {
            (Phase::Broken, effect)
        };
        Self::Unreachable {
            host: host.to_owned(),
            stage,
            reason: safe_text(tls_reason.or(last.as_deref()).unwrap_or_default()),
            effect,
        }
    }
}

/// The error of rustls's that a cause is, which may be wrapped in I/O errors.
fn tls_error<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    cause.downcast_ref::<rustls::Error>().or_else(|| {
        let inner = cause.downcast_ref::<std::io::Error>()?.get_ref()?;
        tls_error(inner)
    })
}

/// What is wrong with a certificate, in words for somebody who has to do something about it.
fn certificate_reason(cause: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    use rustls::CertificateError as Fault;
    let rustls::Error::InvalidCertificate(fault) = tls_error(cause)? else {
        return None;
    };
    Some(match fault {
        Fault::NotValidForName | Fault::NotValidForNameContext { .. } => "the certificate is for another name",
        Fault::UnknownIssuer => "the certificate is by an authority this machine does not know",
        Fault::Expired | Fault::ExpiredContext { .. } => "the certificate has expired",
        Fault::NotValidYet | Fault::NotValidYetContext { .. } => "the certificate is not valid yet",
        Fault::Revoked => "the certificate is revoked",
        _ => "the certificate is not valid",
    })
}
