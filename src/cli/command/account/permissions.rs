//! What there is to be granted, and what one account was granted.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::rows::Row;
use crate::api::{ApiError, UserSession};
use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::table::{Column, Table};
use crate::model::ids::PermissionId;
use crate::model::quoted::Foreign;

/// The organisation's permissions.
pub(super) async fn of_organisation(context: &Context, session: &UserSession<'_>) -> Result<Exit, Failure> {
    let permissions = session.permissions().await.map_err(|error| {
        let message = format!("listing the permissions: {error}");
        Failure::from(error).with_message(message)
    })?;
    let permissions: Vec<_> = permissions.into_iter().map(|(id, name)| (id, Some(name))).collect();
    if context.ui.json() {
        context
            .ui
            .document(&json!({ "permissions": documents(&permissions) }))?;
    } else if permissions.is_empty() {
        context.ui.say("The organisation has no permissions.");
    } else {
        table(context, &permissions)?;
    }
    Ok(Exit::Done)
}

/// The permissions that are assigned to an account. Whoever may not see their names is shown the ids.
pub(super) async fn of_account(context: &Context, session: &UserSession<'_>, row: &Row) -> Result<Exit, Failure> {
    let account = row.at_dfns()?;
    let names: BTreeMap<PermissionId, Foreign> = match session.permissions().await {
        Ok(permissions) => permissions.into_iter().collect(),
        Err(error) if matches!(error.api_error(), Some(ApiError::Refused { .. })) => BTreeMap::new(),
        Err(error) => return Err(error.into()),
    };
    let assigned = account.permissions.iter();
    let permissions: Vec<_> = assigned.map(|id| (id.clone(), names.get(id).cloned())).collect();
    if context.ui.json() {
        context.ui.document(&json!({
            "account": row.name(),
            "identity_id": account.identity_id,
            "permissions": documents(&permissions),
        }))?;
    } else if permissions.is_empty() {
        context.ui.say(&format!("{} has no permissions.", row.name()));
    } else {
        table(context, &permissions)?;
    }
    Ok(Exit::Done)
}

fn documents(permissions: &[(PermissionId, Option<Foreign>)]) -> Vec<Value> {
    let document = |(id, name): &(PermissionId, Option<Foreign>)| json!({"id": id, "name": name});
    permissions.iter().map(document).collect()
}

fn table(context: &Context, permissions: &[(PermissionId, Option<Foreign>)]) -> Result<(), Failure> {
    let mut table = Table::new([Column::id("ID"), Column::word("NAME")]);
    for (id, name) in permissions {
        let name = name.as_ref().map_or_else(|| "–".to_owned(), ToString::to_string);
        table.row([id.as_str(), &name]);
    }
    context.ui.table(table, &[])
}
