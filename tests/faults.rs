//! A Dfns that misbehaves: slow, limiting, failing, cut off, or not Dfns at all. Always a clear error or a correct
//! retry, never a hang, never a second creation.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use serde_json::{Value, json};
use support::{Run, Sandbox, TestEnv};

struct Scene {
    env: TestEnv,
    sandbox: Sandbox,
}

impl Scene {
    /// A prepared name whose token is at hand.
    fn new() -> Self {
        let env = TestEnv::with_vault();
        let sandbox = Sandbox::start();
        let token = env.prepare(&sandbox, "a");
        env.write("token", token);
        Self { env, sandbox }
    }

    fn plan(&self, path: &str, times: u32, fault: &Value) {
        let mut plan = fault.clone();
        plan["path"] = path.into();
        plan["times"] = times.into();
        self.sandbox.fault(&plan);
    }

    fn onboard(&self) -> support::Run {
        self.env
            .run(&["onboard", "a", "--token-file", "token", "--timeout", "2s"])
    }

    fn state(&self) -> Value {
        self.env.run(&["show", "a", "--json"]).json()["credential"]["state"].clone()
    }
}

const PATHS: [&str; 2] = ["/auth/action/init", "/auth/action"];

#[test]
fn a_passing_fault_is_waited_out() {
    for fault in [
        json!({"fault": "status", "status": 500}),
        json!({"fault": "status", "status": 503}),
        json!({"fault": "status", "status": 429}),
        json!({"fault": "status", "status": 429, "retry_after": 1}),
        json!({"fault": "close_before"}),
        json!({"fault": "close_after"}),
        json!({"fault": "truncate"}),
        json!({"fault": "slow", "wait_ms": 3000}),
    ] {
        for path in PATHS {
            let scene = Scene::new();
            scene.plan(path, 1, &fault);
            let run = scene.onboard();
            assert_eq!(run.code, 0, "{fault} at {path}: {run:?}");
            assert_eq!(scene.state(), "active");
            scene.env.ok(&["verify", "a"]);
        }
    }
}

#[test]
fn a_lasting_fault_is_a_clear_error_and_changes_nothing() {
    for (fault, words) in [
        (json!({"fault": "status", "status": 500}), "Dfns is failing: status 500"),
        (json!({"fault": "status", "status": 429}), "limits the rate of requests"),
        (
            json!({"fault": "status", "status": 429, "retry_after": 7200}),
            "asks to wait 7200 s",
        ),
        (json!({"fault": "close_before"}), "the connection broke"),
        (json!({"fault": "truncate"}), "the connection broke"),
        (json!({"fault": "html"}), "a web page (HTML)"),
        (json!({"fault": "html", "status": 403}), "a web page (HTML)"),
        (json!({"fault": "html", "status": 502}), "status 502"),
        (
            json!({"fault": "redirect"}),
            "answers with a redirect to https://example.com/",
        ),
    ] {
        let scene = Scene::new();
        scene.plan("/auth/action/init", 50, &fault);
        let run = scene.onboard();
        run.fails(6, &[words, "hint: "]);
        assert_eq!(scene.state(), "pending", "{fault}");
        let asked = scene.sandbox.calls().len();
        assert!(asked <= 4, "{fault}: {asked} requests");
        scene.sandbox.clear_faults();
        let run = scene.onboard();
        assert_eq!(run.code, 0, "{fault}: {run:?}");
    }
}

#[test]
fn a_web_page_or_redirect_is_not_asked_twice() {
    for fault in [json!({"fault": "html"}), json!({"fault": "redirect"})] {
        let scene = Scene::new();
        scene.plan("/auth/action/init", 50, &fault);
        scene.onboard().fails(6, &[]);
        assert_eq!(scene.sandbox.calls().len(), 1, "{fault}");
    }
}

#[test]
fn retry_after_is_honoured() {
    let scene = Scene::new();
    let fault = json!({"fault": "status", "status": 429, "retry_after": 2});
    scene.plan("/auth/action/init", 1, &fault);
    let began = std::time::Instant::now();
    let run = scene.onboard();
    assert_eq!(run.code, 0, "{run:?}");
    assert!(began.elapsed().as_secs_f64() >= 2.0, "it came back too early");
    assert!(run.stderr.contains("trying again in"), "a wait is told of: {run:?}");
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let scene = Scene::new();
    scene.plan("/auth/action/init", 50, &json!({"fault": "slow", "wait_ms": 60_000}));
    let run = scene
        .env
        .run(&["onboard", "a", "--token-file", "token", "--timeout", "1s"]);
    run.fails(6, &["no answer in time", "--timeout"]);
    assert_eq!(scene.state(), "pending");
}

#[test]
fn nobody_there_is_told_from_no_such_host() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    for (name, url, words) in [
        ("port", "http://127.0.0.1:9".to_owned(), "no connection"),
        (
            "host",
            "https://no-such-host.invalid".to_owned(),
            "its name does not resolve",
        ),
        (
            "tls",
            sandbox.url.replace("http://", "https://"),
            "no secure connection (TLS)",
        ),
    ] {
        let public = env.ok(&["onboard", name, "--prepare", "--api-url", &url]);
        env.write("token", sandbox.create(name, &public));
        env.run(&["onboard", name, "--token-file", "token", "--timeout", "5s"])
            .fails(6, &[words]);
    }
}

/// As in a container from an empty image.
#[test]
fn a_machine_without_certificate_authorities_is_told_what_it_lacks() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.write("none.pem", "");
    let secure = ["--api-url", "https://dfns.example.com"];
    let public = env.ok(&[&["onboard", "a", "--prepare"], &secure[..]].concat());
    env.write("token", sandbox.create("a", &public));
    let without = |arguments: &[&str]| Run::of(env.command(arguments).env("SSL_CERT_FILE", "none.pem"));
    without(&["onboard", "a", "--token-file", "token"])
        .fails(1, &["no certificate authorities", "ca-certificates", "SSL_CERT_FILE"]);
    env.onboard(&sandbox, "b");
    env.ok(&["export", "b", "--format", "dotenv", "--output", "b.env"]);
    let run = without(&[&["verify", "--dotenv", "b.env"], &secure[..]].concat());
    assert_eq!(run.code, 6, "{run:?}");
    assert!(run.stdout.contains("no certificate authorities"), "{run:?}");
    assert!(!run.stdout.contains("try again"), "{run:?}");
}

#[test]
fn verify_tells_a_failing_dfns_from_a_refused_credential() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    let token = env.onboard(&sandbox, "a");
    sandbox.fault(&json!({"fault": "status", "status": 500, "times": 50}));
    let run = env.run(&["verify", "a", "--json"]);
    assert_eq!(run.code, 6, "{run:?}");
    sandbox.clear_faults();
    sandbox.switch(&token);
    let run = env.run(&["verify", "a", "--json"]);
    assert_eq!(run.code, 5, "{run:?}");
    let document = run.json();
    assert_eq!(document["ok"], false);
    let checks = document["subjects"][0]["checks"].as_array().unwrap();
    let status = |id: &str| checks.iter().find(|check| check["id"] == id).unwrap()["status"].clone();
    assert_eq!(checks.len(), 17);
    assert_eq!(status("token.accepted"), "fail");
    assert_eq!(status("signature.accepted"), "skip");
    assert_eq!(status("api.reachable"), "pass");
    assert_eq!(status("token.expiry"), "pass");
}
