//! What a document says of itself, for listings: nothing is opened, and nobody vouches for it.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::super::VaultError;
use super::file::{Removed, check_header, damaged, is_object, read_header, tampered};
use super::forms::Moves;
use crate::model::ids::CredentialName;
use crate::model::record::{PublicRecord, refused_in};

/// What a document says of itself, which nobody vouched for.
pub(in crate::vault) struct Glimpse {
    /// None where the credential was removed.
    pub(in crate::vault) record: Option<PublicRecord>,
    pub(in crate::vault) moves: Option<Moves>,
    /// Where it went, where it was removed by a rename.
    pub(in crate::vault) moved_to: Option<CredentialName>,
    /// 0 in version 1.
    pub(in crate::vault) epoch: u64,
    /// 0 in version 1.
    pub(in crate::vault) revision: u64,
    /// It says itself that nobody vouches for it.
    pub(in crate::vault) unauthenticated: bool,
}

/// For listings: the sealed part is skipped without being copied.
#[derive(Deserialize)]
struct PublicForm {
    format: String,
    version: u64,
    public: Option<PublicRecord>,
    moves: Option<Moves>,
    epoch: Option<u64>,
    revision: Option<u64>,
    removed: Option<Removed>,
    #[serde(default, deserialize_with = "present")]
    code: Presence,
    #[serde(rename = "sealed", default)]
    _sealed: IgnoredAny,
}

/// Whether a field is there, and is not null.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Presence {
    #[default]
    Absent,
    Null,
    There,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Presence, D::Error> {
    Ok(match Option::<IgnoredAny>::deserialize(deserializer)? {
        Some(_) => Presence::There,
        None => Presence::Null,
    })
}

pub(in crate::vault) fn glimpse(name: &CredentialName, bytes: &[u8]) -> Result<Glimpse, VaultError> {
    let form = serde_json::from_slice::<PublicForm>(bytes)
        .ok()
        .filter(|_| is_object(bytes));
    let Some(form) = form else {
        // What is wrong is found out on the slow path.
        read_header(name, bytes)?;
        let whole: Value = serde_json::from_slice(bytes).unwrap_or_default();
        if let Some((field, reason)) = whole.get("public").and_then(refused_in) {
            return Err(VaultError::Refused {
                name: name.clone(),
                field,
                reason,
            });
        }
        return Err(damaged(
            name,
            "a field of its public part is missing, unknown or of the wrong type",
        ));
    };
    check_header(name, &form.format, form.version)?;
    match (&form.public, &form.removed) {
        (Some(record), None) if record.name != *name => {
            return Err(tampered(
                name,
                format!("it is the file of {} under another name", record.name),
            ));
        }
        (Some(_), None) | (None, Some(_)) => {}
        (None, None) => return Err(damaged(name, "it has no public part")),
        (Some(_), Some(_)) => return Err(damaged(name, "it is a credential and what stays of one, both")),
    }
    Ok(Glimpse {
        unauthenticated: form.version > 1 && form.code != Presence::There,
        record: form.public,
        moves: form.moves,
        moved_to: form.removed.and_then(|removed| removed.moved_to),
        epoch: form.epoch.unwrap_or(0),
        revision: form.revision.unwrap_or(0),
    })
}
