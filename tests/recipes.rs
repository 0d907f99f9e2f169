//! The tools that recipes run, played by stand-ins that write down what they see and have moods: each thing that goes wrong with
//! one is a sentence and exit code 7, the other places are delivered, and no tool sees a secret but on its stdin.
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;

use serde_json::{Value, json};
use support::places::program;
use support::{Run, Sandbox, TestEnv, peer};

/// With what a shell has alone. `$HOME/mood` says what goes wrong. What was put stands in `$HOME/place-NAME`.
const SCRIPT: &str = r#"#!/bin/sh
name=${0##*/}
printf '%s\n' "$name $*" >>"$HOME/seen/arguments"
export -p >>"$HOME/seen/environment"
line() { line=; { IFS= read -r line <"$HOME/$1"; } 2>/dev/null; }
keep() { while IFS= read -r one || [ -n "$one" ]; do printf '%s\n' "$one"; done >"$HOME/place-$name"; }
case $* in
*"config view"* | *get-caller-identity* | *"configure list"* | "api repos/"*) verb=where ;;
*apply* | *put-* | *create-secret* | *"secret set"*) verb=put ;;
*) verb=get ;;
esac
line mood
case $verb-$line in
*-rubbish) echo "<html>"; exit ;;
*-flood) y=yyyyyyyyyyyyyyyy y=$y$y$y$y$y$y$y$y; while :; do echo "$y$y$y$y$y$y$y$y"; done ;;
*-hang) kill -STOP $$ ;;
*-signedout) line signed-out-$name; echo "$line" >&2; exit 1 ;;
put-refuse) echo "no room left" >&2; exit 1 ;;
put-echo) while IFS= read -r one || [ -n "$one" ]; do printf '%s\n' "$one"; done >&2; exit 1 ;;
esac
case $name-$verb-$* in
kubectl-where-*) echo "https://k8s.example:6443 YQ==" ;;
aws-where-sts*) echo 123456789012 ;;
aws-where-*) echo "    region    eu-central-1    env    AWS_DEFAULT_REGION" ;;
gh-where-*) printf 'https://github.com/acme/app\t42\n' ;;
kubectl-put-*) keep; echo secret/x serverside-applied ;;
aws-put-*) keep; echo '{"VersionId": "1", "Version": 1}' ;;
gh-put-*) keep ;;
*-get-*) echo "AccessDenied: you may put, and not read" >&2; exit 1 ;;
esac
"#;

/// Each kind, its tool, and what that one says when nobody is signed in.
const KINDS: [(&str, &str, &str, &str); 4] = [
    (
        "kubernetes:payments/x",
        "kubectl",
        "error: You must be logged in to the server",
        "sign in to the cluster",
    ),
    (
        "aws-secrets-manager:payments",
        "aws",
        "Unable to locate credentials",
        "aws sso login",
    ),
    (
        "aws-ssm:/payments?region=eu-west-1",
        "aws",
        "Error when retrieving token from sso: SSO Token has expired",
        "aws sso login",
    ),
    (
        "github:acme/app",
        "gh",
        "To get started with GitHub CLI, please run: gh auth login",
        "gh auth login",
    ),
];

struct Scene {
    env: TestEnv,
    _sandbox: Sandbox,
}

impl Scene {
    fn new() -> Self {
        let env = TestEnv::with_vault();
        let sandbox = Sandbox::start();
        env.onboard(&sandbox, "a");
        std::fs::create_dir(env.path("seen")).unwrap();
        for name in ["kubectl", "aws", "gh"] {
            program(&env, name, SCRIPT);
        }
        Self { env, _sandbox: sandbox }
    }

    fn deliver(&self, arguments: &[&str]) -> Run {
        self.env.run(&[&["deliver", "a"], arguments].concat())
    }
}

