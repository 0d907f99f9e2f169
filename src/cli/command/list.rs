use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::table::{Column, Table};
use crate::cli::ui::{Tone, fields};
use crate::model::credential::State;
use crate::model::duration::Span;
use crate::model::ids::CredentialName;
use crate::model::record::PublicRecord;

/// So many names stand in a sentence.
const NAMED: usize = 5;

/// List the credentials
///
/// From what is public of them, without unlocking.
#[derive(Args)]
#[command(after_help = "Examples:\n  dfns-keys list\n  dfns-keys list --expiring 30d")]
pub(in crate::cli) struct ListArgs {
    /// Only those whose token ends within this time
    #[arg(long, value_name = "DURATION")]
    expiring: Option<Span>,
}

impl ListArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let vault = context.vault().await?;
        let now = vault.clock().now();
        let mut records = Vec::new();
        let mut damaged = Vec::new();
        let mut unauthenticated = Vec::new();
        let mut outdated = 0;
        for listed in vault.list().await? {
            outdated += usize::from(listed.outdated);
            if listed.unauthenticated {
                unauthenticated.push(listed.name.clone());
            }
            match listed.record {
                Ok(record) => records.push(record),
                Err(error) => damaged.push(Failure::from(error)),
            }
        }
        if let Some(span) = self.expiring {
            let horizon = i128::from(now.as_second()) + i128::from(span.duration().as_secs());
            records.retain(|record| {
                record
                    .token_expires_at
                    .is_some_and(|at| i128::from(at.as_second()) <= horizon)
            });
        }
        let rows: Vec<Value> = records
            .iter()
            .map(|record| {
                let mut row = row(record);
                let word = if unauthenticated.contains(&record.name) {
                    "no"
                } else {
                    "unchecked"
                };
                row["authenticated"] = json!(word);
                row
            })
            .collect();
        // One damaged file hides none of the others, and is still a failure.
        if let Some(mut failure) = damaged.pop() {
            for other in damaged {
                context.ui.warn(&other.message);
            }
            if context.ui.json() {
                failure.extra = fields(json!({ "credentials": rows }));
            } else {
                table(context, &records, now)?;
            }
            tell(context, vault.is_version_1().await?, &unauthenticated, outdated);
            return Err(failure);
        }
        if context.ui.json() {
            context.ui.document(&json!({ "credentials": rows }))?;
        } else if records.is_empty() {
            context.ui.say(if self.expiring.is_some() {
                "No token ends that soon."
            } else {
                "There are no credentials yet: dfns-keys onboard NAME"
            });
        } else {
            table(context, &records, now)?;
        }
        tell(context, vault.is_version_1().await?, &unauthenticated, outdated);
        Ok(Exit::Done)
    }
}

/// Says what of a listing is in doubt, a line each.
fn tell(context: &Context, is_version_1: bool, unauthenticated: &[CredentialName], outdated: usize) {
    let ui = &context.ui;
    if is_version_1 {
        ui.say("This vault is of version 1, whose files nobody vouches for: `dfns-keys recipients sync` moves it to version 2.");
    }
    if !unauthenticated.is_empty() {
        let names = unauthenticated.iter().take(NAMED).map(ToString::to_string);
        let mut names = names.collect::<Vec<_>>().join(", ");
        if unauthenticated.len() > NAMED {
            names.push_str(", …");
        }
        ui.say(&format!(
            "Nobody vouches for {names} until a member adopts it: `dfns-keys vault adopt NAME --fingerprint F`."
        ));
    }
    if outdated > 0 {
        ui.say(&format!(
            "{outdated} of the files are sealed to an older list of recipients: `dfns-keys recipients sync` seals them again."
        ));
    }
}

pub(super) fn row(record: &PublicRecord) -> Value {
    json!({
        "name": record.name,
        "kind": record.kind,
        "state": record.state,
        "api_url": record.api_url,
        "org_id": record.org_id,
        "identity_id": record.identity_id,
        "credential_id": record.credential_id,
        "fingerprint": record.fingerprint,
        "created_at": record.created_at,
        "rotated_at": record.rotated_at,
        "token_expires_at": record.token_expires_at,
        "generation": record.generation,
        "deliveries": record.deliveries,
    })
}

fn table(context: &Context, records: &[PublicRecord], now: Timestamp) -> Result<(), Failure> {
    let mut table = Table::new([
        Column::word("NAME"),
        Column::word("KIND").spare(),
        Column::word("STATE"),
        Column::word("KEY AGE"),
        Column::word("TOKEN EXPIRES"),
        Column::id("ORGANISATION").spare(),
        Column::word("API").spare(),
    ]);
    for record in records {
        let age = days(now, record.rotated_at.unwrap_or(record.created_at));
        let expires = record.token_expires_at.map_or_else(
            || "–".to_owned(),
            |at| match days(at, now) {
                left if left < 0 => "expired !".to_owned(),
                left if left < 30 => format!("{left} d !"),
                left => format!("{left} d"),
            },
        );
        let organisation = record.org_id.as_ref().map_or("–", |id| id.as_str());
        table.row([
            record.name.as_str(),
            record.kind.in_words(),
            &record.state.to_string(),
            &format!("{age} d"),
            &expires,
            organisation,
            record.api_url.host(),
        ]);
    }
    let tones: Vec<Tone> = records
        .iter()
        .map(|record| match record.state {
            State::Pending | State::Rotating | State::Retiring => Tone::Doubtful,
            State::Active => Tone::Plain,
        })
        .collect();
    context.ui.table(table, &tones)
}

fn days(later: Timestamp, earlier: Timestamp) -> i64 {
    (later.as_second() - earlier.as_second()).div_euclid(86_400)
}
