//! Handing a credential over: each form read back by who really reads it, and programs run with it.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{PROGRAM, Run, Sandbox, TestEnv, lacking, peer, peer_ok};

struct Scene {
    env: TestEnv,
    sandbox: Sandbox,
    token: String,
    pem: String,
}

impl Scene {
    fn new() -> Self {
        Self::with(&["--app-id", "ap-1"])
    }

    fn with(settings: &[&str]) -> Self {
        let env = TestEnv::with_vault();
        let sandbox = Sandbox::start();
        let mut arguments = vec!["onboard", "a", "--prepare", "--api-url", &sandbox.url];
        arguments.extend_from_slice(settings);
        let public = env.ok(&arguments);
        let token = sandbox.create("a", &public);
        env.write("token", &token);
        env.ok(&["onboard", "a", "--token-file", "token"]);
        let pem = env.open("a")["active"]["private_key"].as_str().unwrap().to_owned();
        Self {
            env,
            sandbox,
            token,
            pem,
        }
    }

    fn export(&self, format: &str) -> String {
        self.env.ok(&["export", "a", "--format", format])
    }

    fn tool(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.env.home.path());
        String::from_utf8(peer_ok(&mut command)).unwrap()
    }
}

#[test]
fn a_dotenv_file_is_exact_in_shells_and_node_and_to_ourselves() {
    let scene = Scene::new();
    scene
        .env
        .ok(&["export", "a", "--format", "dotenv", "--output", "a.env"]);
    #[cfg(unix)]
    assert_eq!(support::mode(&scene.env.path("a.env")), 0o600);
    let print = "set -a; . ./a.env; printf %s \"$DFNS_PRIVATE_KEY\"";
    assert_eq!(scene.tool("sh", &["-c", print]), scene.pem);
    if peer("bash") {
        assert_eq!(scene.tool("bash", &["-c", print]), scene.pem);
    }
    if node_reads_env_files() {
        let script = "process.stdout.write(process.env.DFNS_PRIVATE_KEY + '|' + process.env.DFNS_AUTH_TOKEN)";
        let read = scene.tool("node", &["--env-file=a.env", "-e", script]);
        assert_eq!(read, format!("{}|{}", scene.pem, scene.token));
    }
    let run = scene.env.run(&["verify", "--dotenv", "a.env", "--strict"]);
    assert_eq!(run.code, 0, "{run:?}");
    scene
        .env
        .run(&["export", "a", "--format", "dotenv", "--output", "a.env"])
        .fails(3, &["a.env exists already", "--force"]);
    scene
        .env
        .ok(&["export", "a", "--format", "dotenv", "--output", "a.env", "--force"]);
    let log = scene.env.ok(&["log", "a"]);
    assert!(log.contains("exported") && log.contains("a.env"), "{log}");
    // A rotation tells who still has the old key.
    let run = scene.env.run(&["rotate", "a"]);
    run.fails(0, &["still has the old key:  a.env"]);
}

/// `--env-file` came with node 20.6; the 20s before it are long gone.
fn node_reads_env_files() -> bool {
    let version = Command::new("node").arg("--version").output();
    let major = version.ok().and_then(|output| {
        let text = String::from_utf8(output.stdout).ok()?;
        text.trim()
            .trim_start_matches('v')
            .split('.')
            .next()?
            .parse::<u32>()
            .ok()
    });
    let reads = major.is_some_and(|major| major >= 20);
    if !reads {
        lacking("node 20 or newer is not installed");
    }
    reads
}

