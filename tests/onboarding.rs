//! The main job: from nothing to a proven, sealed credential.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::time::Duration;

use serde_json::json;
use support::{PROGRAM, Sandbox, TestEnv};

#[test]
fn a_script_onboards_without_a_terminal() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    let prepared = env.run(&["onboard", "payments-api", "--prepare", "--api-url", &sandbox.url]);
    assert_eq!(prepared.code, 0, "{prepared:?}");
    assert!(prepared.stdout.starts_with("-----BEGIN PUBLIC KEY-----\n"));
    assert!(prepared.stderr.contains("create a service account named payments-api"));
    let again = env.ok(&["onboard", "payments-api", "--prepare"]);
    assert_eq!(again, prepared.stdout, "--prepare is idempotent");

    let token = sandbox.create("payments-api", &again);
    let run = env.run_with_stdin(
        &["onboard", "payments-api", "--token-file", "-", "--json"],
        token.as_bytes(),
    );
    assert_eq!(run.code, 0, "{run:?}");
    let document = run.json();
    for field in [
        "name",
        "state",
        "kind",
        "fingerprint",
        "public_key",
        "org_id",
        "identity_id",
        "token_id",
        "credential_id",
        "token_expires_at",
    ] {
        assert!(document.get(field).is_some(), "{field}");
    }
    assert_eq!(document["ok"], true);
    assert_eq!(document["state"], "active");
    assert_eq!(document["public_key"], again.as_str());
    assert!(document["org_id"].as_str().unwrap().starts_with("or-"));
    assert_eq!(
        sandbox.calls(),
        ["POST /auth/action/init 200", "POST /auth/action 200"],
        "a signed test call is two requests"
    );
    env.run(&["onboard", "payments-api", "--token-file", "-"])
        .fails(3, &["payments-api is active already"]);
    env.run(&["onboard", "payments-api", "--prepare"])
        .fails(3, &["active already"]);
}

#[test]
fn a_personal_access_token_goes_the_same_way() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    let arguments = [
        "onboard",
        "mine",
        "--kind",
        "pat",
        "--prepare",
        "--api-url",
        &sandbox.url,
    ];
    let public = env.ok(&arguments);
    let answer = sandbox.create_with(&[("kind", "pat"), ("name", "mine"), ("public_key", &public)]);
    env.write("token", answer["token"].as_str().unwrap());
    env.ok(&["onboard", "mine", "--token-file", "token"]);
    assert_eq!(env.run(&["show", "mine", "--json"]).json()["credential"]["kind"], "pat");
}

#[test]
fn without_a_terminal_the_token_is_waited_for() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    let run = env.run(&["onboard", "a", "--api-url", &sandbox.url, "--no-input"]);
    run.fails(
        7,
        &["-----BEGIN PUBLIC KEY-----", "waits for its token", "--token-file FILE"],
    );
    let run = env.run(&["onboard", "a", "--json", "--no-input"]);
    assert_eq!(run.code, 7);
    let document = run.json();
    assert_eq!(document["ok"], false);
    assert_eq!(document["error"]["exit"], 7);
    assert_eq!(document["error"]["code"], "token_needed");
}

#[test]
fn a_wrong_token_is_diagnosed_and_changes_nothing() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    let right = env.prepare(&sandbox, "a");
    let other = env.prepare(&sandbox, "b");
    let expired_key = env.ok(&["onboard", "c", "--prepare", "--api-url", &sandbox.url]);
    let expired = sandbox.create_with(&[("name", "c"), ("public_key", &expired_key), ("seconds_valid", "-5")]);
    let expired = expired["token"].as_str().unwrap().to_owned();
    let before = std::fs::read(env.credential_file("a")).unwrap();
    let forged = {
        let parts: Vec<&str> = right.split('.').collect();
        format!("{}.{}.{}", parts[0], parts[1], "AAAA")
    };
    let cases = [
        (
            other,
            "does not accept this key for this token",
            "the token of the account that has this key (`dfns-keys show a --public-key`)",
        ),
        (forged, "does not accept this token", "the token is invalid"),
        (expired, "the token expired on", "make a new token"),
        (format!("\"{right}\""), "has quotes around it", "nothing was changed"),
        (
            format!("Bearer {right}"),
            "the word `Bearer` in front",
            "leave the word",
        ),
        (right.replacen('.', ".\n", 1), "has a line break", "copy it again"),
        ("abc.def.ghi".to_owned(), "second is not base64url", "not sent anywhere"),
        (String::new(), "the token is empty", "copy it again"),
        (
            "-----BEGIN EC PRIVATE KEY-----".to_owned(),
            "this is a PEM block",
            "two dots",
        ),
    ];
    for (token, message, more) in cases {
        env.write("token", &token);
        let run = env.run(&["onboard", "a", "--token-file", "token"]);
        run.fails(5, &[message, more]);
        assert!(token.len() < 40 || !run.stderr.contains(&token[..40]), "{run:?}");
        assert_eq!(std::fs::read(env.credential_file("a")).unwrap(), before, "{message}");
    }
    env.write("token", &right);
    env.run(&["onboard", "a", "--token-file", "token", "--org-id", "or-other"])
        .fails(3, &["was begun with the organisation"]);
    sandbox.switch(&right);
    env.run(&["onboard", "a", "--token-file", "token"])
        .fails(5, &["the token is deactivated"]);
    sandbox.switch(&right);
    env.ok(&["onboard", "a", "--token-file", "token"]);
}

