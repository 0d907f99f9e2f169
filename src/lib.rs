//! Provision credentials for the Dfns API: generate P-256 key pairs, keep them sealed with age, prove that a
//! token and a key belong together, and hand them over without the key touching a disk in clear.
//!
//! The binary `dfns-keys` is a thin shell over this library. Arrows between the modules run one way:
//! [`cli`] → [`workflow`] → { [`api`], [`keys`], [`vault`], [`export`], [`deliver`] } → { [`model`], [`sys`] }; `tests/architecture.rs`
//! holds them to it. The library below [`cli`] never prints, prompts, or reads the environment.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod api;
#[cfg(feature = "cli")]
pub mod cli;
pub mod deliver;
pub mod export;
pub mod keys;
mod loopback;
pub mod model;
pub mod proxy;
#[cfg(feature = "sandbox")]
pub mod sandbox;
#[cfg(feature = "dfns-sdk")]
pub mod sdk;
pub mod sys;
pub mod vault;
pub mod workflow;