#[test]
fn a_docker_file_has_one_line_each_and_the_key_in_base64() {
    use base64ct::{Base64, Encoding};
    let scene = Scene::new();
    let text = scene.export("docker-env");
    let key = text
        .lines()
        .find_map(|line| line.strip_prefix("DFNS_PRIVATE_KEY="))
        .unwrap();
    assert_eq!(Base64::decode_vec(key).unwrap(), scene.pem.as_bytes());
    assert!(
        text.lines().all(|line| line.contains('=') && !line.contains('\'')),
        "{}",
        text.lines().count()
    );
    // As docker would set it: `verify` reads it, and says that the application must decode it.
    let mut command = scene.env.command(&["verify", "--process-env"]);
    command.envs(text.lines().filter_map(|line| line.split_once('=')));
    let run = Run::of(&mut command);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("which the application decodes"), "{run:?}");
    // A program under `exec` gets the key itself, whatever a container around it says.
    let print = "printf %s \"$DFNS_PRIVATE_KEY|$DFNS_PRIVATE_KEY_ENCODING\"";
    let mut command = scene.env.command(&["exec", "a", "--", "sh", "-c", print]);
    let run = Run::of(command.env("DFNS_PRIVATE_KEY_ENCODING", "base64"));
    assert_eq!(run.stdout, format!("{}|", scene.pem));
}

/// Nobody has to configure an application, so its missing id is no reason to refuse what we handed over ourselves.
#[test]
fn whatever_is_handed_over_passes_a_strict_verification() {
    use base64ct::{Base64, Encoding};
    for settings in [&[][..], &["--app-id", "ap-1"]] {
        let scene = Scene::with(settings);
        let strictly = |arguments: &[&str], variables: &[(String, String)]| {
            let mut all = vec!["verify", "--strict"];
            all.extend_from_slice(arguments);
            let mut command = scene.env.command(&all);
            let run = Run::of(command.envs(variables.iter().cloned()));
            assert_eq!(run.code, 0, "{settings:?}: {run:?}");
            assert!(run.stdout.contains("Safe to use."), "{run:?}");
        };
        strictly(&["a"], &[]);
        for format in ["dotenv", "github", "docker-env"] {
            scene.env.ok(&["export", "a", "--format", format, "--output", format]);
            strictly(&["--dotenv", format], &[]);
        }
        for auth in ["v2", "v1"] {
            let file = format!("{auth}.json");
            let environment = ["export", "a", "--format", "postman-environment"];
            scene
                .env
                .ok(&[&environment[..], &["--auth", auth, "--output", &file]].concat());
            strictly(&["--postman", &file], &[]);
        }
        // As docker, Kubernetes and a program that reads JSON would set them.
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let docker = scene.export("docker-env");
        let docker: Vec<_> = docker.lines().map(|line| pair(line.split_once('=').unwrap())).collect();
        strictly(&["--process-env"], &docker);
        let secret: Value = serde_json::from_str(&scene.export("kubernetes")).unwrap();
        let decoded = |value: &Value| String::from_utf8(Base64::decode_vec(value.as_str().unwrap()).unwrap()).unwrap();
        let data = secret["data"].as_object().unwrap().iter();
        let mounted: Vec<_> = data.map(|(name, value)| (name.clone(), decoded(value))).collect();
        strictly(&["--process-env"], &mounted);
        let object: Value = serde_json::from_str(&scene.export("json")).unwrap();
        let fields = object.as_object().unwrap().iter();
        let fields: Vec<_> = fields
            .map(|(name, value)| pair((name, value.as_str().unwrap())))
            .collect();
        strictly(&["--process-env"], &fields);
        let verify = ["exec", "a", "--", PROGRAM, "verify", "--process-env", "--strict"];
        scene.env.ok(&verify);
    }
}

