//! One credential under two names: what is done to it under one name is done to both, and never without a word.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use serde_json::Value;
use support::{Run, Sandbox, TestEnv};

struct Scene {
    env: TestEnv,
    sandbox: Sandbox,
}

impl Scene {
    /// With an active credential `a`, made in the dashboard, and its key and token in files.
    fn new(doctrine: &str) -> Self {
        let scene = Self {
            env: TestEnv::with_vault(),
            sandbox: Sandbox::start_with(&["--rotation", doctrine]),
        };
        scene.env.onboard(&scene.sandbox, "a");
        let active = scene.env.open("a")["active"].clone();
        scene.env.write("key.pem", active["private_key"].as_str().unwrap());
        scene
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.env.run(arguments)
    }

    /// Takes the key and token in the files in under another name.
    fn import(&self, name: &str, more: &[&str]) -> Run {
        let files = ["--private-key", "key.pem", "--token-file", "token.txt"];
        self.run(&[&["import", name, "--api-url", &self.sandbox.url], &files[..], more].concat())
    }

    /// With the credential of `a` under the name `b`, too.
    fn twice(doctrine: &str) -> Self {
        let scene = Self::new(doctrine);
        scene.import("b", &["--force"]).fails(0, &["b is active"]);
        scene
    }

    fn shown(&self, name: &str) -> Value {
        self.run(&["show", name, "--json"]).json()["credential"].clone()
    }

    /// Registers one more key for the account of a token, and leaves its private half in `key.pem`.
    fn second_key(&self, token_id: &str) {
        let public = self
            .env
            .ok(&["generate", "--plaintext", "--private-key", "key.pem", "--force"]);
        self.sandbox
            .form("/dashboard/add-key", &[("token_id", token_id), ("public_key", &public)]);
    }

    fn enroll(&self) {
        let code = self.sandbox.code("ops@example.com");
        self.env
            .ok(&["enroll", "ops", "--code", &code, "--api-url", &self.sandbox.url]);
    }
}

#[test]
fn a_key_or_token_that_another_name_has_is_not_taken_in_again_unasked() {
    let scene = Scene::new("guide");
    let calls = scene.sandbox.calls().len();
    let run = scene.import("b", &["--json"]);
    let document = run.json();
    assert_eq!(run.code, 3, "{run:?}");
    assert_eq!(document["error"]["code"], "known_already");
    let message = document["error"]["message"].as_str().unwrap();
    assert!(message.contains("a has this key and this token already"), "{message}");
    scene
        .import("b", &["--offline", "--credential-id", "x"])
        .fails(3, &["a has this key and this token already", "--force"]);
    // A key alone, as somebody prepares it for another token.
    scene
        .run(&["import", "b", "--private-key", "key.pem"])
        .fails(3, &["a has this key already"]);
    scene
        .run(&[
            "import",
            "b",
            "--private-key",
            "key.pem",
            "--kind",
            "user",
            "--username",
            "x",
            "--org-id",
            "or-x",
        ])
        .fails(3, &["a has this key already"]);
    assert_eq!(scene.sandbox.calls().len(), calls, "nobody was asked");
    assert!(!scene.env.credential_file("b").exists());

    // The same from what other tools keep.
    scene
        .env
        .ok(&["export", "a", "--format", "dotenv", "--output", "a.env"]);
    scene
        .run(&["import", "b", "--dotenv", "a.env", "--delete-source"])
        .fails(3, &["a has this key and this token already"]);
    assert!(scene.env.path("a.env").exists());

    scene.import("b", &["--force"]).fails(0, &["b is active"]);
    scene.import("c", &[]).fails(3, &["a has this key", "b has this key"]);
}

#[test]
fn the_token_of_another_name_is_known_whatever_key_comes_with_it() {
    let scene = Scene::new("guide");
    scene.second_key(scene.shown("a")["token_id"].as_str().unwrap());
    scene.import("b", &[]).fails(3, &["a has this token already"]);
    scene.import("b", &["--force"]).fails(0, &["b is active"]);
}

#[test]
fn a_key_on_its_way_out_is_known_too_and_one_that_is_gone_is_not() {
    let scene = Scene::new("guide");
    scene.env.ok(&["rotate", "a"]);
    let alone = ["import", "b", "--private-key", "key.pem"];
    scene.run(&alone).fails(3, &["a has this key already"]);
    scene.env.ok(&["rotate", "a", "--finish"]);
    scene.run(&alone).fails(0, &["waits for its token"]);
}

