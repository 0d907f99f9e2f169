use clap::Args;
use futures_util::StreamExt;
use futures_util::stream;
use serde_json::{Value, json};

use super::plan::FileArgs;
use super::rotate::{log_deliveries, log_steps};
use crate::cli::changes;
use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::ui::{Tone, fields};
use crate::model::ids::CredentialName;
use crate::vault::Vault;
use crate::workflow::administrator::Administrator;
use crate::workflow::deliver::Courier;
use crate::workflow::plan::{Applied, Apply, Change, Step};
use crate::workflow::sharing::Neighbours;

/// How many credentials are worked on at once; the client's rate limit stands above it.
const AT_ONCE: usize = 16;

/// Make the credentials as a file says
///
/// Prints what `plan` prints, asks, and does it: accounts, permissions, rotations, deliveries. One failure stops nothing else. It is safe
/// to run from cron, stopped at any instant, and by two machines at once: the next run goes on.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  dfns-keys apply\n  dfns-keys apply fleets/payments.toml --as ops-admin --prune\n  \
                  dfns-keys apply --yes --quiet   (from cron, every hour)"
)]
pub(in crate::cli) struct ApplyArgs {
    #[command(flatten)]
    file: FileArgs,
}

type Outcome<'p> = (&'p Change, Result<Applied, Failure>);

impl ApplyArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        context.check_confirmable()?;
        let fleet = self.file.read(context)?;
        let vault = context.vault().await?;
        let admin = self.file.admin(context, &vault).await?;
        let unlocked = context.unlock(&vault).await?;
        let administrator = Administrator::open(&unlocked, &admin).await?;
        let client = context.client();
        let session = administrator.session(&client);
        let spinner = context.ui.spinner("comparing");
        let plan = self.file.plan(&fleet, &unlocked, &client, Some(&session)).await;
        spinner.finish_and_clear();
        let plan = plan?;
        let lines = self.file.text(context, &fleet, &vault, &plan, Some((&session, &admin)));
        let count = plan.changes.iter().filter(|change| change.step.is_work()).count();
        for line in lines {
            if !context.ui.json() {
                context.ui.answer(&line)?;
            } else if count > 0 && !context.yes {
                context.ui.say(&line);
            }
        }
        if count > 0 {
            let question = match count {
                1 => "Make this change?".to_owned(),
                count => format!("Make these {count} changes?"),
            };
            context.confirm(&question, "changes")?;
        }
        let neighbours = Neighbours::read(&vault).await?;
        let means = context.means();
        let apply = Apply {
            fleet: &fleet,
            plan: &plan,
            unlocked: &unlocked,
            client: &client,
            session: &session,
            neighbours: &neighbours,
            courier: &Courier {
                means: &means,
                clock: vault.clock(),
            },
        };
        let groups = by_name(&plan.changes);
        let progress = context.ui.progress(groups.len(), "applying");
        let (progress_ref, apply_ref, vault_ref) = (&progress, &apply, &vault);
        let outcomes: Vec<Vec<Outcome<'_>>> = stream::iter(groups)
            .map(|(name, changes)| async move {
                let done = one(context, vault_ref, apply_ref, &name, changes).await;
                progress_ref.inc(1);
                done
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        progress.finish_and_clear();
        report(
            context,
            &plan.changes,
            outcomes.into_iter().flatten().collect(),
            client.requests(),
        )
    }
}

/// The changes that there is something to do for, a credential at a time, in their order.
fn by_name(changes: &[Change]) -> Vec<(CredentialName, Vec<&Change>)> {
    let mut groups: Vec<(CredentialName, Vec<&Change>)> = Vec::new();
    let to_do = |change: &&Change| change.step.is_pending() || matches!(change.step, Step::Note(_));
    for change in changes.iter().filter(to_do) {
        let Ok(name) = change.name.parse::<CredentialName>() else {
            continue;
        };
        match groups.last_mut() {
            Some((last, of_it)) if *last == name => of_it.push(change),
            _ => groups.push((name, vec![change])),
        }
    }
    groups
}

