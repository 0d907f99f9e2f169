//! `plan` and `apply`: the credentials of an organisation as a reviewed file has them, through the real program.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use serde_json::{Value, json};
use support::{Run, Sandbox, TestEnv};

const DAY: i64 = 24 * 60 * 60;

struct Scene {
    env: TestEnv,
    sandbox: Sandbox,
}

impl Scene {
    /// With an enrolled user, and the permissions Readers and Writers.
    fn new() -> Self {
        Self::with(Sandbox::start())
    }

    fn with(sandbox: Sandbox) -> Self {
        let env = TestEnv::with_vault();
        enroll(&env, &sandbox);
        for name in ["Readers", "Writers"] {
            let fields = [("name", name), ("operations", "Wallets:Read")];
            sandbox.form("/dashboard/permission", &fields);
        }
        Self { env, sandbox }
    }

    fn file(&self, text: &str) {
        self.env.write("dfns-keys.toml", text);
    }

    fn plan(&self, arguments: &[&str]) -> Run {
        self.env.run(&[&["plan"], arguments].concat())
    }

    fn apply(&self, arguments: &[&str]) -> Run {
        self.env.run(&[&["apply", "--yes"], arguments].concat())
    }

    /// Applies what must succeed.
    #[track_caller]
    fn applied(&self, arguments: &[&str]) -> Run {
        let run = self.apply(arguments);
        assert_eq!(run.code, 0, "{run:?}");
        run
    }

    /// What is planned: `CHANGE NAME`, a text each.
    #[track_caller]
    fn planned(&self, arguments: &[&str]) -> Vec<String> {
        let run = self.plan(&[&["--json"], arguments].concat());
        assert_eq!(run.code, 0, "{run:?}");
        changes(&run.json())
    }

    fn state_changing_calls(&self) -> Vec<String> {
        changing(&self.sandbox.calls())
    }

    /// The one account of this name that Dfns accepts.
    #[track_caller]
    fn account(&self, name: &str) -> Value {
        let all = self.sandbox.accounts();
        let is_it = |account: &&Value| account["name"] == name && account["active"] == true;
        let found: Vec<&Value> = all.iter().filter(is_it).collect();
        assert_eq!(found.len(), 1, "{name}: {all:?}");
        found[0].clone()
    }

    fn assign(&self, name: &str, permission: &str) {
        let listed = self.env.run(&["account", "permissions", "--json"]).json();
        let listed = listed["permissions"].as_array().unwrap().clone();
        let id = listed.iter().find(|one| one["name"] == permission).unwrap()["id"].clone();
        let account = self.account(name);
        let fields = [
            ("token_id", account["token_id"].as_str().unwrap()),
            ("permission_id", id.as_str().unwrap()),
        ];
        self.sandbox.form("/dashboard/assign", &fields);
    }

    fn switch(&self, name: &str) {
        let all = self.sandbox.accounts();
        let account = all.iter().find(|account| account["name"] == name).unwrap();
        let fields = [("token_id", account["token_id"].as_str().unwrap())];
        self.sandbox.form("/dashboard/switch", &fields);
    }
}

fn enroll(env: &TestEnv, sandbox: &Sandbox) {
    let code = sandbox.code("ops@example.com");
    env.ok(&["enroll", "ops", "--code", &code, "--api-url", &sandbox.url]);
}

/// A text whose lines were broken for a window.
fn in_a_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn changes(document: &Value) -> Vec<String> {
    let all = document["changes"].as_array().unwrap_or_else(|| panic!("{document}"));
    let words = all.iter().map(|change| {
        let text = |field: &str| change[field].as_str().unwrap_or_default().to_owned();
        format!("{} {}", text("change"), text("name"))
    });
    words.collect()
}

/// Those that change something at Dfns; what signs and logs in does not.
fn changing(calls: &[String]) -> Vec<String> {
    let is_one =
        |call: &&String| !call.starts_with("GET ") && !call.contains(" /auth/action") && !call.contains(" /auth/login");
    calls.iter().filter(is_one).cloned().collect()
}