#[test]
fn the_organisation_asked_for_is_the_one_accepted() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    let arguments = [
        "onboard",
        "a",
        "--prepare",
        "--api-url",
        &sandbox.url,
        "--org-id",
        "or-mine",
    ];
    let public = env.ok(&arguments);
    env.write("token", sandbox.create("a", &public));
    env.run(&["onboard", "a", "--token-file", "token"])
        .fails(5, &["belongs to organisation or-", "not to or-mine"]);
    assert!(sandbox.calls().is_empty(), "known without asking");
}

#[test]
fn another_origin_is_diagnosed() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    let arguments = [
        "onboard",
        "a",
        "--prepare",
        "--api-url",
        &sandbox.url,
        "--origin",
        "https://other.example.com",
    ];
    let public = env.ok(&arguments);
    env.write("token", sandbox.create("a", &public));
    env.run(&["onboard", "a", "--token-file", "token"])
        .fails(5, &["does not accept the origin https://other.example.com", "--origin"]);
}

#[test]
fn settings_of_a_begun_credential_are_not_changed_silently() {
    let env = TestEnv::with_vault();
    env.ok(&["onboard", "a", "--prepare", "--api-url", "http://127.0.0.1:1"]);
    env.run(&["onboard", "a", "--prepare", "--api-url", "http://127.0.0.1:2"])
        .fails(3, &["was begun with the api url http://127.0.0.1:1"]);
    env.run(&["onboard", "a", "--prepare", "--kind", "pat"])
        .fails(3, &["was begun with the kind service account"]);
    env.ok(&["onboard", "a", "--prepare", "--kind", "service-account"]);
    env.ok(&["remove", "a", "--yes"]);
    env.ok(&["onboard", "a", "--prepare", "--kind", "pat"]);
}

#[test]
fn a_token_without_a_prepared_key_is_refused() {
    let env = TestEnv::with_vault();
    env.write("token", "a.b.c");
    env.run(&["onboard", "a", "--token-file", "token"])
        .fails(3, &["no key waiting", "--prepare"]);
}

#[test]
fn wrong_command_lines_are_refused_before_anything_happens() {
    let env = TestEnv::with_vault();
    for (arguments, words) in [
        (&["onboard", "Payments"][..], "lower-case"),
        (&["onboard", "../a"], "must start with"),
        (&["onboard", "a", "--api-url", "http://api.dfns.io"], "token in clear"),
        (&["onboard", "a", "--api-url", "api.dfns.io"], "no scheme"),
        (&["onboard", "a", "--api-url", "https://api.dfns.io/v1"], "a path"),
        (&["onboard", "a", "--origin", "app"], "no scheme"),
        (&["onboard", "a", "--kind", "user"], "possible values"),
        (
            &["onboard", "a", "--prepare", "--token-file", "x"],
            "cannot be used with",
        ),
        (&["onboard"], "required"),
        (&["onboard", "a", "--wait", "soon"], "not a duration"),
    ] {
        env.run(arguments).fails(2, &[words]);
    }
    let run = env.run(&["onboard", "A", "--json"]);
    assert_eq!(run.code, 2);
    assert_eq!(run.json()["error"]["exit"], 2);
    assert_eq!(env.ok(&["list", "--json"]).matches("name").count(), 0);
}

