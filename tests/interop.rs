//! Who is handed a credential, for real: the vendor's SDKs, curl with openssl, newman, kubectl, gh, and the readers of
//! `.env` files. Each makes a signed call that the sandbox accepts, and each is refused with another key.
//!
//! `make interop` installs them, pinned, under `target/interop`; without them these tests say that they were skipped.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use support::proxy::Proxy;
use support::{Run, Sandbox, TestEnv, peer, peer_ok, skipped};

/// Where `make interop` has put the programs.
struct Tools(PathBuf);

impl Tools {
    fn installed() -> Option<Self> {
        let directory = std::env::var_os("DFNS_KEYS_TEST_INTEROP");
        if directory.is_none() {
            skipped("`make interop` runs this");
        }
        directory.map(|directory| Self(std::path::absolute(directory).unwrap()))
    }

    fn path(&self, relative: &str) -> String {
        self.0.join(relative).to_str().unwrap().to_owned()
    }

    fn node_modules(&self) -> String {
        self.path("node_modules")
    }

    fn python(&self) -> String {
        self.path("python/bin/python")
    }
}

fn source(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(name);
    path.to_str().unwrap().to_owned()
}

struct Scene {
    env: TestEnv,
    sandbox: Sandbox,
    token: String,
    pem: String,
    tools: Tools,
}

impl Scene {
    fn new() -> Option<Self> {
        let tools = Tools::installed()?;
        let env = TestEnv::with_vault();
        let sandbox = Sandbox::start();
        let token = env.onboard(&sandbox, "a");
        let pem = env.open("a")["active"]["private_key"].as_str().unwrap().to_owned();
        env.ok(&[
            "generate",
            "--plaintext",
            "--private-key",
            "wrong.pem",
            "--public-key",
            "wrong.pub",
        ]);
        Some(Self {
            env,
            sandbox,
            token,
            pem,
            tools,
        })
    }

    /// `dfns-keys exec a -- PROGRAM…`.
    fn exec(&self, program: &[&str]) -> Run {
        let mut arguments = vec!["exec", "a", "--"];
        arguments.extend_from_slice(program);
        let mut command = self.env.command(&arguments);
        command.env("NODE_PATH", self.tools.node_modules());
        Run::of(&mut command)
    }

    /// Asserts that a program makes a wallet with the credential, and none with another key.
    fn signs(&self, program: &[&str]) {
        let wallets = || {
            let made = |call: &String| call == "POST /wallets 200";
            self.sandbox.calls().iter().filter(|call| made(call)).count()
        };
        let run = self.exec(program);
        assert_eq!(run.code, 0, "{run:?}");
        assert!(run.stdout.starts_with("wa-"), "{run:?}");
        assert_eq!(wallets(), 1);
        let before = self.sandbox.calls().len();
        let mut wrong = vec!["bash", "-c", r#"DFNS_PRIVATE_KEY=$(cat wrong.pem) exec "$@""#, "-"];
        wrong.extend_from_slice(program);
        let run = self.exec(&wrong);
        assert_ne!(run.code, 0, "{run:?}");
        assert!(
            run.stderr.contains("signature is invalid") || run.stdout.contains("signature is invalid"),
            "{run:?}"
        );
        let calls = self.sandbox.calls()[before..].to_vec();
        assert!(calls.contains(&"POST /auth/action 401".to_owned()), "{calls:?}");
        assert_eq!(wallets(), 1, "nothing was made with another key");
    }
}

#[test]
fn the_typescript_sdk_signs() {
    let Some(scene) = Scene::new() else { return };
    scene.signs(&["node", &source("typescript.cjs")]);
}

#[test]
fn the_python_sdk_signs() {
    let Some(scene) = Scene::new() else { return };
    scene.signs(&[&scene.tools.python(), &source("python_sdk.py")]);
}

#[test]
fn curl_with_openssl_signs() {
    let Some(scene) = Scene::new() else { return };
    scene.signs(&["bash", &source("curl_openssl.sh")]);
}

#[test]
fn the_rust_sdk_signs_from_exec_and_straight_from_the_vault() {
    let Some(scene) = Scene::new() else { return };
    let program = scene.tools.path("rust_sdk");
    scene.signs(&[&program]);
    let identity = scene.env.path("identity.txt");
    let from_vault = |name: &str| {
        let mut command = scene.env.bare(&program);
        Run::of(command.arg(scene.env.vault()).arg(name).arg(&identity))
    };
    let run = from_vault("a");
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.starts_with("wa-"), "{run:?}");
    // The token of one account with the key of another.
    scene.env.onboard(&scene.sandbox, "b");
    scene.sandbox.switch(&scene.token);
    assert_ne!(from_vault("a").code, 0, "its account is switched off");
    assert_eq!(from_vault("b").code, 0);
    scene.env.ok(&["onboard", "c", "--prepare"]);
    let run = from_vault("c");
    assert!(run.code != 0 && run.stderr.contains("NoToken"), "{run:?}");
}

