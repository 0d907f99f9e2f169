use std::fmt::Write as _;
use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use crate::api::{Client, UserSession};
use crate::cli::changes;
use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::fleet;
use crate::cli::input::Input;
use crate::cli::ui::fields;
use crate::model::ids::CredentialName;
use crate::model::quoted;
use crate::vault::{Unlocked, Vault};
use crate::workflow::administrator::Administrator;
use crate::workflow::plan::{Fleet, Options, Plan, PlanError, Step, plan};

/// Say what a file of credentials would change
///
/// Compares the file with the vault and with Dfns, and prints what `apply` would do and why, a line each, in its order. It logs in
/// and reads; nothing is changed.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  dfns-keys plan\n  dfns-keys plan fleets/payments.toml --as ops-admin --check\n  dfns-keys plan --offline"
)]
pub(in crate::cli) struct PlanArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Exit with code 8 when there is anything to be done, or somebody has to act
    #[arg(long)]
    check: bool,
    /// Compare with the vault alone, and call nobody
    #[arg(long, conflicts_with = "admin")]
    offline: bool,
}

/// What `plan` and `apply` go by.
#[derive(Args)]
pub(super) struct FileArgs {
    /// The file [default: dfns-keys.toml]
    #[arg(value_name = "FILE")]
    path: Option<Input>,
    /// Deactivate also what this fleet made and the file names no more
    #[arg(long)]
    prune: bool,
    /// Act as this enrolled user [env: DFNS_KEYS_AS] [default: the context's, or the only one in the vault]
    #[arg(long = "as", id = "admin", value_name = "ADMIN")]
    admin: Option<CredentialName>,
}

impl FileArgs {
    fn path(&self) -> &Path {
        self.path.as_ref().map_or(Path::new(fleet::USUAL), Input::path)
    }

    /// The command that makes the changes which these plan.
    fn apply(&self) -> String {
        let mut command = "dfns-keys apply".to_owned();
        if self.path.is_some() {
            let _ = write!(command, " {}", quoted::path(self.path()));
        }
        if self.prune {
            command.push_str(" --prune");
        }
        if let Some(admin) = &self.admin {
            let _ = write!(command, " --as {admin}");
        }
        command
    }

    /// The file, before anybody types a passphrase.
    pub(super) fn read(&self, context: &Context) -> Result<Fleet, Failure> {
        let fleet = fleet::read(context, self.path())?;
        if self.prune && fleet.name.is_none() {
            return Err(
                Failure::usage("--prune needs to know what is this file's: it says no fleet")
                    .hint("write `fleet = \"NAME\"` at its top; what was applied before that is nobody's to prune"),
            );
        }
        Ok(fleet)
    }

    pub(super) async fn admin(&self, context: &Context, vault: &Vault) -> Result<CredentialName, Failure> {
        super::administrator(context, vault, self.admin.as_ref()).await
    }

    pub(super) async fn plan(
        &self,
        fleet: &Fleet,
        unlocked: &Unlocked<'_>,
        client: &Client,
        session: Option<&UserSession<'_>>,
    ) -> Result<Plan, Failure> {
        let options = Options { prune: self.prune };
        let planned = plan(fleet, unlocked, client, session, options).await;
        planned.map_err(|error| match error {
            PlanError::Problems(problems) => fleet::told(self.path(), problems),
            PlanError::View(error) => error.into(),
        })
    }

