//! No file that others wrote costs more than two seconds or 512 MB, and none makes the program fall over.
//!
//! The program runs under limits of the system's: processor time (generous, since these tests run unoptimised and beside
//! others; what they guard against takes minutes) and memory, which is also measured.
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

#[path = "limits/sealed.rs"]
mod sealed;

use std::process::Command;

use nix::sys::resource::{UsageWho, getrusage};
use support::{Run, TestEnv};

const MOST_SECONDS: u32 = 15;
const MOST_MEMORY: i64 = 512 * 1024 * 1024;

/// Runs the program under the limits, and says what it left behind.
#[track_caller]
fn bounded(env: &TestEnv, arguments: &[&str]) -> Run {
    let plain = env.command(arguments);
    let mut command = Command::new("/bin/sh");
    // Address space is more than memory: twice the limit keeps a test that fails from taking the machine with it.
    let script = format!("ulimit -t {MOST_SECONDS}; ulimit -v 1500000 2>/dev/null; exec \"$0\" \"$@\"");
    command.arg("-c").arg(script).arg(support::PROGRAM).args(arguments);
    command
        .env_clear()
        .current_dir(env.home.path())
        .stdin(std::process::Stdio::null());
    for (name, value) in plain.get_envs() {
        command.env(name, value.unwrap());
    }
    let run = Run::of(&mut command);
    // Of all children so far, the largest: each must keep within the limit.
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss() * unit;
    assert!(peak <= MOST_MEMORY, "{arguments:?} took {peak} bytes");
    assert!(
        (0..128).contains(&run.code) && run.code != 70,
        "{arguments:?} was stopped or fell over: {run:?}"
    );
    assert!(
        !run.stderr.contains("this is a bug") && !run.stderr.contains("panicked"),
        "{run:?}"
    );
    run
}
