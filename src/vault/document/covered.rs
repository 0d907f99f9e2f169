//! What the code of a document or of a tombstone covers.

use super::super::keyring::Keyring;
use super::file::Removed;
use super::turn::Turn;
use crate::model::ids::CredentialName;

/// What the code of a document or of a tombstone covers. Every field goes behind its length, and the writes behind their number.
pub(super) fn fields(ring: &Keyring, epoch: u64, name: &CredentialName, turn: &Turn, rest: &[&str]) -> Vec<Vec<u8>> {
    let number = |number: u64| number.to_be_bytes().to_vec();
    let mut fields = vec![
        ring.id.as_str().as_bytes().to_vec(),
        number(epoch),
        name.as_str().as_bytes().to_vec(),
        number(turn.revision),
        number(turn.writes.len() as u64),
    ];
    fields.extend(turn.writes.iter().map(|id| id.as_bytes().to_vec()));
    fields.extend(rest.iter().map(|text| text.as_bytes().to_vec()));
    fields
}

pub(super) fn slices(fields: &[Vec<u8>]) -> Vec<&[u8]> {
    fields.iter().map(Vec::as_slice).collect()
}

pub(super) fn removed_texts(removed: &Removed) -> [String; 2] {
    let Removed { at, moved_to } = removed;
    [
        at.to_string(),
        moved_to.as_ref().map_or_else(String::new, ToString::to_string),
    ]
}
