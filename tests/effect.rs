//! What a call did whose answer is missing: nothing, everything, or nobody knows. It is never guessed, and a hint says
//! how to find out.
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
    /// With an active credential `a`, made in the dashboard.
    fn new() -> Self {
        let scene = Self::empty();
        scene.env.onboard(&scene.sandbox, "a");
        scene
    }

    /// With an enrolled administrator `ops`.
    fn with_administrator() -> Self {
        let scene = Self::empty();
        let code = scene.sandbox.code("ops@example.com");
        scene
            .env
            .ok(&["enroll", "ops", "--code", &code, "--api-url", &scene.sandbox.url]);
        scene
    }

    fn empty() -> Self {
        Self {
            env: TestEnv::with_vault(),
            sandbox: Sandbox::start(),
        }
    }

    fn plan(&self, method: &str, path: &str, times: u32, fault: &Value) {
        let mut plan = fault.clone();
        plan["method"] = method.into();
        plan["path"] = path.into();
        plan["times"] = times.into();
        self.sandbox.fault(&plan);
    }

    fn make_wallet(&self, more: &[&str]) -> Run {
        let mut arguments = vec!["call", "a", "POST", "/wallets", "--data", r#"{"network":"Bitcoin"}"#];
        arguments.extend_from_slice(more);
        self.env.run(&arguments)
    }

    fn account_id(&self, name: &str) -> String {
        let document = self.env.run(&["account", "show", name, "--json"]).json();
        document["account"]["identity_id"].as_str().unwrap().to_owned()
    }
}

/// The `error` of a failure's one document.
fn error(run: &Run) -> Value {
    let document = run.json();
    assert_eq!(document["ok"], false, "{run:?}");
    document["error"].clone()
}

/// What no failure may say where it is not known what happened.
#[track_caller]
fn assert_in_doubt(run: &Run, effect: &str, how_to_find_out: &str) {
    let error = error(run);
    assert_eq!(error["effect"], effect, "{run:?}");
    let hint = error["hint"].as_str().unwrap_or_default();
    assert!(hint.contains(how_to_find_out), "{run:?}");
    assert!(!hint.contains("nothing was changed"), "{run:?}");
    assert!(!hint.contains("try again"), "{run:?}");
}

#[test]
fn a_call_whose_answer_is_lost_may_have_been_done_and_the_hint_says_where_to_look() {
    let scene = Scene::new();
    for fault in [
        json!({"fault": "close_after"}),
        json!({"fault": "close_before"}),
        json!({"fault": "slow", "wait_ms": 60_000}),
    ] {
        scene.plan("POST", "/wallets", 1, &fault);
        let run = scene.make_wallet(&["--json", "--timeout", "1s"]);
        assert_eq!(run.code, 6, "{fault}: {run:?}");
        assert_in_doubt(&run, "unknown", "`dfns-keys call a GET /wallets`");
    }
    scene.plan("POST", "/wallets", 1, &json!({"fault": "close_after"}));
    scene
        .make_wallet(&[])
        .fails(6, &["hint: Dfns may have done it", "`dfns-keys call a GET /wallets`"]);
}

#[test]
fn a_failing_answer_to_a_call_that_changes_something_comes_with_a_warning() {
    let scene = Scene::new();
    for status in [500, 503] {
        scene.plan("POST", "/wallets", 1, &json!({"fault": "status", "status": status}));
        let run = scene.make_wallet(&[]);
        run.fails(6, &["Dfns may have done it", "`dfns-keys call a GET /wallets`"]);
        assert!(run.stdout.contains("a fault was asked for"), "{run:?}");
    }
    // A refusal is clear, and so is a reading that fails.
    scene.plan("POST", "/wallets", 1, &json!({"fault": "status", "status": 403}));
    let run = scene.make_wallet(&[]);
    assert!(run.code == 5 && !run.stderr.contains("may have"), "{run:?}");
    scene.plan("GET", "/wallets", 1, &json!({"fault": "status", "status": 500}));
    let run = scene.env.run(&["call", "a", "GET", "/wallets"]);
    assert!(run.code == 6 && !run.stderr.contains("may have"), "{run:?}");
}

