//! No private key, token or passphrase appears in any output, log, error, file or process argument: shown by canaries
//! over every command, in success and in failure, with `-v` too; nor do children see one that was not promised to them.
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::children::{RECIPIENT, Watched, can_watch};
use support::{Run, Sandbox, TestEnv};

/// Values that must not appear anywhere in clear, as any run of sixteen of their characters.
struct Canaries(Vec<String>);

impl Canaries {
    fn add(&mut self, secret: &str) {
        let compact: String = secret.chars().filter(|c| !c.is_whitespace()).collect();
        self.0.push(compact);
    }

    /// Only the private scalar of a key file is secret: its public half stands in the same structure.
    fn add_private_key(&mut self, pem: &str) {
        use base64ct::{Base64, Encoding};
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = Base64::decode_vec(&body).unwrap();
        // SEC1: the scalar is the first OCTET STRING of 32 bytes; PKCS#8 wraps the same structure.
        let start = der.windows(2).position(|pair| pair == [0x04, 0x20]).unwrap() + 2;
        let scalar = &der[start..start + 32];
        let hex: Vec<String> = scalar.iter().map(|byte| format!("{byte:02x}")).collect();
        self.0.push(hex.concat());
        let lines: Vec<&str> = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        self.0.push(lines[0][24..].to_owned());
    }

    fn check(&self, what: &str, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        for secret in &self.0 {
            let pieces = secret.as_bytes().chunks(16).filter(|piece| piece.len() == 16);
            for piece in pieces {
                let piece = std::str::from_utf8(piece).unwrap();
                assert!(!compact.contains(piece), "{what} shows a secret: {text}");
            }
        }
    }

    fn check_run(&self, what: &str, run: &Run) {
        self.check(what, run.stdout.as_bytes());
        self.check(what, run.stderr.as_bytes());
    }

    fn check_tree(&self, directory: &Path) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.check_tree(&path);
            } else {
                self.check(&path.display().to_string(), &std::fs::read(&path).unwrap());
            }
        }
    }
}

/// Those that are delivered to by tools of others, or over the network.
const PLACES: [&str; 6] = [
    "kubernetes:payments/x",
    "aws-secrets-manager:x?region=eu-central-1",
    "aws-ssm:/x?region=eu-central-1",
    "github:acme/app",
    "github:acme/app?format=fields",
    "hashivault:secret/x",
];

const PASSPHRASE: &str = "canary-passphrase-0123456789-abcdef";

/// A login session of its own, where there are any.
fn has_session() -> bool {
    #[cfg(target_os = "linux")]
    return keyutils::Keyring::join_anonymous_session().is_ok();
    #[cfg(not(target_os = "linux"))]
    false
}

