//! The key-value store of a real OpenBao, which speaks Vault's API.

use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::scene::{Scene, installed};
use crate::support::{Run, http};

const TARGET: &str = "hashivault:secret/payments/dfns";

pub(crate) struct Bao {
    child: Child,
    address: String,
    pub(crate) url: String,
}

impl Drop for Bao {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Bao {
    /// A server in memory, with the token `root`.
    pub(crate) fn start(scene: &Scene) -> Option<Self> {
        let program = installed("bao")?;
        // Somebody else may take a port that was free just now.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut command = scene.env.bare(program.to_str().unwrap());
            command.args(["server", "-dev", "-dev-root-token-id=root", "-dev-no-store-token"]);
            let child = command
                .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let address = format!("127.0.0.1:{port}");
            let mut bao = Self {
                child,
                url: format!("http://{address}"),
                address,
            };
            if bao.is_up() {
                return Some(bao);
            }
        }
        panic!("OpenBao does not start");
    }

    fn is_up(&mut self) -> bool {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(30) && self.child.try_wait().unwrap().is_none() {
            // The key-value store of a server in memory is mounted last.
            if std::net::TcpStream::connect(&self.address).is_ok()
                && self.ask("GET", "sys/internal/ui/mounts/secret", &Value::Null)["data"]["type"] == "kv"
            {
                return true;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let headers = [
            ("Host", self.address.as_str()),
            ("X-Vault-Token", "root"),
            ("Content-Type", "application/json"),
        ];
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let answer = http(&self.address, method, &format!("/v1/{path}"), &headers, body.as_bytes());
        serde_json::from_str(&answer.body).unwrap_or_default()
    }

    /// A token that may do this with the secrets.
    fn token(&self, name: &str, capabilities: &[&str]) -> String {
        let policy = json!({"path": {"secret/*": {"capabilities": capabilities}}}).to_string();
        self.ask("PUT", &format!("sys/policies/acl/{name}"), &json!({"policy": policy}));
        let made = self.ask("POST", "auth/token/create", &json!({"policies": [name]}));
        made["auth"]["client_token"].as_str().unwrap().to_owned()
    }

    /// What the secret has.
    pub(crate) fn has(&self) -> Value {
        self.ask("GET", "secret/data/payments/dfns", &Value::Null)["data"]["data"].clone()
    }

    pub(crate) fn version(&self) -> u64 {
        self.ask("GET", "secret/metadata/payments/dfns", &Value::Null)["data"]["current_version"]
            .as_u64()
            .unwrap()
    }

    pub(crate) fn signed_in(&self) -> [(&str, &str); 2] {
        [("VAULT_ADDR", &self.url), ("VAULT_TOKEN", "root")]
    }
}

#[test]
fn a_secret_is_put_under_its_version_read_back_and_rotated() {
    let Some(scene) = Scene::new(&[]) else { return };
    let Some(bao) = Bao::start(&scene) else { return };
    // A write that does not say which version it replaces is refused.
    bao.ask("POST", "secret/config", &json!({"cas_required": true}));
    // With rights for just that.
    let token = bao.token("writer", &["read", "create", "update"]);
    let variables = [("VAULT_ADDR", bao.url.as_str()), ("VAULT_TOKEN", token.as_str())];
    let run = scene.with(&variables, &["deliver", "a", "--to", TARGET]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(
        run.stdout.contains(&format!("(Vault at {}, kv_", bao.url)) && run.stdout.contains("in sync, read back"),
        "{run:?}"
    );
    scene.rotates(&variables, &|| bao.has());
    assert_eq!(bao.version(), 2, "each was put once");
    // What was deleted is put again.
    bao.ask("DELETE", "secret/data/payments/dfns", &Value::Null);
    scene
        .with(&variables, &["deliver", "a", "--check"])
        .fails(8, &["does not have what is active"]);
    scene.with(&variables, &["deliver", "a"]).fails(0, &[]);
    assert_eq!(bao.has(), scene.exported());
}

#[test]
fn what_else_stands_in_a_secret_is_left_alone() {
    let Some(scene) = Scene::new(&[]) else { return };
    let Some(bao) = Bao::start(&scene) else { return };
    let theirs = json!({"database": "hunter2", "ports": [1, {"a": null}], "on": true, "DFNS_APP_ID": "ap-of-before"});
    bao.ask("POST", "secret/data/payments/dfns", &json!({"data": theirs}));
    scene
        .with(&bao.signed_in(), &["deliver", "a", "--to", TARGET])
        .fails(0, &[]);
    let mut expected = scene.exported();
    let fields = expected.as_object_mut().unwrap();
    for name in ["database", "ports", "on"] {
        fields.insert(name.to_owned(), theirs[name].clone());
    }
    assert_eq!(bao.has(), expected, "and a field of ours that is set no more is gone");
}

#[test]
fn what_vault_refuses_is_a_sentence() {
    let Some(scene) = Scene::new(&[]) else { return };
    let Some(bao) = Bao::start(&scene) else { return };
    let deliver = |token: &str, target: &str, words: &[&str]| -> Run {
        let run = scene.with(
            &[("VAULT_ADDR", &bao.url), ("VAULT_TOKEN", token)],
            &["deliver", "a", "--to", target],
        );
        run.fails(7, words);
        scene.env.ok(&["deliver", "a", "--forget", target]);
        run
    };
    deliver("nobody", TARGET, &["Vault refuses (HTTP 403)", "vault login"]);
    let reader = bao.token("reader", &["read"]);
    deliver(
        &reader,
        TARGET,
        &[
            "Vault refuses (HTTP 403)",
            "permission denied",
            "`read`, `create`, `update` and `patch`",
        ],
    );
    // What is put into a store of version 1 under the paths of version 2 would be somewhere else.
    bao.ask(
        "POST",
        "sys/mounts/old",
        &json!({"type": "kv", "options": {"version": "1"}}),
    );
    deliver("root", "hashivault:old/payments", &["no key-value store of version 2"]);
    assert_eq!(
        bao.ask("LIST", "old", &Value::Null)["data"]["keys"],
        Value::Null,
        "nothing was put"
    );
    bao.ask(
        "POST",
        "sys/mounts/team/kv",
        &json!({"type": "kv", "options": {"version": "2"}}),
    );
    scene
        .with(&bao.signed_in(), &["deliver", "a", "--to", "hashivault:team/kv/a b"])
        .fails(0, &[]);
    let kept = bao.ask("GET", "team/kv/data/a%20b", &Value::Null);
    assert_eq!(kept["data"]["data"], scene.exported());
    // A token as `vault login` leaves it.
    scene.env.write(".vault-token", "root\n");
    scene.with(&[("VAULT_ADDR", &bao.url)], &["deliver", "a"]).fails(0, &[]);
    bao.ask("PUT", "sys/seal", &Value::Null);
    scene
        .with(&bao.signed_in(), &["deliver", "a", "--to", TARGET])
        .fails(7, &["sealed", "unsealed first"]);
}