#[test]
fn an_answer_that_breaks_off_after_its_success_means_done() {
    let scene = Scene::new();
    scene.plan("POST", "/wallets", 1, &json!({"fault": "cut"}));
    let run = scene.make_wallet(&["--json"]);
    assert_eq!(run.code, 6, "{run:?}");
    assert_in_doubt(&run, "done", "`dfns-keys call a GET /wallets`");
    // A refusal that breaks off is a refusal.
    scene.plan("POST", "/wallets", 1, &json!({"fault": "cut"}));
    let run = scene
        .env
        .run(&["call", "a", "POST", "/wallets", "--data", "{}", "--json"]);
    assert_eq!(error(&run)["effect"], "none", "{run:?}");
}

#[test]
fn what_fails_while_a_call_is_being_signed_has_no_effect() {
    let scene = Scene::new();
    let faults = [
        json!({"fault": "close_after"}),
        json!({"fault": "status", "status": 500}),
        json!({"fault": "html"}),
        json!({"fault": "redirect"}),
        json!({"fault": "cut"}),
        json!({"fault": "status", "status": 403}),
    ];
    for path in ["/auth/action/init", "/auth/action"] {
        for fault in &faults {
            scene.sandbox.clear_faults();
            scene.plan("POST", path, 50, fault);
            let run = scene.make_wallet(&["--json"]);
            assert_eq!(error(&run)["effect"], "none", "{fault} at {path}: {run:?}");
        }
    }
    assert!(
        !scene
            .sandbox
            .calls()
            .iter()
            .any(|call| call.starts_with("POST /wallets")),
        "it was never sent"
    );
}

#[test]
fn reading_never_has_an_effect() {
    let scene = Scene::new();
    for fault in ["close_after", "cut"] {
        scene.plan("GET", "/wallets", 1, &json!({"fault": fault}));
        let run = scene.env.run(&["call", "a", "GET", "/wallets", "--json"]);
        assert_eq!(error(&run)["effect"], "none", "{fault}: {run:?}");
    }
}

/// The connection never comes about: a listener whose queue is full answers nobody.
#[cfg(target_os = "linux")]
#[test]
fn a_connection_that_never_came_about_has_no_effect_however_it_failed() {
    let Scene { env, sandbox } = Scene::new();
    let address: std::net::SocketAddr = sandbox.address().parse().unwrap();
    drop(sandbox);
    // It needs no signature, so that it is the first request.
    let quote = || {
        let path = "/allocations/get-0fns-quote";
        env.run(&["call", "a", "POST", path, "--data", "{}", "--json", "--timeout", "1s"])
    };
    let run = quote();
    assert_eq!(error(&run)["effect"], "none", "refused: {run:?}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let listening = runtime.unwrap().block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        socket.listen(0).unwrap().into_std().unwrap()
    });
    let wait = std::time::Duration::from_millis(200);
    let queue: Vec<_> = (0..4)
        .map(|_| std::net::TcpStream::connect_timeout(&address, wait))
        .collect();
    assert!(queue.last().unwrap().is_err(), "the queue is full");
    let run = quote();
    drop(listening);
    assert_eq!(run.code, 6, "{run:?}");
    let error = error(&run);
    assert_eq!(error["effect"], "none", "{run:?}");
    assert!(error["message"].as_str().unwrap().contains("no connection"), "{run:?}");
}

#[test]
fn an_account_whose_change_is_in_doubt_is_to_be_looked_at() {
    let scene = Scene::with_administrator();
    scene.env.ok(&["onboard", "x", "--as", "ops"]);
    let id = scene.account_id("x");
    let path = format!("/auth/service-accounts/{id}");
    for (verb, method, path) in [
        ("deactivate", "PUT", format!("{path}/deactivate")),
        ("activate", "PUT", format!("{path}/activate")),
        ("delete", "DELETE", path.clone()),
    ] {
        for fault in [
            json!({"fault": "close_before"}),
            json!({"fault": "status", "status": 500}),
            json!({"fault": "html"}),
            json!({"fault": "redirect"}),
        ] {
            scene.plan(method, &path, 50, &fault);
            let run = scene.env.run(&["account", verb, "x", "--yes", "--json"]);
            assert_eq!(run.code, 6, "{verb} {fault}: {run:?}");
            assert_in_doubt(&run, "unknown", "`dfns-keys account show x`");
            scene.sandbox.clear_faults();
        }
        scene.plan(method, &path, 1, &json!({"fault": "status", "status": 403}));
        let run = scene.env.run(&["account", verb, "x", "--yes", "--json"]);
        assert_eq!(error(&run)["effect"], "none", "{verb}: {run:?}");
    }
}

