//! The accounts at Dfns beside the vault's names: one row for what is one, and what each may do.
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
    /// With an enrolled administrator.
    fn new(doctrine: &str) -> Self {
        let scene = Self {
            env: TestEnv::with_vault(),
            sandbox: Sandbox::start_with(&["--rotation", doctrine]),
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

    fn account(&self, arguments: &[&str]) -> Run {
        self.env.run(&[&["account"], arguments].concat())
    }

    /// The rows of `account list`, without the administrator's.
    fn rows(&self) -> Vec<Value> {
        let run = self.account(&["list", "--json"]);
        assert_eq!(run.code, 0, "{run:?}");
        run.json()["accounts"].as_array().unwrap().clone()
    }
}

#[test]
fn the_permissions_of_the_organisation_and_of_one_account_are_listed() {
    let scene = Scene::new("guide");
    let (readers, writers) = (scene.permission("Readers"), scene.permission("Writers"));
    scene
        .env
        .ok(&["onboard", "a", "--as", "ops", "--permission", "Readers"]);
    let run = scene.account(&["permissions", "--json"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(
        run.json()["permissions"],
        json!([{"id": readers, "name": "Readers"}, {"id": writers, "name": "Writers"}])
    );
    let shown = scene.account(&["permissions"]).stdout;
    for words in [&readers, &writers, "Readers", "Writers"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let id = scene.rows()[0]["identity_id"].as_str().unwrap().to_owned();
    for account in ["a", &id] {
        let document = scene.account(&["permissions", account, "--json"]).json();
        assert_eq!(document["permissions"], json!([{"id": readers, "name": "Readers"}]));
        assert_eq!(document["account"], "a", "{document}");
        let shown = scene.account(&["permissions", account]).stdout;
        assert!(shown.contains("Readers") && !shown.contains("Writers"), "{shown}");
    }
    scene.env.ok(&["onboard", "b", "--as", "ops"]);
    scene.account(&["permissions", "b"]).fails(0, &["b has no permissions"]);
    scene
        .account(&["permissions", "nobody"])
        .fails(3, &["no account `nobody`"]);
}

/// Whoever may see the accounts and not the permissions is told the ids.
#[test]
fn permissions_without_a_name_are_shown_by_their_id() {
    let scene = Scene::new("guide");
    let readers = scene.permission("Readers");
    scene.env.ok(&["onboard", "a", "--as", "ops", "--permission", &readers]);
    scene
        .sandbox
        .fault(&json!({"fault": "status", "status": 403, "path": "/permissions", "times": 9}));
    let document = scene.account(&["permissions", "a", "--json"]).json();
    assert_eq!(document["permissions"], json!([{"id": readers, "name": null}]));
    let run = scene.account(&["permissions", "a"]);
    assert!(run.stdout.contains(&readers) && !run.stdout.contains("null"), "{run:?}");
    scene.account(&["permissions"]).fails(5, &["listing the permissions"]);
}

#[test]
fn what_an_account_lacks_is_not_shown_as_null() {
    let scene = Scene::new("guide");
    let readers = scene.permission("Readers");
    scene.env.ok(&["onboard", "a", "--as", "ops", "--permission", &readers]);
    scene
        .env
        .ok(&["onboard", "local", "--prepare", "--api-url", &scene.sandbox.url]);
    let a = scene.account(&["show", "a"]).stdout;
    assert!(a.contains(&readers) && !a.contains('['), "{a}");
    std::fs::remove_file(scene.env.credential_file("a")).unwrap();
    for account in ["a", "local"] {
        let run = scene.account(&["show", account]);
        assert_eq!(run.code, 0, "{run:?}");
        assert!(!run.stdout.contains("null") && run.stdout.contains('–'), "{run:?}");
    }
}

/// The account that was replaced keeps its name at Dfns.
#[test]
fn the_vaults_name_means_the_account_that_the_vault_uses() {
    let scene = Scene::new("reference");
    scene.env.ok(&["onboard", "a", "--as", "ops"]);
    scene.env.ok(&["rotate", "a", "--as", "ops", "--grace", "0"]);
    scene.env.ok(&["verify", "a"]);
    scene.env.ok(&["account", "deactivate", "a", "--yes"]);
    assert_eq!(scene.env.run(&["verify", "a"]).code, 5);
    assert!(
        scene
            .sandbox
            .accounts()
            .iter()
            .all(|account| account["active"] == false)
    );
}

impl Scene {
    /// Onboards a name by way of the dashboard; the account may do these operations.
    fn dashboard(&self, name: &str, operations: &str) {
        let public = self
            .env
            .ok(&["onboard", name, "--prepare", "--api-url", &self.sandbox.url]);
        let answer = self
            .sandbox
            .create_with(&[("name", name), ("public_key", &public), ("operations", operations)]);
        self.env.write("token", answer["token"].as_str().unwrap());
        self.env.ok(&["onboard", name, "--token-file", "token"]);
    }

    fn shown(&self, name: &str) -> Value {
        self.env.run(&["show", name, "--json"]).json()["credential"].clone()
    }

    /// From now on, tokens say no more of themselves than the vendor documents.
    fn bare_tokens(&self) {
        let answer = self
            .sandbox
            .post_json("/sandbox/settings", &json!({"bare_tokens": true}));
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

#[test]
fn an_account_made_in_the_dashboard_and_rotated_is_one_row() {
    for bare in [false, true] {
        let scene = Scene::new("guide");
        if bare {
            scene.bare_tokens();
        }
        scene.dashboard("a", "");
        let key = scene.shown("a")["public_key"].clone();
        for _ in 0..2 {
            scene.env.ok(&["rotate", "a", "--grace", "0"]);
        }
        assert_ne!(scene.shown("a")["public_key"], key);
        let rows = scene.rows();
        assert_eq!(rows.len(), 1, "bare {bare}: {rows:?}");
        assert_eq!(
            (&rows[0]["in_vault"], &rows[0]["at_dfns"]),
            (&json!(true), &json!(true))
        );
        // The key that a rollback withdrew stays with the account as well.
        scene.env.ok(&["rotate", "a"]);
        scene.env.ok(&["rotate", "a", "--rollback"]);
        assert_eq!(scene.rows().len(), 1);
    }
}

/// Where the token says nothing, the account that was replaced is not taken for the one that replaced it.
#[test]
fn of_two_accounts_that_a_name_had_the_newer_is_its_own() {
    let scene = Scene::new("guide");
    scene.bare_tokens();
    scene.dashboard("a", "");
    scene.env.run(&["rotate", "a", "--strategy", "dashboard"]).fails(7, &[]);
    let key = scene.env.open("a")["rotation"]["next"]["public_key"].clone();
    scene
        .env
        .write("token", scene.sandbox.create("new", key.as_str().unwrap()));
    scene.env.ok(&["rotate", "a", "--token-file", "token"]);
    scene.env.ok(&["rotate", "a", "--as", "ops", "--finish"]);
    scene.env.ok(&["rotate", "a", "--grace", "0"]);
    let rows = scene.rows();
    let places: Vec<_> = rows
        .iter()
        .map(|row| (&row["account_name"], &row["in_vault"]))
        .collect();
    assert_eq!(
        places,
        [(&json!("new"), &json!(true)), (&json!("a"), &json!(false))],
        "{rows:?}"
    );
}

#[test]
fn the_ids_of_an_account_from_the_dashboard_are_known() {
    let scene = Scene::new("guide");
    let ids = |name: &str| {
        let shown = scene.shown(name);
        (shown["identity_id"].clone(), shown["token_id"].clone())
    };
    scene.dashboard("a", "");
    let row = scene.rows()[0].clone();
    assert_eq!(ids("a"), (row["identity_id"].clone(), row["token_id"].clone()));
    assert!(row["identity_id"].is_string());

    // As the token says nothing, Dfns is asked, where the account may read itself; where not, nobody knows.
    scene.bare_tokens();
    scene.dashboard("b", "Auth:ServiceAccounts:Read");
    let row = scene.rows()[1].clone();
    assert_eq!(ids("b"), (row["identity_id"].clone(), row["token_id"].clone()));
    scene.dashboard("c", "");
    assert_eq!(ids("c"), (Value::Null, Value::Null));

    let public = scene.env.ok(&[
        "onboard",
        "p",
        "--kind",
        "pat",
        "--prepare",
        "--api-url",
        &scene.sandbox.url,
    ]);
    let answer = scene
        .sandbox
        .create_with(&[("kind", "pat"), ("name", "p"), ("public_key", &public)]);
    scene.env.write("token", answer["token"].as_str().unwrap());
    scene.env.ok(&["onboard", "p", "--token-file", "token"]);
    assert_eq!(ids("p"), (answer["token_id"].clone(), answer["token_id"].clone()));
}

/// Files that were written before ids and earlier keys were kept.
#[test]
fn files_of_before_are_read_and_found_their_account() {
    let scene = Scene::new("guide");
    scene.dashboard("a", "");
    scene.env.ok(&["rotate", "a"]);
    let old = scene.shown("a");
    scene.env.reseal("a", |sealed| {
        let public = sealed["public"].as_object_mut().unwrap();
        for field in ["earlier_fingerprints", "token_fingerprint"] {
            assert!(public.remove(field).is_some(), "{field}");
        }
        for field in ["identity_id", "token_id"] {
            sealed["public"][field] = Value::Null;
            sealed["active"][field] = Value::Null;
            sealed["rotation"]["outgoing"]["generation"][field] = Value::Null;
        }
    });
    let rows = scene.rows();
    assert_eq!(rows.len(), 1, "{rows:?}");
    scene.env.ok(&["rotate", "a", "--finish"]);
    scene.env.ok(&["verify", "a"]);
    scene.env.ok(&["rotate", "a", "--grace", "0"]);
    assert_eq!(scene.shown("a")["identity_id"], old["identity_id"]);
    assert_eq!(scene.rows().len(), 1);
}

#[test]
fn a_list_is_read_to_its_last_page() {
    let scene = Scene::new("guide");
    for name in ["n1", "n2", "n3"] {
        scene.dashboard(name, "Auth:ServiceAccounts:Read,Permissions:Read,Wallets:Read");
    }
    let settings = json!({"page_size": 1});
    assert_eq!(scene.sandbox.post_json("/sandbox/settings", &settings).status, 200);
    scene
        .env
        .ok(&["verify", "n3", "--expect-permission", "Wallets:Read", "--strict"]);
    assert_eq!(scene.rows().len(), 3);
    // What is registered with the account, and is on a page of its own.
    scene.env.ok(&["rotate", "n3", "--grace", "0"]);
    scene.env.ok(&["rotate", "n3", "--grace", "0"]);
    assert_eq!(scene.rows().len(), 3);
    // And one that is known by its key alone.
    scene.bare_tokens();
    scene.dashboard("n4", "Auth:ServiceAccounts:Read");
    assert!(scene.shown("n4")["identity_id"].is_string());
}
