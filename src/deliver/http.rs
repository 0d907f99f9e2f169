//! What a server says that has an HTTP API of its own and needs no program.

use serde::Deserialize;
use zeroize::Zeroizing;

use super::said::{NOT_REPEATED, repeatable};
use super::{Contents, PlaceError};
use crate::remote::http::{Answer, RemoteError, Server};

impl From<RemoteError> for PlaceError {
    fn from(error: RemoteError) -> Self {
        match error {
            RemoteError::NoFile { error } => Self::NoFile { error },
            RemoteError::NotSetUp(text) => Self::NotSetUp(text),
            RemoteError::Unreachable { server, reason, effect } => Self::Unreachable { server, reason, effect },
            RemoteError::Rubbish { server, what } => Self::Rubbish {
                program: server.to_owned(),
                what,
            },
        }
    }
}

/// A refusal, with what the table knows of it.
pub(super) fn refused(
    server: &Server,
    answer: &Answer,
    contents: &Contents,
    advice: &[(&'static str, &'static str)],
) -> PlaceError {
    let text = said(&answer.body);
    let known = advice.iter().find(|(words, _)| text.contains(words));
    PlaceError::Refused {
        program: server.name().to_owned(),
        how: format!("HTTP {}", answer.status),
        words: if server.shows_who_we_are(&text) {
            Some(NOT_REPEATED.to_owned())
        } else {
            repeatable(text.as_bytes(), contents)
        },
        advice: known.map(|(_, advice)| *advice),
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