#[test]
fn kubernetes_json_github_and_pem_hold_the_same() {
    use base64ct::{Base64, Encoding};
    let scene = Scene::new();
    let secret: Value = serde_json::from_str(&scene.export("kubernetes")).unwrap();
    assert_eq!(
        (&secret["kind"], &secret["type"], &secret["apiVersion"]),
        (&"Secret".into(), &"Opaque".into(), &"v1".into())
    );
    let decode =
        |name: &str| String::from_utf8(Base64::decode_vec(secret["data"][name].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!(decode("DFNS_PRIVATE_KEY"), scene.pem);
    assert_eq!(decode("DFNS_AUTH_TOKEN"), scene.token);
    assert_eq!(decode("DFNS_APP_ID"), "ap-1");
    let object: Value = serde_json::from_str(&scene.export("json")).unwrap();
    assert_eq!(object["DFNS_PRIVATE_KEY"], scene.pem.as_str());
    assert_eq!(scene.export("pem-private"), scene.pem);
    assert_eq!(scene.export("pem-public"), scene.env.ok(&["show", "a", "--public-key"]));
    assert_eq!(scene.export("github"), scene.export("dotenv"));
    if peer("openssl") {
        scene.env.write("key.pem", &scene.pem);
        assert_eq!(
            scene.tool("openssl", &["pkey", "-in", "key.pem", "-pubout"]),
            scene.export("pem-public")
        );
    }
}

#[test]
fn a_postman_environment_has_the_vendors_variables() {
    let scene = Scene::new();
    for (auth, v2) in [("v2", "true"), ("v1", "false")] {
        let text = scene
            .env
            .ok(&["export", "a", "--format", "postman-environment", "--auth", auth]);
        let environment: Value = serde_json::from_str(&text).unwrap();
        let values = environment["values"].as_array().unwrap();
        let value = |key: &str| values.iter().find(|one| one["key"] == key).unwrap();
        assert_eq!(value("credentialPrivateKey")["value"], scene.pem.as_str());
        assert_eq!(value("credentialPrivateKey")["type"], "secret");
        assert_eq!(value("authToken")["value"], scene.token.as_str());
        assert_eq!(value("dfnsApiDomain")["value"], scene.sandbox.address());
        assert_eq!(value("useAuthV2")["value"], v2);
        scene.env.write("e.json", &text);
        let run = scene
            .env
            .run(&["verify", "--postman", "e.json", "--api-url", &scene.sandbox.url]);
        assert_eq!(run.code, 0, "{run:?}");
    }
}

#[test]
fn a_postman_environment_for_the_proxy_has_no_secret() {
    let scene = Scene::new();
    let proxy = ["--via-proxy", "http://127.0.0.1:8080"];
    let mut arguments = vec!["export", "a", "--format", "postman-environment"];
    arguments.extend_from_slice(&proxy);
    let text = scene.env.ok(&arguments);
    let environment: Value = serde_json::from_str(&text).unwrap();
    let values = environment["values"].as_array().unwrap();
    let value = |key: &str| &values.iter().find(|one| one["key"] == key).unwrap()["value"];
    assert_eq!(
        (value("authToken"), value("credentialPrivateKey")),
        (&"".into(), &"".into())
    );
    assert_eq!(value("dfnsApiDomain"), "127.0.0.1:8080");
    assert_eq!(
        (value("dfnsApiScheme"), value("signedByProxy")),
        (&"http".into(), &"true".into())
    );
    assert!(
        !scene.env.ok(&["log", "a"]).contains("exported"),
        "nothing secret left the vault"
    );
    let mut arguments = vec!["export", "a", "--format", "json"];
    arguments.extend_from_slice(&proxy);
    scene.env.run(&arguments).fails(2, &["postman-environment"]);
}

#[test]
fn a_postman_collection_has_every_operation_and_nothing_secret() {
    let scene = Scene::new();
    // It is the same for all, so that nothing has to be opened.
    let mut command = scene.env.command(&["export", "a", "--format", "postman-collection"]);
    let run = Run::of(command.env_remove("DFNS_KEYS_IDENTITY"));
    assert_eq!(run.code, 0, "{}", run.stderr);
    let collection = run.json();
    assert!(!run.stdout.contains("BEGIN PRIVATE KEY-----\\n") && !run.stdout.contains(&scene.token));
    let folders = collection["item"].as_array().unwrap();
    assert_eq!(folders.len(), 19);
    let requests: Vec<&Value> = folders
        .iter()
        .flat_map(|folder| folder["item"].as_array().unwrap())
        .map(|item| &item["request"])
        .collect();
    assert_eq!(requests.len(), 266);
    for request in &requests {
        let raw = request["url"]["raw"].as_str().unwrap();
        assert!(raw.starts_with("{{dfnsApiScheme}}://{{dfnsApiDomain}}/"), "{raw}");
        let named = raw.split('/').filter(|part| part.starts_with(':')).count();
        let variables = request["url"]["variable"].as_array().map_or(0, Vec::len);
        assert_eq!(named, variables, "{raw}");
        if let Some(body) = request["body"]["raw"].as_str() {
            assert!(serde_json::from_str::<Value>(body).unwrap().is_object(), "{raw}");
        }
    }
    // One script, with no way to fetch or run other code; the only addresses it calls are the API's.
    let events = collection["event"].as_array().unwrap();
    assert_eq!((events.len(), &events[0]["listen"]), (1, &"prerequest".into()));
    let lines = events[0]["script"]["exec"].as_array().unwrap();
    let code: String = lines
        .iter()
        .map(|line| line.as_str().unwrap())
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    for word in ["eval(", "Function(", "import(", "cdn", "http:", "https://"] {
        let allowed = usize::from(word == "https://");
        assert_eq!(
            code.matches(word).count(),
            allowed,
            "{word}: the origin's default alone"
        );
    }
}

/// The private key of RFC 6979, A.2.5, and the signatures it gives for SHA-256.
#[test]
fn the_postman_signer_is_deterministic_ecdsa() {
    if !peer("node") {
        return;
    }
    let env = TestEnv::new();
    let source = std::fs::read_to_string("src/export/postman/p256.js").unwrap();
    let script = source
        + r"
const crypto = require('node:crypto');
const bytes = (hex) => Buffer.from(hex, 'hex');
const sha256 = (hex) => crypto.createHash('sha256').update(bytes(hex)).digest('hex');
const hmac = (key, hex) => crypto.createHmac('sha256', bytes(key)).update(bytes(hex)).digest('hex');
const sign = (d, message) => signP256(d, Buffer.from(message).toString('hex'), sha256, hmac);
const d = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721n;
console.log(sign(d, 'sample'));
console.log(sign(d, 'test'));
// Node signs with OpenSSL, which also judges here: many keys in both forms, messages of many lengths.
for (let i = 0; i < 60; i++) {
  const { privateKey, publicKey } = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = privateKey.export({ type: i % 2 ? 'sec1' : 'pkcs8', format: 'pem' });
  const message = crypto.randomBytes(i);
  if (!crypto.verify('sha256', message, publicKey, bytes(sign(readP256(i % 3 ? pem : pem.replace(/\n/g, '\\n')), message)))) throw i;
}
for (const bad of [
  '', 'no key', crypto.generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }),
  crypto.generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).privateKey.export({ type: 'sec1', format: 'pem' }),
  crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'pem' }),
]) {
  try { readP256(bad); console.log('taken'); } catch (error) { console.log(error.message); }
}
";
    let path = env.write("signer.cjs", script);
    let output = String::from_utf8(peer_ok(Command::new("node").arg(path))).unwrap();
    let lines: Vec<&str> = output.lines().collect();
    let expected = [
        "3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
         022100f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
        "3045022100f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367\
         0220019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083",
    ];
    assert_eq!(lines[..2], expected);
    assert_eq!(lines.len(), 7, "{output}");
    for (line, words) in lines[2..].iter().zip([
        "not the PEM",
        "not the PEM",
        "not on the curve",
        "not on the curve",
        "not the PEM",
    ]) {
        assert!(line.contains(words), "{line}");
    }
}

