//! Two machines with other clusters, accounts, Vaults and homes, and one vault folder between them.

use serde_json::Value;

use crate::kubernetes::Cluster;
use crate::openbao::Bao;
use crate::support::Run;

/// One of the two: what it has of its own beside the vault's folder.
struct Machine<'a> {
    first: &'a Cluster,
    variables: Vec<(String, String)>,
}

impl Machine<'_> {
    fn run(&self, arguments: &[&str]) -> Run {
        let mut command = self.first.scene.env.command(arguments);
        Run::of(command.envs(self.variables.iter().cloned()))
    }
}

/// Settings with both contexts by name, of which each machine has but its own, or the same name for another cluster.
#[test]
fn two_machines_share_a_vault_and_neither_delivers_or_retires_for_the_other() {
    let Some(first) = Cluster::new("one") else { return };
    let Some(second) = Cluster::new("two") else { return };
    let (Some(bao), Some(other_bao)) = (Bao::start(&first.scene), Bao::start(&first.scene)) else {
        return;
    };
    let machine = |name: &str, settings: String, bao: &Bao| {
        let state = first.scene.env.path(&format!("state-{name}"));
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Machine {
            first: &first,
            variables: vec![
                variable("XDG_STATE_HOME", state.to_str().unwrap()),
                variable("KUBECONFIG", &settings),
                variable("VAULT_ADDR", &bao.url),
                variable("VAULT_TOKEN", "root"),
            ],
        }
    };
    let one = machine("one", first.settings("config", "good"), &bao);
    let two = machine("two", second.settings("config", "good"), &other_bao);
    let to = |context: &str| format!("kubernetes:payments/payments-dfns?context={context}");

    // The first has named its Vault; the second has another at the same place in words.
    one.run(&[
        "deliver",
        "a",
        "--to",
        "hashivault:secret/payments/dfns",
        "--to",
        &to("one"),
    ])
    .fails(0, &[]);
    two.run(&["deliver", "a", "--to", &to("two")]).fails(0, &[]);
    two.run(&["deliver", "a"])
        .fails(7, &["another place", "nothing was put"]);
    assert_eq!(other_bao.has(), Value::Null);
    let exported = first.scene.exported();
    assert!(
        [first.has(), second.has(), bao.has()]
            .iter()
            .all(|held| *held == exported)
    );

    // A rotation by the first: its own places have the new key, that of the second has not, and the old one goes on working.
    let retiring = ["rotate", "a", "--grace", "0", "--yes"];
    one.run(&retiring).fails(7, &["context=two"]);
    let rotated = first.scene.exported();
    assert_ne!(rotated, exported);
    assert_eq!(
        (first.has(), bao.has(), second.has()),
        (rotated.clone(), rotated.clone(), exported.clone())
    );
    assert_eq!(
        first.scene.working().len(),
        2,
        "the second's place has the old one, which works"
    );
    one.run(&["rotate", "a", "--finish"]).fails(7, &["context=two"]);
    assert_eq!(first.scene.working().len(), 2);

    // The second delivers to its own, and ends it: the others are there by their receipts, and it touches none of them.
    let before = bao.version();
    two.run(&["deliver", "a"]).fails(7, &["another place"]);
    assert_eq!(second.has(), rotated);
    two.run(&["rotate", "a", "--finish"]).fails(0, &[]);
    assert_eq!(first.scene.working().len(), 1);
    assert_eq!((bao.version(), other_bao.has()), (before, Value::Null));
    one.run(&["verify", "a"]).fails(0, &[]);
}

/// By the host that a file is on.
#[test]
fn a_file_of_another_machine_keeps_the_old_key_until_that_machine_has_delivered() {
    let Some(first) = Cluster::new("one") else { return };
    let env = &first.scene.env;
    let host = String::from_utf8(crate::support::peer_ok(env.bare("uname").arg("-n"))).unwrap();
    let file = |name: &str, host: &str| format!("file:{}?format=json&host={host}", env.path(name).display());
    let mut away = env.bare("unshare");
    let isolated = Run::of(away.args(["-r", "--uts", "sh", "-c", "echo pay2 >/proc/sys/kernel/hostname"]));
    if isolated.code != 0 {
        return crate::support::lacking("a host name of its own, by `unshare -r --uts`");
    }
    let on_pay2 = |arguments: &[&str]| {
        let mut command = env.bare("unshare");
        let rename = "echo pay2 >/proc/sys/kernel/hostname; exec \"$@\"";
        command
            .args(["-r", "--uts", "sh", "-c", rename, "-", crate::support::PROGRAM])
            .args(arguments);
        for (name, value) in env.command(arguments).get_envs() {
            command.env(name, value.unwrap());
        }
        Run::of(&mut command)
    };
    let has = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(env.path(name)).unwrap()).unwrap() };
    env.run(&["deliver", "a", "--to", &file("here.json", host.trim())])
        .fails(0, &[]);
    env.run(&["deliver", "a", "--to", &file("there.json", "pay2")])
        .fails(7, &["it is on pay2"]);
    assert!(!env.path("there.json").exists());
    on_pay2(&["deliver", "a"]).fails(0, &[]);
    let old = first.scene.exported();
    env.run(&["rotate", "a", "--grace", "0", "--yes"]).fails(7, &["pay2"]);
    assert_eq!((has("here.json"), has("there.json")), (first.scene.exported(), old));
    assert_eq!(first.scene.working().len(), 2);
    on_pay2(&["rotate", "a", "--finish"]).fails(0, &[]);
    assert_eq!(has("there.json"), first.scene.exported());
    assert_eq!(first.scene.working().len(), 1);
}
