//! What there is to be granted, and what one account was granted.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::rows::Row;
use crate::api::{ApiError, UserSession};
use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::model::ids::PermissionId;

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
    let names: BTreeMap<PermissionId, String> = match session.permissions().await {
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

fn documents(permissions: &[(PermissionId, Option<String>)]) -> Vec<Value> {
    let document = |(id, name): &(PermissionId, Option<String>)| json!({"id": id, "name": name});
    permissions.iter().map(document).collect()
}

fn table(context: &Context, permissions: &[(PermissionId, Option<String>)]) -> Result<(), Failure> {
    let lengths = permissions.iter().map(|(id, _)| id.as_str().chars().count());
    let width = lengths.max().unwrap_or_default();
    context.ui.answer(&format!("{:<width$}  NAME", "ID"))?;
    for (id, name) in permissions {
        let name: String = name
            .as_deref()
            .unwrap_or("–")
            .chars()
            .filter(|c| !c.is_control())
            .collect();
        context.ui.answer(&format!("{:<width$}  {name}", id.as_str()))?;
    }
    Ok(())
}
