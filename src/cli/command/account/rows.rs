//! Each account once, wherever it is known.

use serde_json::{Value, json};

use crate::api::UserSession;
use crate::api::accounts::RemoteAccount;
use crate::cli::error::{Exit, Failure};
use crate::model::credential::Kind;
use crate::model::quoted::{self, Quoted};
use crate::model::record::PublicRecord;
use crate::vault::Vault;

/// Where an account is known.
pub(super) struct Row {
    pub(super) remote: Option<RemoteAccount>,
    pub(super) local: Option<PublicRecord>,
}

/// Both sides, joined by identity id, or by public key where the vault does not know the id.
pub(super) async fn rows(vault: &Vault, session: &UserSession<'_>) -> Result<Vec<Row>, Failure> {
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
    pub(super) fn name(&self) -> &str {
        match (&self.local, &self.remote) {
            (Some(record), _) => record.name.as_str(),
            (None, Some(account)) => &account.name,
            (None, None) => "",
        }
    }

    /// The account at Dfns.
    pub(super) fn at_dfns(&self) -> Result<&RemoteAccount, Failure> {
        self.remote.as_ref().ok_or_else(|| {
            Failure::new(
                Exit::State,
                "not_at_dfns",
                format!("{} is in the vault only", quoted::shown(self.name())),
            )
        })
    }

    pub(super) fn place(&self) -> &'static str {
        match (&self.local, &self.remote) {
            (Some(_), Some(_)) => "both",
            (None, _) => "Dfns only",
            (Some(_), None) => "vault only",
        }
    }

    pub(super) fn document(&self) -> Value {
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

/// The row that is meant: by the vault's name before the name at Dfns, which an account that was replaced may share.
pub(super) fn find<'r>(rows: &'r [Row], wanted: &str) -> Result<&'r Row, Failure> {
    let remote = |is: &dyn Fn(&RemoteAccount) -> bool| rows.iter().find(|row| row.remote.as_ref().is_some_and(is));
    rows.iter()
        .find(|row| row.local.as_ref().is_some_and(|record| record.name.as_str() == wanted))
        .or_else(|| remote(&|account| account.identity_id.as_str() == wanted))
        .or_else(|| remote(&|account| account.name == wanted))
        .ok_or_else(|| {
            Failure::new(
                Exit::State,
                "no_such_account",
                format!("there is no account {}, here or at Dfns", Quoted::of(wanted)),
            )
            .hint("`dfns-keys account list` shows those there are")
        })
}
