//! What stands on the screen: tables in the window, and nothing left of bars.
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::process::Command;

use serde_json::{Value, json};
use support::terminal::on_terminal_of;
use support::{PROGRAM, Run, Sandbox, TestEnv};

const LINES: u16 = 60;

/// Runs the program in a window of so many columns, typing answers to questions, and returns the lines that a person sees.
fn screen(env: &TestEnv, columns: u16, arguments: &[&str], answers: &[(&str, &str)]) -> Vec<String> {
    let mut command = Command::new(PROGRAM);
    command
        .args(arguments)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", env.home.path())
        .env("DFNS_KEYS_VAULT", env.vault())
        .env("TERM", "xterm-256color")
        .current_dir(env.home.path());
    if env.path("identity.txt").exists() {
        command.env("DFNS_KEYS_IDENTITY", env.path("identity.txt"));
    }
    let mut session = on_terminal_of(columns, LINES, &command);
    let mut shown = String::new();
    for (question, answer) in answers {
        shown += &session.exp_string(question).unwrap();
        shown += question;
        session.send_line(answer).unwrap();
    }
    shown += &session.exp_eof().unwrap();
    let mut parser = vt100::Parser::new(LINES, columns, 0);
    // What was read byte by byte, after the end of the line that started it.
    let bytes: Vec<u8> = shown
        .chars()
        .map(|byte| u8::try_from(u32::from(byte)).unwrap())
        .collect();
    parser.process(bytes.strip_prefix(b"\r\n").unwrap());
    let screen = parser.screen();
    let lines = screen.rows(0, columns).map(|line| line.trim_end().to_owned());
    let mut lines: Vec<String> = lines.collect();
    assert!(
        !(0..LINES).any(|row| screen.row_wrapped(row)),
        "the terminal broke a line: {lines:#?}"
    );
    lines.truncate(
        lines
            .iter()
            .rposition(|line| !line.is_empty())
            .map_or(0, |last| last + 1),
    );
    lines
}

/// The same on a pipe, where `COLUMNS` alone says how wide it is.
fn piped(env: &TestEnv, columns: Option<usize>, arguments: &[&str]) -> String {
    let mut command = env.command(arguments);
    match columns {
        Some(columns) => command.env("COLUMNS", columns.to_string()),
        None => command.env_remove("COLUMNS"),
    };
    let run = Run::of(&mut command);
    assert_eq!(run.code, 0, "{run:?}");
    run.stdout
}

const ORGANISATION: &str = "or-6q7j6-9vt8d-9s4k2abcdefghijkl";

/// Three credentials whose public parts differ in all that a list shows.
fn different() -> TestEnv {
    let env = TestEnv::with_vault();
    for (name, change) in [
        ("payments-api", json!({"org_id": ORGANISATION})),
        (
            "reports",
            json!({"org_id": "or-1", "kind": "pat", "api_url": "https://api.uae.dfns.io"}),
        ),
        ("ops-admin", json!({"org_id": ORGANISATION})),
    ] {
        env.ok(&["onboard", name, "--prepare"]);
        let mut document: Value = serde_json::from_slice(&std::fs::read(env.credential_file(name)).unwrap()).unwrap();
        for (field, value) in change.as_object().unwrap() {
            document["public"][field] = value.clone();
        }
        std::fs::write(env.credential_file(name), document.to_string()).unwrap();
    }
    env
}

#[test]
fn a_list_fits_its_window_and_uses_it() {
    let env = different();
    let narrow = screen(&env, 60, &["list"], &[]);
    assert!(
        narrow[0].starts_with("NAME") && narrow[1].starts_with("ops-admin"),
        "{narrow:#?}"
    );
    assert_eq!(narrow.len(), 4, "{narrow:#?}");
    let usual = screen(&env, 90, &["list"], &[]);
    assert!(
        usual[0].contains("KIND") && usual[2].contains("or-6q7j6") && usual[2].contains('…'),
        "{usual:#?}"
    );
    let roomy = screen(&env, 130, &["list"], &[]);
    assert!(
        roomy[2].contains(ORGANISATION) && roomy[2].contains("api.dfns.io"),
        "{roomy:#?}"
    );
    // Whoever wants everything gets it, and so does whoever reads it by a program.
    let wide = piped(&env, Some(60), &["list", "--wide"]);
    assert!(
        wide.contains(ORGANISATION) && wide.contains("api.uae.dfns.io"),
        "{wide}"
    );
    assert_eq!(piped(&env, None, &["list"]), wide);
}

#[test]
fn a_column_that_says_the_same_in_every_row_is_left_out() {
    let env = TestEnv::with_vault();
    env.ok(&["onboard", "a", "--prepare"]);
    env.ok(&["onboard", "b", "--prepare"]);
    let list = piped(&env, Some(120), &["list"]);
    assert_eq!(
        list.lines().next(),
        Some("NAME  STATE    KEY AGE  TOKEN EXPIRES"),
        "{list}"
    );
    assert!(piped(&env, Some(120), &["list", "--wide"]).contains("ORGANISATION"));
}

