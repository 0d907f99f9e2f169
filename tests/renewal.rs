//! Tokens end, and a rotation that is told so replaces them with their keys: in time, for as long as before, at once after a
//! leak. Whoever cannot says so.
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

const DAY: i64 = 24 * 60 * 60;

impl Scene {
    /// Dfns lets accounts have a second key, so that nothing but the token's end asks for a new account.
    fn new() -> Self {
        let scene = Self {
            env: TestEnv::with_vault(),
            sandbox: Sandbox::start_with(&["--rotation", "guide"]),
        };
        scene.enroll("ops");
        scene
    }

    fn enroll(&self, name: &str) {
        let code = self.sandbox.code(&format!("{name}@example.com"));
        self.env
            .ok(&["enroll", name, "--code", &code, "--api-url", &self.sandbox.url]);
    }

    fn onboard(&self, name: &str, days: &str) {
        self.env.ok(&["onboard", name, "--as", "ops", "--days", days]);
    }

    /// Its token was made some days ago, for so many.
    fn onboard_aged(&self, name: &str, days: i64, ago: i64) {
        self.sandbox.clock_offset(-ago * DAY);
        self.onboard(name, &days.to_string());
        self.sandbox.clock_offset(0);
    }

    fn shown(&self, name: &str) -> Value {
        self.env.run(&["show", name, "--json"]).json()["credential"].clone()
    }

    /// In so many days, to the nearest, the token of a name ends.
    fn days_left(&self, name: &str) -> i64 {
        let end: jiff::Timestamp = self.shown(name)["token_expires_at"].as_str().unwrap().parse().unwrap();
        (end.as_second() - jiff::Timestamp::now().as_second() + DAY / 2).div_euclid(DAY)
    }

    fn token(&self, name: &str) -> String {
        self.shown(name)["token_id"].as_str().unwrap().to_owned()
    }

    fn active_accounts(&self) -> usize {
        let accounts = self.sandbox.accounts();
        accounts.iter().filter(|account| account["active"] == true).count()
    }

    fn rotate(&self, arguments: &[&str]) -> Run {
        self.env.run(&[&["rotate"], arguments].concat())
    }
}

#[test]
fn one_cron_line_renews_what_ends_and_rotates_what_is_old() {
    let scene = Scene::new();
    scene.onboard_aged("soon", 40, 35);
    scene.onboard("late", "100");
    let old = scene.token("soon");
    // A new key alone leaves the token to run into its end, and that is said loudly.
    scene
        .rotate(&["soon", "--grace", "0"])
        .fails(0, &["warning: the token of soon ends on", "--renew --as ADMIN"]);
    assert_eq!(scene.token("soon"), old);
    let cron = [
        "--all",
        "--older-than",
        "1d",
        "--expiring",
        "30d",
        "--as",
        "ops",
        "--grace",
        "0",
        "--no-input",
    ];
    let run = scene.rotate(&[&cron[..], &["--dry-run", "--json"]].concat());
    let changes = run.json()["changes"].clone();
    assert_eq!(changes.as_array().unwrap().len(), 1, "{run:?}");
    assert_eq!(
        (&changes[0]["name"], &changes[0]["change"]),
        (&json!("soon"), &json!("renew")),
        "{run:?}"
    );
    assert!(
        changes[0]["reason"].as_str().unwrap().contains("the token ends on 20"),
        "{run:?}"
    );
    assert_eq!(scene.token("soon"), old, "a dry run changes nothing");
    let late = scene.token("late");
    scene.rotate(&cron).fails(0, &[]);
    assert_ne!(scene.token("soon"), old);
    assert_eq!(scene.days_left("soon"), 40, "as long as the old one was made for");
    assert_eq!(scene.token("late"), late);
    assert_eq!(scene.active_accounts(), 2);
    scene.env.ok(&["verify", "soon"]);
    // Either selector suffices, and a key that is old alone keeps its token.
    let fingerprint = scene.shown("late")["fingerprint"].clone();
    scene
        .rotate(&[
            "--all",
            "--older-than",
            "0s",
            "--expiring",
            "30d",
            "--as",
            "ops",
            "--grace",
            "0",
        ])
        .fails(0, &[]);
    assert_ne!(scene.shown("late")["fingerprint"], fingerprint);
    assert_eq!(scene.token("late"), late);
    // And what neither selects is left alone.
    scene
        .rotate(&["--all", "--older-than", "1d", "--expiring", "3d", "--as", "ops"])
        .fails(0, &["Nothing is due"]);
}

