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

use keyutils::keytypes::User;
use keyutils::{Key, Keyring};
use support::terminal::{ends, on_terminal};
use support::{PROGRAM, Run, Sandbox, TestEnv, lacking, peer, skipped};

const PASSPHRASE: &str = "correct horse battery staple";

/// A login session of its own, as `pam_keyinit` makes one, for this thread and the programs that it starts; none where there are no
/// session keyrings.
fn log_in() -> Option<Keyring> {
    let session = Keyring::join_anonymous_session().ok();
    if session.is_none() {
        lacking("there are no session keyrings here");
    }
    session
}

/// An active credential `a` in a vault that a passphrase opens.
fn scene(sandbox: &Sandbox) -> TestEnv {
    let env = TestEnv::with_passphrase(PASSPHRASE);
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

/// What is kept, which is of one vault.
fn kept(session: &Keyring) -> Key {
    let (keys, _) = session.search_for_keyring("dfns-keys", None).unwrap().read().unwrap();
    let [key] = &keys[..] else {
        panic!("one vault is unlocked")
    };
    key.clone()
}

/// When the kernel forgets what is kept, as it says in its own list: `14m`, say, or `perm`.
fn forgotten_in(session: &Keyring) -> String {
    let description = kept(session).description().unwrap().description;
    let keys = std::fs::read_to_string("/proc/keys").unwrap();
    let line = keys.lines().find(|line| line.contains(&description)).unwrap();
    line.split_whitespace().nth(3).unwrap().to_owned()
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
    // A broken file of contexts is no reason to leave it open.
    std::fs::create_dir_all(env.path(".config/dfns-keys")).unwrap();
    env.write(".config/dfns-keys/config.toml", "[context.a\n");
    env.ok(&["lock"]);
    env.write(".config/dfns-keys/config.toml", "");
    assert!(!opens(&env));
    env.ok(&["unlock", "--passphrase-file", "passphrase"]);
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
    let Some(session) = log_in() else { return };
    let env = scene(&Sandbox::start());
    for (time, forgotten) in [(&[][..], &["14m", "15m"][..]), (&["--for", "8h"], &["7h", "8h"])] {
        env.ok(&[&["unlock", "--passphrase-file", "passphrase"], time].concat());
        let told = forgotten_in(&session);
        assert!(forgotten.contains(&told.as_str()), "{told}");
    }
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

/// What is kept is from an earlier time. Where it says nothing of the vault that is there now, the passphrase is asked for.
#[test]
fn what_is_kept_and_out_of_date_is_passed_over() {
    let Some(session) = log_in() else { return };
    let env = scene(&Sandbox::start());
    env.ok(&["unlock", "--passphrase-file", "passphrase"]);
    let mut key = kept(&session);
    let text = String::from_utf8(key.read().unwrap()).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains("vault: ")).collect();
    let without_id = lines.join("\n");
    for unusable in ["of another version", "\u{0}"] {
        key.update::<User, _>(unusable.as_bytes()).unwrap();
        assert!(!opens(&env), "{unusable:?}");
        env.ok(&["unlock", "--passphrase-file", "passphrase"]);
        key = kept(&session);
        assert!(opens(&env));
    }
    // Before its vault was moved to version 2, an identity did not know it; nor does this machine by now.
    key.update::<User, _>(without_id.as_bytes()).unwrap();
    std::fs::rename(env.path(".local/state"), env.path("state")).unwrap();
    assert!(!opens(&env));
    key.update::<User, _>(text.as_bytes()).unwrap();
    assert!(opens(&env));
    // Another vault has come to its place.
    std::fs::remove_dir_all(env.path(".local/state")).unwrap();
    std::fs::rename(env.vault(), env.path("earlier")).unwrap();
    support::copy(
        &TestEnv::with_passphrase("another passphrase of enough words").vault(),
        &env.vault(),
    );
    env.run(&["onboard", "b", "--prepare"])
        .fails(4, &["no terminal to ask for the passphrase on"]);
}

/// Where a user has too many keys, no other session can be joined: then nothing is started that would find what is kept.
#[test]
fn where_the_session_cannot_be_left_no_program_is_started() {
    use std::os::unix::process::CommandExt;
    let Some(_session) = log_in() else { return };
    if !peer("keyctl") {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        return skipped("only root can be another user, whose keys are counted");
    }
    let user = 200_000 + std::process::id();
    let env = scene(&Sandbox::start());
    std::fs::copy(PROGRAM, env.path("dfns-keys")).unwrap();
    support::give_away(env.home.path(), user);
    let script = "./dfns-keys unlock --passphrase-file passphrase || exit 91
        number=0; while keyctl add user \"$number\" x @u >filled 2>&1; do number=$((number + 1)); done
        ./dfns-keys exec a -- /bin/sh -c 'echo started'; echo \"exec $?\"
        ./dfns-keys unlock --passphrase-file passphrase; echo \"unlock $?\"
        ./dfns-keys lock || exit 92
        keyctl clear @u
        ./dfns-keys exec a --passphrase-file passphrase -- /bin/sh -c 'echo started'";
    let mut command = Command::new("keyctl");
    command.args(["session", "-", "/bin/sh", "-c", script]);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.env("HOME", env.home.path()).env("DFNS_KEYS_VAULT", env.vault());
    let run = Run::of(command.current_dir(env.home.path()).uid(user).gid(user));
    assert_eq!(run.stdout, "exec 1\nunlock 1\nstarted\n", "{run:?}");
    run.fails(0, &["cannot be kept from the programs", "takes nothing more"]);
}

/// As where a container's profile forbids the calls: told before anybody types a passphrase for nothing.
#[test]
fn where_nothing_can_be_kept_unlock_says_so_and_asks_nothing() {
    if !peer("strace") {
        return;
    }
    let env = TestEnv::with_passphrase(PASSPHRASE);
    let mut command = env.bare("strace");
    command.args([
        "-o",
        "trace",
        "-e",
        "inject=keyctl,add_key:error=EPERM",
        PROGRAM,
        "unlock",
    ]);
    let run = Run::of(command.env("DFNS_KEYS_VAULT", env.vault()));
    run.fails(1, &["nothing can be kept here", "--identity FILE"]);
    // As in a tmux that has outlived its login.
    if peer("keyctl") {
        let mut command = env.bare("keyctl");
        command.args([
            "session",
            "-",
            "sh",
            "-c",
            "keyctl revoke @s; exec \"$0\" unlock",
            PROGRAM,
        ]);
        let run = Run::of(command.env("DFNS_KEYS_VAULT", env.vault()));
        run.fails(1, &["the login that this was started in has ended"]);
    }
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
    let key = kept(&session);
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
fn a_person_may_mistype_the_passphrase_of_a_vault_that_is_put_right_twice() {
    let env = TestEnv::with_passphrase(PASSPHRASE);
    let mut sync = on_terminal(&env.asking(&["recipients", "sync"]));
    for line in ["x", "y", PASSPHRASE] {
        sync.exp_string("Vault passphrase: ").unwrap();
        sync.send_line(line).unwrap();
    }
    let rest = ends(sync, 0);
    assert!(rest.contains("Sealed 0 credentials again"), "{rest}");
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
