//! The state machine of a rotation, below the command line and in one process with the API that it talks to: killed behind
//! every answer, every answer lost, gone on with and rolled back from wherever it stood.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use dfns_keys::api::{Access, Action, ApiError, Client, ClientConfig, Progress};
use dfns_keys::deliver::{Means, VaultAccess};
use dfns_keys::keys::pem::unseal;
use dfns_keys::model::credential::{Kind, State};
use dfns_keys::model::ids::CredentialName;
use dfns_keys::model::record::PublicRecord;
use dfns_keys::model::rotation::{Grace, Strategy};
use dfns_keys::model::token::AuthToken;
use dfns_keys::sandbox::{Doctrine, Sandbox, SandboxConfig};
use dfns_keys::sys::clock::SystemClock;
use dfns_keys::vault::{Machine, Unattended, Vault};
use dfns_keys::workflow::administrator::Administrator;
use dfns_keys::workflow::deliver::Courier;
use dfns_keys::workflow::provision::{Order, provision};
use dfns_keys::workflow::rotate::{Job, Plan, RotateError, Standing};
use dfns_keys::workflow::settings::Asked;
use dfns_keys::workflow::sharing::Neighbours;
use futures_util::FutureExt;
use serde_json::{Value, json};
use support::{TestEnv, http};

/// Behind so many answers the process is gone: nothing that follows one of them is done or sealed.
struct Killer(AtomicU32);

impl Progress for Killer {
    fn waiting(&self, _: &ApiError, _: Duration) {}

    fn answered(&self, _: &str, _: &str, _: u16, _: Duration) {
        if self.0.fetch_sub(1, Ordering::Relaxed) == 1 {
            std::panic::resume_unwind(Box::new("killed"));
        }
    }
}

const NEVER: u32 = u32::MAX;

enum Ended {
    Killed,
    Well(Standing),
    Badly(RotateError),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    On,
    Back,
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(future)
}

/// The API, in a thread of this process; its address.
fn api(rotation: Doctrine) -> String {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        block_on(async {
            let config = SandboxConfig {
                rotation,
                ..SandboxConfig::default()
            };
            let sandbox = Sandbox::bind("127.0.0.1:0".parse().unwrap(), config).await.unwrap();
            tell.send(sandbox.url()).unwrap();
            sandbox.serve(std::future::pending()).await;
        });
    });
    told.recv().unwrap()
}

struct Scene {
    env: TestEnv,
    url: String,
    kind: Kind,
    strategy: Strategy,
    quarters: AtomicU32,
}

impl Scene {
    fn new(kind: Kind, strategy: Strategy) -> Self {
        let (env, url) = (TestEnv::with_vault(), api(Doctrine::Guide));
        let scene = Self {
            env,
            url,
            kind,
            strategy,
            quarters: AtomicU32::new(0),
        };
        let code = scene.form("/dashboard/code", &[("username", "ops@example.com")])["code"].clone();
        scene.env.ok(&[
            "enroll",
            "ops",
            "--code",
            code.as_str().unwrap(),
            "--api-url",
            &scene.url,
        ]);
        scene
    }

    /// Both ways that need nobody, for service accounts.
    fn service_accounts() -> [Self; 2] {
        [Strategy::Credential, Strategy::Replace].map(|strategy| Self::new(Kind::ServiceAccount, strategy))
    }

    /// And a personal access token.
    fn all() -> impl Iterator<Item = Self> {
        let token = std::iter::once_with(|| Self::new(Kind::Pat, Strategy::Replace));
        Self::service_accounts().into_iter().chain(token)
    }

