//! Contexts: which vault, how it is opened, and what a new credential takes for granted, by one name.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use serde_json::Value;
use support::{PROGRAM, Run, Sandbox, TestEnv, mode, set_mode};

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

/// Nothing of another vault is asked under a context's name, and what opens the context's own vault, and who acts in it, stays there.
#[test]
fn a_context_whose_vault_is_not_used_lends_its_addresses_and_nothing_else() {
    let scene = Scene::new();
    let stranger = age::x25519::Identity::generate().to_public().to_string();
    scene.ok(&["init", "--vault", "three", "--recipient", &stranger]);
    let three = scene.0.path("three");
    let three = three.to_str().unwrap();
    scene.ok(&["context", "set", "one", "--as", "ops", "--app-id", "ap-1"]);
    scene.ok(&["context", "use", "one"]);
    for (variables, flags) in [
        (&[("DFNS_KEYS_VAULT", three)][..], &[][..]),
        (&[("DFNS_KEYS_VAULT", three), ("DFNS_KEYS_CONTEXT", "one")], &[]),
        (&[], &["--vault", "three"]),
        (&[], &["--vault", "three", "--context", "one"]),
    ] {
        let run = |arguments: &[&str]| scene.run_with(variables, &[arguments, flags].concat());
        run(&["recipients", "list", "--digest"]).fails(4, &["no identity of its own"]);
        let told = run(&["list", "--verbose"]).stderr;
        assert!(told.contains("not that of context one"), "{told}");
        let run = run(&["account", "list"]);
        assert!(run.code != 0 && !run.stderr.contains("ops"), "{run:?}");
    }
    // Written otherwise it is the same vault; and a context that names none goes with any.
    let told = scene.run(&["list", "--verbose", "--vault", "three/../one"]).stderr;
    assert!(told.contains("context one, vault"), "{told}");
    scene.ok(&["recipients", "list", "--digest", "--vault", "three/../one"]);
    scene.ok(&["context", "set", "any", "--identity", "id.txt"]);
    scene.ok(&["recipients", "list", "--digest", "--context", "any", "--vault", "two"]);
    scene.ok(&["onboard", "a", "--prepare", "--vault", "two", "--identity", "id.txt"]);
    assert_eq!(scene.show("a", "two")["app_id"], "ap-1");
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
        (
            "[context.a]\nvault = \"vaults/a\"\n",
            &["config.toml, line 2", "absolute"],
        ),
        (
            "[context.a]\nidentity = \"key.txt\"\n",
            &["config.toml, line 2", "absolute"],
        ),
    ] {
        std::fs::write(&path, wrong).unwrap();
        scene.run(&["list"]).fails(2, words);
        scene.run(&["context", "set", "b", "--vault", "x"]).fails(2, words);
        assert_eq!(scene.config(), wrong, "what is broken is left as it is");
        scene.ok(&["completions", "bash"]);
        scene.ok(&["public-key", "--help"]);
        // What stands behind `--` is another program's.
        let run = scene.run(&["exec", "a", "--", "x", "--json"]);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run:?}");
        assert_eq!(scene.run(&["list", "--json"]).json()["error"]["code"], "config");
    }
}

/// It says which vault is used and what opens it. A person may have it elsewhere, behind a link.
#[cfg(unix)]
#[test]
fn a_file_that_others_can_write_to_is_not_believed() {
    let scene = Scene::new();
    let path = scene.0.path(".config/dfns-keys/config.toml");
    let folder = path.parent().unwrap();
    let elsewhere = scene.0.path("dotfiles");
    std::fs::create_dir(&elsewhere).unwrap();
    set_mode(&elsewhere, 0o755);
    std::fs::rename(&path, elsewhere.join("config.toml")).unwrap();
    std::os::unix::fs::symlink(elsewhere.join("config.toml"), &path).unwrap();
    scene.ok(&["list", "--context", "one"]);
    for (place, mode) in [
        (&path, 0o620),
        (&path, 0o602),
        (&folder.to_owned(), 0o770),
        (&elsewhere, 0o777),
    ] {
        let before = support::mode(place);
        set_mode(place, mode);
        scene
            .run(&["list", "--context", "one"])
            .fails(1, &["others can write to it", "chmod go-w"]);
        set_mode(place, before);
    }
    // It stays where it is when it is changed.
    scene.ok(&["context", "set", "one", "--org-id", "or-1"]);
    assert!(
        path.is_symlink() && scene.config().contains("or-1"),
        "{}",
        scene.config()
    );
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(elsewhere.join("config.toml"), Some(65534), None).unwrap();
        scene
            .run(&["list", "--context", "one"])
            .fails(1, &["belongs to another user"]);
    }
}

#[test]
fn two_who_change_the_file_at_once_lose_nothing_of_each_other() {
    let scene = Scene::new();
    let names: Vec<String> = (0..12).map(|number| format!("at-once-{number}")).collect();
    std::thread::scope(|threads| {
        for name in &names {
            threads.spawn(|| scene.ok(&["context", "set", name, "--org-id", "or-1"]));
        }
    });
    let config = scene.config();
    for name in &names {
        assert!(config.contains(&format!("[context.{name}]\n")), "{name}: {config}");
    }
}

