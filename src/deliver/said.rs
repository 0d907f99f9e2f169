//! What another program said, as it may be repeated.

use std::process::ExitStatus;

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

use super::{Contents, PlaceError};
use crate::model::quoted;
use crate::sys::child::Ended;

/// So many characters in a row of a secret are a part of it.
const PIECE: usize = 12;
/// Instead of a text with a secret in it.
pub(super) const NOT_REPEATED: &str = "[not repeated: it has a secret in it]";
/// The refusal of a program that ended by itself.
pub(super) fn refused(program: &str, ended: &Ended, contents: &Contents) -> PlaceError {
    let said = [&ended.stderr, &ended.stdout].into_iter().find(|said| !said.is_empty());
    PlaceError::Refused {
        program: program.to_owned(),
        how: how(ended.status),
        words: said.and_then(|said| repeatable(said, contents)),
        advice: None,
    }
}

/// What was said, in one line, without what may be a secret.
pub(super) fn repeatable(said: &[u8], contents: &Contents) -> Option<String> {
    let text = String::from_utf8_lossy(said);
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() {
        return None;
    }
    if shows_a_secret(&words.concat(), contents) {
        return Some(NOT_REPEATED.to_owned());
    }
    quoted::sentence(said)
}

/// Whether a text has a part of what was put in it, as it is or in base64.
fn shows_a_secret(text: &str, contents: &Contents) -> bool {
    let secrets = contents
        .variables
        .iter()
        .filter(|(name, _)| matches!(*name, "DFNS_AUTH_TOKEN" | "DFNS_PRIVATE_KEY"));
    let compact = |value: &str| Zeroizing::new(value.split_whitespace().collect::<String>());
    secrets
        .flat_map(|(_, value)| [compact(value), Zeroizing::new(Base64::encode_string(value.as_bytes()))])
        .any(|secret| {
            // What every key begins and ends with is no secret.
            let bare = secret.trim_start_matches("-----BEGINPRIVATEKEY-----");
            bare.as_bytes()
                .windows(PIECE)
                .filter_map(|piece| std::str::from_utf8(piece).ok())
                .filter(|piece| !piece.contains("-----"))
                .any(|piece| text.contains(piece))
        })
}

fn how(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("exit code {code}"),
        None => "stopped by a signal".to_owned(),
    }
}
