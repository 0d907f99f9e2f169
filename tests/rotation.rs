//! Rotation without downtime and without loss: stopped at every instant, with every answer lost, in every way there is.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};
use support::{Run, Sandbox, TestEnv};

struct Scene {
    env: TestEnv,
    sandbox: Sandbox,
}

/// How the new key comes to Dfns.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// A second key, as the vendor's guide has it.
    Credential,
    /// Not offered, so a new account through the API.
    Replace,
    /// The same for a personal access token.
    ReplacePat,
    /// Not offered, and nobody to act as: a person brings a token.
    Dashboard,
}

impl Way {
    const ALL: [Self; 4] = [Self::Credential, Self::Replace, Self::ReplacePat, Self::Dashboard];

    fn doctrine(self) -> &'static str {
        match self {
            Self::Credential => "guide",
            Self::Replace | Self::ReplacePat | Self::Dashboard => "reference",
        }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Credential | Self::Dashboard => &[],
            Self::Replace | Self::ReplacePat => &["--as", "ops"],
        }
    }
}

impl Scene {
    /// With an enrolled administrator and an active credential `a` that has a permission.
    fn new(way: Way) -> Self {
        let scene = Self {
            env: TestEnv::with_vault(),
            sandbox: Sandbox::start_with(&["--rotation", way.doctrine()]),
        };
        let code = scene.sandbox.code("ops@example.com");
        scene
            .env
            .ok(&["enroll", "ops", "--code", &code, "--api-url", &scene.sandbox.url]);
        let permission = scene.sandbox.form(
            "/dashboard/permission",
            &[("name", "readers"), ("operations", "Wallets:Read")],
        );
        let permission = permission["permission_id"].as_str().unwrap().to_owned();
        let kind = if way == Way::ReplacePat {
            "pat"
        } else {
            "service-account"
        };
        scene.env.ok(&[
            "onboard",
            "a",
            "--as",
            "ops",
            "--kind",
            kind,
            "--permission",
            &permission,
        ]);
        scene
    }

    fn rotate_stopped(&self, arguments: &[&str], stop_at: u64) -> Run {
        let mut all = vec!["rotate"];
        all.extend_from_slice(arguments);
        all.extend(["--timeout", "2s"]);
        let mut command = self.env.command(&all);
        command.env("DFNS_KEYS_TEST_STOP_AT", stop_at.to_string());
        Run::of(&mut command)
    }

    fn rotate(&self, arguments: &[&str]) -> Run {
        self.rotate_stopped(arguments, 0)
    }

    /// Plays the person: makes an account with the key that waits, and writes its token where the next run finds it.
    fn person(&self, run: &Run) -> Option<()> {
        if run.code != 7 {
            return None;
        }
        let opened = self.env.open("a");
        let next = &opened["rotation"]["next"];
        let key = next["public_key"].as_str()?;
        let name = format!("by-hand-{}", self.sandbox.accounts().len());
        let answer = self.sandbox.form(
            "/dashboard/create",
            &[("name", &name), ("public_key", key), ("operations", "Wallets:Read")],
        );
        self.env.write("token", answer["token"].as_str().unwrap());
        Some(())
    }

    /// Deactivates by hand whatever account has this key.
    fn deactivate_by_hand(&self, key: &str) {
        for account in self.sandbox.accounts() {
            if account["active"] == true && account["keys"].as_array().unwrap().iter().any(|one| one == key) {
                let body = format!("token_id={}", account["token_id"].as_str().unwrap());
                let kind = [("content-type", "application/x-www-form-urlencoded")];
                self.sandbox.http("POST", "/dashboard/switch", &kind, body.as_bytes());
            }
        }
    }

    /// The keys that work at the sandbox.
    fn working_keys(&self) -> BTreeSet<String> {
        self.sandbox
            .accounts()
            .iter()
            .filter(|account| account["active"] == true)
            .flat_map(|account| account["keys"].as_array().unwrap().clone())
            .map(|key| key.as_str().unwrap().to_owned())
            .collect()
    }

