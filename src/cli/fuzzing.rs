//! Files of people's as `tests/fuzz` writes them.

use super::command::manifest;
use super::contexts;

/// A file of accounts, as CSV and as TOML.
pub(crate) fn manifests(text: &str) -> Vec<String> {
    manifest::refusals(text)
}

/// `config.toml`.
pub(crate) fn settings(text: &str) -> Vec<String> {
    contexts::parse("config.toml".as_ref(), text)
        .err()
        .map(|failure| failure.message)
        .into_iter()
        .collect()
}
