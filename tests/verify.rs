//! Verifying an environment: each wound from a healthy one, and what is said of it.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Child, Command, Stdio};

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};
use support::{Run, Sandbox, TestEnv, peer, peer_ok};

type Variables = BTreeMap<&'static str, String>;

/// An account at the sandbox, and its environment in every form.
struct Healthy {
    env: TestEnv,
    sandbox: Sandbox,
    token: String,
    pem: String,
    variables: Variables,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Form {
    Postman,
    Dotenv,
    Process,
}

impl Healthy {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(fields: &[(&str, &str)]) -> Self {
        let env = TestEnv::with_vault();
        let sandbox = Sandbox::start();
        let public = env.ok(&["generate", "--plaintext", "--private-key", "key.pem"]);
        let mut all = vec![("name", "a"), ("public_key", public.as_str())];
        all.extend_from_slice(fields);
        let account = sandbox.create_with(&all);
        let text = |name: &str| account[name].as_str().unwrap().to_owned();
        let pem = std::fs::read_to_string(env.path("key.pem")).unwrap();
        let variables = BTreeMap::from([
            ("DFNS_API_URL", "https://api.dfns.io".to_owned()),
            ("DFNS_AUTH_TOKEN", text("token")),
            ("DFNS_PRIVATE_KEY", pem.clone()),
            ("DFNS_CRED_ID", text("credential_id")),
            ("DFNS_APP_ID", "ap-1".to_owned()),
            ("DFNS_ORIGIN", "https://app.dfns.io".to_owned()),
            ("DFNS_ORG_ID", text("org_id")),
        ]);
        Self {
            env,
            sandbox,
            token: text("token"),
            pem,
            variables,
        }
    }

    /// Verifies these variables in one form, asking the sandbox unless told otherwise.
    fn verify(&self, form: Form, variables: &Variables, more: &[&str]) -> Run {
        let mut arguments = vec!["verify", "--json"];
        let file = match form {
            Form::Postman => self.private("e.postman_environment.json", &postman(variables).to_string()),
            Form::Dotenv => self.private("e.env", &dotenv(variables)),
            Form::Process => String::new(),
        };
        match form {
            Form::Postman => arguments.extend(["--postman", file.as_str()]),
            Form::Dotenv => arguments.extend(["--dotenv", file.as_str()]),
            Form::Process => arguments.push("--process-env"),
        }
        if !more.contains(&"--api-url") && !more.contains(&"--as-it-is") {
            arguments.extend(["--api-url", &self.sandbox.url]);
        }
        arguments.extend(more.iter().filter(|one| **one != "--as-it-is"));
        let mut command = self.env.command(&arguments);
        if form == Form::Process {
            command.envs(variables);
        }
        Run::of(&mut command)
    }

