//! A vault that was unlocked opens without its passphrase, to the programs of one login session and for a while.
#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use keyutils::Keyring;
use keyutils::keytypes::User;
use support::terminal::{ends, on_terminal};
use support::{PROGRAM, Run, Sandbox, TestEnv, peer, skipped};

const PASSPHRASE: &str = "correct horse battery staple";

/// A login session of its own, as `pam_keyinit` makes one, for this thread and the programs that it starts; none where there are no
/// session keyrings.
fn log_in() -> Option<Keyring> {
    let session = Keyring::join_anonymous_session().ok();
    if session.is_none() {
        skipped("there are no session keyrings here");
    }
    session
}

/// An active credential `a` in a vault that a passphrase opens.
fn scene(sandbox: &Sandbox) -> TestEnv {
    let env = TestEnv::new();
    env.write("passphrase", format!("{PASSPHRASE}\n"));
    env.ok(&["init", "--passphrase-file", "passphrase"]);
    env.quicken(PASSPHRASE);
    env.write("token", env.prepare(sandbox, "a"));
    env.ok(&[
        "onboard",
        "a",
        "--token-file",
        "token",
        "--passphrase-file",
        "passphrase",
    ]);
    env
}

fn opens(env: &TestEnv) -> bool {
    let run = env.run(&["export", "a", "--format", "pem-private"]);
    if run.code != 0 {
        run.fails(4, &["no terminal to ask for the passphrase on"]);
    }
    run.code == 0
}

#[test]
fn an_unlocked_vault_opens_without_its_passphrase_until_it_is_locked() {
    let Some(_session) = log_in() else { return };
    let env = scene(&Sandbox::start());
    assert!(!opens(&env));
    let unlocked = env.run(&["unlock", "--json", "--passphrase-file", "passphrase"]).json();
    assert_eq!(unlocked["reach"], "session");
    assert!(unlocked["unlocked_until"].is_string());
    assert!(opens(&env));
    // What was given goes before what is kept.
    env.write("wrong", "another passphrase\n");
    let wrong = ["export", "a", "--format", "pem-private", "--passphrase-file", "wrong"];
    env.run(&wrong).fails(4, &["does not open the vault"]);
    // Another vault is another.
    assert!(!opens(&scene(&Sandbox::start())));
    env.ok(&["lock"]);
    assert!(!opens(&env));
    assert_eq!(env.run(&["lock", "--json"]).json()["locked"], true);
}

#[test]
fn it_is_shut_by_itself_when_its_time_is_over() {
    let Some(_session) = log_in() else { return };
    let env = scene(&Sandbox::start());
    env.ok(&["unlock", "--for", "1s", "--passphrase-file", "passphrase"]);
    let patience = Instant::now() + Duration::from_secs(60);
    while opens(&env) {
        assert!(Instant::now() < patience, "it stays open");
    }
    env.run(&["unlock", "--for", "0s", "--passphrase-file", "passphrase"])
        .fails(2, &["keeps nothing"]);
    env.run(&["unlock", "--for", "30d", "--passphrase-file", "passphrase"])
        .fails(2, &["24h"]);
    assert!(!opens(&env));
}

#[test]
fn who_may_open_it_and_what_shows_a_secret_asks_all_the_same() {
    let Some(_session) = log_in() else { return };
    let env = scene(&Sandbox::start());
    env.ok(&["unlock", "--passphrase-file", "passphrase"]);
    env.write("next", "another passphrase of enough words\n");
    let stranger = age::x25519::Identity::generate().to_public().to_string();
    for arguments in [
        &["rekey", "--new-passphrase-file", "next"][..],
        &["recipients", "add", &stranger],
        &["recipients", "list", "--digest"],
        &["export", "a", "--format", "dotenv", "--reveal"],
    ] {
        env.run(arguments)
            .fails(4, &["no terminal to ask for the passphrase on"]);
    }
    assert!(opens(&env));
}

