//! What needs somebody, as its readers meet it: people in windows of any width, scripts, and Prometheus.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::process::Command;

use jiff::{Span, Timestamp};
use serde_json::{Value, json};
use support::{Run, Sandbox, TestEnv, peer, peer_ok};

/// So many days, and an hour, from now or before now.
fn in_days(days: i64) -> Value {
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    json!(
        now.checked_add(Span::new().hours(25 * days.signum() + 24 * (days - days.signum())))
            .unwrap()
            .to_string()
    )
}

/// Changes a credential's file as it lies there. Nobody opens it.
fn change(env: &TestEnv, name: &str, change: impl FnOnce(&mut Value)) {
    let path = env.credential_file(name);
    let mut file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut file);
    std::fs::write(path, file.to_string()).unwrap();
}

/// The program, by somebody who cannot open the vault.
fn status(env: &TestEnv, arguments: &[&str]) -> Command {
    let mut command = env.command(&[&["status"], arguments].concat());
    command.env_remove("DFNS_KEYS_IDENTITY");
    command
}

fn document(env: &TestEnv, arguments: &[&str]) -> Value {
    Run::of(&mut status(env, &[arguments, &["--json"]].concat())).json()
}

fn of<'d>(document: &'d Value, name: &str) -> &'d Value {
    let credentials = document["credentials"].as_array().unwrap();
    credentials.iter().find(|row| row["name"] == name).unwrap()
}

