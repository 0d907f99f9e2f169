//! What this machine has seen of one vault, and what it refuses because it is older than that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::codes::VaultId;
use super::machine::{self, MARKS_LIMIT, Machine, PIN, PIN_LIMIT, Pin, folder_of};
use super::marks::{self, Line, Mark};
use super::{RolledBack, VaultError};
use crate::model::ids::CredentialName;
use crate::sys::files::{self, IfExists, Readable};

/// The memory of one vault.
pub(super) struct Memory {
    folder: Option<PathBuf>,
    pin: Option<Pin>,
    marks: BTreeMap<CredentialName, Mark>,
    accept_rollback: bool,
    accepted: Vec<String>,
}

impl Memory {
    /// Reads what is remembered of the vault with this id. Must be read before any document is.
    pub(super) fn load(machine: &Machine, place: &str, id: &VaultId) -> Result<Self, VaultError> {
        let folder = folder_of(machine, place);
        let pin = machine::pin(machine, place)?.filter(|pin| pin.id == *id);
        let mut memory = Self {
            marks: BTreeMap::new(),
            folder,
            pin,
            accept_rollback: machine.accept_rollback,
            accepted: Vec::new(),
        };
        if let Some(path) = memory.marks_file(id) {
            memory.read_marks(&path)?;
        }
        Ok(memory)
    }

    /// A memory that begins and ends with the process.
    pub(super) fn none() -> Self {
        Self {
            folder: None,
            pin: None,
            marks: BTreeMap::new(),
            accept_rollback: true,
            accepted: Vec::new(),
        }
    }

