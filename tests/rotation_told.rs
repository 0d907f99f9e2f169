//! What a rotation says to people and scripts: how old a key is, who still has the old one, what is waited for.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use jiff::Timestamp;
use serde_json::{Value, json};
use support::{Run, Sandbox, TestEnv};

struct Scene {
    env: TestEnv,
    sandbox: Sandbox,
}

impl Scene {
    /// With an active credential `a`, made in the dashboard, at a Dfns that takes a second key.
    fn new() -> Self {
        Self::at(Sandbox::start_with(&["--rotation", "guide"]))
    }

    fn at(sandbox: Sandbox) -> Self {
        let env = TestEnv::with_vault();
        env.onboard(&sandbox, "a");
        Self { env, sandbox }
    }

    fn rotate(&self, arguments: &[&str]) -> Run {
        self.env.run(&[&["rotate"], arguments].concat())
    }

    fn shown(&self, name: &str) -> Value {
        self.env.run(&["show", name, "--json"]).json()["credential"].clone()
    }
}

/// Waits until the clock shows another second than this, which is as exact as a record is.
fn after(at: &Value) {
    let at: Timestamp = at.as_str().unwrap().parse().unwrap();
    while Timestamp::now().as_second() <= at.as_second() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn what_is_rolled_back_is_as_old_as_it_was() {
    let scene = Scene::new();
    let before = scene.shown("a");
    assert_eq!(before["rotated_at"], Value::Null);
    scene.rotate(&["a"]).fails(0, &[]);
    assert_ne!(scene.shown("a")["rotated_at"], Value::Null);
    scene.rotate(&["a", "--rollback"]).fails(0, &[]);
    assert_eq!(scene.shown("a"), before);

    after(&before["created_at"]);
    scene.rotate(&["a", "--grace", "0"]).fails(0, &[]);
    let before = scene.shown("a");
    after(&before["rotated_at"]);
    scene
        .rotate(&["a"])
        .fails(0, &["the old one works too, until you say otherwise"]);
    assert_ne!(scene.shown("a")["rotated_at"], before["rotated_at"]);
    scene.rotate(&["a", "--rollback"]).fails(0, &[]);
    assert_eq!(scene.shown("a"), before);
}

#[test]
fn nothing_is_undone_where_the_old_key_is_dead() {
    let scene = Scene::new();
    let old = scene.shown("a");
    scene.rotate(&["a"]).fails(0, &[]);
    let new = scene.shown("a");
    // Somebody deactivates the old key behind our back.
    let keys: Value = serde_json::from_str(&scene.env.ok(&["call", "a", "GET", "/auth/credentials"])).unwrap();
    let keys = keys["items"].as_array().unwrap();
    let dead = keys
        .iter()
        .find(|key| key["credentialId"] == old["credential_id"])
        .unwrap();
    let body = json!({"credentialUuid": dead["credentialUuid"]}).to_string();
    scene
        .env
        .ok(&["call", "a", "PUT", "/auth/credentials/deactivate", "--data", &body]);
    scene.rotate(&["a", "--rollback"]).fails(
        3,
        &["no way back to the old key of a", "go on with `dfns-keys rotate a`"],
    );
    assert_eq!(scene.shown("a"), new);
    scene.rotate(&["a", "--finish"]).fails(0, &["the old key is refused"]);
    scene.env.ok(&["verify", "a"]);
}

#[test]
fn an_old_key_that_goes_by_itself_is_not_said_to_stay_until_one_says_otherwise() {
    let scene = Scene::new();
    let run = scene.rotate(&["a", "--grace", "24h"]);
    run.fails(0, &["the old one works too", "a run after"]);
    assert!(!run.stderr.contains("until you say otherwise"), "{run:?}");
}

/// Before the promotion, too: what a rollback says of the old key is true.
#[test]
fn a_rotation_that_waits_is_not_undone_into_a_dead_key() {
    let scene = Scene::at(Sandbox::start_with(&["--rotation", "reference"]));
    scene.rotate(&["a"]).fails(7, &[]);
    let token = std::fs::read_to_string(scene.env.path("token.txt")).unwrap();
    scene.sandbox.switch(&token);
    let run = scene.rotate(&["a", "--rollback"]);
    run.fails(3, &["no way back to the old key of a"]);
    assert!(!run.stderr.contains("signs with the old key again"), "{run:?}");
    let key = scene.env.open("a")["rotation"]["next"]["public_key"].clone();
    let token = scene.sandbox.create("a-2", key.as_str().unwrap());
    scene.env.write("new", token);
    scene
        .rotate(&["a", "--token-file", "new", "--grace", "0"])
        .fails(0, &[]);
    scene.env.ok(&["verify", "a"]);
}

#[test]
fn who_still_has_the_old_key_is_told_by_what_was_handed_over_and_is_still_there() {
    let scene = Scene::new();
    let export = |more: &[&str]| scene.env.ok(&[&["export", "a", "--format", "dotenv"], more].concat());
    // Of the key before the old one, which is gone.
    export(&["--output", "first.env"]);
    scene.rotate(&["a", "--grace", "0"]).fails(0, &[]);

    export(&["--output", "kept.env"]);
    export(&["--output", "./kept.env", "--force"]);
    export(&["--output", "deleted.env"]);
    std::fs::remove_file(scene.env.path("deleted.env")).unwrap();
    export(&["--output", "other.env"]);
    scene.env.onboard(&scene.sandbox, "b");
    scene
        .env
        .ok(&["export", "b", "--format", "dotenv", "--output", "other.env", "--force"]);
    export(&[]);
    export(&[]);
    let run = scene.rotate(&["a"]);
    run.fails(0, &["hand"]);
    let told = |run: &Run| -> Vec<String> {
        let lines = run.stderr.lines().chain(run.stdout.lines());
        lines
            .filter_map(|line| {
                let line = line.trim();
                // What a pipe carried on, nobody sees.
                line.strip_prefix("still has the old key:  ").or_else(|| {
                    line.strip_prefix("may still have the old key:  ")
                        .filter(|place| place.starts_with("stdout "))
                })
            })
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect()
    };
    let kept = scene.env.home.path().canonicalize().unwrap().join("kept.env");
    assert_eq!(told(&run), ["kept.env", "stdout"], "{run:?}");
    assert!(run.stderr.contains("stdout (2 exports"), "{run:?}");
    // From wherever one looks, and until the new key is in the file.
    let status = Run::of(scene.env.command(&["rotate", "a", "--status"]).current_dir("/"));
    assert_eq!(told(&status), [kept.to_str().unwrap(), "stdout"], "{status:?}");
    export(&["--output", "kept.env", "--force"]);
    assert_eq!(told(&scene.rotate(&["a", "--status"])), ["stdout"]);
}

/// Before, since afterwards it is an outage.
#[test]
fn what_still_has_the_old_key_is_named_before_it_is_retired() {
    let finish: &[&[&str]] = &[&["a", "--finish"], &["a", "--grace", "0"], &["--all", "--grace", "0"]];
    for last in finish {
        let scene = Scene::new();
        let export = ["export", "a", "--format", "dotenv", "--output"];
        scene.env.ok(&[&export[..], &["kept.env"]].concat());
        scene.env.ok(&[&export[..], &["renewed.env"]].concat());
        let old = scene.shown("a")["fingerprint"].clone();
        scene.rotate(&["a"]).fails(0, &[]);
        scene.env.ok(&[&export[..], &["renewed.env", "--force"]].concat());
        // Nothing was done yet that could be regretted.
        let promoted = scene.rotate(&["a", "--status", "--json"]);
        assert!(!promoted.stderr.contains("warning"), "{promoted:?}");
        assert_eq!(promoted.json()["credentials"][0]["old_key"]["fingerprint"], old);

        scene
            .sandbox
            .fault(&json!({"fault": "close_before", "path": "/auth/credentials/deactivate", "times": 9}));
        let cut = scene.rotate(last);
        assert_ne!(cut.code, 0, "{cut:?}");
        let warning = "warning: kept.env (exported at ";
        assert!(
            cut.stderr.contains(warning),
            "told of before anything is retired: {cut:?}"
        );
        scene.sandbox.clear_faults();
        scene.env.ok(&["verify", "--dotenv", "kept.env"]);

        let run = scene.rotate(last);
        run.fails(
            0,
            &[warning, "still has the old key of a, which is about to be retired"],
        );
        assert!(!run.stderr.contains("renewed.env"), "{run:?}");
    }
}

#[test]
fn a_script_reads_what_still_has_the_old_key() {
    let scene = Scene::new();
    let export = ["export", "a", "--format", "docker-env"];
    scene.env.ok(&[&export[..], &["--output", "kept.env"]].concat());
    scene.env.ok(&export);
    let old = scene.shown("a")["fingerprint"].clone();
    let kept = scene.env.home.path().canonicalize().unwrap().join("kept.env");
    for arguments in [
        &["a", "--json"][..],
        &["a", "--status", "--json"],
        &["a", "--finish", "--json"],
    ] {
        let document = scene.rotate(arguments).json();
        let old_key = &document["credentials"][0]["old_key"];
        assert_eq!(old_key["fingerprint"], old, "{document}");
        let exports = old_key["exports"].as_array().unwrap();
        let places: Vec<&Value> = exports.iter().map(|export| &export["place"]).collect();
        assert_eq!(places, [&json!(kept), &json!("stdout")], "{document}");
        assert!(
            exports.iter().all(|export| export["format"] == "docker-env"),
            "{document}"
        );
    }
    let document = scene.rotate(&["a", "--status", "--json"]).json();
    assert_eq!(
        document["credentials"][0]["old_key"],
        Value::Null,
        "there is none any more"
    );
}

/// Whoever reads that the new key is to be handed over reads how.
#[cfg(unix)]
#[test]
fn the_commands_that_hand_the_new_key_over_are_told_and_do_it() {
    let scene = Scene::new();
    let files = ["kept.env", "it's deployed/payments api.env"];
    std::fs::create_dir(scene.env.path("it's deployed")).unwrap();
    for file in files {
        scene.env.ok(&["export", "a", "--format", "dotenv", "--output", file]);
    }
    scene.env.ok(&["export", "a", "--format", "kubernetes"]);
    let run = scene.rotate(&["a"]);
    run.fails(
        0,
        &["    dfns-keys export a --format kubernetes | …", "`dfns-keys exec a`"],
    );
    let commands = run
        .stderr
        .lines()
        .filter(|line| line.starts_with("    dfns-keys export"));
    for command in commands.filter(|line| !line.ends_with('…')) {
        let ours = command.replacen("dfns-keys", &format!("'{}'", support::PROGRAM), 1);
        let mut shell = scene.env.bare("sh");
        shell
            .args(["-c", &ours])
            .env("DFNS_KEYS_VAULT", scene.env.vault())
            .env("DFNS_KEYS_IDENTITY", scene.env.path("identity.txt"));
        Run::of(&mut shell).fails(0, &[]);
    }
    let new = scene.shown("a")["fingerprint"].clone();
    for file in files {
        let report = scene.env.ok(&["verify", "--dotenv", file]);
        assert!(report.contains(new.as_str().unwrap()), "{file}: {report}");
    }
    let finish = scene.rotate(&["a", "--finish"]);
    assert!(!finish.stderr.contains(".env"), "{finish:?}");
}

/// Lines of before have no form, and a log may have been written to by others.
#[test]
fn no_command_is_told_that_the_log_has_made_up() {
    let scene = Scene::new();
    scene
        .env
        .ok(&["export", "a", "--format", "json", "--output", "old.json"]);
    let log = scene.env.vault().join("log.jsonl");
    let text = std::fs::read_to_string(&log).unwrap();
    for format in ["", ",\"format\":\"json; date\""] {
        std::fs::write(&log, text.replace(",\"format\":\"json\"", format)).unwrap();
        let run = scene.rotate(&["a"]);
        run.fails(0, &["dfns-keys export a --format FORMAT --output old.json --force"]);
        scene.rotate(&["a", "--rollback"]).fails(0, &[]);
    }
}

#[test]
fn each_key_has_its_own_line_in_the_log_when_it_comes_and_when_it_goes() {
    let scene = Scene::new();
    let fingerprint = || scene.shown("a")["fingerprint"].as_str().unwrap().to_owned();
    let first = fingerprint();
    scene.rotate(&["a"]).fails(0, &[]);
    let second = fingerprint();
    scene.rotate(&["a", "--finish"]).fails(0, &[]);
    scene.rotate(&["a", "--grace", "0"]).fails(0, &[]);
    let third = fingerprint();
    let log = scene.env.run(&["log", "a", "--json"]).json();
    let told: Vec<(String, String)> = log["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            (
                event["action"].as_str().unwrap().to_owned(),
                event["fingerprint"].as_str().unwrap().to_owned(),
            )
        })
        .skip_while(|(action, _)| action != "promoted")
        .collect();
    let told: Vec<(&str, &str)> = told.iter().map(|(action, key)| (&**action, &**key)).collect();
    assert_eq!(
        told,
        [
            ("promoted", &*second),
            ("retired", &*first),
            ("rotated", &*third),
            ("retired", &*second)
        ]
    );
}

