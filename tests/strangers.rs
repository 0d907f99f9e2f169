//! What somebody tries who can write to the folder of a vault, and is no member: with the program, as its user meets it.
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::os::unix::fs::symlink;

use serde_json::Value;
use support::{Run, Sandbox, TestEnv, copy, set_mode};

const BY: [&str; 2] = ["--passphrase-file", "passphrase"];

/// A vault under a passphrase, with a key under the name `a`.
fn passphrase_vault() -> TestEnv {
    let env = TestEnv::new();
    env.write("passphrase", "correct horse battery staple\n");
    env.ok(&["init", BY[0], BY[1]]);
    env.quicken("correct horse battery staple");
    env.ok(&["onboard", "a", "--prepare", BY[0], BY[1]]);
    env
}

fn stranger() -> String {
    age::x25519::Identity::generate().to_public().to_string()
}

/// Who can make a link in the folder could have us write through it into any file of ours.
#[test]
fn no_link_in_the_vault_is_written_through() {
    let env = TestEnv::with_vault();
    env.write("precious", "of another kind\n");
    let precious = || std::fs::read_to_string(env.path("precious")).unwrap();
    let places = [
        ("credentials/.a.lock", 1),
        (".lock", 1),
        // A log that cannot be written is told of, and stops nothing.
        ("log.jsonl", 0),
    ];
    for (place, code) in places {
        let is_log = place == "log.jsonl";
        for is_link in [true, false] {
            let place = env.vault().join(place);
            let _ = std::fs::remove_file(&place);
            // Systems keep users from naming others' files anew; a log is appended to, whatever names it has.
            if is_log && !is_link {
                continue;
            }
            if is_link {
                symlink(env.path("precious"), &place).unwrap();
            } else {
                std::fs::hard_link(env.path("precious"), &place).unwrap();
            }
            let run = if place.file_name().is_some_and(|name| name == ".lock") {
                env.run(&["recipients", "sync"])
            } else {
                env.run(&["onboard", "a", "--prepare"])
            };
            if is_link {
                run.fails(code, &["it is a link"]);
            }
            assert_eq!(precious(), "of another kind\n", "{}: {run:?}", place.display());
            let _ = std::fs::remove_file(&place);
            let _ = std::fs::remove_file(env.credential_file("a"));
        }
    }
    env.ok(&["onboard", "a", "--prepare"]);
}

/// A pipe is opened once somebody opens its other end.
#[test]
#[cfg(target_os = "linux")]
fn nobody_waits_for_a_pipe_in_the_vault() {
    use rustix::fs::{FileType, Mode};
    let env = TestEnv::with_vault();
    env.ok(&["onboard", "a", "--prepare"]);
    for (place, arguments) in [
        ("credentials/a.json", &["list"][..]),
        ("credentials/a.json", &["verify", "a", "--offline"]),
        ("credentials/.a.lock", &["onboard", "a", "--prepare"]),
        ("recipients.txt", &["list"]),
        ("log.jsonl", &["log"]),
    ] {
        let place = env.vault().join(place);
        let before = std::fs::read(&place).unwrap();
        std::fs::remove_file(&place).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &place, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        env.run(arguments).fails(1, &["it is no plain file"]);
        std::fs::remove_file(&place).unwrap();
        std::fs::write(&place, before).unwrap();
    }
    env.ok(&["list"]);
}

/// Without `identity.age` a run only seals; without what members wrote around its lines, a list is one of version 1.
#[test]
fn a_vault_stripped_of_what_vouches_for_it_gets_no_secret() {
    let env = passphrase_vault();
    env.ok(&["generate", "--plaintext", "--private-key", "key.pem"]);
    let stranger = stranger();
    std::fs::remove_file(env.vault().join("identity.age")).unwrap();
    env.write("vault/recipients.txt", format!("{stranger}\n"));
    for arguments in [
        &["onboard", "b", "--prepare"][..],
        &["import", "b", "--private-key", "key.pem"],
    ] {
        let run = env.run(arguments);
        run.fails(4, &["changed by somebody who is not a member"]);
        assert_eq!(run.stdout, "", "no key to be registered");
        assert!(!env.credential_file("b").exists());
    }
}