#[test]
fn a_file_is_planned_without_a_change_and_applied_once() {
    let scene = Scene::new();
    scene.file(
        "fleet = 'f'\n[defaults]\ndays = 90\npermissions = ['Readers']\nrotate_every = '90d'\nrenew_before = '30d'\n\
         [account.payments-api]\npermissions = ['Readers', 'Writers']\n[account.reports]\nkind = 'pat'\n",
    );
    let before = scene.state_changing_calls();
    let run = scene.plan(&[]);
    assert_eq!(run.code, 0, "{run:?}");
    for words in [
        "create      payments-api  a new service account, its token for 90 days,",
        "create      reports       a new personal access token, its token for 90",
        "2 changes: 2 create. As written: 0 of 2 credentials.",
    ] {
        assert!(run.stdout.contains(words), "`{words}`: {run:?}");
    }
    assert_eq!(scene.state_changing_calls(), before, "plan only logs in and reads");
    scene.plan(&["--check"]).fails(8, &["2 changes are to be made"]);
    let run = scene.applied(&["--json"]);
    let document = run.json();
    assert_eq!(changes(&document), ["create payments-api", "create reports"]);
    assert_eq!(document["changes"][1]["outcome"], "done");
    assert_eq!(scene.account("payments-api")["permissions"], 2);
    assert_eq!(scene.account("reports")["kind"], "Pat");
    assert_eq!(
        scene.env.open("reports")["public"]["upkeep"],
        json!({"fleet": "f", "rotate_every": "90d", "renew_before": "30d"})
    );
    let (before, calls) = (scene.state_changing_calls(), scene.sandbox.calls().len());
    let run = scene.applied(&[]);
    assert!(
        run.stdout
            .contains("Nothing to do: all 2 credentials of the file are as written."),
        "{run:?}"
    );
    assert_eq!(scene.state_changing_calls(), before);
    // Login, each kind once, the permissions once, and each account's own keys.
    assert_eq!(
        scene.sandbox.calls().len() - calls,
        2 + 2 + 1 + 2,
        "{:?}",
        scene.sandbox.calls()
    );
    scene.plan(&["--check"]).fails(0, &[]);
}

#[test]
fn nobody_to_confirm_is_exit_2_before_anything_is_asked() {
    let scene = Scene::new();
    scene.file("[account.a]\n");
    let calls = scene.sandbox.calls().len();
    scene
        .env
        .run(&["apply"])
        .fails(2, &["no terminal to confirm on", "--yes"]);
    assert_eq!(scene.sandbox.calls().len(), calls);
}

#[cfg(unix)]
#[test]
fn no_at_the_terminal_is_exit_1_and_nothing_happened() {
    let scene = Scene::new();
    scene.file("[account.a]\n");
    let before = scene.state_changing_calls();
    let mut session = support::terminal::on_terminal(&scene.env.asking(&["apply"]));
    session.exp_string("Make this change? [y/N]").unwrap();
    session.send_line("n").unwrap();
    support::terminal::ends(session, 1);
    assert_eq!(scene.state_changing_calls(), before);
    assert!(!scene.env.lists("a"));
}

