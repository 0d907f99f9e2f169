//! Who still has a key: what was exported and is still there, decided by fingerprint.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use jiff::Timestamp;

use crate::model::quoted;
use crate::sys::files;
use crate::vault::log::{Entry, Record};
use crate::vault::{Vault, VaultError};

/// A place that a key was exported to.
pub(super) struct Holder<'r> {
    place: &'r str,
    exports: usize,
    last: Timestamp,
}

impl fmt::Display for Holder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As somebody would name it who stands here.
        let here = std::env::current_dir().ok().filter(|here| here.parent().is_some());
        let within = here.and_then(|here| Path::new(self.place).strip_prefix(here).ok());
        let shown = within.and_then(Path::to_str);
        let (place, last) = (shown.unwrap_or(self.place).escape_debug(), self.last);
        match self.exports {
            1 => write!(f, "{place} (exported at {last})"),
            exports => write!(f, "{place} ({exports} exports, the last at {last})"),
        }
    }
}

/// What the log tells of exports, and how many of its lines tell nothing.
pub(super) fn exports(vault: &Vault) -> Result<(Vec<Record>, usize), VaultError> {
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
pub(super) fn still_there<'r>(exports: &'r [Record], fingerprint: &str) -> Vec<Holder<'r>> {
    // What is at a path that is not absolute, or that the log has in part only, cannot be seen.
    let seen = |place: &str| {
        let whole = !place.contains(char::REPLACEMENT_CHARACTER) && !quoted::leaves_out(place);
        Path::new(place).is_absolute() && whole
    };
    let mut places: BTreeMap<&str, Holder<'r>> = BTreeMap::new();
    for record in exports {
        let place = record.detail.as_deref().unwrap_or("a place unknown");
        if record.fingerprint.as_deref() == Some(fingerprint) {
            let holder = places.entry(place).or_insert(Holder {
                place,
                exports: 0,
                last: record.at,
            });
            holder.exports += 1;
            holder.last = record.at;
        } else if place != STDOUT && !quoted::leaves_out(place) {
            places.remove(place);
        }
    }
    let gone = |place: &str| seen(place) && !files::exists(Path::new(place));
    places.into_values().filter(|holder| !gone(holder.place)).collect()
}

/// The place of what went into a pipe.
const STDOUT: &str = "stdout";
