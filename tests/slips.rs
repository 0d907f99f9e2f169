//! What the program makes of slips: a name that is nearly right, a file in the place of a name.
#![allow(
    clippy::disallowed_methods,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use support::{Sandbox, TestEnv};

fn scene() -> TestEnv {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "payments-api");
    env.prepare(&sandbox, "reports");
    let code = sandbox.code("ops@example.com");
    env.ok(&["enroll", "ops-admin", "--code", &code, "--api-url", &sandbox.url]);
    env
}

#[test]
fn a_name_that_is_nearly_right_is_asked_about() {
    let env = scene();
    for arguments in [
        &["show", "paymets-api"][..],
        &["exec", "payments", "--", "sh", "-c", ":"],
        &["export", "payment-api", "--format", "json"],
        &["rotate", "payments-apis"],
        &["verify", "payment-api"],
        &["remove", "payments_api", "--yes"],
    ] {
        env.run(arguments)
            .fails(3, &["there is no credential named", "did you mean payments-api?"]);
    }
    env.write("token", "e30.e30.AAAA");
    env.run(&["onboard", "report", "--token-file", "token"])
        .fails(3, &["did you mean reports?", "onboard report --prepare"]);
    let document = env.run(&["show", "paymets-api", "--json"]).json();
    let hint = document["error"]["hint"].as_str().unwrap();
    assert!(hint.starts_with("did you mean payments-api?"), "{document}");
    let run = env.run(&["show", "something-else"]);
    run.fails(3, &["`dfns-keys list` shows those there are"]);
    assert!(!run.stderr.contains("did you mean"), "{run:?}");
}

#[test]
fn an_unknown_administrator_is_to_be_enrolled() {
    let env = scene();
    for arguments in [
        &["onboard", "x", "--as", "op-admin"][..],
        &["rotate", "payments-api", "--as", "op-admin"],
        &["account", "list", "--as", "op-admin"],
    ] {
        let words = [
            "did you mean ops-admin?",
            "enroll a user with `dfns-keys enroll op-admin`",
        ];
        env.run(arguments).fails(3, &words);
    }
    // Only a user can be meant.
    let run = env.run(&["onboard", "x", "--as", "payments"]);
    run.fails(3, &["hint: enroll a user with `dfns-keys enroll payments`"]);
}

#[test]
fn a_file_in_the_place_of_a_name_is_told_with_its_flag() {
    let env = scene();
    std::fs::create_dir(env.path("deploy")).unwrap();
    for (file, code, flag) in [
        ("staging.env", 3, "--dotenv"),
        ("deploy/staging.env", 2, "--dotenv"),
        (".env", 2, "--dotenv"),
        ("staging.postman_environment.json", 3, "--postman"),
        ("deploy/Staging Env.JSON", 2, "--postman"),
    ] {
        env.write(file, "");
        let way = format!("that is a file here: `dfns-keys verify {flag} {file}`");
        env.run(&["verify", file]).fails(code, &[&way]);
        let document = env.run(&["verify", file, "--json"]).json();
        assert_eq!(document["error"]["hint"], way.as_str(), "{document}");
    }
    env.run(&["verify", "deploy/nothing.env"])
        .fails(2, &["is not a credential name"]);
    // Whoever has no vault verifies files all the same.
    let env = TestEnv::new();
    env.write("staging.env", "");
    env.run(&["verify", "staging.env"])
        .fails(3, &["`dfns-keys verify --dotenv staging.env`"]);
}

#[test]
fn a_log_of_a_name_that_nobody_knows_is_a_slip() {
    let env = scene();
    env.ok(&["remove", "reports", "--yes", "--force"]);
    let run = env.run(&["log", "paymets-api"]);
    run.fails(
        3,
        &[
            "there is no credential named paymets-api",
            "did you mean payments-api? if not: `dfns-keys log`",
        ],
    );
    assert_eq!(run.stdout, "");
    // What was removed is in the log alone.
    assert!(env.ok(&["log", "reports"]).contains("removed"));
    env.run(&["log", "report"])
        .fails(3, &["did you mean reports? It is in the log"]);
    let document = env.run(&["log", "paymets-api", "--json"]).json();
    assert_eq!(document["error"]["code"], "no_such_credential", "{document}");
    assert_eq!(document["events"], serde_json::json!([]), "{document}");
    let run = env.run(&["log", "something-else"]);
    run.fails(3, &["hint: `dfns-keys log` shows everything"]);
    // A name that the vault has is none, whatever the log has lost.
    std::fs::write(env.vault().join("log.jsonl"), "").unwrap();
    env.run(&["log", "payments-api"])
        .fails(0, &["The log says nothing of payments-api."]);
}

#[test]
fn a_second_credential_of_nearly_the_same_name_is_made_with_a_warning() {
    let env = scene();
    let at = ["--api-url", "http://127.0.0.1:9"];
    let warning = "warning: payments-api is in the vault already; payment_api is another credential beside it";
    env.run(&[&["onboard", "payment_api", "--prepare"], &at[..]].concat())
        .fails(0, &[warning]);
    // Going on with it, it is meant.
    let again = env.run(&["onboard", "payment_api", "--prepare"]);
    assert!(again.code == 0 && !again.stderr.contains("warning"), "{again:?}");
    env.run(&["onboard", "pay.ments-api", "--as", "ops-admin"]).fails(
        6,
        &["warning: payments-api is in the vault already; pay.ments-api is another"],
    );
    env.ok(&["generate", "--plaintext", "--private-key", "key.pem"]);
    env.run(&["import", "paymentsapi", "--private-key", "key.pem"])
        .fails(0, &["is another credential beside it"]);
    // What was removed is no twin.
    env.ok(&["remove", "reports", "--yes", "--force"]);
    let run = env.run(&[&["onboard", "report", "--prepare"], &at[..]].concat());
    assert!(run.code == 0 && !run.stderr.contains("warning"), "{run:?}");
    // A series is meant, and so is a name that is another word, or hardly one.
    for name in ["payments-api-2", "settlements-api", "payments-api-eu", "pa"] {
        let run = env.run(&[&["onboard", name, "--prepare"], &at[..]].concat());
        assert!(run.code == 0 && !run.stderr.contains("warning"), "{run:?}");
    }
}

#[test]
fn hints_are_punctuated_as_people_write() {
    let env = scene();
    env.write("token", "e30.e30.AAAA");
    for arguments in [
        &["show", "paymets-api"][..],
        &["onboard", "report", "--token-file", "token"],
        &["onboard", "x", "--as", "op-admin"],
        &["log", "paymets-api"],
    ] {
        let run = env.run(arguments);
        assert!(!run.stderr.contains("?;") && run.stderr.contains("? if not"), "{run:?}");
    }
}
