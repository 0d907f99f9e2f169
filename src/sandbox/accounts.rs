//! Service accounts, personal access tokens and permissions, and who may do what with them.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::answer::Answer;
use super::auth::{signed, token_id};
use super::identity::{Assignment, Identity, Permission};
use super::request::{Request, text};
use super::world::World;
use crate::model::credential::Kind;

/// The longest life of a token, in days.
const MOST_DAYS: i64 = 730;

/// Refuses whoever lacks an operation. Users of this organisation are its administrators.
fn demand(world: &World, token_id: &str, operation: &str) -> Result<(), Answer> {
    let granted = world.identity(token_id).is_some_and(|identity| {
        let restricted = identity.kind != Kind::User || !identity.assignments.is_empty();
        !restricted
            || world
                .permissions_of(identity)
                .any(|(_, permission)| permission.operations.iter().any(|one| one == operation))
    });
    if granted {
        return Ok(());
    }
    Err(Answer::error(
        403,
        &format!("the caller is not authorized to perform operation ({operation})"),
    ))
}

fn assignments(world: &World, identity: &Identity) -> Vec<Value> {
    world
        .permissions_of(identity)
        .map(|(assignment, permission)| {
            json!({
                "assignmentId": assignment.id,
                "permissionId": permission.id,
                "permissionName": permission.name,
            })
        })
        .collect()
}

fn access_token(world: &World, identity: &Identity) -> Value {
    let key = identity.keys.last();
    json!({
        "tokenId": identity.token_id,
        "credId": key.map(|key| &key.id),
        "publicKey": key.map(|key| &key.pem),
        "dateCreated": identity.created_at,
        "isActive": identity.active,
        "kind": if identity.kind == Kind::Pat { "Pat" } else { "ServiceAccount" },
        "linkedUserId": identity.linked_user_id.as_ref().unwrap_or(&identity.user_id),
        "linkedAppId": "",
        "name": identity.name,
        "orgId": world.organisation_id,
        "permissionAssignments": assignments(world, identity),
    })
}

fn service_account(world: &World, identity: &Identity) -> Value {
    json!({
        "userInfo": {
            "userId": identity.user_id,
            "username": identity.name,
            "name": identity.name,
            "kind": "CustomerEmployee",
            "orgId": world.organisation_id,
            "isActive": identity.active,
            "isServiceAccount": true,
            "credentialUuid": identity.keys.first().map(|key| &key.uuid),
            "permissionAssignments": assignments(world, identity),
        },
        "accessTokens": [access_token(world, identity)],
    })
}

fn shown(world: &World, identity: &Identity) -> Value {
    if identity.kind == Kind::Pat {
        access_token(world, identity)
    } else {
        service_account(world, identity)
    }
}

/// Changes an account, and shows it as it is then.
fn change(world: &mut World, kind: Kind, id: &str, change: impl FnOnce(&mut Identity)) -> Result<Answer, Answer> {
    let is_it = |identity: &Identity| identity.is_addressed(kind, id);
    let position = world.identities.iter().position(is_it);
    let position = position.ok_or_else(|| Answer::error(404, "Not Found"))?;
    change(&mut world.identities[position]);
    Ok(Answer::json(&shown(world, &world.identities[position])))
}

fn may(world: &World, token_id: &str, kind: Kind, verb: &str) -> Result<(), Answer> {
    match kind {
        Kind::ServiceAccount => demand(world, token_id, &format!("Auth:ServiceAccounts:{verb}")),
        Kind::Pat | Kind::User => Ok(()),
    }
}

pub(super) fn create(world: &mut World, request: &Request, kind: Kind) -> Result<Answer, Answer> {
    let mut optional = vec!["daysValid", "permissionId", "externalId"];
    if kind == Kind::Pat {
        optional.push("secondsValid");
    }
    let fields = request.json(&["name", "publicKey"], &optional)?;
    let caller = token_id(world, request)?;
    if world
        .identity(&caller)
        .is_none_or(|identity| identity.kind != Kind::User)
    {
        return Err(Answer::error(403, "only an organisation's user may do this"));
    }
    may(world, &caller, kind, "Create")?;
    signed(world, request)?;
    let days = match fields.get("daysValid") {
        None => MOST_DAYS,
        Some(days) => days
            .as_i64()
            .filter(|days| (1..=MOST_DAYS).contains(days))
            .ok_or_else(|| Answer::error(400, "daysValid must be from 1 to 730"))?,
    };
    let external_id = fields.get("externalId").and_then(Value::as_str);
    let token = world
        .create(
            kind,
            text(&fields, "name")?,
            text(&fields, "publicKey")?,
            external_id,
            SignedDuration::from_hours(days * 24),
        )
        .map_err(|reason| Answer::error(if reason.contains("taken") { 409 } else { 400 }, reason))?;
    let linked_user_id = world.identity(&caller).map(|user| user.user_id.clone());
    let Some(mut identity) = world.identities.pop() else {
        return Err(Answer::error(500, "the new identity is gone"));
    };
    identity.linked_user_id = linked_user_id;
    let mut answer = shown(world, &identity);
    world.identities.push(identity);
    match kind {
        Kind::Pat => answer["accessToken"] = token.into(),
        Kind::ServiceAccount | Kind::User => answer["accessTokens"][0]["accessToken"] = token.into(),
    }
    Ok(Answer::json(&answer))
}

pub(super) fn list(world: &World, request: &Request, kind: Kind) -> Result<Answer, Answer> {
    let caller = token_id(world, request)?;
    may(world, &caller, kind, "Read")?;
    // Whoever is no user sees of personal access tokens its own.
    let sees_all = kind != Kind::Pat || world.identity(&caller).is_some_and(|one| one.kind == Kind::User);
    let all = world.identities.iter().filter(|identity| identity.kind == kind);
    let seen = all.filter(|identity| sees_all || identity.token_id == caller);
    let items = seen.map(|identity| shown(world, identity)).collect();
    Ok(page(world, request, items))
}