#[test]
fn no_command_shows_a_secret() {
    let env = TestEnv::new();
    let sandbox = Sandbox::start();
    let temporary = tempfile::tempdir().unwrap();
    let secrets = tempfile::tempdir().unwrap();
    let mut canaries = Canaries(Vec::new());
    canaries.add(PASSPHRASE);
    let passphrase = secrets.path().join("passphrase");
    std::fs::write(&passphrase, PASSPHRASE).unwrap();
    let token_file = secrets.path().join("token");
    // Whatever is sealed is sealed by a plug-in too, which writes down what it sees.
    let watched = Watched::new(&env);
    watched.install_tools();
    let run = |arguments: &[&str]| {
        let mut command = env.command(&["-v", "--passphrase-file"]);
        command
            .arg(&passphrase)
            .args(arguments)
            .env("PATH", watched.path())
            .env("TMPDIR", temporary.path())
            .env("RUST_BACKTRACE", "full");
        Run::of(&mut command)
    };
    let mut runs: Vec<(String, Run)> = Vec::new();
    let mut note = |arguments: &[&str], code: i32| -> Run {
        let run_ = run(arguments);
        assert_eq!(run_.code, code, "{arguments:?}: {run_:?}");
        let copy = Run {
            code,
            stdout: run_.stdout.clone(),
            stderr: run_.stderr.clone(),
        };
        runs.push((arguments.join(" "), run_));
        copy
    };

    note(&["init", "--recipient", RECIPIENT], 0);
    note(&["init"], 3);
    // A hundred runs open it.
    env.quicken(PASSPHRASE);
    let public = note(&["onboard", "a", "--prepare", "--api-url", &sandbox.url], 0).stdout;
    let token = sandbox.create("a", &public);
    let other_public = note(&["onboard", "b", "--prepare", "--api-url", &sandbox.url], 0).stdout;
    let other = sandbox.create("b", &other_public);
    canaries.add(&token);
    canaries.add(&other);
    // As a Secret of Kubernetes has it.
    canaries.add(&<base64ct::Base64 as base64ct::Encoding>::encode_string(
        token.as_bytes(),
    ));
    let token_path = token_file.to_str().unwrap().to_owned();
    let second = ["onboard", "a", "--token-file", token_path.as_str()];
    for wounded in [
        other.clone(),
        format!("\"{token}\""),
        format!("Bearer {token}"),
        token.replacen('.', ". ", 1),
        token.replace('.', ""),
        token[..token.len() / 2].to_owned(),
    ] {
        std::fs::write(&token_file, wounded).unwrap();
        note(&second, 5);
    }
    std::fs::write(&token_file, &token).unwrap();
    for (fault, code) in [
        (json!({"fault": "status", "status": 500, "times": 9}), 6),
        (json!({"fault": "html", "times": 9}), 6),
        (json!({"fault": "redirect", "times": 9}), 6),
        (json!({"fault": "truncate", "times": 9}), 6),
    ] {
        sandbox.fault(&fault);
        note(&second, code);
        sandbox.clear_faults();
    }
    note(&second, 0);
    note(&second, 3);
    for json in [false, true] {
        let with = |arguments: &[&'static str]| {
            let mut arguments = arguments.to_vec();
            if json {
                arguments.push("--json");
            }
            arguments
        };
        note(&with(&["verify", "a"]), 0);
        note(&with(&["verify", "a", "--offline"]), 0);
        note(
            &with(&["verify", "a", "--api-url", "http://127.0.0.1:9", "--timeout", "1s"]),
            6,
        );
        note(&with(&["verify", "--all"]), 0);
        note(&with(&["verify", "b"]), 3);
        note(&with(&["proxy", "b"]), 3);
        note(&with(&["list"]), 0);
        note(&with(&["show", "a"]), 0);
        note(&with(&["log"]), 0);
        note(&with(&["log", "--verify"]), 0);
        note(&with(&["status", "--metrics", "status.prom"]), 0);
        note(&with(&["recipients", "list"]), 0);
        note(&with(&["remove", "a", "--yes"]), 3);
        note(&with(&["rename", "a", "a2"]), 0);
        note(&with(&["rename", "a2", "a"]), 0);
        note(&with(&["unlock"]), i32::from(!has_session()));
        note(&with(&["lock"]), 0);
        note(&with(&["deliver", "a", "--to", "file:/dev/null/no?format=dotenv"]), 7);
        for (option, code) in [("--to", 7), ("--forget", 0)] {
            let places = PLACES.iter().flat_map(|place| [option, place]);
            note(
                &with(&["deliver", "a"].into_iter().chain(places).collect::<Vec<_>>()),
                code,
            );
        }
        note(&with(&["deliver", "a", "--check"]), 8);
        note(
            &with(&["deliver", "a", "--forget", "file:/dev/null/no?format=dotenv"]),
            0,
        );
        note(
            &with(&["context", "set", "staging", "--origin", "https://app.dfns.io"]),
            0,
        );
        note(&with(&["context", "list"]), 0);
        note(
            &with(&["vault", "adopt", "a", "--fingerprint", "SHA256:none", "--yes"]),
            3,
        );
        note(&with(&["show", "nobody"]), 3);
    }
    let code = sandbox.code("ops");
    note(&["enroll", "ops", "--code", "wrong", "--api-url", &sandbox.url], 5);
    note(&["enroll", "ops", "--code", &code, "--api-url", &sandbox.url], 0);
    note(&["verify", "ops"], 0);
    note(&["onboard", "p", "--as", "ops"], 0);
    note(&["onboard", "q", "--as", "ops", "--kind", "pat", "--json"], 0);
    note(&["onboard", "r", "--as", "a"], 3);
    sandbox.fault(&json!({"fault": "truncate", "path": "/auth/service-accounts"}));
    note(&["onboard", "s", "--as", "ops"], 0);
    env.write(
        "dfns-keys.toml",
        "fleet = 'f'\n[account.s]\n[account.u]\ndeliver = ['file:/dev/null/no?format=dotenv']\n",
    );
    note(&["plan"], 0);
    note(&["plan", "--json", "--check"], 8);
    note(&["apply", "--yes"], 7);
    note(&["apply", "--yes", "--json"], 7);
    note(&["account", "list"], 0);
    note(&["account", "deactivate", "p", "--yes"], 0);
    note(&["rotate", "q", "--as", "ops"], 0);
    note(&["rotate", "q", "--status"], 0);
    note(&["rotate", "q", "--as", "ops", "--rollback", "--json"], 0);
    note(&["rotate", "a", "--dry-run"], 0);
    note(&["rotate", "a"], 0);
    note(&["rotate", "a", "--finish", "--json"], 0);
    sandbox.fault(&json!({"fault": "status", "status": 500, "times": 9}));
    note(&["rotate", "a"], 6);
    sandbox.clear_faults();
    note(&["rotate", "a", "--grace", "0"], 0);
    note(&["rotate", "ops"], 3);
    note(&["rekey", "--new-passphrase-file", passphrase.to_str().unwrap()], 0);
    note(&["generate", "--private-key", "made.age"], 0);
    note(&["public-key", "made.age"], 0);
    for arguments in [
        &["call", "a", "GET", "/wallets", "-i"][..],
        &["call", "a", "POST", "/wallets", "--data", r#"{"network":"Bitcoin"}"#],
        &["call", "a", "POST", "/wallets", "--data", "{}", "--dry-run"],
        &["call", "a", "POST", "/wallets", "--data", "{}", "--dry-run", "--json"],
        &["exec", "a", "--", "program"],
        &["export", "a", "--format", "postman-collection"],
        &[
            "export",
            "a",
            "--format",
            "postman-environment",
            "--via-proxy",
            "http://127.0.0.1:8080",
        ],
        &["export", "a", "--format", "pem-public"],
        &["completions", "bash"],
        &["man"],
        &["demo"],
    ] {
        note(arguments, 0);
    }

    // What is sealed is what must not be seen: open it and look for every piece of it.
    let opened = open_with_passphrase(&env, "a");
    canaries.add_private_key(opened["active"]["private_key"].as_str().unwrap());
    for name in ["p", "q", "s"] {
        let opened = open_with_passphrase(&env, name);
        canaries.add_private_key(opened["active"]["private_key"].as_str().unwrap());
        canaries.add(opened["active"]["token"].as_str().unwrap());
    }
    let opened = open_with_passphrase(&env, "ops");
    canaries.add_private_key(opened["user"]["private_key"].as_str().unwrap());
    // Handed over with `export`, and taken in again: the files lie outside what is searched.
    let formats = [
        "postman-environment",
        "dotenv",
        "github",
        "kubernetes",
        "docker-env",
        "json",
        "pem-private",
    ];
    for format in formats {
        let exported = run(&["export", "a", "--format", format]);
        assert_eq!(exported.code, 0, "{format}: {}", exported.stderr);
        canaries.check(format, exported.stderr.as_bytes());
        std::fs::write(secrets.path().join(format), exported.stdout).unwrap();
    }
    let file = |name: &str| secrets.path().join(name).to_str().unwrap().to_owned();
    let (dotenv, postman, pem) = (file("dotenv"), file("postman-environment"), file("pem-private"));
    let mut imports: Vec<(String, Run)> = Vec::new();
    let url = sandbox.url.as_str();
    for (name, arguments, code) in [
        ("i1", &["--dotenv", dotenv.as_str()][..], 0),
        ("i2", &["--postman", &postman, "--json"], 0),
        ("i3", &["--dotenv", &dotenv, "--offline"], 0),
        (
            "i4",
            &["--private-key", &pem, "--token-file", &token_path, "--api-url", url],
            0,
        ),
        ("i5", &["--private-key", &token_path], 1),
        ("i6", &["--private-key", &pem, "--token-file", &pem], 5),
        ("i7", &["--dotenv", &postman], 1),
        ("i8", &["--postman", &dotenv], 1),
    ] {
        // Each of them is of a credential that is there.
        let mut all = vec!["import", name, "--force"];
        all.extend_from_slice(arguments);
        let imported = run(&all);
        assert_eq!(imported.code, code, "{name}: {imported:?}");
        imports.push((all.join(" "), imported));
    }
    runs.extend(imports);
    for (arguments, run) in &runs {
        canaries.check_run(arguments, run);
    }
    // Nothing was left out: every command there is, but for what takes the place of this process or serves for ever.
    for command in commands(&env) {
        let seen = runs
            .iter()
            .any(|(arguments, _)| arguments.split(' ').next() == Some(&command));
        assert!(
            seen || ["help", "sandbox"].contains(&command.as_str()),
            "{command} was not watched"
        );
    }
    // Children: a plug-in sees nothing, a program what was promised to it, and not how the vault is opened.
    let seen = watched.seen();
    let of = |kind: &str| -> Vec<_> { seen.iter().filter(|(name, _)| name.starts_with(kind)).collect() };
    let (plugins, tools, programs) = (of("plugin"), of("tool"), of("program"));
    assert!(
        plugins.len() > 30 && tools.len() > 20 && programs.len() == 1,
        "{} {} {}",
        plugins.len(),
        tools.len(),
        programs.len()
    );
    for (name, text) in plugins.into_iter().chain(tools) {
        canaries.check(name, text.as_bytes());
    }
    for (name, text) in programs {
        assert!(text.contains("DFNS_PRIVATE_KEY=") || !can_watch(), "{text}");
        assert!(
            !text.contains(PASSPHRASE) && !text.contains("DFNS_KEYS_PASSPHRASE"),
            "{name}: {text}"
        );
    }
    canaries.check_tree(env.home.path());
    canaries.check_tree(temporary.path());
    assert!(runs.len() > 30, "{}", runs.len());
    // The check itself can fail.
    let seen = std::panic::catch_unwind(|| canaries.check("a test", format!("x {token} y").as_bytes()));
    assert!(seen.is_err());
}

/// The commands that `--help` lists.
fn commands(env: &TestEnv) -> Vec<String> {
    let help = env.ok(&["--help"]);
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = lines.take_while(|line| !line.is_empty()).filter_map(|line| {
        let name = line.strip_prefix("  ")?.split(' ').next()?;
        (!name.is_empty()).then(|| name.to_owned())
    });
    let names: Vec<String> = names.collect();
    assert!(names.len() > 20, "{help}");
    names
}

/// Opens a sealed part by the age crate, with no code of ours.
fn open_with_passphrase(env: &TestEnv, name: &str) -> Value {
    let decrypt = |bytes: &[u8], identity: &dyn age::Identity| {
        let decryptor = age::Decryptor::new_buffered(age::armor::ArmoredReader::new(bytes)).unwrap();
        let mut text = String::new();
        let mut reader = decryptor.decrypt(std::iter::once(identity)).unwrap();
        std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
        text
    };
    let sealed = std::fs::read(env.vault().join("identity.age")).unwrap();
    let passphrase = age::scrypt::Identity::new(PASSPHRASE.to_owned().into());
    let text = decrypt(&sealed, &passphrase);
    let line = text.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap();
    let identity: age::x25519::Identity = line.parse().unwrap();
    let file: Value = serde_json::from_slice(&std::fs::read(env.credential_file(name)).unwrap()).unwrap();
    serde_json::from_str(&decrypt(file["sealed"].as_str().unwrap().as_bytes(), &identity)).unwrap()
}

/// A server that echoes what it was sent must not make us print it.
#[test]
fn an_echoing_server_gets_no_token_into_a_message() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    let public = env.ok(&["onboard", "a", "--prepare", "--api-url", &url]);
    let token = sandbox.create("a", &public);
    env.write("token", &token);
    let echo = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = vec![0; 16 * 1024];
        let count = stream.read(&mut buffer).unwrap();
        let request = String::from_utf8_lossy(&buffer[..count]).into_owned();
        let header = request
            .lines()
            .find_map(|line| line.strip_prefix("authorization: "))
            .unwrap()
            .to_owned();
        let body = json!({"error": {"message": format!("\u{1b}[2J cannot use {header}")}}).to_string();
        write!(
            stream,
            "HTTP/1.1 401 No\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
    });
    let run = env.run(&["onboard", "a", "--token-file", "token"]);
    echo.join().unwrap();
    run.fails(5, &["cannot use Bearer [token]"]);
    assert!(
        !run.stderr.contains(&token[..24]) && !run.stderr.contains('\u{1b}'),
        "{run:?}"
    );
}

