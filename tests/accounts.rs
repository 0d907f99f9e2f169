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
