//! `vault.json`: a hint that there is a vault, and of which format, for programs that know only older ones. What counts is the list.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::VaultError;
use super::store::{Expected, Store, StoreError};

pub(super) const FILE: &str = "vault.json";
const FORMAT: &str = "dfns-keys/vault";
/// The newest version.
pub(super) const VERSION: u64 = 2;

#[derive(Serialize, Deserialize)]
struct Settings {
    format: String,
    version: u64,
    created_at: Timestamp,
}

/// Says that the vault is of the newest version, from when it was, or from now on.
pub(super) async fn write(store: &dyn Store, now: Timestamp) -> Result<(), VaultError> {
    let (before, expected) = match store.get(FILE).await {
        Ok((bytes, version)) => (
            serde_json::from_slice::<Settings>(&bytes).ok(),
            Expected::Version(version),
        ),
        Err(StoreError::NotFound) => (None, Expected::Absent),
        Err(error) => return Err(error.into()),
    };
    if before.as_ref().is_some_and(|settings| settings.version == VERSION) {
        return Ok(());
    }
    let settings = Settings {
        format: FORMAT.to_owned(),
        version: VERSION,
        created_at: before.map_or(now, |settings| settings.created_at),
    };
    let mut bytes = serde_json::to_vec_pretty(&settings).expect("three plain fields serialise");
    bytes.push(b'\n');
    store.put(FILE, &bytes, &expected).await?;
    Ok(())
}

/// Refuses a vault that a newer dfns-keys made. A missing hint is none.
pub(super) async fn check(store: &dyn Store) -> Result<(), VaultError> {
    let bytes = match store.get(FILE).await {
        Ok((bytes, _)) => bytes,
        Err(StoreError::NotFound) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let damaged = |reason: &str| VaultError::Damaged {
        what: FILE.to_owned(),
        reason: reason.to_owned(),
    };
    let header: serde_json::Value = serde_json::from_slice(&bytes).map_err(|_| damaged("it is not JSON"))?;
    if header.get("format").and_then(serde_json::Value::as_str) != Some(FORMAT) {
        return Err(damaged("it does not say that it is a vault of dfns-keys"));
    }
    match header.get("version").and_then(serde_json::Value::as_u64) {
        Some(1..=VERSION) => Ok(()),
        Some(found) if found > VERSION => Err(VaultError::Newer {
            what: FILE.to_owned(),
            found,
            known: VERSION,
        }),
        _ => Err(damaged("its version is missing or unknown")),
    }
}