#[test]
fn a_rotation_says_whose_key_it_retires() {
    let scene = Scene::twice("guide");
    let run = scene.run(&["rotate", "a"]);
    run.fails(0, &["b still signs with the old key of a", "dfns-keys rotate b"]);
    // By itself it does not cut b off,
    let run = scene.run(&["rotate", "a", "--grace", "0"]);
    run.fails(7, &["b still signs with the old key of a", "dfns-keys remove b"]);
    let run = scene.run(&["rotate", "a", "--status"]);
    run.fails(0, &["warning: b still signs with the old key of a"]);
    assert!(
        run.stdout.contains("next run: waits for b to get a key of its own"),
        "{run:?}"
    );
    scene.env.ok(&["verify", "a", "b"]);
    assert_eq!(scene.shown("a")["state"], "retiring");
    // not even with -q or for a script without a word,
    for quiet in ["-q", "--json"] {
        let run = scene.run(&["rotate", "a", "--grace", "manual", quiet]);
        run.fails(0, &["warning: b still signs with the old key of a"]);
    }
    // and once b has a key of its own there is nothing to say.
    let run = scene.run(&["rotate", "b"]);
    assert!(!run.stderr.contains("a still signs"), "{run:?}");
    let run = scene.run(&["rotate", "--all", "--grace", "0"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(!run.stderr.contains("still signs"), "{run:?}");
    scene.env.ok(&["verify", "a", "b"]);
}

#[test]
fn whoever_says_finish_is_told_who_stops_working() {
    let scene = Scene::twice("guide");
    scene.env.ok(&["rotate", "a"]);
    let run = scene.run(&["rotate", "a", "--finish", "-q"]);
    run.fails(
        0,
        &["warning: b signs with the old key of a, and stops working with it"],
    );
    scene.run(&["verify", "b"]).fails(5, &[]);
    // b cannot go back to what is dead by now.
    scene.run(&["rotate", "b", "--strategy", "dashboard"]).fails(7, &[]);
    let run = scene.run(&["rotate", "b", "--rollback"]);
    run.fails(3, &["no way back to the old key of b"]);
}

/// A new account takes the token away, too, whichever key it is used with; a second key does not.
#[test]
fn an_account_is_not_retired_under_another_name_with_a_key_of_its_own() {
    for (doctrine, cut_off) in [("guide", false), ("reference", true)] {
        let scene = Scene::new(doctrine);
        scene.enroll();
        scene.second_key(scene.shown("a")["token_id"].as_str().unwrap());
        scene.import("b", &["--force"]).fails(0, &[]);
        let run = scene.run(&["rotate", "a", "--as", "ops", "--grace", "0"]);
        assert_eq!(run.code, if cut_off { 7 } else { 0 }, "{doctrine}: {run:?}");
        assert_eq!(
            run.stderr.contains("b still signs with the old account of a"),
            cut_off,
            "{run:?}"
        );
        scene.env.ok(&["verify", "a", "b"]);
    }
}

#[test]
fn a_rollback_says_who_took_the_new_key() {
    let scene = Scene::new("guide");
    scene.env.ok(&["rotate", "a"]);
    let active = scene.env.open("a")["active"].clone();
    scene.env.write("key.pem", active["private_key"].as_str().unwrap());
    scene.import("b", &["--force"]).fails(0, &[]);
    let run = scene.run(&["rotate", "a", "--rollback"]);
    run.fails(
        0,
        &["warning: b signs with the new key of a, and stops working with it"],
    );
    scene.env.ok(&["verify", "a"]);
}

#[test]
fn a_second_name_can_go_while_the_first_goes_on() {
    let scene = Scene::twice("guide");
    let calls = scene.sandbox.calls().len();
    let run = scene.run(&["remove", "b", "--yes"]);
    run.fails(0, &["b is removed", "a has the same key and token"]);
    assert_eq!(scene.sandbox.calls().len(), calls, "nothing to ask Dfns");
    scene.env.ok(&["verify", "a"]);
    let run = scene.run(&["remove", "a", "--yes"]);
    run.fails(3, &["Dfns still honours a", "deactivate it"]);

    // Also while the first is rotated: the old key is sealed there until it is retired.
    scene.import("b", &["--force"]).fails(0, &[]);
    scene.env.ok(&["rotate", "a"]);
    scene.run(&["remove", "b", "--yes"]).fails(0, &["b is removed"]);
    scene.env.ok(&["rotate", "a", "--rollback"]);

    // With a key of its own it is the last copy of something, but its account is not to be deactivated.
    scene.second_key(scene.shown("a")["token_id"].as_str().unwrap());
    scene.import("b", &["--force"]).fails(0, &[]);
    let run = scene.run(&["remove", "b", "--yes"]);
    run.fails(3, &["Dfns still honours b", "a uses the same account"]);
    assert!(!run.stderr.contains("deactivate it in the dashboard"), "{run:?}");
    scene.env.ok(&["verify", "a", "b"]);
}

/// What another file says of itself is no proof that the key is safe there.
#[test]
fn a_second_copy_is_believed_only_where_it_opens() {
    let scene = Scene::twice("guide");
    let file = scene.env.credential_file("a");
    let mut damaged: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    damaged["sealed"] = "nothing".into();
    std::fs::write(&file, damaged.to_string()).unwrap();
    scene.run(&["remove", "b", "--yes"]).fails(3, &["Dfns still honours b"]);
}

#[test]
fn two_names_of_one_account_are_both_shown_to_be_at_dfns() {
    let scene = Scene::twice("guide");
    scene.enroll();
    let document = scene.run(&["account", "list", "--json"]).json();
    let rows = document["accounts"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{document}");
    for (row, name) in rows.iter().zip(["a", "b"]) {
        assert_eq!(
            (&row["name"], &row["at_dfns"]),
            (&name.into(), &true.into()),
            "{document}"
        );
        assert_eq!(row["identity_id"], rows[0]["identity_id"]);
    }
    scene
        .run(&["account", "deactivate", "b", "--yes"])
        .fails(0, &["warning: a uses the same account, and stops working too"]);
    scene.run(&["verify", "a"]).fails(5, &[]);
}