#[test]
fn a_renewed_token_works_when_the_old_one_has_ended() {
    let scene = Scene::new();
    let permission = scene.sandbox.form(
        "/dashboard/permission",
        &[("name", "readers"), ("operations", "Wallets:Read")],
    );
    let permission = permission["permission_id"].as_str().unwrap().to_owned();
    scene.env.ok(&[
        "onboard",
        "a",
        "--as",
        "ops",
        "--days",
        "5",
        "--permission",
        &permission,
    ]);
    scene
        .rotate(&["a", "--renew", "--days", "300", "--as", "ops", "--grace", "0"])
        .fails(0, &[]);
    assert_eq!(scene.days_left("a"), 300);
    let accounts = scene.sandbox.accounts();
    let active: Vec<&Value> = accounts.iter().filter(|one| one["active"] == true).collect();
    assert_eq!((active.len(), &active[0]["permissions"]), (1, &json!(1)), "{active:?}");
    scene.sandbox.clock_offset(6 * DAY);
    scene.env.ok(&["call", "a", "GET", "/wallets"]);
    scene.sandbox.clock_offset(301 * DAY);
    let ended = scene.env.run(&["call", "a", "GET", "/wallets"]);
    assert!(
        ended.code == 5 && ended.stdout.contains("the token has expired"),
        "{ended:?}"
    );
}

#[test]
fn without_anybody_to_act_as_the_key_is_rotated_and_the_run_says_what_is_left() {
    let scene = Scene::new();
    scene.onboard_aged("a", 40, 35);
    let token = scene.token("a");
    for what in [&["--expiring", "30d"][..], &["--renew"]] {
        let key = scene.shown("a")["fingerprint"].clone();
        let run = scene.rotate(&[&["a", "--no-input", "--grace", "0"], what].concat());
        run.fails(
            7,
            &[
                "its token is the old one and ends on 20",
                "rotate a --renew --as ADMIN",
                "warning:",
            ],
        );
        assert_eq!(scene.token("a"), token);
        assert_ne!(scene.shown("a")["fingerprint"], key);
        assert_eq!(scene.shown("a")["state"], "active", "no rotation waits for a person");
    }
    // Where a person may come, the way is the dashboard's.
    scene
        .rotate(&["a", "--renew"])
        .fails(7, &["waits for the token of a new account"]);
    let row = scene.rotate(&["a", "--status", "--json"]).json()["credentials"][0].clone();
    assert_eq!(row["strategy"], "dashboard", "{row}");
    // And an administrator who comes after all takes over.
    scene
        .rotate(&["a", "--renew", "--as", "ops", "--grace", "0"])
        .fails(0, &[]);
    assert_ne!(scene.token("a"), token);
    scene
        .rotate(&["a", "--renew", "--strategy", "credential"])
        .fails(2, &["a second key keeps the token"]);
    scene.rotate(&["a", "--renew", "--days", "731"]).fails(2, &["731"]);
}

#[test]
fn a_personal_access_token_is_replaced_by_its_own_user_alone() {
    let scene = Scene::new();
    scene.enroll("other");
    scene
        .env
        .ok(&["onboard", "a", "--as", "ops", "--kind", "pat", "--days", "5"]);
    let token = scene.token("a");
    scene
        .rotate(&["a", "--renew", "--as", "other"])
        .fails(7, &["waits for the token of a new account"]);
    scene
        .rotate(&["a", "--renew", "--as", "other"])
        .fails(7, &["waits for the token"]);
    assert_eq!(scene.active_accounts(), 1);
    scene.rotate(&["a", "--rollback"]).fails(0, &[]);
    scene
        .rotate(&["a", "--strategy", "replace", "--as", "other"])
        .fails(3, &["is not known to be of this user"]);
    scene.rotate(&["a", "--rollback", "--as", "other"]).fails(0, &[]);
    scene
        .rotate(&["a", "--renew", "--as", "ops", "--grace", "0"])
        .fails(0, &[]);
    assert_ne!(scene.token("a"), token);
    assert_eq!(scene.active_accounts(), 1);
}

