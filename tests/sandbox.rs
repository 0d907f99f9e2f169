//! The sandbox is strict: what the vendor would refuse, it refuses.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};
use support::{Answer, Sandbox, TestEnv, peer, peer_ok};

/// A client of openssl and hand-made JSON: nothing of ours signs here.
struct Client {
    env: TestEnv,
    sandbox: Sandbox,
    token: String,
}

impl Client {
    fn new() -> Option<Self> {
        if !peer("openssl") {
            return None;
        }
        let env = TestEnv::new();
        let sandbox = Sandbox::start();
        let openssl =
            |arguments: &[&str]| peer_ok(Command::new("openssl").args(arguments).current_dir(env.home.path()));
        openssl(&["ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", "key.pem"]);
        let public = String::from_utf8(openssl(&["ec", "-in", "key.pem", "-pubout"])).unwrap();
        let token = sandbox.create("by-hand", &public);
        Some(Self { env, sandbox, token })
    }

    fn call(&self, method: &str, path: &str, body: &str, user_action: Option<&str>) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let mut headers = vec![("authorization", bearer.as_str()), ("content-type", "application/json")];
        if let Some(user_action) = user_action {
            headers.push(("x-dfns-useraction", user_action));
        }
        self.sandbox.http(method, path, &headers, body.as_bytes())
    }

    fn init(&self, method: &str, path: &str, payload: &str) -> Value {
        let body = json!({
            "userActionPayload": payload, "userActionHttpMethod": method,
            "userActionHttpPath": path, "userActionServerKind": "Api",
        });
        let answer = self.call("POST", "/auth/action/init", &body.to_string(), None);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    fn assertion(&self, challenge: &Value, client_data: &Value) -> Value {
        let data = client_data.to_string();
        self.env.write("data", &data);
        let signature = peer_ok(
            Command::new("openssl")
                .args(["dgst", "-sha256", "-sign", "key.pem", "data"])
                .current_dir(self.env.home.path()),
        );
        json!({
            "challengeIdentifier": challenge["challengeIdentifier"],
            "firstFactor": {"kind": "Key", "credentialAssertion": {
                "credId": challenge["allowCredentials"]["key"][0]["id"],
                "clientData": Base64UrlUnpadded::encode_string(data.as_bytes()),
                "signature": Base64UrlUnpadded::encode_string(&signature),
            }},
        })
    }

    fn sign(&self, method: &str, path: &str, payload: &str) -> String {
        let challenge = self.init(method, path, payload);
        let data = json!({"type": "key.get", "challenge": challenge["challenge"]});
        let answer = self.call(
            "POST",
            "/auth/action",
            &self.assertion(&challenge, &data).to_string(),
            None,
        );
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["userAction"].as_str().unwrap().to_owned()
    }
}

#[test]
fn openssls_signature_is_accepted_once_and_for_this_call_alone() {
    let Some(client) = Client::new() else { return };
    let body = r#"{"network":"EthereumSepolia"}"#;
    let signed = client.sign("POST", "/wallets", body);
    assert_eq!(client.call("POST", "/wallets", body, None).status, 403);
    assert_eq!(client.call("POST", "/wallets", body, Some("nonsense")).status, 403);
    assert_eq!(client.call("POST", "/wallets", body, Some(&signed)).status, 200);
    let again = client.call("POST", "/wallets", body, Some(&signed));
    assert_eq!(again.status, 400);
    assert!(again.body.contains("already been used"));
    let other = r#"{"network":"Bitcoin"}"#;
    for (method, path, payload) in [
        ("POST", "/wallets", other),
        ("PUT", "/wallets", body),
        ("POST", "/walletz", body),
    ] {
        let signed = client.sign(method, path, payload);
        assert_eq!(
            client.call("POST", "/wallets", body, Some(&signed)).status,
            403,
            "{method} {path}"
        );
    }
}

