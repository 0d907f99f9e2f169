//! Making keys, sealing credentials, listing them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dfns_keys::model::credential::AnyCredential;
use dfns_keys::sys::clock::SystemClock;
use dfns_keys::vault::{IdentityError, Keyholder, Machine, PassphrasePurpose, PluginDialogue, Vault};
use nix::sys::resource::{UsageWho, getrusage};

use crate::support::{PROGRAM, TestEnv};
use crate::{Cost, ROUNDS, cost, median, medians, row};

pub(crate) fn generate() {
    let env = TestEnv::new();
    let ours = [
        PROGRAM,
        "generate",
        "--plaintext",
        "--force",
        "--private-key",
        "ours.pem",
        "--public-key",
        "ours.pub",
    ];
    let first = [
        "openssl",
        "ecparam",
        "-genkey",
        "-name",
        "prime256v1",
        "-noout",
        "-out",
        "a.pem",
    ];
    let second = ["openssl", "ec", "-in", "a.pem", "-pubout", "-out", "a.pub"];
    let (mut our_costs, mut their_costs, mut their_peaks) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        our_costs.push(cost(&env, &ours));
        let (one, two) = (cost(&env, &first), cost(&env, &second));
        their_peaks.push(one.peak_kib.max(two.peak_kib));
        their_costs.push(Cost {
            cpu: one.cpu + two.cpu,
            wall: one.wall + two.wall,
            peak_kib: one.peak_kib,
        });
    }
    let (ours, theirs) = (medians(&our_costs), medians(&their_costs));
    row(
        "generate --plaintext, CPU",
        ours.cpu,
        theirs.cpu,
        "two openssl commands",
        "<= 0.12",
    );
    let peak = median(their_peaks);
    println!(
        "{:<44} {:>9} KiB  one openssl command: {peak:>6} KiB  ratio {:.3}   budget <= 0.5",
        "generate --plaintext, peak memory",
        ours.peak_kib,
        ours.peak_kib as f64 / peak as f64
    );
}

/// Opening and sealing one credential in a running process, beside one `age` process for the same text.
pub(crate) fn sealing() {
    const TIMES: u32 = 200;
    let env = TestEnv::with_vault();
    let sandbox = crate::support::Sandbox::start();
    env.onboard(&sandbox, "a");
    env.write("sealed.json", env.open("a").to_string());
    let recipient = env.ok(&["recipients", "list"]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let directory = env.vault();
    let open = Vault::open(&directory, Machine::default(), Box::new(SystemClock), Duration::ZERO);
    let vault = runtime.block_on(open).unwrap();
    let identities: [PathBuf; 1] = [env.path("identity.txt")];
    let unlocked = runtime.block_on(vault.unlock(&identities, &Nobody)).unwrap();
    let name = "a".parse().unwrap();
    let lease = runtime.block_on(vault.lease(&name, "measuring")).unwrap();
    let mut edit = runtime.block_on(unlocked.edit(lease)).unwrap();
    let (mut opened, mut sealed, mut by_age, mut to_age) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = cpu();
        for _ in 0..TIMES {
            runtime.block_on(unlocked.get(&name)).unwrap();
        }
        opened.push(cpu().saturating_sub(began) / TIMES);
        let AnyCredential::Active(credential) = runtime.block_on(unlocked.get(&name)).unwrap() else {
            unreachable!("it was onboarded");
        };
        let began = cpu();
        for _ in 0..TIMES / 10 {
            runtime.block_on(edit.put(&credential)).unwrap();
        }
        sealed.push(cpu().saturating_sub(began) / (TIMES / 10));
        to_age.push(
            cost(
                &env,
                &["age", "-a", "-r", recipient.trim(), "-o", "sealed.age", "sealed.json"],
            )
            .cpu,
        );
        by_age.push(
            cost(
                &env,
                &["age", "-d", "-i", "identity.txt", "-o", "opened.json", "sealed.age"],
            )
            .cpu,
        );
    }
    row(
        "open one credential, in process, CPU",
        median(opened),
        median(by_age),
        "age -d",
        "<= 0.02",
    );
    row(
        "seal one credential, in process, CPU",
        median(sealed),
        median(to_age),
        "age -r",
        "<= 0.02",
    );
}

fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let micros = |time: nix::sys::time::TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    Duration::from_micros(u64::try_from(micros(usage.user_time()) + micros(usage.system_time())).unwrap())
}

/// The identity file is in clear: nobody is asked.
struct Nobody;

impl Keyholder for Nobody {
    fn passphrase(&self, _purpose: &PassphrasePurpose) -> Result<dfns_keys::model::secret::Passphrase, IdentityError> {
        Err(IdentityError::NobodyToAsk)
    }

    fn callbacks(&self) -> Box<dyn PluginDialogue> {
        Box::new(Self)
    }
}

impl PluginDialogue for Nobody {
    fn show(&self, _message: &str) {}

    fn secret(&self, _description: &str) -> Option<dfns_keys::model::secret::Passphrase> {
        None
    }

    fn text(&self, _description: &str) -> Option<String> {
        None
    }

    fn confirm(&self, _message: &str, _yes: &str, _no: Option<&str>) -> Option<bool> {
        None
    }
}

/// 10,000 credentials: public metadata only, beside `cat` reading the same files.
pub(crate) fn listing() {
    let env = TestEnv::with_vault();
    env.ok(&["onboard", "a", "--prepare"]);
    let one = std::fs::read_to_string(env.credential_file("a")).unwrap();
    for number in 0..10_000 {
        let name = format!("n{number:05}");
        std::fs::write(
            env.credential_file(&name),
            one.replace("\"name\": \"a\"", &format!("\"name\": \"{name}\"")),
        )
        .unwrap();
    }
    let rounds = 15;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let pattern = Path::new("vault").join("credentials").display().to_string();
    let cat = format!("find {pattern} -name '*.json' -print0 | xargs -0 cat");
    for _ in 0..rounds {
        ours.push(cost(&env, &[PROGRAM, "list", "--json"]));
        theirs.push(cost(&env, &["bash", "-c", &cat]));
    }
    row(
        "list of 10,000, wall",
        medians(&ours).wall,
        medians(&theirs).wall,
        "find | xargs cat",
        "<= 2",
    );
}
