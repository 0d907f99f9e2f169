//! What a program sees that is started from here: what was promised to it, and nothing of how the vault is opened. Shown
//! by programs that write down all that they see, of themselves and of their parent.
#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::io::Write;
use std::process::Command;

use support::children::{IDENTITY, RECIPIENT, Watched, can_watch};
use support::{PROGRAM, Run, Sandbox, TestEnv};

const PASSPHRASE: &str = "canary-passphrase-0123456789-abcdef";

/// Every way to give a passphrase: words for the shell before the program, its options, and redirections behind it.
const WAYS: [(&str, &str, &str); 9] = [
    ("DFNS_KEYS_PASSPHRASE='canary-passphrase-0123456789-abcdef'", "", ""),
    ("DFNS_KEYS_PASSPHRASE_FILE=passphrase", "", ""),
    ("DFNS_KEYS_PASSPHRASE_FILE=/dev/fd/7", "", "7<passphrase"),
    ("", "--passphrase-file passphrase", ""),
    ("", "--passphrase-file /proc/self/fd/7", "7<passphrase"),
    ("", "--passphrase-fd 7", "7<passphrase"),
    ("", "--passphrase-fd 0", "<passphrase"),
    ("", "--passphrase-file -", "<passphrase"),
    ("", "--passphrase-file /dev/stdin", "<passphrase"),
];

struct Scene {
    env: TestEnv,
    watched: Watched,
    token: String,
    sandbox: Sandbox,
}

impl Scene {
    /// An active credential in a vault with a passphrase, whose second recipient is a plug-in.
    fn new() -> Self {
        let env = TestEnv::new();
        let sandbox = Sandbox::start();
        let watched = Watched::new(&env);
        env.write("passphrase", PASSPHRASE);
        env.write("note", "a note for the program");
        let plaintext = format!("{IDENTITY}\n");
        let mut recipient = age::scrypt::Recipient::new(PASSPHRASE.to_owned().into());
        recipient.set_work_factor(10);
        let recipient: &dyn age::Recipient = &recipient;
        let encryptor = age::Encryptor::with_recipients(std::iter::once(recipient)).unwrap();
        let mut sealed = Vec::new();
        let mut writer = encryptor.wrap_output(&mut sealed).unwrap();
        writer.write_all(plaintext.as_bytes()).unwrap();
        writer.finish().unwrap();
        env.write("identity.age", sealed);
        let mut scene = Self {
            env,
            watched,
            token: String::new(),
            sandbox,
        };
        scene.ok(&format!(
            "$PROGRAM init --recipient {RECIPIENT} --passphrase-file passphrase"
        ));
        let url = &scene.sandbox.url;
        let public = scene.ok(&format!(
            "$PROGRAM onboard a --prepare --api-url {url} --passphrase-file passphrase"
        ));
        scene.token = scene.sandbox.create("a", &public.stdout);
        scene.env.write("token", &scene.token);
        scene.ok("$PROGRAM onboard a --token-file token --passphrase-file passphrase");
        scene.watched.seen();
        scene
    }

    fn shell(&self, line: &str) -> Command {
        let mut command = self.env.bare("sh");
        command
            .args(["-c", line])
            .env("PROGRAM", PROGRAM)
            .env("PATH", self.watched.path())
            .env("DFNS_KEYS_VAULT", self.env.vault());
        command
    }

    fn ok(&self, line: &str) -> Run {
        let run = Run::of(&mut self.shell(line));
        assert_eq!(run.code, 0, "{line}: {run:?}");
        run
    }

    /// What plug-ins and programs saw, of whom there must be these.
    fn seen(&self, whom: &[&str]) -> Vec<(String, String)> {
        let seen = self.watched.seen();
        for kind in whom {
            assert!(seen.iter().any(|(name, _)| name.starts_with(kind)), "no {kind} ran");
        }
        seen
    }
}

fn sees_no_passphrase(how: &str, name: &str, seen: &str) {
    for secret in [PASSPHRASE, "DFNS_KEYS_PASSPHRASE", "own descriptor 7 "] {
        assert!(!seen.contains(secret), "{how}: {name} sees {secret}: {seen}");
    }
    // What has the number by now may be of ours, but not that file.
    let holds_it = |line: &&str| line.contains(" descriptor ") && line.ends_with("/passphrase");
    assert_eq!(seen.lines().find(holds_it), None, "{how}: {name}");
}

#[test]
fn neither_a_plugin_nor_a_program_sees_the_passphrase_however_it_is_given() {
    if !can_watch() {
        return;
    }
    let scene = Scene::new();
    for (environment, option, redirection) in WAYS {
        let line = format!(
            "{environment} exec \"$PROGRAM\" {option} --identity identity.age exec a -- program one two \
             {redirection} 8<note"
        );
        scene.ok(&line);
        for (name, seen) in scene.seen(&["plugin", "program"]) {
            sees_no_passphrase(&line, &name, &seen);
            if name.starts_with("program") {
                // What was promised, and what was meant for the program.
                for promised in [
                    &format!("own environment DFNS_AUTH_TOKEN={}", scene.token),
                    "own environment DFNS_PRIVATE_KEY=",
                    "own contents a note for the program",
                    "own argument two",
                ] {
                    assert!(seen.contains(promised), "{line}: {promised} is missing: {seen}");
                }
                assert!(
                    !seen.lines().any(|line| line.starts_with("own stdin")),
                    "{line}: {seen}"
                );
            }
        }
    }
    // Where stdin was not read, it is the program's.
    scene.ok("exec \"$PROGRAM\" --passphrase-file passphrase --identity identity.age exec a -- program <note");
    let seen = scene.seen(&["program"]);
    assert!(
        seen.iter()
            .any(|(_, text)| text.contains("own stdin a note for the program"))
    );
}

