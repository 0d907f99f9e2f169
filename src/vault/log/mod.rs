//! `log.jsonl`: who did what when, one JSON object a line, never a secret. The lines are a chain, and members of the vault vouch
//! for it now and then ([`Checked`]).

mod append;
mod chain;
mod check;
#[cfg(test)]
mod scenes;
mod segments;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::VaultError;
use crate::model::ids::CredentialName;
use crate::sys::files::{FileError, Line, Lines};
use segments::Segment;

pub(super) use append::{Voucher, append};
pub(super) use check::check;
pub use check::{Checked, Fault, Place};

pub(super) const FILE: &str = "log.jsonl";

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The account name of whoever ran the command, as their session says it.
    pub actor: Option<String>,
    /// What was done: one word, such as `onboarded`.
    pub action: &'static str,
    /// To which credential, if to one.
    pub name: Option<CredentialName>,
    /// The fingerprint of the key concerned.
    pub fingerprint: Option<String>,
    /// A few words more.
    pub detail: Option<String>,
    /// In which form, of what was exported.
    pub format: Option<String>,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When.
    pub at: Timestamp,
    /// Who.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// What.
    pub action: String,
    /// To which credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<CredentialName>,
    /// The fingerprint of the key concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// A few words more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// In which form, of what was exported. Lines of before lack it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

/// What is logged of a credential that got another name, with the old one in the detail.
pub const RENAMED: &str = "renamed";
/// Stands before the old name there.
pub const FROM: &str = "from ";
/// What is logged of one that is gone.
pub const REMOVED: &str = "removed";
/// What is logged of a credential that Dfns was asked about, and that is good.
pub const VERIFIED: &str = "verified";
/// The same of one that is not.
pub const REFUSED: &str = "verify-refused";

impl Record {
    /// The name that a credential had, where it got another one.
    #[must_use]
    pub fn renamed_from(&self) -> Option<CredentialName> {
        (self.action == RENAMED).then_some(())?;
        self.detail.as_deref()?.strip_prefix(FROM)?.parse().ok()
    }
}

impl Event {
    fn at(&self, at: Timestamp) -> Record {
        let Self {
            actor,
            action,
            name,
            fingerprint,
            detail,
            format,
        } = self.clone();
        Record {
            at,
            actor,
            action: action.to_owned(),
            name,
            fingerprint,
            detail,
            format,
        }
    }
}

/// What stands in a line of the log.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry {
    /// What happened.
    Record(Box<Record>),
    /// No record: a line that was cut off when its writer was stopped, or changed from outside.
    Damaged {
        /// Where.
        place: Place,
    },
}

/// The log from its beginning, oldest first, one line at a time in memory. Checkpoints are passed over: nothing happened there.
pub struct Entries {
    places: Places,
    lines: u64,
}

impl Entries {
    /// How many lines were read so far, checkpoints and what is no record among them.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }
}

impl Iterator for Entries {
    type Item = Result<Entry, VaultError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (place, line) = match self.places.next()? {
                Ok(found) => found,
                Err(error) => return Some(Err(error.into())),
            };
            self.lines += 1;
            let text = match &line {
                Line::Whole(text) | Line::Torn(text) => text.trim_ascii_end(),
                Line::TooLong(_) => b"too long",
            };
            // Two that end a torn line at once leave an empty one.
            if text.is_empty() {
                continue;
            }
            let Ok(record) = serde_json::from_slice::<Record>(text) else {
                return Some(Ok(Entry::Damaged { place }));
            };
            if check::checkpoint(text, &record.action).is_none() {
                return Some(Ok(Entry::Record(Box::new(record))));
            }
        }
    }
}

/// The lines of all files of the log, and where they stand.
struct Places {
    directory: PathBuf,
    /// The file that is read, or was.
    file: Option<Segment>,
    number: u64,
    lines: Option<Lines>,
    ended: bool,
}

impl Places {
    /// Begins with the first file, so that a log that cannot be read is told of at once.
    fn of(directory: &Path) -> Result<Self, FileError> {
        let mut places = Self {
            directory: directory.to_owned(),
            file: None,
            number: 0,
            lines: None,
            ended: false,
        };
        places.open_next()?;
        Ok(places)
    }

    /// Whether there is one more file.
    fn open_next(&mut self) -> Result<bool, FileError> {
        let Some((file, lines)) = self.next_file()? else {
            return Ok(false);
        };
        (self.file, self.lines, self.number) = (Some(file), Some(lines), 0);
        Ok(true)
    }

    /// The file after the one that was read. One that is put aside meanwhile is found under its new name.
    fn next_file(&self) -> Result<Option<(Segment, Lines)>, FileError> {
        let next = || -> Result<Option<Segment>, FileError> {
            let mut after = segments::all(&self.directory)?.into_iter();
            Ok(after.find(|segment| self.file.as_ref().is_none_or(|last| segment > last)))
        };
        loop {
            let Some(segment) = next()? else {
                return Ok(None);
            };
            match Lines::open(&segment.path) {
                Ok(lines) if !segment.is_current() || next()?.as_ref() == Some(&segment) => {
                    return Ok(Some((segment, lines)));
                }
                Ok(_) => {}
                Err(error) if error.is_not_found() && segment.is_current() => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn read(&mut self) -> Result<Option<(Place, Line)>, FileError> {
        loop {
            if let (Some(lines), Some(file)) = (&mut self.lines, &self.file) {
                if let Some(line) = lines.next() {
                    self.number += 1;
                    let file = file.path.file_name().unwrap_or_default();
                    let place = Place {
                        file: file.to_string_lossy().into_owned(),
                        line: self.number,
                    };
                    return Ok(Some((place, line?)));
                }
                self.lines = None;
            }
            if !self.open_next()? {
                return Ok(None);
            }
        }
    }
}

impl Iterator for Places {
    type Item = Result<(Place, Line), FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let found = self.read().transpose();
        // What comes after an error is not to be had.
        self.ended = !matches!(found, Some(Ok(_)));
        found
    }
}

pub(super) fn read(directory: &Path) -> Result<Entries, VaultError> {
    Ok(Entries {
        places: Places::of(directory)?,
        lines: 0,
    })
}

/// The SHA-256 of the last line, in hex: it stands for the whole log.
pub(super) fn head(directory: &Path) -> Result<String, VaultError> {
    Ok(chain::head(directory)?.0)
}

/// What a line is, as whoever reads or vouches for a log takes it.
#[cfg(feature = "fuzzing")]
pub(super) fn parsed(line: &[u8]) {
    let _ = serde_json::from_slice::<Record>(line).map(|record| record.renamed_from());
    let _ = chain::Head::none().after(line);
    let _ = check::checkpoint(line, "checkpoint");
}

/// Whether there is a log.
pub(super) fn is_there(directory: &Path) -> bool {
    segments::all(directory).is_ok_and(|files| !files.is_empty())
}