#[test]
fn what_leaked_is_replaced_with_its_token_and_refused_at_once() {
    let scene = Scene::new();
    for under_way in [false, true] {
        let name = if under_way { "b" } else { "a" };
        scene.onboard(name, "100");
        let token = scene.token(name);
        if under_way {
            scene.rotate(&[name]).fails(0, &["works too"]);
        }
        scene
            .rotate(&[name, "--compromised", "--as", "ops"])
            .fails(0, &["the old key is refused"]);
        let shown = scene.shown(name);
        assert_eq!(shown["state"], "active", "{shown}");
        assert_ne!(scene.token(name), token);
        let accounts = scene.sandbox.accounts();
        let old = accounts.iter().find(|one| one["token_id"] == token.as_str()).unwrap();
        assert_eq!(old["active"], false, "{old}");
        scene.env.ok(&["verify", name]);
    }
    scene.rotate(&["--all", "--compromised"]).fails(2, &["--compromised"]);
}

#[test]
fn a_check_of_a_token_that_ends_says_how_it_is_replaced() {
    let scene = Scene::new();
    scene.onboard("a", "5");
    let run = scene.env.run(&["verify", "a"]);
    assert!(
        format!("{}{}", run.stdout, run.stderr).contains("rotate NAME --renew"),
        "{run:?}"
    );
}

#[test]
fn the_requests_of_a_rotation_do_not_grow_with_the_number_of_accounts() {
    let scene = Scene::new();
    scene.onboard("a", "100");
    let requests = |arguments: &[&str]| {
        let before = scene.sandbox.calls().len();
        scene.rotate(arguments).fails(0, &[]);
        scene.sandbox.calls().len() - before
    };
    let round = || {
        [
            requests(&["a"]),
            requests(&["a", "--finish"]),
            requests(&["a", "--renew", "--as", "ops"]),
            requests(&["a", "--finish", "--as", "ops"]),
        ]
    };
    // Each log-in as the administrator is two of them.
    let few = round();
    assert_eq!(few, [6, 5, 8, 7]);
    for number in 0..20 {
        scene.onboard(&format!("n{number}"), "100");
    }
    let before = scene.sandbox.calls().len();
    assert_eq!(round(), few);
    let calls = scene.sandbox.calls().split_off(before);
    let lists = calls
        .iter()
        .filter(|call| call.starts_with("GET /auth/service-accounts "));
    assert_eq!(lists.count(), 0, "an account is asked for by its id: {calls:?}");
}

#[test]
fn a_run_without_anybody_leaves_a_rotation_to_the_person_whom_it_waits_for() {
    let scene = Scene::new();
    scene.onboard("a", "5");
    let token = scene.token("a");
    scene
        .rotate(&["a", "--renew"])
        .fails(7, &["waits for the token of a new account"]);
    // The person makes the account, and cron comes before its token.
    let opened = scene.env.open("a");
    let key = opened["rotation"]["next"]["public_key"].as_str().unwrap();
    let brought = scene.sandbox.create("by-hand", key);
    for cron in [
        &["--expiring", "30d"][..],
        &["--renew"],
        &["--older-than", "0s", "--expiring", "30d"],
    ] {
        let run = scene.rotate(&[&["--all", "--no-input"], cron].concat());
        assert!(
            run.code == 7 && run.stdout.contains("waits for the token of a new account"),
            "{run:?}"
        );
        assert_eq!(scene.token("a"), token);
    }
    scene.env.write("token", &brought);
    scene
        .rotate(&["a", "--token-file", "token", "--grace", "0", "--as", "ops"])
        .fails(0, &["the old key is refused"]);
    assert_ne!(scene.token("a"), token);
    assert_eq!(scene.active_accounts(), 1, "no account is left that nobody knows of");
}