#[test]
fn every_form_of_client_data_that_the_sdks_send_is_accepted() {
    let Some(client) = Client::new() else { return };
    for extra in [
        json!({}),
        json!({"origin": "https://app.dfns.io"}),
        json!({"origin": "https://app.dfns.io", "crossOrigin": false}),
    ] {
        let challenge = client.init("POST", "/wallets", "");
        let mut data = json!({"type": "key.get", "challenge": challenge["challenge"]});
        data.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let body = client.assertion(&challenge, &data).to_string();
        assert_eq!(client.call("POST", "/auth/action", &body, None).status, 200, "{data}");
        let replayed = client.call("POST", "/auth/action", &body, None);
        assert_eq!(replayed.status, 401, "a challenge is answered once: {replayed:?}");
    }
}

#[test]
fn wounded_assertions_are_refused() {
    let Some(client) = Client::new() else { return };
    let wound = |change: &dyn Fn(&mut Value, &mut Value)| {
        let challenge = client.init("POST", "/wallets", "");
        let mut data = json!({"type": "key.get", "challenge": challenge["challenge"]});
        let mut body = json!({});
        change(&mut data, &mut body);
        let mut assertion = client.assertion(&challenge, &data);
        change(&mut data, &mut assertion["firstFactor"]["credentialAssertion"]);
        client.call("POST", "/auth/action", &assertion.to_string(), None).status
    };
    let set = |body: &mut Value, name: &str, value: &str| {
        if body.get(name).is_some() {
            body[name] = value.into();
        }
    };
    assert_eq!(wound(&|_, _| ()), 200, "the unwounded one");
    assert_eq!(wound(&|data, _| data["type"] = "key.create".into()), 400);
    assert_eq!(wound(&|data, _| data["challenge"] = "other".into()), 401);
    assert_eq!(
        wound(&|data, _| data["origin"] = "https://evil.example.com".into()),
        401
    );
    assert_eq!(wound(&|_, body| set(body, "credId", "other")), 401);
    assert_eq!(wound(&|_, body| set(body, "signature", "AAAA")), 401);
    assert_eq!(wound(&|_, body| set(body, "signature", "AA==")), 400, "padding");
    assert_eq!(
        wound(&|_, body| if body.get("credId").is_some() {
            body["extra"] = "x".into();
        }),
        400
    );
}

#[test]
fn requests_that_break_the_schema_are_refused() {
    let Some(client) = Client::new() else { return };
    let good = json!({"userActionPayload": "", "userActionHttpMethod": "POST", "userActionHttpPath": "/wallets"});
    assert_eq!(
        client.call("POST", "/auth/action/init", &good.to_string(), None).status,
        200
    );
    for (name, value) in [
        ("userActionHttpMethod", json!("PATCH")),
        ("userActionHttpPath", json!("/wallets?x=1")),
        ("userActionPayload", json!({})),
        ("unknown", json!(1)),
        ("userActionServerKind", json!("Staff")),
    ] {
        let mut bad = good.clone();
        bad[name] = value;
        assert_eq!(
            client.call("POST", "/auth/action/init", &bad.to_string(), None).status,
            400,
            "{name}"
        );
    }
    assert_eq!(client.call("POST", "/auth/action/init", "no JSON", None).status, 400);
    assert_eq!(client.call("GET", "/nowhere", "", None).status, 404);
}

