//! One credential under several names: what is done to it under one name is done under all.

use std::fmt;

use crate::model::credential::{Kind, State};
use crate::model::ids::CredentialName;
use crate::model::record::PublicRecord;
use crate::model::token::AuthToken;
use crate::model::url::ApiUrl;
use crate::vault::{Vault, VaultError};

/// Another name that has a key, a token, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharer {
    /// The other name.
    pub name: CredentialName,
    /// It has the key.
    pub key: bool,
    /// It has the token.
    pub token: bool,
}

impl fmt::Display for Sharer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match (self.key, self.token) {
            (true, true) => "this key and this token",
            (true, false) => "this key",
            (false, _) => "this token",
        };
        write!(f, "{} has {what} already", self.name)
    }
}

/// The names in a vault that have a key of this fingerprint or this token, as far as their public parts tell.
///
/// # Errors
/// When the vault cannot be read; a damaged file says nothing.
pub async fn sharers(
    vault: &Vault,
    but: &CredentialName,
    fingerprint: &str,
    token: Option<&AuthToken>,
) -> Result<Vec<Sharer>, VaultError> {
    let records = vault.list().await?.into_iter().filter_map(|listed| listed.record.ok());
    Ok(records
        .filter(|record| record.name != *but)
        .map(|record| Sharer {
            key: record.has_key(fingerprint),
            token: token.is_some_and(|token| record.has_token(token) == Some(true)),
            name: record.name,
        })
        .filter(|sharer| sharer.key || sharer.token)
        .collect())
}

/// The names of a vault, read once for a job on many of them.
pub struct Neighbours<'v> {
    vault: &'v Vault,
    records: Vec<PublicRecord>,
}

/// What is about to be refused by Dfns.
#[derive(Clone, Copy)]
pub(super) struct Doomed<'a> {
    /// Where it is used.
    pub(super) api_url: &'a ApiUrl,
    /// The fingerprint of its key.
    pub(super) fingerprint: &'a str,
    /// Its token.
    pub(super) token: &'a AuthToken,
    /// With the account goes the token, whichever key it is used with; otherwise the key alone goes.
    pub(super) whole_account: bool,
}

impl Doomed<'_> {
    /// Whether a credential signs with this. One of which nobody knows the token is judged by its key.
    fn concerns(self, record: &PublicRecord) -> bool {
        let same_key = record.fingerprint == self.fingerprint;
        let cut_off = match record.has_token(self.token) {
            Some(same_token) => same_token && (same_key || self.whole_account),
            None => same_key,
        };
        cut_off && record.kind != Kind::User && record.state != State::Pending && record.api_url == *self.api_url
    }
}

impl<'v> Neighbours<'v> {
    /// Reads the vault's public parts; a damaged file says nothing.
    ///
    /// # Errors
    /// When the vault cannot be read.
    pub async fn read(vault: &'v Vault) -> Result<Self, VaultError> {
        let records = vault.list().await?.into_iter().filter_map(|listed| listed.record.ok());
        Ok(Self {
            vault,
            records: records.collect(),
        })
    }

    /// The other names that stop working with this.
    pub(super) async fn cut_off_by(&self, but: &CredentialName, doomed: Doomed<'_>) -> Vec<CredentialName> {
        let then = self.records.iter().filter(|record| record.name != *but);
        let mut names = Vec::new();
        for record in then.filter(|record| doomed.concerns(record)) {
            // It may have got a key of its own meanwhile.
            let now = self.vault.record(&record.name).await;
            if now.is_ok_and(|now| doomed.concerns(&now)) {
                names.push(record.name.clone());
            }
        }
        names
    }
}
