//! Secrets in a cluster: by the real kubectl, and from inside, against an API server that knows server-side apply, its field
//! managers and its conflicts, and nothing else.

use serde_json::{Map, Value, json};

use crate::scene::{Scene, Server, decoded};
use crate::support::{Run, lacking};

const TARGET: &str = "kubernetes:payments/payments-dfns";

pub(crate) struct Cluster {
    pub(crate) scene: Scene,
    context: &'static str,
    server: Server,
}

impl Cluster {
    /// One that kubectl's settings know by this name.
    pub(crate) fn new(context: &'static str) -> Option<Self> {
        let scene = Scene::new(&["kubectl"])?;
        scene.certify();
        let server = scene.serve("kube_server.py", &["tls.pem", "tls.key", "calls", "payments"])?;
        let cluster = Self { scene, context, server };
        cluster.settings("config", "good");
        Some(cluster)
    }

    /// Settings for kubectl, signed in with a token.
    pub(crate) fn settings(&self, name: &str, token: &str) -> String {
        let server = format!("https://127.0.0.1:{}", self.server.port);
        let authority = self.scene.env.path("ca.pem");
        let settings = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": self.context,
            "contexts": [{"name": self.context, "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority": authority}}],
            "users": [{"name": "u", "user": {"token": token}}],
        });
        let path = self.scene.env.write(name, settings.to_string());
        path.to_str().unwrap().to_owned()
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.scene.with(
            &[("KUBECONFIG", self.scene.env.path("config").to_str().unwrap())],
            arguments,
        )
    }

    fn kubectl(&self, arguments: &[&str], input: &Value) -> Run {
        self.scene.env.write("input.json", input.to_string());
        let mut command = self.scene.env.bare("kubectl");
        command.env("KUBECONFIG", self.scene.env.path("config"));
        Run::of(command.args(arguments))
    }

    fn secret(&self) -> Value {
        self.kubectl(
            &[
                "get",
                "secret",
                "payments-dfns",
                "-n",
                "payments",
                "-o",
                "json",
                "--show-managed-fields",
            ],
            &Value::Null,
        )
        .json()
    }

    /// The variables that the Secret has.
    pub(crate) fn has(&self) -> Value {
        let secret = self.secret();
        let ours = secret["data"]
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, _)| name.starts_with("DFNS_"));
        Value::Object(
            ours.map(|(name, value)| (name.clone(), decoded(value).into()))
                .collect::<Map<_, _>>(),
        )
    }

    fn others(&self, force: bool, data: &Value) {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "payments-dfns"}, "data": data});
        let mut arguments = "apply --server-side --validate=false --field-manager=helm -n payments -f input.json"
            .split(' ')
            .collect::<Vec<_>>();
        arguments.extend(force.then_some("--force-conflicts"));
        self.kubectl(&arguments, &secret).fails(0, &[]);
    }
}

#[test]
fn a_secret_is_applied_by_the_server_read_back_and_rotated() {
    let Some(cluster) = Cluster::new("prod") else { return };
    // What somebody else keeps beside it stays theirs.
    cluster.others(false, &json!({"database": "aHVudGVyMg=="}));
    let run = cluster.run(&["deliver", "a", "--to", TARGET]);
    assert_eq!(run.code, 0, "{run:?}");
    let place = format!(
        "(the cluster at https://127.0.0.1:{} with the authority ",
        cluster.server.port
    );
    assert!(
        run.stdout.contains(&place) && run.stdout.contains("in sync, read back"),
        "{run:?}"
    );
    let variables = [("KUBECONFIG", cluster.scene.env.path("config"))];
    let variables = variables.each_ref().map(|(name, path)| (*name, path.to_str().unwrap()));
    cluster.scene.rotates(&variables, &|| cluster.has());
    let secret = cluster.secret();
    assert_eq!(decoded(&secret["data"]["database"]), "hunter2");
    assert_eq!(secret["type"], "Opaque");
    assert!(
        secret["metadata"].get("annotations").is_none(),
        "no copy of it in an annotation: {secret}"
    );
    let managers = secret["metadata"]["managedFields"].as_array().unwrap();
    let ours = managers
        .iter()
        .find(|manager| manager["manager"] == "dfns-keys")
        .unwrap();
    assert_eq!(ours["operation"], "Apply");
    assert!(!ours["fieldsV1"].to_string().contains("database"), "{ours}");
    // Nothing is put where nothing is behind.
    let puts = || {
        let calls = std::fs::read_to_string(cluster.scene.env.path("calls")).unwrap();
        calls
            .lines()
            .filter(|call| call.starts_with("PATCH") && call.contains("dfns-keys"))
            .count()
    };
    let before = puts();
    cluster.run(&["deliver", "a"]).fails(0, &[]);
    assert_eq!(puts(), before);
}

#[test]
fn a_conflict_with_another_manager_is_a_sentence_and_nothing_of_theirs_is_taken() {
    let Some(cluster) = Cluster::new("prod") else { return };
    cluster.others(false, &json!({"DFNS_AUTH_TOKEN": "dGhlaXJz"}));
    cluster.run(&["deliver", "a", "--to", TARGET]).fails(
        7,
        &[
            "kubectl refuses",
            "conflict with \"helm\"",
            ".data.DFNS_AUTH_TOKEN",
            "another field manager has these fields",
            "--force-conflicts",
        ],
    );
    assert_eq!(cluster.has(), json!({"DFNS_AUTH_TOKEN": "theirs"}));
    // They give it up.
    cluster.others(false, &json!({"database": "eA=="}));
    cluster.run(&["deliver", "a"]).fails(0, &[]);
    assert_eq!(cluster.has(), cluster.scene.exported());
    // They take it, and a rotation keeps the key that works until they give it back.
    cluster.others(true, &json!({"DFNS_AUTH_TOKEN": "dGhlaXJz"}));
    cluster
        .run(&["deliver", "a", "--check"])
        .fails(8, &["does not have what is active"]);
    cluster
        .run(&["rotate", "a", "--grace", "0", "--yes"])
        .fails(7, &["conflict with \"helm\""]);
    cluster.scene.env.run(&["verify", "a"]).fails(0, &[]);
}

