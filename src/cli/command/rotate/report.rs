//! How the work on one credential or many ended, and what a script reads of it.

use serde_json::{Value, json};

use super::{RotateArgs, Scene};
use crate::cli::error::{Exit, Failure};
use crate::cli::many::{self, Outcomes};
use crate::cli::ui::{Tone, fields};
use crate::model::ids::CredentialName;
use crate::model::rotation::Strategy;
use crate::workflow::rotate::{Change, Prospect, Standing, Why};

impl RotateArgs {
    pub(super) async fn report(&self, scene: &Scene<'_>, outcomes: Outcomes<Standing>) -> Result<Exit, Failure> {
        let ui = &scene.context.ui;
        // Where all were asked for, which one it is has to be said.
        let single = outcomes.len() == 1 && !self.all;
        let mut rows: Vec<Value> = Vec::new();
        let mut changes: Vec<Value> = Vec::new();
        let mut failures: Vec<(CredentialName, Failure)> = Vec::new();
        if self.dry_run && !ui.json() {
            let standings = outcomes.iter().filter_map(|(_, outcome)| outcome.as_ref().ok());
            let planned = standings.map(|standing| {
                let (change, why) = self.change(scene, standing);
                (standing, change, why)
            });
            self.tell_changes(scene, &planned.collect::<Vec<_>>())?;
        }
        for (name, outcome) in outcomes {
            match outcome {
                Ok(standing) => {
                    rows.push(row(scene, &standing));
                    let (change, why) = self.change(scene, &standing);
                    let mut planned = json!({"name": name, "change": change.as_str(), "reason": why.to_string()});
                    if self.is_left_old(scene, &name) {
                        planned["needs"] = "--as ADMIN".into();
                    }
                    changes.push(planned);
                    if !ui.json() && !self.dry_run {
                        self.tell(scene, &name, &standing)?;
                    }
                }
                Err(mut failure) => {
                    failure
                        .hint
                        .get_or_insert_with(|| format!("`dfns-keys rotate {name} --status` says where it stands"));
                    rows.push(self.failed_row(scene, &name, &failure).await);
                    failures.push((name, failure));
                }
            }
        }
        let worst = many::gravest(failures.iter().map(|(_, failure)| failure));
        let Some(worst) = worst else {
            if ui.json() {
                let mut document = json!({ "credentials": rows });
                if self.dry_run {
                    document["changes"] = changes.into();
                }
                ui.document(&document)?;
            } else if rows.is_empty() {
                ui.say("Nothing is due.");
            }
            return Ok(Exit::Done);
        };
        if ui.json() || single {
            let (name, failure) = failures.swap_remove(worst);
            let mut failure = failure.standing_for(failures.iter().map(|(_, failure)| failure));
            if !single {
                let count = failures.len() + 1;
                failure.message = format!(
                    "{count} of {} were not rotated: {name}: {}",
                    rows.len(),
                    failure.message
                );
            }
            failure.extra = fields(json!({ "credentials": rows }));
            return Err(failure);
        }
        for (name, failure) in &failures {
            let tone = if failure.exit == Exit::Waiting {
                Tone::Doubtful
            } else {
                Tone::Bad
            };
            ui.answer(&format!("{name}  {}", tone.paint(&failure.message)))?;
            if let Some(hint) = &failure.hint {
                ui.say(&format!("  {hint}"));
            }
        }
        ui.say("  run the same command again: it goes on where it stopped");
        Ok(failures[worst].1.exit)
    }

    /// What a run would do, and why.
    pub(super) fn change(&self, scene: &Scene<'_>, standing: &Standing) -> (Change, Why) {
        let ahead = scene.outlooks.get(&standing.record.name);
        let prospect = Prospect {
            record: &standing.record,
            retires_at: standing.retires_at,
            token_due: ahead.is_some_and(|ahead| ahead.outlook.due_from.is_some()),
            renewable: !self.keeps_token(scene.context),
            blocked: ahead.is_some_and(|ahead| ahead.blocked),
            compromised: self.compromised,
            older_than: self.older_than,
        };
        prospect.change(scene.vault.clock().now())
    }

    /// Whether a token is due, and nobody is there who could bring another.
    fn is_left_old(&self, scene: &Scene<'_>, name: &CredentialName) -> bool {
        let ahead = scene.outlooks.get(name);
        self.keeps_token(scene.context) && ahead.is_some_and(|ahead| ahead.outlook.due_from.is_some())
    }

    async fn failed_row(&self, scene: &Scene<'_>, name: &CredentialName, failure: &Failure) -> Value {
        let mut row = match scene.job(name).status().await {
            Ok(standing) => row(scene, &standing),
            Err(_) => json!({"name": name}),
        };
        if let Some(deliveries) = failure.extra.get("deliveries") {
            for told in deliveries.as_array().into_iter().flatten() {
                let rows = row["deliveries"].as_array_mut().into_iter().flatten();
                for row in rows.filter(|row| row["target"] == told["target"]) {
                    *row = told.clone();
                }
            }
        }
        row["error"] = failure.document();
        row
    }
}

/// The places as the receipts have them.
fn deliveries(standing: &Standing) -> Vec<Value> {
    let places = standing.record.deliveries.iter();
    places
        .map(|delivery| {
            json!({
                "name": standing.record.name,
                "target": delivery.target,
                "state": if delivery.in_sync { "in_sync" } else { "behind" },
                "fingerprint": delivery.fingerprint,
                "delivered_at": delivery.delivered_at,
                "read_back": delivery.read_back,
            })
        })
        .collect()
}

fn row(scene: &Scene<'_>, standing: &Standing) -> Value {
    let ui = &scene.context.ui;
    let old_key = standing.old_fingerprint.as_ref().filter(|_| ui.json());
    let mut row = json!({
        "name": standing.record.name,
        "state": standing.record.state,
        "strategy": standing.strategy.map(Strategy::as_str),
        "generation": standing.record.generation,
        "step": standing.step,
        "deliveries": deliveries(standing),
        "old_key": old_key.map(|old| scene.exports.document(scene.vault, ui, old)),
    });
    if let Some(uri) = &standing.unneeded_key {
        row["unneeded_key"] = json!(uri);
    }
    row
}
