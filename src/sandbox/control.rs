//! A look behind the scenes: `/sandbox/faults`, `/sandbox/calls`, `/sandbox/settings`.

use serde_json::{Value, json};

use super::answer::Answer;
use super::request::Request;
use super::world::World;

/// Answers the calls that steer the sandbox itself.
pub(super) fn answer(world: &mut World, request: &Request) -> Answer {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/sandbox/calls") => Answer::json(&json!({ "calls": world.calls })),
        ("POST", "/sandbox/faults") => match world.faults.plan(request) {
            Ok(planned) => Answer::json(&json!({ "planned": planned })),
            Err(refusal) => refusal,
        },
        ("DELETE", "/sandbox/faults") => Answer::json(&json!({"cleared": world.faults.clear()})),
        ("POST", "/sandbox/settings") => {
            let known = ["clock_offset_s", "session_s", "approvals", "bare_tokens", "page_size"];
            match request.json(&[], &known) {
                Ok(fields) => {
                    let number = |name: &str| fields.get(name).and_then(Value::as_i64);
                    world.clock_offset_s = number("clock_offset_s").unwrap_or(world.clock_offset_s);
                    world.session_s = number("session_s").unwrap_or(world.session_s);
                    if let Some(size) = number("page_size") {
                        world.page_size = usize::try_from(size).ok().filter(|size| *size > 0);
                    }
                    let bare = fields.get("bare_tokens").and_then(Value::as_bool);
                    world.bare_tokens = bare.unwrap_or(world.bare_tokens);
                    if let Some(paths) = fields.get("approvals").and_then(Value::as_array) {
                        world.approvals = paths.iter().filter_map(Value::as_str).map(str::to_owned).collect();
                    }
                    Answer::json(&json!({"clock_offset_s": world.clock_offset_s}))
                }
                Err(refusal) => refusal,
            }
        }
        ("GET", "/sandbox/identities") => Answer::json(&json!({ "identities": identities(world) })),
        _ => Answer::error(404, "Not Found"),
    }
}

fn identities(world: &World) -> Vec<Value> {
    world
        .identities
        .iter()
        .map(|identity| {
            let keys: Vec<&str> = identity
                .keys
                .iter()
                .filter(|key| key.active)
                .map(|key| key.pem.as_str())
                .collect();
            json!({
                "name": identity.name,
                "user_id": identity.user_id,
                "token_id": identity.token_id,
                "kind": format!("{:?}", identity.kind),
                "active": identity.active,
                "keys": keys,
                "permissions": identity.assignments.len(),
            })
        })
        .collect()
}