/// The identity that is kept opens nothing new after a `rekey`. Then the passphrase is asked for.
#[test]
fn after_a_rekey_it_is_asked_for_again() {
    let Some(_session) = log_in() else { return };
    let env = scene(&Sandbox::start());
    env.ok(&["unlock", "--passphrase-file", "passphrase"]);
    env.write("next", "another passphrase of enough words\n");
    env.ok(&[
        "rekey",
        "--passphrase-file",
        "passphrase",
        "--new-passphrase-file",
        "next",
    ]);
    assert!(!opens(&env));
    env.ok(&["unlock", "--passphrase-file", "next"]);
    assert!(opens(&env));
}

/// Neither a program that `exec` runs nor what that starts is in the session any more.
#[test]
fn a_program_that_is_run_with_a_credential_cannot_open_the_vault() {
    let Some(_session) = log_in() else { return };
    let env = scene(&Sandbox::start());
    env.ok(&["unlock", "--passphrase-file", "passphrase"]);
    env.ok(&["exec", "a", "--", PROGRAM, "--version"]);
    env.run(&["exec", "a", "--", PROGRAM, "exec", "a", "--", PROGRAM, "--version"])
        .fails(4, &["no terminal to ask for the passphrase on"]);
    assert!(opens(&env));
}

#[test]
fn another_login_of_the_same_user_has_to_unlock_for_itself() {
    let Some(_session) = log_in() else { return };
    let env = scene(&Sandbox::start());
    env.ok(&["unlock", "--passphrase-file", "passphrase"]);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let _other = log_in();
            assert!(!opens(&env));
            env.ok(&["lock"]);
        });
    });
    assert!(opens(&env));
}

/// Read by `keyctl`, the kernel's own tool, as somebody else would try.
#[test]
fn another_user_cannot_read_what_is_kept() {
    let Some(session) = log_in() else { return };
    if !peer("keyctl") {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        return skipped("only root can be another user");
    }
    let env = scene(&Sandbox::start());
    env.ok(&["unlock", "--passphrase-file", "passphrase"]);
    let ours = session.search_for_keyring("dfns-keys", None).unwrap();
    let (keys, _) = ours.read().unwrap();
    let [key] = &keys[..] else {
        panic!("one vault is unlocked")
    };
    assert!(key.is_keytype::<User>().unwrap());
    let description = key.description().unwrap().description;
    let read = |by: &mut Command| Run::of(by.args(["pipe", &format!("%user:{description}")]));
    let own = read(&mut Command::new("keyctl"));
    assert!(own.stdout.contains("AGE-SECRET-KEY-1"), "{}", own.stderr);
    assert!(!own.stdout.contains(PASSPHRASE));
    std::thread::scope(|threads| {
        threads.spawn(|| {
            use std::os::unix::process::CommandExt;
            let _other = log_in();
            // In /proc/keys, which shows nobody what they may not see, and by its number, which can be guessed.
            let listed = Run::of(Command::new("cat").arg("/proc/keys").uid(65534).gid(65534));
            assert!(!listed.stdout.contains(&description), "{listed:?}");
            let keys = std::fs::read_to_string("/proc/keys").unwrap();
            let number = keys.lines().find(|line| line.contains(&description)).map(|line| {
                let number = line.split(' ').next().unwrap();
                format!("{}", u32::from_str_radix(number, 16).unwrap())
            });
            if let Some(number) = number {
                let by_number = Run::of(Command::new("keyctl").args(["pipe", &number]).uid(65534).gid(65534));
                assert!(by_number.code != 0 && by_number.stdout.is_empty(), "{by_number:?}");
            }
        });
    });
}

#[test]
fn a_person_may_mistype_the_passphrase_twice() {
    let Some(_session) = log_in() else { return };
    let env = scene(&Sandbox::start());
    for (typed, code) in [(&["x", "y", PASSPHRASE][..], 0), (&["x", "y", "z"], 4)] {
        let mut unlock = on_terminal(&env.asking(&["unlock"]));
        for line in typed {
            unlock.exp_string("Vault passphrase: ").unwrap();
            unlock.send_line(line).unwrap();
        }
        let rest = ends(unlock, code);
        assert!(
            rest.contains(if code == 0 {
                "shut it"
            } else {
                "does not open the vault"
            }),
            "{rest}"
        );
        assert!(!rest.contains("Vault passphrase"), "{rest}");
    }
    assert!(opens(&env));
}