    fn ask(&self, method: &str, path: &str, kind: &str, body: &str) -> Value {
        let address = self.url.trim_start_matches("http://");
        let answer = http(
            address,
            method,
            path,
            &[
                ("host", address),
                ("accept", "application/json"),
                ("content-type", kind),
            ],
            body.as_bytes(),
        );
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    fn form(&self, path: &str, fields: &[(&str, &str)]) -> Value {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        let body = form.extend_pairs(fields).finish();
        self.ask("POST", path, "application/x-www-form-urlencoded", &body)
    }

    /// What goes wrong with the next answer to such a call.
    fn fault(&self, fault: &str, method: &str, path: Option<&str>) {
        let mut fault = json!({"fault": fault, "method": method});
        if let Some(path) = path {
            fault["path"] = path.into();
        }
        self.ask("POST", "/sandbox/faults", "application/json", &fault.to_string());
    }

    /// A quarter of an hour goes by at Dfns.
    fn later(&self) {
        let offset = 900 * (1 + self.quarters.fetch_add(1, Ordering::Relaxed));
        let settings = json!({ "clock_offset_s": offset }).to_string();
        self.ask("POST", "/sandbox/settings", "application/json", &settings);
    }

    /// The accounts that were made for a name, with the keys that they have.
    fn accounts(&self, name: &str) -> Vec<(bool, Vec<String>)> {
        let all = self.ask("GET", "/sandbox/identities", "application/json", "");
        let own = |one: &&Value| one["name"].as_str().unwrap().starts_with(name);
        let shown = |one: &Value| {
            let keys = one["keys"].as_array().unwrap().iter();
            let keys = keys.map(|key| key.as_str().unwrap().to_owned()).collect();
            (one["active"].as_bool().unwrap(), keys)
        };
        all["identities"]
            .as_array()
            .unwrap()
            .iter()
            .filter(own)
            .map(shown)
            .collect()
    }

    async fn vault(&self) -> Vault {
        let clock = Box::new(SystemClock);
        Vault::open(&self.env.vault(), Machine::default(), clock, Duration::ZERO)
            .await
            .unwrap()
    }

    /// A credential that was not rotated yet.
    fn begin(&self, name: &str) -> PublicRecord {
        block_on(async {
            let vault = self.vault().await;
            let unlocked = vault
                .unlock(&[self.env.path("identity.txt")], &Unattended::default())
                .await
                .unwrap();
            let ops = Administrator::open(&unlocked, &"ops".parse().unwrap()).await.unwrap();
            let client = Client::new(ClientConfig::default());
            let name: CredentialName = name.parse().unwrap();
            let order = Order {
                name: name.clone(),
                kind: self.kind,
                environment: ops.environment().clone(),
                asked: Asked::default(),
                days_valid: None,
                permissions: Vec::new(),
                external_id: None,
                upkeep: None,
            };
            let edit = unlocked.edit(vault.lease(&name, "test").await.unwrap()).await.unwrap();
            provision(edit, &ops.session(&client), &order).await.unwrap();
            vault.record(&name).await.unwrap()
        })
    }

    /// One run of a process that does no more than this, and dies behind so many answers.
    fn run(&self, name: &str, way: Way, token: Option<&str>, answers: u32) -> Ended {
        block_on(async {
            let vault = self.vault().await;
            let unlocked = vault
                .unlock(&[self.env.path("identity.txt")], &Unattended::default())
                .await
                .unwrap();
            let ops = Administrator::open(&unlocked, &"ops".parse().unwrap()).await.unwrap();
            let config = ClientConfig {
                progress: Box::new(Killer(AtomicU32::new(answers))),
                ..ClientConfig::default()
            };
            let client = Client::new(config);
            let session = ops.session(&client);
            let name = name.parse().unwrap();
            let means = Means {
                host: "here".to_owned(),
                limit: Duration::from_secs(30),
                vault: VaultAccess::default(),
                cluster: None,
            };
            let job = Job {
                vault: &vault,
                unlocked: &unlocked,
                client: &client,
                administrator: Some(&session),
                name: &name,
                neighbours: &Neighbours::read(&vault).await.unwrap(),
                courier: &Courier {
                    means: &means,
                    clock: vault.clock(),
                },
            };
            let plan = Plan {
                strategy: Some(self.strategy),
                grace: Some(Grace::Seconds(0)),
                token: token.map(|token| AuthToken::parse(token).unwrap()),
                ..Plan::default()
            };
            let edit = unlocked.edit(vault.lease(&name, "test").await.unwrap()).await.unwrap();
            let work = async {
                match way {
                    Way::On => job.advance(edit, &plan).await,
                    Way::Back => job.rollback(edit).await,
                }
            };
            match AssertUnwindSafe(work).catch_unwind().await {
                Err(_) => Ended::Killed,
                Ok(Ok(standing)) => Ended::Well(standing),
                Ok(Err(error)) => Ended::Badly(error),
            }
        })
    }

    /// What a run has ended with, or the next one that ends well.
    fn ended(&self, ended: &Ended, name: &str, way: Way) -> PublicRecord {
        match ended {
            Ended::Well(standing) => standing.record.clone(),
            Ended::Killed | Ended::Badly(_) => self.finish(name, way),
        }
    }

    /// Runs until it has ended, as somebody does who runs the same command again.
    fn finish(&self, name: &str, way: Way) -> PublicRecord {
        let mut last = None;
        for _ in 0..4 {
            match self.run(name, way, None, NEVER) {
                Ended::Well(standing) => return standing.record,
                Ended::Badly(RotateError::NotRotating(_)) if way == Way::Back => {
                    return block_on(async { self.vault().await.record(&name.parse().unwrap()).await.unwrap() });
                }
                Ended::Badly(error) => {
                    // A switch that was asked for may take effect yet: so much later it cannot any more.
                    if matches!(error, RotateError::Unsettled { .. }) {
                        self.later();
                    }
                    last = Some(error.to_string());
                }
                Ended::Killed => unreachable!("nobody kills it"),
            }
        }
        panic!("{name} does not end: {last:?}");
    }

    /// What must be true of a credential at rest: one key alone is accepted at Dfns, and it is the one in the vault.
    fn check(&self, record: &PublicRecord) {
        let name = &record.name;
        assert_eq!(record.state, State::Active, "{name}");
        let all = self.accounts(name.as_str());
        let alive: Vec<_> = all.iter().filter(|(active, _)| *active).collect();
        assert_eq!(alive, [&(true, vec![record.public_key.clone()])], "{name}: {all:?}");
        block_on(async {
            let vault = self.vault().await;
            let unlocked = vault
                .unlock(&[self.env.path("identity.txt")], &Unattended::default())
                .await
                .unwrap();
            let (environment, generation) = unlocked.get(name).await.unwrap().into_usable().unwrap();
            let key = unseal(&generation.private_key).unwrap();
            let access = Access::of(&environment, &generation, &key);
            let client = Client::new(ClientConfig::default());
            client.sign(access, Action::TEST_CALL).await.map(|_| ()).unwrap();
        });
    }
}

#[test]
fn a_rotation_that_is_killed_behind_any_answer_is_finished_by_the_next_run() {
    for scene in Scene::service_accounts() {
        let mut before = scene.begin("a");
        for answers in 1.. {
            let ended = scene.run("a", Way::On, None, answers);
            let after = scene.ended(&ended, "a", Way::On);
            assert_eq!(after.generation, before.generation + 1, "{answers}");
            scene.check(&after);
            if !matches!(ended, Ended::Killed) {
                assert!(answers > 8, "a rotation asks for more than {answers} answers");
                break;
            }
            before = after;
        }
    }
}

#[test]
fn a_rotation_that_is_killed_behind_any_answer_is_rolled_back_by_the_next_run() {
    for scene in Scene::service_accounts() {
        let before = scene.begin("a");
        for answers in 1.. {
            let Ended::Killed = scene.run("a", Way::On, None, answers) else {
                break;
            };
            let after = scene.finish("a", Way::Back);
            assert_eq!(after.fingerprint, before.fingerprint, "{answers}");
            scene.check(&after);
        }
    }
}

#[test]
fn a_rollback_that_is_killed_behind_any_answer_is_finished_by_the_next_run() {
    for scene in Scene::service_accounts() {
        let before = scene.begin("a");
        for answers in 1.. {
            // As far as the new key being registered.
            let so_far = if scene.strategy == Strategy::Credential { 5 } else { 7 };
            assert!(matches!(scene.run("a", Way::On, None, so_far), Ended::Killed));
            let ended = scene.run("a", Way::Back, None, answers);
            let after = scene.ended(&ended, "a", Way::Back);
            assert_eq!(after.fingerprint, before.fingerprint, "{answers}");
            scene.check(&after);
            if !matches!(ended, Ended::Killed) {
                break;
            }
        }
    }
}

/// The calls that change something in a rotation.
fn changing(scene: &Scene) -> [(&'static str, Option<&'static str>); 2] {
    let creation = match (scene.strategy, scene.kind) {
        (Strategy::Credential, _) => "/auth/credentials",
        (_, Kind::Pat) => "/auth/pats",
        _ => "/auth/service-accounts",
    };
    [("POST", Some(creation)), ("PUT", None)]
}

#[test]
fn an_answer_that_is_lost_leaves_one_key_that_is_accepted() {
    for scene in Scene::all() {
        let mut before = scene.begin("a");
        for (method, path) in changing(&scene) {
            for fault in ["close_after", "close_before", "truncate", "twice"] {
                scene.fault(fault, method, path);
                let ended = scene.run("a", Way::On, None, NEVER);
                let after = scene.ended(&ended, "a", Way::On);
                assert_eq!(after.generation, before.generation + 1, "{fault} {method}");
                scene.check(&after);
                before = after;
            }
        }
    }
}

#[test]
fn a_new_key_that_arrives_after_it_was_given_up_on_is_not_left_active() {
    for scene in Scene::all() {
        let (method, path) = changing(&scene)[0];
        for way in [Way::On, Way::Back] {
            let name = if way == Way::On { "late-on" } else { "late-back" };
            let before = scene.begin(name);
            scene.fault("late", method, path);
            assert!(
                matches!(scene.run(name, Way::On, None, NEVER), Ended::Badly(_)),
                "{name}"
            );
            scene.ask("POST", "/sandbox/land", "application/json", "");
            let after = scene.finish(name, way);
            assert_eq!(after.fingerprint == before.fingerprint, way == Way::Back, "{name}");
            scene.check(&after);
        }
    }
}

#[test]
fn the_token_of_a_new_account_is_taken_whenever_the_process_that_takes_it_was_killed() {
    let scene = Scene::new(Kind::ServiceAccount, Strategy::Dashboard);
    scene.begin("a");
    for answers in 1.. {
        let waits = scene.run("a", Way::On, None, NEVER);
        assert!(matches!(waits, Ended::Badly(RotateError::AwaitingToken(_))));
        let sealed = &scene.env.open("a")["rotation"];
        let (account, key) = (&sealed["journal"]["account_name"], &sealed["next"]["public_key"]);
        let fields = [
            ("name", account.as_str().unwrap()),
            ("public_key", key.as_str().unwrap()),
        ];
        let made = scene.form("/dashboard/create", &fields);
        let mut ended = scene.run("a", Way::On, made["token"].as_str(), answers);
        let killed = matches!(ended, Ended::Killed);
        if killed {
            ended = scene.run("a", Way::On, made["token"].as_str(), NEVER);
        }
        scene.check(&scene.ended(&ended, "a", Way::On));
        if !killed {
            break;
        }
    }
}