    fn marks_file(&self, id: &VaultId) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(format!("marks-{id}")))
    }

    fn read_marks(&mut self, path: &Path) -> Result<(), VaultError> {
        let bytes = match files::read(path, MARKS_LIMIT) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) if error.source.kind() == std::io::ErrorKind::PermissionDenied => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        self.marks = marks::parse(&bytes);
        let lines = bytes.split(|byte| *byte == b'\n').count();
        if lines > 2 * self.marks.len() + 200 {
            // That it cannot is no reason to fail: they are a guard, and nothing is lost without them.
            let _ = files::rewrite(path, MARKS_LIMIT, |bytes| marks::render(&marks::parse(bytes)));
        }
        Ok(())
    }

    pub(super) fn pin(&self) -> Option<&Pin> {
        self.pin.as_ref()
    }

    /// What was accepted although it is older than what was seen.
    pub(super) fn take_accepted(&mut self) -> Vec<String> {
        std::mem::take(&mut self.accepted)
    }

    /// Refuses a list that is older than one that was seen, or does not come from it. `proof_of` names the list's secret of an epoch.
    /// Returns whether it comes from what was seen; otherwise it was accepted all the same.
    pub(super) fn check_epoch(
        &mut self,
        epoch: u64,
        keys: &str,
        proof_of: impl Fn(u64) -> Option<String>,
    ) -> Result<bool, VaultError> {
        let Some(pin) = &self.pin else { return Ok(true) };
        let reason = if epoch < pin.epoch {
            format!("this machine has seen epoch {}, and it is of epoch {epoch}", pin.epoch)
        } else if epoch == pin.epoch && keys != pin.keys || proof_of(pin.epoch).as_ref() != Some(&pin.proof) {
            format!(
                "it does not come from the list of epoch {} that this machine has seen",
                pin.epoch
            )
        } else {
            return Ok(true);
        };
        self.refuse_or_accept(RolledBack {
            what: "recipients.txt".to_owned(),
            reason,
        })?;
        Ok(false)
    }

    /// Remembers the vault. Returns whether it is remembered from now on and was not before.
    pub(super) fn remember(&mut self, mut pin: Pin) -> bool {
        if self.pin.as_ref() == Some(&pin) {
            return false;
        }
        let Some(folder) = &self.folder else {
            // What was seen in this run counts in this run.
            self.pin = Some(pin);
            return false;
        };
        // Another process may have seen a newer list since, or that everything was sealed.
        if let Ok(bytes) = files::read(&folder.join(PIN), PIN_LIMIT)
            && let Ok(known) = serde_json::from_slice::<Pin>(&bytes)
            && known.id == pin.id
        {
            if known.epoch > pin.epoch && !self.accept_rollback {
                return false;
            }
            if known.epoch < pin.epoch || known.keys == pin.keys {
                pin.complete = pin.complete.max(known.complete);
            }
        }
        let mut bytes = serde_json::to_vec_pretty(&pin).expect("a struct of texts and numbers serialises");
        bytes.push(b'\n');
        let written = files::create_private_directory(folder)
            .and_then(|()| files::write(&folder.join(PIN), &bytes, IfExists::Replace, Readable::ByOwner))
            .is_ok();
        let first = self.pin.is_none();
        self.pin = Some(pin);
        written && first
    }

    /// Refuses a document that is older than one of its name that was seen.
    pub(super) fn check(&mut self, id: &VaultId, name: &CredentialName, found: &Mark) -> Result<(), VaultError> {
        let Some(reason) = self.marks.get(name).and_then(|mark| mark.is_not_followed_by(found)) else {
            return Ok(());
        };
        self.refuse_or_accept(RolledBack {
            what: format!("the file of {name}"),
            reason,
        })?;
        self.keep(id, name, found.clone(), Line::Accepted);
        Ok(())
    }

    /// Refuses what is older than what was seen, unless that is accepted.
    pub(super) fn refuse_or_accept(&mut self, rolled_back: RolledBack) -> Result<(), VaultError> {
        if self.accept_rollback {
            self.accepted.push(rolled_back.to_string());
            return Ok(());
        }
        Err(VaultError::RolledBack(rolled_back))
    }

    /// Remembers a document that was authenticated or written.
    pub(super) fn see(&mut self, id: &VaultId, name: &CredentialName, found: Mark) {
        if self.marks.get(name).is_some_and(|mark| mark.order() >= found.order()) {
            return;
        }
        self.keep(id, name, found, Line::Seen);
    }

    fn keep(&mut self, id: &VaultId, name: &CredentialName, mark: Mark, as_what: Line) {
        if let Some(path) = self.marks_file(id) {
            let _ = files::append(&path, marks::line(name, &mark, as_what).as_bytes());
        }
        self.marks.insert(name.clone(), mark);
    }

    /// The newest state of a name that was seen.
    pub(super) fn mark(&self, name: &CredentialName) -> Option<&Mark> {
        self.marks.get(name)
    }

    /// The epoch for which everything was sealed once, as far as this machine knows; 0 for none.
    pub(super) fn complete(&self) -> u64 {
        self.pin.as_ref().map_or(0, |pin| pin.complete)
    }
}

/// Remembers the list that this machine seals to, when it cannot open what it seals.
pub(super) fn pin_list(machine: &Machine, pin: Pin) -> bool {
    let mut memory = Memory {
        folder: folder_of(machine, &pin.place),
        ..Memory::none()
    };
    memory.remember(pin)
}

#[cfg(test)]
mod tests {
    use super::super::codes::Secret;
    use super::*;

    fn mark(epoch: u64, revision: u64, writes: &[char]) -> Mark {
        Mark {
            epoch,
            revision,
            writes: writes.iter().map(|id| id.to_string().repeat(32)).collect(),
        }
    }

