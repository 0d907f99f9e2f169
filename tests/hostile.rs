//! Values that would be commands, second lines or second variables to somebody who reads what is handed over: none gets in, and
//! whatever can be an id comes out of every form as it went in, by its real readers.
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::fmt::Write as _;
use std::process::Command;

use dfns_keys::export::{Exportable, Format, PostmanAuth};
use dfns_keys::keys::KeyPair;
use dfns_keys::model::credential::{ActiveGeneration, Environment};
use dfns_keys::model::token::AuthToken;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use support::server::Server;
use support::{Run, Sandbox, TestEnv, lacking, peer, peer_ok, skipped};

/// What does something in a shell, a file of variables, a template, JSON or a terminal.
const HOSTILE: &[&str] = &[
    "a';touch hurt;'",
    "a\";touch hurt;\"",
    "$(touch hurt)",
    "`touch hurt`",
    "a\nDFNS_API_URL=https://evil.example",
    "a\rb",
    "a b",
    "a #b",
    "{{authToken}}",
    "${HOME}",
    "$HOME",
    "a&touch hurt",
    "a|touch hurt",
    "a>hurt",
    "*",
    "a\\",
    "%s",
    "!!",
    "\u{1b}[2J",
    "\u{202e}a",
    "ä",
];

#[test]
fn no_option_takes_a_hostile_value() {
    let env = TestEnv::with_vault();
    for value in HOSTILE {
        for option in ["--app-id", "--org-id"] {
            let argument = format!("{option}={value}");
            env.run(&["onboard", "a", "--prepare", &argument])
                .fails(2, &["characters that none can have"]);
        }
        // A host may have letters of any script: they are written in Punycode.
        for argument in ["--origin", "--api-url"].into_iter().filter(|_| *value != "ä") {
            let argument = format!("{argument}=https://{value}");
            env.run(&["onboard", "a", "--prepare", &argument]).fails(2, &[]);
        }
    }
    assert_eq!(env.ok(&["list", "--json"]).matches("\"name\"").count(), 0);
    assert!(!env.path("hurt").exists());
}

#[test]
fn no_source_brings_a_hostile_value_in() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "a");
    let variables: Value = serde_json::from_str(&env.ok(&["export", "a", "--format", "json"])).unwrap();
    let postman: Value = serde_json::from_str(&env.ok(&["export", "a", "--format", "postman-environment"])).unwrap();
    env.ok(&["remove", "a", "--force", "--yes"]);
    for value in HOSTILE {
        for (variable, key) in [
            ("DFNS_CRED_ID", "credentialId"),
            ("DFNS_APP_ID", "applicationId"),
            ("DFNS_ORG_ID", ""),
            ("DFNS_ORIGIN", "applicationOrigin"),
        ] {
            if variable == "DFNS_ORIGIN" && *value == "ä" {
                continue;
            }
            let value = if variable == "DFNS_ORIGIN" {
                format!("https://{value}")
            } else {
                (*value).to_owned()
            };
            let mut file = String::new();
            for (name, healthy) in variables.as_object().unwrap() {
                if name != variable {
                    writeln!(file, "{name}='{}'", healthy.as_str().unwrap()).unwrap();
                }
            }
            let escaped = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n")
                .replace('\r', "\\r");
            env.write("hostile.env", format!("{file}{variable}=\"{escaped}\"\n"));
            let mut sources = vec![("--dotenv", "hostile.env")];
            if !key.is_empty() {
                let mut document = postman.clone();
                let values = document["values"].as_array_mut().unwrap();
                values.retain(|one| one["key"] != key);
                values.push(json!({"key": key, "value": value, "enabled": true}));
                env.write("hostile.json", document.to_string());
                sources.push(("--postman", "hostile.json"));
            }
            for (flag, file) in sources {
                let run = env.run(&["import", "b", flag, file]);
                run.fails(2, &[if flag == "--dotenv" { variable } else { key }]);
                let run = env.run(&["verify", flag, file, "--json", "--offline"]);
                assert_eq!(run.code, 5, "{value:?} in {variable}: {run:?}");
            }
        }
    }
    assert!(!env.credential_file("b").exists() && !env.path("hurt").exists());
}

#[test]
fn no_answer_of_dfns_brings_a_hostile_value_in() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    let token = env.prepare(&sandbox, "a");
    env.write("token", &token);
    for value in HOSTILE {
        let challenge = json!({
            "challenge": "c", "challengeIdentifier": "i", "userAction": "u",
            "allowCredentials": {"key": [{"type": "public-key", "id": value}]},
        });
        let server = Server::start(200, "", &challenge.to_string());
        let name = "hostile";
        env.ok(&["onboard", name, "--prepare", "--api-url", &server.url]);
        let run = env.run(&["onboard", name, "--token-file", "token"]);
        run.fails(6, &["an id that is none"]);
        env.ok(&["remove", name, "--force", "--yes"]);
    }
    assert!(!env.path("hurt").exists());
}

