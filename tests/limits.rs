//! No file that others wrote costs more than two seconds or 512 MB, and none makes the program fall over.
//!
//! The program runs under limits of the system's: memory, and processor time (generous, since these tests run unoptimised
//! and beside others; what they guard against takes minutes).
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

#[path = "limits/answers.rs"]
mod answers;
#[path = "limits/keys.rs"]
mod keys;
#[path = "limits/sealed.rs"]
mod sealed;
#[path = "limits/sources.rs"]
mod sources;

use std::process::{Command, Stdio};

use support::{Run, TestEnv};

const MOST_SECONDS: u32 = 15;
/// In units of 1024 bytes: what the program may allocate, where the system limits that.
const MOST_MEMORY: u32 = 512 * 1024;

/// Runs the program under the limits, and says what it left behind.
#[track_caller]
fn bounded(env: &TestEnv, arguments: &[&str]) -> Run {
    let plain = env.command(arguments);
    let script = format!("ulimit -t {MOST_SECONDS} && ulimit -d {MOST_MEMORY} && exec \"$0\" \"$@\"");
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script).arg(support::PROGRAM).args(arguments);
    command.env_clear().current_dir(env.home.path()).stdin(Stdio::null());
    for (name, value) in plain.get_envs() {
        command.env(name, value.unwrap());
    }
    let run = Run::of(&mut command);
    // Stopped by a signal, or by an allocation that failed, or by a panic.
    assert!(
        (0..=8).contains(&run.code) && !run.stderr.contains("this is a bug") && !run.stderr.contains("panicked"),
        "{arguments:?} went beyond the limits or fell over: {run:?}"
    );
    run
}

/// As many parts, each with its number.
fn numbered(count: usize, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect::<Vec<_>>().concat()
}

#[test]
fn the_limits_are_those_of_the_system() {
    if !["head", "tail", "wc"].iter().all(|program| support::peer(program)) {
        return;
    }
    let script = format!("ulimit -d {MOST_MEMORY}; exec head -c 800M /dev/zero | tail -c 700M | wc -c");
    let run = Run::of(Command::new("/bin/sh").arg("-c").arg(script));
    assert!(run.stdout.trim() == "0" || cfg!(not(target_os = "linux")), "{run:?}");
}
