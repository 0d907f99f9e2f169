//! What is on the disk after a kill or a crash, and what was there before us: nothing in clear under a name of ours, never
//! a private key without its public one, a log that goes on being read, and no folder that is somebody else's.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use support::{Run, Sandbox, TestEnv};

const STOP_AT: &str = "DFNS_KEYS_TEST_STOP_AT";
/// No command here has as many instants.
const ENOUGH: u32 = 100;

/// Everything in a folder, hidden files too.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

/// Whether a file can be written here before it has a name.
fn unnamed_files_are_to_be_had(directory: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{Mode, OFlags, open};
        open(
            directory,
            OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC,
            Mode::RUSR,
        )
        .is_ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = directory;
        false
    }
}

/// Stops a command at each of its instants in turn, looks at what each stop left, and returns how many there were.
fn stopped_at_each(mut command: impl FnMut() -> Command, mut look: impl FnMut(u32)) -> u32 {
    for number in 1..ENOUGH {
        let run = Run::of(command().env(STOP_AT, number.to_string()));
        look(number);
        if run.code == 0 {
            return number - 1;
        }
        assert!(
            run.code != 70 && run.stderr.is_empty(),
            "not stopped but failed: {run:?}"
        );
    }
    panic!("it has no end of instants");
}

/// Starts a command and kills it after each of many times, from none at all to longer than it takes.
fn killed_at_random(mut command: impl FnMut() -> Command, mut look: impl FnMut()) {
    let started = Instant::now();
    assert!(command().status().unwrap().success());
    let whole = started.elapsed();
    look();
    let mut finished = 0;
    for round in 0..60_u32 {
        let mut child = command().spawn().unwrap();
        // Any instant will do; these are spread over the whole of a run.
        std::thread::sleep(whole * round / 50);
        let _ = child.kill();
        finished += u32::from(child.wait().unwrap().success());
        look();
    }
    assert!(finished < 60, "no kill was in time");
}

struct Scene {
    env: TestEnv,
    _sandbox: Sandbox,
    /// A line of the private key.
    secret: String,
}

impl Scene {
    fn new() -> Self {
        let env = TestEnv::with_vault();
        let sandbox = Sandbox::start();
        env.onboard(&sandbox, "a");
        let pem = env.ok(&["export", "a", "--format", "pem-private"]);
        let secret = pem.lines().nth(1).unwrap()[24..].to_owned();
        std::fs::create_dir(env.path("out")).unwrap();
        Self {
            env,
            _sandbox: sandbox,
            secret,
        }
    }

    fn export(&self, force: bool) -> Command {
        let mut arguments = vec!["export", "a", "--format", "pem-private", "--output", "out/a.pem"];
        if force {
            arguments.push("--force");
        }
        let mut command = self.env.command(&arguments);
        command.stderr(std::process::Stdio::null());
        command
    }

    /// The files but for the one that was asked for in which the private key stands in clear.
    fn leftovers(&self) -> Vec<String> {
        let out = self.env.path("out");
        let mut names = names(&out);
        names.retain(|name| name != "a.pem");
        for name in &names {
            let text = std::fs::read_to_string(out.join(name)).unwrap();
            assert!(name.starts_with(".dfns-keys-"), "{name}");
            assert!(
                text.is_empty() || text.contains(&self.secret),
                "{name} is no leftover of ours"
            );
        }
        names
    }

    fn next_run_leaves_nothing(&self) {
        let run = Run::of(&mut self.export(true));
        assert_eq!(run.code, 0, "{run:?}");
        assert_eq!(names(&self.env.path("out")), ["a.pem"]);
    }
}

