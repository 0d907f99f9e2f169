//! Completion in the real shells: what a user gets who presses TAB.
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::path::Path;
use std::process::Command;

use rexpect::session::{PtySession, spawn_command};
use support::{PROGRAM, Run, Sandbox, TestEnv, peer, peer_ok, skipped};

/// A vault with two accounts in use, one that waits for its token, and an administrator.
struct Scene {
    env: TestEnv,
    fingerprint: String,
}

impl Scene {
    fn new() -> Self {
        let env = TestEnv::with_vault();
        let sandbox = Sandbox::start();
        env.onboard(&sandbox, "payments-api");
        env.onboard(&sandbox, "reports");
        env.prepare(&sandbox, "payments-old");
        std::fs::create_dir(env.path("deploy")).unwrap();
        let place = env.path("deploy/reports.env");
        env.ok(&[
            "deliver",
            "reports",
            "--to",
            &format!("file:{}", place.to_str().unwrap()),
        ]);
        let code = sandbox.code("ops@example.com");
        env.ok(&["enroll", "ops-admin", "--code", &code, "--api-url", &sandbox.url]);
        env.write("staging.env", "");
        let fingerprint = env.ok(&["show", "payments-api", "--fingerprint"]).trim().to_owned();
        Self { env, fingerprint }
    }

    /// A shell in which the program is found by its name, and which has its vault but no key to it.
    fn shell(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let path = std::env::var("PATH").unwrap();
        let own = Path::new(PROGRAM).parent().unwrap().display();
        command
            .env_clear()
            .env("PATH", format!("{own}:{path}"))
            .env("HOME", self.env.home.path())
            .env("DFNS_KEYS_VAULT", self.env.vault())
            .env("TERM", "dumb")
            .current_dir(self.env.home.path());
        command
    }

    /// An interactive shell, ready for keys.
    fn interactive(&self, program: &str, arguments: &[&str], ready: &str) -> Keyboard {
        let mut command = self.shell(program);
        command.args(arguments);
        let mut session = spawn_command(command, Some(30_000)).unwrap();
        session.send_line(ready).unwrap();
        Keyboard { session, turn: 0 }
    }
}

struct Keyboard {
    session: PtySession,
    turn: u32,
}

impl Keyboard {
    /// Types keys, among them TAB, waits for what then stands on the screen, and returns what stands before it.
    fn types(&mut self, keys: &str, expected: &str) -> String {
        self.session.send(keys).unwrap();
        self.session.flush().unwrap();
        self.session
            .exp_string(expected)
            .unwrap_or_else(|error| panic!("{keys:?}: {error}"))
    }

    /// Empties the line and returns all that was shown since.
    fn gives_up(&mut self) -> String {
        self.session.send_control('u').unwrap();
        self.turn += 1;
        // The sum is on the screen only when the shell has worked it out.
        self.session
            .send_line(&format!("echo turn-$((1000 + {}))", self.turn))
            .unwrap();
        self.session.exp_string(&format!("turn-{}", 1000 + self.turn)).unwrap()
    }
}

