//! Many at once: readers and writers while the list is replaced, inits at one place, and more names than open files.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::Value;

use super::scene::Person;
use super::support::{PROGRAM, Run, Sandbox, TestEnv};

/// A vault of many credentials that work.
struct Fleet {
    env: TestEnv,
    _sandbox: Sandbox,
    carol: Person,
}

impl Fleet {
    fn of(many: usize) -> Self {
        let env = TestEnv::with_vault();
        let sandbox = Sandbox::start_with(&["--limit", "10000000"]);
        let code = sandbox.code("ops@example.com");
        env.ok(&["enroll", "ops", "--code", &code, "--api-url", &sandbox.url]);
        let names: Vec<String> = (0..many).map(name).collect();
        env.write("names.csv", format!("name\n{}\n", names.join("\n")));
        let limit = ["--rate-limit", "1000000"];
        env.ok(&[&["onboard", "--from", "names.csv", "--as", "ops"][..], &limit].concat());
        let carol = Person::new(env.path("carol"));
        for passphrase in ["one", "two", "three"] {
            env.write(passphrase, format!("seven wet owls under blue roof {passphrase}"));
        }
        Self {
            env,
            _sandbox: sandbox,
            carol,
        }
    }

    /// The changes of who may open it.
    fn changes(&self) -> [Vec<String>; 4] {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        let carol = self.carol.recipient();
        [
            words(&["recipients", "add", &carol]),
            words(&["rekey", "--new-passphrase-file", "one"]),
            words(&["rekey", "--new-passphrase-file", "two"]),
            words(&["recipients", "remove", &carol]),
        ]
    }

    fn start(&self, arguments: &[String]) -> Child {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut command = self.env.command(&arguments);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Everything opens, and is sealed to the newest list.
    fn is_whole(&self, many: usize) {
        let list = std::fs::read_to_string(self.env.vault().join("recipients.txt")).unwrap();
        let epoch = list.lines().find_map(|line| line.strip_prefix("# epoch: ")).unwrap();
        let mut there = 0;
        for entry in std::fs::read_dir(self.env.vault().join("credentials")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "json") {
                there += 1;
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                let file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
                assert_eq!(file["epoch"].to_string(), epoch, "{name} is sealed to the newest list");
                assert_eq!(self.env.open(&name)["public"]["name"], *name);
                assert!(self.carol.open(file["sealed"].as_str().unwrap()).is_none(), "{name}");
            }
        }
        assert_eq!(there, many);
    }
}

fn name(number: usize) -> String {
    format!("n{number:04}")
}

fn ended_well(child: Child) {
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.code, 0, "{run:?}");
}

/// The program with a limit on open files.
fn with_files(env: &TestEnv, files: usize, arguments: &[&str]) -> Run {
    let mut command: Command = env.bare("/bin/sh");
    command
        .args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\""), PROGRAM])
        .args(arguments)
        .env("DFNS_KEYS_VAULT", env.vault())
        .env("DFNS_KEYS_IDENTITY", env.path("identity.txt"));
    Run::of(&mut command)
}

/// `exec` in a loop while the list is replaced: not one refusal. Then the same with few open files.
fn readers_see_no_change(many: usize, files: usize) {
    let fleet = Fleet::of(many);
    let mut number = 0;
    for change in fleet.changes() {
        let mut child = fleet.start(&change);
        let before = number;
        while child.try_wait().unwrap().is_none() {
            let run = fleet
                .env
                .run(&["exec", &name(number % many), "--", PROGRAM, "--version"]);
            assert_eq!(run.code, 0, "during {change:?}: {run:?}");
            number += 7;
        }
        println!("{} runs of exec during {} of {many}", (number - before) / 7, change[0]);
        ended_well(child);
    }
    fleet.is_whole(many + 1);
    let carol = fleet.carol.recipient();
    for arguments in [
        &["list"][..],
        &["recipients", "add", &carol],
        &["rekey", "--new-passphrase-file", "three"],
        &["recipients", "remove", &carol],
        &["verify", "--all", "--offline", "--quiet"],
    ] {
        let run = with_files(&fleet.env, files, arguments);
        let only_the_user = arguments[0] == "verify" && run.code == 5;
        assert!(run.code == 0 || only_the_user, "{arguments:?}: {run:?}");
    }
    fleet.is_whole(many + 1);
    println!("{many} names with {files} open files: list, add, rekey, remove, verify");
}

