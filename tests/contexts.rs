//! Contexts: which vault, how it is opened, and what a new credential takes for granted, by one name.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use serde_json::Value;
use support::{PROGRAM, Run, Sandbox, TestEnv, mode};

/// A home with two vaults, `one` and `two`, that the same identity opens, and a context for each.
struct Scene(TestEnv);

impl Scene {
    fn new() -> Self {
        let scene = Self(TestEnv::new());
        let identity = age::x25519::Identity::generate();
        let text = secrecy::ExposeSecret::expose_secret(&identity.to_string()).to_owned();
        scene.0.write("id.txt", format!("{text}\n"));
        for name in ["one", "two"] {
            scene.ok(&[
                "init",
                "--vault",
                name,
                "--recipient",
                &identity.to_public().to_string(),
            ]);
            scene.ok(&["context", "set", name, "--vault", name, "--identity", "id.txt"]);
        }
        scene
    }

    /// The program with nothing of the environment but these.
    fn run_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Run {
        let mut command = self.0.bare(PROGRAM);
        command.args(arguments).envs(variables.iter().copied());
        Run::of(&mut command)
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.run_with(&[], arguments)
    }

    fn ok(&self, arguments: &[&str]) -> Run {
        let run = self.run(arguments);
        assert_eq!(run.code, 0, "{arguments:?}: {run:?}");
        run
    }

    /// Which vault a command works on, in which there is a credential of its name.
    fn vault_of(&self, variables: &[(&str, &str)], flags: &[&str]) -> String {
        let run = self.run_with(variables, &[&["list", "--json"], flags].concat());
        run.json()["credentials"][0]["name"].as_str().unwrap().to_owned()
    }

    fn config(&self) -> String {
        std::fs::read_to_string(self.0.path(".config/dfns-keys/config.toml")).unwrap()
    }

    fn show(&self, name: &str, context: &str) -> Value {
        self.ok(&["show", name, "--json", "--context", context]).json()["credential"].clone()
    }
}

#[test]
fn a_flag_goes_before_the_environment_and_that_before_a_context_unless_a_flag_names_it() {
    let scene = Scene::new();
    scene.ok(&["context", "set", "empty", "--origin", "https://a.example"]);
    for name in ["one", "two"] {
        scene.ok(&["onboard", name, "--prepare", "--context", name]);
    }
    assert_eq!(scene.vault_of(&[("DFNS_KEYS_CONTEXT", "two")], &[]), "two");
    scene.ok(&["context", "use", "one"]);
    assert_eq!(scene.vault_of(&[], &[]), "one");
    assert_eq!(scene.vault_of(&[("DFNS_KEYS_CONTEXT", "two")], &[]), "two");
    let two = scene.0.path("two");
    let two = two.to_str().unwrap();
    assert_eq!(scene.vault_of(&[("DFNS_KEYS_VAULT", two)], &[]), "two");
    assert_eq!(
        scene.vault_of(&[("DFNS_KEYS_VAULT", two), ("DFNS_KEYS_CONTEXT", "one")], &[]),
        "two"
    );
    assert_eq!(
        scene.vault_of(&[("DFNS_KEYS_VAULT", two)], &["--context", "one"]),
        "one"
    );
    assert_eq!(scene.vault_of(&[], &["--context", "one", "--vault", "two"]), "two");
    // A context that a flag names goes before the environment entirely, also in what it leaves out.
    scene
        .run_with(&[("DFNS_KEYS_VAULT", two)], &["list", "--context", "empty"])
        .fails(3, &["there is no vault", ".local/share/dfns-keys"]);
}