#[test]
fn a_tool_gets_the_secret_by_stdin_alone_and_says_where_it_leads() {
    let scene = Scene::new();
    let token = scene.env.open("a")["active"]["token"].as_str().unwrap().to_owned();
    for ((target, tool, ..), place) in KINDS.iter().zip([
        "the cluster at https://k8s.example:6443 with the authority ypeBEsobvcr6wjGz",
        "account 123456789012, region eu-central-1",
        "account 123456789012",
        "https://github.com/acme/app, repository 42",
    ]) {
        let run = scene.deliver(&["--to", target]);
        assert_eq!(run.code, 0, "{run:?}");
        assert!(
            run.stdout.contains(&format!("({place})  in sync, not read back")),
            "{place}: {run:?}"
        );
        let put = std::fs::read_to_string(scene.env.path(&format!("place-{tool}"))).unwrap();
        assert!(
            put.contains(&token) || put.contains("\"kind\":\"Secret\""),
            "{target}: {put}"
        );
    }
    let fields = scene.deliver(&["--to", "github:acme/app?format=fields&environment=production"]);
    assert_eq!(fields.code, 0, "{fields:?}");
    let seen = |what: &str| std::fs::read_to_string(scene.env.path(&format!("seen/{what}"))).unwrap();
    for what in ["arguments", "environment"] {
        let text = seen(what);
        assert!(
            !text.contains(&token) && !text.contains("PRIVATE KEY"),
            "{what}: {text}"
        );
        assert!(!text.contains("DFNS_KEYS_IDENTITY"), "{what}: {text}");
    }
    let arguments = seen("arguments");
    for line in [
        "kubectl apply --server-side --field-manager=dfns-keys --validate=false --namespace=payments --filename=-",
        "aws secretsmanager put-secret-value --secret-id=payments --secret-string=file:///dev/stdin --output=json",
        "aws ssm put-parameter --name=/payments --type=SecureString --overwrite --value=file:///dev/stdin --output=json --region=eu-west-1",
        "gh secret set DFNS_CREDENTIAL --repo=acme/app",
        "gh secret set --env-file=- --repo=acme/app --env=production",
    ] {
        assert!(arguments.lines().any(|seen| seen == line), "{line}: {arguments}");
    }
    // What cannot be read is put once.
    let before = arguments.matches("secret set").count();
    scene.deliver(&[]).fails(0, &[]);
    assert_eq!(seen("arguments").matches("secret set").count(), before);
}

#[test]
fn what_a_tool_does_wrong_is_a_sentence_and_the_other_places_are_delivered() {
    let scene = Scene::new();
    let file = format!("file:{}", scene.env.path("dfns.env").display());
    let key = scene.env.open("a")["active"]["private_key"]
        .as_str()
        .unwrap()
        .to_owned();
    let body = key.lines().nth(1).unwrap();
    for (target, tool, signed_out, advice) in KINDS {
        scene.env.write(&format!("signed-out-{tool}"), signed_out);
        for (mood, words) in [
            ("signedout", &["refuses (exit code 1): it says", advice][..]),
            ("refuse", &["refuses (exit code 1): it says: \"no room left\""]),
            ("echo", &["has a secret in it"]),
            ("rubbish", &["answers with something"]),
            ("flood", &["prints more than"]),
            ("hang", &["did not end within 1 s"]),
        ] {
            scene.env.write("mood", mood);
            let _ = std::fs::remove_file(scene.env.path("dfns.env"));
            let limit = if mood == "hang" { "1s" } else { "30s" };
            let run = scene.deliver(&["--to", target, "--to", &file, "--timeout", limit]);
            run.fails(7, words);
            assert!(
                scene.env.path("dfns.env").exists(),
                "{tool} {mood}: the other one was delivered"
            );
            assert!(
                !run.stderr.contains(&body[..16]) && !run.stdout.contains(&body[..16]),
                "{run:?}"
            );
        }
        let path = scene.env.path(&format!("bin/{tool}"));
        std::fs::rename(&path, scene.env.path("aside")).unwrap();
        let mut command = scene.env.command(&["deliver", "a", "--to", target]);
        let run = Run::of(command.env("PATH", scene.env.path("bin")));
        run.fails(
            7,
            &[&format!("{tool}: there is no such program on the PATH"), "install it"],
        );
        std::fs::rename(scene.env.path("aside"), &path).unwrap();
        scene.deliver(&["--forget", target]).fails(0, &[]);
    }
}

