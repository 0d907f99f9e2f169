//! The vendor's Rust SDK with a credential straight from a vault: `rust_sdk VAULT NAME IDENTITY`, or, given the variables
//! of `dfns-keys exec` instead, with a key from the environment.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dfns_keys::keys::pem::read_private_key;
use dfns_keys::sdk::{KeySigner, ServiceCredential};
use dfns_sdk_rust::wallets::types::CreateWalletRequest;
use dfns_sdk_rust::{DfnsClient, Options};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options = match &arguments[..] {
        [vault, name, identity] => {
            ServiceCredential::open(Path::new(vault), &name.parse()?, &[PathBuf::from(identity)], None)
                .await?
                .into_options()
        }
        _ => from_environment()?,
    };
    let client = DfnsClient::new(options)?;
    client.wallets.list_wallets(None).await?;
    let request: CreateWalletRequest =
        serde_json::from_value(serde_json::json!({"network": "EthereumSepolia", "name": "Zoë — 日本"}))?;
    let wallet = client.wallets.create_wallet(request).await?;
    #[expect(clippy::print_stdout, reason = "the id is what this program is for")]
    {
        println!("{}", wallet.id);
    }
    Ok(())
}

fn from_environment() -> Result<Options, Box<dyn std::error::Error>> {
    let key = read_private_key(std::env::var("DFNS_PRIVATE_KEY")?.as_bytes(), None)?;
    let credential_id = std::env::var("DFNS_CRED_ID")?.parse()?;
    let origin = std::env::var("DFNS_ORIGIN")?.parse()?;
    Ok(Options {
        base_url: std::env::var("DFNS_API_URL")?,
        auth_token: std::env::var("DFNS_AUTH_TOKEN")?,
        signer: Some(Arc::new(KeySigner::new(Box::new(key), credential_id, origin))),
        http: None,
    })
}