#[test]
fn a_change_of_an_account_is_done_when_its_answer_is_lost_once_or_not_whole() {
    for fault in ["close_after", "cut", "truncate"] {
        let scene = Scene::with_administrator();
        scene.env.ok(&["onboard", "x", "--as", "ops"]);
        let path = format!("/auth/service-accounts/{}", scene.account_id("x"));
        for (verb, method, path) in [
            ("deactivate", "PUT", format!("{path}/deactivate")),
            ("activate", "PUT", format!("{path}/activate")),
            // What was deleted by the lost attempt is not there for the next one.
            ("delete", "DELETE", path.clone()),
        ] {
            scene.plan(method, &path, 1, &json!({"fault": fault}));
            let run = scene.env.run(&["account", verb, "x", "--yes"]);
            assert_eq!(run.code, 0, "{verb} {fault}: {run:?}");
        }
        assert!(scene.sandbox.accounts().is_empty());
    }
}

#[test]
fn a_refusal_after_a_lost_answer_leaves_the_doubt() {
    let scene = Scene::with_administrator();
    scene.env.ok(&["onboard", "x", "--as", "ops"]);
    let path = format!("/auth/service-accounts/{}/deactivate", scene.account_id("x"));
    scene.plan("PUT", &path, 1, &json!({"fault": "close_after"}));
    scene.plan("PUT", &path, 1, &json!({"fault": "status", "status": 403}));
    let run = scene.env.run(&["account", "deactivate", "x", "--yes", "--json"]);
    assert_in_doubt(&run, "unknown", "`dfns-keys account show x`");
    assert_eq!(
        scene.sandbox.accounts()[0]["active"],
        false,
        "the first attempt had done it"
    );
}

#[test]
fn an_approval_to_come_is_neither_done_nor_undone() {
    let scene = Scene::with_administrator();
    scene.env.ok(&["onboard", "x", "--as", "ops"]);
    let settings = json!({"approvals": ["/auth/service-accounts"]});
    scene.sandbox.post_json("/sandbox/settings", &settings);
    for run in [
        scene.env.run(&["account", "deactivate", "x", "--yes", "--json"]),
        scene.env.run(&["onboard", "y", "--as", "ops", "--json"]),
    ] {
        assert_eq!(run.code, 7, "{run:?}");
        let error = error(&run);
        assert_eq!(error["code"], "awaiting_approval", "{run:?}");
        assert_eq!(error["effect"], Value::Null, "{run:?}");
    }
}

#[test]
fn an_account_that_may_have_been_made_is_looked_for_by_the_next_run() {
    let accounts = "/auth/service-accounts";
    let lost = json!({"fault": "close_after"});
    for (method, later) in [
        ("GET", json!({"fault": "status", "status": 500})),
        ("POST", lost.clone()),
    ] {
        let scene = Scene::with_administrator();
        scene.plan("POST", accounts, 1, &lost);
        // Neither can it be looked for, or made anew.
        scene.plan(method, accounts, 50, &later);
        let run = scene.env.run(&["onboard", "x", "--as", "ops", "--json"]);
        assert_eq!(run.code, 6, "{run:?}");
        if method == "GET" {
            assert_in_doubt(&run, "unknown", "run the same command again: it looks for");
        } else {
            // Each of them was found, and deactivated, before the next was tried.
            assert_eq!(error(&run)["code"], "answers_lost", "{run:?}");
            assert_eq!(error(&run)["effect"], "done", "{run:?}");
            let accounts = scene.sandbox.accounts();
            assert!(
                accounts.iter().all(|account| account["active"] == false),
                "{accounts:?}"
            );
        }
        scene.sandbox.clear_faults();
        scene.env.ok(&["onboard", "x", "--as", "ops"]);
        let accounts = scene.sandbox.accounts();
        let active = accounts.iter().filter(|account| account["active"] == true);
        assert_eq!(active.count(), 1, "{accounts:?}");
    }
}

