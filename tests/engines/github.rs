//! Secrets of GitHub Actions, by the real `gh` against a stand-in of its API that opens what `gh` seals.

use serde_json::{Value, json};

use crate::scene::{Scene, Server};
use crate::support::{Run, peer};

struct Github {
    scene: Scene,
    server: Server,
}

impl Github {
    fn new() -> Option<Self> {
        let scene = Scene::new(&[])?;
        if !peer("gh") {
            return None;
        }
        scene.certify();
        let server = scene.serve("gh_server.py", &["tls.pem", "tls.key", "received.json"])?;
        Some(Self { scene, server })
    }

    fn run(&self, token: &str, arguments: &[&str]) -> Run {
        let host = format!("localhost:{}", self.server.port);
        let authority = self.scene.env.path("ca.pem");
        let authority = authority.to_str().unwrap();
        let variables = [
            ("GH_HOST", host.as_str()),
            ("GH_ENTERPRISE_TOKEN", token),
            ("SSL_CERT_FILE", authority),
        ];
        self.scene.with(&variables, arguments)
    }

    fn received(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.scene.env.path("received.json")).unwrap()).unwrap()
    }
}

#[test]
fn a_secret_is_set_for_github_which_shows_it_to_nobody() {
    let Some(github) = Github::new() else { return };
    let run = github.run("good", &["deliver", "a", "--to", "github:acme/app"]);
    assert_eq!(run.code, 0, "{run:?}");
    let place = format!(
        "(https://localhost:{}/acme/app, repository 42)  in sync, not read back",
        github.server.port
    );
    assert!(run.stdout.contains(&place), "{run:?}");
    assert!(
        run.stderr.contains("cannot be read back"),
        "it is said at once: {run:?}"
    );
    let received = github.received();
    let credential: Value = serde_json::from_str(received["DFNS_CREDENTIAL"].as_str().unwrap()).unwrap();
    assert_eq!(credential, github.scene.exported());
    assert_eq!(received.as_object().unwrap().len(), 1, "{received}");
    github.run("good", &["deliver", "a", "--check"]).fails(0, &[]);
    // A rotation puts the new one; its receipt says that it is there.
    github
        .run("good", &["rotate", "a", "--grace", "0", "--yes"])
        .fails(0, &[]);
    let credential: Value = serde_json::from_str(github.received()["DFNS_CREDENTIAL"].as_str().unwrap()).unwrap();
    assert_eq!(credential, github.scene.exported());
}

#[test]
fn single_secrets_are_set_for_who_asks_for_them() {
    let Some(github) = Github::new() else { return };
    let target = "github:acme/app?environment=production&format=fields";
    github.run("good", &["deliver", "a", "--to", target]).fails(0, &[]);
    let mut received = github.received();
    assert_eq!(
        received.as_object_mut().unwrap().remove("of"),
        Some(json!("production"))
    );
    assert_eq!(received, github.scene.exported());
}

#[test]
fn what_github_refuses_is_a_sentence() {
    let Some(github) = Github::new() else { return };
    github
        .run("nobody", &["deliver", "a", "--to", "github:acme/app"])
        .fails(7, &["gh refuses", "gh auth login"]);
    let run = github.run("good", &["deliver", "a", "--to", "github:acme/nowhere"]);
    run.fails(7, &["HTTP 404", "is the repository, and the environment, there?"]);
}
