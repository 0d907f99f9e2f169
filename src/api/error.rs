//! What can go wrong between us and Dfns, told apart.

use std::error::Error as _;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use thiserror::Error;

/// How far a request came before it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
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
    #[error("{host} cannot be reached: {}", .stage.in_words())]
    Unreachable {
        /// Which host.
        host: String,
        /// How far we came.
        stage: Stage,
        /// The underlying error's words, innermost first where it helps.
        reason: String,
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
    /// 3xx. A client that followed would carry the token elsewhere.
    #[error("{host} answers with a redirect{}, which is not followed", .location.as_deref().map(|l| format!(" to {l}")).unwrap_or_default())]
    Redirected {
        /// Which host.
        host: String,
        /// Where to, made safe to show.
        location: Option<String>,
    },
    /// An answer that is not what the API answers.
    #[error("{host} answers something that is not Dfns's: {what}")]
    NotDfns {
        /// Which host.
        host: String,
        /// What it is instead.
        what: &'static str,
    },
    /// The HTTP client could not be set up.
    #[error("the HTTP client cannot be set up: {reason}")]
    Setup {
        /// In the library's words.
        reason: String,
    },
}

impl Stage {
    fn in_words(self) -> &'static str {
        match self {
            Self::Dns => "its name does not resolve",
            Self::Connect => "no connection",
            Self::Tls => "no secure connection (TLS)",
            Self::Timeout => "no answer in time",
            Self::Broken => "the connection broke before the answer was whole",
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
                Stage::Dns | Stage::Connect | Stage::Timeout | Stage::Broken => true,
                Stage::Tls => false,
            },
            Self::NotDfns { .. } | Self::Refused { .. } | Self::Redirected { .. } | Self::Setup { .. } => false,
        }
    }

    pub(super) fn from_transport(host: &str, error: &reqwest::Error) -> Self {
        let mut reasons = Vec::new();
        let mut source = error.source();
        while let Some(cause) = source {
            reasons.push(cause.to_string());
            source = cause.source();
        }
        let mentions = |part: &str| reasons.iter().any(|reason| reason.contains(part));
        let stage = if error.is_timeout() {
            Stage::Timeout
        } else if mentions("dns error") || mentions("failed to lookup address") {
            Stage::Dns
        } else if mentions("certificate") || mentions("TLS") || mentions("tls") || mentions("received fatal alert") {
            Stage::Tls
        } else if error.is_connect() {
            Stage::Connect
        } else {
            Stage::Broken
        };
        Self::Unreachable {
            host: host.to_owned(),
            stage,
            reason: safe_text(reasons.last().map_or("", String::as_str)),
        }
    }
}

/// Remote text, cut to a length and with its control characters escaped, so that a terminal shows it and nothing more.
pub(super) fn safe_text(text: &str) -> String {
    const LIMIT: usize = 300;
    let mut safe: String = text
        .trim()
        .chars()
        .take(LIMIT)
        .flat_map(|c| {
            // Bidirectional controls reorder what a person reads.
            let hidden = c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
            let escaped = hidden.then(|| c.escape_default());
            escaped.into_iter().flatten().chain((!hidden).then_some(c))
        })
        .collect();
    if text.trim().chars().count() > LIMIT {
        safe.push('…');
    }
    safe
}

/// The message in an error body, in any of the vendor's forms.
pub(super) fn message_in(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let error = value.get("error");
    [
        error.and_then(|error| error.get("message")),
        value.get("message"),
        error,
    ]
    .into_iter()
    .flatten()
    .find_map(Value::as_str)
    .map(safe_text)
    .filter(|message| !message.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_an_error_body_is_read() {
        for (body, expected) in [
            (r#"{"error":{"id":"1","message":"no"}}"#, Some("no")),
            (r#"{"message":"no"}"#, Some("no")),
            (r#"{"error":"no"}"#, Some("no")),
            (r#"{"error":{}}"#, None),
            ("<html>", None),
            ("", None),
        ] {
            assert_eq!(message_in(body.as_bytes()).as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn remote_text_cannot_move_a_terminal() {
        let safe = safe_text("a\u{1b}[2Jb\u{202e}c\nd");
        assert!(safe.chars().all(|c| !c.is_control()), "{safe}");
        assert!(!safe.contains('\u{202e}'));
        assert!(safe_text(&"x".repeat(10_000)).chars().count() <= 301);
    }
}
