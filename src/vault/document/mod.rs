//! A credential's file: versioned JSON with a public part and a sealed one, which repeats the public part in full.
//! The two must agree, and only the sealed copy is believed. From version 2 on a code says that a member of the vault wrote it.

mod assemble;
mod covered;
mod disassemble;
mod file;
mod forms;
mod glimpse;
mod key_form;
mod open;
mod seal;
mod turn;

use crate::model::ids::CredentialName;

pub use disassemble::Contents;
pub(super) use file::Removed;
#[cfg(feature = "fuzzing")]
pub(super) use file::parse;
pub(super) use forms::Moves;
pub(super) use glimpse::{Glimpse, glimpse};
#[cfg(feature = "fuzzing")]
pub(super) use open::open_sealed;
pub(super) use open::{OpenedDocument, open, open_version_1};
pub(super) use seal::{bury, seal, seal_unauthenticated, seal_version_1};
pub(super) use turn::{Turn, is_of};

/// The folder of credential files inside the vault.
pub(super) const FOLDER: &str = "credentials";

/// The name of a credential's document.
pub(super) fn document_name(name: &CredentialName) -> String {
    format!("{FOLDER}/{name}.json")
}

/// The credential that a document is named after; none where it is no document of ours.
pub(super) fn credential_name(document: &str) -> Option<CredentialName> {
    document
        .strip_prefix(FOLDER)?
        .strip_prefix('/')?
        .strip_suffix(".json")?
        .parse()
        .ok()
}