/// What each shell must do, by keys alone; `list` are those that have it show what is possible.
fn by_keyboard(scene: &Scene, mut keyboard: Keyboard, list: &str) {
    // The command is run as it was completed, so that it is the whole line that is judged.
    keyboard.types("dfns-keys sh\tpayments-a\t--finger\t\r", &scene.fingerprint);
    keyboard.types(
        "dfns-keys show --vault ./va\t payments-a\t--fingerprint\r",
        &scene.fingerprint,
    );
    keyboard.types("dfns-keys log ops\t--js\t\r", "\"action\": \"enrolled\"");
    let before = keyboard.types(&format!("dfns-keys verify {list}"), "payments-old");
    let shown = before + &keyboard.gives_up();
    assert!(shown.contains("reports") && !shown.contains("--postman"), "{shown}");
    // Only who can stand there is offered, so that one key is enough.
    keyboard.types("dfns-keys onboard x --as \t--days 0\r", "invalid value '0'");
    keyboard.types(
        "dfns-keys onboard \t--prepare --kind serv\t--json\r",
        "the file of payments-old",
    );
    keyboard.types("dfns-keys export pay\t--format=dock\t--json\r", "would show the secret");
    keyboard.types("dfns-keys verify --dotenv stag\t--offline --json\r", "\"staging.env\"");
    // Of a place with `?` and `&` in it nothing is run, and no more is told than where it is.
    let home = scene.env.home.path().to_str().unwrap();
    keyboard.types(
        &format!("dfns-keys deliver rep\t--to fi\t{home}/depl\tx'?format=x'\r"),
        "format is to be",
    );
    keyboard.types("dfns-keys deliver reports --forget fi\t --json\r", "never opens");
    keyboard.types(
        &format!("dfns-keys deliver payments-api --to=file:{home}/depl\trep\t --json\r"),
        "place_taken",
    );
    keyboard.types(
        "dfns-keys deliver payments-api --to sys\t/\r",
        "systemd-creds:/PATH, whole",
    );
    // An interactive shell does not end by itself.
    keyboard.session.send_line("exit").unwrap();
    keyboard.session.exp_eof().unwrap();
}

#[test]
fn bash_completes_names_flags_and_files() {
    if !peer("bash") {
        return;
    }
    let scene = Scene::new();
    let ready = "PS1='> '; bind 'set bell-style none'; source <(dfns-keys completions bash)";
    let keyboard = scene.interactive("bash", &["--norc", "--noprofile", "-i"], ready);
    by_keyboard(&scene, keyboard, "\t\t");
}

/// As the README has it: a file in the place where the package bash-completion looks when the name is first completed.
#[test]
fn bash_completion_loads_the_script_by_itself() {
    let package = "/usr/share/bash-completion/bash_completion";
    if !peer("bash") || !required(package) {
        return;
    }
    let scene = Scene::new();
    let script = scene.env.ok(&["completions", "bash"]);
    let place = scene.env.path(".local/share/bash-completion/completions");
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join("dfns-keys"), script).unwrap();
    let ready = format!("PS1='> '; bind 'set bell-style none'; source {package}");
    let keyboard = scene.interactive("bash", &["--norc", "--noprofile", "-i"], &ready);
    by_keyboard(&scene, keyboard, "\t\t");
}

#[test]
fn zsh_completes_names_flags_and_files() {
    if !peer("zsh") {
        return;
    }
    let scene = Scene::new();
    let ready = "PS1='> '; unsetopt beep; autoload -Uz compinit && compinit -u; source <(dfns-keys completions zsh)";
    let keyboard = scene.interactive("zsh", &["-f", "-i"], ready);
    by_keyboard(&scene, keyboard, "\t");
}

#[test]
fn zsh_finds_the_script_in_its_path_of_functions() {
    if !peer("zsh") {
        return;
    }
    let scene = Scene::new();
    let script = scene.env.ok(&["completions", "zsh"]);
    std::fs::create_dir(scene.env.path("functions")).unwrap();
    std::fs::write(scene.env.path("functions/_dfns-keys"), script).unwrap();
    let ready = "PS1='> '; unsetopt beep; fpath=(~/functions $fpath); autoload -Uz compinit && compinit -u";
    let keyboard = scene.interactive("zsh", &["-f", "-i"], ready);
    by_keyboard(&scene, keyboard, "\t");
}

