//! From the bytes of a document to its credential: the code first, then the sealed part, which alone is believed.

use serde_json::Value;

use super::super::codes::{Code, Purpose, Secret, digest};
use super::super::keyring::Keyring;
use super::super::marks::Mark;
use super::super::recipients::RecipientText;
use super::super::{AgeIdentity, VaultError, sealed};
use super::assemble::assemble;
use super::covered::{fields, removed_texts, slices};
use super::file::{Removed, WholeForm, damaged, parse, tampered};
use super::forms::{Moves, SealedForm};
use super::glimpse::glimpse;
use super::turn::Turn;
use crate::model::credential::AnyCredential;
use crate::model::ids::CredentialName;
use crate::model::quoted;
use crate::model::record::PublicRecord;

/// No name is written so often. A former member could make one that says so, and nothing could follow it.
const MOST_WRITES: u64 = 1 << 53;

/// A document whose code, if it has one, was checked, and whose sealed part agrees with the public one.
pub(in crate::vault) struct OpenedDocument {
    /// None where the credential was removed.
    pub(in crate::vault) credential: Option<AnyCredential>,
    pub(in crate::vault) removed: Option<Removed>,
    pub(in crate::vault) moves: Option<Moves>,
    pub(in crate::vault) mark: Mark,
    /// A member of the vault wrote it.
    pub(in crate::vault) authenticated: bool,
    /// To whom a document of version 1 says it was sealed.
    pub(in crate::vault) sealed_to: Option<Vec<RecipientText>>,
}

impl OpenedDocument {
    /// The turn that wrote it.
    pub(in crate::vault) fn turn(&self) -> Turn {
        Turn {
            revision: self.mark.revision,
            writes: self.mark.writes.clone(),
        }
    }

    /// The same, if a member wrote it: what a stranger says counts for nothing.
    pub(in crate::vault) fn trusted_turn(&self) -> Option<Turn> {
        self.authenticated.then(|| self.turn())
    }

    /// Half of a move, if a member wrote it.
    pub(in crate::vault) fn trusted_moves(&self) -> Option<Moves> {
        self.moves.clone().filter(|_| self.authenticated)
    }
}

/// Opens a document of a vault of version 1.
pub(in crate::vault) fn open_version_1(
    name: &CredentialName,
    bytes: &[u8],
    identities: &[AgeIdentity],
) -> Result<OpenedDocument, VaultError> {
    let file = parse(name, bytes)?;
    if file.version != 1 {
        return Err(tampered(
            name,
            "it is of version 2, and the list of recipients is of version 1",
        ));
    }
    let document = open_sealed(name, file, identities, false)?;
    if document
        .credential
        .as_ref()
        .is_some_and(|credential| !credential.deliveries().is_empty())
    {
        return Err(tampered(name, "a file of version 1 has no places to deliver to"));
    }
    glimpse(name, bytes)?;
    Ok(document)
}

/// Opens a document with the vault's secrets: its code, then its sealed part.
///
/// `complete` is the epoch for which everything was sealed once: what is sealed more than one epoch below it is a former member's.
/// A document that nobody vouches for is opened too, and says so; the caller decides what may be done with it.
pub(in crate::vault) fn open(
    name: &CredentialName,
    bytes: &[u8],
    identities: &[AgeIdentity],
    ring: &Keyring,
    complete: u64,
) -> Result<OpenedDocument, VaultError> {
    let document = open_checked(name, bytes, identities, ring, complete)?;
    // What a listing refuses is refused here too: otherwise it would be outdated for ever, and never be sealed again.
    glimpse(name, bytes)?;
    Ok(document)
}