/// The rotation is done; a log that cannot be read takes nothing of it back.
#[test]
fn a_log_that_cannot_be_read_is_told_of_and_stops_no_rotation() {
    let scene = Scene::new();
    let log = scene.env.vault().join("log.jsonl");
    let kept = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, "nonsense\n").unwrap();
    let run = scene.rotate(&["a"]);
    run.fails(
        0,
        &[
            "a now signs with the new key",
            "places with the old key that are not named",
        ],
    );
    std::fs::write(&log, kept).unwrap();
    let run = scene.rotate(&["a", "--status"]);
    assert!(!run.stderr.contains("warning"), "{run:?}");
    std::fs::remove_file(&log).unwrap();
    std::fs::create_dir(&log).unwrap();
    let run = scene.rotate(&["a", "--status"]);
    run.fails(0, &["who still has the old key cannot be told"]);
    assert_eq!(scene.shown("a")["state"], "retiring");
}

#[test]
fn a_key_that_was_never_rotated_is_not_called_retired() {
    let scene = Scene::new();
    let step = |arguments: &[&str]| {
        let run = scene.rotate(arguments);
        assert_eq!(run.code, 0, "{run:?}");
        run.json()["credentials"][0]["step"].clone()
    };
    let never = |run: &Run| run.stdout.contains("never rotated") && !run.stdout.contains("retired");
    let status = scene.rotate(&["a", "--status"]);
    assert!(never(&status), "{status:?}");
    assert_eq!(step(&["a", "--status", "--json"]), "none");
    // Nor is one that a rollback left as it was.
    scene.rotate(&["a"]).fails(0, &[]);
    assert_eq!(step(&["a", "--rollback", "--json"]), "rolled_back");
    assert_eq!(step(&["a", "--status", "--json"]), "none");
    assert_eq!(step(&["a", "--grace", "0", "--json"]), "retired");
    assert_eq!(step(&["a", "--status", "--json"]), "retired");
    let status = scene.rotate(&["--all", "--status"]);
    assert!(status.stdout.contains("a  active  generation 2  retired"), "{status:?}");
}

