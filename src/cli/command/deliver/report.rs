//! How the places stand, for people and for scripts.

use serde_json::json;

use super::{DeliverArgs, Results};
use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure, delivery_row, of_place};
use crate::cli::many;
use crate::cli::ui::{Tone, fields};
use crate::model::ids::CredentialName;
use crate::workflow::deliver::{DeliveryState, Outcome};

impl DeliverArgs {
    pub(super) fn report(&self, context: &Context, results: Results) -> Result<Exit, Failure> {
        let ui = &context.ui;
        let mut rows = Vec::new();
        let mut behind: Vec<(String, Failure)> = Vec::new();
        let mut failures: Vec<Failure> = Vec::new();
        for (name, result) in results {
            match result {
                Ok(outcomes) => {
                    for outcome in &outcomes {
                        rows.push(delivery_row(&name, outcome));
                        if !ui.json() {
                            ui.answer(&line(&name, outcome))?;
                        }
                        if outcome.state != DeliveryState::InSync && self.forget.is_empty() {
                            behind.push((outcome.target.to_string(), of_place(&name, outcome)));
                        }
                    }
                }
                Err(failure) => failures.push(failure),
            }
        }
        failures.extend(self.summary(context, behind));
        let worst = many::gravest(failures.iter());
        let Some(worst) = worst else {
            if ui.json() {
                ui.document(&json!({ "deliveries": rows }))?;
            } else if rows.is_empty() && self.forget.is_empty() {
                ui.say("There are no places to deliver to: name one with --to TARGET.");
            }
            return Ok(Exit::Done);
        };
        let mut failure = failures.swap_remove(worst);
        for other in &failures {
            ui.warn(&other.message);
        }
        failure.extra = fields(json!({ "deliveries": rows }));
        Err(failure)
    }

    /// One failure for all places that are behind; each is told of where there are several.
    fn summary(&self, context: &Context, mut behind: Vec<(String, Failure)>) -> Option<Failure> {
        let exit = if self.check { Exit::Found } else { Exit::Waiting };
        if behind.len() > 1 {
            for (target, failure) in &behind {
                context.ui.warn(&format!("{target}: {}", failure.message));
                if let Some(hint) = &failure.hint {
                    context.ui.say(&format!("  {hint}"));
                }
            }
            let message = format!("{} places do not have what is active", behind.len());
            return Some(Failure::new(exit, "undelivered", message));
        }
        let (target, failure) = behind.pop()?;
        let message = format!("{target}: {}", failure.message);
        Some(Failure {
            hint: failure.hint,
            ..Failure::new(exit, failure.code, message)
        })
    }
}

fn line(name: &CredentialName, outcome: &Outcome) -> String {
    let tone = match outcome.state {
        DeliveryState::InSync => Tone::Good,
        DeliveryState::Behind | DeliveryState::Unknown => Tone::Doubtful,
        DeliveryState::Failed => Tone::Bad,
    };
    let word = tone.paint(&outcome.state.as_str().replace('_', " "));
    let seen = match (outcome.state, outcome.read_back) {
        (DeliveryState::InSync, true) => ", read back",
        (DeliveryState::InSync, false) => ", not read back",
        _ => "",
    };
    let place = outcome
        .place
        .as_ref()
        .map(|place| format!("  ({place})"))
        .unwrap_or_default();
    format!("{name}  {}{place}  {word}{seen}", outcome.target)
}
