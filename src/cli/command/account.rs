use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::api::UserSession;
use crate::api::accounts::{AccountVerb, RemoteAccount};
use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::model::credential::Kind;
use crate::model::ids::CredentialName;
use crate::model::quoted::{self, Quoted};
use crate::model::record::PublicRecord;
use crate::vault::Vault;
use crate::workflow::administrator::Administrator;

/// See and change the accounts at Dfns, beside the vault's names
#[derive(Args)]
pub(in crate::cli) struct AccountArgs {
    #[command(subcommand)]
    action: Action,
    /// The enrolled user to act as [default: the only one in the vault]
    #[arg(long = "as", id = "admin", value_name = "ADMIN", global = true)]
    admin: Option<CredentialName>,
}

#[derive(Subcommand)]
enum Action {
    /// List service accounts and personal access tokens, and say which are in the vault
    List,
    /// Show one
    Show {
        /// The vault's name, the name at Dfns, or the id
        account: String,
    },
    /// Let its token be accepted again
    Activate {
        /// The vault's name, the name at Dfns, or the id
        account: String,
    },
    /// Refuse its token from now on
    Deactivate {
        /// The vault's name, the name at Dfns, or the id
        account: String,
    },
    /// Make an end of it
    Delete {
        /// The vault's name, the name at Dfns, or the id
        account: String,
    },
}

/// Where an account is known.
struct Row {
    remote: Option<RemoteAccount>,
    local: Option<PublicRecord>,
}

impl AccountArgs {
    pub(super) fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let vault = context.vault()?;
        let admin = self.admin(&vault)?;
        let unlocked = context.unlock(&vault)?;
        let administrator = Administrator::open(&unlocked, &admin)?;
        let client = context.client();
        let session = administrator.session(&client);
        let rows = context.block_on(rows(&vault, &session))??;
        let (account, verb) = match &self.action {
            Action::List => return list(context, &rows),
            Action::Show { account } => return show(context, find(&rows, account)?),
            Action::Activate { account } => (account, AccountVerb::Activate),
            Action::Deactivate { account } => (account, AccountVerb::Deactivate),
            Action::Delete { account } => (account, AccountVerb::Delete),
        };
        let row = find(&rows, account)?;
        let Some(remote) = &row.remote else {
            return Err(Failure::new(
                Exit::State,
                "not_at_dfns",
                format!("{} is in the vault only", quoted::shown(account)),
            ));
        };
        if verb != AccountVerb::Activate {
            context.confirm_by_typing(account, &format!("{} at Dfns", doing(verb)))?;
        }
        context.block_on(session.change(remote.kind, &remote.identity_id, verb))??;
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

    fn admin(&self, vault: &Vault) -> Result<CredentialName, Failure> {
        if let Some(admin) = &self.admin {
            super::check_administrator(vault, admin)?;
            return Ok(admin.clone());
        }
        let users: Vec<CredentialName> = vault
            .list()?
            .into_iter()
            .filter(|listed| listed.record.as_ref().is_ok_and(|record| record.kind == Kind::User))
            .map(|listed| listed.name)
            .collect();
        match &users[..] {
            [only] => Ok(only.clone()),
            [] => Err(
                Failure::new(Exit::State, "no_user", "no user is enrolled in this vault")
                    .hint("enroll one with `dfns-keys enroll ADMIN`"),
            ),
            _ => Err(Failure::usage("several users are enrolled: say which with --as ADMIN")),
        }
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

/// Both sides, joined by identity id, or by public key where the vault does not know the id.
async fn rows(vault: &Vault, session: &UserSession<'_>) -> Result<Vec<Row>, Failure> {
    let mut remote = session.accounts(Kind::ServiceAccount).await?;
    remote.extend(session.accounts(Kind::Pat).await?);
    let here = session.environment().api_url.clone();
    let mut local: Vec<PublicRecord> = vault
        .list()?
        .into_iter()
        .filter_map(|listed| listed.record.ok())
        .filter(|record| record.kind != Kind::User && record.api_url == here)
        .collect();
    let mut rows: Vec<Row> = remote
        .into_iter()
        .map(|account| {
            let position = local.iter().position(|record| belongs(record, &account));
            Row {
                local: position.map(|position| local.swap_remove(position)),
                remote: Some(account),
            }
        })
        .collect();
    rows.extend(local.into_iter().map(|record| Row {
        remote: None,
        local: Some(record),
    }));
    rows.sort_by(|one, other| one.name().cmp(other.name()));
    Ok(rows)
}

fn belongs(record: &PublicRecord, account: &RemoteAccount) -> bool {
    record.identity_id.as_ref() == Some(&account.identity_id)
        || account
            .public_keys
            .iter()
            .any(|key| key.split_whitespace().eq(record.public_key.split_whitespace()))
}

impl Row {
    fn name(&self) -> &str {
        match (&self.local, &self.remote) {
            (Some(record), _) => record.name.as_str(),
            (None, Some(account)) => &account.name,
            (None, None) => "",
        }
    }

    fn place(&self) -> &'static str {
        match (&self.local, &self.remote) {
            (Some(_), Some(_)) => "both",
            (None, _) => "Dfns only",
            (Some(_), None) => "vault only",
        }
    }

    fn document(&self) -> Value {
        let remote = self.remote.as_ref();
        json!({
            "name": self.local.as_ref().map(|record| &record.name),
            "account_name": remote.map(|account| &account.name),
            "kind": remote.map(|account| account.kind).or(self.local.as_ref().map(|record| record.kind)),
            "identity_id": remote.map(|account| &account.identity_id),
            "token_id": remote.and_then(|account| account.token_id.as_ref()),
            "active": remote.map(|account| account.active),
            "permissions": remote.map(|account| &account.permissions),
            "in_vault": self.local.is_some(),
            "at_dfns": self.remote.is_some(),
        })
    }
}

fn find<'r>(rows: &'r [Row], wanted: &str) -> Result<&'r Row, Failure> {
    let is = |row: &&Row| {
        row.local.as_ref().is_some_and(|record| record.name.as_str() == wanted)
            || row
                .remote
                .as_ref()
                .is_some_and(|account| account.name == wanted || account.identity_id.as_str() == wanted)
    };
    rows.iter().find(is).ok_or_else(|| {
        Failure::new(
            Exit::State,
            "no_such_account",
            format!("there is no account {}, here or at Dfns", Quoted::of(wanted)),
        )
        .hint("`dfns-keys account list` shows those there are")
    })
}

fn list(context: &Context, rows: &[Row]) -> Result<Exit, Failure> {
    if context.ui.json() {
        let rows: Vec<Value> = rows.iter().map(Row::document).collect();
        context.ui.document(&json!({ "accounts": rows }))?;
        return Ok(Exit::Done);
    }
    let width = rows
        .iter()
        .map(|row| row.name().chars().count())
        .max()
        .unwrap_or(4)
        .max(4);
    context.ui.answer(&format!(
        "{:<width$}  {:<21}  {:<8}  {:<10}  ID",
        "NAME", "KIND", "STATE", "WHERE"
    ))?;
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
        let name: String = row.name().chars().filter(|c| !c.is_control()).collect();
        context.ui.answer(&format!(
            "{name:<width$}  {:<21}  {state:<8}  {:<10}  {id}",
            kind.in_words(),
            row.place()
        ))?;
    }
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
            let value = match value {
                Value::String(text) => text.escape_debug().to_string(),
                other => other.to_string(),
            };
            context.ui.answer(&format!("{:<13} {value}", name.replace('_', " ")))?;
        }
    }
    Ok(Exit::Done)
}