#[test]
fn a_program_gets_the_credential_and_nothing_of_ours() {
    let scene = Scene::new();
    let names = "DFNS_PRIVATE_KEY DFNS_AUTH_TOKEN DFNS_API_URL DFNS_APP_ID DFNS_ORIGIN DFNS_ORG_ID MINE \
        DFNS_KEYS_PASSPHRASE DFNS_KEYS_IDENTITY";
    let print = |name| format!("printf '%s\\0' \"${{{name}+{name}=${name}}}\"");
    let print: Vec<String> = names.split_whitespace().map(print).collect();
    let print = print.join("; ");
    let mut command = scene.env.command(&["exec", "a", "--", "sh", "-c", &print]);
    command
        .env("DFNS_KEYS_PASSPHRASE", "not for children")
        .env("MINE", "kept");
    let run = Run::of(&mut command);
    assert_eq!(run.code, 0, "{run:?}");
    let environment: Vec<(&str, &str)> = run.stdout.split('\0').filter_map(|line| line.split_once('=')).collect();
    let get = |name: &str| {
        environment
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| *value)
    };
    assert_eq!(get("DFNS_PRIVATE_KEY"), Some(scene.pem.as_str()));
    assert_eq!(get("DFNS_AUTH_TOKEN"), Some(scene.token.as_str()));
    assert_eq!(get("DFNS_API_URL"), Some(scene.sandbox.url.as_str()));
    assert_eq!(get("DFNS_APP_ID"), Some("ap-1"));
    assert_eq!(get("DFNS_ORIGIN"), Some("https://app.dfns.io"));
    assert!(get("DFNS_ORG_ID").unwrap().starts_with("or-"));
    assert_eq!(get("MINE"), Some("kept"));
    assert_eq!((get("DFNS_KEYS_PASSPHRASE"), get("DFNS_KEYS_IDENTITY")), (None, None));
    // The whole circle: what a program gets is what `verify` accepts.
    scene
        .env
        .ok(&["exec", "a", "--", PROGRAM, "verify", "--process-env", "--strict"]);
}

