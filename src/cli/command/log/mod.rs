mod since;
mod verify;

use std::collections::VecDeque;
use std::num::NonZeroUsize;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::listing::Listing;
use crate::cli::slips;
use crate::cli::text::{columns, shortened};
use crate::cli::ui::{Ui, fields};
use crate::model::ids::CredentialName;
use crate::model::quoted::{self, shown};
use crate::vault::Vault;
use crate::vault::log::{Entries, Entry, Place, Record};
use since::Since;

/// So many damaged lines are named one by one.
const NAMED: usize = 10;
/// So many renames, the last ones, are followed.
const MOST_RENAMES: usize = 10_000;
/// What a fingerprint is shortened to.
const SHORT: usize = 18;
/// In front of what has no room beside the rest.
const BELOW: &str = "\n    ";

/// Show the local audit log: who did what when
///
/// What happened to a credential under the names that it had before comes along.
/// With --verify, unlocks the vault and tells whether the log is as it was written, and up to which line members vouch for it.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  dfns-keys log payments-api -n 20\n  dfns-keys log --since 7d\n  dfns-keys log --verify"
)]
pub(in crate::cli) struct LogArgs {
    /// Only what concerns this credential
    name: Option<CredentialName>,
    /// Only what happened since then: a time such as 2026-11-25T12:00:00Z, a day, or how long ago
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
    /// Only the last so many
    #[arg(short = 'n', value_name = "N")]
    last: Option<NonZeroUsize>,
    /// Tell whether anybody changed the log
    #[arg(long, conflicts_with_all = ["name", "since", "last"])]
    verify: bool,
}

/// Lines that are no records. They are passed over, and named.
#[derive(Default)]
struct Damaged {
    count: u64,
    first: Vec<Place>,
}

impl LogArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        if self.verify {
            return verify::run(context).await;
        }
        let ui = &context.ui;
        let vault = context.vault().await?;
        let since = self.since.as_ref().map(|since| since.from(vault.clock().now()));
        let history = match &self.name {
            Some(name) => Some(History::of(name, vault.events()?)?),
            None => None,
        };
        let entries = vault.events()?;
        let mut read = Read::default();
        if ui.json() {
            let mut listing = Listing::begin(ui, "events");
            match self.each(since, history.as_ref(), entries, &mut read, |record| {
                listing.push(record)
            }) {
                Err(failure) if failure.is_broken_pipe() => return Err(failure),
                Err(failure) => return listing.fail(&failure),
                // Nothing is written yet where there was nothing to write.
                Ok(()) => {
                    self.check_known(&vault, &read).await?;
                    listing.finish(&read.damaged.document())?;
                }
            }
        } else {
            self.each(since, history.as_ref(), entries, &mut read, |record| show(ui, record))?;
            let known = self.check_known(&vault, &read).await;
            read.damaged.tell(ui);
            known?;
            match (&self.name, read.found, read.shown) {
                (Some(name), 0, _) => ui.say(&format!("The log says nothing of {name}.")),
                (_, _, 0) if self.since.is_some() => ui.say("Nothing since then."),
                _ => {}
            }
            return Ok(Exit::Done);
        }
        read.damaged.tell(ui);
        Ok(Exit::Done)
    }

    /// A name of which neither the vault nor the log knows is a slip.
    async fn check_known(&self, vault: &Vault, read: &Read) -> Result<(), Failure> {
        let Some(name) = self.name.as_ref().filter(|_| read.found == 0) else {
            return Ok(());
        };
        if vault.names().await?.contains(name) {
            return Ok(());
        }
        let mut failure = Failure::new(
            Exit::State,
            "no_such_credential",
            format!("there is no credential named {name}, and the log says nothing of one"),
        )
        .hint("`dfns-keys log` shows everything");
        failure.extra = fields(json!({ "events": [] }));
        failure.extra.extend(fields(read.damaged.document()));
        // What was removed is in the log alone.
        match &read.alike {
            Some((_, alike)) if !vault.names().await?.contains(alike) => {
                Err(failure.hint(format!("did you mean {alike}? It is in the log")))
            }
            _ => Err(Failure {
                missing: Some(name.clone()),
                ..failure
            }),
        }
    }

    /// Hands on the records that were asked for, one after the other.
    fn each(
        &self,
        since: Option<Timestamp>,
        history: Option<&History>,
        entries: Entries,
        read: &mut Read,
        mut use_it: impl FnMut(&Record) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut last = VecDeque::new();
        for (number, entry) in entries.enumerate() {
            let record = match entry? {
                Entry::Record(record) => record,
                Entry::Damaged { place } => {
                    read.damaged.note(place);
                    continue;
                }
            };
            if history.is_some_and(|history| !history.has(number, &record)) {
                read.look_at(record.name.as_ref(), self.name.as_ref());
                continue;
            }
            read.found += 1;
            if since.is_some_and(|since| record.at < since) {
                continue;
            }
            read.shown += 1;
            let Some(most) = self.last else {
                use_it(&record)?;
                continue;
            };
            if last.len() == most.get() {
                last.pop_front();
            }
            last.push_back(record);
        }
        last.iter().try_for_each(|record| use_it(record))
    }
}

