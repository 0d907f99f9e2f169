//! A credential's file: versioned JSON with a public part and a sealed one, which repeats the public part in full.
//! The two must agree, and only the sealed copy is believed. From version 2 on a code says that a member of the vault wrote it.

mod assemble;
mod disassemble;
mod forms;
mod key_form;

use jiff::Timestamp;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::codes::{Code, Purpose, Secret, digest};
use super::keyring::{Keyring, seal as seal_text};
use super::marks::Mark;
use super::recipients::RecipientText;
use super::{AgeIdentity, VaultError, sealed};
use crate::model::credential::AnyCredential;
use crate::model::ids::CredentialName;
use crate::model::quoted;
use crate::model::record::{PublicRecord, refused_in};
use assemble::assemble;
use forms::SealedForm;

pub use disassemble::Contents;
pub(super) use forms::Moves;

/// The folder of credential files inside the vault.
pub(super) const FOLDER: &str = "credentials";
const FORMAT: &str = "dfns-keys/credential";
/// The newest version that is read.
const NEWEST: u64 = 2;
/// How many of its writers before the last a document remembers.
const ANCESTORS: usize = 8;
/// No name is written so often. A former member could make one that says so, and nothing could follow it.
const MOST_WRITES: u64 = 1 << 53;

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
enum Body<'a> {
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
pub(super) struct Removed {
    pub(super) at: Timestamp,
    pub(super) moved_to: Option<CredentialName>,
}

#[derive(Deserialize)]
struct Header {
    format: String,
    version: u64,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WholeForm {
    #[serde(rename = "format")]
    _format: IgnoredAny,
    version: u64,
    public: Option<Value>,
    moves: Option<Moves>,
    #[serde(rename = "name")]
    _name: Option<IgnoredAny>,
    removed: Option<Removed>,
    epoch: Option<u64>,
    revision: Option<u64>,
    #[serde(default)]
    writes: Vec<String>,
    sealed: Option<String>,
    code: Option<Code>,
}

/// Which write of a name a document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turn {
    /// Counts the writes of a name, from 1.
    pub(super) revision: u64,
    /// The random id of this write and those of the ones before it, newest first.
    pub(super) writes: Vec<String>,
}

impl Turn {
    /// The turn that a mark remembers; without one, that of a name that never had a document.
    pub(super) fn of(mark: Option<Mark>) -> Self {
        mark.map_or_else(
            || Self {
                revision: 0,
                writes: Vec::new(),
            },
            |mark| Self {
                revision: mark.revision,
                writes: mark.writes,
            },
        )
    }

    /// The turn after one of this revision, whose writes these were.
    pub(super) fn after(revision: u64, writes: &[String]) -> Result<Self, VaultError> {
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes).map_err(|_| VaultError::Randomness)?;
        let id = digest(&bytes)[..32].to_owned();
        Ok(Self {
            revision: revision.saturating_add(1),
            writes: std::iter::once(id)
                .chain(writes.iter().take(ANCESTORS).cloned())
                .collect(),
        })
    }

    fn id(&self) -> &str {
        self.writes.first().map_or("", String::as_str)
    }

    fn mark(&self, epoch: u64) -> Mark {
        Mark {
            epoch,
            revision: self.revision,
            writes: self.writes.clone(),
        }
    }
}

/// Whether a document is the write of this turn.
pub(super) fn is_of(bytes: &[u8], turn: &Turn) -> bool {
    #[derive(Deserialize)]
    struct Writes {
        #[serde(default)]
        writes: Vec<String>,
    }
    serde_json::from_slice(bytes).is_ok_and(|Writes { writes }| writes.first().map(String::as_str) == Some(turn.id()))
}

fn to_bytes(version: u64, body: Body<'_>) -> Vec<u8> {
    let file = FileForm {
        format: FORMAT,
        version,
        body,
    };
    let mut bytes = serde_json::to_vec_pretty(&file).expect("a struct of texts serialises into memory");
    bytes.push(b'\n');
    bytes
}

fn plaintext_of(form: &SealedForm) -> Zeroizing<Vec<u8>> {
    // Far more than any credential takes, so that the text never moves and leaves a copy behind.
    let mut plaintext = Zeroizing::new(Vec::with_capacity(256 * 1024));
    serde_json::to_writer(&mut *plaintext, form).expect("a struct of texts serialises into memory");
    plaintext
}