#[cfg(unix)]
#[test]
fn exit_codes_and_signals_are_the_programs_own() {
    let scene = Scene::new();
    for code in [0, 1, 42, 255] {
        let run = scene.env.run(&["exec", "a", "--", "sh", "-c", &format!("exit {code}")]);
        assert_eq!(run.code, code, "{run:?}");
    }
    let output = Command::new(PROGRAM)
        .args(["exec", "a", "--", "sh", "-c", "kill -TERM $$"])
        .env("DFNS_KEYS_VAULT", scene.env.vault())
        .env("DFNS_KEYS_IDENTITY", scene.env.path("identity.txt"))
        .output()
        .unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(15));
    // It takes our place: the process id is the same.
    let child = Command::new(PROGRAM)
        .args(["exec", "a", "--", "sh", "-c", "echo $$"])
        .env("DFNS_KEYS_VAULT", scene.env.vault())
        .env("DFNS_KEYS_IDENTITY", scene.env.path("identity.txt"))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let id = child.id().to_string();
    assert_eq!(
        String::from_utf8(child.wait_with_output().unwrap().stdout)
            .unwrap()
            .trim(),
        id
    );
}

#[cfg(unix)]
#[test]
fn a_program_that_cannot_be_run_ends_as_in_a_shell_and_costs_no_passphrase() {
    let scene = Scene::new();
    std::fs::create_dir(scene.env.path("bin")).unwrap();
    scene.env.write("bin/plain", "#!/bin/sh\n");
    scene.env.write("script", "#!/no/such/interpreter\n");
    support::set_mode(&scene.env.path("script"), 0o755);
    for (program, code, words) in [
        (
            "no-such-program",
            127,
            "there is no program no-such-program on the PATH",
        ),
        ("./bin/missing", 127, "there is no program ./bin/missing"),
        ("./bin/plain", 126, "./bin/plain cannot be run"),
        ("./bin", 126, "./bin cannot be run"),
        ("plain", 126, "plain cannot be run"),
    ] {
        let mut command = scene.env.command(&["exec", "a", "--", program]);
        // Nothing here opens the vault: whoever asked for that first would say so.
        command
            .env_remove("DFNS_KEYS_IDENTITY")
            .env("PATH", "bin:/usr/bin:/bin");
        Run::of(&mut command).fails(code, &[words]);
    }
    scene.env.run(&["exec", "a", "--", "./script"]).fails(127, &["script"]);
    let document = scene.env.run(&["exec", "a", "--json", "--", "no-such-program"]).json();
    assert_eq!(document["error"]["exit"], 127, "{document}");
    assert_eq!(document["error"]["code"], "no_such_program", "{document}");
    let log = scene.env.ok(&["log", "a"]);
    assert!(!log.contains("no-such-program") && !log.contains("plain"), "{log}");
}

