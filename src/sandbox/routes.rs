//! The vendor's API: which call is answered by what.

use serde_json::json;

use super::answer::Answer;
use super::request::Request;
use super::world::{Kind, World};
use super::{accounts, auth, keys, users};

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
        ("GET", ["auth", "pats"]) => accounts::list_pats(world, request),
        ("GET", ["auth", "service-accounts"]) => accounts::list_service_accounts(world, request),
        ("POST", ["auth", "pats"]) => accounts::create(world, request, Kind::Pat),
        ("POST", ["auth", "service-accounts"]) => accounts::create(world, request, Kind::ServiceAccount),
        ("GET", ["auth", "pats", id]) => accounts::show(world, request, Kind::Pat, id),
        ("GET", ["auth", "service-accounts", id]) => accounts::show(world, request, Kind::ServiceAccount, id),
        ("PUT", ["auth", "pats", id]) => accounts::rename(world, request, Kind::Pat, id),
        ("PUT", ["auth", "service-accounts", id]) => accounts::rename(world, request, Kind::ServiceAccount, id),
        ("PUT", ["auth", "pats", id, verb]) => accounts::switch(world, request, Kind::Pat, id, verb),
        ("PUT", ["auth", "service-accounts", id, verb]) => {
            accounts::switch(world, request, Kind::ServiceAccount, id, verb)
        }
        ("DELETE", ["auth", "pats", id]) => accounts::delete(world, request, Kind::Pat, id),
        ("DELETE", ["auth", "service-accounts", id]) => accounts::delete(world, request, Kind::ServiceAccount, id),
        ("GET", ["permissions"]) => accounts::list_permissions(world, request),
        ("GET", ["permissions", id]) => accounts::permission(world, request, id),
        ("POST", ["permissions", id, "assignments"]) => accounts::assign(world, request, id),
        ("DELETE", ["permissions", id, "assignments", assignment]) => accounts::revoke(world, request, id, assignment),
        _ => Err(Answer::error(404, "Not Found")),
    };
    outcome.unwrap_or_else(|refusal| refusal)
}