/// As in a container under a number that no user has.
#[cfg(target_os = "linux")]
#[test]
fn without_a_home_directory_there_are_no_contexts_and_everything_else_works() {
    let scene = Scene::new();
    if !support::peer("unshare") {
        return;
    }
    let nobody = |arguments: &[&str]| {
        let mut command = scene.0.bare("unshare");
        command.args(["--user", "--map-user=54321", "--map-group=54321", PROGRAM]);
        command.args(arguments).env_remove("HOME");
        command
    };
    if Run::of(&mut nobody(&["--version"])).code != 0 {
        return support::lacking("no user namespaces here");
    }
    let run = Run::of(&mut nobody(&["list", "--vault", "one", "--json"]));
    assert_eq!(run.code, 0, "{run:?}");
    Run::of(&mut nobody(&["list"])).fails(2, &["no home directory", "--vault DIR"]);
    Run::of(&mut nobody(&["context", "set", "a", "--vault", "one"])).fails(2, &["no home directory"]);
    // Whoever says where things are needs none.
    let mut command = nobody(&["list", "--context", "one", "--verbose"]);
    let run = Run::of(command.env("XDG_CONFIG_HOME", scene.0.path(".config")));
    run.fails(0, &["context one"]);
    let mut command = nobody(&[
        "recipients",
        "list",
        "--digest",
        "--vault",
        "one",
        "--identity",
        "id.txt",
    ]);
    let run = Run::of(command.env("XDG_STATE_HOME", scene.0.path("state")));
    run.fails(0, &["for the first time"]);
    assert!(
        scene.0.path("state/dfns-keys").exists(),
        "what was seen of the vault is remembered"
    );
}

#[test]
fn a_shell_is_told_the_contexts_and_the_names_in_them() {
    let scene = Scene::new();
    scene.ok(&["onboard", "payments", "--prepare", "--context", "two"]);
    let recipient = scene.ok(&["recipients", "list", "--context", "one"]).stdout;
    scene.ok(&["init", "--recipient", recipient.trim()]);
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
    // What stands behind `--` is another program's.
    scene.ok(&["context", "use", "two"]);
    let variables = [("_DFNS_KEYS_COMPLETE", "bash"), ("_CLAP_COMPLETE_INDEX", "2")];
    let words = ["--", "dfns-keys", "show", "p", "--", "--context", "one"];
    assert!(scene.run_with(&variables, &words).stdout.contains("payments"));
    // The names of another vault than the one that is meant would mislead.
    scene.ok(&[
        "onboard",
        "p-default",
        "--prepare",
        "--vault",
        ".local/share/dfns-keys",
        "--identity",
        "id.txt",
    ]);
    for wrong in ["nobody", "No Name"] {
        assert_eq!(told(&["--context", wrong, "show", "p"]), "");
    }
    std::fs::write(scene.0.path(".config/dfns-keys/config.toml"), "[context.a\n").unwrap();
    assert_eq!(told(&["show", "p"]), "");
    assert!(told(&["sh"]).contains("show"));
}

#[cfg(unix)]
#[test]
fn questions_name_the_context() {
    use support::terminal::{ends, on_terminal};
    let scene = Scene::new();
    let sandbox = Sandbox::start();
    let passphrase = "correct horse battery staple";
    support::copy(&TestEnv::with_passphrase(passphrase).vault(), &scene.0.path("three"));
    scene.ok(&["context", "set", "three", "--vault", "three", "--api-url", &sandbox.url]);
    let ask = |arguments: &[&str]| on_terminal(&scene.0.asking(&[arguments, &["--context", "three"]].concat()));

    let mut onboard = ask(&["onboard", "a"]);
    onboard.exp_string("[three] Vault passphrase: ").unwrap();
    onboard.send_line(passphrase).unwrap();
    onboard.exp_string("[three] Token (hidden").unwrap();
    onboard.send_control('c').unwrap();
    ends(onboard, 130);

    let mut enroll = ask(&["enroll", "ops", "--username", "ops@example.com", "--org-id", "or-1"]);
    enroll.exp_string("[three] Vault passphrase: ").unwrap();
    enroll.send_line(passphrase).unwrap();
    enroll.exp_string("[three] One-time code: ").unwrap();
    enroll.send_control('c').unwrap();
    ends(enroll, 130);

    let mut rekey = ask(&["rekey"]);
    rekey.exp_string("[three] Vault passphrase: ").unwrap();
    rekey.send_line(passphrase).unwrap();
    rekey.exp_string("[three] New passphrase for the vault").unwrap();
    rekey.send_line("another passphrase of enough words").unwrap();
    rekey.exp_string("[three] The same again: ").unwrap();
    rekey.send_control('c').unwrap();
    ends(rekey, 130);

    std::fs::copy(scene.0.path("three/identity.age"), scene.0.path("mine.age")).unwrap();
    let mut list = ask(&["recipients", "list", "--digest", "--identity", "mine.age"]);
    list.exp_string("[three] Passphrase of mine.age: ").unwrap();
    list.send_control('c').unwrap();
    ends(list, 130);

    let mut remove = ask(&["remove", "a"]);
    remove.exp_string("[three] Vault passphrase: ").unwrap();
    remove.send_line(passphrase).unwrap();
    remove.exp_string("[three] Type the name").unwrap();
    remove.send_line("a").unwrap();
    ends(remove, 0);
    let told = scene.run(&["list", "--verbose", "--context", "three"]).stderr;
    assert!(told.contains("context three, vault "), "{told}");
}