#[test]
fn fish_completes_names_with_a_word_on_each() {
    if !peer("fish") {
        return;
    }
    let scene = Scene::new();
    let complete = |line: &str| {
        let script = format!("dfns-keys completions fish | source; complete -C '{line}'");
        let mut command = scene.shell("fish");
        String::from_utf8(peer_ok(command.args(["--no-config", "-c", &script]))).unwrap()
    };
    assert_eq!(
        complete("dfns-keys show pay"),
        "payments-api\tservice account, active\npayments-old\tservice account, pending\n"
    );
    assert_eq!(
        complete("dfns-keys exec pay"),
        "payments-api\tservice account, active\n"
    );
    assert_eq!(
        complete("dfns-keys onboard "),
        "payments-old\tservice account, pending\n"
    );
    assert_eq!(complete("dfns-keys account list --as "), "ops-admin\tuser, active\n");
    assert_eq!(
        complete("dfns-keys export reports --format=dock"),
        "--format=docker-env\n"
    );
    assert_eq!(complete("dfns-keys verify --dotenv st"), "staging.env\n");
    assert_eq!(
        complete("dfns-keys call reports GET /wallets/wa-1/transf"),
        "/wallets/wa-1/transfers\n"
    );
    assert_eq!(complete("dfns-keys deliver payments-api --to sys"), "systemd-creds:\n");
    let places = complete("dfns-keys deliver reports --forget ");
    assert!(
        places.starts_with("file:/") && places.contains("deploy/reports.env?"),
        "{places}"
    );
    assert_eq!(complete("dfns-keys deliver payments-api --forget "), "");
    let flags = complete("dfns-keys verify --of");
    assert!(flags.starts_with("--offline\tCheck only what"), "{flags}");
}

#[test]
fn every_shell_that_is_named_has_a_script() {
    let env = TestEnv::new();
    for (shell, words) in [
        ("bash", "complete -o nospace"),
        ("elvish", "edit:completion:arg-completer"),
        ("fish", "complete --keep-order"),
        ("powershell", "Register-ArgumentCompleter"),
        ("zsh", "#compdef dfns-keys"),
    ] {
        let script = env.ok(&["completions", shell]);
        assert!(script.contains(words), "{script}");
        // It is found by its name, wherever it is installed and whoever made the script.
        assert!(!script.contains(PROGRAM), "{script}");
    }
    env.run(&["completions", "tcsh"]).fails(2, &["possible values"]);
}

#[test]
fn what_cannot_be_completed_is_passed_over_in_silence() {
    let scene = Scene::new();
    let ask = |change: &dyn Fn(&mut Command), words: &[&str]| {
        let mut command = scene.env.command(&[&["--"], words].concat());
        change(command.env("_DFNS_KEYS_COMPLETE", "fish"));
        let run = Run::of(&mut command);
        assert_eq!(run.stderr, "", "{words:?}: {run:?}");
        run.stdout
    };
    let nothing = |_: &mut Command| {};
    assert_eq!(
        ask(&nothing, &["dfns-keys", "show", "re"]),
        "reports\tservice account, active\n"
    );
    // No vault, no home, a shell that we do not know, a line that is none.
    let no_vault = |command: &mut Command| {
        command.env("DFNS_KEYS_VAULT", "/no/such/place");
    };
    assert_eq!(ask(&no_vault, &["dfns-keys", "show", "re"]), "");
    let no_home = |command: &mut Command| {
        command.env_remove("DFNS_KEYS_VAULT").env_remove("HOME");
    };
    assert_eq!(ask(&no_home, &["dfns-keys", "show", "re"]), "");
    let other_shell = |command: &mut Command| {
        command.env("_DFNS_KEYS_COMPLETE", "tcsh");
    };
    assert_eq!(ask(&other_shell, &["dfns-keys", "show", "re"]), "");
    assert_eq!(ask(&nothing, &[]), "");
    // A damaged file hides no other name, and can itself be named where that may be meant.
    scene.env.write("vault/credentials/reports.json", "{");
    assert_eq!(ask(&nothing, &["dfns-keys", "show", "re"]), "reports\n");
    assert_eq!(
        ask(&nothing, &["dfns-keys", "exec", ""]),
        "payments-api\tservice account, active\n"
    );
    // Nothing of a vault that was named on the line is looked for elsewhere.
    assert_eq!(ask(&nothing, &["dfns-keys", "--vault", "elsewhere", "show", "re"]), "");
}

/// Whether a file that a peer's package brings is here; `make check` demands it.
fn required(file: &str) -> bool {
    let found = Path::new(file).exists();
    assert!(
        found || std::env::var_os("DFNS_KEYS_TEST_PEERS").is_none(),
        "{file} is required here and missing"
    );
    if !found {
        skipped(&format!("{file} is not here"));
    }
    found
}