fn attention(document: &Value, name: &str) -> Vec<String> {
    let found = of(document, name)["attention"].as_array().unwrap();
    found.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

const PLACE: &str = "file:/etc/payments/dfns.env?format=dotenv&host=pay1";

/// A vault in which nine of ten need somebody, each for another reason.
fn troubled() -> TestEnv {
    let env = TestEnv::with_vault();
    let names = [
        "ended",
        "behind",
        "ending",
        "halfway",
        "late",
        "old",
        "planted",
        "rolled-back",
        "waiting",
        "well",
    ];
    for name in names {
        env.ok(&["onboard", name, "--prepare", "--api-url", "http://127.0.0.1:9"]);
    }
    for name in names.iter().filter(|name| **name != "waiting") {
        change(&env, name, |file| file["public"]["state"] = json!("active"));
    }
    change(&env, "ended", |file| file["public"]["token_expires_at"] = in_days(-3));
    change(&env, "ending", |file| file["public"]["token_expires_at"] = in_days(6));
    change(&env, "well", |file| file["public"]["token_expires_at"] = in_days(300));
    change(&env, "waiting", |file| file["public"]["created_at"] = in_days(-4));
    change(&env, "old", |file| file["public"]["created_at"] = in_days(-120));
    change(&env, "planted", |file| file["code"] = Value::Null);
    change(&env, "rolled-back", |file| file["revision"] = json!(0));
    change(&env, "behind", |file| {
        file["public"]["deliveries"] = json!([{
            "target": PLACE, "fingerprint": "SHA256:another", "delivered_at": in_days(-9),
            "read_back": true, "in_sync": false, "then": false,
        }]);
    });
    // Its old key is to stay for five days, and did for seven; the other one was begun three days ago.
    change(&env, "late", |file| {
        file["public"]["state"] = json!("retiring");
        file["public"]["rotation"] =
            json!({"started_at": in_days(-8), "promoted_at": in_days(-7), "grace": {"seconds": 5 * 86_400}});
    });
    change(&env, "halfway", |file| {
        file["public"]["state"] = json!("rotating");
        file["public"]["rotation"] = json!({"started_at": in_days(-3), "grace": "manual"});
    });
    env
}

#[test]
fn what_needs_somebody_is_told_most_urgent_first_without_unlocking() {
    let env = troubled();
    let before = document(&env, &[]);
    assert_eq!(before["ok"], true);
    assert_eq!(attention(&before, "old"), [""; 0], "keys are as old as they like");
    let found = document(&env, &["--older-than", "90d"]);
    for (name, id) in [
        ("ended", "token_expired"),
        ("rolled-back", "rollback"),
        ("planted", "unauthenticated"),
        ("ending", "token_expiring"),
        ("behind", "delivery_behind"),
        ("halfway", "rotation_stalled"),
        ("late", "rotation_stalled"),
        ("waiting", "onboarding_stalled"),
        ("old", "key_old"),
    ] {
        assert_eq!(attention(&found, name), [id], "{name}: {found}");
        let one = &of(&found, name)["attention"][0];
        assert!(one["hint"].as_str().unwrap().starts_with("dfns-keys "), "{one}");
    }
    assert_eq!(attention(&found, "well"), [""; 0]);
    assert_eq!(of(&found, "planted")["authenticated"], "no");
    assert_eq!(
        of(&found, "well")["last_verified_at"],
        Value::Null,
        "never verified is no finding"
    );

    let run = Run::of(&mut status(&env, &["--older-than", "90d"]));
    assert_eq!((run.code, &*run.stderr), (0, ""), "{run:?}");
    let order = [
        "TOKEN ENDED",
        "OLD COPY",
        "UNVOUCHED",
        "TOKEN ENDS",
        "BEHIND",
        "STANDS       halfway",
        "STANDS       late",
        "STANDS       waiting",
        "KEY OLD",
    ];
    let places: Vec<_> = order.iter().map(|words| run.stdout.find(words)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{run:?}");
    for words in [
        "10 credentials",
        "its token ended 3 days ago",
        "dfns-keys rotate ended --renew",
        "dfns-keys deliver behind (on pay1)",
        "dfns-keys rotate late --finish",
        "1 needs nothing.",
    ] {
        assert!(run.stdout.contains(words), "{words}: {run:?}");
    }
    // The tighter the limit, the less is urgent; and of one name alone.
    let soon = document(&env, &["ending", "well", "--expiring", "5d"]);
    assert_eq!(soon["credentials"].as_array().unwrap().len(), 2);
    assert_eq!(attention(&soon, "ending"), [""; 0]);
    Run::of(&mut status(&env, &["nobody"])).fails(3, &["nobody"]);
}

#[test]
fn it_is_legible_in_a_window_of_any_width() {
    let env = troubled();
    let name = "n".repeat(64);
    env.ok(&["onboard", &name, "--prepare", "--api-url", "http://127.0.0.1:9"]);
    change(&env, &name, |file| file["public"]["token_expires_at"] = in_days(-1));
    for width in [60, 80, 200] {
        let run = Run::of(status(&env, &["--older-than", "90d"]).env("COLUMNS", width.to_string()));
        for line in run.stdout.lines() {
            let columns = line.chars().count();
            // What is to be copied stays whole.
            let is_copied = ["dfns-keys ", "/", &name].iter().any(|words| line.contains(words));
            assert!(columns <= width || is_copied, "{width}: {line:?}");
            assert_eq!(line.trim_end(), line);
        }
        for command in [
            "dfns-keys rotate ended --renew",
            "dfns-keys vault adopt planted --fingerprint F",
        ] {
            assert!(
                run.stdout.lines().any(|line| line.trim() == command),
                "{width}: {run:?}"
            );
        }
    }
}

#[test]
fn a_check_fails_where_anything_needs_somebody() {
    let env = troubled();
    let run = Run::of(&mut status(&env, &["--check"]));
    run.fails(8, &["8 credentials need somebody"]);
    assert!(run.stdout.contains("TOKEN ENDED"), "{run:?}");
    let found = document(&env, &["--check"]);
    assert_eq!((&found["ok"], &found["error"]["exit"]), (&json!(false), &json!(8)));
    assert_eq!(attention(&found, "ended"), ["token_expired"]);
    Run::of(&mut status(&env, &["well", "--check"])).fails(0, &[]);
    let quiet = Run::of(&mut status(&env, &["well", "-q"]));
    assert_eq!((quiet.code, &*quiet.stdout, &*quiet.stderr), (0, "", ""), "{quiet:?}");
    // What cannot be read is graver, and hides nothing.
    env.write("vault/credentials/well.json", "{");
    let found = document(&env, &["--check"]);
    assert_eq!(found["error"]["exit"], 4, "{found}");
    assert_eq!(attention(&found, "ended"), ["token_expired"]);
}

#[test]
fn a_vault_with_nothing_in_it_says_what_to_do() {
    let env = TestEnv::new();
    Run::of(&mut status(&env, &[])).fails(3, &["no vault", "dfns-keys init"]);
    let env = TestEnv::with_vault();
    let run = Run::of(&mut status(&env, &[]));
    assert_eq!(run.code, 0);
    for words in ["opened by an age identity", "0 credentials", "dfns-keys onboard NAME"] {
        assert!(run.stdout.contains(words), "{words}: {run:?}");
    }
}

/// As the log has it, for the key that is active, and under whatever name it had.
#[test]
fn when_verify_last_passed_comes_from_the_log_and_so_does_a_refusal() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start_with(&["--rotation", "guide"]);
    let token = env.onboard(&sandbox, "a");
    env.ok(&["verify", "a", "--offline"]);
    assert_eq!(
        of(&document(&env, &[]), "a")["last_verified_at"],
        Value::Null,
        "Dfns was not asked"
    );
    env.ok(&["verify", "a"]);
    let verified = of(&document(&env, &[]), "a")["last_verified_at"].clone();
    assert!(verified.is_string(), "{verified}");
    env.ok(&["rename", "a", "b"]);
    assert_eq!(of(&document(&env, &[]), "b")["last_verified_at"], verified);

    sandbox.switch(&token);
    env.run(&["verify", "b"]).fails(5, &[]);
    let found = document(&env, &[]);
    assert_eq!(attention(&found, "b"), ["verify_refused"]);
    assert_eq!(of(&found, "b")["last_verified_at"], verified);
    let run = Run::of(&mut status(&env, &["--check"]));
    run.fails(8, &[]);
    assert!(
        run.stdout.contains("REFUSED") && run.stdout.contains("dfns-keys verify b"),
        "{run:?}"
    );
    sandbox.switch(&token);
    env.ok(&["verify", "b"]);
    assert_eq!(attention(&document(&env, &[]), "b"), [""; 0]);

    // A Dfns that cannot be asked says nothing of a credential.
    env.run(&["verify", "b", "--api-url", "http://127.0.0.1:9", "--timeout", "1s"])
        .fails(6, &[]);
    assert_eq!(attention(&document(&env, &[]), "b"), [""; 0]);
    // The head stands for the log, and changes with it.
    let head = document(&env, &[])["log_head"].clone();
    assert_eq!(head, env.run(&["log", "--verify", "--json"]).json()["head"]);
    // A log that cannot be read is told of, and stops nothing.
    std::fs::remove_file(env.vault().join("log.jsonl")).unwrap();
    std::fs::create_dir(env.vault().join("log.jsonl")).unwrap();
    let run = Run::of(&mut status(&env, &[]));
    run.fails(0, &["when a credential was last verified cannot be told"]);
}

#[test]
fn a_rotation_under_way_is_dated_and_one_of_before_goes_on() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start_with(&["--rotation", "guide"]);
    env.onboard(&sandbox, "a");
    env.ok(&["rotate", "a"]);
    assert_eq!(attention(&document(&env, &[]), "a"), [""; 0]);
    let public = |env: &TestEnv| env.open("a")["public"].clone();
    let rotation = public(&env)["rotation"].clone();
    assert!(
        rotation["started_at"].is_string() && rotation["promoted_at"].is_string(),
        "{rotation}"
    );
    env.ok(&["status", "--metrics", "m.prom"]);
    let text = std::fs::read_to_string(env.path("m.prom")).unwrap();
    assert!(
        text.contains("dfns_keys_rotation_started_timestamp_seconds{name=\"a\","),
        "{text}"
    );
    env.reseal("a", |sealed| {
        sealed["public"].as_object_mut().unwrap().remove("rotation");
    });
    env.ok(&["rotate", "a", "--finish"]);
    assert_eq!(public(&env)["rotation"], Value::Null);
}

