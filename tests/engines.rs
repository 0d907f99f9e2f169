//! The places of others, for real: OpenBao, AWS's API by the real `aws`, a cluster and GitHub by the real `kubectl` and `gh` against
//! strict stand-ins of their servers. Each is delivered to, read back, rotated, and asked what it has.
//!
//! `make interop` installs them, pinned, under `target/interop`; without them these tests say that they were skipped.
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

#[path = "engines/aws.rs"]
mod aws;
#[path = "engines/github.rs"]
mod github;
#[path = "engines/held_keys.rs"]
mod held_keys;
#[path = "engines/kubernetes.rs"]
mod kubernetes;
#[path = "engines/machines.rs"]
mod machines;
#[path = "engines/openbao.rs"]
mod openbao;
#[path = "engines/scene.rs"]
mod scene;