/// A terminal obeys more than the controls that JSON itself escapes: C1, DEL, and what reorders text.
#[cfg(unix)]
#[test]
fn json_moves_no_terminal_and_means_the_same() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "a");
    let name = "\u{9b}2J\u{202e}\u{2066}\u{7f}\u{200f}Zoë 日本.env";
    let export = env.run(&["export", "a", "--format", "dotenv", "--output", name, "--json"]);
    assert_eq!(export.json()["file"], name);
    let verify = env.run(&["verify", "--dotenv", name, "--json"]);
    assert!(verify.json().to_string().contains(name), "{verify:?}");
    let again = env.run(&["export", "a", "--format", "dotenv", "--output", name, "--json"]);
    assert!(
        again.code == 3 && again.json()["error"].to_string().contains(name),
        "{again:?}"
    );
    let log = env.run(&["log", "--json"]);
    assert!(log.json().to_string().contains(name), "{log:?}");
    let usage = env.run(&["--json", name]);
    assert_eq!(usage.json()["error"]["exit"], 2);
    for run in [export, verify, again, log, usage] {
        let obeyed = |c: &char| (c.is_control() && *c != '\n') || "\u{202e}\u{2066}\u{200f}".contains(*c);
        assert_eq!(run.stdout.chars().find(obeyed), None, "{run:?}");
    }
}

/// Arguments are seen by every user of the machine: no option takes a secret.
#[test]
fn no_option_takes_a_secret() {
    let env = TestEnv::new();
    let help = env.ok(&["onboard", "--help"]) + &env.ok(&["--help"]) + &env.ok(&["rekey", "--help"]);
    // What leads to a key that never leaves where it is held is none.
    let help = help.replace("--key <URI>", "");
    for option in ["--passphrase ", "--token ", "--password", "--key "] {
        assert!(!help.contains(option), "{option}");
    }
    for arguments in [
        &["verify", "a", "--passphrase", "x"][..],
        &["onboard", "a", "--token", "x"],
    ] {
        env.run(arguments).fails(2, &[]);
    }
}
