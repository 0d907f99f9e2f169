//! Provision credentials for the Dfns API: generate P-256 key pairs, keep them sealed with age, prove that a
//! token and a key belong together, and hand them over without the key touching a disk in clear.
//!
//! A service opens its credential once, at its start, and signs with it:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::path::Path;
//! use std::time::Duration;
//!
//! use dfns_keys::api::raw::RawCall;
//! use dfns_keys::api::{Access, Client, ClientConfig};
//! use dfns_keys::keys::pem::unseal;
//! use dfns_keys::sys::clock::SystemClock;
//! use dfns_keys::vault::{Machine, Unattended, Vault};
//!
//! let (folder, identity) = (Path::new("/var/lib/payments/vault"), "/run/secrets/age-identity.txt".into());
//! let vault = Vault::open(folder, Machine::default(), Box::new(SystemClock), Duration::ZERO).await?;
//! let unlocked = vault.unlock(&[identity], &Unattended::default()).await?;
//! let (environment, generation) = unlocked.get(&"payments-api".parse()?).await?.into_usable()?;
//! let key = unseal(&generation.private_key)?;
//!
//! let client = Client::new(ClientConfig::default());
//! let access = Access::of(&environment, &generation, &key);
//! let call = RawCall { method: "GET", path: "/wallets", query: "", body: None };
//! println!("{}", client.raw(access, call).await?.status());
//! # Ok(())
//! # }
//! ```
//!
//! Whole programs are in `docs/examples`: a signed call, an environment that is checked before use, a rotation.
//!
//! | to | see |
//! | --- | --- |
//! | open a vault, and read and write credentials | [`vault::Vault`], [`vault::Unlocked`] |
//! | sign with a key that is elsewhere | [`model::user_action::Signer`] |
//! | call Dfns as a service account, or as a user | [`api::Client`], [`api::UserSession`] |
//! | onboard, verify, rotate, deliver | [`workflow`] |
//! | hand a credential over as text | [`export`] |
//! | serve programs without the key | [`proxy`] |
//! | test against the vendor's API without the vendor | [`sandbox`] |
//!
//! Whoever opens a vault has the guarantees of the program: there is no way around them to a credential's file. Futures are made for
//! one thread (tokio's `current_thread`). A secret is a type that cannot be printed, and what fails says what is wrong, not what
//! to do: that is the command line's.
//!
//! The binary `dfns-keys` is a thin shell over this library; the feature `cli`, on by default, is all that it needs beside. Arrows
//! between the modules run one way: `cli` → [`workflow`] → { [`api`], [`keys`], [`vault`], [`export`], [`deliver`] } → { [`remote`],
//! [`model`], [`sys`] }; `tests/architecture.rs` holds them to it. The library below `cli` never prints, prompts, or reads the environment.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod api;
#[cfg(feature = "cli")]
pub mod cli;
pub mod deliver;
pub mod export;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod keys;
mod loopback;
pub mod model;
pub mod proxy;
pub mod remote;
#[cfg(feature = "sandbox")]
pub mod sandbox;
#[cfg(feature = "dfns-sdk")]
pub mod sdk;
pub mod sys;
pub mod vault;
pub mod workflow;