#[test]
fn an_older_copy_is_refused_file_by_file_and_whole_until_somebody_means_it() {
    let env = TestEnv::with_vault();
    env.ok(&["onboard", "a", "--prepare"]);
    copy(&env.vault(), &env.path("copy"));
    let old = std::fs::read(env.credential_file("a")).unwrap();
    env.ok(&["recipients", "add", &stranger()]);
    std::fs::write(env.credential_file("a"), &old).unwrap();
    let show = ["verify", "a", "--offline", "--json"];
    let run = env.run(&show);
    run.fails(4, &[]);
    assert_eq!(run.json()["error"]["code"], "rolled_back");

    std::fs::remove_dir_all(env.vault()).unwrap();
    copy(&env.path("copy"), &env.vault());
    let run = env.run(&["onboard", "a", "--prepare", "--json"]);
    assert_eq!(run.code, 4, "{run:?}");
    assert_eq!(run.json()["error"]["code"], "rolled_back");
    let run = env.run(&["onboard", "a", "--prepare", "--accept-rollback"]);
    run.fails(0, &["warning: accepted: recipients.txt is older"]);
    env.ok(&["onboard", "a", "--prepare"]);
    assert!(env.ok(&["log"]).contains("rollback-accepted"));
}

/// The file of a writer that only seals, as it was under an earlier list.
#[test]
fn a_change_of_recipients_that_was_none_is_neither_said_nor_logged() {
    let env = TestEnv::with_vault();
    let digest = env.ok(&["recipients", "list", "--digest"]);
    let mut writer = env.command(&["onboard", "ci", "--prepare"]);
    writer.env_remove("DFNS_KEYS_IDENTITY");
    Run::of(writer.env("DFNS_KEYS_RECIPIENTS", digest.trim())).fails(0, &[]);
    let outdated = std::fs::read(env.credential_file("ci")).unwrap();
    let known = stranger();
    env.ok(&["recipients", "add", &known]);
    for (action, recipient) in [("add", &known), ("remove", &stranger())] {
        std::fs::write(env.credential_file("ci"), &outdated).unwrap();
        let run = env.run(&["recipients", action, recipient]);
        run.fails(0, &["The list of recipients is as it was", "Sealed 1 credential"]);
    }
    let log = env.ok(&["log"]);
    let lines = |action: &str| log.matches(action).count();
    assert_eq!((lines("recipient-added"), lines("recipient-removed")), (1, 0), "{log}");
}

/// Each thing that is older is said and logged, whichever command accepts it.
#[test]
fn whatever_accepts_an_older_state_says_so_and_logs_it() {
    let env = TestEnv::with_vault();
    env.ok(&["onboard", "a", "--prepare"]);
    copy(&env.vault(), &env.path("copy"));
    env.ok(&["recipients", "add", &stranger()]);
    for file in ["recipients.txt", "credentials/a.json"] {
        std::fs::copy(env.path("copy").join(file), env.vault().join(file)).unwrap();
    }
    env.run(&["recipients", "sync"]).fails(7, &["put an older list back"]);
    let accepted = [
        "warning: accepted: recipients.txt is older",
        "warning: accepted: the file of a is older",
    ];
    env.run(&["recipients", "sync", "--accept-rollback"])
        .fails(0, &accepted[..1]);
    env.run(&["onboard", "a", "--prepare", "--accept-rollback"])
        .fails(0, &accepted[1..]);
    let log = env.ok(&["log"]);
    assert_eq!(log.matches("rollback-accepted").count(), 2, "{log}");
    assert!(log.contains("the file of a is older"), "{log}");

    let mut elsewhere = env.command(&["recipients", "sync"]);
    let run = Run::of(elsewhere.env("XDG_STATE_HOME", env.path("elsewhere")));
    run.fails(0, &["meets the vault"]);
}