#[test]
fn what_can_be_refused_at_once_costs_no_passphrase() {
    let env = TestEnv::new();
    let sandbox = Sandbox::start();
    env.write("passphrase", "correct horse\n");
    env.ok(&["init", "--passphrase-file", "passphrase"]);
    env.prepare(&sandbox, "waiting");
    let token = env.prepare(&sandbox, "a");
    env.write("token", token);
    env.ok(&[
        "onboard",
        "a",
        "--token-file",
        "token",
        "--passphrase-file",
        "passphrase",
    ]);
    env.write("there", "");
    let recipient = age::x25519::Identity::generate().to_public().to_string();
    // There is no terminal to ask on: whatever gets as far as the passphrase ends with 4.
    env.run(&["export", "a", "--format", "json"]).fails(4, &["no terminal"]);
    for (arguments, code, words) in [
        (
            &["export", "a", "--format", "json", "--output", "there"][..],
            3,
            "there exists already",
        ),
        (
            &["export", "a", "--format", "json", "--output", "no/such/place"],
            1,
            "no/such/place: no such file",
        ),
        (&["export", "waiting", "--format", "json"], 3, "no token yet"),
        (&["exec", "waiting", "--", "sh", "-c", ":"], 3, "no token yet"),
        (&["call", "waiting", "GET", "/wallets"], 3, "no token yet"),
        (&["proxy", "waiting"], 3, "no token yet"),
        (
            &["verify", "a", "--junit", "no/such/place"],
            1,
            "no/such/place: no such file",
        ),
        (
            &["generate", "--private-key", "no/such/place"],
            1,
            "no/such/place: no such file",
        ),
        (
            &["generate", "--public-key", "no/such/place"],
            1,
            "no/such/place: no such file",
        ),
        (&["onboard", "b", "--as", "a"], 3, "only an organisation's user"),
        (
            &["onboard", "b", "--as", "nobody"],
            3,
            "there is no credential named nobody",
        ),
        (&["enroll", "a", "--code", "x"], 3, "only an organisation's user"),
        (&["recipients", "remove", &recipient], 3, "is not among the recipients"),
        (
            &["rekey", "--new-passphrase-file", "no/such/place"],
            4,
            "no/such/place: no such file",
        ),
        (&["rekey"], 4, "--new-passphrase-file"),
        (&["rotate", "waiting"], 3, "waiting is a service account and pending"),
        (&["rotate", "a", "--finish"], 3, "no rotation of a is under way"),
        (&["rotate", "a", "--rollback"], 3, "no rotation of a is under way"),
        (&["remove", "a"], 2, "no terminal to confirm on"),
        (&["verify", "a", "--junit", "vault"], 1, "vault: is a directory"),
    ] {
        env.run(arguments).fails(code, &[words]);
    }
}