pub(super) fn show(world: &World, request: &Request, kind: Kind, id: &str) -> Result<Answer, Answer> {
    let caller = token_id(world, request)?;
    may(world, &caller, kind, "Read")?;
    world
        .identities
        .iter()
        .find(|identity| identity.is_addressed(kind, id))
        .map(|identity| Answer::json(&shown(world, identity)))
        .ok_or_else(|| Answer::error(404, "Not Found"))
}

pub(super) fn switch(world: &mut World, request: &Request, kind: Kind, id: &str, verb: &str) -> Result<Answer, Answer> {
    let (active, word) = match verb {
        "activate" => (true, "Activate"),
        "deactivate" => (false, "Deactivate"),
        _ => return Err(Answer::error(404, "Not Found")),
    };
    let caller = token_id(world, request)?;
    may(world, &caller, kind, word)?;
    signed(world, request)?;
    change(world, kind, id, |account| account.active = active)
}

pub(super) fn delete(world: &mut World, request: &Request, kind: Kind, id: &str) -> Result<Answer, Answer> {
    let caller = token_id(world, request)?;
    may(world, &caller, kind, "Delete")?;
    signed(world, request)?;
    let position = world
        .identities
        .iter()
        .position(|identity| identity.is_addressed(kind, id))
        .ok_or_else(|| Answer::error(404, "Not Found"))?;
    let identity = world.identities.remove(position);
    Ok(Answer::json(&shown(world, &identity)))
}

/// A list, or the page of it that is asked for where lists have pages.
pub(super) fn page(world: &World, request: &Request, items: Vec<Value>) -> Answer {
    let Some(size) = world.page_size else {
        return Answer::json(&json!({ "items": items }));
    };
    let token = url::form_urlencoded::parse(request.query.as_bytes())
        .find(|(name, _)| name == "paginationToken")
        .map_or("0".into(), |(_, token)| token);
    let Ok(begin) = token.parse::<usize>() else {
        return Answer::error(400, "there is no such page");
    };
    let end = begin.saturating_add(size);
    let next = (end < items.len()).then(|| end.to_string());
    let items: Vec<Value> = items.into_iter().skip(begin).take(size).collect();
    Answer::json(&json!({ "items": items, "nextPageToken": next }))
}

fn shown_permission(permission: &Permission) -> Value {
    json!({"id": permission.id, "name": permission.name, "operations": permission.operations})
}

pub(super) fn list_permissions(world: &World, request: &Request) -> Result<Answer, Answer> {
    let caller = token_id(world, request)?;
    demand(world, &caller, "Permissions:Read")?;
    let items: Vec<Value> = world.permissions.iter().map(shown_permission).collect();
    Ok(page(world, request, items))
}

pub(super) fn permission(world: &World, request: &Request, id: &str) -> Result<Answer, Answer> {
    let caller = token_id(world, request)?;
    demand(world, &caller, "Permissions:Read")?;
    world
        .permissions
        .iter()
        .find(|permission| permission.id == id)
        .map(|permission| Answer::json(&shown_permission(permission)))
        .ok_or_else(|| Answer::error(404, "Not Found"))
}

pub(super) fn assign(world: &mut World, request: &Request, id: &str) -> Result<Answer, Answer> {
    let fields = request.json(&["identityId"], &[])?;
    let caller = token_id(world, request)?;
    demand(world, &caller, "Permissions:Assign")?;
    signed(world, request)?;
    if !world.permissions.iter().any(|permission| permission.id == id) {
        return Err(Answer::error(404, "Not Found"));
    }
    let identity_id = text(&fields, "identityId")?;
    let assignment = Assignment {
        id: world.id("as"),
        permission_id: id.to_owned(),
    };
    let identity = world
        .identities
        .iter_mut()
        .find(|identity| identity.user_id == identity_id || identity.token_id == identity_id)
        .ok_or_else(|| Answer::error(404, "Not Found"))?;
    if identity.assignments.iter().any(|one| one.permission_id == id) {
        return Err(Answer::error(409, "the permission is assigned already"));
    }
    let answer = json!({"id": assignment.id, "permissionId": id, "identityId": identity_id, "isImmutable": false});
    identity.assignments.push(assignment);
    Ok(Answer::json(&answer))
}

pub(super) fn revoke(world: &mut World, request: &Request, id: &str, assignment: &str) -> Result<Answer, Answer> {
    let caller = token_id(world, request)?;
    demand(world, &caller, "Permissions:Revoke")?;
    signed(world, request)?;
    let is_it = |one: &Assignment| one.id == assignment && one.permission_id == id;
    let found = world.identities.iter_mut().find_map(|identity| {
        let at = identity.assignments.iter().position(is_it)?;
        Some(identity.assignments.remove(at))
    });
    let revoked = found.ok_or_else(|| Answer::error(404, "Not Found"))?;
    Ok(Answer::json(&json!({"id": revoked.id, "permissionId": id})))
}

pub(super) fn rename(world: &mut World, request: &Request, kind: Kind, id: &str) -> Result<Answer, Answer> {
    let fields = request.json(&[], &["name", "externalId"])?;
    let caller = token_id(world, request)?;
    may(world, &caller, kind, "Update")?;
    signed(world, request)?;
    change(world, kind, id, |account| {
        if let Some(name) = fields.get("name").and_then(Value::as_str) {
            name.clone_into(&mut account.name);
        }
    })
}
