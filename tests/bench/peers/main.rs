//! Ratios against what people use today, each peer measured in the same run. Nothing here fails a build.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    unused_crate_dependencies,
    missing_docs,
    reason = "a benchmark sets up files and prints figures"
)]

#[path = "../../support/mod.rs"]
mod support;

mod calls;
mod keys;
mod onboarding;
mod proxy;
#[cfg(target_os = "linux")]
mod unlocked;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use support::{TestEnv, peer};

/// Rounds of each measurement; medians are printed.
const ROUNDS: usize = 31;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(position) = arguments.iter().position(|argument| argument == "--measure") {
        return measure_child(&arguments[position + 1..]);
    }
    println!("medians of {ROUNDS} rounds; a ratio below 1 means that dfns-keys needs less\n");
    if peer("openssl") {
        keys::generate();
    }
    if peer("openssl") && peer("curl") && peer("jq") && peer("bash") {
        calls::signed_test_call();
    }
    if peer("age") {
        keys::sealing();
    }
    match std::env::var("DFNS_KEYS_TEST_INTEROP") {
        Ok(_) if peer("node") => {
            calls::beside_the_typescript_sdk();
            proxy::signatures();
        }
        _ => println!("the rows beside the vendor's TypeScript SDK need `make interop` first"),
    }
    keys::listing();
    #[cfg(target_os = "linux")]
    unlocked::exec();
    if peer("openssl") && peer("curl") && peer("jq") && peer("age") && peer("bash") {
        onboarding::onboarding();
    }
}

/// What one run of a program took.
#[derive(Clone, Copy)]
struct Cost {
    cpu: Duration,
    wall: Duration,
    peak_kib: u64,
}

/// Runs a program in a process of its own, whose only child it is, and prints what that child took.
fn measure_child(command: &[String]) {
    let began = Instant::now();
    let status = Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    let wall = began.elapsed();
    assert!(status.success(), "{command:?}");
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let micros = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    println!(
        "{} {} {}",
        micros(usage.user_time()) + micros(usage.system_time()),
        wall.as_micros(),
        usage.max_rss()
    );
}

fn cost(env: &TestEnv, command: &[&str]) -> Cost {
    let output = Command::new(std::env::current_exe().unwrap())
        .arg("--measure")
        .args(command)
        .current_dir(env.home.path())
        .env("DFNS_KEYS_VAULT", env.vault())
        .env("DFNS_KEYS_IDENTITY", env.path("identity.txt"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let figures: Vec<u64> = text.split_whitespace().map(|figure| figure.parse().unwrap()).collect();
    let [cpu, wall, peak_kib] = figures[..] else {
        panic!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))
    };
    Cost {
        cpu: Duration::from_micros(cpu),
        wall: Duration::from_micros(wall),
        peak_kib,
    }
}

fn median<T: Ord + Copy>(mut values: Vec<T>) -> T {
    values.sort_unstable();
    values[values.len() / 2]
}

fn medians(costs: &[Cost]) -> Cost {
    Cost {
        cpu: median(costs.iter().map(|cost| cost.cpu).collect()),
        wall: median(costs.iter().map(|cost| cost.wall).collect()),
        peak_kib: median(costs.iter().map(|cost| cost.peak_kib).collect()),
    }
}

fn row(what: &str, ours: Duration, theirs: Duration, peer: &str, budget: &str) {
    println!(
        "{what:<44} {:>9.2} ms   {peer}: {:>9.2} ms   ratio {:.3}   budget {budget}",
        ours.as_secs_f64() * 1e3,
        theirs.as_secs_f64() * 1e3,
        ours.as_secs_f64() / theirs.as_secs_f64()
    );
}