/// Writers of new names while the list is replaced, over and over: all open afterwards.
fn writers_lose_nothing(writers: usize, operations: usize) {
    let fleet = Fleet::of(2);
    let (over, changes) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                for change in fleet.changes() {
                    ended_well(fleet.start(&change));
                    changes.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        let writing: Vec<_> = (0..writers)
            .map(|writer| {
                let env = &fleet.env;
                scope.spawn(move || {
                    for operation in 0..operations {
                        let name = format!("w{writer}-{operation}");
                        let url = "http://127.0.0.1:9";
                        let run = env.run(&["onboard", &name, "--prepare", "--api-url", url, "--wait", "60s"]);
                        assert_eq!(run.code, 0, "{name}: {run:?}");
                    }
                })
            })
            .collect();
        let outcomes: Vec<_> = writing.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        over.store(true, Ordering::SeqCst);
        assert!(outcomes.iter().all(Result::is_ok));
    });
    fleet.is_whole(3 + writers * operations);
    println!(
        "{writers} writers x {operations} beside {} changes",
        changes.into_inner()
    );
}

/// As many inits as can be at one place at once: one vault, which its own passphrase opens.
fn one_of_many_inits_wins(rounds: usize) {
    for round in 0..rounds {
        let env = TestEnv::new();
        let children: Vec<Child> = (0..12)
            .map(|number| {
                let passphrase = format!("passphrase-{number}");
                env.write(&passphrase, format!("seven wet owls under blue roof {number}"));
                let mut command = env.command(&["init", "--passphrase-file", &passphrase]);
                command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        let runs: Vec<Run> = children
            .into_iter()
            .map(|child| Run::from(child.wait_with_output().unwrap()))
            .collect();
        let winners: Vec<usize> = (0..runs.len()).filter(|number| runs[*number].code == 0).collect();
        assert_eq!(winners.len(), 1, "round {round}: {runs:?}");
        for (number, run) in runs.iter().enumerate().filter(|(number, _)| *number != winners[0]) {
            assert!(
                run.code == 3 && run.stderr.contains("there is a vault at"),
                "{number}: {run:?}"
            );
        }
        let passphrase = format!("passphrase-{}", winners[0]);
        env.ok(&["recipients", "list", "--digest", "--passphrase-file", &passphrase]);
        env.ok(&[
            "onboard",
            "a",
            "--prepare",
            "--api-url",
            "http://127.0.0.1:9",
            "--passphrase-file",
            &passphrase,
        ]);
    }
    println!("{rounds} x 12 inits at once");
}

#[test]
fn no_reader_is_refused_while_the_list_is_replaced_and_few_open_files_are_enough() {
    readers_see_no_change(80, 48);
}

#[test]
fn no_writer_loses_anything_while_the_list_is_replaced() {
    writers_lose_nothing(4, 10);
}

#[test]
fn of_twelve_inits_at_once_one_makes_the_vault_and_opens_it() {
    one_of_many_inits_wins(1);
}

#[test]
#[ignore = "it takes long: make campaign"]
fn no_reader_is_refused_in_a_vault_of_three_thousand() {
    readers_see_no_change(3000, 256);
}

#[test]
#[ignore = "it takes long: make campaign"]
fn ten_writers_of_a_hundred_lose_nothing() {
    writers_lose_nothing(10, 100);
}

#[test]
#[ignore = "it takes long: make campaign"]
fn of_twelve_inits_one_wins_every_time() {
    one_of_many_inits_wins(10);
}