#[test]
fn vault_that_is_not_named_or_signed_in_to_or_there_is_a_sentence() {
    let scene = Scene::new();
    let deliver = |variables: &[(&str, &str)], words: &[&str]| {
        let mut command = scene
            .env
            .command(&["deliver", "a", "--to", "hashivault:secret/payments", "--timeout", "2s"]);
        Run::of(command.envs(variables.iter().copied())).fails(7, words);
        scene.deliver(&["--forget", "hashivault:secret/payments"]).fails(0, &[]);
    };
    let here = ("VAULT_ADDR", "http://127.0.0.1:1");
    deliver(&[], &["VAULT_ADDR does not say which Vault"]);
    deliver(&[("VAULT_ADDR", "http://vault.example")], &["VAULT_ADDR", "plain http"]);
    deliver(&[here], &["there is no token for Vault", "vault login"]);
    deliver(&[here, ("VAULT_TOKEN", "hvs.canary")], &["Vault cannot be reached"]);
}

/// Answers every request on a port of its own, or none.
fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            if !answer.is_empty() {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(answer.as_bytes());
            }
            kept.push(stream);
        }
    });
    address
}

#[test]
fn a_vault_that_never_answers_or_answers_rubbish_is_a_sentence_and_gets_no_token_elsewhere() {
    let scene = Scene::new();
    let file = format!("file:{}", scene.env.path("dfns.env").display());
    for (answer, words) in [
        ("", &["Vault cannot be reached: no answer in time"][..]),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
            &["Vault answers with something"],
        ),
        (
            "HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            &["Vault refuses (HTTP 307)"],
        ),
        (
            "HTTP/1.1 503 Sealed\r\nContent-Length: 33\r\n\r\n{\"errors\":[\"\\u001b[31m is sealed\"]}",
            &["Vault refuses (HTTP 503)", "unsealed first"],
        ),
        (
            "HTTP/1.1 403 No\r\nContent-Length: 36\r\n\r\n{\"errors\":[\"who is hvs.canary ???\"]}",
            &["Vault refuses (HTTP 403)", "[not repeated: it has a secret in it]"],
        ),
        ("nothing like HTTP", &["Vault cannot be reached"]),
    ] {
        let address = answering(answer);
        let places = [
            "deliver",
            "a",
            "--to",
            "hashivault:secret/x",
            "--to",
            &file,
            "--timeout",
            "1s",
        ];
        let mut command = scene.env.command(&places);
        let run = Run::of(command.env("VAULT_ADDR", address).env("VAULT_TOKEN", "hvs.canary"));
        run.fails(7, words);
        assert!(
            run.stdout.contains("in sync, read back"),
            "the file was delivered: {run:?}"
        );
        assert!(
            !run.stderr.contains('\u{1b}') && !run.stderr.contains("hvs.canary"),
            "{run:?}"
        );
    }
}

/// A key-value store in which somebody else writes just before us, so many times.
fn contended(mut others: u64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut version, mut kept) = (7, json!({}));
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut head, mut length) = (String::new(), 0);
            while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).unwrap() > 0 {
                let last = head.lines().last().unwrap().to_lowercase();
                length = last
                    .strip_prefix("content-length: ")
                    .map_or(length, |number| number.parse().unwrap());
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let (status, answer) = if head.contains("/mounts/") {
                (
                    200,
                    json!({"data": {"path": "secret/", "type": "kv", "options": {"version": "2"}}}),
                )
            } else if head.starts_with("GET") {
                (200, json!({"data": {"data": kept, "metadata": {"version": version}}}))
            } else {
                let write: Value = serde_json::from_slice(&body).unwrap();
                version += u64::from(others > 0);
                others = others.saturating_sub(1);
                if write["options"]["cas"] == version {
                    kept = write["data"].clone();
                    (200, json!({}))
                } else {
                    (
                        400,
                        json!({"errors": ["check-and-set parameter did not match the current version"]}),
                    )
                }
            };
            let answer = answer.to_string();
            let head = format!(
                "HTTP/1.1 {status} -\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                answer.len()
            );
            let _ = stream.get_mut().write_all((head + &answer).as_bytes());
        }
    });
    address
}

#[test]
fn a_secret_of_vaults_that_others_write_to_meanwhile_is_read_again_before_it_is_replaced() {
    let scene = Scene::new();
    for (others, code, words) in [
        (2, 0, &[][..]),
        (9, 7, &["check-and-set", "something else writes there at the same time"]),
    ] {
        let mut command = scene.env.command(&["deliver", "a", "--to", "hashivault:secret/x"]);
        let run = Run::of(
            command
                .env("VAULT_ADDR", contended(others))
                .env("VAULT_TOKEN", "hvs.canary"),
        );
        run.fails(code, words);
        scene.deliver(&["--forget", "hashivault:secret/x"]).fails(0, &[]);
    }
}

