//! Whether the log is as it was written: every line fits the one before, and checkpoints are by members.

use std::fmt;
use std::path::Path;

use jiff::Timestamp;

use super::append::{CHECKPOINT, Checkpoint};
use super::chain::{Head, link, without_end};
use super::{Places, Record};
use crate::sys::files::{FileError, Line};
use crate::vault::codes::{Secret, VaultId};

/// So many of a kind are named one by one.
const NAMED: usize = 10;

/// Where a line stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The name of the file.
    pub file: String,
    /// The line's number in it, counted from 1.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of {}", self.line, self.file)
    }
}

/// Something about the log that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A line does not fit those before it: it, one of them, or what was between them was changed, cut out, put in or moved.
    DoesNotFollow {
        /// The line.
        at: Place,
        /// The last one before it that has a link; none where none has.
        after: Option<Place>,
    },
    /// A checkpoint was not written by a member of the vault, or says something else than they wrote.
    Forged {
        /// The checkpoint.
        at: Place,
    },
    /// What was vouched for when the log was last checked is not there any more.
    CutOff {
        /// When the checkpoint was written that is missing.
        checkpoint_at: Timestamp,
    },
}

/// What a look through the whole log found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    /// How many lines there are.
    pub lines: u64,
    /// The SHA-256 of the last one.
    pub head: String,
    /// The first things that are wrong.
    pub faults: Vec<Fault>,
    /// How many there are.
    pub fault_count: u64,
    /// The first lines that are no records: whoever wrote one was stopped.
    pub torn: Vec<Place>,
    /// How many there are.
    pub torn_count: u64,
    /// How many records have no link: those of before there were any, or by a version of before.
    pub unlinked: u64,
    /// How many checkpoints by members there are.
    pub checkpoints: u64,
    /// The last of them: where, when, and the hash of its line.
    pub confirmed: Option<(Place, Timestamp, String)>,
    /// How many lines come after it.
    pub unconfirmed: u64,
}

impl Checked {
    fn fault(&mut self, fault: Fault) {
        self.fault_count += 1;
        if self.faults.len() < NAMED {
            self.faults.push(fault);
        }
    }
}

/// A checkpoint, if a line is one. Only one that says so is worth reading again.
pub(super) fn checkpoint(line: &[u8], action: &str) -> Option<Checkpoint> {
    (action == CHECKPOINT).then_some(())?;
    serde_json::from_slice(line).ok()
}

/// Looks through the log. `secret` has the vault's secret of an epoch; `known` the hash and time of the checkpoint up to which
/// it was found good before.
pub(in crate::vault) fn check<'s>(
    directory: &Path,
    id: Option<&VaultId>,
    secret: impl Fn(u64) -> Option<&'s Secret>,
    known: Option<(&str, Timestamp)>,
) -> Result<Checked, FileError> {
    let mut checked = Checked::default();
    let mut head = Head::none();
    let mut linked = None;
    let mut missing = known;
    for found in Places::of(directory)? {
        let (place, line) = found?;
        let text = match &line {
            Line::Whole(text) | Line::Torn(text) => without_end(text),
            Line::TooLong(_) => b"",
        };
        checked.lines += 1;
        checked.unconfirmed += 1;
        let next = head.after_line(&line);
        let link = link(text);
        match &link {
            Some(link) => {
                let after = linked.replace(place.clone());
                if link.prev != head.0 {
                    checked.fault(Fault::DoesNotFollow {
                        at: place.clone(),
                        after,
                    });
                }
            }
            None if serde_json::from_slice::<Record>(text).is_ok() => checked.unlinked += 1,
            None => {
                checked.torn_count += 1;
                if checked.torn.len() < NAMED {
                    checked.torn.push(place.clone());
                }
            }
        }
        if let Some(point) = link.and_then(|link| checkpoint(text, &link.action)) {
            let by_member = id.is_some_and(|id| secret(point.epoch).is_some_and(|secret| point.is_by(id, secret)));
            if by_member {
                checked.checkpoints += 1;
                checked.confirmed = Some((place, point.at, next.0.clone()));
                checked.unconfirmed = 0;
                missing = missing.filter(|(hash, _)| *hash != next.0);
            } else {
                checked.fault(Fault::Forged { at: place });
            }
        }
        head = next;
    }
    if let Some((_, checkpoint_at)) = missing {
        checked.fault(Fault::CutOff { checkpoint_at });
    }
    checked.head = head.0;
    Ok(checked)
}
