//! The page at `/`, which plays the dashboard's part: plain HTML forms, no script, a strict Content-Security-Policy.

use jiff::SignedDuration;
use serde_json::json;

use super::answer::Answer;
use super::request::Request;
use super::world::{Identity, Kind, World};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#1c2430}\
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}table{border-collapse:collapse;width:100%}\
th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #d8dee8;vertical-align:top}\
textarea,input,select{font:inherit;padding:.35rem;width:100%;box-sizing:border-box}textarea,code,pre{font-family:ui-monospace,monospace;font-size:.85rem}\
label{display:block;margin:.7rem 0 .2rem}button{font:inherit;padding:.4rem 1rem;margin-top:.8rem}td button{margin:0}\
pre{background:#f2f5f9;padding:.8rem;white-space:pre-wrap;word-break:break-all}.once{border-left:4px solid #b45309;padding-left:1rem}\
.refused{border-left:4px solid #b91c1c;padding-left:1rem}";

pub(super) fn answer(world: &mut World, request: &Request) -> Answer {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/") => page(world, ""),
        ("GET", "/dashboard/style.css") => Answer::new(200, "text/css", STYLE.as_bytes().to_vec()),
        ("POST", "/dashboard/create") => create(world, request),
        ("POST", "/dashboard/switch") => switch(world, request),
        ("POST", "/dashboard/add-key") => add_key(world, request),
        ("POST", "/dashboard/code") => code(world, request),
        ("POST", "/dashboard/permission") => permission(world, request),
        _ => Answer::error(404, "Not Found"),
    }
}

fn create(world: &mut World, request: &Request) -> Answer {
    let field = |name: &str| request.form(name).unwrap_or_default();
    let kind = match field("kind").as_str() {
        "pat" => Kind::Pat,
        _ => Kind::ServiceAccount,
    };
    // Forms send CRLF; a browser's text area adds it, the clipboard did not have it.
    let public_key = format!("{}\n", field("public_key").replace('\r', "").trim());
    let number = |name: &str| field(name).parse::<i64>().ok();
    let life = match number("seconds_valid") {
        Some(seconds) => SignedDuration::from_secs(seconds),
        None => SignedDuration::from_secs(number("days_valid").unwrap_or(730).clamp(1, 730) * 86_400),
    };
    let wants_json = wants_json(request);
    let created = world.create(kind, field("name").trim(), &public_key, None, life);
    if created.is_ok() {
        grant(world, &field("operations"));
    }
    let identity = world.identities.last();
    match created {
        Ok(token) if wants_json => Answer::json(&json!({
            "token": token,
            "token_id": identity.map(|identity| &identity.token_id),
            "user_id": identity.map(|identity| &identity.user_id),
            "credential_id": identity.and_then(|identity| identity.keys.first()).map(|key| &key.id),
            "org_id": world.organisation_id,
        })),
        Ok(token) => page(
            world,
            &format!(
                "<section class=\"once\"><h2>The token</h2><p>It is shown this once. Copy it now.</p>\
                 <pre id=\"token\">{}</pre></section>",
                escape(&token)
            ),
        ),
        Err(reason) if wants_json => Answer::error(400, reason),
        Err(reason) => page(
            world,
            &format!(
                "<section class=\"refused\"><h2>Not created</h2><p>{}</p></section>",
                escape(reason)
            ),
        ),
    }
}

/// Gives the newest identity a permission with these operations, separated by commas.
fn grant(world: &mut World, operations: &str) {
    let operations: Vec<String> = operations
        .split(',')
        .map(|operation| operation.trim().to_owned())
        .filter(|operation| !operation.is_empty())
        .collect();
    let newest = world.identities.last().map(|identity| identity.token_id.clone());
    if let Some(token_id) = newest.filter(|_| !operations.is_empty()) {
        world.grant(&token_id, operations);
    }
}

fn code(world: &mut World, request: &Request) -> Answer {
    let wants_json = wants_json(request);
    match world.code_for(request.form("username").unwrap_or_default().trim()) {
        Ok(code) if wants_json => Answer::json(&json!({"code": code, "org_id": world.organisation_id})),
        Ok(code) => page(
            world,
            &format!(
                "<section class=\"once\"><h2>One-time code</h2><p>It is valid for one minute.</p>\
                 <pre id=\"code\">{}</pre></section>",
                escape(&code)
            ),
        ),
        Err(reason) => Answer::error(400, reason),
    }
}

fn permission(world: &mut World, request: &Request) -> Answer {
    let operations = request.form("operations").unwrap_or_default();
    let id = world.permit(
        request.form("name").unwrap_or_default(),
        operations.split(',').map(|one| one.trim().to_owned()).collect(),
    );
    Answer::json(&json!({"permission_id": id}))
}

fn wants_json(request: &Request) -> bool {
    request
        .header("accept")
        .is_some_and(|accept| accept.contains("application/json"))
}

fn add_key(world: &mut World, request: &Request) -> Answer {
    let field = |name: &str| request.form(name).unwrap_or_default();
    match world.add_key(&field("token_id"), &field("public_key").replace('\r', "")) {
        Ok(id) => Answer::json(&json!({"credId": id})),
        Err(reason) => Answer::error(400, reason),
    }
}

fn switch(world: &mut World, request: &Request) -> Answer {
    let token_id = request.form("token_id").unwrap_or_default();
    match world.identity_mut(&token_id) {
        Some(identity) => {
            identity.active = !identity.active;
            page(world, "")
        }
        None => Answer::error(404, "Not Found"),
    }
}

fn page(world: &World, notice: &str) -> Answer {
    let identities: String = world.identities.iter().map(row).collect();
    let identities = if identities.is_empty() {
        "<tr><td colspan=\"5\">None yet.</td></tr>".to_owned()
    } else {
        identities
    };
    let calls: Vec<String> = world
        .calls
        .iter()
        .rev()
        .filter(|call| call.path.starts_with("/auth/") || call.path.starts_with("/wallets"))
        .take(20)
        .map(|call| {
            format!(
                "<tr><td>{}</td><td>{} {}</td><td>{}</td></tr>",
                call.at.strftime("%H:%M:%S"),
                escape(&call.method),
                escape(&call.path),
                call.status
            )
        })
        .collect();
    let calls = calls.concat();
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>dfns-keys sandbox</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><link rel=\"stylesheet\" href=\"/dashboard/style.css\"></head><body>\
         <h1>Sandbox</h1><p>This page plays the part of the Dfns dashboard for organisation <code>{organisation}</code>. \
         Everything is in memory and gone when the sandbox stops.</p>{notice}\
         <h2>New service account or personal access token</h2>\
         <form method=\"post\" action=\"/dashboard/create\">\
         <label for=\"kind\">Kind</label><select id=\"kind\" name=\"kind\"><option value=\"service-account\">Service account</option>\
         <option value=\"pat\">Personal access token</option></select>\
         <label for=\"name\">Name</label><input id=\"name\" name=\"name\" required>\
         <label for=\"days\">Days valid</label><input id=\"days\" name=\"days_valid\" type=\"number\" min=\"1\" max=\"730\" value=\"730\">\
         <label for=\"operations\">Operations granted, separated by commas</label><input id=\"operations\" name=\"operations\">\
         <label for=\"key\">Public key (PEM)</label><textarea id=\"key\" name=\"public_key\" rows=\"5\" required></textarea>\
         <button>Create</button></form>\
         <h2>One-time code for a user's key</h2>\
         <form method=\"post\" action=\"/dashboard/code\">\
         <label for=\"username\">User name</label><input id=\"username\" name=\"username\" required>\
         <button>Make a code</button></form>\
         <h2>Identities</h2><table><thead><tr><th>Name</th><th>Kind</th><th>Keys</th><th>Valid until</th><th>State</th></tr></thead>\
         <tbody>{identities}</tbody></table>\
         <h2>Last calls</h2><table><thead><tr><th>Time (UTC)</th><th>Call</th><th>Status</th></tr></thead><tbody>{calls}</tbody></table>\
         </body></html>",
        organisation = escape(&world.organisation_id),
    );
    Answer::html(200, html)
        .header(
            "content-security-policy",
            "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        )
        .header("x-content-type-options", "nosniff")
        .header("referrer-policy", "no-referrer")
}

fn row(identity: &Identity) -> String {
    let kind = match identity.kind {
        Kind::ServiceAccount => "service account",
        Kind::Pat => "personal access token",
        Kind::User => "user",
    };
    let keys: Vec<String> = identity
        .keys
        .iter()
        .map(|key| format!("<code>{}…</code>", escape(key.id.get(..8).unwrap_or(&key.id))))
        .collect();
    let (state, verb) = if identity.active {
        ("active", "Deactivate")
    } else {
        ("inactive", "Activate")
    };
    format!(
        "<tr><td>{name}</td><td>{kind}</td><td>{keys}</td><td>{until}</td><td>{state} \
         <form method=\"post\" action=\"/dashboard/switch\"><input type=\"hidden\" name=\"token_id\" value=\"{token_id}\">\
         <button aria-label=\"{verb} {name}\">{verb}</button></form></td></tr>",
        name = escape(&identity.name),
        keys = keys.join(", "),
        until = identity.expires_at.strftime("%Y-%m-%d"),
        token_id = escape(&identity.token_id),
    )
}

fn escape(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '"' => "&quot;".to_owned(),
            '\'' => "&#39;".to_owned(),
            other => other.to_string(),
        })
        .collect()
}