/// They check what they are told, word by word, and keep what comes by stdin.
const GCLOUD: &str = r#"#!/bin/sh
test ! -f "$HOME/signed-out" || { echo 'ERROR: You do not currently have an active account selected.' >&2; exit 1; }
nothing() { echo 'ERROR: (gcloud.secrets) NOT_FOUND: Secret [payments] not found' >&2; exit 1; }
case $* in
'projects describe acme --format=value(projectNumber) --quiet') echo 4711 ;;
'secrets versions add payments --data-file=- --project=acme --quiet') test -f "$HOME/kept" || nothing; cat >"$HOME/kept" ;;
'secrets create payments --replication-policy=automatic --data-file=- --project=acme --quiet') cat >"$HOME/kept" ;;
'secrets versions access latest --secret=payments --project=acme --quiet') test -f "$HOME/kept" || nothing; cat "$HOME/kept" ;;
*) echo "unexpected: $*" >&2; exit 2 ;;
esac
"#;

const AZ: &str = r#"#!/bin/sh
test ! -f "$HOME/signed-out" || { echo "Please run 'az login' to setup account." >&2; exit 1; }
case $* in
'account show --query=[environmentName, tenantId] --output=tsv --only-show-errors') printf 'AzureCloud\ntenant-1\n' ;;
'keyvault secret set --file=/dev/stdin --encoding=utf-8 --output=none --vault-name=acme --name=payments --only-show-errors')
	cat /dev/stdin >"$HOME/kept" ;;
'keyvault secret show --query=value --output=json --vault-name=acme --name=payments --only-show-errors')
	test -f "$HOME/kept" || { echo 'ERROR: (SecretNotFound) payments was not found' >&2; exit 3; }
	jq -Rs . <"$HOME/kept" ;;
*) echo "unexpected: $*" >&2; exit 2 ;;
esac
"#;

#[test]
fn the_plugins_for_google_cloud_and_azure_tell_their_tools_what_these_know() {
    if !peer("jq") {
        return;
    }
    let scene = Scene::new();
    for (name, tool, script, parameters, place, signed_out) in [
        (
            "gcp",
            "gcloud",
            GCLOUD,
            "secret=payments&project=acme",
            "project acme, number 4711",
            "active account",
        ),
        (
            "azure",
            "az",
            AZ,
            "vault=acme&secret=payments",
            "key vault acme, AzureCloud tenant-1",
            "az login",
        ),
    ] {
        let example = format!("{}/docs/examples/dfns-keys-target-{name}", env!("CARGO_MANIFEST_DIR"));
        program(
            &scene.env,
            &format!("dfns-keys-target-{name}"),
            &std::fs::read_to_string(example).unwrap(),
        );
        program(&scene.env, tool, script);
        let target = format!("plugin:{name}?{parameters}");
        let kept = || -> Value { serde_json::from_slice(&std::fs::read(scene.env.path("kept")).unwrap()).unwrap() };
        let exported =
            || -> Value { serde_json::from_str(&scene.env.ok(&["export", "a", "--format", "json"])).unwrap() };
        let run = scene.deliver(&["--to", &target]);
        assert_eq!(run.code, 0, "{run:?}");
        assert!(
            run.stdout.contains(&format!("({place})  in sync, read back")),
            "{run:?}"
        );
        assert_eq!(kept(), exported());
        scene.env.write("kept", "{\"DFNS_AUTH_TOKEN\": \"older\"}");
        scene.deliver(&["--check"]).fails(8, &["does not have what is active"]);
        scene.deliver(&[]).fails(0, &[]);
        assert_eq!(kept(), exported());
        scene.env.write("signed-out", "");
        scene.deliver(&[]).fails(7, &[&format!("{tool} refuses"), signed_out]);
        scene
            .deliver(&["--to", &format!("plugin:{name}")])
            .fails(7, &["say which"]);
        for forgotten in [&target, &format!("plugin:{name}")] {
            scene.deliver(&["--forget", forgotten]).fails(0, &[]);
        }
        for file in ["kept", "signed-out"] {
            std::fs::remove_file(scene.env.path(file)).unwrap();
        }
    }
}