#[test]
fn the_page_gives_a_token_once_and_runs_no_script() {
    let env = TestEnv::new();
    let sandbox = Sandbox::start();
    let public = env.ok(&["generate", "--plaintext", "--private-key", "k.pem"]);
    let form = |name: &str, key: &str| {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("kind", "service-account")
            .append_pair("name", name)
            .append_pair("public_key", &key.replace('\n', "\r\n"))
            .finish();
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("accept", "text/html,*/*;q=0.8"),
        ];
        sandbox.http("POST", "/dashboard/create", &headers, body.as_bytes())
    };
    let made = form("<script>alert(1)</script>", &public);
    assert_eq!(made.status, 200);
    assert!(
        made.body.contains("id=\"token\"") && !made.body.contains("<script"),
        "{made:?}"
    );
    assert!(
        made.head.contains("content-security-policy: default-src 'none'"),
        "{made:?}"
    );
    let page = sandbox.http("GET", "/", &[], b"");
    assert!(
        !page.body.contains("id=\"token\"") && page.body.contains("&lt;script&gt;"),
        "{page:?}"
    );
    assert!(
        form("<script>alert(1)</script>", &public)
            .body
            .contains("the name is taken")
    );
    assert!(form("other", "hello").body.contains("does not match the pattern"));
    let foreign = sandbox.http("GET", "/", &[("origin", "https://evil.example.com")], b"");
    assert_eq!(foreign.status, 403);
    let rebound = support::http(sandbox.address(), "GET", "/", &[("host", "evil.example.com")], b"");
    assert_eq!(rebound.status, 421);
}

/// Whoever has brought the wrong key compares what the page shows with what the terminal says.
#[test]
fn the_page_shows_keys_by_the_fingerprint_that_the_program_prints() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    let public = env.ok(&["onboard", "a", "--prepare", "--api-url", &sandbox.url]);
    let fingerprint = env.ok(&["show", "a", "--fingerprint"]);
    let fingerprint = fingerprint.trim();
    let form = format!("name=a&public_key={}", public.replace('+', "%2B").replace('\n', "%0A"));
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("accept", "text/html"),
    ];
    let page = sandbox
        .http("POST", "/dashboard/create", &headers, form.as_bytes())
        .body;
    let (once, rest) = page.split_once("id=\"identities\"").unwrap();
    assert!(once.contains(fingerprint), "beside the token: {page}");
    assert!(rest.contains(fingerprint), "and for good: {page}");
}

#[cfg(unix)]
#[test]
fn the_sandbox_says_how_it_gets_the_same_address_again() {
    let env = TestEnv::new();
    let said = |arguments: &[&str]| {
        let mut child = env.asking(&[&["sandbox"], arguments].concat());
        let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said: Vec<String> = lines.by_ref().take(2).map(Result::unwrap).collect();
        support::signal(&child, rustix::process::Signal::TERM);
        said.extend(lines.map_while(Result::ok));
        child.wait().unwrap();
        said.join("\n")
    };
    let text = said(&[]);
    let (_, address) = text.split_once("dfns-keys sandbox --listen ").unwrap();
    let same = said(&["--listen", address.trim()]);
    assert!(
        same.contains(&format!("onboard trial --api-url http://{}", address.trim())),
        "{same}"
    );
    assert!(!same.contains("next time"), "{same}");
}

#[test]
fn the_rate_limit_answers_429_with_a_wait() {
    let sandbox = Sandbox::start_with(&["--limit", "3"]);
    let statuses: Vec<u16> = (0..5)
        .map(|_| sandbox.http("GET", "/wallets", &[], b"").status)
        .collect();
    assert_eq!(statuses, [401, 401, 401, 429, 429]);
    assert!(sandbox.http("GET", "/wallets", &[], b"").head.contains("retry-after: "));
}

#[test]
fn only_loopback_is_listened_on() {
    let env = TestEnv::new();
    env.run(&["sandbox", "--listen", "0.0.0.0:0"])
        .fails(2, &["is not a loopback address"]);
}

#[cfg(unix)]
#[test]
fn the_sandbox_ends_at_sigterm_with_exit_0() {
    let mut sandbox = Command::new(support::PROGRAM)
        .args(["sandbox", "--quiet"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(sandbox.stdout.take().unwrap()), &mut line).unwrap();
    support::signal(&sandbox, rustix::process::Signal::TERM);
    assert_eq!(sandbox.wait().unwrap().code(), Some(0));
}
