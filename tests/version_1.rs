//! A vault of version 1, made by the release that had no other: `tests/support/version_1`. Its credentials are `waiting` (pending),
//! `active`, `half` (a rotation whose registration got no answer), `rotating` (two keys that work) and `admin` (a user).
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::path::Path;

use age::secrecy::ExposeSecret;
use serde_json::Value;
use support::{Run, TestEnv, copy};

const NAMES: [&str; 5] = ["active", "admin", "half", "rotating", "waiting"];
const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/version_1");

/// A copy of the vault, with the identity of its second member at hand.
fn scene() -> TestEnv {
    let env = TestEnv::new();
    copy(&Path::new(FIXTURE).join("vault"), &env.vault());
    std::fs::copy(Path::new(FIXTURE).join("member.txt"), env.path("identity.txt")).unwrap();
    std::fs::copy(Path::new(FIXTURE).join("passphrase"), env.path("passphrase")).unwrap();
    env
}

fn file(env: &TestEnv, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(env.credential_file(name)).unwrap()).unwrap()
}

fn fingerprints(env: &TestEnv) -> Vec<(String, String, String)> {
    let listed: Value = serde_json::from_str(&env.ok(&["list", "--json"])).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    listed["credentials"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (text(&row["name"]), text(&row["state"]), text(&row["fingerprint"])))
        .collect()
}

/// Each is exported, or refused for what it is, by whoever opens the vault in this way.
fn all_open(env: &TestEnv, by: &[&str]) {
    let with = |arguments: &[&'static str]| {
        let all: Vec<&str> = arguments.iter().chain(by).copied().collect();
        env.run(&all)
    };
    for name in ["active", "half", "rotating"] {
        let run = with(&["export", name, "--format", "pem-private"]);
        assert!(run.code == 0 && run.stdout.contains("PRIVATE KEY"), "{name}: {run:?}");
        let run = with(&["export", name, "--format", "pem-public"]);
        assert_eq!(run.stdout, file(env, name)["public"]["public_key"].as_str().unwrap());
    }
    for (name, step) in [("active", "none"), ("half", "registering"), ("rotating", "promoted")] {
        let run = with(&["rotate", name, "--status", "--json"]);
        assert_eq!(run.json()["credentials"][0]["step"], step, "{run:?}");
    }
    with(&["export", "admin", "--format", "dotenv"]).fails(3, &["admin"]);
    with(&["export", "waiting", "--format", "dotenv"]).fails(3, &["waiting"]);
}

#[test]
fn it_is_used_as_before_and_stays_of_version_1_until_a_member_moves_it() {
    let env = scene();
    all_open(&env, &[]);
    env.run(&["list"])
        .fails(0, &["This vault is of version 1", "dfns-keys recipients sync"]);
    let names: Vec<String> = fingerprints(&env).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, NAMES);
    env.ok(&["onboard", "another", "--prepare"]);
    assert_eq!(file(&env, "another")["version"], 1);
    env.ok(&["onboard", "another", "--prepare"]);
    env.ok(&["remove", "another", "--yes"]);
    assert!(!env.credential_file("another").exists());
}

#[test]
fn a_member_moves_it_whole_after_being_shown_its_recipients() {
    let env = scene();
    let before = fingerprints(&env);
    let refused = env.run(&["recipients", "sync"]);
    refused.fails(7, &["confirm"]);
    let member = std::fs::read_to_string(env.path("identity.txt")).unwrap();
    let member: age::x25519::Identity = member.trim().parse().unwrap();
    assert!(refused.stderr.contains(&member.to_public().to_string()), "{refused:?}");
    assert_eq!(
        file(&env, "active")["version"],
        1,
        "nothing is moved before it is confirmed"
    );
    let old = std::fs::read(env.credential_file("active")).unwrap();

    env.ok(&["recipients", "sync", "--yes"]);
    for name in NAMES {
        assert_eq!(file(&env, name)["version"], 2, "{name}");
    }
    assert_eq!(fingerprints(&env), before);
    all_open(&env, &[]);

    // Old ages and roles come along, and each generation says since when it has been in its.
    let rotating = env.open("rotating");
    assert_eq!(
        rotating["rotation"]["outgoing"]["generation"]["since"], rotating["public"]["created_at"],
        "{}",
        rotating["public"]
    );
    assert_eq!(rotating["active"]["since"], rotating["public"]["rotated_at"]);
    assert_eq!(
        env.open("waiting")["pending"]["since"],
        env.open("waiting")["public"]["created_at"]
    );

    // What was of version 1 is no longer believed.
    env.write("vault/credentials/active.json", &old);
    env.run(&["export", "active", "--format", "pem-private"])
        .fails(4, &["active"]);
}

