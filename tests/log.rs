//! The audit log as its reader meets it: what is shown of it, and whether anybody changed it.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::path::PathBuf;

use serde_json::{Value, json};
use support::TestEnv;

fn prepare(env: &TestEnv, name: &str) {
    env.ok(&["onboard", name, "--prepare", "--api-url", "http://127.0.0.1:9"]);
}

fn file(env: &TestEnv) -> PathBuf {
    env.vault().join("log.jsonl")
}

fn text(env: &TestEnv) -> String {
    std::fs::read_to_string(file(env)).unwrap()
}

fn line_of_before(name: &str, at: &str) -> String {
    format!(r#"{{"at":"{at}","actor":"tester","action":"exported","name":"{name}","detail":"out.env"}}"#) + "\n"
}

fn names(document: &Value) -> Vec<&str> {
    let events = document["events"].as_array().unwrap();
    events.iter().filter_map(|event| event["name"].as_str()).collect()
}

#[test]
fn a_log_that_nobody_touched_is_confirmed_and_each_line_has_the_hash_of_the_one_before() {
    let env = TestEnv::with_vault();
    prepare(&env, "a");
    let run = env.run(&["log", "--verify"]);
    run.fails(0, &[]);
    assert!(
        run.stdout.contains("as it was written, up to line 3 of log.jsonl") && !run.stdout.contains("unconfirmed"),
        "{run:?}"
    );
    // As whoever has sha256sum can see.
    let text = text(&env);
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.windows(2) {
        let next: Value = serde_json::from_str(pair[1]).unwrap();
        assert_eq!(next["prev"], sha256(pair[0]), "{text}");
    }
    let document = env.run(&["log", "--verify", "--json"]).json();
    assert_eq!(document["ok"], true);
    assert_eq!(document["head"], sha256(lines[2]));
    assert_eq!(
        (&document["lines"], &document["unconfirmed"]),
        (&json!(3), &json!(0)),
        "{document}"
    );
    assert_eq!(document["confirmed"]["line"], 3, "{document}");
}

fn sha256(line: &str) -> String {
    use sha2::{Digest, Sha256};
    let bytes: Vec<String> = Sha256::digest(line).iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.concat()
}

#[test]
fn whoever_edits_a_line_is_found_out_by_its_number_and_what_comes_last_is_unconfirmed() {
    let env = TestEnv::with_vault();
    prepare(&env, "a");
    prepare(&env, "b");
    let good = text(&env);
    // A name somebody would rather not have there.
    std::fs::write(file(&env), good.replacen("\"name\":\"a\"", "\"name\":\"c\"", 1)).unwrap();
    let run = env.run(&["log", "--verify"]);
    run.fails(4, &["line 3 of log.jsonl does not follow line 2"]);
    let document = env.run(&["log", "--verify", "--json"]).json();
    assert_eq!(document["ok"], false);
    assert_eq!(document["error"]["code"], "log_changed");
    assert_eq!(document["faults"][0]["line"], 3, "{document}");

    std::fs::write(file(&env), good.clone() + &line_of_before("a", "2026-11-24T12:00:00Z")).unwrap();
    let run = env.run(&["log", "--verify"]);
    run.fails(0, &[]);
    assert!(run.stdout.contains("1 line unconfirmed"), "{run:?}");
    let document = env.run(&["log", "--verify", "--json"]).json();
    assert_eq!(document["unconfirmed"], 1, "{document}");

    // This machine has found the log good up to its last checkpoint, and misses it.
    let shorter: Vec<&str> = good.lines().take(3).collect();
    std::fs::write(file(&env), shorter.join("\n") + "\n").unwrap();
    env.run(&["log", "--verify"]).fails(4, &["its end was cut off"]);
}

#[test]
fn a_log_of_before_goes_on_being_read_and_is_vouched_for_from_now_on() {
    let env = TestEnv::with_vault();
    std::fs::write(
        file(&env),
        line_of_before("a", "2026-11-20T12:00:00Z") + &line_of_before("b", "2026-11-21T12:00:00Z") + "{\"at\":\"20",
    )
    .unwrap();
    let run = env.run(&["log", "--verify"]);
    run.fails(0, &["line 3 of log.jsonl is no record"]);
    assert!(run.stdout.contains("nobody vouches"), "{run:?}");
    prepare(&env, "c");
    let document = env.run(&["log", "--json"]).json();
    assert_eq!(names(&document), ["a", "b", "c"]);
    let document = env.run(&["log", "--verify", "--json"]).json();
    assert_eq!(document["ok"], true, "{document}");
    assert_eq!(
        (&document["unlinked"], &document["torn_count"]),
        (&json!(2), &json!(1)),
        "{document}"
    );
    assert_eq!(document["torn"], json!([{"file": "log.jsonl", "line": 3}]));
    std::fs::write(file(&env), text(&env).replacen("out.env", "in.env", 1)).unwrap();
    env.run(&["log", "--verify"])
        .fails(4, &["line 4 of log.jsonl does not follow what is before it"]);
}

#[test]
fn what_is_asked_for_since_a_time_and_of_the_last_ones_is_shown() {
    let env = TestEnv::with_vault();
    let old =
        ["a", "b", "c"].map(|name| line_of_before(name, &format!("2026-11-2{}T12:00:00Z", name.as_bytes()[0] - b'a')));
    std::fs::write(file(&env), old.concat()).unwrap();
    for (arguments, expected) in [
        (&["--since", "2026-11-21T12:00:00Z"][..], &["b", "c"][..]),
        (&["--since", "2026-11-22"], &["c"]),
        (&["--since", "2026-11-21", "-n", "1"], &["c"]),
        (&["-n", "2"], &["b", "c"]),
        (&["--since", "2999-01-01"], &[]),
        (&["b", "--since", "2026-11-01"], &["b"]),
        (&["b", "--since", "2999-01-01"], &[]),
        (&["--since", "36500d"], &["a", "b", "c"]),
    ] {
        let document = env.run(&[&["log", "--json"], arguments].concat()).json();
        assert_eq!(names(&document), expected, "{arguments:?}");
    }
    env.run(&["log", "--since", "2999-01-01"])
        .fails(0, &["Nothing since then"]);
    env.run(&["log", "--since", "yesterday"])
        .fails(2, &["2026-11-25T12:00:00Z"]);
    env.run(&["log", "a", "--verify"]).fails(2, &["cannot be used with"]);
}

#[test]
fn a_log_that_is_full_goes_on_in_a_new_file_and_is_read_as_one() {
    let env = TestEnv::with_vault();
    let line = line_of_before("a", "2026-11-20T12:00:00Z");
    let many = 8 * 1024 * 1024 / line.len() + 1;
    std::fs::write(file(&env), line.repeat(many)).unwrap();
    prepare(&env, "b");
    assert!(env.vault().join("log-000001.jsonl").exists());
    assert_eq!(text(&env).lines().count(), 2);
    let document = env.run(&["log", "--verify", "--json"]).json();
    assert_eq!(document["lines"], many + 2, "{document}");
    let run = env.run(&["log", "-n", "2"]);
    let shown: Vec<bool> = run.stdout.lines().map(|line| line.contains("exported")).collect();
    assert_eq!(shown, [true, false], "{run:?}");
    std::fs::remove_file(env.vault().join("log-000001.jsonl")).unwrap();
    env.run(&["log", "--verify"])
        .fails(4, &["is not the first that was written"]);
}
