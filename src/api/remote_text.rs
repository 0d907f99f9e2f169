//! Text from the other side, before a person sees it: found, cut, without our token, harmless to a terminal.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::model::quoted::cleared;
use crate::model::token::AuthToken;

/// Remote text without what may be a secret, cut to a length and with its control characters escaped, so that a terminal shows it and nothing more.
pub(super) fn safe_text(text: &str) -> String {
    const LIMIT: usize = 300;
    let text = cleared(&beginning(text.trim()));
    let mut safe: String = text
        .chars()
        .take(LIMIT)
        .flat_map(|c| {
            // Bidirectional controls reorder what a person reads.
            let hidden = c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
            let escaped = hidden.then(|| c.escape_default());
            escaped.into_iter().flatten().chain((!hidden).then_some(c))
        })
        .collect();
    if text.chars().count() > LIMIT {
        safe.push('…');
    }
    safe
}

/// The beginning of a text from the other side, far more than is shown of it, without any piece of our token in it. A broken
/// server or a proxy may echo what it was sent, whole or in part.
pub(super) fn without_token(text: &str, token: Option<&AuthToken>) -> String {
    const PIECE: usize = 16;
    let text = beginning(text);
    let Some(token) = token.map(AuthToken::expose_secret) else {
        return text.into_owned();
    };
    let pieces: HashSet<&[u8]> = token.as_bytes().windows(PIECE).collect();
    let in_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let gives_away = |word: &str| word.as_bytes().windows(PIECE).any(|piece| pieces.contains(piece));
    let mut clean = String::with_capacity(text.len());
    let mut rest = &*text;
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

/// As much of a text as is looked at; where it was longer, a sign for the rest.
fn beginning(text: &str) -> Cow<'_, str> {
    const LIMIT: usize = 4 * 1024;
    if text.len() <= LIMIT {
        return text.into();
    }
    let end = (0..=LIMIT).rfind(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &text[..end]).into()
}

/// The message in an error body, in any of the vendor's forms, safe to show.
pub(super) fn message_in(body: &[u8], token: Option<&AuthToken>) -> Option<String> {
    let Said {
        text: _,
        message,
        error,
    } = serde_json::from_slice(body).ok()?;
    let (text, inner) = error.map_or((None, None), |error| (error.text, error.message));
    [inner, message, text]
        .into_iter()
        .flatten()
        .next()
        .map(|message| safe_text(&without_token(&message, token)))
        .filter(|message| !message.is_empty())
}

/// JSON of any form, of which only what could be a message is kept: a body of a few megabytes may hold millions of values.
#[derive(Default)]
struct Said {
    text: Option<String>,
    message: Option<String>,
    error: Option<Box<Said>>,
}

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Listener)
    }
}

struct Listener;

impl<'de> Visitor<'de> for Listener {
    type Value = Said;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_str<E>(self, text: &str) -> Result<Said, E> {
        Ok(Said {
            text: Some(text.to_owned()),
            ..Said::default()
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Said, A::Error> {
        let mut said = Said::default();
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            match &*key {
                "message" => said.message = map.next_value::<Said>()?.text,
                "error" => said.error = Some(Box::new(map.next_value()?)),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(said)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Said, A::Error> {
        while values.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Said::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Said, E> {
        Ok(Said::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Said, E> {
        Ok(Said::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Said, E> {
        Ok(Said::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Said, E> {
        Ok(Said::default())
    }

    fn visit_unit<E>(self) -> Result<Said, E> {
        Ok(Said::default())
    }
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
            (
                r#"{"error":{"message":7,"x":[1,{"message":"inner"}]},"message":"outer"}"#,
                Some("outer"),
            ),
            (r#"{"error":{"message":"inner"},"message":"outer"}"#, Some("inner")),
            (r#"[{"message":"no"},null,1.5,-1,true]"#, None),
            (r#""no""#, None),
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