#[test]
fn what_is_missing_is_told_before_the_start() {
    let scene = Scene::new();
    scene.env.ok(&["onboard", "b", "--prepare"]);
    for arguments in [
        &["exec", "b", "--", "sh", "-c", ": > started"][..],
        &["exec", "nobody", "--", "sh", "-c", ": > started"],
    ] {
        scene.env.run(arguments).fails(3, &[]);
    }
    let mut command = scene.env.command(&["exec", "a", "--", "sh", "-c", ": > started"]);
    Run::of(command.env_remove("DFNS_KEYS_IDENTITY")).fails(4, &["seals and never opens"]);
    assert!(!scene.env.path("started").exists());
    scene.env.run(&["exec", "a"]).fails(2, &["required"]);
    scene
        .env
        .run(&["export", "b", "--format", "json"])
        .fails(3, &["no token yet"]);
    scene
        .env
        .run(&["export", "a", "--format", "json", "--json"])
        .fails(2, &[]);
}

#[cfg(unix)]
#[test]
fn a_secret_is_shown_on_a_terminal_only_when_asked_for() {
    let scene = Scene::new();
    for (flag, code) in [("", 2), ("--reveal", 0)] {
        let mut arguments = vec!["export", "a", "--format", "json"];
        arguments.extend(flag.split_whitespace());
        let session = support::terminal::on_terminal(&scene.env.asking(&arguments));
        let shown = support::terminal::ends(session, code);
        assert_eq!(shown.contains(&scene.token), flag == "--reveal", "{flag}");
        assert_eq!(shown.contains("say --reveal"), flag.is_empty());
    }
}