#[test]
fn an_export_stopped_at_every_instant_leaves_no_private_key_under_a_name_that_nobody_gave() {
    let scene = Scene::new();
    let out = scene.env.path("out");
    let unnamed = unnamed_files_are_to_be_had(&out);
    let instants = stopped_at_each(
        || {
            let _ = std::fs::remove_file(out.join("a.pem"));
            scene.export(false)
        },
        |number| {
            let left = scene.leftovers();
            assert!(left.is_empty() || !unnamed, "instant {number}: {left:?}");
        },
    );
    assert!(instants >= 2, "{instants}");
    scene.next_run_leaves_nothing();
}

#[test]
fn what_a_stopped_replacement_left_is_removed_by_the_next_run_in_that_folder() {
    let scene = Scene::new();
    let mut left = 0;
    stopped_at_each(
        || {
            scene.next_run_leaves_nothing();
            scene.export(true)
        },
        |_| left += scene.leftovers().len(),
    );
    scene.next_run_leaves_nothing();
    assert!(left > 0, "no stop left anything, so that nothing was removed");
}

#[test]
fn an_export_killed_at_random_instants_leaves_nothing_either() {
    let scene = Scene::new();
    let out = scene.env.path("out");
    let unnamed = unnamed_files_are_to_be_had(&out);
    killed_at_random(
        || {
            let _ = std::fs::remove_file(out.join("a.pem"));
            scene.export(false)
        },
        || {
            let left = scene.leftovers();
            assert!(left.is_empty() || !unnamed, "{left:?}");
        },
    );
    killed_at_random(|| scene.export(true), || {});
    scene.next_run_leaves_nothing();
}

/// A pair in `keys`, of which there is never a private half without its public one.
fn generate(env: &TestEnv, force: bool) -> Command {
    let mut arguments = vec![
        "generate",
        "--plaintext",
        "--private-key",
        "keys/private.pem",
        "--public-key",
        "keys/public.pem",
    ];
    if force {
        arguments.push("--force");
    }
    let mut command = env.command(&arguments);
    command.stderr(std::process::Stdio::null());
    command
}

fn no_private_half_is_alone(env: &TestEnv) {
    let left = names(&env.path("keys"));
    if left.iter().any(|name| name == "private.pem") {
        let public = std::fs::read_to_string(env.path("keys/public.pem"))
            .unwrap_or_else(|error| panic!("a private half without its public one: {error}, {left:?}"));
        assert_eq!(
            env.ok(&["public-key", "keys/private.pem"]),
            public,
            "they do not belong together"
        );
    }
}

#[test]
fn a_stopped_generate_never_leaves_a_private_half_without_its_public_one() {
    let env = TestEnv::new();
    let keys = env.path("keys");
    for force in [false, true] {
        let instants = stopped_at_each(
            || {
                if !force {
                    let _ = std::fs::remove_dir_all(&keys);
                    std::fs::create_dir(&keys).unwrap();
                }
                generate(&env, force)
            },
            |_| no_private_half_is_alone(&env),
        );
        assert!(instants >= 4, "{instants}");
        assert_eq!(names(&keys), ["private.pem", "public.pem"]);
    }
    killed_at_random(|| generate(&env, true), || no_private_half_is_alone(&env));
    assert!(generate(&env, true).status().unwrap().success());
    assert_eq!(names(&keys), ["private.pem", "public.pem"]);
}

#[test]
fn two_names_of_one_file_are_refused_as_a_pair() {
    let env = TestEnv::new();
    std::fs::create_dir(env.path("keys")).unwrap();
    let pair = ["generate", "--plaintext", "--private-key", "keys/a.pem", "--public-key"];
    env.run(&[&pair[..], &["keys/../keys/a.pem", "--force"]].concat())
        .fails(2, &["name the same file"]);
    assert!(names(&env.path("keys")).is_empty());
}

/// A device or a pipe is not replaced by a file, not even with `--force`.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_replaced() {
    let scene = Scene::new();
    let fifo = scene.env.path("out/a.pem");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    let run = scene.env.run(&[
        "export",
        "a",
        "--format",
        "pem-private",
        "--output",
        "out/a.pem",
        "--force",
    ]);
    run.fails(1, &["is no plain file"]);
    assert_eq!(names(&scene.env.path("out")), ["a.pem"]);
    assert!(!std::fs::symlink_metadata(&fifo).unwrap().is_file());
}

