//! What this machine remembers of a vault between runs, outside of it: which vault it is (the pin), and the newest state that was
//! seen of it and of each credential (the marks). Who can write to the vault cannot write here, so an old copy is noticed.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::VaultError;
use super::codes::{VaultId, digest};
use crate::model::ids::CredentialName;
use crate::model::quoted;
use crate::sys::files::{self, IfExists, Readable};

pub(super) const PIN: &str = "pin.json";
/// The checkpoint up to which the log was found good.
const LOG: &str = "log.json";
/// What this machine sealed without being able to open it.
const SEALED: &str = "sealed";
/// A hundred bytes a mark: far more than anybody has credentials.
pub(super) const MARKS_LIMIT: u64 = 256 * 1024 * 1024;
pub(super) const PIN_LIMIT: u64 = 64 * 1024;

/// What a machine brings to a vault.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// The folder in which it remembers; none where there is no place to.
    pub state: Option<PathBuf>,
    /// Which vault it must be, where somebody said so, and the least epoch.
    pub expected: Option<(VaultId, Option<u64>)>,
    /// The SHA-256 of the list that a writer which only seals may seal to.
    pub recipients_digest: Option<String>,
    /// An older state than the one that was seen is accepted, and becomes the newest.
    pub accept_rollback: bool,
}

/// Which vault is at a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pin {
    pub(super) place: String,
    pub(super) id: VaultId,
    pub(super) epoch: u64,
    /// The key object of that epoch.
    pub(super) keys: String,
    /// Names the secret of that epoch: every later list must go with it too.
    pub(super) proof: String,
    /// Everything was sealed for this epoch, or a later one.
    pub(super) complete: u64,
    /// For a writer that only seals: the list it seals to.
    pub(super) recipients_digest: Option<String>,
}

/// Stands for the place of a vault where the place itself is no name.
pub(super) fn name_of(place: &str) -> String {
    digest(place.as_bytes())[..32].to_owned()
}

pub(super) fn folder_of(machine: &Machine, place: &str) -> Option<PathBuf> {
    let state = machine.state.as_ref()?;
    Some(state.join("vaults").join(name_of(place)))
}

/// The pin of the vault at a place, if this machine has one.
pub(super) fn pin(machine: &Machine, place: &str) -> Result<Option<Pin>, VaultError> {
    let Some(folder) = folder_of(machine, place) else {
        return Ok(None);
    };
    let path = folder.join(PIN);
    match files::read(&path, PIN_LIMIT) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|_| VaultError::Damaged {
                what: quoted::path(&path),
                reason: "it does not hold what dfns-keys writes there".to_owned(),
            }),
        Err(error) if error.is_not_found() => Ok(None),
        // A folder that may not be read is a machine that remembers nothing.
        Err(error) if error.source.kind() == std::io::ErrorKind::PermissionDenied => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The checkpoint up to which this machine found the log good.
#[derive(Serialize, Deserialize)]
pub(super) struct KnownOfLog {
    /// The SHA-256 of its line.
    pub(super) hash: String,
    pub(super) at: Timestamp,
}

/// What this machine knows of the log of the vault at a place.
pub(super) fn known_of_log(machine: &Machine, place: &str) -> Option<KnownOfLog> {
    let bytes = files::read(&folder_of(machine, place)?.join(LOG), PIN_LIMIT).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Remembers what was found good. Where there is no place to, the next look goes without.
pub(super) fn remember_log(machine: &Machine, place: &str, known: &KnownOfLog) {
    let Some(folder) = folder_of(machine, place) else {
        return;
    };
    let text = serde_json::to_vec(known).expect("two texts serialise");
    let _ = files::create_private_directory(&folder);
    let _ = files::write(&folder.join(LOG), &text, IfExists::Replace, Readable::ByOwner);
}

/// Remembers a document that this machine sealed and cannot open.
pub(super) fn remember_sealed(machine: &Machine, place: &str, name: &CredentialName, bytes: &[u8]) {
    let Some(folder) = folder_of(machine, place) else {
        return;
    };
    // That it cannot is no reason to fail: the next run then refuses to go by memory.
    let _ = files::create_private_directory(&folder);
    let _ = files::append(&folder.join(SEALED), format!("{name} {}\n", digest(bytes)).as_bytes());
}

/// Whether this machine sealed a document, to the byte.
pub(super) fn has_sealed(machine: &Machine, place: &str, name: &CredentialName, bytes: &[u8]) -> bool {
    let line = format!("{name} {}", digest(bytes));
    folder_of(machine, place)
        .and_then(|folder| files::read(&folder.join(SEALED), MARKS_LIMIT).ok())
        .is_some_and(|text| String::from_utf8_lossy(&text).lines().any(|known| known == line))
}
