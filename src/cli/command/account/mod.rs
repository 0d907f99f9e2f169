mod permissions;
mod rows;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use self::rows::{Row, find, rows};
use crate::api::accounts::AccountVerb;
use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::table::{Column, Table};
use crate::model::credential::Kind;
use crate::model::ids::CredentialName;
use crate::model::quoted;
use crate::workflow::administrator::Administrator;

/// See and change the accounts at Dfns
///
/// Each beside the name that it has in the vault, where it is there.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  dfns-keys account list\n  dfns-keys account show payments-api --as ops-admin\n  dfns-keys account deactivate payments-api"
)]
pub(in crate::cli) struct AccountArgs {
    #[command(subcommand)]
    action: Action,
    /// The enrolled user to act as [env: DFNS_KEYS_AS] [default: the context's, or the only one in the vault]
    #[arg(long = "as", id = "admin", value_name = "ADMIN", global = true)]
    admin: Option<CredentialName>,
}

#[derive(Subcommand)]
enum Action {
    /// List service accounts and personal access tokens, and say which are in the vault
    List,
    /// Show one account
    Show {
        /// The vault's name, the name at Dfns, or the id
        account: String,
    },
    /// Let an account's token be accepted again
    Activate {
        /// The vault's name, the name at Dfns, or the id
        account: String,
    },
    /// Refuse an account's token from now on
    Deactivate {
        /// The vault's name, the name at Dfns, or the id
        account: String,
    },
    /// Delete an account for good
    Delete {
        /// The vault's name, the name at Dfns, or the id
        account: String,
    },
    /// List the organisation's permissions, or those that one account has
    Permissions {
        /// The vault's name, the name at Dfns, or the id
        account: Option<String>,
    },
}

impl AccountArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let vault = context.vault().await?;
        let admin = super::administrator(context, &vault, self.admin.as_ref()).await?;
        if matches!(self.action, Action::Deactivate { .. } | Action::Delete { .. }) {
            context.check_confirmable()?;
        }
        let unlocked = context.unlock(&vault).await?;
        let administrator = Administrator::open(&unlocked, &admin).await?;
        let client = context.client();
        let session = administrator.session(&client);
        if let Action::Permissions { account: None } = &self.action {
            return permissions::of_organisation(context, &session).await;
        }
        let rows = rows(&vault, &unlocked, &session).await?;
        let (account, verb) = match &self.action {
            Action::Permissions { account: Some(account) } => {
                return permissions::of_account(context, &session, find(&rows, account)?).await;
            }
            Action::List | Action::Permissions { account: None } => return list(context, &rows),
            Action::Show { account } => return show(context, find(&rows, account)?),
            Action::Activate { account } => (account, AccountVerb::Activate),
            Action::Deactivate { account } => (account, AccountVerb::Deactivate),
            Action::Delete { account } => (account, AccountVerb::Delete),
        };
        let row = find(&rows, account)?;
        let remote = row.at_dfns()?;
        let others = rows
            .iter()
            .filter(|other| other.remote == row.remote)
            .filter_map(|other| other.local.as_ref());
        let others = others.filter(|other| row.local.as_ref() != Some(other));
        for other in others.filter(|_| verb != AccountVerb::Activate) {
            let name = &other.name;
            context
                .ui
                .warn(&format!("{name} uses the same account, and stops working too"));
        }
        if verb != AccountVerb::Activate {
            context.confirm_by_typing(account, &format!("{} at Dfns", doing(verb)))?;
        }
        let changed = session.change(remote.kind, &remote.identity_id, verb).await;
        changed.map_err(|error| {
            let admin = self.admin.as_ref().map(|admin| format!(" --as {admin}"));
            let command = format!(
                "dfns-keys account show {}{}",
                quoted::shown(account),
                admin.unwrap_or_default()
            );
            Failure::account(error, &command)
        })?;
        let name = row.local.as_ref().map(|record| &record.name);
        let detail = Some(format!("{} {}", remote.name, remote.identity_id));
        context.log(&vault, done(verb), name, None, detail);
        if context.ui.json() {
            context
                .ui
                .document(&json!({"account": remote.name, "id": remote.identity_id, "done": done(verb)}))?;
        } else {
            context.ui.say(&format!("{} is {} at Dfns.", remote.name, done(verb)));
        }
        Ok(Exit::Done)
    }
}

fn doing(verb: AccountVerb) -> &'static str {
    match verb {
        AccountVerb::Activate => "activate it",
        AccountVerb::Deactivate => "deactivate it",
        AccountVerb::Delete => "delete it",
    }
}

fn done(verb: AccountVerb) -> &'static str {
    match verb {
        AccountVerb::Activate => "activated",
        AccountVerb::Deactivate => "deactivated",
        AccountVerb::Delete => "deleted",
    }
}

fn list(context: &Context, rows: &[Row]) -> Result<Exit, Failure> {
    if context.ui.json() {
        let rows: Vec<Value> = rows.iter().map(Row::document).collect();
        context.ui.document(&json!({ "accounts": rows }))?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new([
        Column::word("NAME"),
        Column::word("KIND").spare(),
        Column::word("STATE"),
        Column::word("WHERE").spare(),
        Column::id("ID"),
    ]);
    for row in rows {
        let kind = match (&row.remote, &row.local) {
            (Some(account), _) => account.kind,
            (None, Some(record)) => record.kind,
            (None, None) => Kind::ServiceAccount,
        };
        let state = match &row.remote {
            Some(account) if account.active => "active",
            Some(_) => "inactive",
            None => "–",
        };
        let id = row.remote.as_ref().map_or("–", |account| account.identity_id.as_str());
        table.row([&row.name(), kind.in_words(), state, row.place(), id]);
    }
    context.ui.table(table, &[])?;
    Ok(Exit::Done)
}

fn show(context: &Context, row: &Row) -> Result<Exit, Failure> {
    let document = row.document();
    if context.ui.json() {
        context.ui.document(&json!({ "account": document }))?;
        return Ok(Exit::Done);
    }
    if let Value::Object(fields) = document {
        for (name, value) in fields {
            let value = in_words(&value);
            context.ui.answer(&format!("{:<13} {value}", name.replace('_', " ")))?;
        }
    }
    Ok(Exit::Done)
}

fn in_words(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.escape_debug().to_string(),
        Value::Array(values) if values.is_empty() => "–".to_owned(),
        Value::Array(values) => values.iter().map(in_words).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
