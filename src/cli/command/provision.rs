//! `onboard … --as ADMIN`: many accounts through the API, several at once, one failure stopping nothing else.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::manifest::Entry;
use crate::api::{Client, UserSession};
use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::many::{self, Outcomes};
use crate::cli::record::document;
use crate::cli::slips;
use crate::cli::ui::{Tone, fields};
use crate::model::credential::{Environment, Kind};
use crate::model::ids::CredentialName;
use crate::vault::Unlocked;
use crate::workflow::administrator::Administrator;
use crate::workflow::provision::{Order, Provisioned, provision, resolve_permissions};
use crate::workflow::settings::{Asked, Defaults};

/// How many accounts are worked on at once; the client's rate limit stands above it.
const AT_ONCE: usize = 16;

pub(super) async fn run(context: &Context, admin: &CredentialName, entries: Vec<Entry>) -> Result<Exit, Failure> {
    let vault = context.vault().await?;
    super::check_administrator(&vault, admin).await?;
    for entry in &entries {
        slips::warn_of_twin(context, &vault, &entry.name).await;
    }
    let unlocked = context.unlock(&vault).await?;
    let administrator = Administrator::open(&unlocked, admin).await?;
    let client = context.client();
    let session = administrator.session(&client);
    let orders = orders(&session, &administrator, entries).await?;
    let items = orders.iter().map(|order| (&order.name, order));
    let outcomes = many::each(&context.ui, "onboarding", AT_ONCE, items, async |order| {
        one(context, &unlocked, &session, order).await
    })
    .await;
    let active = outcomes.iter().filter_map(|(_, outcome)| match outcome {
        Ok(Provisioned::Now(record) | Provisioned::Before(record)) => Some(record),
        Err(_) => None,
    });
    context.warn_of_ends(vault.clock().now(), active);
    report(context, &client, outcomes)
}

/// Permissions are looked up once for all, and only where a name has to be turned into an id.
async fn orders(
    session: &UserSession<'_>,
    administrator: &Administrator,
    entries: Vec<Entry>,
) -> Result<Vec<Order>, Failure> {
    let mut named: Vec<String> = entries.iter().flat_map(|entry| entry.permissions.clone()).collect();
    named.sort();
    named.dedup();
    let ids = resolve_permissions(session, &named).await?;
    let known: BTreeMap<String, _> = named.into_iter().zip(ids).collect();
    let defaults = administrator.environment();
    Ok(entries
        .into_iter()
        .map(|entry| {
            let Entry {
                name,
                kind,
                days,
                permissions,
                external_id,
                origin,
                app_id,
                key,
            } = entry;
            Order {
                name,
                kind: kind.unwrap_or(Kind::ServiceAccount),
                asked: Asked {
                    kind: None,
                    api_url: Some(defaults.api_url.clone()),
                    origin: origin.clone(),
                    application_id: app_id.clone(),
                    organisation_id: Some(administrator.organisation_id().clone()),
                    key,
                    // The administrator's own go before a context's.
                    otherwise: Defaults::default(),
                },
                environment: Environment {
                    api_url: defaults.api_url.clone(),
                    origin: origin.unwrap_or_else(|| defaults.origin.clone()),
                    application_id: app_id.or_else(|| defaults.application_id.clone()),
                    organisation_id: Some(administrator.organisation_id().clone()),
                },
                days_valid: days,
                // The same permission may be given by id and by name.
                permissions: permissions
                    .iter()
                    .filter_map(|name| known.get(name).cloned())
                    .collect::<BTreeSet<_>>()
                    .into_iter()
                    .collect(),
                external_id,
                upkeep: None,
            }
        })
        .collect())
}

async fn one(
    context: &Context,
    unlocked: &Unlocked<'_>,
    session: &UserSession<'_>,
    order: &Order,
) -> Result<Provisioned, Failure> {
    let vault = unlocked.vault();
    let lease = vault.lease(&order.name, &format!("onboard {}", order.name)).await?;
    let provisioned = Box::pin(provision(unlocked.edit(lease).await?, session, order)).await?;
    if let Provisioned::Now(record) = &provisioned {
        let detail = Some("through the API".to_owned());
        context.log(vault, "onboarded", Some(&order.name), Some(&record.fingerprint), detail);
    }
    Ok(provisioned)
}

fn report(context: &Context, client: &Client, outcomes: Outcomes<Provisioned>) -> Result<Exit, Failure> {
    let single = outcomes.len() == 1;
    let (mut now, mut before, mut waiting) = (0, 0, 0);
    let mut failures: Vec<(CredentialName, Failure)> = Vec::new();
    let mut rows: Vec<Value> = Vec::new();
    for (name, outcome) in outcomes {
        match outcome {
            Ok(Provisioned::Now(record)) => {
                now += 1;
                rows.push(document(&record));
            }
            Ok(Provisioned::Before(record)) => {
                before += 1;
                rows.push(document(&record));
            }
            Err(failure) => {
                waiting += usize::from(failure.exit == Exit::Waiting);
                rows.push(json!({"name": name, "error": failure.document()}));
                failures.push((name, failure));
            }
        }
    }
    let worst = many::gravest(failures.iter().map(|(_, failure)| failure)).map(|index| failures[index].1.exit);
    if context.ui.json() {
        if single && failures.is_empty() {
            context.ui.document(&rows[0])?;
        } else if let Some(exit) = worst {
            let (_, first) = failures.swap_remove(0);
            let mut first = first.standing_for(failures.iter().map(|(_, failure)| failure));
            if !single {
                first.message = format!("{} of {} were not onboarded", failures.len() + 1, rows.len());
            }
            first.exit = exit;
            first.extra = fields(json!({ "credentials": rows }));
            return Err(first);
        } else {
            context.ui.document(&json!({ "credentials": rows }))?;
        }
        return Ok(Exit::Done);
    }
    if single && let Some((_, failure)) = failures.pop() {
        return Err(failure);
    }
    for (name, failure) in &failures {
        let tone = if failure.exit == Exit::Waiting {
            Tone::Doubtful
        } else {
            Tone::Bad
        };
        context.ui.warn(&format!("{name}: {}", tone.paint(&failure.message)));
        if let Some(hint) = &failure.hint {
            context.ui.say(&format!("  {hint}"));
        }
    }
    let already = if before > 0 {
        format!(" ({before} before)")
    } else {
        String::new()
    };
    context.ui.say(&format!(
        "{} active{already}, {waiting} waiting for an approval, {} failed.  {} requests",
        now + before,
        failures.len() - waiting,
        client.requests(),
    ));
    if !failures.is_empty() {
        context
            .ui
            .say("  run the same command again: it goes on where it stopped");
    }
    Ok(worst.unwrap_or(Exit::Done))
}