#[test]
fn a_call_is_signed_when_it_changes_state_and_sent_to_the_byte() {
    let scene = Scene::new();
    let call = |arguments: &[&str]| {
        let mut all = vec!["call", "a"];
        all.extend_from_slice(arguments);
        scene.env.run(&all)
    };
    let before = scene.sandbox.calls().len();
    let run = call(&["GET", "/wallets", "--query", "limit=1"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, r#"{"items":[]}"#), "{run:?}");
    assert_eq!(scene.sandbox.calls().len() - before, 1, "a read is one request");
    // Spaces, non-ASCII text and key order stay as they are: the sandbox signs for these very bytes.
    let body = "{ \"name\": \"Zoë — 日本\",  \"network\":\"EthereumSepolia\" }\n";
    let before = scene.sandbox.calls().len();
    let run = call(&["post", "/wallets", "--data", body]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(
        run.stdout.contains("EthereumSepolia") && run.stderr.contains("status 200"),
        "{run:?}"
    );
    assert_eq!(scene.sandbox.calls().len() - before, 3, "a signed call is three");
    scene.env.write("body.json", body);
    assert_eq!(call(&["POST", "/wallets", "--data", "@body.json"]).code, 0);
    let run = scene
        .env
        .run_with_stdin(&["call", "a", "POST", "/wallets", "--data", "-"], body.as_bytes());
    assert_eq!(run.code, 0, "{run:?}");
    let run = call(&["GET", "/wallets", "-i"]);
    assert!(run.stdout.contains("content-type: application/json\n"), "{run:?}");
}

#[test]
fn a_calls_exit_code_is_its_status() {
    let scene = Scene::new();
    let call = |arguments: &[&str]| {
        let mut all = vec!["call", "a"];
        all.extend_from_slice(arguments);
        scene.env.run(&all)
    };
    assert_eq!(call(&["GET", "/nowhere"]).code, 1);
    assert_eq!(call(&["POST", "/wallets", "--data", "{}"]).code, 1);
    assert_eq!(call(&["GET", "/auth/service-accounts"]).code, 5);
    for (status, code) in [(202, 7), (401, 5), (429, 6), (500, 6)] {
        let fault = serde_json::json!({"fault": "status", "status": status, "path": "/wallets"});
        scene.sandbox.fault(&fault);
        let run = call(&["GET", "/wallets"]);
        assert_eq!(run.code, code, "{status}: {run:?}");
        assert!(
            run.stdout.contains("a fault was asked for"),
            "the answer is shown: {run:?}"
        );
    }
    let before = scene.sandbox.calls().len();
    let run = call(&["POST", "/wallets", "--data", "{}", "--query", "a=b c", "--dry-run"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(
        run.stdout.contains("/wallets?a=b+c") && run.stdout.contains("Bearer [token]"),
        "{run:?}"
    );
    assert_eq!(scene.sandbox.calls().len(), before, "nothing was sent");
    assert!(run.stdout.ends_with("\n{}\n"), "the last line ends: {run:?}");
    for (arguments, words) in [
        (&["GET", "wallets"][..], "must start with `/`"),
        (&["GET", "/wallets?a=b"], "--query"),
        (&["GET", "/wallets", "--query", "a"], "K=V"),
        (&["FETCH", "/wallets"], "possible values"),
    ] {
        call(arguments).fails(2, &[words]);
    }
    // A lost answer is told of, and not asked for again: a second time may do a second thing.
    scene
        .sandbox
        .fault(&serde_json::json!({"fault": "close_after", "path": "/wallets"}));
    let before = scene.sandbox.calls().len();
    call(&["POST", "/wallets", "--data", r#"{"network":"Bitcoin"}"#]).fails(6, &["the connection broke"]);
    assert_eq!(scene.sandbox.calls().len() - before, 3);
}

#[test]
fn a_slip_in_a_path_is_told_and_the_call_made_all_the_same() {
    let scene = Scene::new();
    let call = |arguments: &[&str]| {
        let mut all = vec!["call", "a"];
        all.extend_from_slice(arguments);
        scene.env.run(&all)
    };
    for (method, path, meant) in [
        ("GET", "/walets", "did you mean  GET /wallets"),
        ("PATCH", "/wallets", "did you mean  GET /wallets, POST /wallets"),
        (
            "GET",
            "/wallet/wa-1/transfer",
            "did you mean  GET /wallets/{walletId}/transfers",
        ),
    ] {
        let run = call(&[method, path, "--dry-run"]);
        assert!(run.code == 0 && run.stderr.contains(meant), "{run:?}");
    }
    let run = call(&["GET", "/walets"]);
    assert_eq!(
        (run.code, scene.sandbox.calls().last().unwrap().as_str()),
        (1, "GET /walets 404")
    );
    let run = call(&["GET", "/wallets"]);
    assert!(!run.stderr.contains("warning"), "{run:?}");
    let run = call(&["GET", "/something/quite/new", "--dry-run"]);
    assert!(run.stderr.contains("no operation that this version knows") && !run.stderr.contains("did you mean"));
    // What the table knows to need a token alone is not signed, though it is a POST.
    let before = scene.sandbox.calls().len();
    call(&["POST", "/swaps/quotes", "--data", "{}"]);
    assert_eq!(scene.sandbox.calls()[before..], ["POST /swaps/quotes 404"]);
}

/// The answer is handed on while it comes: the second part is sent only after the first was read.
#[test]
fn an_answer_is_streamed_however_long_it_is() {
    let scene = Scene::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    scene
        .env
        .ok(&["export", "a", "--format", "dotenv", "--output", "a.env"]);
    scene.env.ok(&[
        "import",
        "b",
        "--dotenv",
        "a.env",
        "--offline",
        "--force",
        "--api-url",
        &url,
    ]);
    let mut command = scene.env.command(&["call", "b", "GET", "/wallets"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut head = [0; 4096];
    assert!(stream.read(&mut head).unwrap() > 0);
    let rest = vec![b'x'; 8 * 1024 * 1024];
    let length = rest.len() + 6;
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\nfirst ").unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut first = [0; 6];
    out.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"first ");
    let mut read = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| stream.write_all(&rest).unwrap());
        out.read_to_end(&mut read).unwrap();
    });
    assert!(read == rest, "{} bytes", read.len());
    assert!(child.wait().unwrap().success());

    // An answer that breaks off is told of.
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    assert!(stream.read(&mut head).unwrap() > 0);
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").unwrap();
    drop(stream);
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.stdout, "half");
    run.fails(6, &["the connection broke"]);
}