/// The process is stopped where it holds the answer but has not sealed it yet: between the halves, in effect.
#[test]
fn a_kill_between_the_halves_loses_nothing() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    let token = env.prepare(&sandbox, "a");
    let fingerprint = env.ok(&["show", "a", "--fingerprint"]);
    env.write("token", &token);
    for path in ["/auth/action/init", "/auth/action"] {
        sandbox.fault(&json!({"fault": "slow", "wait_ms": 60_000, "path": path}));
        let before = sandbox.calls().len();
        let mut child = std::process::Command::new(PROGRAM)
            .args(["onboard", "a", "--token-file", "token"])
            .env_clear()
            .env("DFNS_KEYS_VAULT", env.vault())
            .env("DFNS_KEYS_IDENTITY", env.path("identity.txt"))
            .current_dir(env.home.path())
            .spawn()
            .unwrap();
        // The lock's note and the connections tell that it is waiting for the answer.
        let steps = usize::from(path == "/auth/action");
        while sandbox.calls().len() < before + steps {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(300));
        child.kill().unwrap();
        child.wait().unwrap();
        sandbox.clear_faults();
        assert_eq!(
            env.run(&["show", "a", "--json"]).json()["credential"]["state"],
            "pending"
        );
        assert_eq!(env.ok(&["show", "a", "--fingerprint"]), fingerprint);
    }
    env.ok(&["onboard", "a", "--token-file", "token"]);
    env.ok(&["verify", "a"]);
    assert_eq!(env.ok(&["show", "a", "--fingerprint"]), fingerprint);
}

#[cfg(unix)]
mod terminal {
    use super::*;
    use rexpect::session::PtySession;
    use support::terminal::{ends as end, on_terminal, settings, shell_on_terminal};

    fn session(env: &TestEnv, arguments: &[&str]) -> PtySession {
        on_terminal(&env.asking(arguments))
    }

    #[test]
    fn the_whole_onboarding_with_hidden_input() {
        let env = TestEnv::new();
        let sandbox = Sandbox::start();
        let mut init = session(&env, &["init"]);
        init.exp_string("Passphrase for the new vault").unwrap();
        init.send_line("correct horse").unwrap();
        init.exp_string("The same again: ").unwrap();
        init.send_line("correct horse").unwrap();
        let shown = end(init, 0);
        assert!(!shown.contains("correct horse"), "{shown}");

        let mut onboard = session(&env, &["onboard", "payments-api", "--api-url", &sandbox.url]);
        onboard.exp_string("Vault passphrase: ").unwrap();
        onboard.send_line("correct horse").unwrap();
        onboard.exp_string("-----BEGIN PUBLIC KEY-----").unwrap();
        let rest = onboard.exp_string("-----END PUBLIC KEY-----").unwrap();
        assert!(!rest.contains("correct horse"), "{rest}");
        let public = env.ok(&["show", "payments-api", "--public-key"]);
        let token = sandbox.create("payments-api", &public);
        onboard.exp_string("Token (hidden").unwrap();
        onboard.exp_string("): ").unwrap();
        onboard.send_line(&token).unwrap();
        let shown = end(onboard, 0);
        assert!(shown.contains("payments-api is active."), "{shown}");
        assert!(!shown.contains(&token[..20]), "the token is not echoed: {shown}");
    }

