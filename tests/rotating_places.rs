//! A rotation with places: they have the new key before the old one goes, and the old one again before a new one is taken back.
//! At no instant is a key refused that a place still has.
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::collections::BTreeSet;

use p256::SecretKey;
use p256::pkcs8::{DecodePrivateKey, EncodePublicKey, LineEnding};
use serde_json::{Value, json};
use support::places::{key_at, plugins, program};
use support::{Run, Sandbox, TestEnv};

struct Scene {
    env: TestEnv,
    sandbox: Sandbox,
    file: String,
}

impl Scene {
    /// With places `plugin:x` and `plugin:y`, and a file whose readers are told of each change.
    fn new() -> Self {
        let env = TestEnv::with_vault();
        let sandbox = Sandbox::start_with(&["--rotation", "guide"]);
        env.onboard(&sandbox, "a");
        plugins(&env, &["x", "y"]);
        program(&env, "reload", "#!/bin/sh\necho once >>\"$HOME/reloaded\"\n");
        let file = format!("file:{}", env.path("dfns.json").display());
        let scene = Self {
            file: format!("{file}?format=json"),
            env,
            sandbox,
        };
        let to = [
            "a",
            "--to",
            "plugin:x",
            "--to",
            "plugin:y",
            "--to",
            &scene.file,
            "--then",
            "reload",
        ];
        scene.run(&[&["deliver"], &to[..]].concat()).fails(0, &[]);
        scene
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.stopped(arguments, 0)
    }

    fn stopped(&self, arguments: &[&str], stop_at: u64) -> Run {
        let mut command = self.env.command(&[arguments, &["--timeout", "2s"]].concat());
        Run::of(command.env("DFNS_KEYS_TEST_STOP_AT", stop_at.to_string()))
    }

    fn rotate(&self, arguments: &[&str]) -> Run {
        self.run(&[&["rotate", "a"], arguments].concat())
    }

    /// With somebody as whom new accounts are made.
    fn enroll(&self) {
        let code = self.sandbox.code("ops@example.com");
        self.env
            .ok(&["enroll", "ops", "--code", &code, "--api-url", &self.sandbox.url]);
    }

    /// As if the time were over in which an attempt may still land whose end nobody saw.
    fn settle(&self) {
        self.env.reseal("a", |sealed| {
            for place in sealed["deliveries"].as_array_mut().unwrap() {
                place.as_object_mut().unwrap().remove("late");
            }
        });
    }

    fn mood(&self, place: &str, mood: &str) {
        self.env.write(&format!("mood-{place}"), mood);
    }

    /// The public keys that the places have.
    fn held(&self) -> Vec<(&'static str, String)> {
        let file = std::fs::read(self.env.path("dfns.json")).unwrap();
        let file: Value = serde_json::from_slice(&file).unwrap();
        let file = file["DFNS_PRIVATE_KEY"].as_str().unwrap().to_owned();
        let keys = [
            ("x", key_at(&self.env, "x")),
            ("y", key_at(&self.env, "y")),
            ("file", Some(file)),
        ];
        let keys = keys.into_iter().filter_map(|(place, key)| Some((place, key?)));
        keys.map(|(place, key)| (place, public(&key))).collect()
    }

    /// The keys that work at the sandbox.
    fn working(&self) -> BTreeSet<String> {
        let accounts = self.sandbox.accounts();
        let active = accounts.iter().filter(|account| account["active"] == true);
        let keys = active.flat_map(|account| account["keys"].as_array().unwrap());
        keys.map(|key| key.as_str().unwrap().trim().to_owned()).collect()
    }

    /// What must be true at every instant.
    fn check(&self, what: &str) {
        let working = self.working();
        for (place, key) in self.held() {
            assert!(working.contains(&key), "{what}: {place} has a key that is refused");
        }
        self.env.run(&["verify", "a"]).fails(0, &[]);
    }

    fn active(&self) -> String {
        self.env.ok(&["show", "a", "--public-key"]).trim().to_owned()
    }

