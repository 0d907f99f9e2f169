//! The vault's secrets and its list: what everything is sealed to and checked with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::codes::{Secret, VaultId, digest};
use super::list::{self, List, ListError, Member, Written, check_label};
use super::machine::Pin;
use super::recipients::{self, RecipientError, RecipientText};
use super::sealed::MOST_RECIPIENTS;
use super::sealed_text::SealedText;
use super::store::{Expected, Store, StoreError, Version};
use super::{AgeIdentity, VaultError, sealed};

/// The folder of key objects.
pub(super) const KEYS: &str = "keys";
const FORMAT: &str = "dfns-keys/keys";
const VERSION: u64 = 1;

/// A key object, as it is sealed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysForm {
    format: String,
    version: u64,
    epoch: u64,
    secrets: Vec<SealedText>,
    members: Vec<Member>,
    /// Everything was sealed for this epoch, or a later one, when the list was made.
    complete: u64,
    /// The files of version 1 that were there when the vault was moved, by name: SHA-256 in hex. They count until they are all sealed
    /// again.
    version_1: BTreeMap<String, String>,
}

/// The secrets of a vault and the list they vouch for.
#[derive(Clone)]
pub(super) struct Keyring {
    pub(super) id: VaultId,
    pub(super) list: List,
    pub(super) version: Version,
    secrets: Vec<Secret>,
    complete: u64,
    pub(super) version_1: BTreeMap<String, String>,
}

impl Keyring {
    /// A ring for the list after `self`'s, with one more secret.
    pub(super) fn next(&self, members: Vec<Member>, complete: u64) -> Result<NewKeyring, VaultError> {
        NewKeyring::make(self.secrets.clone(), members, complete, self.version_1.clone())
    }

    /// The secret of an epoch; none for one that is not covered.
    pub(super) fn secret(&self, epoch: u64) -> Option<&Secret> {
        let index = usize::try_from(epoch.checked_sub(1)?).ok()?;
        self.secrets.get(index)
    }

    pub(super) fn epoch(&self) -> u64 {
        self.list.epoch
    }

    /// The secret of its own epoch.
    pub(super) fn newest(&self) -> &Secret {
        self.secrets.last().expect("a ring has a secret for each epoch from 1")
    }

    pub(super) fn recipients(&self) -> Vec<RecipientText> {
        recipients_of(&self.list.members)
    }

    /// The same ring, to put its list, which is not there.
    pub(super) fn into_new(self) -> NewKeyring {
        let Self {
            id,
            list,
            version: _,
            secrets,
            complete,
            version_1,
        } = self;
        NewKeyring {
            id,
            list,
            secrets,
            complete,
            version_1,
            object: None,
        }
    }

    pub(super) fn pin(&self, place: &str) -> Pin {
        Pin {
            place: place.to_owned(),
            id: self.id.clone(),
            epoch: self.list.epoch,
            keys: self.list.keys.clone(),
            proof: self.newest().proof(),
            complete: self.complete,
            recipients_digest: None,
        }
    }

    /// The file of its list, as members write it.
    pub(super) fn list_text(&self) -> String {
        list::render(&self.list, &self.id, self.newest())
    }
}

pub(super) fn recipients_of(members: &[Member]) -> Vec<RecipientText> {
    members.iter().map(|member| member.recipient.clone()).collect()
}

/// A ring that is not in force yet: its list was not put.
#[derive(Clone)]
pub(super) struct NewKeyring {
    pub(super) id: VaultId,
    pub(super) list: List,
    secrets: Vec<Secret>,
    complete: u64,
    version_1: BTreeMap<String, String>,
    /// Where its key object is not there yet.
    object: Option<String>,
}

impl NewKeyring {
    /// The first ring of a vault.
    pub(super) fn first(members: Vec<Member>, version_1: BTreeMap<String, String>) -> Result<Self, VaultError> {
        Self::make(Vec::new(), members, 0, version_1)
    }

    fn make(
        mut secrets: Vec<Secret>,
        members: Vec<Member>,
        complete: u64,
        version_1: BTreeMap<String, String>,
    ) -> Result<Self, VaultError> {
        secrets.push(Secret::generate().map_err(|_| VaultError::Randomness)?);
        let epoch = secrets.len() as u64;
        let form = KeysForm {
            format: FORMAT.to_owned(),
            version: VERSION,
            epoch,
            secrets: secrets.iter().map(|secret| SealedText(secret.expose_hex())).collect(),
            members: members.clone(),
            complete,
            version_1: version_1.clone(),
        };
        // Room for all of it, so that the text never moves and leaves a copy behind.
        let room = 4096 + 128 * form.secrets.len() + 1024 * members.len() + 160 * version_1.len();
        let mut plaintext = Zeroizing::new(Vec::with_capacity(room));
        serde_json::to_writer(&mut *plaintext, &form).expect("a struct of texts serialises into memory");
        let object = seal(&plaintext, &recipients_of(&members))?;
        let keys = format!("{KEYS}/{epoch}-{}.age", digest(object.as_bytes()));
        Ok(Self {
            id: VaultId::of(&secrets[0]),
            list: List { epoch, keys, members },
            secrets,
            complete,
            version_1,
            object: Some(object),
        })
    }