    /// What the terminal is asked to put on the clipboard, and what the desktop's opener is told, by one key.
    #[test]
    fn enter_copies_the_public_key_and_opens_the_page() {
        use base64ct::{Base64, Encoding};
        let env = TestEnv::with_vault();
        let sandbox = Sandbox::start();
        let opener = "#!/bin/sh\nprintf '%s %s\\n' \"$1\" \"${DFNS_KEYS_IDENTITY-nothing of ours}\" >>opened\n";
        std::fs::create_dir(env.path("bin")).unwrap();
        support::set_mode(&env.write("bin/xdg-open", opener), 0o755);
        let terminal = ("TERM", "xterm");
        for (name, variables, offer) in [
            (
                "a",
                &[terminal, ("DISPLAY", ":9")][..],
                "Enter copies the key and opens the page",
            ),
            ("b", &[terminal], "Enter copies the key, where the terminal allows it"),
            (
                "c",
                &[terminal, ("DISPLAY", ":9"), ("SSH_CONNECTION", "x")],
                "Enter copies the key, where",
            ),
        ] {
            let mut command = env.asking(&["onboard", name, "--api-url", &sandbox.url]);
            let mut onboard = on_terminal(command.envs(variables.iter().copied()));
            onboard.exp_string(offer).unwrap();
            onboard.exp_string("): ").unwrap();
            onboard.send_line("").unwrap();
            let public = env.ok(&["show", name, "--public-key"]);
            onboard
                .exp_string(&format!("\x1b]52;c;{}\x07", Base64::encode_string(public.as_bytes())))
                .unwrap();
            onboard.exp_string("): ").unwrap();
            onboard.send_line(&sandbox.create(name, &public)).unwrap();
            end(onboard, 0);
        }
        let opened = std::fs::read_to_string(env.path("opened")).unwrap();
        assert_eq!(opened, format!("{}/ nothing of ours\n", sandbox.url));
        // An opener that cannot is no reason to stop.
        env.write("bin/xdg-open", "#!/bin/sh\nexit 3\n");
        let mut command = env.asking(&["onboard", "d", "--api-url", &sandbox.url]);
        let mut onboard = on_terminal(command.env("DISPLAY", ":9"));
        onboard.exp_string("Enter opens the page").unwrap();
        onboard.exp_string("): ").unwrap();
        onboard.send_line("").unwrap();
        onboard.exp_string("the page cannot be opened").unwrap();
        onboard.exp_string("): ").unwrap();
        onboard.send_control('c').unwrap();
        end(onboard, 130);
    }

    #[test]
    fn what_can_be_no_token_is_asked_for_again() {
        let env = TestEnv::with_vault();
        let sandbox = Sandbox::start();
        let token = env.prepare(&sandbox, "a");
        let quoted = format!("\"{token}\"");
        for (pasted, code, end_of_it) in [
            (&[quoted.as_str(), "Bearer x", token.as_str()][..], 0, "a is active"),
            (&["x", "", "y"], 5, "the key stays sealed"),
        ] {
            let name = if code == 0 { "a" } else { "b" };
            let mut onboard = session(&env, &["onboard", name, "--api-url", &sandbox.url]);
            for text in pasted {
                onboard.exp_string("Token (hidden").unwrap();
                onboard.exp_string("): ").unwrap();
                onboard.send_line(text).unwrap();
            }
            let shown = end(onboard, code);
            assert!(shown.contains(end_of_it) && !shown.contains("Token (hidden"), "{shown}");
            assert!(!shown.contains(&token[..20]), "{shown}");
        }
    }

    #[test]
    fn stopping_at_the_token_keeps_the_key_and_the_terminal() {
        let env = TestEnv::with_vault();
        let sandbox = Sandbox::start();
        let arguments = ["onboard", "a", "--identity", "identity.txt", "--api-url", &sandbox.url];
        // A shell that survives Ctrl-C keeps the terminal open, which must be itself again by then.
        let line = "read -r start; trap : INT; \"$0\" \"$@\"; echo \"code $?\"; read -r end";
        let mut shell = shell_on_terminal(line, &env.asking(&arguments));
        let before = settings(&shell);
        shell.send_line("start").unwrap();
        shell.exp_string("): ").unwrap();
        shell.send_control('c').unwrap();
        let shown = shell.exp_string("code 130").unwrap();
        assert!(shown.contains("the key stays sealed"), "{shown}");
        assert_eq!(format!("{before:?}"), format!("{:?}", settings(&shell)));
        shell.send_line("end").unwrap();
        end(shell, 0);
        assert_eq!(
            env.run(&["show", "a", "--json"]).json()["credential"]["state"],
            "pending"
        );
        let public = env.ok(&["show", "a", "--public-key"]);
        env.write("token", sandbox.create("a", &public));
        env.ok(&["onboard", "a", "--token-file", "token"]);
    }

