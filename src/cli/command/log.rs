use std::collections::VecDeque;
use std::num::NonZeroUsize;

use clap::Args;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::listing::Listing;
use crate::cli::text::{columns, shortened};
use crate::cli::ui::Ui;
use crate::model::ids::CredentialName;
use crate::model::quoted::{self, shown};
use crate::vault::log::{Entries, Entry, Record};

/// So many damaged lines are named one by one.
const NAMED: usize = 10;
/// What a fingerprint is shortened to.
const SHORT: usize = 18;
/// In front of what has no room beside the rest.
const BELOW: &str = "\n    ";

/// Show the local audit log: who did what when
#[derive(Args)]
#[command(after_help = "Example:\n  dfns-keys log payments-api -n 20")]
pub(in crate::cli) struct LogArgs {
    /// Only what concerns this credential
    name: Option<CredentialName>,
    /// Only the last so many
    #[arg(short = 'n', value_name = "N")]
    last: Option<NonZeroUsize>,
}

/// Lines that are no records. They are passed over, and named.
#[derive(Default)]
struct Damaged {
    count: u64,
    first: Vec<u64>,
}

impl LogArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let ui = &context.ui;
        let entries = context.vault().await?.events()?;
        let mut damaged = Damaged::default();
        if ui.json() {
            let mut listing = Listing::begin(ui, "events");
            match self.each(entries, &mut damaged, |record| listing.push(record)) {
                Err(failure) if failure.is_broken_pipe() => return Err(failure),
                Err(failure) => return listing.fail(&failure),
                Ok(()) => listing.finish(&json!({"skipped": damaged.count, "skipped_lines": damaged.first}))?,
            }
        } else {
            self.each(entries, &mut damaged, |record| show(ui, record))?;
        }
        damaged.tell(ui);
        Ok(Exit::Done)
    }

    /// Hands on the records that were asked for, one after the other.
    fn each(
        &self,
        entries: Entries,
        damaged: &mut Damaged,
        mut use_it: impl FnMut(&Record) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut last = VecDeque::new();
        for entry in entries {
            let record = match entry? {
                Entry::Record(record) => record,
                Entry::Damaged { line } => {
                    damaged.note(line);
                    continue;
                }
            };
            if self.name.is_some() && record.name != self.name {
                continue;
            }
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

impl Damaged {
    fn note(&mut self, line: u64) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(line);
        }
    }

    fn tell(&self, ui: &Ui) {
        for line in &self.first {
            ui.warn(&format!(
                "line {line} of log.jsonl is no record and was passed over: its writer was stopped, or somebody changed it"
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
