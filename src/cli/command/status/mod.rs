mod metrics;
mod telling;

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::ui::fields;
use crate::model::duration::Span;
use crate::model::ids::CredentialName;
use crate::model::quoted;
use crate::sys::files::{self, IfExists, Readable};
use crate::vault::{Member, Vault};
use crate::workflow::status::{Limits, LogFacts, Standing, Survey, survey};

/// Say what needs somebody, most urgent first
///
/// Tokens that end, places that do not have what is active, rotations and onboardings that stand still, keys that are old, files that are not what they should be, and what verify refused. From what is public of the vault and from its log: nothing is unlocked, and Dfns is not asked.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  dfns-keys status\n  dfns-keys status --expiring 14d --older-than 90d --check\n  \
                  dfns-keys status -q --metrics /var/lib/prometheus/node-exporter/dfns-keys.prom"
)]
pub(in crate::cli) struct StatusArgs {
    /// Only these credentials
    names: Vec<CredentialName>,
    /// Call a token that ends within this time urgent [default: renew_before as apply left it, or 30d]
    #[arg(long, value_name = "DURATION")]
    expiring: Option<Span>,
    /// Call a key that is older than this old [default: rotate_every as apply left it]
    #[arg(long, value_name = "DURATION")]
    older_than: Option<Span>,
    /// Fail when anything needs somebody: exit code 8
    #[arg(long)]
    check: bool,
    /// Write the same for Prometheus, into a file for node_exporter's textfile collector
    #[arg(long, value_name = "FILE", conflicts_with = "names")]
    metrics: Option<PathBuf>,
}

impl StatusArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        if let Some(path) = &self.metrics {
            files::check_target(path, IfExists::Replace)?;
        }
        let vault = context.vault().await?;
        for name in &self.names {
            vault.record(name).await?;
        }
        let limits = Limits {
            expiring: self.expiring.map(Span::duration),
            older_than: self.older_than.map(Span::duration),
        };
        let mut survey = survey(&vault, limits).await?;
        if !self.names.is_empty() {
            survey
                .credentials
                .retain(|standing| self.names.contains(&standing.record.name));
            survey.damaged.clear();
        }
        if let Some(path) = &self.metrics {
            let text = metrics::render(&survey, vault.clock().now());
            files::write(path, text.as_bytes(), IfExists::Replace, Readable::ByAll)?;
        }
        self.show(context, &vault, survey).await
    }

    async fn show(&self, context: &Context, vault: &Vault, mut survey: Survey) -> Result<Exit, Failure> {
        let ui = &context.ui;
        let overview = Overview {
            context: context.name().cloned(),
            vault: quoted::path(vault.directory()),
            opens_by: vault.listed_members().await?.iter().map(way_in).collect(),
            is_version_1: vault.is_version_1().await?,
            admin: context.admin().cloned(),
        };
        let now = vault.clock().now();
        let in_need = survey.in_need();
        let document = document(&overview, &survey, now);
        if let Err(error) = std::mem::replace(&mut survey.log, Ok(LogFacts::default())) {
            let reason = Failure::from(error).message;
            ui.warn(&format!("when a credential was last verified cannot be told: {reason}"));
        }
        if !ui.json() {
            telling::tell(ui, &overview, &survey, now)?;
        }
        // One damaged file hides none of the others, and is still a failure.
        let mut damaged = survey.damaged.into_iter().map(Failure::from);
        let failure = if let Some(failure) = damaged.next() {
            for other in damaged {
                ui.warn(&other.message);
            }
            failure
        } else if self.check && in_need > 0 {
            let message = match in_need {
                1 => "1 credential needs somebody".to_owned(),
                several => format!("{several} credentials need somebody"),
            };
            Failure::new(Exit::Found, "needs_somebody", message)
        } else {
            if ui.json() {
                ui.document(&document)?;
            }
            return Ok(Exit::Done);
        };
        Err(Failure {
            extra: fields(document),
            ..failure
        })
    }
}

/// What there is to say of the vault itself.
struct Overview {
    context: Option<CredentialName>,
    vault: String,
    opens_by: Vec<String>,
    is_version_1: bool,
    admin: Option<CredentialName>,
}

/// How one of its members opens the vault.
fn way_in(member: &Member) -> String {
    if member.own {
        return "the passphrase".to_owned();
    }
    if let Some(label) = &member.label {
        return quoted::shown(label);
    }
    let recipient = member.recipient.to_string();
    let kind = if recipient.starts_with("age1yubikey1") {
        "a YubiKey"
    } else if recipient.starts_with("ssh-") {
        "an SSH key"
    } else {
        "an age identity"
    };
    kind.to_owned()
}

fn document(overview: &Overview, survey: &Survey, now: jiff::Timestamp) -> Value {
    let credentials: Vec<Value> = survey
        .credentials
        .iter()
        .map(|standing| row(overview, standing, now))
        .collect();
    let log = survey.log.as_ref().ok();
    json!({
        "context": overview.context,
        "vault": overview.vault,
        "opens_by": overview.opens_by,
        "reachable": true,
        "remembered": survey.remembered,
        "log_head": log.map(|log| &log.head),
        "log_lines": log.map(|log| log.lines),
        "credentials": credentials,
    })
}

fn row(overview: &Overview, standing: &Standing, now: jiff::Timestamp) -> Value {
    let record = &standing.record;
    let attention: Vec<Value> = standing
        .attention
        .iter()
        .map(|one| {
            let (message, hint) = telling::words(one, record, overview, now);
            json!({"id": one.as_str(), "message": message, "hint": hint})
        })
        .collect();
    json!({
        "name": record.name,
        "kind": record.kind,
        "state": record.state,
        "key_created_at": standing.key_created_at(),
        "token_expires_at": record.token_expires_at,
        "last_verified_at": standing.last_verified_at,
        "deliveries": record.deliveries,
        "authenticated": if standing.unauthenticated { "no" } else { "unchecked" },
        "attention": attention,
    })
}
