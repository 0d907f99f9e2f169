//! `log.jsonl`: who did what when, one JSON object a line, never a secret.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::VaultError;
use crate::model::ids::CredentialName;
use crate::sys::files;

const FILE: &str = "log.jsonl";
const SIZE_LIMIT: u64 = 256 * 1024 * 1024;

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
        } = event.clone();
        let record = Record {
            at,
            actor,
            action: action.to_owned(),
            name,
            fingerprint,
            detail,
        };
        serde_json::to_writer(&mut lines, &record).expect("a record of texts serialises");
        lines.push(b'\n');
    }
    files::append(&directory.join(FILE), &lines)?;
    Ok(())
}

pub(super) fn read(directory: &Path, name: Option<&CredentialName>) -> Result<Vec<Record>, VaultError> {
    let bytes = match files::read(&directory.join(FILE), SIZE_LIMIT) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut records = Vec::new();
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        // A line without its end was cut off by a crash while it was written: what it told is lost, and no more.
        if !line.ends_with(b"\n") && lines.peek().is_none() {
            break;
        }
        let record: Record = serde_json::from_slice(line).map_err(|_| VaultError::Damaged {
            what: FILE.to_owned(),
            reason: format!("line {} is no record", index + 1),
        })?;
        if name.is_none_or(|name| record.name.as_ref() == Some(name)) {
            records.push(record);
        }
    }
    Ok(records)
}
