//! A token never runs into its end unannounced: whatever makes, keeps or uses one that ends soon says so, once a run.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use serde_json::json;
use support::{Run, Sandbox, TestEnv};

struct Scene {
    env: TestEnv,
    sandbox: Sandbox,
}

impl Scene {
    fn new(doctrine: &str) -> Self {
        Self {
            env: TestEnv::with_vault(),
            sandbox: Sandbox::start_with(&["--rotation", doctrine]),
        }
    }

    /// A token for a public key that lives so many days, in the file `token`.
    fn token(&self, name: &str, public_key: &str, days: &str) {
        let answer = self
            .sandbox
            .create_with(&[("name", name), ("public_key", public_key), ("days_valid", days)]);
        self.env.write("token", answer["token"].as_str().unwrap());
    }

    /// Onboards a name with a token that lives so many days.
    fn onboard(&self, name: &str, days: &str) -> Run {
        let public = self
            .env
            .ok(&["onboard", name, "--prepare", "--api-url", &self.sandbox.url]);
        self.token(name, &public, days);
        self.env.run(&["onboard", name, "--token-file", "token"])
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.env.run(arguments)
    }
}

/// How often a run warns of an end.
fn warnings(run: &Run) -> usize {
    assert!(!run.stdout.contains("warning:"), "{run:?}");
    run.stderr.matches("warning: the token of").count()
}

#[track_caller]
fn warns(run: &Run, code: i32) {
    assert_eq!((run.code, warnings(run)), (code, 1), "{run:?}");
    for words in ["ends on 20", "--renew --as ADMIN"] {
        assert!(run.stderr.contains(words), "{words}: {run:?}");
    }
}

#[track_caller]
fn is_silent(run: &Run, code: i32) {
    assert_eq!((run.code, warnings(run)), (code, 0), "{run:?}");
}

#[test]
fn whoever_gets_a_token_that_ends_soon_is_told() {
    let scene = Scene::new("guide");
    warns(&scene.onboard("soon", "20"), 0);
    is_silent(&scene.onboard("late", "40"), 0);

    let opened = scene.env.open("soon");
    scene
        .env
        .write("key.pem", opened["active"]["private_key"].as_str().unwrap());
    scene.env.write("token", opened["active"]["token"].as_str().unwrap());
    scene.env.ok(&["remove", "soon", "--force", "--yes"]);
    let url = scene.sandbox.url.as_str();
    let pair = ["--private-key", "key.pem", "--token-file", "token", "--api-url", url];
    let run = scene.run(&[&["import", "again"], &pair[..], &["--json"]].concat());
    warns(&run, 0);
    assert_eq!(run.json()["state"], "active");

    let code = scene.sandbox.code("ops@example.com");
    scene.env.ok(&["enroll", "ops", "--code", &code, "--api-url", url]);
    warns(&scene.run(&["onboard", "x", "--as", "ops", "--days", "10"]), 0);
    let run = scene.run(&["onboard", "x", "y", "z", "--as", "ops", "--days", "10", "--json"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.stderr.matches("warning:").count(), 1, "{run:?}");
    for words in ["3 tokens end within 30 days", "x on 20", "y on 20", "z on 20"] {
        assert!(run.stderr.contains(words), "{words}: {run:?}");
    }
    is_silent(&scene.run(&["onboard", "long", "--as", "ops", "--days", "100"]), 0);
}

#[test]
fn whatever_uses_a_token_that_ends_soon_says_so_once_and_ends_as_it_would() {
    let scene = Scene::new("guide");
    scene.onboard("soon", "20").fails(0, &[]);
    scene.onboard("late", "40").fails(0, &[]);
    let commands: [(&[&str], i32); 5] = [
        (&["exec", "NAME", "--", "sh", "-c", "exit 9"], 9),
        (&["call", "NAME", "GET", "/wallets"], 0),
        (&["call", "NAME", "GET", "/auth/service-accounts"], 5),
        (&["export", "NAME", "--format", "dotenv"], 0),
        (
            &["export", "NAME", "--format", "dotenv", "--output", "NAME.env", "--json"],
            0,
        ),
    ];
    for (command, code) in commands {
        let of = |name: &str, more: &[&str]| {
            let mut arguments: Vec<String> = more.iter().map(|one| (*one).to_owned()).collect();
            arguments.extend(command.iter().map(|word| word.replace("NAME", name)));
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let _ = std::fs::remove_file(scene.env.path(&format!("{name}.env")));
            scene.run(&arguments)
        };
        warns(&of("soon", &[]), code);
        is_silent(&of("soon", &["--quiet"]), code);
        is_silent(&of("late", &[]), code);
    }
}

#[cfg(unix)]
#[test]
fn a_proxy_says_when_it_starts_that_its_token_ends_soon() {
    for (days, count) in [("20", 1), ("40", 0)] {
        let scene = Scene::new("guide");
        scene.onboard("a", days).fails(0, &[]);
        let run = support::proxy::Proxy::start(&scene.env, &[]).stop();
        assert_eq!((run.code, warnings(&run)), (0, count), "{run:?}");
    }
}

#[test]
fn a_rotation_that_keeps_the_token_says_when_it_ends_however_it_ends_itself() {
    let scene = Scene::new("guide");
    scene.onboard("a", "20").fails(0, &[]);
    for arguments in [
        &["a"][..],
        &["a", "--json"],
        &["a", "--status"],
        &["a", "--rollback"],
        &["a"],
        &["a", "--finish"],
        &["--all", "--grace", "0"],
        &["a", "--dry-run"],
    ] {
        warns(&scene.run(&[&["rotate"], arguments].concat()), 0);
        let status = scene.run(&["rotate", "a", "--status", "-q"]);
        is_silent(&status, 0);
    }
    // A failure of its own hides nothing of it.
    warns(&scene.run(&["rotate", "a", "--finish"]), 3);
    scene
        .sandbox
        .fault(&json!({"fault": "status", "status": 500, "times": 9}));
    warns(&scene.run(&["rotate", "a"]), 6);
    scene.sandbox.clear_faults();

    scene.onboard("b", "25").fails(0, &[]);
    scene.onboard("c", "40").fails(0, &[]);
    let run = scene.run(&["rotate", "--all", "--grace", "0"]);
    assert_eq!((run.code, run.stderr.matches("warning:").count()), (0, 1), "{run:?}");
    assert!(run.stderr.contains("2 tokens end within 30 days: a on 20"), "{run:?}");
}

#[test]
fn a_rotation_that_brings_a_new_token_has_nothing_to_warn_of() {
    let scene = Scene::new("reference");
    scene.onboard("a", "20").fails(0, &[]);
    warns(&scene.run(&["rotate", "a"]), 7);
    let key = scene.env.open("a")["rotation"]["next"]["public_key"].clone();
    scene.token("a-2", key.as_str().unwrap(), "300");
    is_silent(&scene.run(&["rotate", "a", "--token-file", "token"]), 0);
    warns(&scene.run(&["rotate", "a", "--rollback"]), 7);
}