    /// Puts the key object. Nothing is in force by that.
    pub(super) async fn put_object(&self, store: &dyn Store) -> Result<(), VaultError> {
        let Some(object) = &self.object else { return Ok(()) };
        match store.put(&self.list.keys, object.as_bytes(), &Expected::Absent).await {
            // Its name is the hash of its bytes: whatever is there is this.
            Ok(_) | Err(StoreError::AlreadyExists) => Ok(()),
            Err(StoreError::Unclear(error)) => match store.get(&self.list.keys).await {
                Ok(_) => Ok(()),
                Err(_) => Err(StoreError::Unclear(error).into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// The ring as it is once its list is put.
    pub(super) fn into_ring(self) -> Keyring {
        let Self {
            id,
            list,
            secrets,
            complete,
            version_1,
            object: _,
        } = self;
        Keyring {
            id,
            list,
            secrets,
            complete,
            version_1,
            version: Version::new(""),
        }
    }

    /// Puts the list: from here on the ring is in force.
    pub(super) async fn put_list(self, store: &dyn Store, expected: &Expected) -> Result<Keyring, VaultError> {
        let mut ring = self.into_ring();
        let text = ring.list_text();
        ring.version = super::store::put_for_certain(store, list::FILE, text.as_bytes(), expected, |found| {
            found == text.as_bytes()
        })
        .await
        .map_err(|error| match error {
            StoreError::Changed | StoreError::AlreadyExists => VaultError::ListMoved,
            error => error.into(),
        })?;
        Ok(ring)
    }
}

pub(super) fn seal(plaintext: &[u8], recipients: &[RecipientText]) -> Result<String, VaultError> {
    sealed::seal(plaintext, &recipients::to_age(recipients)?).map_err(|error| {
        RecipientError::Unusable {
            reason: error.to_string(),
        }
        .into()
    })
}

/// The list as it stands, of either version, with what the store calls this state of it. Nobody vouched for it.
pub(super) async fn read_list(store: &dyn Store) -> Result<(Written, Zeroizing<Vec<u8>>, Version), VaultError> {
    let (bytes, version) = get_list(store).await?;
    Ok((parse_list(&bytes)?, bytes, version))
}

/// The file of the list, unread.
pub(super) async fn get_list(store: &dyn Store) -> Result<(Zeroizing<Vec<u8>>, Version), VaultError> {
    match store.get(list::FILE).await {
        Ok(found) => Ok(found),
        Err(StoreError::NotFound) => Err(VaultError::ListMissing(store.place().into())),
        Err(error) => Err(error.into()),
    }
}

/// What the file of the list says. Nobody vouched for it.
pub(super) fn parse_list(bytes: &[u8]) -> Result<Written, VaultError> {
    list::parse(bytes).map_err(|error| match error {
        ListError::Damaged(reason) => VaultError::Damaged {
            what: list::FILE.to_owned(),
            reason,
        },
        ListError::Newer(found) => VaultError::Newer {
            what: list::FILE.to_owned(),
            found,
            known: 2,
        },
    })
}

/// Opens a key object of this name. Which vault it belongs to is for the caller to check.
pub(super) fn open_object(name: &str, bytes: &[u8], identities: &[AgeIdentity]) -> Result<Keyring, VaultError> {
    let damaged = |reason: &str| VaultError::Damaged {
        what: name.to_owned(),
        reason: reason.to_owned(),
    };
    let promised = format!("-{}.age", digest(bytes));
    if !name.ends_with(&promised) {
        return Err(damaged("its contents are not those that its name promises"));
    }
    let plaintext = sealed::open(bytes, identities).map_err(|error| match error {
        age::DecryptError::NoMatchingKeys => VaultError::NotAMember,
        other => damaged(&format!("it does not open ({other})")),
    })?;
    let form: KeysForm =
        serde_json::from_slice(&plaintext).map_err(|_| damaged("it opens, but does not hold what it should"))?;
    let KeysForm {
        format,
        version,
        epoch,
        secrets,
        members,
        complete,
        version_1,
    } = form;
    // The hash says nothing of the number before it.
    let is_named = name == format!("{KEYS}/{epoch}{promised}");
    if format != FORMAT || version != VERSION || epoch == 0 || secrets.len() as u64 != epoch || !is_named {
        return Err(damaged("it opens, but does not hold what it should"));
    }
    // They are shown, and written into the list, a line each.
    let fits = |member: &Member| member.label.as_deref().is_none_or(|label| check_label(label).is_ok());
    if members.is_empty() || members.len() > MOST_RECIPIENTS || !members.iter().all(fits) {
        return Err(damaged("a label in it is none, or it is for nobody or too many"));
    }
    let secrets = secrets
        .iter()
        .map(|text| Secret::from_hex(&text.0))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| damaged("a secret in it is none"))?;
    Ok(Keyring {
        id: VaultId::of(&secrets[0]),
        list: List {
            epoch,
            keys: name.to_owned(),
            members,
        },
        version: Version::new(""),
        secrets,
        complete,
        version_1,
    })
}
