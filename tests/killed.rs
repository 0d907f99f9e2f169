//! What a kill leaves of the vault itself: whoever could open it still can, and the next run goes on or says where things stand.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::path::Path;

use support::{Run, TestEnv};

const STOP_AT: &str = "DFNS_KEYS_TEST_STOP_AT";

/// Runs a command that is stopped at its instant of this number, if it has as many. Says whether it was.
fn stopped(env: &TestEnv, arguments: &[&str], number: u32) -> bool {
    let run = Run::of(env.command(arguments).env(STOP_AT, number.to_string()));
    let ended = run.code == 0;
    assert!(ended || run.stderr.is_empty(), "not stopped but failed: {run:?}");
    !ended
}

fn recipient(env: &TestEnv) -> String {
    let identity = age::x25519::Identity::generate();
    let text = secrecy::ExposeSecret::expose_secret(&identity.to_string()).to_owned();
    std::fs::write(env.path("identity.txt"), format!("{text}\n")).unwrap();
    identity.to_public().to_string()
}

#[test]
fn an_init_that_was_cut_short_is_called_unfinished_and_finished_by_the_next_one() {
    let env = TestEnv::new();
    let recipient = recipient(&env);
    let init = ["init", "--recipient", &recipient];
    for number in 1.. {
        let _ = std::fs::remove_dir_all(env.vault());
        let was_stopped = stopped(&env, &init, number);
        let there = env.vault().join("recipients.txt").exists();
        let run = env.run(&["list", "--json"]);
        if there {
            assert_eq!(run.code, 0, "instant {number}: {run:?}");
        } else {
            let word = &run.json()["error"]["code"];
            assert!(
                word == "no_vault" || word == "unfinished_vault",
                "instant {number}: {run:?}"
            );
            env.ok(&init);
        }
        env.ok(&["recipients", "list", "--digest"]);
        if !was_stopped {
            break;
        }
    }
}

#[test]
fn a_vault_that_was_made_where_another_one_was_opens_wherever_its_init_was_cut_short() {
    let env = TestEnv::new();
    let recipient = recipient(&env);
    let init = ["init", "--recipient", &recipient];
    env.ok(&init);
    env.ok(&["recipients", "list", "--digest"]);
    for number in 1.. {
        std::fs::remove_dir_all(env.vault()).unwrap();
        let was_stopped = stopped(&env, &init, number);
        let run = env.run(&["recipients", "list", "--digest"]);
        if env.vault().join("recipients.txt").exists() {
            assert_eq!(run.code, 0, "instant {number}: {run:?}");
        } else {
            assert_eq!(run.code, 3, "instant {number}: {run:?}");
        }
        if !was_stopped {
            break;
        }
    }
}

/// Who comes in by an identity file may not know the old passphrase, and must not lock out who does.
#[test]
fn a_rekey_by_an_identity_file_that_was_cut_short_leaves_a_passphrase_that_opens() {
    let env = TestEnv::new();
    let recipient = recipient(&env);
    env.write("old", "correct horse battery staple lamp");
    env.write("new", "seven wet owls under a blue roof");
    env.ok(&["init", "--recipient", &recipient, "--passphrase-file", "old"]);
    env.ok(&["onboard", "a", "--prepare", "--api-url", "http://127.0.0.1:9"]);
    let state = || {
        let read = |name: &str| std::fs::read(env.vault().join(name)).unwrap();
        (read("recipients.txt"), read("identity.age"))
    };
    let opens = |passphrase: &str| {
        let mut command = env.command(&["onboard", "a", "--prepare", "--passphrase-file", passphrase]);
        let run = Run::of(command.env_remove("DFNS_KEYS_IDENTITY"));
        assert!(run.code == 0 || run.code == 4, "{run:?}");
        run.code == 0
    };
    // Each state of list and identity is tried once: the passphrase is slow on purpose.
    let mut before = state();
    let mut tried = 0;
    for number in 1.. {
        let was_stopped = stopped(&env, &["rekey", "--new-passphrase-file", "new"], number);
        let now = state();
        if now != before {
            let new_is_in_force = now.1 != before.1;
            assert!(opens(if new_is_in_force { "new" } else { "old" }), "instant {number}");
            tried += 1;
            if new_is_in_force {
                break;
            }
        }
        before = now;
        assert!(was_stopped, "it never replaced the identity");
    }
    assert!(tried >= 2, "{tried}");
    env.ok(&["recipients", "sync"]);
    assert!(opens("new"));
}