/// A document of version 1, as dfns-keys 0.1 wrote it.
pub(super) fn seal_version_1(contents: &Contents<'_>, recipients: &[RecipientText]) -> Result<Vec<u8>, VaultError> {
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
pub(super) fn seal(
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
pub(super) fn seal_unauthenticated(
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

/// What stays of a credential that was removed.
pub(super) fn bury(name: &CredentialName, removed: &Removed, turn: &Turn, ring: &Keyring) -> (Vec<u8>, Mark) {
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

/// What the code of a document or of a tombstone covers. Every field goes behind its length, and the writes behind their number.
fn fields(ring: &Keyring, epoch: u64, name: &CredentialName, turn: &Turn, rest: &[&str]) -> Vec<Vec<u8>> {
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

fn slices(fields: &[Vec<u8>]) -> Vec<&[u8]> {
    fields.iter().map(Vec::as_slice).collect()
}

fn removed_texts(removed: &Removed) -> [String; 2] {
    let Removed { at, moved_to } = removed;
    [
        at.to_string(),
        moved_to.as_ref().map_or_else(String::new, ToString::to_string),
    ]
}

fn damaged(name: &CredentialName, reason: &str) -> VaultError {
    VaultError::Damaged {
        what: format!("the file of {name}"),
        reason: reason.to_owned(),
    }
}

fn tampered(name: &CredentialName, difference: impl Into<String>) -> VaultError {
    VaultError::Tampered {
        name: name.clone(),
        difference: difference.into(),
    }
}

fn check_header(name: &CredentialName, format: &str, version: u64) -> Result<(), VaultError> {
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

/// What a document says of itself, which nobody vouched for.
pub(super) struct Glimpse {
    /// None where the credential was removed.
    pub(super) record: Option<PublicRecord>,
    pub(super) moves: Option<Moves>,
    /// Where it went, where it was removed by a rename.
    pub(super) moved_to: Option<CredentialName>,
    /// 0 in version 1.
    pub(super) epoch: u64,
    /// 0 in version 1.
    pub(super) revision: u64,
    /// It says itself that nobody vouches for it.
    pub(super) unauthenticated: bool,
}

/// A document says its format and version, in an object: serde would take the same in an array.
fn read_header(name: &CredentialName, bytes: &[u8]) -> Result<(), VaultError> {
    let header = serde_json::from_slice::<Header>(bytes)
        .ok()
        .filter(|_| is_object(bytes));
    let Some(Header { format, version }) = header else {
        return Err(damaged(name, "it is not JSON, or says neither format nor version"));
    };
    check_header(name, &format, version)
}

fn is_object(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first() == Some(&b'{')
}

pub(super) fn glimpse(name: &CredentialName, bytes: &[u8]) -> Result<Glimpse, VaultError> {
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

/// A document whose code, if it has one, was checked, and whose sealed part agrees with the public one.
pub(super) struct OpenedDocument {
    /// None where the credential was removed.
    pub(super) credential: Option<AnyCredential>,
    pub(super) removed: Option<Removed>,
    pub(super) moves: Option<Moves>,
    pub(super) mark: Mark,
    /// A member of the vault wrote it.
    pub(super) authenticated: bool,
    /// To whom a document of version 1 says it was sealed.
    pub(super) sealed_to: Option<Vec<RecipientText>>,
}

impl OpenedDocument {
    /// The turn that wrote it.
    pub(super) fn turn(&self) -> Turn {
        Turn {
            revision: self.mark.revision,
            writes: self.mark.writes.clone(),
        }
    }

    /// The same, if a member wrote it: what a stranger says counts for nothing.
    pub(super) fn trusted_turn(&self) -> Option<Turn> {
        self.authenticated.then(|| self.turn())
    }

    /// Half of a move, if a member wrote it.
    pub(super) fn trusted_moves(&self) -> Option<Moves> {
        self.moves.clone().filter(|_| self.authenticated)
    }
}

pub(super) fn parse(name: &CredentialName, bytes: &[u8]) -> Result<WholeForm, VaultError> {
    read_header(name, bytes)?;
    serde_json::from_slice(bytes).map_err(|_| {
        damaged(
            name,
            "a field is missing, unknown or of the wrong type, or does not belong there",
        )
    })
}

/// Opens a document of a vault of version 1.
pub(super) fn open_version_1(
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
pub(super) fn open(
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

pub(super) fn open_sealed(
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