#[test]
fn another_vault_in_its_place_is_told_from_it_and_the_user_can_say_which_one_is_meant() {
    let env = TestEnv::with_vault();
    env.ok(&["onboard", "a", "--prepare"]);
    let recipient = env.ok(&["recipients", "list"]);
    let digest = env.run(&["recipients", "list", "--digest", "--json"]).json();
    let (id, epoch) = (digest["vault_id"].as_str().unwrap(), digest["epoch"].as_u64().unwrap());
    std::fs::rename(env.vault(), env.path("aside")).unwrap();
    // Sealed to its user, as anybody could who knows the recipient.
    let mut strangers = env.command(&["init", "--recipient", recipient.trim()]);
    Run::of(strangers.env("XDG_STATE_HOME", env.path("their-state"))).fails(0, &[]);
    let prepare = ["onboard", "b", "--prepare"];
    let run = env.run(&[&prepare[..], &["--json"]].concat());
    assert_eq!(run.code, 4, "{run:?}");
    assert_eq!(run.json()["error"]["code"], "other_vault");

    // On a machine that remembers nothing, whoever knows the id says it.
    let told = |expected: &str| {
        let mut command = env.command(&prepare);
        command
            .env("XDG_STATE_HOME", env.path("empty"))
            .env("DFNS_KEYS_VAULT_ID", expected);
        let run = Run::of(&mut command);
        let _ = std::fs::remove_dir_all(env.path("empty"));
        run
    };
    told(id).fails(4, &["another vault than the one that is meant"]);
    std::fs::remove_dir_all(env.vault()).unwrap();
    std::fs::rename(env.path("aside"), env.vault()).unwrap();
    told(&format!("{id}:{}", epoch + 1)).fails(4, &["epoch"]);
    told(&format!("{id}:{epoch}")).fails(0, &[]);
}

#[test]
fn no_refusal_prints_what_has_to_be_compared() {
    let env = TestEnv::with_vault();
    let digest = env.ok(&["recipients", "list", "--digest"]);
    let mut writer = env.command(&["onboard", "a", "--prepare", "--json"]);
    writer.env_remove("DFNS_KEYS_IDENTITY");
    writer.env("DFNS_KEYS_RECIPIENTS", digest.trim());
    let made: Value = Run::of(&mut writer).json();
    let fingerprint = made["fingerprint"].as_str().unwrap();
    for arguments in [
        &["verify", "a", "--offline"][..],
        &["onboard", "a", "--prepare"],
        &["export", "a", "--format", "json"],
        &["vault", "adopt", "a", "--fingerprint", "SHA256:AAAA"],
        &["list"],
    ] {
        let run = env.run(arguments);
        assert!(
            !format!("{}{}", run.stdout, run.stderr).contains(fingerprint),
            "{arguments:?}: {run:?}"
        );
    }
    env.ok(&["vault", "adopt", "a", "--fingerprint", fingerprint, "--yes"]);
}

#[test]
fn a_listing_says_in_a_line_what_of_it_is_in_doubt() {
    let env = TestEnv::with_vault();
    let said = || env.run(&["list"]).stderr;
    for name in ["a", "b"] {
        env.ok(&["onboard", name, "--prepare"]);
    }
    assert_eq!(said(), "");
    let before = std::fs::read(env.credential_file("a")).unwrap();
    env.ok(&["recipients", "add", &stranger()]);
    std::fs::write(env.credential_file("a"), before).unwrap();
    assert!(
        said().starts_with("1 of the files are sealed to an older list") && said().lines().count() == 1,
        "{}",
        said()
    );
    let mut file: Value = serde_json::from_slice(&std::fs::read(env.credential_file("b")).unwrap()).unwrap();
    file["code"] = Value::Null;
    std::fs::write(env.credential_file("b"), file.to_string()).unwrap();
    let run = env.run(&["list", "--json"]);
    let rows = run.json()["credentials"].clone();
    assert_eq!(
        (&rows[0]["authenticated"], &rows[1]["authenticated"]),
        (&"unchecked".into(), &"no".into())
    );
    run.fails(0, &["Nobody vouches for b until a member adopts it"]);
    assert_eq!(env.run(&["list", "-q"]).stderr, "");
}

/// Places stand in the public part, too, for those who only look.
#[test]
fn a_place_written_into_the_public_part_gets_nothing() {
    let env = TestEnv::with_vault();
    env.onboard(&Sandbox::start(), "a");
    let ours = format!("file:{}", env.path("ours.env").display());
    env.ok(&["deliver", "a", "--to", &ours]);
    std::fs::remove_file(env.path("ours.env")).unwrap();
    let file = std::fs::read_to_string(env.credential_file("a")).unwrap();
    std::fs::write(env.credential_file("a"), file.replace("ours.env", "theirs.env")).unwrap();
    env.run(&["deliver", "a"])
        .fails(4, &["tampered", "another `deliveries`"]);
    assert!(!env.path("theirs.env").exists() && !env.path("ours.env").exists());
}