/// Whoever has a vault of an earlier version is told which value is refused, and how to go on.
#[test]
fn a_refused_value_in_an_old_vault_is_named() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "a");
    env.onboard(&sandbox, "good");
    let file = std::fs::read_to_string(env.credential_file("a")).unwrap();
    let mut document: Value = serde_json::from_str(&file).unwrap();
    document["public"]["app_id"] = "my $(app)".into();
    env.write("vault/credentials/a.json", document.to_string());
    for arguments in [
        &["show", "a"][..],
        &["verify", "a"],
        &["export", "a", "--format", "dotenv"],
        &["exec", "a", "--", "sh", "-c", ":"],
    ] {
        let run = env.run(arguments);
        run.fails(
            4,
            &[
                "`app_id` that is refused",
                "`my $(app)` is not an application's id",
                "age -d",
                "dfns-keys import",
            ],
        );
    }
    let run = env.run(&["list"]);
    assert!(
        run.stdout.contains("good"),
        "one refused value stops nothing else: {run:?}"
    );
    assert!(
        run.stdout.contains("app_id") || run.stderr.contains("app_id"),
        "{run:?}"
    );
    env.ok(&["verify", "good"]);
}

/// So many cases go through each reader at once.
const CASES: usize = 64;

/// A credential whose ids have any characters that they may have.
fn credential(runner: &mut TestRunner) -> (Environment, ActiveGeneration) {
    let mut random = |pattern: &str| {
        proptest::string::string_regex(pattern)
            .unwrap()
            .new_tree(runner)
            .unwrap()
            .current()
    };
    // In groups, as no text that is random for long is an id of Dfns's.
    let named = "[a-z._:-]{1,9}([._:-][a-z0-9]{1,9}){0,4}|[A-Z][a-z]{1,9}[._:-]";
    let pair = KeyPair::generate().unwrap();
    let environment = Environment {
        api_url: format!("https://{}.example", random("[a-z]{1,9}")).parse().unwrap(),
        origin: format!(
            "https://{}.example:{}",
            random("[a-z][a-z_-]{0,8}[a-z]"),
            random("[1-9][0-9]{0,3}")
        )
        .parse()
        .unwrap(),
        application_id: Some(random(named).parse().unwrap()),
        organisation_id: Some(random(named).parse().unwrap()),
    };
    let token = support_token(&random("[A-Za-z0-9_-]{40}"));
    let generation = ActiveGeneration {
        private_key: pair.to_sealable(),
        public_key: pair.public_key().to_text(),
        token: AuthToken::parse(&token).ok().unwrap(),
        credential_id: Some(random("[A-Za-z0-9._~+/=:-]{1,60}").parse().unwrap()),
        identity_id: None,
        token_id: None,
    };
    (environment, generation)
}

fn support_token(signature: &str) -> String {
    use base64ct::{Base64UrlUnpadded, Encoding};
    format!("e30.{}.{signature}", Base64UrlUnpadded::encode_string(b"{}"))
}

/// The variables as each of many files has them, by one run of a program that reads `0.EXT`, `1.EXT` and so on, and prints a
/// JSON array of objects.
fn read_back(env: &TestEnv, program: &str, arguments: &[&str]) -> Vec<Value> {
    let mut command = env.bare(program);
    let output = peer_ok(command.args(arguments).env("CASES", CASES.to_string()));
    serde_json::from_slice(&output).unwrap()
}

