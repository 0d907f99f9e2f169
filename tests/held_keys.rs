//! Keys that never leave where they are: a token of `SoftHSM`'s, by PKCS#11, and what a plug-in knows. OpenBao's transit engine and
//! AWS KMS stand in tests/engines.
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

#[path = "held_keys/diagnoses.rs"]
mod diagnoses;
#[path = "held_keys/life.rs"]
mod life;
#[path = "held_keys/plugin.rs"]
mod plugin;
#[path = "held_keys/token.rs"]
mod token;