#[test]
fn of_many_each_failure_has_its_name_and_what_to_do() {
    let scene = Scene::new();
    // The only one, and one of two: where all were asked for, which one it is has to be said.
    for names in [1, 2] {
        if names == 2 {
            scene.env.onboard(&scene.sandbox, "b");
        }
        scene
            .sandbox
            .fault(&json!({"fault": "status", "status": 422, "path": "/auth/credentials/init"}));
        let run = scene.rotate(&["--all", "--json"]);
        scene.sandbox.clear_faults();
        let document = run.json();
        let message = document["error"]["message"].as_str().unwrap();
        assert!(
            message.starts_with(&format!("1 of {names} were not rotated: a: ")),
            "{document}"
        );
        assert!(document["error"]["hint"].is_string(), "{document}");
        scene.rotate(&["--all", "--rollback"]);

        scene
            .sandbox
            .fault(&json!({"fault": "status", "status": 422, "path": "/auth/credentials/init"}));
        let run = scene.rotate(&["--all"]);
        scene.sandbox.clear_faults();
        assert_ne!(run.code, 0, "{run:?}");
        assert!(run.stdout.lines().any(|line| line.starts_with("a  ")), "{run:?}");
        assert!(run.stderr.contains("dfns-keys rotate a --status"), "{run:?}");
        scene.rotate(&["--all", "--rollback"]);
    }
}

