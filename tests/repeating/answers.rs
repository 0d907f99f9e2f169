//! What Dfns answers: a server that has a secret in every field, and the names that its dashboard lets people choose.

use serde_json::{Value, json};

use crate::support::proxy::Proxy;
use crate::support::server::Server;
use crate::{Scene, token};

#[test]
fn no_answer_of_dfns_is_repeated_where_it_holds_a_secret() {
    let scene = Scene::new();
    let exported: Value = serde_json::from_str(&scene.env.ok(&["export", "a", "--format", "json"])).unwrap();
    let variables: Vec<(String, String)> = exported
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
        .collect();
    for secret in &scene.secrets {
        let text = secret.pasted.as_str();
        let everywhere = json!({
            "challenge": text, "challengeIdentifier": text, "userAction": text, "token": text, "nextPageToken": text,
            "allowCredentials": {"key": [{"type": "public-key", "id": text}], "webauthn": []},
            "items": [{"credId": text, "tokenId": text, "publicKey": text, "name": text, "id": text,
                "userInfo": {"userId": text, "name": text}, "accessTokens": [], "permissionAssignments": [{"permissionId": text}]}],
            "user": {"name": text, "id": text},
        });
        let redirect = format!("location: {}\r\n", text.replace(['\r', '\n'], ""));
        let answers = [
            (200, String::new(), everywhere.to_string()),
            (200, String::new(), text.to_owned()),
            (302, redirect, String::new()),
            (
                400,
                String::new(),
                json!({"error": {"message": format!("wrong: {text}")}}).to_string(),
            ),
            (401, String::new(), json!({"error": {"message": text}}).to_string()),
            (
                401,
                String::new(),
                json!({"message": format!("`{text}`, see")}).to_string(),
            ),
            (
                403,
                String::new(),
                json!({"error": {"message": format!("not authorized to perform operation ({text})")}}).to_string(),
            ),
            (404, String::new(), json!({"error": text}).to_string()),
            (
                400,
                String::new(),
                json!({"error": {"message": format!("origin {text} is not known")}}).to_string(),
            ),
        ];
        for (number, (status, headers, body)) in answers.into_iter().enumerate() {
            let server = Server::start(status, &headers, &body);
            let what = format!("answer {number} with {}", secret.name);
            for arguments in [
                &[
                    "verify",
                    "--process-env",
                    "--expect-permission",
                    "Wallets:Read",
                    "--api-url",
                    &server.url,
                ][..],
                &["verify", "--process-env", "--json", "--api-url", &server.url],
                &["enroll", "someone", "--code", "none", "--api-url", &server.url],
                &[
                    "enroll",
                    "someone",
                    "--code",
                    "none",
                    "--json",
                    "--api-url",
                    &server.url,
                ],
            ] {
                let mut command = scene.env.command(arguments);
                command
                    .args(["--timeout", "5s", "--rate-limit", "100000"])
                    .envs(variables.clone());
                secret.is_not_said(&what, &crate::Run::of(&mut command));
            }
            let removed = scene.env.run(&["remove", "someone", "--force", "--yes"]);
            assert!([0, 3].contains(&removed.code), "{removed:?}");
        }
    }
    scene.nothing_is_kept();
}

#[test]
fn no_name_at_dfns_is_repeated_where_it_is_a_secret() {
    let scene = Scene::new();
    let public = scene.env.ok(&["generate", "--plaintext", "--private-key", "any.pem"]);
    for secret in &scene.secrets {
        scene.sandbox.form(
            "/dashboard/create",
            &[
                ("kind", "service-account"),
                ("name", &secret.pasted),
                ("public_key", &public),
            ],
        );
        let permission = [("name", secret.pasted.as_str()), ("operations", "Wallets:Read")];
        scene.sandbox.form("/dashboard/permission", &permission);
    }
    for arguments in [
        &["account", "list"][..],
        &["account", "list", "--json"],
        &["account", "permissions"],
        &["account", "permissions", "--json"],
        &["onboard", "b", "--as", "ops", "--permission", "Nobody"],
    ] {
        let run = scene.env.run(arguments);
        for secret in &scene.secrets {
            secret.is_not_said(&arguments.join(" "), &run);
        }
    }
    for secret in &scene.secrets {
        for json in ["--json", "--verbose"] {
            for verb in ["show", "deactivate", "activate"] {
                let run = scene
                    .env
                    .run(&["account", verb, &secret.pasted, "--as", "ops", "--yes", json]);
                secret.is_not_said(&format!("account {verb} {}", secret.name), &run);
            }
        }
    }
    scene.nothing_is_kept();
}

/// Each request through the proxy leaves a line in the log: its path, without what may be a secret.
#[test]
fn no_path_through_the_proxy_is_kept_where_it_holds_a_secret() {
    let scene = Scene::new();
    let proxy = Proxy::start(&scene.env, &[]);
    let in_a_path = |c: char| c.is_ascii_alphanumeric() || "-_.~:".contains(c);
    let mut asked = 0;
    for secret in scene
        .secrets
        .iter()
        .filter(|secret| secret.pasted.chars().all(in_a_path))
    {
        for method in ["GET", "POST"] {
            proxy.call(method, &format!("/wallets/{}", secret.pasted), "{}");
            let stranger = [("authorization", "Bearer nobody")];
            proxy.call_with(method, &format!("/{}", secret.pasted), &stranger, "{}");
            asked += 1;
        }
    }
    assert!(asked >= 8, "{asked}");
    proxy.stop();
    assert!(scene.env.ok(&["log"]).contains("proxied"));
    scene.nothing_is_kept();
}

#[test]
fn no_claim_of_a_token_is_repeated_where_it_is_a_secret() {
    let scene = Scene::new();
    for secret in &scene.secrets {
        let text = secret.pasted.as_str();
        let issuer = format!("https://api.{text}.dfns.io");
        let claims = json!({"https://custom/app_metadata": {"orgId": text}, "iss": issuer, "jti": text, "exp": 4_000_000_000_u32});
        scene.env.write("claims.txt", token(&claims));
        let claimed = std::fs::read_to_string(scene.env.path("claims.txt")).unwrap();
        for json in ["--json", "--verbose"] {
            let arguments = ["onboard", "pending", "--token-file", "claims.txt", json];
            secret.is_not_said(&format!("claims with {}", secret.name), &scene.env.run(&arguments));
            let mut command = scene
                .env
                .command(&["verify", "--process-env", "--api-url", &scene.sandbox.url, json]);
            command.env("DFNS_AUTH_TOKEN", &claimed).env("DFNS_ORG_ID", "or-1");
            secret.is_not_said(&format!("claims with {}", secret.name), &crate::Run::of(&mut command));
        }
    }
    scene.nothing_is_kept();
}