/// The passphrase that it always had opens it; `identity.age` learned which vault it belongs to.
#[test]
fn the_owner_moves_it_by_the_passphrase() {
    let env = scene();
    std::fs::rename(env.path("identity.txt"), env.path("member.txt")).unwrap();
    let by = ["--passphrase-file", "passphrase"];
    env.ok(&["recipients", "sync", "--yes", by[0], by[1]]);
    all_open(&env, &by);
    all_open(&env, &["--identity", "member.txt"]);
    let moved = Run::of(
        env.command(&["recipients", "list", "--json"])
            .env("DFNS_KEYS_IDENTITY", "member.txt"),
    );
    assert_eq!(
        moved.json()["recipients"].as_array().map(Vec::len),
        Some(2),
        "{moved:?}"
    );
}

/// A kill between the list and the identity leaves one that does not say which vault it opens.
#[test]
fn a_move_cut_short_before_the_identity_knew_its_vault_is_finished_by_the_next_sync() {
    let env = scene();
    std::fs::remove_file(env.path("identity.txt")).unwrap();
    let by = ["--passphrase-file", "passphrase"];
    let sync = ["recipients", "sync", "--yes", by[0], by[1]];
    let identity = env.vault().join("identity.age");
    let before = std::fs::read(&identity).unwrap();
    env.ok(&sync);
    std::fs::write(&identity, before).unwrap();
    let elsewhere = |number: u32| {
        let mut command = env.command(&["export", "active", "--format", "pem-private", by[0], by[1]]);
        Run::of(command.env("XDG_STATE_HOME", env.path(&format!("elsewhere-{number}"))))
    };
    elsewhere(1).fails(4, &["nobody vouches for the vault"]);
    env.ok(&sync);
    elsewhere(2).fails(0, &[]);
}

/// A member who named it once more meant it, whatever it was sealed to; nobody else did.
#[test]
fn a_recipient_whose_adding_was_cut_short_is_added_by_its_name() {
    let env = scene();
    let carol = age::x25519::Identity::generate();
    let recipient = carol.to_public().to_string();
    let path = env.vault().join("recipients.txt");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}{recipient}\n")).unwrap();
    let other = age::x25519::Identity::generate().to_public().to_string();
    for arguments in [
        &["recipients", "sync", "--yes"][..],
        &["recipients", "add", &other, "--yes"],
    ] {
        env.run(arguments).fails(4, &[&recipient]);
        let settings = std::fs::read(env.vault().join("vault.json")).unwrap();
        let settings: Value = serde_json::from_slice(&settings).unwrap();
        assert_eq!(
            settings["version"], 1,
            "{arguments:?}: it is as it was, for an older dfns-keys too"
        );
    }
    env.ok(&["recipients", "add", &recipient, "--label", "carol", "--yes"]);
    for name in NAMES {
        assert_eq!(file(&env, name)["version"], 2, "{name}");
    }
    let listed = env.ok(&["recipients", "list"]);
    assert!(
        listed.contains(&format!("{recipient}  carol")) && !listed.contains(&other),
        "{listed}"
    );
    env.write("identity.txt", carol.to_string().expose_secret());
    all_open(&env, &[]);
}

/// Whoever could write to the folder could add a line before the vault was moved. The member who moves it sees the line, and
/// nothing is sealed to it where nobody confirms.
#[test]
fn a_recipient_who_was_added_by_a_stranger_is_not_blessed() {
    let env = scene();
    let stranger = age::x25519::Identity::generate().to_public().to_string();
    let path = env.vault().join("recipients.txt");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}{stranger}\n")).unwrap();
    for arguments in [
        &["recipients", "sync"][..],
        &["recipients", "sync", "--yes"],
        &["rekey", "--yes", "--new-passphrase-file", "passphrase"],
        &["export", "active", "--format", "pem-private"],
        &["rotate", "active"],
    ] {
        let run = env.run(arguments);
        assert!(run.code == 4 || run.code == 7, "{arguments:?}: {run:?}");
        assert!(run.stderr.contains(&stranger), "{arguments:?}: {run:?}");
    }
    for name in NAMES {
        assert_eq!(file(&env, name)["version"], 1, "{name}");
    }
}

/// Nobody vouches for what is sealed in such a file, so that it could name a place of a stranger's.
#[test]
fn what_is_of_version_1_is_delivered_nowhere_until_it_is_moved() {
    let env = scene();
    let place = format!("file:{}", env.path("dfns.env").display());
    env.run(&["deliver", "active", "--to", &place]).fails(3, &["version 1"]);
    assert!(!env.path("dfns.env").exists());
    assert_eq!(file(&env, "active")["version"], 1);
    env.ok(&["recipients", "sync", "--yes"]);
    env.ok(&["deliver", "active", "--to", &place]);
    assert!(env.path("dfns.env").exists());
}