#[test]
fn every_table_fits_sixty_eighty_and_a_hundred_and_twenty_columns() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "payments-api");
    env.onboard(&sandbox, "a-service-account-with-quite-a-long-name");
    let code = sandbox.code("ops@example.com");
    env.ok(&["enroll", "ops-admin", "--code", &code, "--api-url", &sandbox.url]);
    env.ok(&[
        "export",
        "payments-api",
        "--format",
        "dotenv",
        "--output",
        "payments.env",
    ]);
    for columns in [60, 80, 120] {
        for arguments in [
            &["list"][..],
            &["log"],
            &["log", "payments-api"],
            &["account", "list"],
            &["verify", "payments-api"],
            &["verify", "--all"],
        ] {
            // What a terminal would break is asserted there.
            let lines = screen(&env, columns, arguments, &[]);
            assert!(lines.len() > 1, "{arguments:?}: {lines:#?}");
        }
    }
    let log = screen(&env, 120, &["log", "payments-api"], &[]);
    assert!(
        log.iter()
            .any(|line| line.contains("exported") && line.contains("payments.env")),
        "{log:#?}"
    );
    let verified = screen(&env, 120, &["verify", "payments-api"], &[]).join("\n");
    let usual = screen(&env, 80, &["verify", "payments-api"], &[]).join("\n");
    assert!(verified.lines().count() < usual.lines().count(), "{verified}\n{usual}");
}

/// What a person is told, too: a terminal breaks lines anywhere, and a command that it breaks can still be copied.
#[test]
fn no_sentence_is_broken_by_the_terminal() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "payments-api");
    env.write("token", "e30.e30.AAAA");
    for columns in [60, 80, 120] {
        for arguments in [
            &["show", "paymets-api"][..],
            &["onboard", "payment-apis", "--token-file", "token"],
            &["rotate", "payments-api", "--finish"],
            &["remove", "payments-api", "--yes"],
            &["verify", "--postman", "nofile.json"],
            &["init"],
            &["exec", "payments-api", "--", "no-such-program"],
        ] {
            let lines = screen(&env, columns, arguments, &[]);
            assert!(!lines.is_empty(), "{arguments:?}");
        }
    }
    let lines = screen(&env, 60, &["show", "paymets-api"], &[]);
    assert!(
        lines.concat().contains("`dfns-keys list`"),
        "a command is not taken apart: {lines:#?}"
    );
}

#[test]
fn the_list_of_recipients_says_who_they_are_and_what_they_may() {
    let env = TestEnv::with_vault();
    let other = age::x25519::Identity::generate().to_public().to_string();
    env.ok(&["recipients", "add", &other, "--label", "alice, laptop"]);
    let run = env.run(&["recipients", "list"]);
    assert!(run.stderr.contains("can open the vault"), "{run:?}");
    assert_eq!(run.stdout.lines().count(), 2, "{run:?}");
    assert!(run.stdout.contains(&format!("{other}  alice, laptop\n")), "{run:?}");
    assert!(
        !run.stdout.contains("label"),
        "a script reads the recipient alone: {run:?}"
    );
    let shown = screen(&env, 80, &["recipients", "list"], &[]).join("\n");
    assert!(
        shown.contains("  (no label)") && shown.contains("  alice, laptop"),
        "{shown}"
    );
    assert_eq!(env.run(&["recipients", "list", "-q"]).stderr, "");
}

#[test]
fn nothing_is_left_of_a_bar_when_something_else_is_said() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start_with(&["--latency", "300"]);
    env.onboard(&sandbox, "payments-api");
    let lines = screen(&env, 80, &["verify", "payments-api", "-v"], &[]);
    let calls: Vec<&String> = lines.iter().filter(|line| line.contains("/auth/action")).collect();
    assert!(
        calls.len() == 2 && calls.iter().all(|line| line.starts_with("  POST")),
        "{lines:#?}"
    );
    assert!(!lines.iter().any(|line| line.contains("asking Dfns")), "{lines:#?}");
    sandbox.fault(&json!({"fault": "status", "status": 429, "retry_after": 1, "path": "/auth/action/init"}));
    let lines = screen(&env, 80, &["verify", "payments-api"], &[]);
    assert!(
        lines[0].starts_with("  Dfns limits the rate") && lines[1] == "payments-api",
        "{lines:#?}"
    );
}

#[test]
fn a_question_stands_alone_on_its_line() {
    let env = TestEnv::new();
    env.write("passphrase", "correct horse battery staple");
    env.ok(&["init", "--passphrase-file", "passphrase"]);
    env.ok(&["onboard", "a", "--prepare", "--passphrase-file", "passphrase"]);
    // An identity file's passphrase is asked for while the vault is being unlocked.
    std::fs::copy(env.vault().join("identity.age"), env.path("mine.age")).unwrap();
    let arguments = ["remove", "a", "--yes", "--identity", "mine.age"];
    let answers = [("Passphrase of mine.age: ", "correct horse battery staple")];
    let lines = screen(&env, 80, &arguments, &answers);
    assert!(lines[0].starts_with("Passphrase of mine.age:"), "{lines:#?}");
    assert!(lines.last().unwrap().starts_with("a is removed"), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("unlocking")), "{lines:#?}");
}