#[test]
fn a_creation_that_is_lost_twice_is_not_said_not_to_have_happened() {
    let scene = Scene::with_administrator();
    scene.plan("POST", "/auth/service-accounts", 50, &json!({"fault": "close_before"}));
    let run = scene.env.run(&["onboard", "x", "--as", "ops", "--json"]);
    assert_in_doubt(&run, "unknown", "run the same command again: it looks for");
    assert!(!run.stdout.contains("was not made"), "{run:?}");
}

#[test]
fn an_assignment_in_doubt_is_looked_at_by_the_next_run() {
    let scene = Scene::with_administrator();
    let fields = [("name", "readers"), ("operations", "Wallets:Read")];
    let permission = scene.sandbox.form("/dashboard/permission", &fields);
    let permission = permission["permission_id"].as_str().unwrap();
    let path = format!("/permissions/{permission}/assignments");
    let onboard = ["onboard", "x", "--as", "ops", "--permission", permission, "--json"];
    scene.plan("POST", &path, 50, &json!({"fault": "status", "status": 500}));
    let run = scene.env.run(&onboard);
    assert_in_doubt(&run, "unknown", "run the same command again: it looks for");
    scene.sandbox.clear_faults();
    scene.env.ok(&onboard);
    assert_eq!(scene.sandbox.accounts()[0]["permissions"], 1);
}

#[test]
fn a_proof_that_fails_after_the_account_was_made_does_not_say_that_nothing_was_changed() {
    let scene = Scene::with_administrator();
    let mut fault = json!({"fault": "status", "status": 403, "times": 1, "path": "/auth/action/init"});
    // The first is for the account, by the administrator; the second is the new account's own.
    fault["skip"] = 1.into();
    scene.sandbox.fault(&fault);
    let run = scene.env.run(&["onboard", "x", "--as", "ops"]);
    assert_eq!(run.code, 5, "{run:?}");
    assert!(!run.stderr.contains("nothing was changed"), "{run:?}");
    assert_eq!(scene.sandbox.accounts().len(), 1);
}

#[test]
fn several_failures_are_summed_up_without_hiding_a_doubt() {
    let scene = Scene::with_administrator();
    scene.plan(
        "POST",
        "/auth/service-accounts",
        1,
        &json!({"fault": "status", "status": 403}),
    );
    scene.plan("POST", "/auth/service-accounts", 50, &json!({"fault": "close_before"}));
    let run = scene.env.run(&["onboard", "x", "y", "--as", "ops", "--json"]);
    let document = run.json();
    let mut effects: Vec<&str> = document["credentials"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["error"]["effect"].as_str().unwrap())
        .collect();
    effects.sort_unstable();
    assert_eq!(effects, ["none", "unknown"], "{run:?}");
    assert_eq!(document["error"]["effect"], "unknown", "{run:?}");
}

#[test]
fn a_rotation_in_doubt_is_found_out_about_by_the_next_run() {
    for (path, method, finish, looking) in [
        ("/auth/credentials", "POST", false, Some("/auth/credentials")),
        ("/auth/credentials/deactivate", "PUT", true, None),
    ] {
        let scene = Scene::new();
        if finish {
            scene.env.ok(&["rotate", "a"]);
        }
        scene.plan(method, path, 50, &json!({"fault": "close_before"}));
        if let Some(looking) = looking {
            scene.plan("GET", looking, 50, &json!({"fault": "status", "status": 500}));
        }
        let mut rotate = vec!["rotate", "a", "--json"];
        rotate.extend(finish.then_some("--finish"));
        let run = scene.env.run(&rotate);
        assert_eq!(run.code, 6, "{path}: {run:?}");
        assert_in_doubt(&run, "unknown", "run the same command again: it finds out");
        let document = run.json();
        assert_eq!(document["credentials"][0]["error"]["effect"], "unknown", "{run:?}");
        scene.sandbox.clear_faults();
        scene.env.ok(&rotate);
        scene.env.ok(&["verify", "a"]);
    }
}

