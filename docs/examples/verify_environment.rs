//! A service that checks its environment before it starts: `cargo run --example verify_environment FILE.env`

use std::error::Error;
use std::path::Path;

use dfns_keys::api::{Client, ClientConfig};
use dfns_keys::sys::clock::{Clock, SystemClock};
use dfns_keys::workflow::sources::dotenv;
use dfns_keys::workflow::verify::{Expectations, Status, verify_all};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let Some(file) = std::env::args().nth(1) else {
        return Err("one argument: a .env file".into());
    };
    let failures = failures(Path::new(&file)).await;
    if failures.is_empty() {
        Ok(())
    } else {
        Err(failures.join("\n").into())
    }
}

/// What is wrong with an environment: nothing, when it can be used.
pub(crate) async fn failures(file: &Path) -> Vec<String> {
    let expectations = Expectations {
        min_days: 14,
        ..Expectations::default()
    };
    let client = Client::new(ClientConfig::default());
    let subjects = [dotenv(file)];
    let report = verify_all(&subjects, &expectations, Some(&client), SystemClock.now(), |_| {}).await;
    let checks = report.subjects.iter().flat_map(|subject| &subject.checks);
    checks
        .filter(|check| check.status == Status::Fail)
        .map(|check| format!("{}: {}", check.id.as_str(), check.message))
        .collect()
}
