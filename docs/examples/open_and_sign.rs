//! A signed call with a credential of a vault: `cargo run --example open_and_sign VAULT NAME IDENTITY`

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dfns_keys::api::raw::RawCall;
use dfns_keys::api::{Access, Client, ClientConfig};
use dfns_keys::keys::pem::unseal;
use dfns_keys::sys::clock::SystemClock;
use dfns_keys::vault::{Machine, Unattended, Vault};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [vault, name, identity] = &arguments[..] else {
        return Err("three arguments: VAULT NAME IDENTITY".into());
    };
    let status = create_wallet(Path::new(vault), name, Path::new(identity)).await?;
    if status == 200 {
        Ok(())
    } else {
        Err(format!("Dfns answered with status {status}").into())
    }
}

/// Asks for a wallet, and hands back the answer's status.
pub(crate) async fn create_wallet(vault: &Path, name: &str, identity: &Path) -> Result<u16, Box<dyn Error>> {
    let vault = Vault::open(vault, Machine::default(), Box::new(SystemClock), Duration::ZERO).await?;
    let unlocked = vault.unlock(&[PathBuf::from(identity)], &Unattended::default()).await?;
    // While a rotation is under way this is the key in use: open it again after one, before the old key is retired.
    let (environment, generation) = unlocked.get(&name.parse()?).await?.into_usable()?;
    let key = unseal(&generation.private_key)?;

    let client = Client::new(ClientConfig::default());
    let call = RawCall {
        method: "POST",
        path: "/wallets",
        query: "",
        body: Some(r#"{"network":"EthereumSepolia"}"#),
    };
    // Signed because it changes state. An error says by `effect()` whether it may have been done all the same.
    let answer = client.raw(Access::of(&environment, &generation, &key), call).await?;
    Ok(answer.status())
}