#[test]
fn a_list_that_is_gone_is_put_back_as_the_message_says() {
    let env = TestEnv::with_vault();
    env.ok(&["onboard", "a", "--prepare", "--api-url", "http://127.0.0.1:9"]);
    let list = env.vault().join("recipients.txt");
    let before = std::fs::read(&list).unwrap();
    std::fs::remove_file(&list).unwrap();
    env.run(&["list"])
        .fails(4, &["has lost its recipients.txt", "recipients sync"]);
    env.ok(&["recipients", "sync"]);
    assert_eq!(std::fs::read(&list).unwrap(), before);
    env.ok(&["onboard", "a", "--prepare"]);
}

#[test]
fn what_a_kill_left_in_any_folder_is_removed_by_the_next_run_that_writes_there() {
    let env = TestEnv::with_vault();
    env.ok(&["onboard", "a", "--prepare", "--api-url", "http://127.0.0.1:9"]);
    let state = env.path(".local/state/dfns-keys/vaults");
    let state = std::fs::read_dir(state).unwrap().next().unwrap().unwrap().path();
    let folders = [env.vault(), env.vault().join("credentials"), state];
    let left = |folder: &Path| folder.join(format!(".dfns-keys-{}", "a".repeat(24)));
    for folder in &folders {
        std::fs::write(left(folder), "half").unwrap();
    }
    env.ok(&["onboard", "b", "--prepare", "--api-url", "http://127.0.0.1:9"]);
    for folder in &folders {
        assert!(!left(folder).exists(), "{}", folder.display());
    }
}

#[test]
fn a_removal_of_a_recipient_that_was_cut_short_is_finished_by_the_same_command() {
    let env = TestEnv::with_vault();
    env.ok(&["onboard", "a", "--prepare", "--api-url", "http://127.0.0.1:9"]);
    let carol = age::x25519::Identity::generate();
    let recipient = carol.to_public().to_string();
    let sealed = || {
        let file = std::fs::read(env.credential_file("a")).unwrap();
        let file: serde_json::Value = serde_json::from_slice(&file).unwrap();
        file["sealed"].as_str().unwrap().to_owned()
    };
    let opens = || {
        let sealed = sealed();
        let decryptor = age::Decryptor::new_buffered(age::armor::ArmoredReader::new(sealed.as_bytes())).unwrap();
        let identity: &dyn age::Identity = &carol;
        decryptor.decrypt(std::iter::once(identity)).is_ok()
    };
    for number in 1.. {
        env.run(&["recipients", "add", &recipient]);
        assert!(opens(), "instant {number}");
        let was_stopped = stopped(&env, &["recipients", "remove", &recipient], number);
        let run = env.run(&["recipients", "remove", &recipient]);
        assert!(
            run.code == 0 || run.stderr.contains("is not among"),
            "instant {number}: {run:?}"
        );
        assert!(!opens(), "instant {number}: {run:?}");
        if !was_stopped {
            break;
        }
    }
}

#[test]
fn a_rename_that_had_ended_is_told_of_when_it_is_run_again() {
    let env = TestEnv::with_vault();
    env.ok(&["onboard", "a", "--prepare", "--api-url", "http://127.0.0.1:9"]);
    env.ok(&["rename", "a", "b"]);
    env.run(&["rename", "a", "b"]).fails(3, &["a was renamed to b"]);
    env.run(&["rename", "c", "b"])
        .fails(3, &["there is no credential named c"]);
    // The name is free again all the same.
    env.ok(&["onboard", "a", "--prepare", "--api-url", "http://127.0.0.1:9"]);
}
