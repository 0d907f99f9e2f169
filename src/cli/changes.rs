//! A list of changes, as it is printed before anything is done: a line each, in the order in which they are done.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::text::{columns, wrapped};
use super::ui::Tone;
use crate::workflow::plan::{Change, Step};

/// The longest word of a change.
const WORD: usize = 10;
/// Names that are longer than this do not push everybody's reasons to the right.
const NAME: usize = 24;

/// A change as a person reads it, planned by a file or by `rotate`.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) word: &'static str,
    pub(super) tone: Tone,
    pub(super) reason: String,
    /// What it takes that this run does not have.
    pub(super) needs: Option<String>,
}

impl From<&Change> for Line {
    fn from(change: &Change) -> Self {
        Self {
            name: change.name.clone(),
            word: word(change.step.as_str()),
            tone: tone(&change.step),
            reason: change.reason.clone(),
            needs: change.needs.clone(),
        }
    }
}

/// A line each, broken where the window ends.
pub(super) fn lines(changes: impl Iterator<Item = Line>, window: Option<usize>) -> Vec<String> {
    let changes: Vec<Line> = changes.collect();
    let widest = changes.iter().map(|change| columns(&change.name)).max().unwrap_or(0);
    let widest = widest.min(NAME);
    let line = |change: &Line| {
        let word = change.word;
        let name = format!(
            "{}{}",
            change.name,
            " ".repeat(widest.saturating_sub(columns(&change.name)))
        );
        let mut reason = change.reason.clone();
        if let Some(needs) = &change.needs {
            let _ = write!(reason, " → {needs}");
        }
        let head = format!("  {word:<WORD$}  {name}  ");
        let text = match window {
            None => format!("{head}{reason}"),
            Some(window) => {
                let indent = " ".repeat(columns(&head).min(window / 2));
                let body = wrapped(&reason, &indent, window);
                // The first line has the head in place of its indent, where it has room.
                if columns(&head) == indent.len() {
                    format!("{head}{}", body.trim_start())
                } else {
                    format!("{}\n{body}", head.trim_end())
                }
            }
        };
        text.replacen(word, &change.tone.paint(word), 1)
    };
    changes.iter().map(line).collect()
}

/// As a person reads it: where nothing is done, it is a note.
pub(super) fn word(word: &'static str) -> &'static str {
    if word == "none" { "note" } else { word }
}

fn tone(step: &Step) -> Tone {
    match step {
        Step::Blocked => Tone::Bad,
        Step::Revoke(..) | Step::Deactivate(_) | Step::Forget(_) | Step::Retire => Tone::Doubtful,
        Step::Note(_) | Step::None | Step::Unmanaged => Tone::Plain,
        _ => Tone::Good,
    }
}

/// How many of what, such as `2 create, 1 rotate`.
pub(super) fn counted<'c>(changes: impl Iterator<Item = &'c Change>) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for change in changes {
        let word = change.step.as_str();
        match counts.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => counts.push((word, 1)),
        }
    }
    let words: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    words.join(", ")
}

/// What a script reads of a change.
pub(super) fn document(change: &Change) -> Value {
    let mut document = json!({
        "name": change.name,
        "change": change.step.as_str(),
        "reason": change.reason,
    });
    if let Some(needs) = &change.needs {
        document["needs"] = needs.as_str().into();
    }
    match &change.step {
        Step::Deliver(place) => document["target"] = json!(place.target),
        Step::Forget(target) => document["target"] = json!(target),
        Step::Grant(_, permission) | Step::Revoke(permission, _) => document["permission"] = json!(permission),
        _ => {}
    }
    document
}
