//! The newest state of each credential that a machine has seen, a line each. Lines are added as more is seen, and tidied up now and then.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::model::ids::CredentialName;

/// The newest state of a credential that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) epoch: u64,
    pub(super) revision: u64,
    /// The random ids of the write that it is and, in a document, of those before it, newest first.
    pub(super) writes: Vec<String>,
}

impl Mark {
    pub(super) fn order(&self) -> (u64, u64) {
        (self.epoch, self.revision)
    }

    fn id(&self) -> &str {
        self.writes.first().map_or("", String::as_str)
    }

    /// Why `found` cannot have come after this one.
    pub(super) fn is_not_followed_by(&self, found: &Self) -> Option<String> {
        if found.order() < self.order() {
            return Some(format!(
                "this machine has seen revision {} of epoch {}, and it is revision {} of epoch {}",
                self.revision, self.epoch, found.revision, found.epoch
            ));
        }
        // Within one epoch a document names those it came from.
        let steps = usize::try_from(found.revision.wrapping_sub(self.revision)).unwrap_or(usize::MAX);
        let elsewhere = found.epoch == self.epoch && found.writes.get(steps).is_some_and(|id| id != self.id());
        elsewhere.then(|| {
            format!(
                "it does not come from revision {}, which this machine has seen",
                self.revision
            )
        })
    }
}

/// What a line says of what was before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// It counts if it is newer.
    Seen,
    /// It counts although it is older.
    Accepted,
}

/// Stands behind an older state that was accepted.
const ACCEPTED: &str = "accepted";

pub(super) fn line(name: &CredentialName, mark: &Mark, as_what: Line) -> String {
    let mut text = format!("{name} {} {} {}", mark.revision, mark.epoch, mark.id());
    if as_what == Line::Accepted {
        let _ = write!(text, " {ACCEPTED}");
    }
    text.push('\n');
    text
}

/// All of them in as few lines as there can be.
pub(super) fn render(marks: &BTreeMap<CredentialName, Mark>) -> Vec<u8> {
    let mut text = String::new();
    for (name, mark) in marks {
        text.push_str(&line(name, mark, Line::Seen));
    }
    text.into_bytes()
}

/// Reads them. A line that a kill cut short is no mark.
pub(super) fn parse(bytes: &[u8]) -> BTreeMap<CredentialName, Mark> {
    let mut marks = BTreeMap::new();
    for line in String::from_utf8_lossy(bytes).lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let (words, as_what) = match words[..] {
            [ref words @ .., ACCEPTED] => (words, Line::Accepted),
            ref words => (words, Line::Seen),
        };
        let [name, revision, epoch, id] = words else { continue };
        let (Ok(name), Ok(revision), Ok(epoch)) = (name.parse::<CredentialName>(), revision.parse(), epoch.parse())
        else {
            continue;
        };
        let mark = Mark {
            epoch,
            revision,
            writes: vec![(*id).to_owned()],
        };
        let is_newer = marks.get(&name).is_none_or(|known: &Mark| known.order() < mark.order());
        if id.len() == 32 && (is_newer || as_what == Line::Accepted) {
            marks.insert(name, mark);
        }
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_high_revision_of_an_old_epoch_does_not_shut_out_what_comes_after_it() {
        let mark = |epoch, revision, id: char| Mark {
            epoch,
            revision,
            writes: vec![id.to_string().repeat(32)],
        };
        let forged = mark(1, u64::MAX, 'x');
        assert_eq!(forged.is_not_followed_by(&mark(2, 7, 'a')), None);
    }
}