    /// The keys that the vault knows for a name, in whatever role.
    fn known_keys(&self, name: &str) -> BTreeSet<String> {
        let opened = self.env.open(name);
        [
            &opened["public"]["public_key"],
            &opened["rotation"]["next"]["public_key"],
            &opened["rotation"]["outgoing"]["public_key"],
        ]
        .iter()
        .filter_map(|key| key.as_str().map(str::to_owned))
        .collect()
    }

    fn state(&self, name: &str) -> String {
        let shown = self.env.run(&["show", name, "--json"]).json();
        shown["credential"]["state"].as_str().unwrap().to_owned()
    }

    fn fingerprint(&self) -> String {
        self.env.ok(&["show", "a", "--fingerprint"])
    }

    /// What must be true at every moment.
    fn check(&self, what: &str) {
        let verified = self.env.run(&["verify", "a"]);
        assert_eq!(verified.code, 0, "{what}: what is active works: {verified:?}");
        let unknown: Vec<String> = self.working_keys().difference(&self.known_keys("a")).cloned().collect();
        assert!(
            unknown.is_empty(),
            "{what}: a working key that the vault does not know: {unknown:?}"
        );
    }

    /// What must be true when all is done.
    fn check_settled(&self, what: &str) {
        self.check(what);
        assert_eq!(self.state("a"), "active", "{what}");
        assert_eq!(
            self.working_keys(),
            self.known_keys("a"),
            "{what}: one key, here and there"
        );
        assert_eq!(self.known_keys("a").len(), 1, "{what}");
        let active: Vec<Value> = self
            .sandbox
            .accounts()
            .into_iter()
            .filter(|one| one["active"] == true)
            .collect();
        assert!(active.iter().all(|one| one["permissions"] == 1), "{what}: {active:?}");
    }

    /// Runs plain `rotate` until it ends well, with a person's help where one is needed.
    fn settle(&self, way: Way, what: &str) {
        for _ in 0..8 {
            let mut arguments = vec!["a", "--grace", "0"];
            arguments.extend(way.arguments());
            let waits = self.env.open("a")["rotation"]["next"]["step"].as_str() == Some("key_sealed");
            if way == Way::Dashboard && waits && self.env.path("token").exists() {
                arguments.extend(["--token-file", "token"]);
            }
            let run = self.rotate(&arguments);
            self.check(what);
            if run.code == 0 {
                let _ = std::fs::remove_file(self.env.path("token"));
                return;
            }
            self.help(&run);
        }
        panic!("{what}: it never ends");
    }

    /// Does what a waiting run asks a person for.
    fn help(&self, run: &Run) {
        if run.stderr.contains("waits for the token") {
            self.person(run);
        } else if run.stderr.contains("still accepts the old key") {
            let opened = self.env.open("a");
            self.deactivate_by_hand(opened["rotation"]["outgoing"]["public_key"].as_str().unwrap());
        } else if run.stderr.contains("still accepts the new key") {
            let opened = self.env.open("a");
            self.deactivate_by_hand(opened["rotation"]["next"]["public_key"].as_str().unwrap());
        }
    }
}