    fn private(&self, name: &str, contents: &str) -> String {
        let path = self.env.write(name, contents);
        support::set_mode(&path, 0o600);
        name.to_owned()
    }
}

fn dotenv(variables: &Variables) -> String {
    variables.iter().fold(String::new(), |mut text, (name, value)| {
        writeln!(text, "{name}='{value}'").unwrap();
        text
    })
}

fn postman(variables: &Variables) -> Value {
    let names = [
        ("DFNS_API_URL", "dfnsApiDomain"),
        ("DFNS_AUTH_TOKEN", "authToken"),
        ("DFNS_PRIVATE_KEY", "credentialPrivateKey"),
        ("DFNS_APP_ID", "applicationId"),
        ("DFNS_ORIGIN", "applicationOrigin"),
    ];
    let values: Vec<Value> = names
        .iter()
        .filter_map(|(ours, theirs)| {
            let value = variables.get(ours)?;
            let value = if *ours == "DFNS_API_URL" && value == "https://api.dfns.io" {
                "api.dfns.io"
            } else {
                value
            };
            Some(json!({"key": theirs, "value": value, "type": "secret", "enabled": true}))
        })
        .collect();
    json!({"id": "1", "name": "Dfns", "values": values, "_postman_variable_scope": "environment"})
}

/// Status and message of a check of the first subject.
fn check(run: &Run, id: &str) -> (String, String) {
    let document = run.json();
    let checks = document["subjects"][0]["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 17, "{run:?}");
    let found = checks.iter().find(|check| check["id"] == id).unwrap();
    assert!(found["ms"].is_u64());
    let hint = found["hint"].as_str().unwrap_or_default();
    let status = found["status"].as_str().unwrap();
    if matches!(status, "fail" | "warn") {
        assert!(!hint.is_empty(), "{id} has no hint: {found}");
    }
    (
        status.to_owned(),
        format!("{} {hint}", found["message"].as_str().unwrap()),
    )
}

fn no_secret(healthy: &Healthy, run: &Run) {
    let key: String = healthy.pem.lines().filter(|line| !line.starts_with("---")).collect();
    for secret in [healthy.token.as_str(), key.as_str()] {
        for start in (0..secret.len().saturating_sub(16)).step_by(8) {
            let piece = &secret[start..start + 16];
            assert!(
                !run.stdout.contains(piece) && !run.stderr.contains(piece),
                "a secret is shown: {run:?}"
            );
        }
    }
}

#[test]
fn a_healthy_environment_is_safe_in_every_form() {
    let healthy = Healthy::new();
    for form in [Form::Postman, Form::Dotenv, Form::Process] {
        let before = healthy.sandbox.calls().len();
        let run = healthy.verify(form, &healthy.variables, &["--strict"]);
        assert_eq!(run.code, 0, "{form:?}: {run:?}");
        assert_eq!(run.json()["ok"], true);
        assert_eq!(
            healthy.sandbox.calls().len() - before,
            2,
            "the signed test call is two requests"
        );
        no_secret(&healthy, &run);
    }
}

struct Wound {
    name: &'static str,
    forms: &'static [Form],
    make: fn(&mut Variables),
    check: &'static str,
    status: &'static str,
    exit: i32,
    words: &'static str,
}

const ALL: &[Form] = &[Form::Postman, Form::Dotenv, Form::Process];
const SDK: &[Form] = &[Form::Dotenv, Form::Process];

fn edit(variables: &mut Variables, name: &'static str, change: impl FnOnce(&str) -> String) {
    let changed = change(&variables[name]);
    variables.insert(name, changed);
}

fn forged(claims: &Value) -> String {
    use base64ct::Base64UrlUnpadded;
    format!(
        "e30.{}.AAAA",
        Base64UrlUnpadded::encode_string(claims.to_string().as_bytes())
    )
}

#[rustfmt::skip]
const WOUNDS: &[Wound] = &[
    Wound { name: "new lines lost", forms: ALL, check: "key.parses", status: "fail", exit: 5, words: "lost its line breaks",
        make: |v| edit(v, "DFNS_PRIVATE_KEY", |k| k.replace('\n', "")) },
    Wound { name: "new lines turned into spaces", forms: ALL, check: "key.parses", status: "fail", exit: 5, words: "once mended: SHA256:",
        make: |v| edit(v, "DFNS_PRIVATE_KEY", |k| k.trim().replace('\n', " ")) },
    Wound { name: "new lines lost: the signature", forms: ALL, check: "signature.accepted", status: "fail", exit: 5, words: "with the mended key: accepted",
        make: |v| edit(v, "DFNS_PRIVATE_KEY", |k| k.replace('\n', "")) },
    Wound { name: "new lines written out, Postman", forms: &[Form::Postman], check: "key.parses", status: "fail", exit: 5, words: "`\\n` written out",
        make: |v| edit(v, "DFNS_PRIVATE_KEY", |k| k.replace('\n', "\\n")) },
    Wound { name: "new lines written out, SDK", forms: SDK, check: "key.parses", status: "warn", exit: 0, words: "`\\n` written out",
        make: |v| edit(v, "DFNS_PRIVATE_KEY", |k| k.replace('\n', "\\n")) },
    Wound { name: "key in quotes", forms: ALL, check: "key.parses", status: "fail", exit: 5, words: "quotes around the key",
        make: |v| edit(v, "DFNS_PRIVATE_KEY", |k| format!("\"{}\"", k.trim())) },
    Wound { name: "base64 of the PEM, Postman", forms: &[Form::Postman], check: "key.parses", status: "fail", exit: 5, words: "base64 of a PEM file",
        make: |v| edit(v, "DFNS_PRIVATE_KEY", |k| Base64::encode_string(k.as_bytes())) },
    Wound { name: "base64 of the PEM, SDK", forms: SDK, check: "key.parses", status: "warn", exit: 0, words: "base64 of a PEM file",
        make: |v| edit(v, "DFNS_PRIVATE_KEY", |k| Base64::encode_string(k.as_bytes())) },
    Wound { name: "certificate", forms: ALL, check: "key.parses", status: "fail", exit: 5, words: "holds a certificate",
        make: |v| edit(v, "DFNS_PRIVATE_KEY", |_| "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into()) },
    Wound { name: "key truncated", forms: ALL, check: "key.parses", status: "fail", exit: 5, words: "is truncated",
        make: |v| edit(v, "DFNS_PRIVATE_KEY", |k| k[..100].into()) },
    Wound { name: "token with a space", forms: ALL, check: "token.shape", status: "fail", exit: 5, words: "white space",
        make: |v| edit(v, "DFNS_AUTH_TOKEN", |t| t.replacen('.', ". ", 1)) },
    Wound { name: "token with a space behind", forms: ALL, check: "token.shape", status: "fail", exit: 5, words: "white space",
        make: |v| edit(v, "DFNS_AUTH_TOKEN", |t| format!("{t} ")) },
    Wound { name: "token in quotes", forms: ALL, check: "token.shape", status: "fail", exit: 5, words: "quotes around it",
        make: |v| edit(v, "DFNS_AUTH_TOKEN", |t| format!("\"{t}\"")) },
    Wound { name: "token with a line break", forms: ALL, check: "token.shape", status: "fail", exit: 5, words: "line break",
        make: |v| edit(v, "DFNS_AUTH_TOKEN", |t| format!("{t}\n")) },
    Wound { name: "token with Bearer", forms: ALL, check: "token.shape", status: "fail", exit: 5, words: "`Bearer`",
        make: |v| edit(v, "DFNS_AUTH_TOKEN", |t| format!("Bearer {t}")) },
    Wound { name: "token without JSON", forms: ALL, check: "token.shape", status: "fail", exit: 5, words: "not base64url of a JSON object",
        make: |v| edit(v, "DFNS_AUTH_TOKEN", |_| "abc.def.ghi".into()) },
    Wound { name: "token with two parts", forms: ALL, check: "token.shape", status: "fail", exit: 5, words: "2 parts",
        make: |v| edit(v, "DFNS_AUTH_TOKEN", |t| t.rsplit_once('.').unwrap().0.into()) },
    Wound { name: "token expired", forms: ALL, check: "token.expiry", status: "fail", exit: 5, words: "expired on 1970",
        make: |v| edit(v, "DFNS_AUTH_TOKEN", |_| forged(&json!({"exp": 1}))) },
    Wound { name: "token nobody made", forms: ALL, check: "token.accepted", status: "fail", exit: 5, words: "the token is invalid",
        make: |v| edit(v, "DFNS_AUTH_TOKEN", |_| forged(&json!({"exp": 4_000_000_000_i64}))) },
    Wound { name: "token of another region", forms: ALL, check: "token.accepted", status: "fail", exit: 5, words: "made by api.uae.dfns.io",
        make: |v| edit(v, "DFNS_AUTH_TOKEN", |_| forged(&json!({"iss": "https://api.uae.dfns.io"}))) },
    Wound { name: "token of another organisation", forms: SDK, check: "token.organisation", status: "fail", exit: 5, words: "not to or-other",
        make: |v| edit(v, "DFNS_ORG_ID", |_| "or-other".into()) },
    Wound { name: "our key not among them", forms: SDK, check: "credential.registered", status: "fail", exit: 5, words: "credential other is not among its 1",
        make: |v| edit(v, "DFNS_CRED_ID", |_| "other".into()) },
    Wound { name: "domain with scheme", forms: &[Form::Postman], check: "api.url", status: "fail", exit: 5, words: "has a scheme in front",
        make: |v| edit(v, "DFNS_API_URL", |_| "https://api.dfns.io/".into()) },
    Wound { name: "domain with path", forms: &[Form::Postman], check: "api.url", status: "fail", exit: 5, words: "has a path behind the host",
        make: |v| edit(v, "DFNS_API_URL", |_| "api.dfns.io/auth".into()) },
    Wound { name: "domain with a slash", forms: &[Form::Postman], check: "api.url", status: "fail", exit: 5, words: "slash at its end",
        make: |v| edit(v, "DFNS_API_URL", |_| "api.dfns.io/".into()) },
    Wound { name: "url with a slash", forms: SDK, check: "api.url", status: "warn", exit: 0, words: "slash at its end",
        make: |v| edit(v, "DFNS_API_URL", |_| "https://api.dfns.io/".into()) },
    Wound { name: "url with a path", forms: SDK, check: "api.url", status: "fail", exit: 5, words: "a path",
        make: |v| edit(v, "DFNS_API_URL", |_| "https://api.dfns.io/v1".into()) },
    Wound { name: "url without scheme", forms: SDK, check: "api.url", status: "fail", exit: 5, words: "no scheme",
        make: |v| edit(v, "DFNS_API_URL", |_| "api.dfns.io".into()) },
    Wound { name: "url in plain http", forms: SDK, check: "api.url", status: "fail", exit: 5, words: "plain http",
        make: |v| edit(v, "DFNS_API_URL", |_| "http://api.dfns.io".into()) },
    Wound { name: "deprecated staging", forms: SDK, check: "api.url", status: "warn", exit: 0, words: "deprecated",
        make: |v| edit(v, "DFNS_API_URL", |_| "https://api.dfns.ninja".into()) },
    Wound { name: "origin no origin", forms: ALL, check: "origin.shape", status: "fail", exit: 5, words: "no scheme",
        make: |v| edit(v, "DFNS_ORIGIN", |_| "app.dfns.io".into()) },
    Wound { name: "origin of another application", forms: ALL, check: "signature.accepted", status: "fail", exit: 5, words: "does not accept the origin",
        make: |v| edit(v, "DFNS_ORIGIN", |_| "https://other.example.com".into()) },
    Wound { name: "origin missing in Postman", forms: &[Form::Postman], check: "source.complete", status: "warn", exit: 0, words: "applicationOrigin is missing",
        make: |v| { v.remove("DFNS_ORIGIN"); } },
    Wound { name: "token missing", forms: ALL, check: "source.complete", status: "fail", exit: 5, words: "is missing",
        make: |v| { v.remove("DFNS_AUTH_TOKEN"); } },
    Wound { name: "credential id missing", forms: SDK, check: "source.complete", status: "fail", exit: 5, words: "DFNS_CRED_ID is missing",
        make: |v| { v.remove("DFNS_CRED_ID"); } },
    Wound { name: "key empty", forms: ALL, check: "source.complete", status: "fail", exit: 5, words: "is empty",
        make: |v| edit(v, "DFNS_PRIVATE_KEY", |_| String::new()) },
];

#[test]
fn each_wound_ends_in_its_own_check() {
    let healthy = Healthy::new();
    for wound in WOUNDS {
        for form in wound.forms {
            let mut variables = healthy.variables.clone();
            (wound.make)(&mut variables);
            let run = healthy.verify(*form, &variables, &[]);
            let what = format!("{} in {form:?}", wound.name);
            let (status, message) = check(&run, wound.check);
            assert_eq!(status, wound.status, "{what}: {run:?}");
            assert!(message.contains(wound.words), "{what}: {message}");
            assert_eq!(run.code, wound.exit, "{what}: {run:?}");
            assert_eq!(run.json()["ok"], run.code == 0, "{what}");
            no_secret(&healthy, &run);
            if wound.exit == 0 {
                let strict = healthy.verify(*form, &variables, &["--strict"]);
                assert_eq!(strict.code, 5, "--strict: {what}");
            }
            let offline = healthy.verify(*form, &variables, &["--offline"]);
            if !["token.accepted", "signature.accepted", "credential.registered"].contains(&wound.check) {
                assert_eq!(check(&offline, wound.check).0, wound.status, "--offline: {what}");
            }
            assert_eq!(check(&offline, "api.reachable").0, "skip", "{what}");
        }
    }
}

#[test]
fn keys_of_other_kinds_are_named() {
    if !peer("openssl") {
        return;
    }
    let healthy = Healthy::new();
    let openssl = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        String::from_utf8(peer_ok(command.args(arguments).current_dir(healthy.env.home.path()))).unwrap()
    };
    let cases = [
        (
            openssl(&["ec", "-in", "key.pem", "-pubout"]),
            "key.parses",
            "holds a public key",
        ),
        (
            openssl(&["ecparam", "-genkey", "-name", "secp256k1", "-noout"]),
            "key.curve",
            "secp256k1",
        ),
        (openssl(&["genpkey", "-algorithm", "X25519"]), "key.curve", "X25519"),
        (
            openssl(&["pkcs8", "-topk8", "-in", "key.pem", "-passout", "pass:x"]),
            "key.parses",
            "is encrypted",
        ),
    ];
    for (pem, id, words) in cases {
        let mut variables = healthy.variables.clone();
        variables.insert("DFNS_PRIVATE_KEY", pem);
        let run = healthy.verify(Form::Dotenv, &variables, &[]);
        let (status, message) = check(&run, id);
        assert_eq!((status.as_str(), run.code), ("fail", 5), "{words}: {run:?}");
        assert!(message.contains(words), "{message}");
        assert_eq!(check(&run, "signature.accepted").0, "skip");
    }
}

#[test]
fn the_key_of_another_credential_is_told_with_the_one_registered() {
    let healthy = Healthy::with(&[("operations", "Auth:ServiceAccounts:Read,Permissions:Read")]);
    let registered = healthy.env.ok(&["public-key", "key.pem", "--json"]);
    let registered: Value = serde_json::from_str(&registered).unwrap();
    healthy.env.ok(&[
        "generate",
        "--plaintext",
        "--private-key",
        "other.pem",
        "--public-key",
        "other.pub",
    ]);
    let mut variables = healthy.variables.clone();
    let other = std::fs::read_to_string(healthy.env.path("other.pem")).unwrap();
    variables.insert("DFNS_PRIVATE_KEY", other);
    let run = healthy.verify(Form::Dotenv, &variables, &[]);
    assert_eq!(run.code, 5);
    assert_eq!(check(&run, "signature.accepted").0, "fail");
    let (status, message) = check(&run, "public_key.registered");
    assert_eq!(status, "fail");
    assert!(
        message.contains(registered["fingerprint"].as_str().unwrap()),
        "{message}"
    );
}

#[test]
fn deactivated_and_ending_tokens_are_told() {
    let healthy = Healthy::with(&[("days_valid", "10")]);
    let run = healthy.verify(Form::Dotenv, &healthy.variables, &[]);
    assert_eq!(run.code, 0);
    let (status, message) = check(&run, "token.expiry");
    // Ten days less the blink of an eye, or within the same second none.
    let days = message.contains("in 9 days") || message.contains("in 10 days");
    assert!(status == "warn" && days, "{message}");
    let run = healthy.verify(Form::Dotenv, &healthy.variables, &["--min-days", "5"]);
    assert_eq!(check(&run, "token.expiry").0, "pass");
    healthy.sandbox.switch(&healthy.token);
    let run = healthy.verify(Form::Dotenv, &healthy.variables, &[]);
    let (status, message) = check(&run, "token.accepted");
    assert!(status == "fail" && message.contains("deactivated"), "{message}");
    let run = healthy.verify(Form::Postman, &healthy.variables, &["--org-id", "or-other"]);
    assert_eq!(check(&run, "token.organisation").0, "fail");
}

#[test]
fn the_right_one_of_several_keys_is_found_by_trying() {
    let healthy = Healthy::new();
    let second = healthy
        .env
        .ok(&["generate", "--plaintext", "--private-key", "second.pem"]);
    let token_id = {
        let claims = base64ct::Base64UrlUnpadded::decode_vec(healthy.token.split('.').nth(1).unwrap()).unwrap();
        serde_json::from_slice::<Value>(&claims).unwrap()["jti"].clone()
    };
    let body = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("token_id", token_id.as_str().unwrap())
        .append_pair("public_key", &second)
        .finish();
    let kind = [("content-type", "application/x-www-form-urlencoded")];
    let answer = healthy
        .sandbox
        .http("POST", "/dashboard/add-key", &kind, body.as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    // Postman's variables name no credential: ours is the second in the list.
    let run = healthy.verify(Form::Postman, &healthy.variables, &[]);
    assert_eq!(run.code, 0, "{run:?}");
    let (status, message) = check(&run, "credential.registered");
    assert!(status == "pass" && message.contains("one of 2 keys"), "{message}");
    // Named, it is used without trying.
    let before = healthy.sandbox.calls().len();
    let run = healthy.verify(Form::Dotenv, &healthy.variables, &[]);
    assert_eq!((run.code, healthy.sandbox.calls().len() - before), (0, 2));
}

#[test]
fn permissions_are_looked_up_where_they_may_be() {
    let expect = [
        "--expect-permission",
        "Wallets:Create",
        "--expect-permission",
        "Wallets:Read",
    ];
    let granted = Healthy::with(&[(
        "operations",
        "Wallets:Create,Wallets:Read,Auth:ServiceAccounts:Read,Permissions:Read",
    )]);
    let run = granted.verify(Form::Dotenv, &granted.variables, &expect);
    assert_eq!(
        (run.code, check(&run, "permissions.granted").0.as_str()),
        (0, "pass"),
        "{run:?}"
    );
    let lacking = Healthy::with(&[("operations", "Wallets:Read,Auth:ServiceAccounts:Read,Permissions:Read")]);
    let run = lacking.verify(Form::Dotenv, &lacking.variables, &expect);
    let (status, message) = check(&run, "permissions.granted");
    assert!(
        status == "fail" && run.code == 5 && message.contains("not granted: Wallets:Create "),
        "{message}"
    );
    let blind = Healthy::new();
    let run = blind.verify(Form::Dotenv, &blind.variables, &expect);
    let (status, message) = check(&run, "permissions.granted");
    assert!(
        status == "warn" && message.contains("(Auth:ServiceAccounts:Read)"),
        "{message}"
    );
}

#[test]
fn dfns_out_of_reach_is_exit_6_and_says_how_far_we_came() {
    let healthy = Healthy::new();
    let reach = |more: &[&str], words: &str| {
        let mut all = more.to_vec();
        all.extend(["--timeout", "3s"]);
        let run = healthy.verify(Form::Dotenv, &healthy.variables, &all);
        let (status, message) = check(&run, "api.reachable");
        assert_eq!((status.as_str(), run.code), ("fail", 6), "{words}: {run:?}");
        assert!(message.contains(words), "{words}: {message}");
        assert_eq!(check(&run, "token.accepted").0, "skip");
    };
    reach(&["--api-url", "https://no-such-host.invalid"], "does not resolve");
    reach(&["--api-url", "http://127.0.0.1:9"], "no connection");
    for (fault, words) in [
        (json!({"fault": "html", "times": 9}), "a web page (HTML)"),
        (json!({"fault": "status", "status": 429, "times": 9}), "limits the rate"),
        (
            json!({"fault": "status", "status": 500, "times": 9}),
            "failing: status 500",
        ),
        (json!({"fault": "redirect", "times": 9}), "redirect"),
    ] {
        healthy.sandbox.fault(&fault);
        reach(&[], words);
        healthy.sandbox.clear_faults();
    }
}

#[test]
fn a_clock_an_hour_off_is_told() {
    let healthy = Healthy::new();
    for (offset, words) in [(3600, "behind"), (-3600, "ahead of")] {
        healthy.sandbox.clock_offset(offset);
        let run = healthy.verify(Form::Dotenv, &healthy.variables, &[]);
        let (status, message) = check(&run, "clock.skew");
        assert!(status == "warn" && message.contains(words), "{message}");
        assert_eq!(run.code, 0);
    }
}

#[test]
fn the_clock_is_told_whatever_else_is_refused() {
    let healthy = Healthy::new();
    for (name, value) in [
        ("DFNS_CRED_ID", "other".to_owned()),
        ("DFNS_AUTH_TOKEN", forged(&json!({"exp": 4_000_000_000_i64}))),
    ] {
        let mut variables = healthy.variables.clone();
        variables.insert(name, value);
        let run = healthy.verify(Form::Dotenv, &variables, &[]);
        assert_eq!(check(&run, "clock.skew").0, "pass", "{run:?}");
    }
    healthy
        .sandbox
        .fault(&json!({"fault": "status", "status": 500, "path": "/auth/action", "skip": 1, "times": 9}));
    let run = healthy.verify(Form::Dotenv, &healthy.variables, &[]);
    assert_eq!(check(&run, "clock.skew").0, "pass", "{run:?}");
}

/// A real TLS server with a certificate made here, for `localhost` or not.
struct TlsServer {
    child: Child,
    port: u16,
}

impl TlsServer {
    fn start(env: &TestEnv, host: &str) -> Self {
        let openssl =
            |arguments: &[&str]| peer_ok(Command::new("openssl").args(arguments).current_dir(env.home.path()));
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let authority = [
            "req",
            "-x509",
            "-days",
            "2",
            "-subj",
            "/CN=authority",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
        ];
        openssl(&[&authority[..], &key].concat());
        let subject = format!("/CN={host}");
        let request = [
            "req", "-new", "-subj", &subject, "-keyout", "tls.key", "-out", "tls.csr",
        ];
        openssl(&[&request[..], &key].concat());
        env.write("ext", format!("subjectAltName=DNS:{host}\nbasicConstraints=CA:FALSE\n"));
        openssl(&[
            "x509",
            "-req",
            "-days",
            "2",
            "-in",
            "tls.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-extfile",
            "ext",
            "-out",
            "tls.pem",
        ]);
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let child = Command::new("openssl")
            .args([
                "s_server", "-quiet", "-www", "-cert", "tls.pem", "-key", "tls.key", "-accept",
            ])
            .arg(port.to_string())
            .current_dir(env.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Self { child, port }
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_certificate_that_is_not_right_is_named() {
    if !peer("openssl") {
        return;
    }
    let healthy = Healthy::new();
    for (host, trusted, words) in [
        ("localhost", false, "by an authority this machine does not know"),
        ("other.example.com", true, "the certificate is for another name"),
        // Trusted and rightly named, the session stands; openssl's server just has no answer to a POST.
        ("localhost", true, "no answer in time"),
    ] {
        let server = TlsServer::start(&healthy.env, host);
        let url = format!("https://localhost:{}", server.port);
        healthy.private("e.env", &dotenv(&healthy.variables));
        let mut command = healthy.env.command(&[
            "verify",
            "--json",
            "--dotenv",
            "e.env",
            "--timeout",
            "1s",
            "--api-url",
            &url,
        ]);
        if trusted {
            command.env("SSL_CERT_FILE", healthy.env.path("ca.pem"));
        }
        let run = Run::of(&mut command);
        let (status, message) = check(&run, "api.reachable");
        assert_eq!((status.as_str(), run.code), ("fail", 6), "{words}: {run:?}");
        assert!(message.contains(words), "{words}: {message}");
    }
}

#[test]
fn files_that_cannot_be_read_are_told() {
    let healthy = Healthy::new();
    let cases = [
        ("--postman", "missing.json", None, "no such file"),
        ("--postman", "a.json", Some("no JSON"), "line 1: it is not JSON"),
        (
            "--postman",
            "b.json",
            Some(r#"{"info":{},"item":[]}"#),
            "a Postman collection",
        ),
        ("--postman", "c.json", Some(r#"{"a":1}"#), "no list `values`"),
        ("--dotenv", "d.env", Some("A=1\nnonsense\n"), "line 2: it has no `=`"),
    ];
    for (flag, file, contents, words) in cases {
        if let Some(contents) = contents {
            healthy.private(file, contents);
        }
        let run = healthy.env.run(&["verify", "--json", flag, file]);
        let (status, message) = check(&run, "source.readable");
        assert_eq!((status.as_str(), run.code), ("fail", 5), "{run:?}");
        assert!(
            message.to_lowercase().contains(&words.to_lowercase()),
            "{words}: {message}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_source_that_others_can_read_is_told_of() {
    let healthy = Healthy::new();
    healthy.private("e.env", &dotenv(&healthy.variables));
    support::set_mode(&healthy.env.path("e.env"), 0o644);
    let run = healthy.env.run(&["verify", "--json", "--dotenv", "e.env", "--offline"]);
    let (status, message) = check(&run, "source.readable");
    assert!(
        status == "warn" && message.contains("mode 644") && message.contains("chmod 600 e.env"),
        "{message}"
    );
}

#[test]
fn names_and_addresses_that_disagree_are_told() {
    let healthy = Healthy::new();
    let mut variables = healthy.variables.clone();
    variables.insert("DFNS_API_URL", "https://api.dfns.ninja".to_owned());
    healthy.private("production.env", &dotenv(&variables));
    let run = healthy
        .env
        .run(&["verify", "--json", "--dotenv", "production.env", "--offline"]);
    let (status, message) = check(&run, "api.url");
    assert!(
        status == "warn" && message.contains("sounds like production"),
        "{message}"
    );
    healthy.private("staging.env", &dotenv(&healthy.variables));
    let run = healthy
        .env
        .run(&["verify", "--json", "--dotenv", "staging.env", "--offline"]);
    let (status, message) = check(&run, "api.url");
    assert!(status == "warn" && message.contains("sounds like staging"), "{message}");
}

#[test]
fn people_get_a_table_that_needs_no_colour_and_eighty_columns() {
    let healthy = Healthy::new();
    let mut variables = healthy.variables.clone();
    edit(&mut variables, "DFNS_PRIVATE_KEY", |key| key.replace('\n', ""));
    healthy.private("e.json", &postman(&variables).to_string());
    let run = healthy
        .env
        .run(&["verify", "--postman", "e.json", "--api-url", &healthy.sandbox.url]);
    assert_eq!(run.code, 5);
    for line in run.stdout.lines() {
        assert!(line.chars().count() <= 80, "{line}");
        assert!(!line.contains('\u{1b}'), "{line}");
    }
    for words in ["FAIL key.parses", "pass token.shape", "skip permissions.granted"] {
        assert!(run.stdout.contains(words), "{words}: {}", run.stdout);
    }
    assert!(
        run.stdout
            .ends_with("2 of 17 checks failed. Not safe to use as it is.\n"),
        "{}",
        run.stdout
    );
    let run = healthy
        .env
        .run(&["verify", "--postman", "e.json", "--offline", "--color", "always"]);
    assert!(run.stdout.contains("\u{1b}["), "colour when asked for");
}

#[test]
fn all_credentials_are_verified_at_once_with_one_unlocking() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start_with(&["--latency", "100"]);
    let mut last = String::new();
    for number in 0..12 {
        last = env.onboard(&sandbox, &format!("n{number:02}"));
    }
    env.prepare(&sandbox, "waiting");
    sandbox.switch(&last);
    let before = sandbox.calls().len();
    let run = env.run(&["verify", "--all"]);
    assert_eq!(run.code, 5, "{run:?}");
    assert!(
        run.stdout.contains("n00  all checks pass") && run.stdout.contains("✗ FAIL token.accepted"),
        "{run:?}"
    );
    assert!(run.stderr.contains("waiting is pending and left out"));
    // Eleven healthy ones at two requests, and the one whose challenge is refused.
    assert_eq!(sandbox.calls().len() - before, 23);
    let document = env.run(&["verify", "--all", "--json"]).json();
    let subjects = document["subjects"].as_array().unwrap();
    let names: Vec<&str> = subjects
        .iter()
        .map(|subject| subject["subject"].as_str().unwrap())
        .collect();
    assert!(names.is_sorted() && names.len() == 12, "{names:?}");
}

#[test]
fn a_pending_name_among_several_fails_alone_and_stops_nothing() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "good");
    env.prepare(&sandbox, "waiting");
    let before = sandbox.calls().len();
    let run = env.run(&["verify", "good", "waiting", "--json"]);
    assert_eq!(run.code, 5, "{run:?}");
    assert_eq!(
        sandbox.calls().len() - before,
        2,
        "the good one was asked about, and no other"
    );
    let document = run.json();
    let subject = |number: usize| &document["subjects"][number];
    assert_eq!(
        (&subject(0)["subject"], &subject(0)["ok"]),
        (&json!("good"), &json!(true))
    );
    assert_eq!(
        (&subject(1)["subject"], &subject(1)["ok"]),
        (&json!("waiting"), &json!(false))
    );
    let failed = |check: &&Value| check["status"] == "fail";
    let checks = subject(1)["checks"].as_array().unwrap();
    let failures: Vec<&Value> = checks.iter().filter(failed).collect();
    assert_eq!((checks.len(), failures.len()), (17, 1), "{run:?}");
    assert_eq!(failures[0]["id"], "source.complete");
    let words = format!("{} {}", failures[0]["message"], failures[0]["hint"]);
    assert!(
        words.contains("no token yet") && words.contains("dfns-keys onboard waiting"),
        "{words}"
    );
    // Alone it is no verification at all, but a credential in the wrong state.
    env.run(&["verify", "waiting"]).fails(3, &["waiting has no token yet"]);
}

#[test]
fn a_damaged_credential_among_several_fails_alone_and_stops_nothing() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "bad");
    env.onboard(&sandbox, "good");
    let file = std::fs::read_to_string(env.credential_file("bad")).unwrap();
    std::fs::write(
        env.credential_file("bad"),
        file.replace(&sandbox.url, "http://127.0.0.1:9"),
    )
    .unwrap();
    for names in [&["bad", "good"][..], &["--all"]] {
        let mut arguments = vec!["verify", "--json"];
        arguments.extend_from_slice(names);
        let run = env.run(&arguments);
        assert_eq!(
            run.code, 4,
            "a damaged vault is worse than a refused credential: {run:?}"
        );
        let document = run.json();
        assert_eq!(
            (&document["ok"], &document["subjects"][1]["ok"]),
            (&json!(false), &json!(true))
        );
        let (status, message) = check(&run, "source.readable");
        assert_eq!(status, "fail");
        assert!(message.contains("api_url"), "{message}");
    }
    env.run(&["verify", "bad"]).fails(4, &["api_url"]);
}

#[test]
fn quiet_means_what_failed_and_nothing_else() {
    let healthy = Healthy::new();
    let run = healthy.verify(Form::Dotenv, &healthy.variables, &[]);
    assert_eq!(run.code, 0);
    let address = ["--api-url", healthy.sandbox.url.as_str()];
    let quietly = |file: &str, more: &[&str]| {
        let arguments = [&["verify", "-q", "--dotenv", file][..], &address, more].concat();
        healthy.env.run(&arguments)
    };
    let run = quietly("e.env", &["--strict"]);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (0, "", ""));
    let mut variables = healthy.variables.clone();
    edit(&mut variables, "DFNS_API_URL", |url| format!("{url}/"));
    healthy.private("warned.env", &dotenv(&variables));
    let run = quietly("warned.env", &[]);
    assert_eq!((run.code, run.stdout.as_str()), (0, ""), "a warning is no failure");
    edit(&mut variables, "DFNS_AUTH_TOKEN", |token| format!("{token} "));
    healthy.private("wrong.env", &dotenv(&variables));
    let arguments = [
        &["verify", "-q", "--dotenv", "e.env", "--dotenv", "wrong.env"][..],
        &address,
    ]
    .concat();
    let run = healthy.env.run(&arguments);
    assert_eq!(run.code, 5, "{run:?}");
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines[0], "wrong.env");
    assert!(lines[1].contains("✗ FAIL token.shape"), "{run:?}");
    assert!(lines.last().unwrap().ends_with("Not safe to use as it is."), "{run:?}");
    for absent in ["pass", "skip", "warn ", "e.env\n"] {
        let elsewhere = run.stdout.replace("wrong.env\n", "");
        assert!(!elsewhere.contains(absent), "{absent}: {run:?}");
    }
}

#[test]
fn a_junit_file_tells_a_pipeline_check_by_check() {
    let healthy = Healthy::new();
    let mut variables = healthy.variables.clone();
    edit(&mut variables, "DFNS_ORIGIN", |_| "<app> & co".to_owned());
    let run = healthy.verify(Form::Dotenv, &variables, &["--junit", "report.xml"]);
    assert_eq!(run.code, 5);
    let xml = std::fs::read_to_string(healthy.env.path("report.xml")).unwrap();
    assert!(
        xml.contains(r#"tests="17""#) && xml.contains(r#"failures="1""#),
        "{xml}"
    );
    assert!(
        xml.contains(r#"<testcase name="origin.shape""#) && xml.contains("&lt;app&gt; &amp; co"),
        "{xml}"
    );
    no_secret(
        &healthy,
        &Run {
            code: 0,
            stdout: xml,
            stderr: String::new(),
        },
    );
    if peer("python3") {
        let script = "import xml.etree.ElementTree as e; r=e.parse('report.xml').getroot(); print(len(r.findall('.//testcase')), len(r.findall('.//failure')))";
        let counts = peer_ok(
            Command::new("python3")
                .args(["-c", script])
                .current_dir(healthy.env.home.path()),
        );
        assert_eq!(String::from_utf8(counts).unwrap().trim(), "17 1");
    }
}

#[test]
fn nothing_to_verify_is_a_usage_error() {
    let env = TestEnv::with_vault();
    env.run(&["verify"]).fails(2, &["required"]);
    env.run(&["verify", "--all", "a"]).fails(2, &["cannot be used with"]);
    env.run(&["verify", "nobody"]).fails(3, &["no credential named nobody"]);
}

/// The page is written from the code: `UPDATE_DOCS=1 cargo test --test verify` writes it anew.
#[test]
fn the_page_of_checks_is_the_codes() {
    use dfns_keys::workflow::verify::CheckId;
    let mut page = String::from(
        "# Checks\n\nWhat `dfns-keys verify` looks at, in this order. Each check ends in *pass*, *warn*, *fail* or *skip* (nothing to check, \
         or no ground to check it on). `--strict` makes warnings failures.\n",
    );
    for (position, id) in CheckId::ALL.iter().enumerate() {
        if position == 0 {
            page.push_str("\n## Without the network\n");
        } else if *id == CheckId::ApiReachable {
            page.push_str("\n## Asking Dfns\n\nThe signed test call is two requests and answers most of these.\n");
        }
        let explanation = id.explanation();
        write!(
            page,
            "\n### `{}`\n\n{}\n\n*Cause.* {}\n\n*Cure.* {}\n",
            id.as_str(),
            explanation.asks,
            explanation.causes,
            explanation.cure
        )
        .unwrap();
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/checks.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(&path).unwrap_or_default(),
        page,
        "UPDATE_DOCS=1 writes it anew"
    );
}

/// From the vault's public part: whoever verifies a file is asked for no passphrase.
#[test]
fn a_file_with_a_key_that_the_vault_here_has_replaced_is_warned_of() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "payments-api");
    let export = ["export", "payments-api", "--format"];
    env.ok(&[&export[..], &["dotenv", "--output", "old.env"]].concat());
    env.ok(&[&export[..], &["postman-environment", "--output", "old.json"]].concat());
    let verify = |arguments: &[&str]| {
        let mut command = env.command(&[&["verify"], arguments].concat());
        Run::of(command.env_remove("DFNS_KEYS_IDENTITY"))
    };
    let all_is_well = verify(&["--dotenv", "old.env", "--strict"]);
    assert_eq!(all_is_well.code, 0, "{all_is_well:?}");

    env.ok(&["rotate", "payments-api"]);
    env.ok(&[&export[..], &["dotenv", "--output", "new.env"]].concat());
    for arguments in [
        &["--dotenv", "old.env"][..],
        &["--postman", "old.json"],
        &["--dotenv", "old.env", "--offline"],
    ] {
        let run = verify(arguments);
        assert_eq!(run.code, 0, "it works: {run:?}");
        let words = run.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            words.contains("warn key.matches_public a rotation of payments-api is under way: this is its old key"),
            "{run:?}"
        );
        assert!(words.contains("`dfns-keys export payments-api --format "), "{run:?}");
    }
    assert_eq!(verify(&["--dotenv", "old.env", "--strict"]).code, 5);
    assert_eq!(verify(&["--dotenv", "new.env", "--strict"]).code, 0);

    env.ok(&["rotate", "payments-api", "--finish"]);
    let run = verify(&["--dotenv", "old.env"]);
    assert_eq!(run.code, 5, "{run:?}");
    assert!(
        run.stdout.contains("the vault has another key for payments-api by now"),
        "{run:?}"
    );
    assert_eq!(verify(&["--dotenv", "new.env", "--strict"]).code, 0);
    // Where there is no vault, or none that can be read, files are verified all the same.
    std::fs::write(env.credential_file("payments-api"), "nonsense").unwrap();
    assert_eq!(verify(&["--dotenv", "new.env", "--strict"]).code, 0);
    std::fs::remove_dir_all(env.vault()).unwrap();
    assert_eq!(verify(&["--dotenv", "new.env", "--strict"]).code, 0);
}

#[test]
fn of_a_source_that_cannot_be_read_people_are_told_in_one_line() {
    let env = TestEnv::new();
    let run = env.run(&["verify", "--postman", "nofile.json"]);
    assert_eq!(run.code, 5, "{run:?}");
    assert!(run.stdout.contains("FAIL source.readable"), "{run:?}");
    assert!(run.stdout.contains("the rest was not looked at"), "{run:?}");
    assert!(!run.stdout.contains("skip"), "{run:?}");
    let document = env.run(&["verify", "--postman", "nofile.json", "--json"]).json();
    let checks = document["subjects"][0]["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 17, "{document}");
    assert!(checks[1..].iter().all(|check| check["status"] == "skip"), "{document}");
}