#[test]
fn what_a_new_credential_takes_for_granted_does_not_change_one_that_is_there() {
    let scene = Scene::new();
    let sandbox = Sandbox::start();
    let url = &sandbox.url;
    scene.ok(&["context", "set", "one", "--api-url", url, "--app-id", "ap-1"]);
    let public = scene.ok(&["onboard", "a", "--prepare", "--context", "one"]).stdout;
    assert_eq!(scene.show("a", "one")["api_url"], url.as_str());
    // Begun at one address, it goes on there, whatever the context says by now.
    scene.ok(&["context", "set", "one", "--api-url", "https://api.dfns.io"]);
    scene.0.write("token", sandbox.create("a", &public));
    scene.ok(&["onboard", "a", "--token-file", "token", "--context", "one"]);
    scene.ok(&["verify", "a", "--context", "one"]);
    assert_eq!(scene.show("a", "one")["app_id"], "ap-1");
    // The environment and a flag go before it.
    let variables = [("DFNS_KEYS_CONTEXT", "one"), ("DFNS_KEYS_API_URL", url)];
    let run = scene.run_with(&variables, &["onboard", "b", "--prepare"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(scene.show("b", "one")["api_url"], url.as_str());
    let run = scene.run_with(
        &variables,
        &["onboard", "c", "--prepare", "--api-url", "https://api.dfns.ninja"],
    );
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(scene.show("c", "one")["api_url"], "https://api.dfns.ninja");
    let run = scene.run_with(&[("DFNS_KEYS_API_URL", "ftp://x")], &["list", "--vault", "one"]);
    run.fails(2, &["DFNS_KEYS_API_URL"]);
}

#[test]
fn whom_to_act_as_comes_from_the_context() {
    let scene = Scene::new();
    let sandbox = Sandbox::start();
    let code = sandbox.code("ops@example.com");
    scene.ok(&["context", "set", "one", "--as", "ops", "--api-url", &sandbox.url]);
    scene.ok(&["enroll", "ops", "--code", &code, "--context", "one"]);
    scene.ok(&["onboard", "a", "--as", "ops", "--context", "one"]);
    scene.ok(&[
        "enroll",
        "other",
        "--code",
        &sandbox.code("other@example.com"),
        "--context",
        "one",
    ]);
    // Of two that are enrolled one has to be named, or the context does.
    scene
        .run(&["account", "list", "--vault", "one", "--identity", "id.txt"])
        .fails(2, &["--as ADMIN"]);
    scene.ok(&["account", "list", "--context", "one"]);
    scene.ok(&["rotate", "a", "--strategy", "replace", "--context", "one"]);
}

#[test]
fn the_file_is_a_persons_too() {
    let scene = Scene::new();
    let path = scene.0.path(".config/dfns-keys/config.toml");
    assert_eq!(mode(&path), 0o600);
    std::fs::write(&path, format!("# of the team\n{}", scene.config())).unwrap();
    scene.ok(&["context", "use", "two"]);
    scene.ok(&["context", "set", "two", "--org-id", "or-1"]);
    assert!(scene.config().contains("# of the team"), "{}", scene.config());
    let listed = scene.ok(&["context", "list", "--json"]).json();
    let row = &listed["contexts"][1];
    assert_eq!(
        (&row["name"], &row["default"], &row["org_id"]),
        (&"two".into(), &true.into(), &"or-1".into())
    );
    assert_eq!(
        row["vault"],
        scene.0.path("two").canonicalize().unwrap().to_str().unwrap()
    );
    let table = scene.ok(&["context", "list"]).stdout;
    assert!(table.contains("two") && table.contains("yes"), "{table}");

    scene
        .run(&["list", "--context", "tow"])
        .fails(3, &["no context named tow", "two"]);
    scene
        .run(&["context", "use", "nobody"])
        .fails(3, &["no context named nobody"]);
    scene.ok(&["context", "remove", "two"]);
    assert!(!scene.config().contains("default"), "{}", scene.config());
    scene.run(&["context", "set", "three"]).fails(2, &["nothing to set"]);

    for (wrong, words) in [
        ("[context.a]\nvalut = \"x\"\n", &["config.toml, line 2", "valut"][..]),
        ("[context.a]\napi_url = \"ftp://x\"\n", &["config.toml, line 2"]),
        ("default = 7\n", &["config.toml, line 1"]),
        ("[context.a\n", &["config.toml, line 1"]),
    ] {
        std::fs::write(&path, wrong).unwrap();
        scene.run(&["list"]).fails(2, words);
        scene.run(&["context", "set", "b", "--vault", "x"]).fails(2, words);
        assert_eq!(scene.config(), wrong, "what is broken is left as it is");
        scene.ok(&["completions", "bash"]);
    }
}

#[test]
fn a_shell_is_told_the_contexts_and_the_names_in_them() {
    let scene = Scene::new();
    scene.ok(&["onboard", "payments", "--prepare", "--context", "two"]);
    let told = |words: &[&str]| {
        let variables = [("_DFNS_KEYS_COMPLETE", "fish")];
        scene
            .run_with(&variables, &[&["--", "dfns-keys"], words].concat())
            .stdout
    };
    assert!(
        told(&["--context", ""]).contains("one\ntwo"),
        "{}",
        told(&["--context", ""])
    );
    assert!(told(&["context", "use", "t"]).contains("two"));
    assert!(told(&["--context", "two", "show", "p"]).contains("payments"));
    assert!(!told(&["--context", "one", "show", "p"]).contains("payments"));
}

#[cfg(unix)]
#[test]
fn questions_name_the_context() {
    use support::terminal::{ends, on_terminal};
    let scene = Scene::new();
    scene.0.write("passphrase", "correct horse battery staple\n");
    scene.ok(&["init", "--vault", "three", "--passphrase-file", "passphrase"]);
    scene.ok(&["context", "set", "three", "--vault", "three"]);
    scene.ok(&[
        "onboard",
        "a",
        "--prepare",
        "--context",
        "three",
        "--passphrase-file",
        "passphrase",
    ]);
    let mut remove = on_terminal(&scene.0.asking(&["remove", "a", "--context", "three"]));
    remove.exp_string("[three] Vault passphrase: ").unwrap();
    remove.send_line("correct horse battery staple").unwrap();
    remove.exp_string("[three] Type the name").unwrap();
    remove.send_line("a").unwrap();
    ends(remove, 0);
    let told = scene.run(&["list", "--verbose", "--context", "three"]).stderr;
    assert!(told.contains("context three, vault "), "{told}");
}