#[test]
fn a_plugin_that_seals_sees_no_secret_of_any_command() {
    if !can_watch() {
        return;
    }
    let scene = Scene::new();
    for way in [0, 2, 5, 7] {
        let (environment, option, redirection) = WAYS[way];
        let recipient = age::x25519::Identity::generate().to_public();
        let line = format!("{environment} exec \"$PROGRAM\" {option} recipients add {recipient} {redirection}");
        scene.ok(&line);
        for (name, seen) in scene.seen(&["plugin"]) {
            sees_no_passphrase(&line, &name, &seen);
        }
    }
    scene.env.write("next", "another-passphrase-0123456789-abcdef");
    scene.ok("exec \"$PROGRAM\" --passphrase-fd 7 rekey --new-passphrase-file /dev/fd/8 7<passphrase 8<next");
    for (name, seen) in scene.seen(&["plugin"]) {
        sees_no_passphrase("rekey", &name, &seen);
        assert!(!seen.contains("another-passphrase"), "{seen}");
    }
    // Nor a token or a key that came by a descriptor.
    let url = &scene.sandbox.url;
    let public = scene.ok(&format!(
        "$PROGRAM onboard b --prepare --api-url {url} --passphrase-file next"
    ));
    let token = scene.sandbox.create("b", &public.stdout);
    scene.env.write("token", &token);
    scene.watched.seen();
    scene.ok("exec \"$PROGRAM\" --passphrase-file next onboard b --token-file /dev/fd/8 8<token");
    for (_, seen) in scene.seen(&["plugin"]) {
        let own = seen.lines().filter(|line| line.starts_with("own "));
        assert!(!own.clone().any(|line| line.contains(&token)), "{seen}");
        // Its standard streams, and the script that it is itself.
        let descriptors = own.filter(|line| line.starts_with("own descriptor"));
        assert!(!descriptors.clone().any(|line| line.contains(" 8 ")), "{seen}");
    }
}

/// An identity in a descriptor opens the vault as well as a passphrase does.
#[test]
fn a_program_cannot_read_the_identity_again_that_opened_the_vault() {
    if !can_watch() {
        return;
    }
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    let watched = Watched::new(&env);
    env.onboard(&sandbox, "a");
    for (identity, redirection) in [("/dev/fd/7", "7<identity.txt"), ("/dev/stdin", "<identity.txt")] {
        let line = format!("exec {PROGRAM} --identity {identity} exec a -- program {redirection}");
        let mut command = env.bare("sh");
        command
            .args(["-c", &line])
            .env("PATH", watched.path())
            .env("DFNS_KEYS_VAULT", env.vault());
        let run = Run::of(&mut command);
        assert_eq!(run.code, 0, "{line}: {run:?}");
        let seen = watched.seen();
        assert_eq!(seen.len(), 1);
        assert!(!seen[0].1.contains("AGE-SECRET-KEY-"), "{line}: {seen:?}");
    }
}

/// As long as it runs, nobody of the same user reads the environment that it was started with, or its descriptors.
#[test]
fn another_process_of_the_same_user_cannot_look_into_a_running_one() {
    if !can_watch() {
        return;
    }
    let env = TestEnv::new();
    let watched = Watched::new(&env);
    env.write("passphrase", PASSPHRASE);
    // Root sees everything, so that somebody else must look.
    let root = rustix::process::geteuid().is_root();
    let mut command = if root {
        if !support::peer("setpriv") {
            return;
        }
        let mut command = env.bare("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        command.arg(env.path("program"));
        command
    } else {
        env.bare(env.path("program").to_str().unwrap())
    };
    std::fs::copy(PROGRAM, env.path("program")).unwrap();
    if root {
        let all = Run::of(env.bare("chown").args(["-R", "65534:65534", "."]));
        assert_eq!(all.code, 0, "{all:?}");
    }
    command
        .args(["generate", "--private-key", "key.age", "--recipient", RECIPIENT])
        .env("PATH", watched.path())
        .env("SOMETHING", "of the parent");
    let run = Run::of(&mut command);
    assert_eq!(run.code, 0, "{run:?}");
    let seen = watched.seen();
    let [(_, text)] = &seen[..] else {
        panic!("one plug-in ran: {seen:?}")
    };
    assert!(text.contains("own environment SOMETHING=of the parent"), "{text}");
    assert!(!text.contains("parent environment"), "{text}");
    assert!(
        !text
            .lines()
            .any(|line| line.starts_with("parent descriptor") && !line.ends_with("* ")),
        "{text}"
    );
    assert!(!text.contains("parent contents"), "{text}");
    // What has no name yet is found by its descriptor all the same.
    assert!(env.path("key.age").exists());
}

#[test]
fn a_descriptor_that_cannot_give_a_passphrase_is_refused() {
    let env = TestEnv::new();
    for number in ["1", "2"] {
        env.run(&["--passphrase-fd", number, "list"])
            .fails(2, &["--passphrase-fd", "output"]);
    }
    env.run(&["--passphrase-fd", "77", "init"])
        .fails(4, &["cannot read the passphrase from", "77"]);
    // One reader of stdin, whatever it is called.
    for option in [["--passphrase-fd", "0"], ["--passphrase-file", "/dev/stdin"]] {
        env.run(&[option[0], option[1], "onboard", "a", "--token-file", "-"])
            .fails(2, &[option[0], "both read from stdin"]);
    }
    let mut command = env.command(&["onboard", "a", "--token-file", "-"]);
    Run::of(command.env("DFNS_KEYS_PASSPHRASE_FILE", "-"))
        .fails(2, &["DFNS_KEYS_PASSPHRASE_FILE", "both read from stdin"]);
}
