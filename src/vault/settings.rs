//! `vault.json`: that there is a vault, and of which format.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::VaultError;
use crate::sys::files::{self, IfExists, Readable};

pub(super) const FILE: &str = "vault.json";
const FORMAT: &str = "dfns-keys/vault";
const VERSION: u64 = 1;

#[derive(Serialize, Deserialize)]
struct Settings {
    format: String,
    version: u64,
    created_at: Timestamp,
}

pub(super) fn write(directory: &Path, created_at: Timestamp) -> Result<(), VaultError> {
    let settings = Settings {
        format: FORMAT.to_owned(),
        version: VERSION,
        created_at,
    };
    let mut bytes = serde_json::to_vec_pretty(&settings).expect("three plain fields serialise");
    bytes.push(b'\n');
    files::write(&directory.join(FILE), &bytes, IfExists::Refuse, Readable::ByOwner).map_err(|error| {
        if error.is_already_exists() {
            VaultError::Exists(directory.to_owned())
        } else {
            error.into()
        }
    })
}

pub(super) fn check(directory: &Path) -> Result<(), VaultError> {
    let bytes = files::read(&directory.join(FILE), 64 * 1024).map_err(|error| {
        if error.is_not_found() {
            VaultError::Missing(directory.to_owned())
        } else {
            error.into()
        }
    })?;
    let damaged = |reason: &str| VaultError::Damaged {
        what: FILE.to_owned(),
        reason: reason.to_owned(),
    };
    let header: serde_json::Value = serde_json::from_slice(&bytes).map_err(|_| damaged("it is not JSON"))?;
    if header.get("format").and_then(serde_json::Value::as_str) != Some(FORMAT) {
        return Err(damaged("it does not say that it is a vault of dfns-keys"));
    }
    match header.get("version").and_then(serde_json::Value::as_u64) {
        Some(VERSION) => {}
        Some(found) if found > VERSION => {
            return Err(VaultError::Newer {
                what: FILE.to_owned(),
                found,
                known: VERSION,
            });
        }
        _ => return Err(damaged("its version is missing or unknown")),
    }
    serde_json::from_value::<Settings>(header).map_err(|_| damaged("a field is missing or of the wrong type"))?;
    Ok(())
}