    /// What is compared with what.
    fn head(&self, fleet: &Fleet, vault: &Vault, session: Option<(&UserSession<'_>, &CredentialName)>) -> String {
        let file = quoted::path(self.path());
        let named = fleet
            .name
            .as_ref()
            .map_or_else(String::new, |name| format!(" (fleet {name})"));
        let vault = quoted::path(vault.directory());
        match session {
            Some((session, admin)) => {
                let host = session.environment().api_url.host();
                format!("{file}{named}, compared with the vault {vault} and, as {admin}, with {host}:")
            }
            None => format!("{file}{named}, compared with the vault {vault} alone:"),
        }
    }

    /// The list, as both commands print it.
    pub(super) fn text(
        &self,
        context: &Context,
        fleet: &Fleet,
        vault: &Vault,
        plan: &Plan,
        session: Option<(&UserSession<'_>, &CredentialName)>,
    ) -> Vec<String> {
        let window = context.ui.window();
        let head = self.head(fleet, vault, session);
        let mut lines = vec![window.map_or(head.clone(), |_| context.ui.wrapped(&head, ""))];
        if !plan.changes.is_empty() {
            lines.push(String::new());
            lines.extend(changes::lines(plan.changes.iter().map(changes::Line::from), window));
        }
        lines.push(String::new());
        let summary = summary(fleet, plan);
        lines.push(window.map_or(summary.clone(), |_| context.ui.wrapped(&summary, "")));
        lines
    }
}

/// How many of what, in a sentence or two.
fn summary(fleet: &Fleet, plan: &Plan) -> String {
    let work: Vec<_> = plan.changes.iter().filter(|change| change.step.is_work()).collect();
    let blocked = plan
        .changes
        .iter()
        .filter(|change| matches!(change.step, Step::Blocked))
        .count();
    let all = fleet.accounts.len();
    let mut sentences = Vec::new();
    match work.len() {
        0 if blocked == 0 => {
            sentences.push(match all {
                1 => "Nothing to do: the 1 credential of the file is as written.".to_owned(),
                _ => format!("Nothing to do: all {all} credentials of the file are as written."),
            });
            return sentences.remove(0);
        }
        0 => sentences.push("Nothing that this program can do.".to_owned()),
        1 => sentences.push(format!("1 change: {}.", changes::counted(work.into_iter()))),
        count => sentences.push(format!("{count} changes: {}.", changes::counted(work.into_iter()))),
    }
    match blocked {
        0 => {}
        1 => sentences.push("1 waits for somebody (blocked).".to_owned()),
        count => sentences.push(format!("{count} wait for somebody (blocked).")),
    }
    sentences.push(match (plan.as_written, all) {
        (0, 1) => "The credential of the file is not as written.".to_owned(),
        (written, all) => format!("As written: {written} of {all} credentials."),
    });
    sentences.join(" ")
}

impl PlanArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let fleet = self.file.read(context)?;
        let vault = context.vault().await?;
        let admin = if self.offline {
            None
        } else {
            Some(self.file.admin(context, &vault).await?)
        };
        let unlocked = context.unlock(&vault).await?;
        let administrator = match &admin {
            Some(admin) => Some(Administrator::open(&unlocked, admin).await?),
            None => None,
        };
        let client = context.client();
        let session = administrator
            .as_ref()
            .map(|administrator| administrator.session(&client));
        let spinner = context.ui.spinner("comparing");
        let plan = self.file.plan(&fleet, &unlocked, &client, session.as_ref()).await;
        spinner.finish_and_clear();
        let plan = plan?;
        let rows: Vec<Value> = plan.changes.iter().map(changes::document).collect();
        let pending = plan.changes.iter().filter(|change| change.step.is_pending()).count();
        if !context.ui.json() {
            for line in self
                .file
                .text(context, &fleet, &vault, &plan, session.as_ref().zip(admin.as_ref()))
            {
                context.ui.answer(&line)?;
            }
            if plan.changes.iter().any(|change| change.step.is_work()) {
                context.ui.say(&format!(
                    "Nothing was changed: `{}` makes these changes.",
                    self.file.apply()
                ));
            }
        }
        if self.check && pending > 0 {
            let message = match pending {
                1 => "1 change is to be made".to_owned(),
                count => format!("{count} changes are to be made"),
            };
            let mut failure = Failure::new(Exit::Found, "not_as_written", message);
            failure.extra = fields(json!({ "changes": rows }));
            return Err(failure);
        }
        if context.ui.json() {
            context.ui.document(&json!({ "changes": rows }))?;
        }
        Ok(Exit::Done)
    }
}
