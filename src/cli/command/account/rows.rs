//! Each account once, wherever it is known.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::api::UserSession;
use crate::api::accounts::RemoteAccount;
use crate::cli::error::{Exit, Failure};
use crate::keys::pem::public_fingerprint;
use crate::model::credential::{Kind, State};
use crate::model::quoted::Quoted;
use crate::model::record::PublicRecord;
use crate::vault::{Unlocked, Vault};

/// Where an account is known.
pub(super) struct Row {
    pub(super) remote: Option<RemoteAccount>,
    pub(super) local: Option<PublicRecord>,
}

/// Both sides, joined. Two names of one account are two rows.
pub(super) async fn rows(
    vault: &Vault,
    unlocked: &Unlocked<'_>,
    session: &UserSession<'_>,
) -> Result<Vec<Row>, Failure> {
    let mut accounts = session.accounts(Kind::ServiceAccount).await?;
    accounts.extend(session.accounts(Kind::Pat).await?);
    let here = &session.environment().api_url;
    let local = vault
        .list()
        .await?
        .into_iter()
        .filter_map(|listed| listed.record.ok())
        .filter(|record| record.kind != Kind::User && record.api_url == *here);
    let mut found = BTreeSet::new();
    let mut rows: Vec<Row> = Vec::new();
    for record in local {
        let position = position_of(&identified(record.clone(), unlocked).await, &accounts);
        found.extend(position);
        rows.push(Row {
            remote: position.map(|position| accounts[position].clone()),
            local: Some(record),
        });
    }
    let alone = accounts
        .into_iter()
        .enumerate()
        .filter(|(position, _)| !found.contains(position));
    rows.extend(alone.map(|(_, account)| Row {
        remote: Some(account),
        local: None,
    }));
    rows.sort_by_key(Row::name);
    Ok(rows)
}

/// The record with the ids that its token says, where it was sealed before they were kept.
async fn identified(record: PublicRecord, unlocked: &Unlocked<'_>) -> PublicRecord {
    if record.identity_id.is_some() || record.state == State::Pending {
        return record;
    }
    let opened = unlocked.get(&record.name).await.ok();
    let Some((_, generation)) = opened.and_then(|opened| opened.into_usable().ok()) else {
        return record;
    };
    let (identity_id, token_id) = record.kind.account_ids(generation.token.claims());
    PublicRecord {
        identity_id,
        token_id: record.token_id.clone().or(token_id),
        ..record
    }
}

/// The account of a record: by its ids, by its key, or, as long as nobody knows its id, by a key that it had before, the
/// latest first.
fn position_of(record: &PublicRecord, accounts: &[RemoteAccount]) -> Option<usize> {
    let position = |is: &dyn Fn(&RemoteAccount) -> bool| accounts.iter().position(is);
    let has = |account: &RemoteAccount, fingerprint: &str| {
        let mut fingerprints = account
            .public_keys
            .iter()
            .filter_map(|key| public_fingerprint(key.as_bytes()).ok());
        fingerprints.any(|one| one == fingerprint)
    };
    position(&|account| record.identity_id.as_ref() == Some(&account.identity_id))
        .or_else(|| position(&|account| record.token_id.is_some() && record.token_id == account.token_id))
        .or_else(|| position(&|account| has(account, &record.fingerprint)))
        .or_else(|| {
            let mut earlier = record.earlier_fingerprints.iter().rev();
            let unknown = record.identity_id.is_none();
            earlier.find_map(|one| position(&|account| unknown && has(account, one)))
        })
}

impl Row {
    pub(super) fn name(&self) -> String {
        match (&self.local, &self.remote) {
            (Some(record), _) => record.name.to_string(),
            (None, Some(account)) => account.name.to_string(),
            (None, None) => String::new(),
        }
    }

    /// The account at Dfns.
    pub(super) fn at_dfns(&self) -> Result<&RemoteAccount, Failure> {
        self.remote.as_ref().ok_or_else(|| {
            Failure::new(
                Exit::State,
                "not_at_dfns",
                format!("{} is in the vault only", self.name()),
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
        .or_else(|| remote(&|account| account.name.is(wanted)))
        .ok_or_else(|| {
            Failure::new(
                Exit::State,
                "no_such_account",
                format!("there is no account {}, here or at Dfns", Quoted::of(wanted)),
            )
            .hint("`dfns-keys account list` shows those there are")
        })
}
