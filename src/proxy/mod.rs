//! A signing proxy on loopback: any HTTP client calls the API through it without a key or a token of Dfns's.
//!
//! A client brings the local token of this run; the proxy puts the real one in its place, signs what changes state, and
//! hands the answer on as it comes. What may go through can be narrowed by method and path. Each request leaves one line in
//! the audit log. See `docs/threat-model.md` for who is kept out and how.

mod credential;
mod forward;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod gate;
mod headers;
mod ledger;
mod listener;
mod permits;
mod plain_path;

use std::io;
use std::sync::Arc;

use hyper::service::service_fn;
use thiserror::Error;

use crate::api::Client;
use crate::keys::KeyError;
use crate::loopback::{self, Bodies};
use crate::model::credential::Unusable;
use crate::model::ids::CredentialName;
use crate::model::user_action::SignerError;
use crate::vault::{Unlocked, Vault, VaultError};

use credential::Holder;
use gate::{Gate, LocalToken};
use ledger::Ledger;
pub use listener::{Address, AddressError, Listener};
pub use permits::{Permit, PermitError};

/// The proxy could not start.
#[derive(Debug, Error)]
pub enum ProxyError {
    /// The address cannot be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// Which.
        address: Address,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The operating system gave no randomness.
    #[error("the operating system's random number generator failed")]
    Randomness,
    /// The vault does not give the credential.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The credential cannot be used by programs.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// The sealed key cannot be read.
    #[error("the sealed key {0}")]
    Key(#[from] KeyError),
    /// The key is held elsewhere, and does not sign.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The audit log could not be started.
    #[error("the audit log cannot be kept")]
    Ledger(#[source] io::Error),
}

/// What goes through.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Reads alone.
    pub read_only: bool,
    /// These calls alone, where there are any.
    pub permits: Vec<Permit>,
}

/// A proxy that has its address and answers once it is served.
pub struct Proxy<'v> {
    listener: Listener,
    shared: Shared<'v>,
}

struct Shared<'v> {
    holder: Holder<'v>,
    client: Client,
    gate: Gate,
    ledger: Ledger,
    bodies: Bodies,
}

impl<'v> Proxy<'v> {
    /// Opens the credential and makes the local token. `log` is a second handle on the vault, which writes the audit log;
    /// `troubled` is told when that fails.
    ///
    /// # Errors
    /// When the credential cannot be used, or a thread cannot be started.
    pub async fn new(
        listener: Listener,
        unlocked: &'v Unlocked<'v>,
        name: &CredentialName,
        client: Client,
        rules: Rules,
        log: Vault,
        troubled: impl Fn(&VaultError) + Send + 'static,
    ) -> Result<Self, ProxyError> {
        let token = LocalToken::generate().map_err(|_| ProxyError::Randomness)?;
        let holder = Holder::open(unlocked, name).await?;
        unlocked.vouch_for_log_of(&log);
        let gate = Gate::new(listener.socket_address(), token, rules);
        let ledger = Ledger::start(log, name.clone(), troubled).map_err(ProxyError::Ledger)?;
        let shared = Shared {
            holder,
            client,
            gate,
            ledger,
            bodies: Bodies::new(forward::LARGEST_BODY),
        };
        Ok(Self { listener, shared })
    }

    /// Where it answers: `http://127.0.0.1:4711`, or `unix:/path`.
    #[must_use]
    pub fn url(&self) -> String {
        self.listener.url()
    }

    /// The local token, which is worth nothing once this run is over. Whoever calls this answers for where it goes.
    #[must_use]
    pub fn expose_local_token(&self) -> &str {
        self.shared.gate.token().expose()
    }

    /// Answers until `stop` is over, then finishes the requests it has begun.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let Self { listener, shared } = self;
        let shared = &shared;
        let service = |client| service_fn(move |request| forward::answer(shared, Arc::clone(&client), request));
        loopback::serve(listener, stop, service).await;
    }
}