/// What was found on the way through the log.
#[derive(Default)]
struct Read {
    /// How many records were asked for.
    found: u64,
    /// How many of them are not too old.
    shown: u64,
    damaged: Damaged,
    /// The name most like the one that was asked for, and how much.
    alike: Option<(f64, CredentialName)>,
}

impl Read {
    fn look_at(&mut self, name: Option<&CredentialName>, wanted: Option<&CredentialName>) {
        let (Some(name), Some(wanted), 0) = (name, wanted, self.found) else {
            return;
        };
        let best = self.alike.as_ref().map(|(likeness, _)| *likeness);
        if let Some(likeness) =
            slips::likeness(name, wanted).filter(|likeness| best.is_none_or(|best| *likeness > best))
        {
            self.alike = Some((likeness, name.clone()));
        }
    }
}

/// Under which names a credential is found in which part of the log.
struct History {
    /// A name, and the entries from which and up to which it was this credential's; first the one that was asked for.
    names: Vec<(CredentialName, usize, usize)>,
}

impl History {
    /// Follows the renames of a log backwards.
    fn of(name: &CredentialName, entries: Entries) -> Result<Self, Failure> {
        let mut renames = VecDeque::new();
        for (number, entry) in entries.enumerate() {
            if let Entry::Record(record) = entry?
                && let Some(from) = record.renamed_from()
                && let Some(to) = record.name
            {
                if renames.len() == MOST_RENAMES {
                    renames.pop_front();
                }
                renames.push_back((number, from, to));
            }
        }
        let mut names = vec![(name.clone(), 0, usize::MAX)];
        for (number, from, to) in renames.into_iter().rev() {
            let found = names
                .iter()
                .position(|(name, since, until)| *name == to && (*since..*until).contains(&number));
            let Some(index) = found else { continue };
            if index > 0 {
                // Before that it was another credential's.
                names[index].1 = number;
            }
            names.push((from, 0, number));
        }
        Ok(Self { names })
    }

    fn has(&self, number: usize, record: &Record) -> bool {
        let is_its = |name: &CredentialName| {
            self.names
                .iter()
                .any(|(known, since, until)| known == name && (*since..*until).contains(&number))
        };
        // Where it went to is told under the old name, too.
        record.name.as_ref().is_some_and(is_its) || record.renamed_from().is_some_and(|from| from == self.names[0].0)
    }
}

impl Damaged {
    fn note(&mut self, place: Place) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(place);
        }
    }

    fn document(&self) -> Value {
        json!({
            "skipped": self.count,
            "skipped_lines": self.first.iter().map(|place| place.line).collect::<Vec<_>>(),
            "skipped_in": self.first.iter().map(|place| &*place.file).collect::<Vec<_>>(),
        })
    }

    fn tell(&self, ui: &Ui) {
        for place in &self.first {
            ui.warn(&format!(
                "{place} is no record and was passed over: its writer was stopped, or somebody changed it"
            ));
        }
        if self.count > NAMED as u64 {
            ui.warn(&format!("so were {} more", self.count - NAMED as u64));
        }
    }
}

/// One line, as the log is read. Where the window is too narrow for it, the fingerprint loses its middle; and what has no room
/// beside the rest goes on below.
fn show(ui: &Ui, record: &Record) -> Result<(), Failure> {
    let at = record.at;
    let actor = shown(record.actor.as_deref().unwrap_or("–"));
    let action = shown(&record.action);
    let name = record.name.as_ref().map_or("", |name| name.as_str());
    let fingerprint = record.fingerprint.as_deref().unwrap_or("").escape_debug().to_string();
    let detail = quoted::without_secrets(record.detail.as_deref().unwrap_or(""));
    let detail = detail.escape_debug();
    let beginning = format!("{at}  {actor:<12} {action:<12}");
    let whole = format!("{beginning} {name}  {fingerprint} {detail}");
    let whole = whole.trim_end();
    let Some(window) = ui.window().filter(|window| columns(whole) > *window) else {
        return ui.answer(whole);
    };
    let mut lines = beginning;
    let mut last = columns(&lines);
    for rest in [name, &shortened(&fingerprint, SHORT), &detail.to_string()] {
        if rest.is_empty() {
            continue;
        }
        let (before, begins) = if last + 1 + columns(rest) <= window {
            (" ", last + 1)
        } else {
            lines.truncate(lines.trim_end().len());
            (BELOW, BELOW.len() - 1)
        };
        lines.push_str(before);
        lines.push_str(rest);
        last = begins + columns(rest);
    }
    ui.answer(lines.trim_end())
}
