//! From a credential to the bytes of its document.

use zeroize::Zeroizing;

use super::super::VaultError;
use super::super::codes::{Purpose, digest};
use super::super::keyring::{Keyring, seal as seal_text};
use super::super::marks::Mark;
use super::super::recipients::RecipientText;
use super::covered::{fields, removed_texts, slices};
use super::disassemble::Contents;
use super::file::{Body, Removed, to_bytes};
use super::forms::{Moves, SealedForm};
use super::turn::Turn;
use crate::model::ids::CredentialName;
use crate::model::record::PublicRecord;

/// A document of version 1, as dfns-keys 0.1 wrote it.
pub(in crate::vault) fn seal_version_1(
    contents: &Contents<'_>,
    recipients: &[RecipientText],
) -> Result<Vec<u8>, VaultError> {
    // Whoever can write to such a vault could send a secret elsewhere.
    if !contents.deliveries().is_empty() {
        return Err(VaultError::VersionOne);
    }
    let public = contents.record();
    let form = contents.form(&public).into_version_1(recipients.to_vec());
    let sealed = seal_text(&plaintext_of(&form), recipients)?;
    Ok(to_bytes(
        1,
        Body::One {
            public: &public,
            sealed,
        },
    ))
}

/// A member's document: sealed to the ring's list, under the code of its epoch.
pub(in crate::vault) fn seal(
    contents: &Contents<'_>,
    moves: Option<&Moves>,
    turn: &Turn,
    ring: &Keyring,
) -> Result<(Vec<u8>, Mark), VaultError> {
    let public = contents.record();
    let epoch = ring.epoch();
    let sealed = seal_part(contents, &public, moves, turn, epoch, &ring.recipients())?;
    let covered = fields(ring, epoch, &public.name, turn, &[&digest(sealed.as_bytes())]);
    let code = ring.newest().code(Purpose::Document, &slices(&covered));
    let mark = turn.mark(epoch);
    let body = Body::Two {
        public: &public,
        moves,
        epoch,
        revision: turn.revision,
        writes: &turn.writes,
        sealed,
        code: Some(code),
    };
    Ok((to_bytes(2, body), mark))
}

/// A document by somebody who can seal and cannot open: nobody vouches for it.
pub(in crate::vault) fn seal_unauthenticated(
    contents: &Contents<'_>,
    turn: &Turn,
    epoch: u64,
    recipients: &[RecipientText],
) -> Result<Vec<u8>, VaultError> {
    let public = contents.record();
    let sealed = seal_part(contents, &public, None, turn, epoch, recipients)?;
    let body = Body::Two {
        public: &public,
        moves: None,
        epoch,
        revision: turn.revision,
        writes: &turn.writes,
        sealed,
        code: None,
    };
    Ok(to_bytes(2, body))
}

/// What stays of a credential that was removed.
pub(in crate::vault) fn bury(name: &CredentialName, removed: &Removed, turn: &Turn, ring: &Keyring) -> (Vec<u8>, Mark) {
    let epoch = ring.epoch();
    let [at, moved_to] = removed_texts(removed);
    let covered = fields(ring, epoch, name, turn, &[&at, &moved_to]);
    let code = ring.newest().code(Purpose::Tombstone, &slices(&covered));
    let mark = turn.mark(epoch);
    let body = Body::Removed {
        name,
        removed,
        epoch,
        revision: turn.revision,
        writes: &turn.writes,
        code,
    };
    (to_bytes(2, body), mark)
}

fn seal_part(
    contents: &Contents<'_>,
    public: &PublicRecord,
    moves: Option<&Moves>,
    turn: &Turn,
    epoch: u64,
    recipients: &[RecipientText],
) -> Result<String, VaultError> {
    let mut form = contents.form(public);
    form.epoch = Some(epoch);
    form.revision = Some(turn.revision);
    form.moves = moves.cloned();
    seal_text(&plaintext_of(&form), recipients)
}

fn plaintext_of(form: &SealedForm) -> Zeroizing<Vec<u8>> {
    // Far more than any credential takes, so that the text never moves and leaves a copy behind.
    let mut plaintext = Zeroizing::new(Vec::with_capacity(256 * 1024));
    serde_json::to_writer(&mut *plaintext, form).expect("a struct of texts serialises into memory");
    plaintext
}
