//! `log.jsonl`: who did what when, one JSON object a line, never a secret.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::VaultError;
use crate::model::ids::CredentialName;
use crate::sys::files::{self, Line, Lines};

pub(super) const FILE: &str = "log.jsonl";

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The account name of whoever ran the command, as their session says it.
    pub actor: Option<String>,
    /// What was done: one word, such as `onboarded`.
    pub action: &'static str,
    /// To which credential, if to one.
    pub name: Option<CredentialName>,
    /// The fingerprint of the key concerned.
    pub fingerprint: Option<String>,
    /// A few words more.
    pub detail: Option<String>,
    /// In which form, of what was exported.
    pub format: Option<String>,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When.
    pub at: Timestamp,
    /// Who.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// What.
    pub action: String,
    /// To which credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<CredentialName>,
    /// The fingerprint of the key concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// A few words more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// In which form, of what was exported. Lines of before lack it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

pub(super) fn append(directory: &Path, at: Timestamp, events: &[Event]) -> Result<(), VaultError> {
    let mut lines = Vec::new();
    for event in events {
        let Event {
            actor,
            action,
            name,
            fingerprint,
            detail,
            format,
        } = event.clone();
        let record = Record {
            at,
            actor,
            action: action.to_owned(),
            name,
            fingerprint,
            detail,
            format,
        };
        serde_json::to_writer(&mut lines, &record).expect("a record of texts serialises");
        lines.push(b'\n');
    }
    files::append(&directory.join(FILE), &lines)?;
    Ok(())
}

/// What stands in a line of the log.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry {
    /// What happened.
    Record(Box<Record>),
    /// No record: a line that was cut off when its writer was stopped, or changed from outside.
    Damaged {
        /// The line's number, counted from 1.
        line: u64,
    },
}

/// The log from its beginning, oldest first, one line at a time in memory.
pub struct Entries {
    /// Nothing, where there is no log yet.
    lines: Option<Lines>,
    number: u64,
}

impl Iterator for Entries {
    type Item = Result<Entry, VaultError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = match self.lines.as_mut()?.next()? {
                Ok(line) => line,
                Err(error) => {
                    // What comes after is not to be had.
                    self.lines = None;
                    return Some(Err(error.into()));
                }
            };
            self.number += 1;
            let text = match &line {
                Line::Whole(text) | Line::Torn(text) => text.trim_ascii_end(),
                Line::TooLong => b"too long",
            };
            // Two that end a torn line at once leave an empty one.
            if !text.is_empty() {
                return Some(Ok(serde_json::from_slice(text)
                    .map_or(Entry::Damaged { line: self.number }, |record| {
                        Entry::Record(Box::new(record))
                    })));
            }
        }
    }
}

pub(super) fn read(directory: &Path) -> Result<Entries, VaultError> {
    let lines = match Lines::open(&directory.join(FILE)) {
        Ok(lines) => Some(lines),
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(error.into()),
    };
    Ok(Entries { lines, number: 0 })
}
