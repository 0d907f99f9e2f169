//! Who still has a key: what was exported and is still there, decided by fingerprint.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::command::export::FormatArg;
use crate::cli::error::Failure;
use crate::cli::ui::Ui;
use crate::model::ids::CredentialName;
use crate::model::quoted;
use crate::sys::files;
use crate::vault::log::{Entry, Record};
use crate::vault::{Vault, VaultError};

/// A place that a key was exported to.
pub(in crate::cli::command) struct Holder<'r> {
    place: &'r str,
    format: Option<&'r str>,
    exports: usize,
    last: Timestamp,
}

impl Holder<'_> {
    /// As somebody would name it who stands here.
    fn shown(&self) -> &str {
        let here = std::env::current_dir().ok().filter(|here| here.parent().is_some());
        let within = here.and_then(|here| Path::new(self.place).strip_prefix(here).ok());
        within.and_then(Path::to_str).unwrap_or(self.place)
    }

    /// The command that hands the key that is active now to the same place.
    pub(in crate::cli::command) fn again(&self, name: &CredentialName) -> String {
        // The log is no command's author: what it says is a known form and a quoted name, or is left to the reader.
        let format = self.format.and_then(FormatArg::known);
        let export = format!(
            "dfns-keys export {name} --format {}",
            format.as_deref().unwrap_or("FORMAT")
        );
        if self.place == STDOUT {
            return format!("{export} | …");
        }
        let known = Path::new(self.place).is_absolute();
        let file = for_a_shell(self.shown()).filter(|_| known);
        let file = file.as_deref().unwrap_or("FILE");
        format!("{export} --output {file} --force")
    }

    /// How sure it is: what a pipe carried on, nobody sees.
    pub(in crate::cli::command) fn verb(&self) -> &'static str {
        if self.place == STDOUT {
            "may still have"
        } else {
            "still has"
        }
    }

    /// What a script reads of it.
    fn document(&self) -> Value {
        json!({
            "place": self.place,
            "format": self.format.and_then(FormatArg::known),
            "exports": self.exports,
            "last_at": self.last,
        })
    }
}

impl fmt::Display for Holder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, last) = (self.shown().escape_debug(), self.last);
        match self.exports {
            1 => write!(f, "{place} (exported at {last})"),
            exports => write!(f, "{place} ({exports} exports, the last at {last})"),
        }
    }
}

/// A path as a word of a shell, if it is known whole and can be typed.
fn for_a_shell(path: &str) -> Option<String> {
    if path.chars().any(char::is_control) || !is_whole(path) {
        return None;
    }
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '+' | ',' | ':' | '@' | '%');
    if path.chars().all(plain) && !path.starts_with('-') {
        return Some(path.to_owned());
    }
    let dashed = if path.starts_with('-') { "./" } else { "" };
    Some(format!("'{dashed}{}'", path.replace('\'', r"'\''")))
}

/// Whether the log has all of a path.
fn is_whole(place: &str) -> bool {
    !place.contains(char::REPLACEMENT_CHARACTER) && !quoted::leaves_out(place)
}

/// What the log tells of exports, read once a run.
#[derive(Default)]
pub(in crate::cli::command) struct Exports(OnceCell<Vec<Record>>);

impl Exports {
    /// Where the key of this fingerprint is, as far as is known. What cannot be known is said once.
    pub(in crate::cli::command) fn of<'s>(&'s self, vault: &Vault, ui: &Ui, fingerprint: &str) -> Vec<Holder<'s>> {
        let records = self.0.get_or_init(|| match exports(vault) {
            Ok((records, damaged)) => {
                if damaged > 0 {
                    ui.warn(
                        "lines of log.jsonl are no records: there may be places with the old key that are not named here",
                    );
                }
                records
            }
            Err(error) => {
                let reason = Failure::from(error).message;
                ui.warn(&format!("who still has the old key cannot be told: {reason}"));
                Vec::new()
            }
        });
        still_there(records, fingerprint)
    }

    /// The same for a script.
    pub(in crate::cli::command) fn document(&self, vault: &Vault, ui: &Ui, fingerprint: &str) -> Value {
        let holders = self.of(vault, ui, fingerprint);
        let exports: Vec<Value> = holders.iter().map(Holder::document).collect();
        json!({ "fingerprint": fingerprint, "exports": exports })
    }
}

/// What the log tells of exports, and how many of its lines tell nothing.
fn exports(vault: &Vault) -> Result<(Vec<Record>, usize), VaultError> {
    let (mut exports, mut damaged) = (Vec::new(), 0);
    for entry in vault.events()? {
        match entry? {
            Entry::Record(record) if record.action == "exported" => exports.push(*record),
            Entry::Record(_) => {}
            Entry::Damaged { .. } => damaged += 1,
        }
    }
    Ok((exports, damaged))
}

/// Where the key of this fingerprint went and, as far as can be seen from here, still is. A file has what was last
/// written to it, whichever credential that was of; one that is gone has nothing. What a pipe carried on is not seen.
fn still_there<'r>(exports: &'r [Record], fingerprint: &str) -> Vec<Holder<'r>> {
    // What is at a path that is not absolute, or that the log has in part only, cannot be seen.
    let seen = |place: &str| Path::new(place).is_absolute() && is_whole(place);
    let mut places: BTreeMap<&str, Holder<'r>> = BTreeMap::new();
    for record in exports {
        let place = record.detail.as_deref().unwrap_or("a place unknown");
        if record.fingerprint.as_deref() == Some(fingerprint) {
            let holder = places.entry(place).or_insert(Holder {
                place,
                format: None,
                exports: 0,
                last: record.at,
            });
            holder.exports += 1;
            holder.last = record.at;
            holder.format = record.format.as_deref();
        } else if place != STDOUT && !quoted::leaves_out(place) {
            places.remove(place);
        }
    }
    let gone = |place: &str| seen(place) && !files::exists(Path::new(place));
    places.into_values().filter(|holder| !gone(holder.place)).collect()
}

/// The place of what went into a pipe.
const STDOUT: &str = "stdout";