    /// Every place has what is active, and nothing else works.
    fn check_settled(&self, what: &str) {
        self.check(what);
        let active = self.active();
        for (place, key) in self.held() {
            assert_eq!(key, active, "{what}: {place}");
        }
        assert_eq!(self.working(), BTreeSet::from([active]), "{what}");
        let shown = self.env.run(&["show", "a", "--json"]).json();
        assert_eq!(shown["credential"]["state"], "active", "{what}");
    }

    fn step(&self) -> String {
        let document = self.rotate(&["--status", "--json"]).json();
        document["credentials"][0]["step"].as_str().unwrap().to_owned()
    }
}

fn public(private: &str) -> String {
    let key = SecretKey::from_pkcs8_pem(private).unwrap();
    let pem = key.public_key().to_public_key_pem(LineEnding::LF).unwrap();
    pem.trim().to_owned()
}

#[test]
fn the_old_key_stays_until_every_place_has_the_new_one() {
    let scene = Scene::new();
    let old = scene.active();
    scene.mood("y", "refuse");
    let run = scene.rotate(&["--json"]);
    assert_eq!(run.code, 7, "{run:?}");
    let document = run.json();
    assert_eq!(document["error"]["code"], "undelivered", "{document}");
    let row = &document["credentials"][0];
    assert_eq!(row["step"], "delivering", "{document}");
    let states: Vec<&str> = row["deliveries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["state"].as_str().unwrap())
        .collect();
    assert_eq!(
        states,
        ["in_sync", "failed", "in_sync"],
        "one failure stops nothing: {document}"
    );
    assert_eq!(row["deliveries"][1]["error"]["code"], "tool_refuses", "{document}");
    assert_eq!(
        std::fs::read_to_string(scene.env.path("reloaded"))
            .unwrap()
            .lines()
            .count(),
        2
    );
    scene.check("one is behind");
    let log = scene.env.ok(&["log", "a", "--json"]);
    assert_eq!(log.matches("\"promoted\"").count(), 1, "it is active: {log}");
    let status = scene.rotate(&["--status"]);
    assert!(
        status.stdout.contains("still has the old key:  plugin:y") && !status.stdout.contains("old key:  plugin:x"),
        "{status:?}"
    );
    assert!(
        status
            .stdout
            .contains("delivers the new key to the places that are behind"),
        "{status:?}"
    );
    scene
        .rotate(&["--finish"])
        .fails(7, &["plugin:y", "no room left", "--undelivered"]);
    assert!(scene.working().contains(&old));
    scene.check("refused to finish");
    // The next run of either command tries again.
    scene.mood("y", "");
    scene.run(&["deliver", "a"]).fails(0, &[]);
    assert_eq!(scene.step(), "delivered");
    scene
        .rotate(&[])
        .fails(0, &["the old one works too", "plugin:y has the new one"]);
    scene.rotate(&["--finish"]).fails(0, &["the old key is refused"]);
    scene.check_settled("finished");
    let log = scene.env.ok(&["log", "a", "--json"]);
    assert!(
        log.matches("\"delivered\"").count() >= 6,
        "each place and key is in the log: {log}"
    );
}

#[test]
fn whoever_knows_better_retires_it_all_the_same() {
    let scene = Scene::new();
    let old = scene.active();
    scene.mood("y", "refuse");
    scene.rotate(&[]).fails(7, &[]);
    scene.rotate(&["--undelivered"]).fails(2, &["--finish"]);
    scene
        .rotate(&["--finish", "--undelivered"])
        .fails(0, &["the old key is refused"]);
    assert!(!scene.working().contains(&old));
}

#[test]
fn a_place_that_took_the_old_key_back_meanwhile_is_seen_before_it_is_retired() {
    let scene = Scene::new();
    let before = std::fs::read(scene.env.path("place-x")).unwrap();
    scene.rotate(&[]).fails(0, &[]);
    std::fs::write(scene.env.path("place-x"), &before).unwrap();
    scene.mood("x", "refuse");
    scene.rotate(&["--finish"]).fails(7, &["plugin:x"]);
    scene.check("it has the old key again");
    scene.mood("x", "");
    scene.rotate(&["--finish"]).fails(0, &[]);
    scene.check_settled("put again, and finished");
}

#[test]
fn the_time_of_the_old_key_counts_from_the_last_place() {
    let scene = Scene::new();
    scene.mood("y", "refuse");
    scene.rotate(&["--grace", "24h"]).fails(7, &[]);
    let waits = || scene.rotate(&["--status"]).stdout;
    scene.mood("y", "");
    let promoted = scene.env.open("a")["rotation"]["outgoing"]["promoted_at"]
        .as_str()
        .unwrap()
        .to_owned();
    let now = || jiff::Timestamp::now().to_string()[..19].to_owned();
    while now().as_str() <= &promoted[..19] {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    scene.run(&["deliver", "a"]).fails(0, &[]);
    let delivered = waits();
    let since = scene.env.open("a")["deliveries"][1]["receipt"]["since"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(since > promoted, "{since} {promoted}");
    // A day later, to the second.
    assert!(delivered.contains(&since[11..19]), "{delivered} {since}");
    std::fs::remove_file(scene.env.path("place-y")).unwrap();
    scene.run(&["deliver", "a"]).fails(0, &[]);
    assert_eq!(waits(), delivered, "putting it again does not move it");
}

#[test]
fn a_rollback_takes_the_new_key_from_the_places_first() {
    let scene = Scene::new();
    let old = scene.active();
    scene.rotate(&[]).fails(0, &[]);
    scene.check("promoted");
    scene.mood("x", "refuse");
    scene.rotate(&["--rollback"]).fails(
        7,
        &[
            "not every place of a has the old key",
            "plugin:x",
            "both keys work until then",
        ],
    );
    scene.check("one place has the new key still");
    assert_eq!(scene.working().len(), 2);
    scene.mood("x", "");
    scene.rotate(&[]).fails(0, &["the old key again"]);
    scene.check_settled("rolled back");
    assert_eq!(scene.active(), old);
}

#[test]
fn a_place_forgotten_meanwhile_still_keeps_the_old_key() {
    let scene = Scene::new();
    scene.mood("y", "refuse");
    scene.rotate(&[]).fails(7, &[]);
    scene.run(&["deliver", "a", "--forget", "plugin:y"]).fails(0, &[]);
    scene.rotate(&[]).fails(0, &[]);
    scene.rotate(&["--finish"]).fails(
        7,
        &["plugin:y: it was forgotten, and may still have the key that is to be refused"],
    );
    scene.check("forgotten");
    scene.rotate(&["--finish", "--undelivered"]).fails(0, &[]);
    let places = scene.env.open("a")["deliveries"].to_string();
    assert!(!places.contains("plugin:y"), "{places}");
}

#[test]
fn nothing_is_retired_at_once_that_nobody_knows_to_be_out_of_use() {
    let scene = Scene::new();
    let old = scene.active();
    scene
        .rotate(&["--grace", "0"])
        .fails(2, &["plugin:x", "--grace 1h", "--yes"]);
    assert_eq!(scene.active(), old);
    scene
        .rotate(&["--grace", "0", "--yes"])
        .fails(0, &["the old key is refused"]);
    scene.check_settled("said so");
    for place in ["plugin:x", "plugin:y"] {
        scene.run(&["deliver", "a", "--forget", place]).fails(0, &[]);
    }
    scene.rotate(&["--grace", "0"]).fails(0, &["the old key is refused"]);
}

/// What a killed run began may land after the next one has put something else.
#[test]
fn a_key_that_may_still_land_somewhere_is_not_retired() {
    let scene = Scene::new();
    let old = scene.active();
    std::fs::remove_file(scene.env.path("place-x")).unwrap();
    // It took the secret, and did not end in time.
    scene.mood("x", "hanglater");
    scene.run(&["deliver", "a"]).fails(0, &[]);
    scene.mood("x", "");
    scene
        .rotate(&["--grace", "0", "--yes"])
        .fails(7, &["plugin:x", "whose end nobody saw, may still land until"]);
    assert!(scene.working().contains(&old));
    scene.check("it may land");
    scene.settle();
    scene.rotate(&["--finish"]).fails(0, &[]);
    scene.check_settled("it did not land");
}

const AT_ONCE: [&str; 3] = ["--grace", "0", "--yes"];

/// The process is killed at the instants of a rotation, at each `stride`th from one on, and one of three places does not do its
/// work.
fn stopped_at_the_instants(mood: &str, way: &[&str], from: u64, stride: usize) {
    let scene = Scene::new();
    scene.enroll();
    let way = &[way, &AT_ONCE].concat();
    for stop_at in (from..).step_by(stride) {
        assert!(stop_at < 200, "{mood}: it ends at some time");
        let what = format!("{mood}, stopped at {stop_at}");
        scene.mood("y", mood);
        let run = scene.stopped(&[&["rotate", "a"], &way[..]].concat(), stop_at);
        scene.check(&what);
        let stopped = run.code == -1 || run.code == 134;
        assert!(stopped || [0, 7].contains(&run.code), "{what}: {run:?}");
        if mood != "lose" && mood != "hanglater" {
            assert_ne!(run.code, 0, "{what}: {run:?}");
        }
        scene.mood("y", "");
        if scene.env.open("a")["public"]["state"] == "active" {
            // The next run begins another rotation.
            scene.settle();
        }
        scene.rotate(way).fails(0, &[]);
        scene.check_settled(&what);
        scene.settle();
        if !stopped {
            println!("{mood}: {} instants", stop_at - 1);
            assert!(stop_at > 30, "{what}");
            return;
        }
    }
}

#[test]
fn stopped_here_and_there_while_a_place_refuses_no_key_is_refused_that_a_place_has() {
    stopped_at_the_instants("refuse", &[], 1, 3);
}

#[test]
fn stopped_here_and_there_while_a_place_loses_its_answers_no_key_is_refused_that_a_place_has() {
    stopped_at_the_instants("lose", &[], 2, 3);
}

#[test]
fn stopped_here_and_there_while_a_place_never_ends_no_key_is_refused_that_a_place_has() {
    stopped_at_the_instants("hanglater", &[], 3, 3);
}

#[test]
#[ignore = "it takes long: make campaign"]
fn stopped_at_each_instant_of_each_way_no_key_is_refused_that_a_place_has() {
    for way in [&[][..], &["--renew", "--as", "ops"]] {
        for mood in ["refuse", "lose", "hang", "hanglater", "rubbish"] {
            stopped_at_the_instants(mood, way, 1, 1);
        }
    }
}

/// The way back is stopped at every instant, too.
#[test]
fn stopped_on_the_way_back_no_key_is_refused_that_a_place_has() {
    let scene = Scene::new();
    for stop_at in 1.. {
        assert!(stop_at < 200);
        let what = format!("rollback stopped at {stop_at}");
        scene.rotate(&[]).fails(0, &[]);
        scene.mood("y", "lose");
        let run = scene.stopped(&["rotate", "a", "--rollback"], stop_at);
        scene.check(&what);
        scene.mood("y", "");
        if run.code != -1 && run.code != 134 {
            assert_eq!(run.code, 0, "{what}: {run:?}");
            scene.check_settled(&what);
            break;
        }
        let recorded = scene.env.open("a")["rotation"]["journal"]["rolling_back"] == true;
        let run = scene.rotate(if recorded { &[] } else { &["--rollback"] });
        assert!(run.code == 0 || run.code == 3, "{what}: {run:?}");
        scene.check_settled(&what);
    }
}

const LEAKED: [&str; 3] = ["--compromised", "--as", "ops"];

#[test]
fn what_leaked_is_refused_first_and_then_delivered() {
    let scene = Scene::new();
    scene.enroll();
    let old = scene.active();
    scene.mood("y", "refuse");
    let run = scene.rotate(&LEAKED);
    run.fails(
        7,
        &[
            "plugin:y",
            "no room left",
            "Dfns refuses the old key already",
            "`dfns-keys deliver a` tries again",
        ],
    );
    assert!(!run.stderr.contains("the old key works until then"), "{run:?}");
    assert!(!scene.working().contains(&old));
    let active = scene.active();
    let held = scene.held();
    assert!(
        held.iter().all(|(place, key)| (*key == active) == (*place != "y")),
        "{held:?}"
    );
    assert_eq!(scene.env.open("a")["public"]["state"], "active");
    let log = scene.env.ok(&["log", "a", "--json"]);
    for action in ["rotated", "retired"] {
        assert_eq!(log.matches(&format!("\"{action}\"")).count(), 1, "{log}");
    }
    scene.mood("y", "");
    scene.run(&["deliver", "a"]).fails(0, &[]);
    scene.check_settled("delivered");
    // Where all goes well, there is nothing left to be done.
    scene.rotate(&LEAKED).fails(0, &["the old key is refused"]);
    scene.check_settled("at once");
}

#[test]
fn what_leaked_on_the_way_back_is_not_put_back_first() {
    let scene = Scene::new();
    scene.enroll();
    let token = scene.env.open("a")["public"]["token_id"].clone();
    let old = scene.active();
    scene.rotate(&[]).fails(0, &[]);
    let new = scene.active();
    scene.mood("x", "refuse");
    scene.rotate(&["--rollback"]).fails(7, &["plugin:x"]);
    let run = scene.rotate(&LEAKED);
    run.fails(7, &["plugin:x", "Dfns refuses the old key already"]);
    let working = scene.working();
    assert!(!working.contains(&old) && !working.contains(&new), "{run:?}");
    assert_ne!(scene.env.open("a")["public"]["token_id"], token);
    scene.mood("x", "");
    scene.run(&["deliver", "a"]).fails(0, &[]);
    scene.check_settled("delivered");
}

/// A retirement that was begun and has not come about is no leave to forget the places.
#[test]
fn a_place_that_is_spoilt_after_a_retirement_that_failed_is_mended_before_the_next() {
    let scene = Scene::new();
    let old = scene.active();
    let before = std::fs::read(scene.env.path("place-x")).unwrap();
    scene.rotate(&[]).fails(0, &[]);
    // It may only be done by hand, and is not done.
    let fault =
        json!({"method": "PUT", "path": "/auth/credentials/deactivate", "times": 9, "fault": "status", "status": 403});
    scene.sandbox.fault(&fault);
    scene.rotate(&["--finish"]).fails(7, &["Dfns still accepts"]);
    assert_eq!(scene.step(), "retiring");
    std::fs::write(scene.env.path("place-x"), &before).unwrap();
    scene.mood("x", "refuse");
    scene.rotate(&["--finish"]).fails(7, &["plugin:x", "no room left"]);
    assert!(scene.working().contains(&old));
    scene.check("it has the old key again");
    scene.mood("x", "");
    scene.sandbox.clear_faults();
    scene.rotate(&[]).fails(0, &["the old key is refused"]);
    scene.check_settled("ended");
}

#[test]
fn a_place_named_anew_meanwhile_may_lead_elsewhere_and_the_one_before_still_keeps_the_old_key() {
    for elsewhere in [false, true] {
        let scene = Scene::new();
        scene.mood("y", "refuse");
        scene.rotate(&[]).fails(7, &[]);
        scene.run(&["deliver", "a", "--forget", "plugin:y"]).fails(0, &[]);
        scene.mood("y", "");
        if elsewhere {
            scene.env.write("where-y", "a new home");
        }
        scene.run(&["deliver", "a", "--to", "plugin:y"]).fails(0, &[]);
        let finished = scene.rotate(&["--finish"]);
        if elsewhere {
            finished.fails(7, &["plugin:y: it was forgotten, and may still have the key"]);
            let shown = scene.run(&["deliver", "a", "--json"]).json();
            assert_eq!(shown["deliveries"].as_array().unwrap().len(), 3, "{shown}");
            assert!(shown.to_string().contains("a new home"), "{shown}");
        } else {
            finished.fails(0, &["the old key is refused"]);
            scene.check_settled("the same place");
        }
    }
}
