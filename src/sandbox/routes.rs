//! The vendor's API: which call is answered by what.

use serde_json::json;

use super::answer::Answer;
use super::request::Request;
use super::world::World;
use super::{accounts, auth, keys, users};
use crate::model::credential::Kind;

pub(super) fn answer(world: &mut World, request: &Request) -> Answer {
    let segments: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
    let outcome = match (request.method.as_str(), &segments[..]) {
        ("POST", ["auth", "action", "init"]) => auth::init_action(world, request),
        ("POST", ["auth", "action"]) => auth::sign_action(world, request),
        ("POST", ["auth", "login", "init"]) => users::init_login(world, request),
        ("POST", ["auth", "login"]) => users::log_in(world, request),
        ("POST", ["auth", "credentials", "code", "init"]) => users::open_code(world, request),
        ("POST", ["auth", "credentials", "code", "verify"]) => users::register_by_code(world, request),
        ("GET", ["auth", "credentials"]) => keys::list(world, request),
        ("POST", ["auth", "credentials", "init"]) => keys::init(world, request),
        ("POST", ["auth", "credentials"]) => keys::register(world, request),
        ("PUT", ["auth", "credentials", "activate"]) => keys::switch(world, request, true),
        ("PUT", ["auth", "credentials", "deactivate"]) => keys::switch(world, request, false),
        ("GET", ["wallets"]) => auth::token_id(world, request).map(|_| Answer::json(&json!({"items": []}))),
        ("POST", ["wallets"]) => auth::create_wallet(world, request),
        (method, ["auth", "pats", rest @ ..]) => account(world, request, Kind::Pat, method, rest),
        (method, ["auth", "service-accounts", rest @ ..]) => {
            account(world, request, Kind::ServiceAccount, method, rest)
        }
        ("GET", ["permissions"]) => accounts::list_permissions(world, request),
        ("GET", ["permissions", id]) => accounts::permission(world, request, id),
        ("POST", ["permissions", id, "assignments"]) => accounts::assign(world, request, id),
        ("DELETE", ["permissions", id, "assignments", assignment]) => accounts::revoke(world, request, id, assignment),
        _ => Err(Answer::error(404, "Not Found")),
    };
    outcome.unwrap_or_else(|refusal| refusal)
}

fn account(world: &mut World, request: &Request, kind: Kind, method: &str, rest: &[&str]) -> Result<Answer, Answer> {
    match (method, rest) {
        ("GET", []) => accounts::list(world, request, kind),
        ("POST", []) => accounts::create(world, request, kind),
        ("GET", [id]) => accounts::show(world, request, kind, id),
        ("PUT", [id]) => accounts::rename(world, request, kind, id),
        ("PUT", [id, verb]) => accounts::switch(world, request, kind, id, verb),
        ("DELETE", [id]) => accounts::delete(world, request, kind, id),
        _ => Err(Answer::error(404, "Not Found")),
    }
}