/// One entry that cannot be looked at is told of, and is in the way of no other.
#[test]
fn an_entry_that_cannot_be_looked_at_hides_no_other() {
    let env = TestEnv::with_vault();
    env.ok(&["onboard", "a", "--prepare"]);
    for entry in ["credentials/loop.json", "keys/9-loop.age"] {
        let place = env.vault().join(entry);
        symlink(place.file_name().unwrap(), &place).unwrap();
    }
    let run = env.run(&["list", "--json"]);
    assert_eq!(run.json()["credentials"][0]["name"], "a", "{run:?}");
    run.fails(1, &[]);
    assert!(run.stdout.contains("loop.json"), "{run:?}");
    let list = env.vault().join("recipients.txt");
    let genuine = std::fs::read_to_string(&list).unwrap();
    std::fs::write(&list, format!("{genuine}{}\n", stranger())).unwrap();
    env.run(&["recipients", "sync"]).fails(3, &["loop"]);
    assert_eq!(std::fs::read_to_string(&list).unwrap(), genuine);
}

/// Nobody can open it, and it would keep a change of recipients from its end for ever.
#[test]
fn a_file_that_is_none_is_taken_away_by_its_name() {
    let env = TestEnv::with_vault();
    env.write("vault/credentials/planted.json", "{}");
    env.run(&["recipients", "add", &stranger()]).fails(3, &["planted"]);
    env.run(&["remove", "planted"]).fails(4, &["damaged"]);
    env.ok(&["remove", "planted", "--force", "--yes"]);
    env.ok(&["recipients", "sync"]);
    assert!(env.ok(&["log"]).contains("removed"));
}

/// What a passphrase vault's `init` left belongs to that vault, and would make the passphrase open nothing.
#[test]
fn a_vault_that_only_seals_is_not_made_over_what_another_init_left() {
    let env = TestEnv::new();
    std::fs::create_dir(env.vault()).unwrap();
    set_mode(&env.vault(), 0o700);
    env.write("vault/identity.age", "age-encryption.org/v1\n");
    env.run(&["init", "--recipient", &stranger()])
        .fails(3, &["is unfinished", "cut short"]);
    assert!(!env.vault().join("recipients.txt").exists());
}

#[test]
fn what_nobody_vouches_for_is_delivered_nowhere_and_brings_no_places_along() {
    let (env, sandbox) = (TestEnv::with_vault(), support::Sandbox::start());
    let public = env.ok(&["generate", "--plaintext", "--private-key", "k"]);
    env.write("token", sandbox.create("b", &public));
    let mut writer = env.command(&[
        "import",
        "b",
        "--private-key",
        "k",
        "--token-file",
        "token",
        "--api-url",
        &sandbox.url,
    ]);
    Run::of(writer.env_remove("DFNS_KEYS_IDENTITY")).fails(0, &[]);
    let made = std::fs::read(env.credential_file("b")).unwrap();
    let place = format!("file:{}", env.path("b.env").display());
    env.run(&["deliver", "b", "--to", &place])
        .fails(4, &["nobody vouches for it", "vault adopt b"]);
    let fingerprint = env.ok(&["show", "b", "--fingerprint"]);
    let adopt = ["vault", "adopt", "b", "--fingerprint", fingerprint.trim(), "--yes"];
    let code = serde_json::from_slice::<Value>(&made).unwrap()["code"].clone();
    env.reseal("b", |sealed| {
        let target = format!("{place}?host=theirs");
        sealed["deliveries"] = serde_json::json!([{ "target": target }]);
        sealed["public"]["deliveries"] = serde_json::json!([{
            "target": target, "fingerprint": null, "delivered_at": null, "read_back": false, "in_sync": false, "then": false,
        }]);
    });
    let mut planted: Value = serde_json::from_slice(&std::fs::read(env.credential_file("b")).unwrap()).unwrap();
    planted["code"] = code;
    std::fs::write(env.credential_file("b"), planted.to_string()).unwrap();
    env.run(&adopt).fails(4, &["b has places to deliver to"]);
    std::fs::write(env.credential_file("b"), made).unwrap();
    env.ok(&adopt);
    env.ok(&["deliver", "b", "--to", &place]);
    assert!(env.path("b.env").exists());
}
