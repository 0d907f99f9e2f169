//! Servers of others than Dfns: how they are reached, and who we are to them.

pub(crate) mod http;
mod vault;

pub use vault::VaultAccess;