#[test]
fn both_keys_work_from_promotion_to_retirement() {
    let scene = Scene::new(Way::Credential);
    let old = scene.fingerprint();
    let before = scene.sandbox.calls().len();
    let run = scene.rotate(&["a"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("the old one works too"), "{run:?}");
    let calls = scene.sandbox.calls()[before..].to_vec();
    assert_eq!(
        calls.len(),
        1 + 3 + 2,
        "init, a signed registration, a test call: {calls:?}"
    );
    assert_eq!(scene.state("a"), "retiring");
    assert_ne!(scene.fingerprint(), old);
    assert_eq!(scene.working_keys().len(), 2);
    scene.check("promoted");
    let status = scene.env.ok(&["rotate", "a", "--status"]);
    assert!(
        status.contains("promoted") && status.contains("waits for --finish"),
        "{status}"
    );
    let again = scene.rotate(&["a"]);
    assert_eq!((again.code, scene.state("a").as_str()), (0, "retiring"), "{again:?}");
    scene.rotate(&["a", "--finish"]).fails(0, &["the old key is refused"]);
    scene.check_settled("finished");
    scene
        .rotate(&["a", "--finish"])
        .fails(3, &["no rotation of a is under way"]);
    let document = scene.rotate(&["a", "--grace", "0", "--json"]).json();
    let row = &document["credentials"][0];
    for (field, value) in [
        ("state", json!("active")),
        ("generation", json!(3)),
        ("step", json!("retired")),
    ] {
        assert_eq!(row[field], value, "{document}");
    }
    assert!(row.get("strategy").is_some());
    let log = scene.env.ok(&["log", "a", "--json"]);
    assert!(
        log.contains("promoted") && log.contains("retired") && log.contains("rotated"),
        "{log}"
    );
}

#[test]
fn a_replacement_has_the_same_permissions() {
    for way in [Way::Replace, Way::ReplacePat] {
        let scene = Scene::new(way);
        let run = scene.rotate(&["a", "--as", "ops", "--grace", "0"]);
        assert_eq!(run.code, 0, "{run:?}");
        scene.check_settled("replaced");
        assert_eq!(scene.sandbox.accounts().len(), 2);
    }
}

#[test]
fn a_person_brings_the_token_where_nobody_else_may() {
    let scene = Scene::new(Way::Dashboard);
    let old_key = scene.env.ok(&["show", "a", "--public-key"]);
    let run = scene.rotate(&["a"]);
    run.fails(
        7,
        &[
            "waits for the token of a new account",
            "--token-file FILE",
            "--as ADMIN",
        ],
    );
    scene.check("waiting");
    scene.person(&run).unwrap();
    let wrong = scene.env.open("a")["active"]["token"].as_str().unwrap().to_owned();
    scene.env.write("wrong", wrong);
    scene
        .rotate(&["a", "--token-file", "wrong"])
        .fails(5, &["the new account's token", "does not accept this key"]);
    scene.rotate(&["a", "--token-file", "token"]).fails(0, &["works too"]);
    scene
        .rotate(&["a", "--finish"])
        .fails(7, &["Dfns still accepts the old key", "deactivate the account"]);
    scene.check("to be deactivated by hand");
    scene.deactivate_by_hand(&old_key);
    scene.rotate(&["a"]).fails(0, &["the old key is refused"]);
    scene.check_settled("by hand");
}

#[test]
fn a_sealed_key_that_cannot_be_read_is_not_taken_for_a_refusal_of_dfns() {
    let scene = Scene::new(Way::Dashboard);
    let run = scene.rotate(&["a", "--strategy", "dashboard"]);
    scene.person(&run).unwrap();
    scene.env.reseal("a", |sealed| {
        sealed["rotation"]["next"]["private_key"] = "no key".into();
    });
    let before = scene.sandbox.calls().len();
    let run = scene.rotate(&["a", "--token-file", "token"]);
    run.fails(4, &["a sealed key of a"]);
    assert!(!run.stderr.contains("registered"), "{run:?}");
    assert_eq!(scene.sandbox.calls().len(), before, "nobody is asked");
    scene.check("the old key works on");
}

#[test]
fn waiting_for_a_person_can_be_given_up_for_an_administrator() {
    let scene = Scene::new(Way::Dashboard);
    let run = scene.rotate(&["a"]);
    run.fails(7, &["-----BEGIN PUBLIC KEY-----", "--as ADMIN"]);
    scene
        .rotate(&["a", "--finish"])
        .fails(3, &["the new key of a is not active yet"]);
    // Somebody has made the account meanwhile, and its token is nobody's.
    scene.person(&run).unwrap();
    assert_eq!(scene.working_keys().len(), 2);
    scene.rotate(&["a", "--as", "ops", "--grace", "0"]).fails(0, &[]);
    scene.check_settled("by the administrator");
}

#[test]
fn a_token_that_may_do_less_is_not_promoted() {
    let scene = Scene::new(Way::Dashboard);
    // Both may read their own permissions; the new one lacks one of them.
    let public = scene
        .env
        .ok(&["onboard", "b", "--prepare", "--api-url", &scene.sandbox.url]);
    let reading = "Auth:ServiceAccounts:Read,Permissions:Read";
    let full = format!("{reading},Wallets:Create");
    let account = scene.sandbox.form(
        "/dashboard/create",
        &[("name", "b"), ("public_key", &public), ("operations", &full)],
    );
    scene.env.write("token", account["token"].as_str().unwrap());
    scene.env.ok(&["onboard", "b", "--token-file", "token"]);
    scene.rotate(&["b", "--strategy", "dashboard"]).fails(7, &[]);
    let opened = scene.env.open("b");
    let key = opened["rotation"]["next"]["public_key"].as_str().unwrap();
    let account = scene.sandbox.form(
        "/dashboard/create",
        &[("name", "b2"), ("public_key", key), ("operations", reading)],
    );
    scene.env.write("token", account["token"].as_str().unwrap());
    scene
        .rotate(&["b", "--token-file", "token"])
        .fails(5, &["lacks permissions of the old one: Wallets:Create"]);
    assert_eq!(scene.state("b"), "rotating");
}

#[test]
fn a_strategy_asked_for_is_not_exchanged_for_another() {
    let scene = Scene::new(Way::Replace);
    scene
        .rotate(&["a", "--strategy", "credential"])
        .fails(5, &["does not let a register a second key", "--strategy replace"]);
    scene.rotate(&["a", "--rollback"]).fails(0, &["the old key again"]);
    scene.check_settled("rolled back");
    scene
        .rotate(&["a", "--strategy", "replace"])
        .fails(2, &["needs an organisation's user", "--as ADMIN"]);
}

#[test]
fn a_dry_run_calls_nothing_that_changes_anything() {
    let scene = Scene::new(Way::Replace);
    let before = (
        scene.sandbox.calls().len(),
        std::fs::read(scene.env.credential_file("a")).unwrap(),
    );
    let run = scene.rotate(&["a", "--dry-run", "--as", "ops"]);
    assert_eq!(run.code, 0, "{run:?}");
    for words in [
        "POST /auth/credentials",
        "POST a new one",
        "make the new key active",
        "on --finish",
    ] {
        assert!(run.stdout.contains(words), "{words}: {run:?}");
    }
    let after = (
        scene.sandbox.calls().len(),
        std::fs::read(scene.env.credential_file("a")).unwrap(),
    );
    assert_eq!(before, after);
}

/// The process is stopped at every durable write and every request, before and after, whichever way the key comes in.
#[test]
fn stopped_at_every_instant_it_is_finished_by_the_next_run() {
    for way in Way::ALL {
        let scene = Scene::new(way);
        let mut instants = 0;
        for stop_at in 1.. {
            assert!(stop_at < 200, "{way:?}: it ends at some time");
            let what = format!("{way:?}, stopped at {stop_at}");
            // The dashboard's way is one run that begins, a person, and one run that ends: each stopped in its turn.
            let mut arguments = vec!["a", "--grace", "0"];
            arguments.extend(way.arguments());
            if way == Way::Dashboard {
                let begun = scene.rotate(&arguments);
                scene.person(&begun).unwrap();
                arguments.extend(["--token-file", "token"]);
            }
            let run = scene.rotate_stopped(&arguments, stop_at);
            scene.check(&what);
            let stopped = run.code == -1 || run.code == 134;
            if !stopped {
                scene.settle(way, &what);
                scene.check_settled(&what);
                instants = stop_at - 1;
                break;
            }
            scene.settle(way, &what);
            scene.check_settled(&what);
        }
        println!("{way:?}: {instants} instants");
        assert!(instants >= 20, "{way:?}: only {instants} instants");
        no_secret_in_clear(&scene);
    }
}

/// The first half of the dashboard's way, and of every other way its very beginning.
#[test]
fn stopped_while_beginning_it_goes_on() {
    let scene = Scene::new(Way::Dashboard);
    for stop_at in 1.. {
        let run = scene.rotate_stopped(&["a"], stop_at);
        let what = format!("beginning, stopped at {stop_at}");
        scene.check(&what);
        if run.code == 7 {
            break;
        }
        scene.rotate(&["a"]).fails(7, &[]);
        scene.rotate(&["a", "--rollback"]).fails(0, &[]);
        scene.check_settled(&what);
    }
}

#[test]
fn each_lost_answer_is_found_out_about() {
    for way in Way::ALL {
        let scene = Scene::new(way);
        for fault in ["close_after", "truncate"] {
            for skip in 0.. {
                let what = format!("{way:?}, {fault} after {skip}");
                let mut arguments = vec!["a", "--grace", "0"];
                arguments.extend(way.arguments());
                if way == Way::Dashboard {
                    let begun = scene.rotate(&arguments);
                    scene.person(&begun).unwrap();
                    arguments.extend(["--token-file", "token"]);
                }
                scene.sandbox.fault(&json!({"fault": fault, "skip": skip}));
                scene.rotate(&arguments);
                // Whether the fault was met at all tells whether there was an answer left to lose.
                let met = scene.sandbox.http("DELETE", "/sandbox/faults", &[], b"").json()["cleared"] == 0;
                scene.settle(way, &what);
                scene.check_settled(&what);
                if !met {
                    break;
                }
            }
        }
    }
}

#[test]
fn rollback_works_from_every_step_before_retirement() {
    for way in [Way::Credential, Way::Replace] {
        let scene = Scene::new(way);
        let fingerprint = scene.fingerprint();
        let mut back = vec!["a", "--rollback"];
        back.extend(way.arguments());
        let mut forth = vec!["a"];
        forth.extend(way.arguments());
        for stop_at in 1.. {
            let what = format!("{way:?}, rolled back after a stop at {stop_at}");
            let run = scene.rotate_stopped(&forth, stop_at);
            scene.check(&what);
            let ended = run.code == 0;
            let run = scene.rotate(&back);
            assert!(run.code == 0 || run.code == 3, "{what}: {run:?}");
            scene.check_settled(&what);
            assert_eq!(scene.fingerprint(), fingerprint, "{what}");
            if ended {
                break;
            }
        }
        // And the rollback itself is stopped at every instant.
        for stop_at in 1.. {
            let what = format!("{way:?}, rollback stopped at {stop_at}");
            scene.rotate(&forth).fails(0, &[]);
            assert_eq!(scene.state("a"), "retiring");
            let run = scene.rotate_stopped(&back, stop_at);
            scene.check(&what);
            if run.code == 0 {
                scene.check_settled(&what);
                break;
            }
            // Once it is recorded, any later run goes on with it; before, nothing has begun.
            let recorded = scene.env.open("a")["rotation"]["journal"]["rolling_back"] == true;
            let run = scene.rotate(if recorded { &forth } else { &back });
            let done_before = run.code == 3 && run.stderr.contains("no rotation of a is under way");
            assert!(run.code == 0 || done_before, "{what}: {run:?}");
            scene.check_settled(&what);
            assert_eq!(scene.fingerprint(), fingerprint, "{what}");
        }
    }
}

#[test]
fn a_retirement_cut_short_can_still_be_undone() {
    let scene = Scene::new(Way::Credential);
    let fingerprint = scene.fingerprint();
    scene.rotate(&["a"]).fails(0, &[]);
    // The deactivation takes effect; its answer and every one after it are lost.
    scene
        .sandbox
        .fault(&json!({"fault": "close_after", "path": "/auth/credentials/deactivate", "times": 9}));
    scene.rotate(&["a", "--finish"]);
    scene.sandbox.clear_faults();
    assert_eq!(scene.state("a"), "retiring");
    // Until it is settled, for by then it may come once more.
    scene.rotate(&["a", "--rollback"]).fails(7, &["may still take effect"]);
    scene.sandbox.clock_offset(11 * 60);
    scene.rotate(&["a", "--rollback"]).fails(0, &[]);
    scene.check_settled("undone");
    assert_eq!(scene.fingerprint(), fingerprint);
}

#[test]
fn two_processes_do_not_rotate_the_same_credential() {
    let scene = Scene::new(Way::Credential);
    let arguments = ["rotate", "a", "--grace", "0"];
    scene
        .sandbox
        .fault(&json!({"fault": "slow", "wait_ms": 3000, "path": "/auth/credentials/init"}));
    let note = scene.env.vault().join("credentials/.a.lock");
    let stale = std::fs::read_to_string(&note).unwrap();
    let mut first = scene.env.command(&arguments).spawn().unwrap();
    while std::fs::read_to_string(&note).is_ok_and(|text| text.is_empty() || text == stale) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    scene
        .rotate(&["a"])
        .fails(3, &["a is locked by another dfns-keys", "rotate a", "--wait 30s"]);
    assert!(first.wait().unwrap().success());
    scene.check_settled("one of two");
}

#[test]
fn a_cron_job_begins_what_is_due_and_ends_what_is_ripe() {
    let scene = Scene::new(Way::Credential);
    scene.env.ok(&["onboard", "b", "--as", "ops"]);
    let hourly = ["--all", "--older-than", "90d", "--grace", "1h"];
    scene.rotate(&hourly).fails(0, &["Nothing is due"]);
    let run = scene.rotate(&["--all", "--older-than", "0s", "--grace", "1h"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.stdout.lines().count(), 2, "one line a credential: {run:?}");
    let states = || [scene.state("a"), scene.state("b")];
    assert_eq!(states(), ["retiring", "retiring"]);
    scene.rotate(&hourly).fails(0, &[]);
    assert_eq!(states(), ["retiring", "retiring"], "not ripe yet");
    // With a second's grace, one of the next runs ends them.
    let began = std::time::Instant::now();
    while states() != ["active", "active"] {
        assert!(began.elapsed() < std::time::Duration::from_secs(60));
        scene
            .rotate(&["--all", "--older-than", "90d", "--grace", "1s"])
            .fails(0, &[]);
    }
    scene.rotate(&hourly).fails(0, &["Nothing is due"]);
    assert_eq!(scene.working_keys().len(), 2);
    scene.rotate(&[]).fails(2, &["required"]);
    scene.rotate(&["ops"]).fails(3, &["only an active service account"]);
}

/// Fifty credentials, one call in ten failing: everything rotated or clearly reported, nothing lost.
#[test]
fn a_fleet_survives_a_failing_dfns() {
    let scene = Scene::new(Way::Credential);
    let names: Vec<String> = (0..49).map(|number| format!("n{number:02}")).collect();
    scene.env.write("names.csv", format!("name\n{}\n", names.join("\n")));
    scene.env.ok(&[
        "onboard",
        "--from",
        "names.csv",
        "--as",
        "ops",
        "--rate-limit",
        "100000",
    ]);
    for (fault, every) in [("close_after", 40), ("status", 20), ("close_before", 40)] {
        scene
            .sandbox
            .fault(&json!({"fault": fault, "status": 500, "every": every, "times": 100_000}));
    }
    let all = ["--all", "--grace", "0", "--rate-limit", "100000"];
    let older = [
        "--all",
        "--older-than",
        "365d",
        "--grace",
        "0",
        "--rate-limit",
        "100000",
    ];
    let run = scene.rotate(&all);
    assert!([0, 6].contains(&run.code), "{run:?}");
    assert!(
        run.stdout.lines().filter(|line| !line.starts_with(' ')).count() >= 50,
        "one line each: {run:?}"
    );
    for _ in 0..20 {
        // What was begun goes on; what is done is not begun again.
        if scene.rotate(&older).code == 0 {
            break;
        }
    }
    scene.sandbox.clear_faults();
    scene.rotate(&older).fails(0, &[]);
    let list = scene.env.run(&["list", "--json"]).json();
    let rows = list["credentials"].as_array().unwrap();
    assert_eq!(rows.iter().filter(|row| row["kind"] != "user").count(), 50);
    for row in rows.iter().filter(|row| row["kind"] != "user") {
        assert_eq!(
            (&row["state"], &row["generation"]),
            (&json!("active"), &json!(2)),
            "{row}"
        );
    }
    assert_eq!(scene.working_keys().len(), 50);
    let run = scene.env.run(&["verify", "--all", "--rate-limit", "100000"]);
    assert_eq!(run.code, 0, "{run:?}");
}

#[derive(Clone, Debug)]
enum Move {
    Rotate { stop_at: u64 },
    Finish { stop_at: u64 },
    Rollback { stop_at: u64 },
    Fault { kind: &'static str, skip: u64 },
    Heal,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let stop = prop_oneof![2 => Just(0_u64), 3 => 1_u64..40];
    let one = prop_oneof![
        4 => stop.clone().prop_map(|stop_at| Move::Rotate { stop_at }),
        2 => stop.clone().prop_map(|stop_at| Move::Finish { stop_at }),
        2 => stop.prop_map(|stop_at| Move::Rollback { stop_at }),
        2 => (prop_oneof![Just("close_after"), Just("close_before"), Just("truncate"), Just("status")], 0_u64..12)
            .prop_map(|(kind, skip)| Move::Fault { kind, skip }),
        1 => Just(Move::Heal),
    ];
    prop::collection::vec(one, 1..9)
}

/// Random interleavings of the machine's steps with stops and faults.
#[test]
fn random_interleavings_lose_nothing() {
    const CASES: u32 = 24;
    let explored = std::cell::Cell::new((0_u32, 0_u32));
    for way in [Way::Credential, Way::Replace] {
        let scene = Scene::new(way);
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
            cases: CASES / 2,
            failure_persistence: None,
            max_shrink_iters: 0,
            ..ProptestConfig::default()
        });
        let outcome = runner.run(&moves(), |moves| {
            for one in &moves {
                let what = format!("{way:?}: {one:?} in {moves:?}");
                let with = |first: &[&'static str]| {
                    let mut arguments = first.to_vec();
                    arguments.extend(way.arguments());
                    arguments
                };
                match one {
                    Move::Rotate { stop_at } => drop(scene.rotate_stopped(&with(&["a"]), *stop_at)),
                    Move::Finish { stop_at } => drop(scene.rotate_stopped(&with(&["a", "--finish"]), *stop_at)),
                    Move::Rollback { stop_at } => drop(scene.rotate_stopped(&with(&["a", "--rollback"]), *stop_at)),
                    Move::Fault { kind, skip } => {
                        scene
                            .sandbox
                            .fault(&json!({"fault": kind, "status": 500, "skip": skip}));
                        continue;
                    }
                    Move::Heal => scene.sandbox.clear_faults(),
                }
                // Verifying must not meet a fault that is meant for the rotation.
                let planned = scene.env.run(&["rotate", "a", "--status"]);
                assert_eq!(planned.code, 0, "{what}: {planned:?}");
                let (cases, steps) = explored.get();
                explored.set((cases, steps + 1));
            }
            scene.sandbox.clear_faults();
            scene.check(&format!("{way:?}: {moves:?}"));
            scene.settle(way, &format!("{way:?}: {moves:?}"));
            scene.check_settled(&format!("{way:?}: {moves:?}"));
            let (cases, steps) = explored.get();
            explored.set((cases + 1, steps));
            Ok(())
        });
        outcome.unwrap();
    }
    let (cases, steps) = explored.get();
    println!("{cases} interleavings explored, {steps} steps in all");
    assert_eq!(cases, CASES);
}

/// The files of the vault hold no private key or token in clear.
fn no_secret_in_clear(scene: &Scene) {
    let opened = scene.env.open("a");
    let token = opened["active"]["token"].as_str().unwrap();
    let pem = opened["active"]["private_key"].as_str().unwrap();
    let secret_line = pem.lines().nth(1).unwrap();
    let mut directories = vec![scene.env.vault()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            assert!(
                !text.contains(&token[20..60]) && !text.contains(&secret_line[40..]),
                "{}",
                path.display()
            );
        }
    }
}