/// Runs a collection with newman; its exit code and JSON report.
fn newman(scene: &Scene, collection: &Value, environment: &str) -> (i32, Value) {
    scene.env.write("collection.json", collection.to_string());
    let mut command = scene.env.bare(&scene.tools.path("node_modules/.bin/newman"));
    command.args(["run", "collection.json", "-e", environment, "--reporters", "json"]);
    let run = Run::of(command.args(["--reporter-json-export", "report.json"]));
    let report = std::fs::read(scene.env.path("report.json")).unwrap_or_else(|error| panic!("{error}: {run:?}"));
    (run.code, serde_json::from_slice(&report).unwrap())
}

/// A request of the collection: its name, its path variables, and its body where it is not the skeleton.
type Wanted<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<&'a str>);

/// Some requests of the exported collection, by their names, with their path variables and bodies filled in.
fn chosen(collection: &Value, wanted: &[Wanted<'_>]) -> Value {
    let items: Vec<Value> = wanted
        .iter()
        .map(|(name, variables, body)| {
            let folders = collection["item"].as_array().unwrap();
            let items = folders.iter().flat_map(|folder| folder["item"].as_array().unwrap());
            let mut item = items.into_iter().find(|item| item["name"] == *name).unwrap().clone();
            let url = &mut item["request"]["url"];
            for (key, value) in *variables {
                let all = url["variable"].as_array_mut().unwrap();
                all.iter_mut().find(|one| one["key"] == *key).unwrap()["value"] = json!(value);
            }
            if let Some(body) = body {
                item["request"]["body"]["raw"] = json!(body);
            }
            item
        })
        .collect();
    let mut collection = collection.clone();
    collection["item"] = items.into();
    collection
}

fn export(scene: &Scene, arguments: &[&str]) {
    let mut all = vec!["export", "a", "--format"];
    all.extend_from_slice(arguments);
    scene.env.ok(&all);
}

#[test]
fn newman_signs_with_our_collection_and_sends_nothing_unsigned() {
    let Some(scene) = Scene::new() else { return };
    export(&scene, &["postman-environment", "--output", "env.json"]);
    export(
        &scene,
        &["postman-environment", "--auth", "v1", "--output", "env-v1.json"],
    );
    let whole: Value = serde_json::from_str(&scene.env.ok(&["export", "a", "--format", "postman-collection"])).unwrap();
    let other = |number: usize| {
        let name = format!("pat-{number}");
        let public = std::fs::read_to_string(scene.env.path("wrong.pub")).unwrap();
        let fields = [("kind", "pat"), ("name", &name), ("public_key", &public)];
        scene.sandbox.create_with(&fields)["token_id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let run = |token_id: &str| {
        // A dynamic variable is resolved once, or the signature would be for another body.
        let body = r#"{ "network": "EthereumSepolia", "name": "{{$guid}} Zoë — 日本" }"#;
        let wanted: [Wanted<'_>; 4] = [
            ("List Wallets", &[], None),
            ("Create Wallet", &[], Some(body)),
            ("Deactivate Personal Access Token", &[("tokenId", token_id)], None),
            ("Delete Personal Access Token", &[("tokenId", token_id)], None),
        ];
        chosen(&whole, &wanted)
    };
    for (number, environment) in ["env.json", "env-v1.json"].into_iter().enumerate() {
        let token_id = other(number);
        let before = scene.sandbox.calls().len();
        let (code, report) = newman(&scene, &run(&token_id), environment);
        assert_eq!(code, 0, "{:#}", report["run"]["failures"]);
        let calls = scene.sandbox.calls()[before..].to_vec();
        let signed = |call: String| {
            [
                "POST /auth/action/init 200".to_owned(),
                "POST /auth/action 200".to_owned(),
                call,
            ]
        };
        let mut expected = vec!["GET /wallets 200".to_owned()];
        expected.extend(signed("POST /wallets 200".to_owned()));
        expected.extend(signed(format!("PUT /auth/pats/{token_id}/deactivate 200")));
        expected.extend(signed(format!("DELETE /auth/pats/{token_id} 200")));
        assert_eq!(calls, expected);
    }

    // What cannot be signed is not sent, and the run fails.
    let edit = |key: &str, value: &str| {
        let mut environment: Value =
            serde_json::from_slice(&std::fs::read(scene.env.path("env.json")).unwrap()).unwrap();
        let values = environment["values"].as_array_mut().unwrap();
        values.iter_mut().find(|one| one["key"] == key).unwrap()["value"] = json!(value);
        scene.env.write("edited.json", environment.to_string());
    };
    let wrong = std::fs::read_to_string(scene.env.path("wrong.pem")).unwrap();
    let create = chosen(&whole, &[("Create Wallet", &[], None)]);
    let delete = chosen(&whole, &[("Delete Personal Access Token", &[], None)]);
    let mut form = create.clone();
    let fields = json!([{"key": "network", "value": "EthereumSepolia"}]);
    form["item"][0]["request"]["body"] = json!({"mode": "urlencoded", "urlencoded": fields});
    for (key, value, collection, words) in [
        ("useAuthV2", "true", &form, "only a raw body can be signed"),
        (
            "credentialPrivateKey",
            wrong.as_str(),
            &create,
            "the signature is invalid",
        ),
        ("credentialPrivateKey", "", &create, "not the PEM of a private key"),
        ("credentialId", "another", &create, "does not know this key"),
        ("authToken", "another", &create, "answered 401"),
        ("useAuthV2", "true", &delete, "path variable is not filled in"),
    ] {
        edit(key, value);
        let before = scene.sandbox.calls().len();
        let (code, report) = newman(&scene, collection, "edited.json");
        assert_eq!(code, 1, "{key}");
        let failures = report["run"]["failures"].to_string();
        assert!(failures.contains(words), "{failures}");
        let sent = scene.sandbox.calls()[before..].to_vec();
        assert!(
            sent.iter().all(|call| call.starts_with("POST /auth/action")),
            "{sent:?}"
        );
    }
}

/// No key and no token of Dfns's is in Postman's hands: the proxy signs.
#[test]
fn newman_signs_through_the_proxy() {
    let Some(scene) = Scene::new() else { return };
    let proxy = Proxy::start(&scene.env, &[]);
    let arguments = ["postman-environment", "--via-proxy", &proxy.url, "--output", "env.json"];
    export(&scene, &arguments);
    let text = std::fs::read_to_string(scene.env.path("env.json")).unwrap();
    assert!(!text.contains("PRIVATE KEY") && !text.contains(&scene.token));
    let mut environment: Value = serde_json::from_str(&text).unwrap();
    let values = environment["values"].as_array_mut().unwrap();
    values.iter_mut().find(|one| one["key"] == "authToken").unwrap()["value"] = json!(proxy.token);
    scene.env.write("env.json", environment.to_string());
    let whole: Value = serde_json::from_str(&scene.env.ok(&["export", "a", "--format", "postman-collection"])).unwrap();
    let run = chosen(&whole, &[("List Wallets", &[], None), ("Create Wallet", &[], None)]);
    let before = scene.sandbox.calls().len();
    let (code, report) = newman(&scene, &run, "env.json");
    assert_eq!(code, 0, "{:#}", report["run"]["failures"]);
    let calls = scene.sandbox.calls()[before..].to_vec();
    let expected = [
        "GET /wallets 200",
        "POST /auth/action/init 200",
        "POST /auth/action 200",
        "POST /wallets 200",
    ];
    assert_eq!(calls, expected);
}

#[test]
fn readers_of_env_files_get_each_value_to_the_byte() {
    let Some(scene) = Scene::new() else { return };
    // An id with every character that one may have.
    let odd = "-._:x.A-1";
    let application = format!("--app-id={odd}");
    let public = scene.env.ok(&[
        "onboard",
        "odd",
        "--prepare",
        "--api-url",
        &scene.sandbox.url,
        &application,
    ]);
    scene.env.write("odd.token", scene.sandbox.create("odd", &public));
    scene.env.ok(&["onboard", "odd", "--token-file", "odd.token"]);
    scene
        .env
        .ok(&["export", "odd", "--format", "dotenv", "--output", "a.env"]);
    let sealed = scene.env.open("odd");
    let field = |name: &str| sealed["active"][name].as_str().unwrap().to_owned();
    let expected = format!("{}|{}|{odd}", field("private_key"), field("token"));
    let python = "import dotenv,sys; v=dotenv.dotenv_values('a.env'); sys.stdout.write('|'.join(v[k] for k in ('DFNS_PRIVATE_KEY','DFNS_AUTH_TOKEN','DFNS_APP_ID')))";
    let mut command = scene.env.bare(&scene.tools.python());
    assert_eq!(
        String::from_utf8(peer_ok(command.args(["-c", python]))).unwrap(),
        expected
    );
    let node = "const v=require('dotenv').parse(require('fs').readFileSync('a.env')); process.stdout.write(v.DFNS_PRIVATE_KEY+'|'+v.DFNS_AUTH_TOKEN+'|'+v.DFNS_APP_ID)";
    let mut command = scene.env.bare("node");
    command.env("NODE_PATH", scene.tools.node_modules()).args(["-e", node]);
    assert_eq!(String::from_utf8(peer_ok(&mut command)).unwrap(), expected);
}

#[test]
fn kubectl_reads_the_secret() {
    let Some(scene) = Scene::new() else { return };
    export(&scene, &["kubernetes", "--output", "secret.json"]);
    // Without a cluster kubectl can do this much: read the object, change it, and decode it in a template.
    let template = "go-template={{.kind}}|{{.type}}|{{.metadata.labels.a}}|{{.data.DFNS_PRIVATE_KEY | base64decode}}";
    let mut command = scene.env.bare(&scene.tools.path("python/bin/kubectl"));
    command.args([
        "label",
        "--local",
        "--dry-run=client",
        "-f",
        "secret.json",
        "a=b",
        "-o",
        template,
    ]);
    assert_eq!(
        String::from_utf8(peer_ok(&mut command)).unwrap(),
        format!("Secret|Opaque|b|{}", scene.pem)
    );
}

#[test]
fn gh_seals_the_very_values_for_github() {
    let Some(scene) = Scene::new() else { return };
    if !peer("gh") {
        return;
    }
    export(&scene, &["github", "--output", "a.env"]);
    let mut command = scene.env.bare("openssl");
    command.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]);
    command.args([
        "-keyout",
        "tls.key",
        "-out",
        "tls.pem",
        "-subj",
        "/CN=localhost",
        "-days",
        "1",
    ]);
    peer_ok(command.args(["-addext", "subjectAltName=DNS:localhost"]));
    let mut server = scene.env.bare(&scene.tools.python());
    server.args([&source("gh_server.py"), "tls.pem", "tls.key", "received.json"]);
    let mut server = server.stdout(Stdio::piped()).spawn().unwrap();
    let mut port = String::new();
    BufReader::new(server.stdout.take().unwrap())
        .read_line(&mut port)
        .unwrap();
    let repository = format!("localhost:{}/owner/repository", port.trim());
    let mut command = scene.env.bare("gh");
    command
        .env("SSL_CERT_FILE", scene.env.path("tls.pem"))
        .env("GH_ENTERPRISE_TOKEN", "unused");
    let run = Run::of(command.args(["secret", "set", "-f", "a.env", "-R", &repository]));
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(run.code, 0, "{run:?}");
    let received: Value = serde_json::from_slice(&std::fs::read(scene.env.path("received.json")).unwrap()).unwrap();
    assert_eq!(received["DFNS_PRIVATE_KEY"], scene.pem.as_str());
    assert_eq!(received["DFNS_AUTH_TOKEN"], scene.token.as_str());
    assert_eq!(received.as_object().unwrap().len(), 6);
}