fn log_file(env: &TestEnv) -> std::path::PathBuf {
    env.vault().join("log.jsonl")
}

fn append(path: &Path, text: &str) {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// A line as a release of ours writes it.
fn line(action: &str, name: &str, detail: &str) -> String {
    format!(
        r#"{{"at":"2026-11-24T12:00:00Z","actor":"tester","action":"{action}","name":"{name}","detail":"{detail}"}}"#
    ) + "\n"
}

#[test]
fn a_torn_line_of_the_log_is_named_and_hides_no_other() {
    let env = TestEnv::with_vault();
    let log = log_file(&env);
    let text = std::fs::read_to_string(&log).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    append(&log, &line("exported", "a", "one"));
    append(&log, "{\"at\":\"2026-11-24T12:0");
    // Whatever is logged next begins a line of its own.
    env.ok(&["onboard", "a", "--prepare", "--api-url", "http://127.0.0.1:9"]);
    append(&log, "not JSON at all\n\n");
    append(&log, &line("exported", "a", "two"));
    append(&log, line("exported", "a", "three").trim_end());

    let run = env.run(&["log", "a"]);
    assert_eq!(run.code, 0, "{run:?}");
    let words = ["one", "prepared", "two", "three"];
    let found: Vec<_> = words.iter().map(|word| run.stdout.find(word)).collect();
    assert!(found.iter().all(Option::is_some) && found.is_sorted(), "{run:?}");
    for named in ["line 3 of log.jsonl is no record", "line 6 of log.jsonl is no record"] {
        assert!(run.stderr.contains(named), "{run:?}");
    }
    let document = env.run(&["log", "--json"]).json();
    assert_eq!(document["events"].as_array().unwrap().len(), 5, "{document}");
    assert_eq!(document["ok"], true);
    assert_eq!(document["skipped"], 2);
    // Between them stands the checkpoint of whoever had the vault open.
    assert_eq!(document["skipped_lines"], serde_json::json!([3, 6]));
    let last = env.run(&["log", "a", "-n", "2", "--json"]).json();
    let details: Vec<_> = last["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["detail"])
        .collect();
    assert_eq!(details, ["two", "three"]);
    let none = env.run(&["log", "nobody", "--json"]).json();
    assert_eq!(none["events"], serde_json::json!([]));
    assert_eq!(none["skipped"], 2, "a line that is no record may have been of nobody's");
}

/// A day of a busy proxy: larger than what could be held, read all the same.
#[cfg(unix)]
#[test]
fn a_log_of_any_size_is_read_in_little_memory() {
    const MEMORY: u64 = 256 * 1024;
    let env = TestEnv::with_vault();
    let log = log_file(&env);
    let large = line("proxied", "a", &"x".repeat(500 * 1024));
    let mut file = std::io::BufWriter::new(std::fs::OpenOptions::new().append(true).open(&log).unwrap());
    for _ in 0..600 {
        std::io::Write::write_all(&mut file, large.as_bytes()).unwrap();
    }
    std::io::Write::write_all(&mut file, line("exported", "b", "the end").as_bytes()).unwrap();
    drop(file);
    assert!(std::fs::metadata(&log).unwrap().len() > 256 * 1024 * 1024);
    for arguments in ["log b", "log -n 1", "log b --json"] {
        let mut command = env.bare("sh");
        let limited = format!("ulimit -v {MEMORY}; exec \"$0\" {arguments}");
        command
            .args(["-c", &limited, support::PROGRAM])
            .env("DFNS_KEYS_VAULT", env.vault());
        let run = Run::of(&mut command);
        assert_eq!(run.code, 0, "{arguments}: {run:?}");
        assert!(run.stdout.contains("the end") && run.stdout.len() < 1000, "{arguments}");
    }
}

#[test]
fn the_logs_folder_is_synced_when_it_is_made() {
    if !support::peer("strace") {
        return;
    }
    let env = TestEnv::new();
    let mut command = env.bare("strace");
    command
        .args([
            "-f",
            "-y",
            "-e",
            "trace=fsync,fdatasync",
            "-o",
            "trace",
            support::PROGRAM,
        ])
        .args(["init", "--recipient"])
        .arg(age::x25519::Identity::generate().to_public().to_string())
        .env("DFNS_KEYS_VAULT", env.vault());
    let run = Run::of(&mut command);
    assert_eq!(run.code, 0, "{run:?}");
    let trace = std::fs::read_to_string(env.path("trace")).unwrap();
    let log = trace.find("/vault/log.jsonl>").expect("the log was synced");
    assert!(trace[log..].contains("/vault>"), "its folder was not: {trace}");
}

#[cfg(unix)]
mod folders {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_refused_and_left_as_it_is() {
        let env = TestEnv::new();
        let recipient = age::x25519::Identity::generate().to_public().to_string();
        for bits in [0o1777, 0o770, 0o702] {
            std::fs::create_dir(env.vault()).unwrap();
            std::fs::set_permissions(env.vault(), std::fs::Permissions::from_mode(bits)).unwrap();
            env.run(&["init", "--recipient", &recipient])
                .fails(1, &["others can write to it", &format!("{bits:04o}"), "--vault DIR"]);
            assert_eq!(mode(&env.vault()), bits);
            assert!(names(&env.vault()).is_empty());
            std::fs::remove_dir(env.vault()).unwrap();
        }
        // One of our own that nobody else can write to is closed to readers, too.
        std::fs::create_dir(env.vault()).unwrap();
        std::fs::set_permissions(env.vault(), std::fs::Permissions::from_mode(0o755)).unwrap();
        env.ok(&["init", "--recipient", &recipient]);
        assert_eq!(mode(&env.vault()), 0o700);
    }

    #[test]
    fn a_folder_of_another_user_is_refused() {
        let env = TestEnv::new();
        std::fs::create_dir(env.vault()).unwrap();
        if std::os::unix::fs::chown(env.vault(), Some(65_534), None).is_err() {
            support::skipped("only root can give a folder away");
            return;
        }
        let recipient = age::x25519::Identity::generate().to_public().to_string();
        env.run(&["init", "--recipient", &recipient])
            .fails(1, &["belongs to another user"]);
        assert!(names(&env.vault()).is_empty());
    }

    #[test]
    fn a_folder_that_holds_something_else_is_refused() {
        let env = TestEnv::new();
        std::fs::create_dir(env.vault()).unwrap();
        std::fs::write(env.vault().join("notes.txt"), "mine").unwrap();
        let before = mode(&env.vault());
        let recipient = age::x25519::Identity::generate().to_public().to_string();
        env.run(&["init", "--recipient", &recipient])
            .fails(3, &["notes.txt", "an empty one"]);
        assert_eq!(names(&env.vault()), ["notes.txt"]);
        assert_eq!(mode(&env.vault()), before);
    }

    #[test]
    fn a_vault_that_lost_its_settings_is_not_made_anew_over_its_credentials() {
        let env = TestEnv::with_vault();
        env.ok(&["onboard", "a", "--prepare", "--api-url", "http://127.0.0.1:9"]);
        std::fs::remove_file(env.vault().join("vault.json")).unwrap();
        let before = std::fs::read(env.vault().join("recipients.txt")).unwrap();
        let recipient = age::x25519::Identity::generate().to_public().to_string();
        env.run(&["init", "--recipient", &recipient]).fails(3, &[]);
        assert_eq!(std::fs::read(env.vault().join("recipients.txt")).unwrap(), before);
    }
}
