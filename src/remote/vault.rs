//! Vault and OpenBao, as their own tools know them.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::http::{Authorities, RemoteError, Server};
use crate::model::url::ApiUrl;
use crate::sys::files;

const NAME: &str = "Vault";
const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
/// No token is longer.
const LONGEST_TOKEN: u64 = 64 * 1024;

/// What this machine knows of Vault, as its own tools do; unless anybody says so, nothing.
#[derive(Default)]
pub struct VaultAccess {
    /// `BAO_ADDR` or `VAULT_ADDR`.
    pub address: Option<String>,
    /// `BAO_TOKEN` or `VAULT_TOKEN`.
    pub token: Option<SecretString>,
    /// Where `vault login` leaves one.
    pub token_file: Option<PathBuf>,
    /// `BAO_NAMESPACE` or `VAULT_NAMESPACE`.
    pub namespace: Option<String>,
    /// `BAO_CACERT` or `VAULT_CACERT`.
    pub authority: Option<PathBuf>,
}

impl VaultAccess {
    pub(crate) fn open(&self, limit: Duration) -> Result<Server, RemoteError> {
        let not = |text: &str| RemoteError::NotSetUp(text.to_owned());
        let address = self
            .address
            .as_ref()
            .ok_or_else(|| not("VAULT_ADDR does not say which Vault"))?;
        let address: ApiUrl = address
            .parse()
            .map_err(|error| RemoteError::NotSetUp(format!("VAULT_ADDR: {error}")))?;
        let mut headers = HeaderMap::new();
        let mut token = HeaderValue::from_str(self.token()?.expose_secret())
            .map_err(|_| not("the token for Vault has characters that none has"))?;
        token.set_sensitive(true);
        headers.insert(TOKEN, token);
        if let Some(namespace) = &self.namespace {
            let namespace = HeaderValue::from_str(namespace).map_err(|_| not("VAULT_NAMESPACE is no namespace"))?;
            headers.insert(NAMESPACE, namespace);
        }
        let authorities = self.authority.as_deref().map_or(Authorities::System, Authorities::Also);
        Server::new(NAME, address, headers, &authorities, limit)
    }

    fn token(&self) -> Result<SecretString, RemoteError> {
        let signed_out = || {
            RemoteError::NotSetUp(
                "there is no token for Vault: neither VAULT_TOKEN nor one of `vault login`".to_owned(),
            )
        };
        if let Some(token) = &self.token {
            return Ok(token.clone());
        }
        let path = self.token_file.as_ref().ok_or_else(signed_out)?;
        match files::read(path, LONGEST_TOKEN) {
            Ok(text) => {
                let text = std::str::from_utf8(&text).map_err(|_| signed_out())?;
                Ok(SecretString::from(text.trim().to_owned()))
            }
            Err(error) if error.is_not_found() => Err(signed_out()),
            Err(error) => Err(RemoteError::NoFile { error }),
        }
    }
}