/// The lines of the README's table as they stand there, with programs of ours under the names it uses.
#[test]
fn each_line_of_the_readme_works() {
    let Some(scene) = Scene::new() else { return };
    scene.env.onboard(&scene.sandbox, "payments-api");
    let copy = |from: &str, to: &str| {
        std::fs::copy(from, scene.env.path(to)).unwrap();
    };
    copy(&source("typescript.cjs"), "app.js");
    copy(&source("python_sdk.py"), "app.py");
    copy(&source("curl_openssl.sh"), "signed-call.sh");
    copy(&scene.tools.path("rust_sdk"), "app");
    // Stand-ins for what needs a cluster or a repository; what the real ones read is tested above.
    scene.env.write(
        "kubectl",
        "#!/bin/sh\ntest \"$*\" = 'apply --server-side -f -' && grep -q '\"Secret\"' && echo applied\n",
    );
    scene.env.write(
        "gh",
        "#!/bin/sh\ntest \"$*\" = 'secret set -f gh.env' && test -s gh.env && echo set\n",
    );
    peer_ok(scene.env.bare("chmod").args(["+x", "kubectl", "gh"]));
    let program = Path::new(support::PROGRAM).parent().unwrap().to_str().unwrap();
    let python = scene.tools.path("python/bin");
    let home = scene.env.home.path().to_str().unwrap();
    let path = format!("{home}:{program}:{python}:{}", std::env::var("PATH").unwrap());
    let readme = include_str!("../README.md").replace("\\|", "|");
    let table = readme.split("| to | line |").nth(1).unwrap();
    let rows: Vec<&str> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() >= 10, "{rows:?}");
    for row in rows {
        let line = row.split('`').find(|part| part.starts_with("dfns-keys ")).unwrap();
        let mut command = scene.env.command(&[]);
        let mut shell = scene.env.bare("bash");
        for (name, value) in command
            .env("PATH", &path)
            .env("NODE_PATH", scene.tools.node_modules())
            .get_envs()
        {
            shell.env(name, value.unwrap());
        }
        let run = Run::of(shell.args(["-o", "pipefail", "-c", line]));
        assert_eq!(run.code, 0, "{line}: {run:?}");
        if line.contains("kubectl") || line.contains("gh secret") {
            assert!(["applied\n", "set\n"].contains(&run.stdout.as_str()), "{line}: {run:?}");
        } else if line.contains(" exec ") {
            assert!(run.stdout.starts_with("wa-"), "{line}: {run:?}");
        }
    }
}
