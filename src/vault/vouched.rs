//! From a list that anybody could have written to one that members of the right vault wrote. There is one way, [`load`].

use super::codes::{Secret, VaultId};
use super::keyring::{KEYS, Keyring, open_object};
use super::list::{self, List, SignedList};
use super::machine::{Machine, Pin};
use super::memory::Memory;
use super::store::{Store, StoreError, Version};
use super::{AgeIdentity, ListChange, VaultError, VouchedBy, WrongVault};

/// Who says which vault it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Voucher {
    /// `identity.age`, which nobody without the passphrase can have written.
    Identity(VaultId),
    /// The user, by its id.
    User(VaultId),
    /// This machine, which has seen it before.
    Pin(VaultId),
    /// Nobody.
    None,
}

impl Voucher {
    /// Who vouches. All that is known must agree; only the user can say that another vault is at the place now.
    pub(super) fn find(identity: Option<VaultId>, machine: &Machine, pin: Option<&Pin>) -> Result<Self, WrongVault> {
        let wrong = |expected: &VaultId, by, found| WrongVault {
            expected: expected.clone(),
            by,
            found,
        };
        match (identity, &machine.expected, pin) {
            (Some(id), Some((expected, _)), _) if id != *expected => Err(wrong(expected, VouchedBy::User, id)),
            (Some(id), None, Some(pin)) if id != pin.id => Err(wrong(&pin.id, VouchedBy::Pin, id)),
            (Some(id), _, _) => Ok(Self::Identity(id)),
            (None, Some((id, _)), _) => Ok(Self::User(id.clone())),
            (None, None, Some(pin)) => Ok(Self::Pin(pin.id.clone())),
            (None, None, None) => Ok(Self::None),
        }
    }

    pub(super) fn id(&self) -> Option<&VaultId> {
        match self {
            Self::Identity(id) | Self::User(id) | Self::Pin(id) => Some(id),
            Self::None => None,
        }
    }
}

/// The one way: from a list that anybody could have written to one that members wrote, and its secrets.
pub(super) async fn load(
    store: &dyn Store,
    signed: SignedList,
    version: Version,
    identities: &[AgeIdentity],
    voucher: &Voucher,
) -> Result<Keyring, VaultError> {
    let changed = |change| VaultError::ListChanged(change);
    let object = match store.get(&checked_name(&signed.list)?).await {
        Ok((object, _)) => object,
        Err(StoreError::NotFound) => return Err(changed(ListChange::NoKeys)),
        Err(error) => return Err(error.into()),
    };
    let mut keys = open_object(&signed.list.keys, &object, identities)?;
    if let Some(expected) = voucher.id()
        && keys.id != *expected
    {
        return Err(WrongVault {
            expected: expected.clone(),
            by: voucher.clone().into(),
            found: keys.id,
        }
        .into());
    }
    if keys.list != signed.list {
        return Err(changed(ListChange::Lines(list::difference(
            &signed.list.members,
            &keys.list.members,
        ))));
    }
    if !signed.is_by(&keys.id, keys.newest()) {
        return Err(changed(ListChange::Code));
    }
    keys.version = version;
    Ok(keys)
}

/// The name of a list's key object, if it can be one.
fn checked_name(list: &List) -> Result<String, VaultError> {
    let fits = list
        .keys
        .strip_prefix(&format!("{KEYS}/{}-", list.epoch))
        .and_then(|rest| rest.strip_suffix(".age"))
        .is_some_and(|hash| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if fits {
        Ok(list.keys.clone())
    } else {
        Err(VaultError::ListChanged(ListChange::NoKeys))
    }
}

/// Refuses a list that is older than what this machine or the user knows of, and remembers a newer one. Returns whether the vault is
/// remembered from now on and was not before.
pub(super) fn check_and_remember(
    ring: &Keyring,
    memory: &mut Memory,
    machine: &Machine,
    place: &str,
) -> Result<bool, VaultError> {
    if let Some((_, Some(least))) = machine.expected
        && ring.epoch() < least
    {
        return Err(VaultError::RolledBack(super::RolledBack {
            what: list::FILE.to_owned(),
            reason: format!(
                "it is of epoch {}, and epoch {least} at least is asked for",
                ring.epoch()
            ),
        }));
    }
    let follows = memory.check_epoch(ring.epoch(), &ring.list.keys, |epoch| {
        ring.secret(epoch).map(Secret::proof)
    })?;
    let mut pin = ring.pin(place);
    if let Some(known) = memory.pin() {
        pin.recipients_digest.clone_from(&known.recipients_digest);
        // Of an older list that was accepted only that list itself tells.
        if follows {
            pin.complete = pin.complete.max(known.complete);
        }
    }
    Ok(memory.remember(pin))
}