#[test]
fn what_others_changed_at_dfns_is_found_and_put_right() {
    let scene = Scene::new();
    let names = ["granted", "taken", "switched", "deleted", "renamed", "second"];
    let accounts = names.map(|name| format!("[account.{name}]\n")).concat();
    scene.file(&format!("[defaults]\npermissions = ['Readers']\n{accounts}"));
    scene.applied(&[]);
    scene.assign("granted", "Writers");
    let taken = scene.account("taken");
    scene.switch("switched");
    let id = |name: &str| scene.account(name)["user_id"].as_str().unwrap().to_owned();
    scene.env.ok(&["account", "delete", "deleted", "--yes"]);
    // A user of the same organisation, by another program.
    let renamed = format!("/auth/service-accounts/{}", id("renamed"));
    scene.permit_all("granted");
    scene
        .env
        .ok(&["call", "granted", "PUT", &renamed, "--data", r#"{"name":"somebody"}"#]);
    let assignment = scene.assignment_of(&taken);
    scene.env.ok(&["call", "granted", "DELETE", &assignment]);
    let second = scene.account("second");
    let public = scene.env.ok(&[
        "generate",
        "--public-key",
        "second.pem",
        "--private-key",
        "second.age",
        "--plaintext",
    ]);
    drop(public);
    let pem = std::fs::read_to_string(scene.env.path("second.pem")).unwrap();
    let fields = [("token_id", second["token_id"].as_str().unwrap()), ("public_key", &pem)];
    scene.sandbox.form("/dashboard/add-key", &fields);
    let run = scene.plan(&["--json"]);
    let document = run.json();
    assert_eq!(
        changes(&document),
        [
            "revoke granted",
            "revoke granted",
            "grant taken",
            "activate switched",
            "blocked deleted",
            "none renamed",
            "blocked second"
        ],
        "{document}"
    );
    let reason = |at: usize| document["changes"][at]["reason"].as_str().unwrap().to_owned();
    assert!(
        reason(0).contains("Writers: ") || reason(1).contains("Writers: "),
        "{document}"
    );
    assert!(reason(5).contains("somebody"), "{document}");
    scene.plan(&["--check"]).fails(8, &[]);
    let run = scene.apply(&["--json"]);
    assert_eq!(run.code, 7, "two wait for somebody: {run:?}");
    let document = run.json();
    let outcomes: Vec<&str> = document["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(
        outcomes,
        ["done", "done", "done", "done", "blocked", "none", "blocked"],
        "{document}"
    );
    assert_eq!(
        scene.planned(&[]),
        ["blocked deleted", "none renamed", "blocked second"]
    );
    for name in ["granted", "taken", "switched"] {
        assert_eq!(scene.account(name)["permissions"], 1, "{name}");
    }
}

impl Scene {
    /// Lets an account do what these tests do behind the program's back.
    fn permit_all(&self, name: &str) {
        let operations = "Auth:ServiceAccounts:Update,Auth:ServiceAccounts:Read,Permissions:Revoke,Permissions:Read";
        let fields = [("name", "Everything"), ("operations", operations)];
        self.sandbox.form("/dashboard/permission", &fields);
        self.assign(name, "Everything");
    }

    /// Where the one permission of an account is taken away.
    fn assignment_of(&self, account: &Value) -> String {
        let path = format!("/auth/service-accounts/{}", account["user_id"].as_str().unwrap());
        let shown: Value = serde_json::from_str(&self.env.ok(&["call", "granted", "GET", &path])).unwrap();
        let one = &shown["userInfo"]["permissionAssignments"][0];
        let text = |field: &str| one[field].as_str().unwrap().to_owned();
        format!(
            "/permissions/{}/assignments/{}",
            text("permissionId"),
            text("assignmentId")
        )
    }
}

#[test]
fn keys_are_rotated_and_tokens_renewed_when_the_file_says_so() {
    let scene = Scene::new();
    // As of 100 days ago; what is asked for 120 days ends in 20.
    scene.file("[account.old]\ndays = 700\n[account.ending]\ndays = 20\n[account.young]\ndays = 700\n");
    scene.applied(&[]);
    scene.env.reseal("old", |sealed| {
        let then = jiff::Timestamp::now().as_second() - 100 * DAY;
        sealed["public"]["created_at"] = json!(jiff::Timestamp::from_second(then).unwrap());
    });
    scene.file(
        "[defaults]\nrotate_every = '90d'\nrenew_before = '15d'\ngrace = '24h'\n[account.old]\ndays = 700\n\
         [account.ending]\ndays = 700\nrenew_before = '19d'\n[account.young]\ndays = 700\n",
    );
    let planned = scene.planned(&[]);
    assert!(planned.contains(&"rotate old".to_owned()), "{planned:?}");
    assert!(!planned.contains(&"rotate young".to_owned()), "{planned:?}");
    let run = scene.plan(&[]);
    assert!(
        run.stdout.contains("its key is 100 days old (rotate_every 90d)"),
        "{run:?}"
    );
    scene.applied(&[]);
    let state = |name: &str| scene.env.open(name)["public"]["state"].as_str().unwrap().to_owned();
    assert_eq!((state("old").as_str(), state("young").as_str()), ("retiring", "active"));
    let before = scene.state_changing_calls();
    let run = scene.applied(&[]);
    assert!(run.stdout.contains("its old key works until"), "{run:?}");
    assert_eq!(scene.state_changing_calls(), before);
    // The grace of the file counts, also for what was begun with another.
    scene.file("[account.old]\ngrace = '0'\n[account.ending]\n[account.young]\n");
    assert!(scene.planned(&[]).contains(&"retire old".to_owned()));
    scene.applied(&[]);
    assert_eq!(state("old"), "active");
    assert_eq!(scene.planned(&[]), [""; 0]);
}

#[test]
fn a_token_is_renewed_so_long_before_its_end_as_the_file_says_and_status_tells_by_it() {
    let scene = Scene::new();
    scene.file("[account.a]\ndays = 40\npermissions = ['Readers']\n");
    scene.sandbox.clock_offset(-30 * DAY);
    scene.applied(&[]);
    scene.sandbox.clock_offset(0);
    scene.file("[account.a]\ndays = 40\npermissions = ['Readers']\nrenew_before = '5d'\ngrace = '0'\n");
    assert_eq!(scene.planned(&[]), ["none a"], "it is noted, and nothing is due");
    scene.applied(&[]);
    let attention = |arguments: &[&str]| {
        let run = scene.env.run(&[&["status", "a", "--json"], arguments].concat()).json();
        let all = run["credentials"][0]["attention"].as_array().unwrap().clone();
        all.iter()
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(attention(&[]), [""; 0]);
    assert_eq!(
        attention(&["--expiring", "30d"]),
        ["token_expiring"],
        "what is asked for counts"
    );
    scene.file("[account.a]\ndays = 40\npermissions = ['Readers']\nrenew_before = '15d'\ngrace = '0'\n");
    assert_eq!(scene.planned(&[]), ["none a", "renew a"]);
    scene.applied(&[]);
    assert_eq!(scene.planned(&[]), [""; 0]);
    let accounts = scene.sandbox.accounts();
    let active: Vec<&Value> = accounts.iter().filter(|account| account["active"] == true).collect();
    assert_eq!(
        (active.len(), &active[0]["permissions"]),
        (1, &json!(1)),
        "{accounts:?}"
    );
    assert_eq!(attention(&[]), [""; 0]);
}

#[test]
fn an_old_key_needs_somebody_by_what_the_file_says() {
    let scene = Scene::new();
    scene.file("[account.a]\nrotate_every = '90d'\n");
    scene.applied(&[]);
    scene.env.reseal("a", |sealed| {
        let then = jiff::Timestamp::now().as_second() - 100 * DAY;
        sealed["public"]["created_at"] = json!(jiff::Timestamp::from_second(then).unwrap());
    });
    let run = scene.env.run(&["status", "--check"]);
    run.fails(8, &[]);
    assert!(run.stdout.contains("key"), "{run:?}");
    assert!(run.stdout.contains('a'), "{run:?}");
    let run = scene.env.run(&["status", "--check", "--older-than", "200d"]);
    assert_eq!(run.code, 0, "what is asked for counts: {run:?}");
}

#[test]
fn an_account_of_somebody_elses_is_never_made_twice_and_never_touched() {
    let scene = Scene::new();
    let public = scene
        .env
        .ok(&["onboard", "x", "--prepare", "--api-url", &scene.sandbox.url]);
    scene.sandbox.create("theirs", &public);
    scene.env.ok(&["remove", "x", "--force", "--yes"]);
    scene.file("[account.theirs]\n[account.ours]\n");
    let run = scene.plan(&[]);
    assert!(run.stdout.contains("blocked     theirs"), "{run:?}");
    assert!(run.stdout.contains("import it"), "{run:?}");
    scene.apply(&[]).fails(7, &[]);
    assert_eq!(scene.sandbox.accounts().len(), 2);
    scene.file("[account.ours]\n");
    assert_eq!(scene.planned(&[]), ["unmanaged theirs"]);
    scene.plan(&["--check"]).fails(0, &[]);
    scene.applied(&[]);
    assert_eq!(scene.account("theirs")["active"], true);
}

#[test]
fn what_a_fleet_made_and_its_file_names_no_more_is_deactivated_by_prune_alone() {
    let scene = Scene::new();
    scene.env.onboard(&scene.sandbox, "by-hand");
    scene.file("fleet = 'f'\n[account.stays]\n[account.goes]\n");
    scene.applied(&[]);
    scene.file("fleet = 'f'\n[account.stays]\n");
    assert_eq!(scene.planned(&[]), ["none goes"]);
    scene.plan(&["--check"]).fails(0, &[]);
    scene.applied(&[]);
    scene.account("goes");
    assert_eq!(scene.planned(&["--prune"]), ["deactivate goes"]);
    scene.plan(&["--prune", "--check"]).fails(8, &[]);
    scene.applied(&["--prune"]);
    let active = |name: &str| {
        let all = scene.sandbox.accounts();
        all.iter()
            .any(|account| account["name"] == name && account["active"] == true)
    };
    assert!(!active("goes") && active("stays") && active("by-hand"));
    let before = scene.state_changing_calls();
    scene.applied(&["--prune"]);
    assert_eq!(scene.state_changing_calls(), before);
    // It comes back when the file names it again.
    scene.file("fleet = 'f'\n[account.stays]\n[account.goes]\n");
    assert_eq!(scene.planned(&[]), ["activate goes"]);
    scene.applied(&[]);
    scene.account("goes");
    scene.file("[account.stays]\n");
    scene.apply(&["--prune"]).fails(2, &["--prune", "fleet = \"NAME\""]);
}

#[test]
fn two_fleets_in_one_vault_leave_each_other_alone() {
    let scene = Scene::new();
    scene.env.write("one.toml", "fleet = 'one'\n[account.a]\n");
    scene.env.write("two.toml", "fleet = 'two'\n[account.b]\n");
    scene.applied(&["one.toml", "--prune"]);
    scene.applied(&["two.toml", "--prune"]);
    assert_eq!(scene.planned(&["one.toml", "--prune"]), [""; 0]);
    assert_eq!(scene.planned(&["two.toml", "--prune"]), [""; 0]);
    scene.env.write("two.toml", "fleet = 'two'\n[account.a]\n[account.b]\n");
    let run = scene.apply(&["two.toml"]);
    run.fails(7, &[]);
    assert!(run.stdout.contains("it is the fleet one's"), "{run:?}");
}

#[test]
fn two_vaults_in_one_organisation_make_each_account_once() {
    let scene = Scene::new();
    let other = TestEnv::with_vault();
    enroll(&other, &scene.sandbox);
    for env in [&scene.env, &other] {
        env.write("dfns-keys.toml", "[account.a]\n[account.b]\n[account.c]\n");
    }
    std::thread::scope(|scope| {
        for env in [&scene.env, &other] {
            scope.spawn(move || env.run(&["apply", "--yes"]));
        }
    });
    let accounts = scene.sandbox.accounts();
    let active = accounts.iter().filter(|account| account["active"] == true);
    let mut names: Vec<&str> = active.map(|account| account["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "b", "c"], "{accounts:?}");
    let has = |env: &TestEnv, name: &str| env.lists(name);
    for name in ["a", "b", "c"] {
        assert!(has(&scene.env, name) ^ has(&other, name), "{name}");
    }
    for env in [&scene.env, &other] {
        let run = env.run(&["plan", "--json"]);
        let blocked = changes(&run.json());
        assert!(
            blocked.iter().all(|change| change.starts_with("blocked ")),
            "{blocked:?}"
        );
    }
}

#[cfg(unix)]
#[test]
fn places_are_named_delivered_to_and_forgotten_as_the_file_says() {
    let scene = Scene::new();
    support::places::plugins(&scene.env, &["one", "two"]);
    scene.file("[account.a]\ndeliver = ['plugin:one']\n");
    assert_eq!(scene.planned(&[]), ["create a", "deliver a"]);
    scene.applied(&[]);
    let first = support::places::key_at(&scene.env, "one").unwrap();
    assert_eq!(scene.planned(&[]), [""; 0]);
    scene.file("[account.a]\ndeliver = ['plugin:two']\n");
    let run = scene.plan(&[]);
    assert!(run.stdout.contains("forget      a"), "{run:?}");
    assert!(run.stdout.contains("what it has stays"), "{run:?}");
    scene.applied(&[]);
    assert_eq!(support::places::key_at(&scene.env, "two"), Some(first));
    // Left out, the places are nobody's business.
    scene.file("[account.a]\n");
    assert_eq!(scene.planned(&[]), [""; 0]);
    scene.file("[account.a]\ndeliver = ['plugin:two']\n[account.b]\ndeliver = ['plugin:one']\n");
    scene.env.write("mood-one", "refuse\n");
    let run = scene.apply(&["--json"]);
    assert_eq!(run.code, 7, "{run:?}");
    let document = run.json();
    assert_eq!(document["changes"][1]["outcome"], "waiting", "{document}");
    assert_eq!(scene.planned(&[]), ["deliver b"]);
    std::fs::remove_file(scene.env.path("mood-one")).unwrap();
    scene.applied(&[]);
    // What another has is not taken from it.
    scene.file("[account.c]\ndeliver = ['plugin:one']\n");
    assert_eq!(scene.planned(&[]), ["create c", "blocked c"]);
}

#[cfg(unix)]
#[test]
fn a_file_that_names_no_machine_is_where_it_was_first_put_and_its_program_is_the_files() {
    let scene = Scene::new();
    let path = scene.env.path("a.env");
    let target = format!("file:{}", path.display());
    scene.file(&format!(
        "[account.a]\ndeliver = [{{ to = '{target}', then = ['sh', '-c', 'exit 0'] }}]\n"
    ));
    scene.applied(&[]);
    assert!(path.exists());
    assert_eq!(scene.planned(&[]), [""; 0]);
    scene.file(&format!(
        "[account.a]\ndeliver = [{{ to = '{target}', then = ['sh', '-c', 'exit 1'] }}]\n"
    ));
    assert_eq!(scene.planned(&[]), ["deliver a"]);
    scene.apply(&[]).fails(7, &[]);
    scene.file(&format!("[account.a]\ndeliver = ['{target}&host=elsewhere']\n").replace("&host", "?host"));
    assert_eq!(scene.planned(&[]), ["forget a", "deliver a"]);
    scene.apply(&[]).fails(7, &["it is on elsewhere"]);
}

#[test]
fn each_error_of_the_file_is_told_with_its_place_before_anything_is_unlocked() {
    let scene = Scene::new();
    scene.file("flet = 'x'\n[account.a]\npermisions = []\ndays = 900\nkey = 'pkcs11:token=T'\n");
    let calls = scene.sandbox.calls().len();
    for command in ["plan", "apply"] {
        let run = Run::of(scene.env.command(&[command, "--yes"]).env("COLUMNS", "120"));
        run.fails(
            2,
            &[
                "dfns-keys.toml has 4 errors",
                "dfns-keys.toml:1:1: there is no field `flet` here; did you mean `fleet`?",
                "dfns-keys.toml:3:1: there is no field `permisions` here; did you mean `permissions`?",
                "dfns-keys.toml:4:8: a token lives from 1 to 730 days",
                "dfns-keys.toml:5:1: `key` is not taken here",
            ],
        );
    }
    let document = scene.plan(&["--json"]).json();
    assert_eq!(document["problems"][1]["line"], 3, "{document}");
    assert_eq!(scene.sandbox.calls().len(), calls);
    scene.file("[account.a]\npermissions = ['Readrs', 'Readers']\n[account.b]\npermissions = ['Nothing']\n");
    Run::of(scene.env.command(&["plan"]).env("COLUMNS", "120")).fails(
        2,
        &[
            "dfns-keys.toml:2:16: Dfns has no permission `Readrs`; did you mean `Readers`?",
            "dfns-keys.toml:4:16: Dfns has no permission `Nothing`",
        ],
    );
    std::fs::remove_file(scene.env.path("dfns-keys.toml")).unwrap();
    scene.plan(&[]).fails(2, &["there is no dfns-keys.toml here"]);
}

#[test]
fn offline_the_vault_alone_is_asked() {
    let scene = Scene::new();
    scene.file("[account.a]\n");
    scene.applied(&[]);
    scene.file("[account.a]\npermissions = ['Whatever']\n[account.b]\n");
    let calls = scene.sandbox.calls().len();
    assert_eq!(scene.planned(&["--offline"]), ["create b"]);
    assert_eq!(scene.sandbox.calls().len(), calls);
}

#[test]
fn a_credential_that_is_something_else_is_left_alone() {
    let scene = Scene::new();
    scene.env.onboard(&scene.sandbox, "account");
    scene.env.prepare(&scene.sandbox, "prepared");
    scene.file("[account.account]\nkind = 'pat'\n[account.ops]\n[account.prepared]\n");
    let run = scene.plan(&[]);
    for words in [
        "it is a service account, and the file wants a personal access token",
        "it is a user, and the file wants a service account",
        "it was begun for the dashboard",
    ] {
        assert!(in_a_line(&run.stdout).contains(words), "`{words}`: {run:?}");
    }
    let before = scene.state_changing_calls();
    scene.apply(&[]).fails(7, &[]);
    assert_eq!(scene.state_changing_calls(), before);
}

#[test]
fn the_list_fits_its_window() {
    let scene = Scene::new();
    scene.file("[account.a-name-that-is-long-and-longer]\npermissions = ['Readers', 'Writers']\n[account.b]\n");
    for columns in [60, 80, 200] {
        let mut command = scene.env.command(&["plan"]);
        let run = Run::of(command.env("COLUMNS", columns.to_string()));
        assert_eq!(run.code, 0, "{run:?}");
        let longest = run.stdout.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(
            longest <= columns || run.stdout.lines().count() == 6,
            "{columns}: {run:?}"
        );
    }
}

/// A file of so many, applied by two processes at once, that are killed at random, against a Dfns that loses answers; then the figures.
#[cfg(unix)]
fn a_fleet_of(count: usize, kills: usize) -> String {
    let scene = Scene::new();
    scene.env.onboard(&scene.sandbox, "by-hand");
    let entries: Vec<String> = (0..count).map(|number| format!("[account.n{number}]\n")).collect();
    scene.file(&format!(
        "fleet = 'f'\n[defaults]\npermissions = ['Readers']\n{}",
        entries.concat()
    ));
    for (fault, path, every) in [
        ("close_after", Some("/auth/service-accounts"), 7),
        ("truncate", None, 23),
        ("close_before", None, 31),
    ] {
        let mut fault = json!({"fault": fault, "method": "POST", "every": every, "times": count / 4});
        if let Some(path) = path {
            fault["path"] = path.into();
        }
        scene.sandbox.fault(&fault);
    }
    let mut number = 0x9E37_79B9_u64;
    let mut random = |below: u64| {
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        number % below
    };
    // With no program between that the signal would end in its place.
    let start = || {
        let mut command = scene
            .env
            .asking(&["apply", "--yes", "--quiet", "--no-input", "--timeout", "5s"]);
        command
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        command.spawn().unwrap()
    };
    for _ in 0..kills {
        let (mut one, mut other) = (start(), start());
        std::thread::sleep(std::time::Duration::from_millis(50 + random(20 * count as u64 + 300)));
        let _ = (one.kill(), other.kill());
        let _ = (one.wait(), other.wait());
    }
    scene.sandbox.clear_faults();
    let mut runs = 0;
    loop {
        let (mut one, mut other) = (start(), start());
        let codes = (one.wait().unwrap().code(), other.wait().unwrap().code());
        runs += 1;
        if codes == (Some(0), Some(0)) {
            break;
        }
        assert!(runs < 12, "{codes:?}: {:?}", scene.apply(&["--json"]));
    }
    let before = scene.sandbox.calls().len();
    let run = scene.applied(&[]);
    let requests = scene.sandbox.calls().len() - before;
    assert!(run.stdout.contains("Nothing to do: all"), "{run:?}");
    assert!(changing(&scene.sandbox.calls()[before..]).is_empty());
    let accounts = scene.sandbox.accounts();
    let active: Vec<&Value> = accounts.iter().filter(|account| account["active"] == true).collect();
    assert_eq!(active.len(), count + 1, "each once, and what was there before");
    let keys: std::collections::BTreeSet<String> = (0..count)
        .map(|number| {
            scene.env.open(&format!("n{number}"))["public"]["public_key"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let ours = active
        .iter()
        .filter(|account| keys.contains(account["keys"][0].as_str().unwrap()));
    let ours: Vec<&&Value> = ours.collect();
    assert_eq!(ours.len(), count);
    assert!(ours.iter().all(|account| account["permissions"] == 1), "{ours:?}");
    format!(
        "{count} credentials, {kills} pairs of runs killed, {runs} pairs until all was as written, {} requests in all, {requests} for a run that finds nothing to do",
        scene.sandbox.calls().len()
    )
}

#[cfg(unix)]
#[test]
fn two_runs_at_once_that_are_killed_leave_exactly_what_is_written() {
    a_fleet_of(12, 2);
}

/// `make campaign`.
#[cfg(unix)]
#[test]
#[ignore = "minutes"]
#[expect(clippy::print_stdout, reason = "a campaign prints its figures")]
fn two_hundred_by_two_runs_at_once_that_are_killed_are_exactly_as_written() {
    println!("{}", a_fleet_of(200, 6));
}