    /// A terminal in its line mode cuts at 4,095 bytes. Ours must see the whole of a longer paste.
    #[test]
    fn a_token_beyond_the_terminals_line_limit_is_taken_whole() {
        use base64ct::{Base64UrlUnpadded, Encoding};
        let env = TestEnv::with_vault();
        let sandbox = Sandbox::start();
        let arguments = ["onboard", "a", "--identity", "identity.txt", "--api-url", &sandbox.url];
        let mut onboard = session(&env, &arguments);
        onboard.exp_string("): ").unwrap();
        let claims = json!({"exp": 1, "padding": "x".repeat(6_000)}).to_string();
        let token = format!("e30.{}.AAAA", Base64UrlUnpadded::encode_string(claims.as_bytes()));
        assert!(token.len() > 8_000);
        onboard.send_line(&token).unwrap();
        // Only a token that arrived whole has claims that can be read, and these say that it expired.
        let shown = end(onboard, 5);
        assert!(shown.contains("the token expired on 1970-01-01"), "{shown}");
    }

    #[test]
    fn differing_passphrases_are_asked_for_again() {
        let env = TestEnv::new();
        let mut init = session(&env, &["init"]);
        for (first, second) in [("one and one", "two and two"), ("three and three", "three and three")] {
            init.exp_string("Passphrase for the new vault").unwrap();
            init.send_line(first).unwrap();
            init.exp_string("The same again: ").unwrap();
            init.send_line(second).unwrap();
        }
        end(init, 0);
        env.write("passphrase", "three and three");
        env.ok(&["onboard", "a", "--prepare", "--passphrase-file", "passphrase"]);
        env.ok(&["remove", "a", "--yes", "--passphrase-file", "passphrase"]);
    }

    #[test]
    fn a_passphrase_that_is_soon_guessed_is_asked_for_again() {
        let env = TestEnv::new();
        let mut init = session(&env, &["init"]);
        for (weak, why) in [("x", "it has 1 character;"), ("abcabcabc", "it repeats 3 characters;")] {
            init.exp_string("leave empty to have one made): ").unwrap();
            init.send_line(weak).unwrap();
            init.exp_string("that is easily guessed: ").unwrap();
            init.exp_string(why).unwrap();
        }
        init.exp_string("leave empty to have one made): ").unwrap();
        init.send_line("sieben Zwerge").unwrap();
        init.exp_string("The same again: ").unwrap();
        init.send_line("sieben Zwerge").unwrap();
        end(init, 0);
        let mut rekey = session(&env, &["rekey"]);
        rekey.exp_string("Vault passphrase: ").unwrap();
        rekey.send_line("sieben Zwerge").unwrap();
        for _ in 0..3 {
            rekey.exp_string("New passphrase for the vault").unwrap();
            rekey.send_line("short").unwrap();
        }
        assert!(end(rekey, 4).contains("nothing was changed"));
        env.write("passphrase", "sieben Zwerge");
        env.ok(&[
            "rekey",
            "--passphrase-file",
            "passphrase",
            "--new-passphrase-file",
            "passphrase",
        ]);
    }

    #[test]
    fn an_empty_passphrase_has_one_made() {
        let env = TestEnv::new();
        let mut init = session(&env, &["init"]);
        init.exp_string("leave empty to have one made").unwrap();
        init.send_line("").unwrap();
        let shown = end(init, 0);
        let words = shown
            .split_whitespace()
            .find(|word| word.matches('-').count() == 9)
            .expect("ten words are shown")
            .to_owned();
        env.write("passphrase", words);
        env.ok(&["onboard", "a", "--prepare", "--passphrase-file", "passphrase"]);
        env.ok(&["remove", "a", "--yes", "--passphrase-file", "passphrase"]);
    }

    #[test]
    fn removal_is_confirmed_by_typing_the_name() {
        let env = TestEnv::with_vault();
        env.ok(&["onboard", "a", "--prepare"]);
        let arguments = ["remove", "a", "--identity", "identity.txt"];
        let mut remove = session(&env, &arguments);
        remove.exp_string("Type the name to confirm (a): ").unwrap();
        remove.send_line("b").unwrap();
        assert!(end(remove, 1).contains("not confirmed"));
        let mut remove = session(&env, &arguments);
        remove.exp_string("(a): ").unwrap();
        remove.send_line("a").unwrap();
        end(remove, 0);
        env.run(&["show", "a"]).fails(3, &[]);
    }

    #[test]
    fn a_closed_stdout_is_no_failure_worth_a_word() {
        let env = TestEnv::with_vault();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut completions = env.command(&["completions", "bash"]);
        let child = completions.stdout(writer).stderr(std::process::Stdio::piped()).spawn();
        let run = support::Run::from(child.unwrap().wait_with_output().unwrap());
        assert_eq!(run.stderr, "", "{run:?}");
    }
}