async fn one<'p>(
    context: &Context,
    vault: &Vault,
    apply: &Apply<'_>,
    name: &CredentialName,
    changes: Vec<&'p Change>,
) -> Vec<Outcome<'p>> {
    let before = vault.record(name).await.ok();
    let outcomes = apply.one(name, &changes).await;
    let after = vault.record(name).await.ok();
    if let (Some(before), Some(after)) = (&before, &after) {
        log_deliveries(context, vault, before, after);
        log_steps(context, vault, before, after);
    }
    let fingerprint = after.as_ref().map(|record| record.fingerprint.as_str());
    let outcomes = changes.into_iter().zip(outcomes).map(|(change, outcome)| {
        if matches!(outcome, Ok(Applied::Done)) {
            log(context, vault, name, fingerprint, change);
        }
        (
            change,
            outcome.map_err(|error| Failure::apply(name, change.needs.as_deref(), error)),
        )
    });
    let outcomes = outcomes.collect();
    if let (None, Some(after)) = (&before, &after) {
        let nothing = crate::model::record::PublicRecord {
            deliveries: Vec::new(),
            ..after.clone()
        };
        log_deliveries(context, vault, &nothing, after);
    }
    outcomes
}

/// Writes down what was done, where that is not seen in the vault.
fn log(context: &Context, vault: &Vault, name: &CredentialName, fingerprint: Option<&str>, change: &Change) {
    let (action, detail) = match &change.step {
        Step::Create | Step::Resume => ("onboarded", Some("through the API".to_owned())),
        Step::Grant(_, permission) => ("granted", Some(permission.to_string())),
        Step::Revoke(permission, _) => ("revoked", Some(permission.to_string())),
        Step::Activate(account) => ("activated", Some(account.id.to_string())),
        Step::Deactivate(accounts) => {
            let ids: Vec<&str> = accounts.iter().map(|account| account.id.as_str()).collect();
            ("deactivated", Some(ids.join(", ")))
        }
        Step::Forget(target) => ("forgot-place", Some(target.to_string())),
        _ => return,
    };
    context.log(vault, action, Some(name), fingerprint, detail);
}

fn report(context: &Context, changes: &[Change], outcomes: Vec<Outcome<'_>>, requests: u32) -> Result<Exit, Failure> {
    let ui = &context.ui;
    let mut rows: Vec<Value> = changes.iter().map(changes::document).collect();
    for row in &mut rows {
        row["outcome"] = "none".into();
    }
    let (mut made, mut before, mut failures) = (0, 0, Vec::new());
    for (change, outcome) in outcomes {
        let at = changes.iter().position(|one| std::ptr::eq(one, change));
        let Some(row) = at.and_then(|at| rows.get_mut(at)) else {
            continue;
        };
        match outcome {
            Ok(Applied::Done) => {
                made += usize::from(change.step.is_work());
                row["outcome"] = if change.step.is_work() { "done" } else { "noted" }.into();
            }
            Ok(Applied::Before) => {
                before += usize::from(change.step.is_work());
                row["outcome"] = "done_before".into();
            }
            Ok(Applied::Nothing) => {}
            Err(failure) => {
                row["outcome"] = match failure.code {
                    "blocked" => "blocked",
                    "not_reached" => "not_reached",
                    _ if failure.exit == Exit::Waiting => "waiting",
                    _ => "failed",
                }
                .into();
                row["error"] = failure.document();
                failures.push((change, failure));
            }
        }
    }
    let worst = (0..failures.len()).max_by_key(|index| failures[*index].1.exit.gravity());
    if !ui.json() {
        for (change, failure) in failures
            .iter()
            .filter(|(change, _)| !matches!(change.step, Step::Blocked))
        {
            let tone = match failure.exit {
                Exit::Waiting | Exit::Done => Tone::Doubtful,
                _ => Tone::Bad,
            };
            ui.warn(&format!(
                "{} {}: {}",
                change.step.as_str(),
                change.name,
                tone.paint(&failure.message)
            ));
            if let Some(hint) = &failure.hint {
                ui.say(&format!("  {hint}"));
            }
        }
        if made + before + failures.len() > 0 {
            let already = if before > 0 {
                format!(" ({before} by another run)")
            } else {
                String::new()
            };
            let left = failures.len();
            ui.say(&format!(
                "{} done{already}, {left} left.  {requests} requests",
                made + before
            ));
        }
    }
    let Some(worst) = worst else {
        if ui.json() {
            ui.document(&json!({ "changes": rows, "requests": requests }))?;
        }
        return Ok(Exit::Done);
    };
    let exit = failures[worst].1.exit;
    let left = failures.len();
    let (change, failure) = failures.swap_remove(worst);
    let what = format!("{} {}: {}", change.step.as_str(), change.name, failure.message);
    let mut failure = failure.standing_for(failures.iter().map(|(_, failure)| failure));
    failure.message = match left {
        1 => what,
        _ => format!("{left} changes are left: {what}"),
    };
    if !ui.json() {
        ui.say("  run the same command again when that is done: it goes on where it stopped");
        return Ok(exit);
    }
    failure.extra = fields(json!({ "changes": rows, "requests": requests }));
    Err(failure)
}