fn open_checked(
    name: &CredentialName,
    bytes: &[u8],
    identities: &[AgeIdentity],
    ring: &Keyring,
    complete: u64,
) -> Result<OpenedDocument, VaultError> {
    let file = parse(name, bytes)?;
    if file.version == 1 {
        let known = complete == 0 && ring.version_1.get(name.as_str()) == Some(&digest(bytes));
        return open_sealed(name, file, identities, known);
    }
    let epoch = file.epoch.ok_or_else(|| damaged(name, "it has no epoch"))?;
    let Some(code) = &file.code else {
        return open_sealed(name, file, identities, false);
    };
    let secret = ring.secret(epoch).ok_or(VaultError::UnknownEpoch {
        name: name.clone(),
        epoch,
        known: ring.epoch(),
    })?;
    let turn = Turn {
        revision: file.revision.unwrap_or(0),
        writes: file.writes.clone(),
    };
    let genuine = match (&file.sealed, &file.removed) {
        (Some(sealed), None) => {
            let sealed = digest(sealed.as_bytes());
            is_genuine(
                secret,
                code,
                Purpose::Document,
                &fields(ring, epoch, name, &turn, &[&sealed]),
            )
        }
        (None, Some(removed)) => {
            let [at, moved_to] = removed_texts(removed);
            is_genuine(
                secret,
                code,
                Purpose::Tombstone,
                &fields(ring, epoch, name, &turn, &[&at, &moved_to]),
            )
        }
        _ => return Err(damaged(name, "it is neither a credential nor what stays of one")),
    };
    if !genuine {
        return Err(tampered(name, "nobody who can open this vault wrote it as it is"));
    }
    if turn.revision > MOST_WRITES {
        return Err(tampered(name, "no credential is written so often as its revision says"));
    }
    // Whoever put a document while the list was replaced, and was killed before sealing it again, left it one epoch behind.
    let authenticated = epoch.saturating_add(1) >= complete;
    if let Some(removed) = file.removed {
        return Ok(OpenedDocument {
            credential: None,
            removed: Some(removed),
            moves: None,
            mark: Mark {
                epoch,
                revision: turn.revision,
                writes: turn.writes,
            },
            authenticated,
            sealed_to: None,
        });
    }
    open_sealed(name, file, identities, authenticated)
}

fn is_genuine(secret: &Secret, code: &Code, purpose: Purpose, fields: &[Vec<u8>]) -> bool {
    secret.verifies(code, purpose, &slices(fields))
}

pub(in crate::vault) fn open_sealed(
    name: &CredentialName,
    file: WholeForm,
    identities: &[AgeIdentity],
    authenticated: bool,
) -> Result<OpenedDocument, VaultError> {
    let WholeForm {
        _format: _,
        version: _,
        public,
        moves,
        _name: _,
        removed: _,
        epoch,
        revision,
        writes,
        sealed,
        code: _,
    } = file;
    let (Some(public), Some(text)) = (public, sealed) else {
        return Err(damaged(name, "it has no public part or no sealed one"));
    };
    let plaintext = sealed::open(text.as_bytes(), identities).map_err(|error| match error {
        age::DecryptError::NoMatchingKeys => VaultError::NoMatchingIdentity { name: name.clone() },
        other => damaged(name, &format!("its sealed part does not open ({other})")),
    })?;
    let form: SealedForm = serde_json::from_slice(&plaintext)
        .map_err(|_| damaged(name, "its sealed part opens, but does not hold what it should"))?;
    compare(name, &public, &form.public)?;
    if (form.epoch, form.revision, &form.moves) != (epoch, revision, &moves) {
        return Err(tampered(
            name,
            "its epoch, revision or move is not that of its sealed part",
        ));
    }
    let record: PublicRecord = serde_json::from_value(public)
        .map_err(|_| damaged(name, "the record in its sealed part does not hold what it should"))?;
    if record.name != *name {
        return Err(tampered(
            name,
            format!("it is the file of {} under another name", record.name),
        ));
    }
    let sealed_to = form.recipients.clone();
    Ok(OpenedDocument {
        credential: Some(assemble(name, record, form)?),
        removed: None,
        moves,
        mark: Mark {
            epoch: epoch.unwrap_or(0),
            revision: revision.unwrap_or(0),
            writes,
        },
        authenticated,
        sealed_to,
    })
}

fn compare(name: &CredentialName, public: &Value, sealed: &Value) -> Result<(), VaultError> {
    if public == sealed {
        return Ok(());
    }
    let empty = serde_json::Map::new();
    let (public, sealed) = (
        public.as_object().unwrap_or(&empty),
        sealed.as_object().unwrap_or(&empty),
    );
    let field = public
        .keys()
        .chain(sealed.keys())
        .find(|key| public.get(*key) != sealed.get(*key));
    Err(tampered(
        name,
        match field {
            Some(field) => format!(
                "its public part has another `{}` than the sealed one",
                quoted::shown(field)
            ),
            None => "its public part is not the sealed one".to_owned(),
        },
    ))
}
