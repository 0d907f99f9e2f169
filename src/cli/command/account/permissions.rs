//! What there is to be granted, and what one account was granted.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::rows::Row;
use crate::api::{ApiError, UserSession};
use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::table::{Column, Table};
use crate::cli::ui::Ui;
use crate::model::ids::PermissionId;
use crate::model::quoted::Foreign;

/// The organisation's permissions.
pub(super) async fn of_organisation(context: &Context, session: &UserSession<'_>) -> Result<Exit, Failure> {
    let permissions = session.permissions().await.map_err(|error| {
        let message = format!("listing the permissions: {error}");
        Failure::from(error).with_message(message)
    })?;
    let permissions: Vec<_> = permissions.into_iter().map(|(id, name)| (id, Some(name))).collect();
    let listed = json!({ "permissions": documents(&permissions) });
    context.ui.emit(&listed, |ui| {
        table(ui, &permissions, "The organisation has no permissions.")
    })
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
    let listed = json!({
        "account": row.name(),
        "identity_id": account.identity_id,
        "permissions": documents(&permissions),
    });
    context.ui.emit(&listed, |ui| {
        table(ui, &permissions, &format!("{} has no permissions.", row.name()))
    })
}

fn documents(permissions: &[(PermissionId, Option<Foreign>)]) -> Vec<Value> {
    let document = |(id, name): &(PermissionId, Option<Foreign>)| json!({"id": id, "name": name});
    permissions.iter().map(document).collect()
}

fn table(ui: &Ui, permissions: &[(PermissionId, Option<Foreign>)], if_none: &str) -> Result<(), Failure> {
    if permissions.is_empty() {
        ui.say(if_none);
        return Ok(());
    }
    let mut table = Table::new([Column::id("ID"), Column::word("NAME")]);
    for (id, name) in permissions {
        let name = name.as_ref().map_or_else(|| "–".to_owned(), ToString::to_string);
        table.row([id.as_str(), &name]);
    }
    ui.table(table, &[])
}
