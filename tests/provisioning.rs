//! Provisioning through the API: one administrator, any number of accounts, whatever goes wrong in between.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use support::{PROGRAM, Run, Sandbox, TestEnv};

struct Scene {
    env: TestEnv,
    sandbox: Sandbox,
}

impl Scene {
    fn new() -> Self {
        Self::with(&[])
    }

    /// With an enrolled administrator.
    fn with(sandbox: &[&str]) -> Self {
        let scene = Self {
            env: TestEnv::with_vault(),
            sandbox: Sandbox::start_with(sandbox),
        };
        let code = scene.sandbox.code("ops@example.com");
        scene
            .env
            .ok(&["enroll", "ops", "--code", &code, "--api-url", &scene.sandbox.url]);
        scene
    }

    fn permission(&self, name: &str) -> String {
        let answer = self.sandbox.form(
            "/dashboard/permission",
            &[("name", name), ("operations", "Wallets:Read")],
        );
        answer["permission_id"].as_str().unwrap().to_owned()
    }

    fn settings(&self, settings: &Value) {
        let answer = self.sandbox.post_json("/sandbox/settings", settings);
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    fn active(&self) -> Vec<Value> {
        self.sandbox
            .accounts()
            .into_iter()
            .filter(|account| account["active"] == true)
            .collect()
    }

    fn calls_since(&self, before: usize) -> Vec<String> {
        self.sandbox.calls()[before..].to_vec()
    }

    fn onboard(&self, arguments: &[&str]) -> Run {
        let mut all = vec!["onboard"];
        all.extend_from_slice(arguments);
        all.extend(["--as", "ops", "--timeout", "3s"]);
        self.env.run(&all)
    }
}

#[test]
fn an_administrator_is_enrolled_by_a_code_and_proven_by_logging_in() {
    let env = TestEnv::with_vault();
    let scene = Scene {
        env,
        sandbox: Sandbox::start(),
    };
    let code = scene.sandbox.code("ops@example.com");
    let url = scene.sandbox.url.clone();
    let before = scene.sandbox.calls().len();
    let run = scene
        .env
        .run(&["enroll", "ops", "--code", &code, "--api-url", &url, "--json"]);
    assert_eq!(run.code, 0, "{run:?}");
    let document = run.json();
    assert_eq!(document["kind"], "user");
    assert_eq!(document["username"], "ops@example.com");
    assert!(document["org_id"].as_str().unwrap().starts_with("or-"));
    let calls = scene.calls_since(before);
    assert_eq!(
        calls,
        [
            "POST /auth/credentials/code/init 200",
            "POST /auth/credentials/code/verify 200",
            "POST /auth/login/init 200",
            "POST /auth/login 200"
        ]
    );
    let run = scene.env.run(&["verify", "ops"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("logged in as ops@example.com"), "{run:?}");
    scene
        .env
        .run(&["enroll", "ops", "--code", "x"])
        .fails(3, &["ops is enrolled already"]);
    scene
        .env
        .run(&["enroll", "other", "--code", "nonsense", "--api-url", &url])
        .fails(5, &["one-time code", "make a new one"]);
    // The refused code left the key sealed; a right one goes on with it.
    let code = scene.sandbox.code("other@example.com");
    scene
        .env
        .run(&[
            "enroll",
            "other",
            "--code",
            &code,
            "--api-url",
            &url,
            "--username",
            "ops@example.com",
        ])
        .fails(5, &["the code belongs to other@example.com, not to ops@example.com"]);
    let code = scene.sandbox.code("other@example.com");
    scene.env.ok(&["enroll", "other", "--code", &code]);
    scene
        .env
        .run(&["enroll", "third", "--api-url", &url])
        .fails(7, &["waits for a one-time code"]);
}

#[test]
fn a_lost_answer_to_an_enrolment_is_found_out_by_logging_in() {
    let scene = Scene {
        env: TestEnv::with_vault(),
        sandbox: Sandbox::start(),
    };
    let code = scene.sandbox.code("ops@example.com");
    let fault = json!({"fault": "close_after", "path": "/auth/credentials/code/verify"});
    scene.sandbox.fault(&fault);
    let url = scene.sandbox.url.clone();
    scene
        .env
        .run(&["enroll", "ops", "--code", &code, "--api-url", &url])
        .fails(6, &["the connection broke"]);
    // No second code: the key was registered, and logging in shows it.
    scene.env.ok(&["enroll", "ops"]);
    scene.env.ok(&["verify", "ops"]);
}

/// A one-time code is meant for one server. What a second run asks for otherwise is refused before anything is sent.
#[test]
fn an_enrolment_goes_on_as_it_was_begun_or_not_at_all() {
    let (env, sandbox, other) = (TestEnv::with_vault(), Sandbox::start(), Sandbox::start());
    let enroll = |more: &[&str]| {
        let mut arguments = vec!["enroll", "ops"];
        arguments.extend_from_slice(more);
        env.run(&arguments)
    };
    enroll(&["--api-url", &sandbox.url, "--code", "nonsense"]).fails(5, &["one-time code"]);
    let refused_without_a_call = |options: &[&str], words: &str| {
        let before = sandbox.calls().len();
        let mut arguments = vec!["--code", "a-code"];
        arguments.extend_from_slice(options);
        enroll(&arguments).fails(3, &[words, "leave the option out"]);
        assert_eq!(sandbox.calls().len(), before, "{options:?}");
        assert!(other.calls().is_empty(), "{options:?}: {:?}", other.calls());
    };
    refused_without_a_call(&["--api-url", &other.url], "ops was begun with the api url");
    refused_without_a_call(
        &["--origin", "https://example.com"],
        "with the origin https://app.dfns.io",
    );
    refused_without_a_call(&["--app-id", "ap-1"], "with the application id none");
    refused_without_a_call(&["--org-id", "or-1"], "with the organisation none");

    // Once the code was tried with Dfns, the user and the organisation are known, too.
    let code = sandbox.code("ops@example.com");
    sandbox.fault(&json!({"fault": "close_after", "path": "/auth/credentials/code/verify"}));
    enroll(&["--code", &code]).fails(6, &["run the same command again"]);
    refused_without_a_call(&["--api-url", &other.url], "with the api url");
    refused_without_a_call(&["--org-id", "or-1"], "with the organisation or-");
    refused_without_a_call(&["--username", "other@example.com"], "with the user ops@example.com");
    enroll(&["--api-url", &sandbox.url, "--username", "ops@example.com"]).fails(0, &[]);
}

/// Else its token would go to the server that the first administrator named.
#[test]
fn an_account_begun_as_one_administrator_is_not_made_by_another_organisations() {
    let scene = Scene::new();
    let other = Sandbox::start();
    let code = other.code("them@example.com");
    scene
        .env
        .ok(&["enroll", "them", "--code", &code, "--api-url", &other.url]);
    scene.settings(&json!({"approvals": ["/auth/service-accounts"]}));
    scene.onboard(&["a"]).fails(7, &["waits for a policy approval"]);
    let before = (scene.sandbox.calls().len(), other.calls().len());
    scene
        .env
        .run(&["onboard", "a", "--as", "them"])
        .fails(3, &["a was begun with the api url"]);
    assert_eq!(
        (scene.sandbox.calls().len(), other.calls().len()),
        before,
        "nothing is sent"
    );
    scene.settings(&json!({"approvals": []}));
    scene.onboard(&["a"]).fails(7, &["waits for a policy approval"]);
}

#[test]
fn what_a_later_run_asks_for_beside_is_done_or_refused() {
    let scene = Scene::new();
    let (readers, writers) = (scene.permission("readers"), scene.permission("writers"));
    scene.settings(&json!({"approvals": ["/permissions/"]}));
    scene.onboard(&["a", "--permission", &readers]).fails(7, &[]);
    scene.settings(&json!({"approvals": []}));
    scene.onboard(&["a", "--permission", &writers]).fails(0, &[]);
    assert_eq!(scene.active()[0]["permissions"], 2);

    scene.settings(&json!({"approvals": ["/auth/service-accounts"]}));
    scene.onboard(&["b", "--external-id", "x-1"]).fails(7, &[]);
    scene
        .onboard(&["b", "--external-id", "x-2"])
        .fails(3, &["b was begun with the external id x-1"]);
}

#[test]
fn five_requests_a_name_and_three_a_permission() {
    let scene = Scene::new();
    let permission = scene.permission("readers");
    let login = ["POST /auth/login/init 200", "POST /auth/login 200"];
    let sign = ["POST /auth/action/init 200", "POST /auth/action 200"];

    let before = scene.sandbox.calls().len();
    let run = scene.onboard(&["a", "--json"]);
    assert_eq!(run.code, 0, "{run:?}");
    let mut expected = login.to_vec();
    expected.extend(sign);
    expected.push("POST /auth/service-accounts 200");
    expected.extend(sign);
    assert_eq!(scene.calls_since(before), expected);
    let document = run.json();
    assert_eq!(document["state"], "active");
    for field in ["identity_id", "token_id", "credential_id", "org_id", "token_expires_at"] {
        assert!(document[field].is_string(), "{field}: {document}");
    }

    let before = scene.sandbox.calls().len();
    let run = scene.onboard(&["b", "--permission", &permission, "--kind", "pat", "--days", "30"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(scene.calls_since(before).len(), 2 + 5 + 3);
    let run = scene.env.run(&["verify", "b", "--json", "--min-days", "29"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(
        run.stdout.contains("(29 days)") || run.stdout.contains("(30 days)"),
        "{run:?}"
    );

    // By name: one request more, once for all.
    let names: Vec<String> = (0..10).map(|number| format!("n{number}")).collect();
    let mut arguments: Vec<&str> = names.iter().map(String::as_str).collect();
    arguments.extend(["--permission", "readers"]);
    let before = scene.sandbox.calls().len();
    let run = scene.onboard(&arguments);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(scene.calls_since(before).len(), 2 + 1 + 10 * (5 + 3));
    assert!(
        scene
            .active()
            .iter()
            .filter(|account| account["permissions"] == 1)
            .count()
            == 11
    );
    scene.env.ok(&["verify", "--all"]);
    let again = scene.onboard(&["n0", "n1"]);
    assert_eq!(again.code, 0, "what is active is left as it is: {again:?}");
    assert_eq!(scene.active().len(), 12);
}

#[test]
fn refusals_become_sentences_with_a_next_step_and_change_nothing() {
    let scene = Scene::new();
    scene.onboard(&["taken"]).fails(0, &[]);
    // Another vault of the same organisation has the name.
    std::fs::remove_file(scene.env.credential_file("taken")).unwrap();
    scene
        .onboard(&["taken"])
        .fails(3, &["the name taken is taken at Dfns", "account list"]);
    assert!(!scene.env.lists("taken"), "nothing was changed");
    scene
        .onboard(&["a", "--permission", "nobody"])
        .fails(3, &["there is no permission `nobody`"]);
    for (status, code, words) in [
        (402, 5, "plan does not have this"),
        (403, 5, "act as an organisation's user"),
        (404, 1, "belongs to another organisation"),
    ] {
        scene
            .sandbox
            .fault(&json!({"fault": "status", "status": status, "path": "/auth/service-accounts"}));
        scene.onboard(&["a"]).fails(code, &["creating the account", words]);
        assert!(!scene.env.lists("a"), "nothing was changed");
    }
    scene
        .env
        .run(&["onboard", "b", "--as", "nobody"])
        .fails(3, &["no credential named nobody"]);
    scene.onboard(&["c"]).fails(0, &[]);
    scene
        .env
        .run(&["onboard", "d", "--as", "c"])
        .fails(3, &["c is a service account", "enroll a user"]);
    assert_eq!(scene.active().len(), 2);
}

#[test]
fn an_approval_is_waited_for_and_picked_up() {
    let scene = Scene::new();
    let permission = scene.permission("readers");
    scene.settings(&json!({"approvals": ["/permissions/"]}));
    let run = scene.onboard(&["a", "--permission", &permission]);
    run.fails(7, &["waits for a policy approval", "once it is approved"]);
    assert_eq!(
        scene.env.run(&["show", "a", "--json"]).json()["credential"]["state"],
        "pending"
    );
    scene
        .onboard(&["a", "--permission", &permission])
        .fails(7, &["waits for a policy approval"]);
    assert_eq!(scene.sandbox.accounts().len(), 1, "no second account");
    scene.settings(&json!({"approvals": []}));
    scene.onboard(&["a", "--permission", &permission]).fails(0, &[]);
    assert_eq!(scene.active()[0]["permissions"], 1);
    scene.env.ok(&["verify", "a"]);

    scene.settings(&json!({"approvals": ["/auth/service-accounts"]}));
    scene.onboard(&["b"]).fails(7, &["the new account waits"]);
    scene.onboard(&["b"]).fails(7, &["the new account waits"]);
    assert_eq!(scene.sandbox.accounts().len(), 1, "nothing was made meanwhile");
}

/// Whatever call loses its answer: one active account, and its credential is here.
#[test]
fn a_lost_answer_never_makes_two_and_leaves_no_orphan() {
    for path in [
        "/auth/login/init",
        "/auth/login",
        "/auth/action/init",
        "/auth/action",
        "/auth/service-accounts",
        "/permissions/*",
    ] {
        for skip in 0..3 {
            for fault in ["close_after", "close_before", "truncate"] {
                let scene = Scene::new();
                let permission = scene.permission("readers");
                let path = path.replace('*', &format!("{permission}/assignments"));
                scene
                    .sandbox
                    .fault(&json!({"fault": fault, "path": path, "skip": skip}));
                let what = format!("{fault} at {path} after {skip}");
                let mut run = scene.onboard(&["a", "--permission", &permission]);
                if run.code != 0 {
                    run = scene.onboard(&["a", "--permission", &permission]);
                }
                assert_eq!(run.code, 0, "{what}: {run:?}");
                let active = scene.active();
                assert_eq!(active.len(), 1, "{what}: {active:?}");
                assert_eq!(active[0]["permissions"], 1, "{what}");
                assert_eq!(
                    active[0]["keys"][0].as_str().unwrap(),
                    scene.env.ok(&["show", "a", "--public-key"]),
                    "{what}"
                );
                scene.env.ok(&["verify", "a"]);
            }
        }
    }
}

#[test]
fn a_session_that_ends_in_the_middle_is_renewed() {
    let scene = Scene::with(&["--latency", "200"]);
    scene.settings(&json!({"session_s": 5}));
    let names: Vec<String> = (0..100).map(|number| format!("n{number:02}")).collect();
    let mut arguments: Vec<&str> = names.iter().map(String::as_str).collect();
    arguments.extend(["--rate-limit", "100000"]);
    let before = scene.sandbox.calls().len();
    let run = scene.onboard(&arguments);
    assert_eq!(run.code, 0, "{run:?}");
    let logins = scene
        .calls_since(before)
        .iter()
        .filter(|call| *call == "POST /auth/login 200")
        .count();
    assert!(logins > 1, "the session ended at least once: {logins}");
    assert_eq!(scene.active().len(), 100);
}

/// The default of 900 a minute is a burst of 90 and then 13.5 a second, so that no minute sees more than 900.
#[test]
fn the_limit_of_900_a_minute_is_never_exceeded() {
    let scene = Scene::new();
    let names: Vec<String> = (0..40).map(|number| format!("n{number:02}")).collect();
    let arguments: Vec<&str> = names.iter().map(String::as_str).collect();
    let before = scene.sandbox.calls().len();
    let run = scene.onboard(&arguments);
    assert_eq!(run.code, 0, "{run:?}");
    let calls = scene.calls_since(before);
    assert_eq!(calls.len(), 2 + 40 * 5);
    let log = scene.sandbox.http("GET", "/sandbox/calls", &[], b"").json();
    let times: Vec<i64> = log["calls"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|call| call["path"].as_str().unwrap().starts_with("/auth/"))
        .map(|call| call["at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap())
        .map(jiff::Timestamp::as_millisecond)
        .collect();
    let times = &times[times.len() - calls.len()..];
    for (position, start) in times.iter().enumerate() {
        for seconds in [1, 2, 4, 8] {
            let within = times[position..]
                .iter()
                .take_while(|at| **at - start <= seconds * 1000)
                .count();
            let allowed = 90 + usize::try_from(seconds).unwrap() * 27 / 2 + 2;
            assert!(within <= allowed, "{within} requests within {seconds} s");
        }
    }
}

#[test]
fn manifests_name_many_accounts() {
    let scene = Scene::new();
    let permission = scene.permission("readers");
    scene.env.write(
        "accounts.csv",
        format!("name,kind,days,permissions,external_id\n# a comment\nbilling,service-account,90,readers;{permission},\nreports,pat,,,x-1\n"),
    );
    let run = scene.onboard(&["--from", "accounts.csv"]);
    run.fails(0, &["2 active, 0 waiting"]);
    scene.env.write(
        "accounts.toml",
        "[[account]]\nname = \"alpha\"\ndays = 30\n[[account]]\nname = \"beta\"\nkind = \"pat\"\npermissions = [\"readers\"]\n",
    );
    scene.onboard(&["--from", "accounts.toml", "--json"]).fails(0, &[]);
    assert_eq!(scene.active().len(), 4);
    for (name, contents, words) in [
        ("a.csv", "name,kind\nBilling,pat\n", "a.csv, line 2"),
        ("b.csv", "name,kind\nx,pat,extra\n", "3 fields where the header has 2"),
        ("c.csv", "name\nx\nx\n", "x stands in it twice"),
        ("d.csv", "name\n", "names no account"),
        ("e.toml", "[[account]]\nname = \"x\"\nbogus = 1\n", "e.toml, line"),
        ("f.csv", "name,kind\nx,user\n", "kind is service-account or pat"),
        ("g.csv", "name,days\nx,731\n", "days from 1 to 730"),
    ] {
        scene.env.write(name, contents);
        scene.onboard(&["--from", name]).fails(2, &[words, "CSV: name,kind"]);
    }
}

#[test]
fn one_failure_stops_nothing_else() {
    let scene = Scene::new();
    scene.onboard(&["taken"]).fails(0, &[]);
    std::fs::remove_file(scene.env.credential_file("taken")).unwrap();
    let run = scene.onboard(&["a", "taken", "b"]);
    run.fails(3, &["taken: ", "2 active, 0 waiting for an approval, 1 failed"]);
    let run = scene.onboard(&["a", "taken", "c", "--json"]);
    assert_eq!(run.code, 3);
    let document = run.json();
    assert_eq!(document["ok"], false);
    let rows = document["credentials"].as_array().unwrap();
    assert_eq!(rows[1]["error"]["code"], "name_taken");
    assert_eq!(rows[2]["state"], "active");
}

#[test]
fn accounts_are_listed_on_both_sides_and_changed_on_the_other() {
    let scene = Scene::new();
    scene.onboard(&["both"]).fails(0, &[]);
    scene.onboard(&["remote", "--kind", "pat"]).fails(0, &[]);
    std::fs::remove_file(scene.env.credential_file("remote")).unwrap();
    scene
        .env
        .ok(&["onboard", "local", "--prepare", "--api-url", &scene.sandbox.url]);
    let shown = scene.env.ok(&["account", "list"]);
    for words in ["both", "Dfns only", "vault only"] {
        assert!(shown.contains(words), "{shown}");
    }
    let document = scene.env.run(&["account", "list", "--json"]).json();
    assert_eq!(document["accounts"].as_array().unwrap().len(), 3);
    scene
        .env
        .run(&["account", "deactivate", "both"])
        .fails(2, &["no terminal to confirm on"]);
    scene.env.ok(&["account", "deactivate", "both", "--yes"]);
    assert_eq!(scene.env.run(&["verify", "both"]).code, 5);
    scene.env.ok(&["account", "activate", "both"]);
    scene.env.ok(&["verify", "both"]);
    let id = scene.env.run(&["account", "show", "remote", "--json"]).json()["account"]["identity_id"].clone();
    scene.env.ok(&["account", "delete", id.as_str().unwrap(), "--yes"]);
    assert_eq!(scene.sandbox.accounts().len(), 1);
    scene
        .env
        .run(&["account", "show", "remote"])
        .fails(3, &["no account `remote`"]);
    scene
        .env
        .run(&["account", "activate", "local"])
        .fails(3, &["in the vault only"]);
}

#[test]
fn an_existing_key_is_imported_as_user_or_account() {
    let scene = Scene::new();
    let env = &scene.env;
    let url = scene.sandbox.url.as_str();
    let public = env.ok(&["generate", "--plaintext", "--private-key", "key.pem"]);
    env.write("token", scene.sandbox.create("made", &public));
    let run = env.run(&[
        "import",
        "made",
        "--private-key",
        "key.pem",
        "--token-file",
        "token",
        "--api-url",
        url,
    ]);
    run.fails(0, &["made is active", "safe to delete:  key.pem"]);
    env.ok(&["verify", "made"]);
    env.run(&[
        "import",
        "made",
        "--private-key",
        "key.pem",
        "--token-file",
        "token",
        "--api-url",
        url,
    ])
    .fails(3, &["there is a credential named made already"]);
    env.ok(&[
        "generate",
        "--plaintext",
        "--private-key",
        "other.pem",
        "--public-key",
        "o.pub",
    ]);
    env.run(&[
        "import",
        "x",
        "--private-key",
        "other.pem",
        "--token-file",
        "token",
        "--api-url",
        url,
        "--force",
    ])
    .fails(5, &["does not accept this key"]);
    assert!(!env.credential_file("x").exists());

    // The administrator's own key, taken out of the vault as `age -d` would, goes back in by itself.
    let opened = env.open("ops");
    env.write("ops.pem", opened["user"]["private_key"].as_str().unwrap());
    let org = opened["public"]["org_id"].as_str().unwrap();
    let user = [
        "--kind",
        "user",
        "--username",
        "ops@example.com",
        "--org-id",
        org,
        "--api-url",
        url,
    ];
    let mut arguments = vec!["import", "again", "--private-key", "ops.pem"];
    arguments.extend(user);
    env.run(&arguments).fails(3, &["ops has this key already"]);
    arguments.push("--force");
    env.ok(&arguments);
    env.ok(&["onboard", "by-again", "--as", "again"]);
    assert_eq!(
        env.open("again")["user"]["credential_id"],
        opened["user"]["credential_id"],
        "logging in shows which one it is"
    );
    // With a second key of the same user, the right one is found among them.
    let code = scene.sandbox.code("ops@example.com");
    env.ok(&["enroll", "second", "--code", &code, "--api-url", url]);
    arguments[1] = "third";
    env.ok(&arguments);
    assert_eq!(
        env.open("third")["user"]["credential_id"],
        opened["user"]["credential_id"]
    );
    arguments[1] = "wrong";
    arguments[3] = "other.pem";
    env.run(&arguments).fails(5, &["logging in"]);
}

/// One hundred accounts, faults on, three kills at random instants: exactly one hundred active accounts there, one
/// hundred proven credentials here.
#[test]
fn a_hundred_accounts_survive_faults_and_kills() {
    let scene = Scene::new();
    let permission = scene.permission("readers");
    for (fault, every) in [
        ("close_after", 37),
        ("status", 41),
        ("truncate", 53),
        ("close_before", 59),
    ] {
        scene
            .sandbox
            .fault(&json!({"fault": fault, "status": 503, "every": every, "times": 1000}));
    }
    let rows: Vec<String> = (0..100).map(|number| format!("n{number:03}")).collect();
    scene.env.write("accounts.csv", format!("name\n{}\n", rows.join("\n")));
    let arguments = [
        "onboard",
        "--from",
        "accounts.csv",
        "--as",
        "ops",
        "--permission",
        permission.as_str(),
        "--rate-limit",
        "100000",
        "--timeout",
        "5s",
    ];
    let command = || {
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .env_clear()
            .env("DFNS_KEYS_VAULT", scene.env.vault())
            .env("DFNS_KEYS_IDENTITY", scene.env.path("identity.txt"))
            .current_dir(scene.env.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    // A different instant each time: the count of calls answered is what the kill waits for.
    let mut instants = [83_usize, 131, 197].map(|calls| calls + usize::from(rand_byte()));
    instants.sort_unstable();
    for calls in instants {
        let goal = scene.sandbox.calls().len() + calls;
        let mut child = command().spawn().unwrap();
        while scene.sandbox.calls().len() < goal && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(3));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    for _ in 0..6 {
        if command().status().unwrap().success() {
            break;
        }
    }
    scene.sandbox.clear_faults();
    let run = scene.env.run(&arguments);
    assert_eq!(run.code, 0, "{run:?}");
    let active = scene.active();
    assert_eq!(active.len(), 100, "{} in all", scene.sandbox.accounts().len());
    assert!(active.iter().all(|account| account["permissions"] == 1));
    let list = scene.env.run(&["list", "--json"]).json();
    let mut here: Vec<String> = list["credentials"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["kind"] != "user")
        .map(|row| {
            assert_eq!(row["state"], "active", "{row}");
            let name = row["name"].as_str().unwrap();
            let file = std::fs::read(scene.env.credential_file(name)).unwrap();
            let file: Value = serde_json::from_slice(&file).unwrap();
            file["public"]["public_key"].as_str().unwrap().to_owned()
        })
        .collect();
    let mut there: Vec<String> = active
        .iter()
        .map(|account| account["keys"][0].as_str().unwrap().to_owned())
        .collect();
    here.sort();
    there.sort();
    assert_eq!(here, there);
    let run = scene.env.run(&["verify", "--all", "--rate-limit", "100000"]);
    assert_eq!(run.code, 0, "{run:?}");
}

/// Different from run to run, without a crate for it.
fn rand_byte() -> u8 {
    use std::hash::{BuildHasher, Hasher};
    let seed = std::collections::hash_map::RandomState::new().build_hasher().finish();
    (seed % 90) as u8
}
