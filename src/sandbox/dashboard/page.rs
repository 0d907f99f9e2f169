//! What a person sees.

use super::super::answer::Answer;
use super::super::identity::{Identity, Permission};
use super::super::request::Request;
use super::super::world::World;
use crate::model::credential::Kind;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const CALLS_SHOWN: usize = 20;

/// What the page says first.
pub(super) enum Notice {
    Nothing,
    /// A new account's token.
    Token {
        name: String,
        token: String,
        /// Of the key that it goes with.
        fingerprint: String,
    },
    /// A code that registers a user's key.
    Code {
        username: String,
        code: String,
    },
    /// Why a form did nothing.
    Refused(&'static str),
}

pub(super) fn style() -> Answer {
    Answer::new(200, "text/css", STYLE.as_bytes().to_vec())
}

pub(super) fn answer(world: &World, request: &Request, notice: &Notice) -> Answer {
    let url = format!("http://{}", request.header("host").unwrap_or_default());
    let refused = matches!(notice, Notice::Refused(_));
    // What was typed into a form that did nothing is there to be mended; but a private key is not shown around.
    let typed = |form: &str, field: &str| {
        let text = request.form(field).filter(|_| refused && request.path == form);
        text.filter(|text| !text.contains("PRIVATE KEY"))
    };
    let create = |field: &str| typed("/dashboard/create", field);
    let html = filled(PAGE, |part| match part {
        "url" => escape(&url),
        "organisation" => escape(&world.organisation_id),
        "notice" => shown(notice, &url),
        "pat" if create("kind").is_some_and(|kind| kind == "pat") => " selected".to_owned(),
        "pat" => String::new(),
        "days" => escape(create("days_valid").as_deref().unwrap_or("730")),
        "username" => escape(&typed("/dashboard/code", "username").unwrap_or_default()),
        "identities" => rows(world.identities.iter().map(|identity| identity_row(world, identity)), 6),
        "permissions" => rows(world.permissions.iter().map(permission_row), 3),
        "assign" => assign_form(world),
        "calls" => rows(calls(world), 3),
        field => escape(&create(field).unwrap_or_default()),
    });
    Answer::html(if refused { 400 } else { 200 }, html)
        .header(
            "content-security-policy",
            "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        )
        .header("x-content-type-options", "nosniff")
        // Without a referrer a browser names the page that a form came from `null`, as it does any page that hides.
        .header("referrer-policy", "same-origin")
}

/// A template with each `{{part}}` replaced, in one pass: what is put in is not looked at again.
fn filled(template: &str, part: impl Fn(&str) -> String) -> String {
    let mut pieces = template.split("{{");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").unwrap_or((piece, ""));
        text.push_str(&part(name));
        text.push_str(rest);
    }
    text
}

fn shown(notice: &Notice, url: &str) -> String {
    match notice {
        Notice::Nothing => String::new(),
        Notice::Refused(reason) => format!(
            "<section class=\"refused\" role=\"alert\"><h2>Nothing was done</h2><p>{}.</p></section>",
            escape(reason)
        ),
        Notice::Token {
            name,
            token,
            fingerprint,
        } => {
            let (name, in_vault) = (escape(name), escape(in_vault(name)));
            format!(
                "<section class=\"once\" role=\"status\"><h2>The token of {name}</h2>\
                 <p>This is the only time that anybody sees it. One click selects all of it; copy it now.</p>\
                 <pre id=\"token\">{token}</pre>\
                 <p>It goes with the key <code>{fingerprint}</code>. The terminal names its key in the same way: the two must be alike.</p>\
                 <h3>What next</h3><ol>\
                 <li>Go back to the terminal, which asks for the token, and paste it there. You will not see it while you paste; press Enter.</li>\
                 <li>Does no terminal ask? Save the token to a file that only you can read, and run \
                 <pre>dfns-keys onboard {in_vault} --token-file FILE</pre></li>\
                 <li>Token and key are then tried together, and you are told that {in_vault} is active.</li></ol>\
                 <p class=\"hint\">If the token is lost, deactivate {name} below and create an account under another name: a token is never shown again, \
                 neither here nor at Dfns.</p></section>",
                token = escape(token),
                fingerprint = escape(fingerprint),
            )
        }
        Notice::Code { username, code } => format!(
            "<section class=\"once\" role=\"status\"><h2>One-time code for {username}</h2>\
             <p>It is good once, and for one minute. One click selects it; copy it now.</p>\
             <pre id=\"code\">{code}</pre>\
             <p>Paste it where <code>dfns-keys enroll ops-admin --api-url {url}</code> asks for it. Too late? Make another.</p></section>",
            username = escape(username),
            code = escape(code),
            url = escape(url),
        ),
    }
}

/// The name that the credential has in a vault, if it can be this one.
fn in_vault(name: &str) -> &str {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    if name.chars().all(fits) { name } else { "NAME" }
}

fn rows(rows: impl Iterator<Item = String>, columns: usize) -> String {
    let rows: String = rows.collect();
    if rows.is_empty() {
        format!("<tr><td colspan=\"{columns}\">None yet.</td></tr>")
    } else {
        rows
    }
}

fn identity_row(world: &World, identity: &Identity) -> String {
    let (kind, until) = match identity.kind {
        Kind::ServiceAccount => ("service account", Some(identity.expires_at)),
        Kind::Pat => ("personal access token", Some(identity.expires_at)),
        Kind::User => ("user", None),
    };
    let keys = identity.keys.iter().filter(|key| key.active);
    let keys: Vec<String> = keys
        .map(|key| {
            format!(
                "<code title=\"credential id {}\">{}</code>",
                escape(&key.id),
                escape(key.key.fingerprint())
            )
        })
        .collect();
    let permissions: Vec<String> = world
        .permissions_of(identity)
        .map(|(_, one)| escape(&one.name))
        .collect();
    let permissions = match (permissions.is_empty(), identity.kind) {
        (false, _) => permissions.join(", "),
        (true, Kind::User) => "everything".to_owned(),
        (true, Kind::ServiceAccount | Kind::Pat) => "none".to_owned(),
    };
    let (state, verb) = if identity.active {
        ("active", "Deactivate")
    } else {
        ("inactive", "Activate")
    };
    format!(
        "<tr><td>{name}</td><td>{kind}</td><td>{keys}</td><td>{permissions}</td><td>{until}</td><td>{state}\
         <form method=\"post\" action=\"/dashboard/switch\"><input type=\"hidden\" name=\"token_id\" value=\"{token_id}\">\
         <button class=\"small\" aria-label=\"{verb} {name}\">{verb}</button></form></td></tr>",
        name = escape(&identity.name),
        keys = if keys.is_empty() {
            "none".to_owned()
        } else {
            keys.join("<br>")
        },
        until = until.map_or_else(|| "–".to_owned(), |at| at.strftime("%Y-%m-%d").to_string()),
        token_id = escape(&identity.token_id),
    )
}

fn permission_row(permission: &Permission) -> String {
    format!(
        "<tr><td>{}</td><td>{}</td><td><code>{}</code></td></tr>",
        escape(&permission.name),
        escape(&permission.operations.join(", ")),
        escape(&permission.id)
    )
}

/// The form that gives a permission to an identity, once there is one of each.
fn assign_form(world: &World) -> String {
    let option = |value: &str, name: &str| format!("<option value=\"{}\">{}</option>", escape(value), escape(name));
    let identities: String = world
        .identities
        .iter()
        .map(|one| option(&one.token_id, &one.name))
        .collect();
    let permissions: String = world.permissions.iter().map(|one| option(&one.id, &one.name)).collect();
    if identities.is_empty() || permissions.is_empty() {
        return String::new();
    }
    format!(
        "<form method=\"post\" action=\"/dashboard/assign\"><h3>Give one to an identity</h3>\
         <label for=\"assign-identity\">Identity</label><select id=\"assign-identity\" name=\"token_id\">{identities}</select>\
         <label for=\"assign-permission\">Permission</label><select id=\"assign-permission\" name=\"permission_id\">{permissions}</select>\
         <button>Give it</button></form>"
    )
}

fn calls(world: &World) -> impl Iterator<Item = String> {
    let of_the_api = |path: &str| {
        path != "/" && !path.starts_with("/dashboard/") && !path.starts_with("/sandbox/") && path != "/favicon.ico"
    };
    world
        .calls
        .iter()
        .rev()
        .filter(move |call| of_the_api(&call.path))
        .take(CALLS_SHOWN)
        .map(|call| {
            format!(
                "<tr><td>{}</td><td><code>{} {}</code></td><td>{}</td></tr>",
                call.at.strftime("%H:%M:%S"),
                escape(&call.method),
                escape(&call.path),
                call.status
            )
        })
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_is_no_template() {
        let part = |name: &str| format!("<{name}>{{{{b}}}}");
        assert_eq!(filled("1 {{a}} 2", part), "1 <a>{{b}} 2");
        assert_eq!(filled("nothing", part), "nothing");
    }
}