#[test]
fn what_the_cluster_or_its_client_refuses_is_a_sentence() {
    let Some(cluster) = Cluster::new("prod") else { return };
    let deliver = |settings: &str, target: &str, words: &[&str]| {
        let run = cluster
            .scene
            .with(&[("KUBECONFIG", settings)], &["deliver", "a", "--to", target]);
        run.fails(7, words);
        cluster.run(&["deliver", "a", "--forget", target]).fails(0, &[]);
    };
    let good = cluster.settings("config", "good");
    deliver(
        &cluster.settings("out", "nobody"),
        TARGET,
        &["sign in to the cluster again"],
    );
    deliver(
        &cluster.settings("reader", "reader"),
        TARGET,
        &["is forbidden", "its user needs `patch`"],
    );
    deliver(
        &good,
        "kubernetes:nowhere/x",
        &["namespaces \"nowhere\" not found", "make the namespace first"],
    );
    deliver(
        &good,
        "kubernetes:payments/x?context=none",
        &["kubectl refuses", "lists the contexts"],
    );
    deliver("/nowhere/config", TARGET, &["kubectl refuses", "name a context"]);
    // Who may put and not read has put it.
    let blind = cluster.settings("blind", "blind");
    let run = cluster
        .scene
        .with(&[("KUBECONFIG", &blind)], &["deliver", "a", "--to", TARGET]);
    assert!(
        run.code == 0 && run.stdout.contains("in sync, not read back"),
        "{run:?}"
    );
    assert_eq!(cluster.has(), cluster.scene.exported());
}

/// As a pod has it: in a mount of its own, with nothing that kubectl would go by.
#[test]
fn a_pod_delivers_by_its_service_account_without_any_program() {
    let Some(cluster) = Cluster::new("prod") else { return };
    let env = &cluster.scene.env;
    let mount = "mount -t tmpfs tmpfs /run && mkdir -p /run/secrets/kubernetes.io/serviceaccount && \
                 cp ca.pem /run/secrets/kubernetes.io/serviceaccount/ca.crt && \
                 printf %s \"$TOKEN\" >/run/secrets/kubernetes.io/serviceaccount/token && exec \"$@\"";
    let mut isolated = env.bare("unshare");
    if !Run::of(isolated.args(["-rm", "sh", "-c", mount, "-", "true"]))
        .stderr
        .is_empty()
    {
        return lacking("a mount of its own, by `unshare -rm`");
    }
    std::fs::remove_file(env.path("bin/kubectl")).unwrap();
    env.write("bin/kubectl", "#!/bin/sh\necho called >>\"$HOME/called\"\n");
    let run = |token: &str, arguments: &[&str]| {
        let ours = env.command(arguments);
        let mut command = env.bare("unshare");
        command
            .args(["-rm", "sh", "-c", mount, "-", crate::support::PROGRAM])
            .args(arguments);
        for (name, value) in ours.get_envs() {
            command.env(name, value.unwrap());
        }
        command.env("TOKEN", token).env("KUBERNETES_SERVICE_HOST", "127.0.0.1");
        Run::of(command.env("KUBERNETES_SERVICE_PORT", &cluster.server.port))
    };
    let delivered = run("good", &["deliver", "a", "--to", TARGET]);
    assert_eq!(delivered.code, 0, "{delivered:?}");
    assert!(delivered.stdout.contains("in sync, read back"), "{delivered:?}");
    let calls = std::fs::read_to_string(env.path("calls")).unwrap();
    assert!(
        calls.contains("PATCH /api/v1/namespaces/payments/secrets/payments-dfns dfns-keys 201"),
        "{calls}"
    );
    assert!(!env.path("called").exists(), "no program was needed");
    run("good", &["deliver", "a", "--check"]).fails(0, &[]);
    // It could be read before: by a receipt alone it does not count.
    run("nobody", &["deliver", "a", "--check"]).fails(8, &["HTTP 401"]);
    let target = "kubernetes:nowhere/x";
    run("good", &["deliver", "a", "--to", target]).fails(7, &["HTTP 404", "make the namespace first"]);
    run("good", &["deliver", "a", "--forget", target]).fails(0, &[]);
    run("nobody", &["deliver", "a", "--to", "kubernetes:payments/y"]).fails(
        7,
        &[
            "the cluster's API server refuses (HTTP 401)",
            "sign in to the cluster again",
        ],
    );
    std::fs::remove_file(env.path("bin/kubectl")).unwrap();
    std::os::unix::fs::symlink(crate::scene::installed("kubectl").unwrap(), env.path("bin/kubectl")).unwrap();
    assert_eq!(cluster.has(), cluster.scene.exported());
    cluster.others(true, &json!({"DFNS_AUTH_TOKEN": "dGhlaXJz"}));
    run("good", &["deliver", "a"]).fails(7, &["HTTP 409", "conflict"]);
}