    #[test]
    fn what_is_older_than_what_was_seen_is_refused_until_it_is_accepted() {
        let directory = tempfile::tempdir().unwrap();
        let mut machine = Machine {
            state: Some(directory.path().to_owned()),
            ..Machine::default()
        };
        let id = VaultId::of(&Secret::generate().unwrap());
        let name: CredentialName = "a".parse().unwrap();
        let pin = Pin {
            place: "here".to_owned(),
            id: id.clone(),
            epoch: 2,
            keys: "keys/2-x.age".to_owned(),
            proof: "p2".to_owned(),
            complete: 0,
            recipients_digest: None,
        };
        let mut memory = Memory::load(&machine, "here", &id).unwrap();
        assert!(memory.remember(pin.clone()), "the first time is told");
        memory.see(&id, &name, mark(2, 5, &['a']));

        let mut memory = Memory::load(&machine, "here", &id).unwrap();
        assert!(!memory.remember(pin));
        for older in [
            mark(2, 4, &['b']),
            mark(2, 5, &['c']),
            mark(1, 6, &['d']),
            mark(2, 6, &['e', 'f']),
            mark(2, 8, &['g', 'h', 'i', 'j']),
        ] {
            let refused = memory.check(&id, &name, &older);
            assert!(matches!(refused, Err(VaultError::RolledBack(_))), "{older:?}");
        }
        for newer in [
            mark(2, 5, &['a']),
            mark(2, 6, &['e', 'a']),
            mark(2, 60, &['e', 'f']),
            mark(3, 2, &['k']),
        ] {
            memory.check(&id, &name, &newer).unwrap();
        }
        let proofs = |proof: &'static str| move |epoch| (epoch <= 2).then(|| proof.to_owned());
        assert!(memory.check_epoch(1, "keys/1-x.age", proofs("p2")).is_err());
        assert!(memory.check_epoch(2, "keys/2-y.age", proofs("p2")).is_err());
        assert!(memory.check_epoch(3, "keys/3-y.age", proofs("q2")).is_err());
        memory.check_epoch(3, "keys/3-x.age", proofs("p2")).unwrap();

        machine.accept_rollback = true;
        let mut memory = Memory::load(&machine, "here", &id).unwrap();
        memory.check(&id, &name, &mark(2, 4, &['b'])).unwrap();
        assert_eq!(memory.take_accepted().len(), 1);
        machine.accept_rollback = false;
        let mut memory = Memory::load(&machine, "here", &id).unwrap();
        memory.check(&id, &name, &mark(2, 4, &['b'])).unwrap();
        // Another vault at the same place has marks of its own.
        let other = VaultId::of(&Secret::generate().unwrap());
        let mut memory = Memory::load(&machine, "here", &other).unwrap();
        assert!(memory.pin().is_none());
        memory.check(&other, &name, &mark(1, 1, &['f'])).unwrap();
    }

    /// Two processes at once: what one accepts or tidies up does not forget what the other has seen.
    #[test]
    fn what_another_process_has_seen_is_not_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let remembering = Machine {
            state: Some(directory.path().to_owned()),
            ..Machine::default()
        };
        let accepting = Machine {
            accept_rollback: true,
            ..remembering.clone()
        };
        let id = VaultId::of(&Secret::generate().unwrap());
        let [a, b]: [CredentialName; 2] = ["a", "b"].map(|name| name.parse().unwrap());
        let pin = |epoch, complete| Pin {
            place: "here".to_owned(),
            id: id.clone(),
            epoch,
            keys: format!("keys/{epoch}-x.age"),
            proof: format!("p{epoch}"),
            complete,
            recipients_digest: None,
        };
        let mut first = Memory::load(&remembering, "here", &id).unwrap();
        first.remember(pin(2, 0));
        first.see(&id, &a, mark(2, 5, &['a']));
        let mut second = Memory::load(&accepting, "here", &id).unwrap();
        first.see(&id, &b, mark(2, 7, &['b']));
        first.remember(pin(2, 2));
        second.check(&id, &a, &mark(2, 4, &['c'])).unwrap();
        second.remember(pin(3, 1));

        let mut memory = Memory::load(&remembering, "here", &id).unwrap();
        assert_eq!(memory.complete(), 2);
        memory.check(&id, &a, &mark(2, 4, &['c'])).unwrap();
        assert!(memory.check(&id, &a, &mark(2, 3, &['d'])).is_err());
        assert!(memory.check(&id, &b, &mark(2, 6, &['e'])).is_err());
    }
}
