//! The dashboard's way: a person is told what account to make, and on a terminal asked for its token.

use super::{RotateArgs, Scene};
use crate::cli::command::dashboard::{Errand, ask_for_token, instructions, page};
use crate::cli::error::{Exit, Failure};
use crate::cli::many::Outcomes;
use crate::workflow::rotate::{Plan, Standing};

impl RotateArgs {
    /// Tells what each name that waits for a token waits for. Where somebody named it and sits at a terminal, the token
    /// is asked for, hidden, and the rotation goes on with it.
    pub(super) async fn bring_tokens(
        &self,
        scene: &Scene<'_>,
        plan: &Plan,
        outcomes: &mut Outcomes<Standing>,
    ) -> Result<(), Failure> {
        let ui = &scene.context.ui;
        let ask = !self.all && scene.context.may_ask();
        for (name, outcome) in outcomes {
            if !matches!(outcome, Err(failure) if failure.code == "token_needed") {
                continue;
            }
            let standing = scene.job(name).status().await?;
            let Some(account) = &standing.awaited else { continue };
            let record = &standing.record;
            ui.say(&format!(
                "  The public key for {name}'s new account, to paste into the dashboard:\n"
            ));
            ui.say(&account.public_key);
            ui.say(&instructions(record.kind, &record.api_url, &account.name));
            if !ask {
                continue;
            }
            let errand = Errand {
                page: page(record.kind, &record.api_url),
                public_key: &account.public_key,
            };
            *outcome = match ask_for_token(scene.context, &errand) {
                Ok(token) => {
                    let plan = Plan {
                        token: Some(token),
                        ..plan.clone()
                    };
                    let spinner = ui.spinner("rotating");
                    let outcome = self.one(scene, name, &plan).await;
                    spinner.finish_and_clear();
                    outcome
                }
                Err(failure) => Err(failure),
            };
            if matches!(outcome, Err(failure) if failure.exit == Exit::Interrupted) {
                break;
            }
        }
        Ok(())
    }
}
