//! A document's file, as it is written and read: its forms, and what must be so before anything in it counts.

use jiff::Timestamp;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::VaultError;
use super::super::codes::Code;
use super::forms::Moves;
use crate::model::ids::CredentialName;
use crate::model::record::PublicRecord;

const FORMAT: &str = "dfns-keys/credential";

/// The newest version that is read.
const NEWEST: u64 = 2;

/// A document as it is written.
#[derive(Serialize)]
struct FileForm<'a> {
    format: &'static str,
    version: u64,
    #[serde(flatten)]
    body: Body<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Body<'a> {
    One {
        public: &'a PublicRecord,
        sealed: String,
    },
    Two {
        public: &'a PublicRecord,
        #[serde(skip_serializing_if = "Option::is_none")]
        moves: Option<&'a Moves>,
        epoch: u64,
        revision: u64,
        writes: &'a [String],
        sealed: String,
        code: Option<Code>,
    },
    Removed {
        name: &'a CredentialName,
        removed: &'a Removed,
        epoch: u64,
        revision: u64,
        writes: &'a [String],
        code: Code,
    },
}

/// What is said of a credential that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::vault) struct Removed {
    pub(in crate::vault) at: Timestamp,
    pub(in crate::vault) moved_to: Option<CredentialName>,
}

#[derive(Deserialize)]
struct Header {
    format: String,
    version: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::vault) struct WholeForm {
    #[serde(rename = "format")]
    pub(super) _format: IgnoredAny,
    pub(super) version: u64,
    pub(super) public: Option<Value>,
    pub(super) moves: Option<Moves>,
    #[serde(rename = "name")]
    pub(super) _name: Option<IgnoredAny>,
    pub(super) removed: Option<Removed>,
    pub(super) epoch: Option<u64>,
    pub(super) revision: Option<u64>,
    #[serde(default)]
    pub(super) writes: Vec<String>,
    pub(super) sealed: Option<String>,
    pub(super) code: Option<Code>,
}

pub(super) fn to_bytes(version: u64, body: Body<'_>) -> Vec<u8> {
    let file = FileForm {
        format: FORMAT,
        version,
        body,
    };
    let mut bytes = serde_json::to_vec_pretty(&file).expect("a struct of texts serialises into memory");
    bytes.push(b'\n');
    bytes
}

pub(in crate::vault) fn parse(name: &CredentialName, bytes: &[u8]) -> Result<WholeForm, VaultError> {
    read_header(name, bytes)?;
    serde_json::from_slice(bytes).map_err(|_| {
        damaged(
            name,
            "a field is missing, unknown or of the wrong type, or does not belong there",
        )
    })
}

/// A document says its format and version, in an object: serde would take the same in an array.
pub(super) fn read_header(name: &CredentialName, bytes: &[u8]) -> Result<(), VaultError> {
    let header = serde_json::from_slice::<Header>(bytes)
        .ok()
        .filter(|_| is_object(bytes));
    let Some(Header { format, version }) = header else {
        return Err(damaged(name, "it is not JSON, or says neither format nor version"));
    };
    check_header(name, &format, version)
}

pub(super) fn check_header(name: &CredentialName, format: &str, version: u64) -> Result<(), VaultError> {
    if format != FORMAT {
        return Err(damaged(name, "it does not say that it is a credential of dfns-keys"));
    }
    match version {
        1..=NEWEST => Ok(()),
        0 => Err(damaged(name, "its format version is 0")),
        found => Err(VaultError::Newer {
            what: format!("the file of {name}"),
            found,
            known: NEWEST,
        }),
    }
}

pub(super) fn is_object(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first() == Some(&b'{')
}

pub(super) fn damaged(name: &CredentialName, reason: &str) -> VaultError {
    VaultError::Damaged {
        what: format!("the file of {name}"),
        reason: reason.to_owned(),
    }
}

pub(super) fn tampered(name: &CredentialName, difference: impl Into<String>) -> VaultError {
    VaultError::Tampered {
        name: name.clone(),
        difference: difference.into(),
    }
}