#[test]
fn a_file_that_cannot_be_read_stops_no_other_from_being_rotated() {
    let scene = Scene::new();
    scene.env.onboard(&scene.sandbox, "b");
    std::fs::write(scene.env.credential_file("a"), "nonsense").unwrap();
    let run = scene.rotate(&["--all", "--grace", "0"]);
    assert_eq!(run.code, 4, "{run:?}");
    assert!(run.stdout.contains("a  the file of a is damaged"), "{run:?}");
    assert_eq!(scene.shown("b")["generation"], 2);
}

/// A person at a terminal brings the token as in `onboard`, in the same run.
#[cfg(unix)]
mod terminal {
    use super::*;
    use rexpect::session::PtySession;
    use std::process::Command;
    use support::PROGRAM;
    use support::terminal::{ends, on_terminal};

    fn rotating(scene: &Scene, arguments: &[&str]) -> PtySession {
        let mut command = Command::new(PROGRAM);
        command
            .arg("rotate")
            .args(arguments)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", scene.env.home.path())
            .env("DFNS_KEYS_VAULT", scene.env.vault())
            .env("DFNS_KEYS_IDENTITY", scene.env.path("identity.txt"))
            .env("TERM", "dumb")
            .current_dir(scene.env.home.path());
        on_terminal(&command)
    }

