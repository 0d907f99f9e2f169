//! The parts of an address of a key, each with where it stands.

use std::fmt::Write as _;

use super::KeyUriError;
use crate::model::quoted::Quoted;
use crate::model::target::{decoded, is_parameter_name, is_repeatable};

/// An address behind its scheme.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    text: &'a str,
    /// Where the scheme ends.
    start: usize,
    /// Where the `?` stands, or the end.
    question: usize,
}

/// One part.
pub(super) struct Field<'a> {
    pub(super) name: String,
    value: &'a str,
    position: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn of(text: &'a str, start: usize) -> Self {
        let question = text[start..].find('?').map_or(text.len(), |found| start + found);
        Self { text, start, question }
    }

    pub(super) fn end(self) -> usize {
        self.text.len()
    }

    /// All before the `?`, which has no name.
    pub(super) fn whole(self) -> Result<Field<'a>, KeyUriError> {
        let field = Field {
            name: String::new(),
            value: &self.text[self.start..self.question],
            position: self.start,
        };
        if field.value.is_empty() {
            return Err(field.refused("the key's name is missing"));
        }
        Ok(field)
    }

    /// The parts before the `?`.
    pub(super) fn path(self, separator: char) -> Result<Vec<Field<'a>>, KeyUriError> {
        split(&self.text[self.start..self.question], self.start, separator)
    }

    /// The parts behind the `?`.
    pub(super) fn query(self) -> Result<Vec<Field<'a>>, KeyUriError> {
        match self.text.get(self.question + 1..) {
            Some(query) => split(query, self.question + 1, '&'),
            None => Ok(Vec::new()),
        }
    }
}

fn split(text: &str, start: usize, separator: char) -> Result<Vec<Field<'_>>, KeyUriError> {
    let mut fields: Vec<Field<'_>> = Vec::new();
    let mut position = start;
    for part in text.split(separator) {
        let (name, value) = part.split_once('=').ok_or_else(|| KeyUriError {
            position,
            reason: "a part is to be NAME=VALUE".to_owned(),
        })?;
        let field = Field {
            name: name.to_owned(),
            value,
            position,
        };
        if !is_parameter_name(name) {
            return Err(field.refused("a part is to be NAME=VALUE, its name in letters, digits, `_` and `-`"));
        }
        if fields.iter().any(|other| other.name == name) {
            return Err(field.refused("a part stands there twice"));
        }
        fields.push(field);
        position += part.len() + 1;
    }
    Ok(fields)
}

impl Field<'_> {
    pub(super) fn refused(&self, reason: &str) -> KeyUriError {
        super::refused(self.position, reason)
    }

    /// A part that nobody knows; `known` says which are.
    pub(super) fn unknown(&self, known: &str) -> KeyUriError {
        self.refused(&format!("{} is not known; {known}", Quoted::of(&self.name)))
    }

    pub(super) fn text(&self) -> Result<String, KeyUriError> {
        let text = String::from_utf8(self.bytes()?).map_err(|_| self.refused("it is not UTF-8"))?;
        if is_repeatable(&text) {
            Ok(text)
        } else {
            Err(self.refused("it has characters that no name has, or may be a secret"))
        }
    }

    pub(super) fn bytes(&self) -> Result<Vec<u8>, KeyUriError> {
        match decoded(self.value) {
            Some(bytes) if bytes.is_empty() => Err(self.refused("its value is empty")),
            Some(bytes) => Ok(bytes),
            None => Err(self.refused("behind a percent sign stand two hexadecimal digits")),
        }
    }
}

pub(super) fn encoded(bytes: &[u8]) -> String {
    let encode = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' => {
            char::from(*byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    bytes.iter().map(encode).collect()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
