//! The page at `/`, which plays the dashboard's part: plain HTML forms, no script, a strict Content-Security-Policy.
//! Programs send the same forms and get JSON.

mod page;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::answer::Answer;
use super::request::Request;
use super::world::World;
use crate::model::credential::Kind;
use page::Notice;

pub(super) fn answer(world: &mut World, request: &Request) -> Answer {
    let done = match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/") => return page::answer(world, request, &Notice::Nothing),
        ("GET", "/dashboard/style.css") => return page::style(),
        ("POST", "/dashboard/create") => create(world, request),
        ("POST", "/dashboard/switch") => switch(world, request),
        ("POST", "/dashboard/add-key") => add_key(world, request),
        ("POST", "/dashboard/code") => code(world, request),
        ("POST", "/dashboard/permission") => permission(world, request),
        ("POST", "/dashboard/assign") => assign(world, request),
        _ => return Answer::error(404, "Not Found"),
    };
    match done {
        Ok(done) if is_browser(request) => match done.shown {
            Shown::Once(notice) => page::answer(world, request, &notice),
            // Going back to the page, so that loading it again sends no form again.
            Shown::In(part) => Answer::new(303, "text/plain", Vec::new()).header("location", format!("/#{part}")),
        },
        Ok(done) => Answer::json(&done.document),
        Err(reason) if is_browser(request) => page::answer(world, request, &Notice::Refused(reason)),
        Err(reason) => Answer::error(400, reason),
    }
}

/// What a form did: for a program, and for a person.
struct Done {
    document: Value,
    shown: Shown,
}

/// Where a person sees it.
enum Shown {
    /// On the page that answers the form, and never again.
    Once(Notice),
    /// In a part of the page from now on.
    In(&'static str),
}

type Outcome = Result<Done, &'static str>;

fn create(world: &mut World, request: &Request) -> Outcome {
    let field = |name: &str| request.form(name).unwrap_or_default();
    let kind = match field("kind").as_str() {
        "pat" => Kind::Pat,
        _ => Kind::ServiceAccount,
    };
    let number = |name: &str| field(name).parse::<i64>().ok();
    let life = match number("seconds_valid") {
        Some(seconds) => SignedDuration::from_secs(seconds),
        None => SignedDuration::from_secs(number("days_valid").unwrap_or(730).clamp(1, 730) * 86_400),
    };
    let name = field("name").trim().to_owned();
    let token = world.create(kind, &name, &public_key(request)?, None, life)?;
    let operations = operations(request);
    let made = world.identities.last();
    let document = json!({
        "token": token,
        "token_id": made.map(|identity| &identity.token_id),
        "user_id": made.map(|identity| &identity.user_id),
        "fingerprint": made.and_then(|identity| identity.keys.first()).map(|key| key.key.fingerprint()),
        "credential_id": made.and_then(|identity| identity.keys.first()).map(|key| &key.id),
        "org_id": world.organisation_id,
    });
    let fingerprint = made.and_then(|identity| identity.keys.first());
    let fingerprint = fingerprint.map_or_else(String::new, |key| key.key.fingerprint().to_owned());
    let token_id = made.map(|identity| identity.token_id.clone());
    if let Some(token_id) = token_id.filter(|_| !operations.is_empty()) {
        world.grant(&token_id, operations)?;
    }
    Ok(Done {
        document,
        shown: Shown::Once(Notice::Token {
            name,
            token,
            fingerprint,
        }),
    })
}

fn code(world: &mut World, request: &Request) -> Outcome {
    let username = request.form("username").unwrap_or_default().trim().to_owned();
    let code = world.code_for(&username)?;
    Ok(Done {
        document: json!({"code": code, "org_id": world.organisation_id}),
        shown: Shown::Once(Notice::Code { username, code }),
    })
}

fn permission(world: &mut World, request: &Request) -> Outcome {
    let name = request.form("name").unwrap_or_default().trim().to_owned();
    let operations = operations(request);
    if name.is_empty() || operations.is_empty() {
        return Err("a permission has a name and at least one operation");
    }
    let id = world.permit(name, operations);
    Ok(Done {
        document: json!({"permission_id": id}),
        shown: Shown::In("permissions"),
    })
}

fn assign(world: &mut World, request: &Request) -> Outcome {
    let field = |name: &str| request.form(name).unwrap_or_default();
    let id = world.assign(&field("token_id"), &field("permission_id"))?;
    Ok(Done {
        document: json!({"assignment_id": id}),
        shown: Shown::In("identities"),
    })
}

fn add_key(world: &mut World, request: &Request) -> Outcome {
    let id = world.add_key(&request.form("token_id").unwrap_or_default(), &public_key(request)?)?;
    Ok(Done {
        document: json!({"credId": id}),
        shown: Shown::In("identities"),
    })
}

fn switch(world: &mut World, request: &Request) -> Outcome {
    let token_id = request.form("token_id").unwrap_or_default();
    let identity = world.identity_mut(&token_id).ok_or("no such identity")?;
    identity.active = !identity.active;
    Ok(Done {
        document: json!({"active": identity.active}),
        shown: Shown::In("identities"),
    })
}

/// The public key of a form, as it was before the form sent it with CRLF.
fn public_key(request: &Request) -> Result<String, &'static str> {
    let text = request.form("public_key").unwrap_or_default();
    if text.contains("PRIVATE KEY") {
        return Err("this is a private key, which is nobody's but its owner's: paste the public key");
    }
    Ok(format!("{}\n", text.replace('\r', "").trim()))
}

/// The operations of a form, which are separated by commas.
fn operations(request: &Request) -> Vec<String> {
    let text = request.form("operations").unwrap_or_default();
    let operations = text.split(',').map(|operation| operation.trim().to_owned());
    operations.filter(|operation| !operation.is_empty()).collect()
}

fn is_browser(request: &Request) -> bool {
    request
        .header("accept")
        .is_some_and(|accept| accept.contains("text/html"))
}