    /// Does what is asked for on the screen: makes an account of this name with the key, and returns its token.
    fn person(scene: &Scene, session: &mut PtySession, name: &str) -> String {
        session.exp_string("-----BEGIN PUBLIC KEY-----").unwrap();
        session.exp_string("-----END PUBLIC KEY-----").unwrap();
        let opened = scene.env.open(name);
        let account = opened["rotation"]["journal"]["account_name"].as_str().unwrap();
        session
            .exp_string(&format!("create a service account named {account}"))
            .unwrap();
        session.exp_string("Token (hidden").unwrap();
        session.exp_string("): ").unwrap();
        let key = opened["rotation"]["next"]["public_key"].as_str().unwrap();
        scene.sandbox.create(account, key)
    }

    #[test]
    fn the_token_is_asked_for_hidden() {
        let scene = Scene::at(Sandbox::start_with(&["--rotation", "reference"]));
        let old = scene.shown("a");
        for arguments in [&["a"][..], &["a", "--strategy", "dashboard"]] {
            let mut session = rotating(&scene, arguments);
            let token = person(&scene, &mut session, "a");
            session.send_line(&token).unwrap();
            let shown = ends(session, 0);
            assert!(shown.contains("a now signs with the new key"), "{shown}");
            assert!(!shown.contains(&token[..20]), "the token is not echoed: {shown}");
            assert_ne!(scene.shown("a")["fingerprint"], old["fingerprint"]);
            scene.env.ok(&["verify", "a"]);
            // By hand, as the account was made.
            let old = scene.env.open("a")["rotation"]["outgoing"]["generation"]["token"].clone();
            scene.sandbox.switch(old.as_str().unwrap());
            scene.rotate(&["a", "--finish"]).fails(0, &[]);
        }
    }

    #[test]
    fn a_wrong_token_changes_nothing_and_ctrl_c_stops_before_it() {
        let scene = Scene::at(Sandbox::start_with(&["--rotation", "reference"]));
        let old = scene.shown("a")["fingerprint"].clone();
        let mut session = rotating(&scene, &["a"]);
        person(&scene, &mut session, "a");
        session
            .send_line(&std::fs::read_to_string(scene.env.path("token.txt")).unwrap())
            .unwrap();
        let shown = ends(session, 5);
        assert!(shown.contains("does not accept this key"), "{shown}");
        let mut session = rotating(&scene, &["a"]);
        session.exp_string("): ").unwrap();
        session.send_control('c').unwrap();
        let shown = ends(session, 130);
        assert!(shown.contains("the key stays sealed"), "{shown}");
        assert_eq!(scene.shown("a")["fingerprint"], old);
        assert_eq!(scene.shown("a")["state"], "rotating");
    }

    #[test]
    fn several_names_are_asked_for_one_after_the_other_and_all_of_them_not_at_all() {
        let scene = Scene::at(Sandbox::start_with(&["--rotation", "reference"]));
        scene.env.onboard(&scene.sandbox, "b");
        let shown = ends(rotating(&scene, &["--all"]), 7);
        assert!(!shown.contains("Token (hidden"), "{shown}");
        let shown = ends(rotating(&scene, &["a", "--no-input"]), 7);
        assert!(shown.contains("--token-file FILE"), "{shown}");
        let mut session = rotating(&scene, &["a", "b"]);
        for name in ["a", "b"] {
            let token = person(&scene, &mut session, name);
            session.send_line(&token).unwrap();
        }
        ends(session, 0);
        for name in ["a", "b"] {
            assert_eq!(scene.shown(name)["state"], "retiring");
        }
    }
}
