//! The vault's files as `tests/fuzz` writes them.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::identity::Own;
use super::{AgeIdentity, VaultError, document, log, marks, sealed};
use crate::model::ids::CredentialName;

fn name() -> CredentialName {
    "payments-api".parse().expect("a name")
}

/// A credential's file, as a listing and as an opener parse it.
pub(crate) fn document(bytes: &[u8]) -> Vec<String> {
    let read = [
        refusal(document::glimpse(&name(), bytes)),
        refusal(document::parse(&name(), bytes)),
    ];
    read.into_iter().flatten().collect()
}

/// The sealed part of a credential's file, in files of both versions: whoever can write to the vault can seal.
pub(crate) fn sealed_document(bytes: &[u8]) -> Vec<String> {
    static OWN: LazyLock<Own> = LazyLock::new(Own::generate);
    let Ok(form) = serde_json::from_slice::<Value>(bytes) else {
        return Vec::new();
    };
    let recipient = OWN.recipient();
    let armored = sealed::seal(bytes, &super::recipients::to_age(&[recipient]).expect("a recipient")).expect("memory");
    let identities: Vec<AgeIdentity> = vec![OWN.newest()];
    let of_version = |version: u64| {
        let mut file = json!({
            "format": "dfns-keys/credential", "version": version, "public": form["public"], "sealed": armored,
        });
        if version == 2 {
            file["epoch"] = form["epoch"].clone();
            file["revision"] = form["revision"].clone();
            file["writes"] = json!([]);
        }
        let parsed = document::parse(&name(), file.to_string().as_bytes());
        refusal(parsed.and_then(|file| document::open_sealed(&name(), file, &identities, false)))
    };
    [1, 2].into_iter().filter_map(of_version).collect()
}

/// `recipients.txt`, and what this machine remembers of a vault.
pub(crate) fn recipients(bytes: &[u8]) -> Vec<String> {
    marks::parse(bytes);
    refusal(super::keyring::parse_list(bytes)).into_iter().collect()
}

/// A line of the audit log.
pub(crate) fn log_line(bytes: &[u8]) -> Vec<String> {
    log::parsed(bytes);
    Vec::new()
}

fn refusal<T>(read: Result<T, VaultError>) -> Option<String> {
    read.err().map(|error| error.to_string())
}
