//! What can go wrong between us and Dfns, told apart.

use std::error::Error as _;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use thiserror::Error;

use crate::model::effect::Effect;
use crate::model::token::AuthToken;

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
    #[error("{host} {}", .stage.in_words())]
    Unreachable {
        /// Which host.
        host: String,
        /// How far we came.
        stage: Stage,
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

impl Stage {
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
                Stage::Dns | Stage::Connect | Stage::Timeout | Stage::Broken => true,
                Stage::Tls => false,
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
            stage: Stage::Timeout,
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
            stage: Stage::Broken,
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
                Stage::Dns
            } else if tls {
                Stage::Tls
            } else {
                Stage::Connect
            };
            (stage, Effect::None)
        } else if error.is_timeout() {
            (Stage::Timeout, effect)
        } else {
            (Stage::Broken, effect)
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
    use rustls::CertificateError as Wound;
    let rustls::Error::InvalidCertificate(wound) = tls_error(cause)? else {
        return None;
    };
    Some(match wound {
        Wound::NotValidForName | Wound::NotValidForNameContext { .. } => "the certificate is for another name",
        Wound::UnknownIssuer => "the certificate is by an authority this machine does not know",
        Wound::Expired | Wound::ExpiredContext { .. } => "the certificate has expired",
        Wound::NotValidYet | Wound::NotValidYetContext { .. } => "the certificate is not valid yet",
        Wound::Revoked => "the certificate is revoked",
        _ => "the certificate is not valid",
    })
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

/// Text from the other side without any piece of our token in it. A broken server or a proxy may echo what it was sent,
/// whole or in part.
pub(super) fn without_token(text: &str, token: Option<&AuthToken>) -> String {
    const PIECE: usize = 16;
    let Some(token) = token.map(AuthToken::expose_secret) else {
        return text.to_owned();
    };
    let in_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let gives_away = |word: &str| {
        word.as_bytes()
            .windows(PIECE)
            .any(|piece| token.as_bytes().windows(PIECE).any(|own| own == piece))
    };
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let word_end = rest.find(|c| !in_token(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(word_end);
        clean.push_str(if gives_away(word) { "[token]" } else { word });
        let gap_end = after.find(in_token).unwrap_or(after.len());
        clean.push_str(&after[..gap_end]);
        rest = &after[gap_end..];
    }
    clean
}

/// The message in an error body, in any of the vendor's forms, safe to show.
pub(super) fn message_in(body: &[u8], token: Option<&AuthToken>) -> Option<String> {
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
    .map(|message| safe_text(&without_token(message, token)))
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
            assert_eq!(message_in(body.as_bytes(), None).as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn an_echoed_token_is_cut_out_whole_or_in_part() {
        let text = "e30.eyJleHAiOjF9eyJleHAiOjF9.c2lnbmF0dXJlc2lnbmF0dXJl";
        let long = "e30.eyJleHAiOjEsImEiOiJhYWFhYWFhYWFhYWFhYWFhYSJ9.c2lnbmF0dXJlc2lnbmF0dXJl";
        let token = AuthToken::parse(long).ok().unwrap();
        assert_eq!(
            without_token(&format!("a Bearer {long}, b"), Some(&token)),
            "a Bearer [token], b"
        );
        assert_eq!(without_token(&format!("{}…", &long[..40]), Some(&token)), "[token]…");
        assert_eq!(
            without_token("nothing-of-the-sort in é here", Some(&token)),
            "nothing-of-the-sort in é here"
        );
        assert_eq!(without_token(text, None), text);
    }

    #[test]
    fn remote_text_cannot_move_a_terminal() {
        let safe = safe_text("a\u{1b}[2Jb\u{202e}c\nd");
        assert!(safe.chars().all(|c| !c.is_control()), "{safe}");
        assert!(!safe.contains('\u{202e}'));
        assert!(safe_text(&"x".repeat(10_000)).chars().count() <= 301);
    }
}