#[test]
fn a_replacement_in_doubt_is_found_out_about_by_the_next_run() {
    let scene = Scene::with_administrator();
    scene.env.ok(&["onboard", "x", "--as", "ops"]);
    let rotate = ["rotate", "x", "--strategy", "replace", "--as", "ops", "--json"];
    scene.plan("POST", "/auth/service-accounts", 50, &json!({"fault": "close_before"}));
    let run = scene.env.run(&rotate);
    assert_in_doubt(&run, "unknown", "run the same command again: it finds out");
    scene.sandbox.clear_faults();
    scene.env.ok(&rotate);
    scene.env.ok(&["verify", "x"]);
}

#[test]
fn a_second_key_that_fails_its_proof_does_not_say_that_nothing_was_changed() {
    let scene = Scene::new();
    let mut fault = json!({"fault": "status", "status": 403, "times": 1, "path": "/auth/action/init"});
    // The first is for the registration, by the old key; the second is the new key's own.
    fault["skip"] = 1.into();
    scene.sandbox.fault(&fault);
    let run = scene.env.run(&["rotate", "a"]);
    assert_eq!(run.code, 5, "{run:?}");
    assert!(!run.stderr.contains("nothing was changed"), "{run:?}");
}

#[test]
fn an_enrolment_in_doubt_is_found_out_about_by_the_next_run() {
    let scene = Scene::empty();
    let url = scene.sandbox.url.clone();
    for fault in ["close_after", "cut", "truncate"] {
        let username = format!("{fault}@example.com");
        let code = scene.sandbox.code(&username);
        let name = fault.replace('_', "-");
        scene.plan("POST", "/auth/credentials/code/verify", 1, &json!({"fault": fault}));
        let run = scene
            .env
            .run(&["enroll", &name, "--code", &code, "--api-url", &url, "--json"]);
        assert_eq!(run.code, 6, "{fault}: {run:?}");
        let effect = if fault == "close_after" { "unknown" } else { "done" };
        assert_in_doubt(&run, effect, "run the same command again");
        scene.env.ok(&["enroll", &name]);
    }
    // Before the key is sent, nothing has happened.
    let code = scene.sandbox.code("other@example.com");
    scene.plan(
        "POST",
        "/auth/credentials/code/init",
        50,
        &json!({"fault": "close_after"}),
    );
    let run = scene
        .env
        .run(&["enroll", "other", "--code", &code, "--api-url", &url, "--json"]);
    assert_eq!(error(&run)["effect"], "none", "{run:?}");
}

#[test]
fn proving_a_pair_has_no_effect_and_a_failure_says_so() {
    let scene = Scene::new();
    let token = scene.env.prepare(&scene.sandbox, "b");
    scene.env.write("token", token);
    scene.plan("POST", "/auth/action", 50, &json!({"fault": "close_after"}));
    for arguments in [
        &["onboard", "b", "--token-file", "token", "--json"][..],
        &["remove", "a", "--yes", "--json"],
    ] {
        let run = scene.env.run(arguments);
        assert_eq!(run.code, 6, "{run:?}");
        assert_eq!(error(&run)["effect"], "none", "{run:?}");
    }
    let run = scene.env.run(&["onboard", "b", "--token-file", "token"]);
    run.fails(6, &["nothing was changed"]);
}

#[cfg(unix)]
#[test]
fn the_proxy_says_what_a_lost_call_did() {
    let scene = Scene::new();
    let proxy = support::proxy::Proxy::start(&scene.env, &[]);
    let body = r#"{"network":"Bitcoin"}"#;
    for (method, path, fault, effect) in [
        ("POST", "/wallets", "close_after", "unknown"),
        ("GET", "/wallets", "close_after", "none"),
        ("POST", "/auth/action", "html", "none"),
    ] {
        scene.plan(method, path, 1, &json!({"fault": fault}));
        let sent = if method == "GET" { "GET" } else { "POST" };
        let answer = proxy.call(sent, "/wallets", if sent == "GET" { "" } else { body });
        let error = answer.json()["error"].clone();
        assert_eq!(error["effect"], effect, "{answer:?}");
        let message = error["message"].as_str().unwrap();
        assert_eq!(message.contains("may have happened"), effect == "unknown", "{answer:?}");
    }
}