#[test]
fn a_token_that_nothing_waits_for_is_refused() {
    let scene = Scene::new();
    scene.onboard("a", "100");
    let key = scene.env.ok(&["generate", "--plaintext", "--private-key", "k"]);
    let token = scene.sandbox.create("by-hand", &key);
    scene.env.write("token", &token);
    let words = [
        "no rotation of a waits for a token",
        "deactivate the account that it belongs to",
    ];
    let fingerprint = scene.shown("a")["fingerprint"].clone();
    scene.rotate(&["a", "--token-file", "token"]).fails(3, &words);
    assert_eq!(scene.shown("a")["fingerprint"], fingerprint);
    assert_eq!(scene.shown("a")["state"], "active");
    scene.rotate(&["a"]).fails(0, &["works too"]);
    scene
        .rotate(&["a", "--token-file", "token", "--grace", "0"])
        .fails(3, &words);
    assert_eq!(scene.shown("a")["state"], "retiring");
}

#[test]
fn a_run_that_can_bring_no_token_makes_one_key_for_it_and_not_one_an_hour() {
    let scene = Scene::new();
    scene.onboard_aged("a", 40, 35);
    let cron = ["--all", "--expiring", "30d", "--grace", "0", "--no-input"];
    let key = || scene.shown("a")["fingerprint"].clone();
    let dry = || scene.rotate(&[&cron[..], &["--dry-run", "--json"]].concat()).json()["changes"][0].clone();
    let planned = dry();
    assert_eq!(
        (&planned["change"], &planned["needs"]),
        (&json!("rotate"), &json!("--as ADMIN")),
        "{planned}"
    );
    let old = key();
    let run = scene.rotate(&cron);
    assert!(
        run.code == 7 && run.stdout.contains("a has a new key, and its token is the old one"),
        "{run:?}"
    );
    let new = key();
    assert_ne!(new, old);
    for _ in 0..2 {
        let run = scene.rotate(&cron);
        assert!(
            run.code == 7 && run.stdout.contains("a  the token of a ends on 20") && !run.stdout.contains("new key"),
            "{run:?}"
        );
        assert_eq!(key(), new, "it has a new key for this already");
    }
    let planned = dry();
    assert_eq!(planned["change"], "blocked", "{planned}");
    let run = scene.rotate(&[&cron[..], &["--dry-run"]].concat());
    assert!(run.stdout.contains("blocked     a  the token ends on 20"), "{run:?}");
    // Where the key itself is due, it is replaced.
    scene
        .rotate(&[&cron[..], &["--older-than", "0s"]].concat())
        .fails(7, &[]);
    assert_ne!(key(), new);
    scene.rotate(&[&cron[..], &["--as", "ops"]].concat()).fails(0, &[]);
    assert_eq!(scene.days_left("a"), 40);
}

#[test]
fn a_token_that_was_made_for_a_short_time_is_renewed_in_its_last_half() {
    let scene = Scene::new();
    scene.onboard_aged("young", 20, 8);
    scene.onboard_aged("old", 20, 12);
    let (young, old) = (scene.token("young"), scene.token("old"));
    let cron = [
        "--all",
        "--expiring",
        "30d",
        "--as",
        "ops",
        "--grace",
        "0",
        "--no-input",
    ];
    scene.rotate(&cron).fails(0, &[]);
    assert_eq!(scene.token("young"), young);
    assert_ne!(scene.token("old"), old);
    assert_eq!(scene.days_left("old"), 20);
    let calls = scene.sandbox.calls().len();
    scene.rotate(&cron).fails(0, &["Nothing is due"]);
    assert_eq!(scene.sandbox.calls().len(), calls);
}

#[test]
fn the_administrator_of_the_context_renews_tokens_too() {
    let scene = Scene::new();
    scene.onboard_aged("a", 40, 35);
    let token = scene.token("a");
    let vault = scene.env.vault().display().to_string();
    scene.env.ok(&[
        "context",
        "set",
        "work",
        "--vault",
        &vault,
        "--identity",
        "identity.txt",
        "--as",
        "ops",
    ]);
    scene
        .rotate(&[
            "--all",
            "--expiring",
            "30d",
            "--grace",
            "0",
            "--no-input",
            "--context",
            "work",
        ])
        .fails(0, &[]);
    assert_ne!(scene.token("a"), token);
}
