//! A new key for a credential, the old one working until it is retired: `cargo run --example rotate VAULT NAME IDENTITY`

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dfns_keys::api::{Client, ClientConfig};
use dfns_keys::deliver::{Means, VaultAccess};
use dfns_keys::model::rotation::Grace;
use dfns_keys::sys::child;
use dfns_keys::sys::clock::SystemClock;
use dfns_keys::vault::{Machine, Unattended, Vault};
use dfns_keys::workflow::deliver::Courier;
use dfns_keys::workflow::rotate::{Job, Plan};
use dfns_keys::workflow::sharing::Neighbours;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [vault, name, identity] = &arguments[..] else {
        return Err("three arguments: VAULT NAME IDENTITY".into());
    };
    rotate(Path::new(vault), name, Path::new(identity)).await?;
    Ok(())
}

/// Begins a rotation, or goes on with one; the step it comes to. Whatever stops it, the next run goes on from there.
pub(crate) async fn rotate(vault: &Path, name: &str, identity: &Path) -> Result<&'static str, Box<dyn Error>> {
    let name = name.parse()?;
    let vault = Vault::open(vault, Machine::default(), Box::new(SystemClock), Duration::ZERO).await?;
    let unlocked = vault.unlock(&[PathBuf::from(identity)], &Unattended::default()).await?;
    let limit = Duration::from_secs(30);
    let means = Means {
        host: child::host(),
        limit,
        vault: VaultAccess::default(),
        cluster: None,
    };
    let job = Job {
        vault: &vault,
        unlocked: &unlocked,
        client: &Client::new(ClientConfig::default()),
        administrator: None,
        name: &name,
        neighbours: &Neighbours::read(&vault).await?,
        courier: &Courier {
            means: &means,
            clock: vault.clock(),
        },
    };
    let plan = Plan {
        // The next run from then on retires the old key.
        grace: Some(Grace::Seconds(24 * 60 * 60)),
        ..Plan::default()
    };
    let lease = vault.lease(&name, "rotate").await?;
    let standing = job.advance(unlocked.edit(lease).await?, &plan).await?;
    Ok(standing.step)
}