#[test]
fn every_form_is_read_back_as_it_was_by_its_real_readers() {
    let env = TestEnv::new();
    let mut runner = TestRunner::default();
    let name = "a".parse().unwrap();
    let mut expected: Vec<Value> = Vec::new();
    for case in 0..CASES {
        let (environment, generation) = credential(&mut runner);
        let exportable = Exportable {
            name: &name,
            environment: &environment,
            generation: &generation,
        };
        let variables = exportable.variables().unwrap().into_iter();
        expected.push(
            variables
                .map(|(name, value)| (name.to_owned(), value.as_str().into()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        );
        for (format, ending) in [
            (Format::Dotenv, "env"),
            (Format::Github, "github"),
            (Format::DockerEnv, "docker"),
            (Format::Json, "json"),
            (Format::Kubernetes, "secret.json"),
            (Format::PostmanEnvironment(PostmanAuth::V2), "postman.json"),
        ] {
            env.write(
                &format!("{case}.{ending}"),
                exportable.render(&format).unwrap().as_bytes(),
            );
        }
    }
    let names = "DFNS_API_URL DFNS_AUTH_TOKEN DFNS_CRED_ID DFNS_PRIVATE_KEY DFNS_APP_ID DFNS_ORIGIN DFNS_ORG_ID";
    if peer("bash") && peer("jq") {
        let script = format!(
            "for ((n = 0; n < CASES; n++)); do (set -eu; set -a; source ./$n.env; jq -n '[\"{}\"] | map({{(.): env[.]}}) | add'); done | jq -s .",
            names.replace(' ', "\",\"")
        );
        assert_eq!(read_back(&env, "bash", &["-c", &script]), expected, "bash");
    }
    if peer("node") {
        let script = "const { readFileSync: read } = require('fs'); const { parseEnv } = require('util');\
            console.log(JSON.stringify([...Array(+process.env.CASES).keys()].map((n) => parseEnv(read(n + '.env', 'utf8')))))";
        if Run::of(env.bare("node").args(["-e", "require('util').parseEnv('')"])).code == 0 {
            assert_eq!(read_back(&env, "node", &["-e", script]), expected, "node");
        } else {
            lacking("node 20.12 or newer is not installed");
        }
    }
    if peer("python3") {
        let all = |read: &str| {
            format!("import base64, json, os\nprint(json.dumps([{read} for n in range(int(os.environ['CASES']))]))")
        };
        let json = all("json.load(open(f'{n}.json'))");
        assert_eq!(read_back(&env, "python3", &["-c", &json]), expected, "a JSON reader");
        let secret = all(
            "{k: base64.b64decode(v, validate=True).decode() for k, v in json.load(open(f'{n}.secret.json'))['data'].items()}",
        );
        assert_eq!(read_back(&env, "python3", &["-c", &secret]), expected, "a Secret");
        // docker takes each line as it stands, from behind its first `=`.
        let docker = all(
            "dict((k, base64.b64decode(v).decode() if k == 'DFNS_PRIVATE_KEY' else v) for k, v in (l.split('=', 1) \
             for l in open(f'{n}.docker', newline='\\n').read().split('\\n') if l) if k != 'DFNS_PRIVATE_KEY_ENCODING')",
        );
        assert_eq!(
            read_back(&env, "python3", &["-c", &docker]),
            expected,
            "docker's --env-file"
        );
        // Its library is among what `make interop` installs.
        if let Some(tools) = std::env::var_os("DFNS_KEYS_TEST_INTEROP") {
            let python = std::path::absolute(tools).unwrap().join("python/bin/python");
            let dotenv = all("dict(__import__('dotenv').dotenv_values(f'{n}.env'))");
            let read = read_back(&env, python.to_str().unwrap(), &["-c", &dotenv]);
            assert_eq!(read, expected, "python-dotenv");
        } else {
            skipped("python-dotenv is judged by `make interop`");
        }
        let postman = all("{v['key']: v['value'] for v in json.load(open(f'{n}.postman.json'))['values']}");
        for (read, expected) in read_back(&env, "python3", &["-c", &postman]).iter().zip(&expected) {
            for (theirs, ours) in [
                ("authToken", "DFNS_AUTH_TOKEN"),
                ("credentialPrivateKey", "DFNS_PRIVATE_KEY"),
                ("applicationId", "DFNS_APP_ID"),
                ("applicationOrigin", "DFNS_ORIGIN"),
                ("credentialId", "DFNS_CRED_ID"),
            ] {
                assert_eq!(read[theirs], expected[ours]);
                assert!(
                    !read[theirs].as_str().unwrap().contains("{{"),
                    "a variable of Postman's"
                );
            }
        }
    }
    // By ourselves, through the program.
    for case in [0, CASES / 2, CASES - 1] {
        for ending in ["env", "docker"] {
            let run = env.run(&["verify", "--offline", "--json", "--dotenv", &format!("{case}.{ending}")]);
            let document = run.json();
            let checks = document["subjects"][0]["checks"].as_array().unwrap();
            let complete = checks.iter().find(|check| check["id"] == "source.complete").unwrap();
            assert_eq!(complete["status"], "pass", "{run:?}");
        }
    }
}

/// A shell that sources a file of a hostile credential would do what it says. The check that none does can fail.
#[test]
fn a_sourced_file_can_do_harm() {
    let env = TestEnv::new();
    env.write("a.env", "DFNS_APP_ID='a';: >hurt;: ''\n");
    peer_ok(
        Command::new("sh")
            .args(["-c", ". ./a.env"])
            .current_dir(env.home.path()),
    );
    assert!(env.path("hurt").exists());
}
