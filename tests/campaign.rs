//! Kills at random instants, and races, against the real program: nobody is locked out, nothing is lost, nothing stands in clear.
//! A few of each run with the other tests; `make campaign` runs them in full (docs/reliability.md).
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "tests set up and look at files as a user would, outside the program, and a campaign prints its figures"
)]

mod support;

#[path = "campaign/jobs.rs"]
mod jobs;
#[path = "campaign/races.rs"]
mod races;
#[path = "campaign/scene.rs"]
mod scene;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use scene::{Scene, Violation};

/// Numbers that look random, and are the same for the same seed.
pub(crate) struct Numbers(u64);

impl Numbers {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        // xorshift64* (Vigna 2016).
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap() % limit
    }

    pub(crate) fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}

/// What a worker knows of how long commands take, and how many instants they have.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) durations: BTreeMap<&'static str, Duration>,
    pub(crate) instants: BTreeMap<&'static str, usize>,
}

/// The figures of a campaign.
#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) kills: BTreeMap<&'static str, u64>,
    pub(crate) runs: u64,
    vaults: u64,
    violations: Vec<String>,
}

/// One campaign: so many kills, over vaults that are worked on in parallel.
struct Campaign {
    seed: u64,
    kills: u64,
    workers: u64,
    jobs_in_a_vault: usize,
}

impl Campaign {
    fn run(&self) {
        let began = Instant::now();
        println!("campaign of {} kills, seed {}", self.kills, self.seed);
        let killed = AtomicU64::new(0);
        let figures = Mutex::new(Figures::default());
        std::thread::scope(|scope| {
            for worker in 0..self.workers {
                let (killed, figures) = (&killed, &figures);
                scope.spawn(move || {
                    let mut known = Known::default();
                    for vault in 0.. {
                        if killed.load(Ordering::SeqCst) >= self.kills {
                            break;
                        }
                        let numbers = Numbers::new(self.seed + 1000 * (vault * self.workers + worker));
                        let mut own = Figures::default();
                        let outcome = Scene::new(numbers, killed, self.kills)
                            .and_then(|mut scene| scene.work(&mut known, &mut own, self.jobs_in_a_vault));
                        let mut figures = figures.lock().unwrap();
                        figures.vaults += 1;
                        figures.runs += own.runs;
                        for (job, count) in own.kills {
                            *figures.kills.entry(job).or_default() += count;
                        }
                        if let Err(Violation { kind, what }) = outcome {
                            let text = format!("{kind:?} in vault {vault} of worker {worker}: {what}");
                            println!("{text}");
                            figures.violations.push(text);
                        }
                    }
                });
            }
        });
        let figures = figures.into_inner().unwrap();
        let by_job: Vec<String> = figures
            .kills
            .iter()
            .map(|(job, count)| format!("{job} {count}"))
            .collect();
        let count = |kind: &str| figures.violations.iter().filter(|text| text.starts_with(kind)).count();
        println!(
            "seed {}: {} kills in {} vaults ({}); {} runs; {} lock-outs, {} losses, {} secrets in clear, {} stray files, \
             {} runs that did not go on; {} s",
            self.seed,
            figures.kills.values().sum::<u64>(),
            figures.vaults,
            by_job.join(", "),
            figures.runs,
            count("LockedOut"),
            count("Lost"),
            count("InClear"),
            count("Stray"),
            count("Stuck"),
            began.elapsed().as_secs()
        );
        assert!(figures.violations.is_empty(), "{:#?}", figures.violations);
    }
}

fn variable(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => text.parse().unwrap(),
        _ => default,
    }
}

#[test]
fn wherever_a_command_is_killed_nothing_is_lost_and_the_next_run_goes_on() {
    Campaign {
        seed: 1,
        kills: 45,
        workers: 2,
        jobs_in_a_vault: 30,
    }
    .run();
}

#[test]
#[ignore = "it takes long: make campaign"]
fn the_same_two_thousand_times() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    Campaign {
        seed: variable("DFNS_KEYS_CAMPAIGN_SEED", now),
        kills: variable("DFNS_KEYS_CAMPAIGN_KILLS", 2000),
        workers: variable("DFNS_KEYS_CAMPAIGN_WORKERS", 2),
        jobs_in_a_vault: 40,
    }
    .run();
}