#[test]
fn prometheus_reads_the_metrics_and_its_alerts_fire_when_they_are_to() {
    let env = troubled();
    let run = Run::of(&mut status(&env, &["--metrics", "m.prom", "-q"]));
    assert_eq!(run.code, 0, "{run:?}");
    #[cfg(unix)]
    assert_eq!(support::mode(&env.path("m.prom")), 0o644);
    let text = std::fs::read_to_string(env.path("m.prom")).unwrap();
    for line in [
        &*format!("dfns_keys_delivery_in_sync{{name=\"behind\",kind=\"service-account\",target=\"{PLACE}\"}} 0"),
        "dfns_keys_attention{name=\"ended\",kind=\"service-account\",id=\"token_expired\"} 1",
        "dfns_keys_unreadable_credentials 0",
        // One for the vault, and two a name.
        "dfns_keys_log_lines 21",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    let ends: Vec<i64> = text
        .lines()
        .filter_map(|line| line.strip_prefix("dfns_keys_token_expires_timestamp_seconds{"))
        .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(ends.len(), 3, "{text}");
    // Of some names alone it would be as if the others were gone.
    Run::of(&mut status(&env, &["well", "--metrics", "m.prom"])).fails(2, &["--metrics"]);
    if !peer("promtool") {
        return;
    }
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples");
    let promtool = |arguments: &[&str]| {
        let mut command = Command::new("promtool");
        command.args(arguments).current_dir(examples);
        command
    };
    let metrics = std::fs::File::open(env.path("m.prom")).unwrap();
    peer_ok(promtool(&["check", "metrics"]).stdin(metrics));
    peer_ok(&mut promtool(&["check", "rules", "prometheus-alerts.yaml"]));
    peer_ok(&mut promtool(&["test", "rules", "prometheus-alerts.test.yaml"]));
    // What the rules go by is what is written.
    let rules = std::fs::read_to_string(format!("{examples}/prometheus-alerts.yaml")).unwrap();
    for name in rules
        .split(|c: char| !c.is_ascii_lowercase() && c != '_')
        .filter(|word| word.starts_with("dfns_keys_"))
    {
        assert!(text.contains(&format!("# TYPE {name} gauge")), "{name}");
    }
}
