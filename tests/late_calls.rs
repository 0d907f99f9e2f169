//! A call that we gave up on may still take effect, minutes later. Nothing is lost by it, no orphan is left active, and
//! nothing goes against it before it is settled.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use support::{Run, Sandbox, TestEnv};

struct Scene {
    env: TestEnv,
    sandbox: Sandbox,
    kind: &'static str,
    /// What the call says that brings a new key to Dfns, and the one that has an old key refused.
    creation: &'static str,
    with: &'static [&'static str],
}

impl Scene {
    fn empty(doctrine: &str, kind: &'static str, creation: &'static str, with: &'static [&'static str]) -> Self {
        let scene = Self {
            env: TestEnv::with_vault(),
            sandbox: Sandbox::start_with(&["--rotation", doctrine]),
            kind,
            creation,
            with,
        };
        let code = scene.sandbox.code("ops@example.com");
        scene
            .env
            .ok(&["enroll", "ops", "--code", &code, "--api-url", &scene.sandbox.url]);
        scene
    }

    fn active(self) -> Self {
        self.env
            .ok(&["onboard", "a", "--as", "ops", "--kind", self.kind, "--days", "100"]);
        self
    }

    /// A second key for the same account.
    fn credential() -> Self {
        Self::empty("guide", "service-account", "/auth/credentials", &[]).active()
    }

    /// A new account in the place of the old one.
    fn replace() -> Self {
        Self::empty(
            "reference",
            "service-account",
            "/auth/service-accounts",
            &["--as", "ops"],
        )
        .active()
    }

    fn replace_pat() -> Self {
        Self::empty("reference", "pat", "/auth/pats", &["--as", "ops"]).active()
    }

    fn rotate(&self, arguments: &[&str]) -> Run {
        self.env.run(&[&["rotate", "a"], arguments, self.with].concat())
    }

    /// From now on every call of this kind is given up on; it waits for its hour.
    fn late(&self, method: &str, path: &str) {
        self.sandbox
            .fault(&json!({"fault": "late", "method": method, "path": path, "times": 100}));
    }

    /// The call that has the account of a key, or the key, accepted or refused.
    fn switch_of(&self, key: &str, verb: &str) -> String {
        if self.with.is_empty() {
            return format!("/auth/credentials/{verb}");
        }
        let accounts = self.sandbox.accounts();
        let account = accounts
            .iter()
            .find(|one| one["keys"].as_array().unwrap().iter().any(|one| one == key))
            .unwrap();
        let id = match self.kind {
            "pat" => &account["token_id"],
            _ => &account["user_id"],
        };
        format!("{}/{}/{verb}", self.creation, id.as_str().unwrap())
    }

    /// What was held back takes effect now: with which statuses.
    fn land(&self) -> Vec<u64> {
        self.sandbox.clear_faults();
        let answer = self.sandbox.http("POST", "/sandbox/land", &[], b"").json();
        let landed = answer["landed"].as_array().unwrap();
        landed.iter().map(|status| status.as_u64().unwrap()).collect()
    }

    fn key(&self) -> String {
        self.env.ok(&["show", "a", "--public-key"])
    }

    fn old_key(&self) -> String {
        self.env.open("a")["rotation"]["outgoing"]["public_key"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Whether it arrived behind the last call of all, where nobody could see it any more.
    fn arrived_too_late(&self) -> bool {
        let creation = format!("POST {} 200", self.creation);
        self.sandbox.calls().last() == Some(&creation)
    }

    fn state(&self) -> String {
        let shown = self.env.run(&["show", "a", "--json"]).json();
        shown["credential"]["state"].as_str().unwrap().to_owned()
    }

    /// The keys that work at the sandbox.
    fn working_keys(&self) -> BTreeSet<String> {
        let accounts = self.sandbox.accounts();
        let active = accounts.iter().filter(|account| account["active"] == true);
        active
            .flat_map(|account| account["keys"].as_array().unwrap().clone())
            .map(|key| key.as_str().unwrap().trim().to_owned())
            .collect()
    }

    fn works(&self, what: &str) {
        let run = self.env.run(&["verify", "a"]);
        assert_eq!(run.code, 0, "{what}: {run:?}");
    }

    fn settled(&self, what: &str) {
        self.works(what);
        assert_eq!(self.state(), "active", "{what}");
        assert_eq!(
            self.working_keys(),
            BTreeSet::from([self.key().trim().to_owned()]),
            "{what}: one key works, and it is ours"
        );
    }
}

#[test]
fn a_new_key_that_arrives_after_another_was_made_is_refused_before_the_old_one_is_retired() {
    for scene in [Scene::credential(), Scene::replace(), Scene::replace_pat()] {
        let what = scene.creation;
        scene.late("POST", scene.creation);
        let run = scene.rotate(&[]);
        run.fails(6, &["Dfns may have done it", "run the same command again"]);
        let first = scene.env.open("a")["rotation"].clone();
        scene.sandbox.clear_faults();
        scene.rotate(&[]).fails(0, &["the old one works too"]);
        let second = scene.env.open("a")["rotation"].clone();
        assert_ne!(first["journal"]["id"], second["journal"]["id"], "{what}");
        assert_ne!(
            first["journal"]["account_name"], second["journal"]["account_name"],
            "{what}"
        );
        assert_ne!(scene.key(), first["next"]["public_key"].as_str().unwrap(), "{what}");
        if scene.with.is_empty() {
            let asked = |rotation: &Value| rotation["journal"]["credential_id"].as_str().unwrap().to_owned();
            assert_ne!(asked(&first), asked(&second), "{what}");
        }
        assert_eq!(scene.land(), [200], "{what}");
        assert_eq!(scene.working_keys().len(), 3, "{what}: it has arrived");
        scene.rotate(&["--finish"]).fails(0, &["the old key is refused"]);
        scene.settled(what);
    }
}

#[test]
fn a_new_key_that_arrives_late_at_any_time_is_lost_to_nobody() {
    for make in [Scene::credential, Scene::replace] {
        for after in 0.. {
            let scene = make();
            let what = format!("{} after {after}", scene.creation);
            scene
                .sandbox
                .fault(&json!({"fault": "late", "method": "POST", "path": scene.creation, "after_requests": after}));
            let mut seen = true;
            for _ in 0..6 {
                let run = scene.rotate(&["--grace", "0"]);
                seen = !scene.arrived_too_late();
                scene.works(&what);
                if run.code == 0 {
                    break;
                }
                run.fails(6, &[]);
            }
            if !seen || !scene.land().is_empty() {
                assert!(after > 8, "{what}");
                break;
            }
            scene.settled(&what);
        }
    }
}

#[test]
fn a_creation_that_arrives_late_is_no_account_of_a_rotation_that_was_undone() {
    for scene in [Scene::credential(), Scene::replace()] {
        let key = scene.key();
        scene.late("POST", scene.creation);
        scene.rotate(&[]).fails(6, &[]);
        scene.sandbox.clear_faults();
        scene.rotate(&[]).fails(0, &[]);
        assert_eq!(scene.land(), [200]);
        scene.rotate(&["--rollback"]).fails(0, &["the old key again"]);
        scene.settled(scene.creation);
        assert_eq!(scene.key(), key);
    }
}

#[test]
fn a_creation_that_something_in_between_sent_twice_is_found_and_not_made_again() {
    for scene in [Scene::replace(), Scene::replace_pat(), Scene::credential()] {
        scene
            .sandbox
            .fault(&json!({"fault": "twice", "method": "POST", "path": scene.creation}));
        scene.rotate(&["--grace", "0"]).fails(0, &[]);
        scene.settled(scene.creation);
        // And the first of a name.
        scene
            .sandbox
            .fault(&json!({"fault": "twice", "method": "POST", "path": "/auth/service-accounts"}));
        scene.env.ok(&["onboard", "b", "--as", "ops"]);
        scene.env.ok(&["verify", "b"]);
        assert_eq!(scene.working_keys().len(), 2);
    }
}

#[test]
fn the_first_account_of_a_name_that_arrives_late_is_refused_before_the_next_one_is_used() {
    for kind in ["service-account", "pat"] {
        let path = if kind == "pat" {
            "/auth/pats"
        } else {
            "/auth/service-accounts"
        };
        for after in 0.. {
            let scene = Scene::empty("guide", kind, path, &[]);
            let what = format!("{kind} after {after}");
            scene
                .sandbox
                .fault(&json!({"fault": "late", "method": "POST", "path": path, "after_requests": after}));
            let run = scene.env.run(&["onboard", "a", "--as", "ops", "--kind", kind]);
            assert_eq!(run.code, 0, "{what}: {run:?}");
            if scene.arrived_too_late() || !scene.land().is_empty() {
                assert!(after > 4, "{what}");
                break;
            }
            scene.settled(&what);
        }
    }
}

#[test]
fn a_refusal_of_the_old_key_that_may_still_come_stops_a_rollback_until_it_is_settled() {
    for make in [Scene::credential, Scene::replace, Scene::replace_pat] {
        for arrives in [true, false] {
            let scene = make();
            let what = format!("{}: {arrives}", scene.creation);
            let old = scene.key();
            scene.rotate(&[]).fails(0, &[]);
            scene.late("PUT", &scene.switch_of(&old, "deactivate"));
            scene.rotate(&["--finish"]).fails(6, &["Dfns may have done it"]);
            scene.sandbox.clear_faults();
            let words = ["may still take effect", "both keys are kept", "after 20"];
            scene.rotate(&["--rollback"]).fails(7, &words);
            let failed = scene.rotate(&["--rollback", "--json"]).json();
            assert_eq!(failed["error"]["code"], "unsettled", "{what}: {failed}");
            assert_eq!(scene.old_key(), old, "{what}: nothing was undone");
            scene.works(&what);
            if arrives {
                assert!(!scene.land().is_empty());
                scene.works(&what);
                scene.rotate(&["--rollback"]).fails(7, &words);
            }
            // Nine minutes are not enough, and it is Dfns's clock that counts.
            scene.sandbox.clock_offset(9 * 60);
            scene.rotate(&["--rollback"]).fails(7, &words);
            scene.sandbox.clock_offset(11 * 60);
            scene.rotate(&["--rollback"]).fails(0, &["the old key again"]);
            scene.settled(&what);
            assert_eq!(scene.key(), old, "{what}");
            // What never came is no more expected, and what came did no harm.
            scene.rotate(&["--grace", "0"]).fails(0, &[]);
            scene.settled(&what);
        }
    }
}

#[test]
fn a_retirement_that_may_still_come_is_ended_by_the_next_run_all_the_same() {
    for scene in [Scene::credential(), Scene::replace()] {
        let old = scene.key();
        scene.rotate(&[]).fails(0, &[]);
        scene.late("PUT", &scene.switch_of(&old, "deactivate"));
        scene.rotate(&["--finish"]).fails(6, &[]);
        scene.sandbox.clear_faults();
        scene.rotate(&["--rollback"]).fails(7, &[]);
        scene.rotate(&[]).fails(0, &["the old key is refused"]);
        scene.land();
        scene.settled(scene.creation);
    }
}

#[test]
fn an_old_key_that_may_still_be_accepted_again_is_not_retired_until_that_is_settled() {
    for make in [Scene::credential, Scene::replace] {
        let scene = make();
        let what = scene.creation;
        let old = scene.key();
        scene.rotate(&[]).fails(0, &[]);
        // The old key is refused, and the answers that say so are lost.
        let path = scene.switch_of(&old, "deactivate");
        scene
            .sandbox
            .fault(&json!({"fault": "close_after", "method": "PUT", "path": path, "times": 100}));
        scene.rotate(&["--finish"]).fails(6, &[]);
        scene.sandbox.clear_faults();
        scene.sandbox.clock_offset(11 * 60);
        scene.late("PUT", &scene.switch_of(&old, "activate"));
        scene.rotate(&["--rollback"]).fails(6, &["activating"]);
        scene.sandbox.clear_faults();
        scene
            .rotate(&["--finish"])
            .fails(7, &["accepting the old key again", "may still take effect"]);
        scene.rotate(&[]).fails(7, &["may still take effect"]);
        scene.works(what);
        assert!(!scene.land().is_empty());
        scene.sandbox.clock_offset(22 * 60);
        scene.rotate(&["--finish"]).fails(0, &["the old key is refused"]);
        scene.settled(what);
    }
}

const DAY: i64 = 24 * 60 * 60;

#[test]
fn a_rollback_to_a_token_that_has_ended_is_refused_and_the_rotation_goes_on() {
    for make in [Scene::replace, Scene::replace_pat] {
        let scene = make();
        scene.rotate(&["--days", "300"]).fails(0, &[]);
        let new = scene.key();
        scene.sandbox.clock_offset(101 * DAY);
        let before = scene.sandbox.calls().len();
        scene.rotate(&["--rollback"]).fails(
            3,
            &["no way back to the old key of a", "go on with `dfns-keys rotate a`"],
        );
        assert!(
            scene.sandbox.calls()[before..]
                .iter()
                .all(|call| !call.starts_with("PUT")),
            "nothing is switched for it"
        );
        assert_eq!(scene.env.open("a")["rotation"]["journal"]["rolling_back"], false);
        scene.works("the new one");
        scene.rotate(&["--finish"]).fails(0, &["the old key is refused"]);
        scene.settled("gone on");
        assert_eq!(scene.key(), new);
    }
}

#[test]
fn a_rollback_under_way_whose_token_ends_turns_round_and_the_rotation_goes_on() {
    for arrives in [true, false] {
        let scene = Scene::replace();
        scene.rotate(&["--days", "300"]).fails(0, &[]);
        let new = scene.key();
        // The old key is active again; whether the new one is refused nobody knows.
        scene.late("PUT", &scene.switch_of(&new, "deactivate"));
        scene.rotate(&["--rollback"]).fails(6, &[]);
        assert_ne!(scene.key(), new);
        scene.sandbox.clear_faults();
        if arrives {
            scene.land();
        }
        scene.sandbox.clock_offset(101 * DAY);
        scene.rotate(&[]).fails(3, &["no way back"]);
        let run = scene.rotate(&["--grace", "0"]);
        assert_eq!(run.code, 0, "{run:?}");
        scene.settled("gone on");
        assert_eq!(scene.key(), new);
    }
}
