//! A signing proxy on loopback: any HTTP client calls the API through it without a key or a token of Dfns's.
//!
//! A client brings the local token of this run; the proxy puts the real one in its place, signs what changes state, and
//! hands the answer on as it comes. What may go through can be narrowed by method and path. Each request leaves one line in
//! the audit log. See `docs/threat-model.md` for who is kept out and how.

mod credential;
mod forward;
mod gate;
mod ledger;
mod listener;

use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use crate::api::Client;
use crate::keys::KeyError;
use crate::model::credential::Unusable;
use crate::model::ids::CredentialName;
use crate::vault::{Unlocked, Vault, VaultError};

use credential::Holder;
use gate::{Gate, LocalToken};
pub use gate::{Permit, PermitError};
use ledger::Ledger;
pub use listener::{Address, AddressError, Listener};

/// More connections than this wait for one to end.
const MOST_CONNECTIONS: usize = 256;
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// A client that has opened a connection must have sent a request's head within this.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

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
}

impl<'v> Proxy<'v> {
    /// Opens the credential and makes the local token. `log` is a second handle on the vault, which writes the audit log;
    /// `troubled` is told when that fails.
    ///
    /// # Errors
    /// When the credential cannot be used, or a thread cannot be started.
    pub fn new(
        listener: Listener,
        unlocked: &'v Unlocked<'v>,
        name: &CredentialName,
        client: Client,
        rules: Rules,
        log: Vault,
        troubled: impl Fn(&VaultError) + Send + 'static,
    ) -> Result<Self, ProxyError> {
        let token = LocalToken::generate().map_err(|_| ProxyError::Randomness)?;
        let holder = Holder::open(unlocked, name)?;
        let gate = Gate::new(listener.socket_address(), token, rules);
        let ledger = Ledger::start(log, name.clone(), troubled).map_err(ProxyError::Ledger)?;
        let shared = Shared {
            holder,
            client,
            gate,
            ledger,
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
        let (stopping, stopped) = watch::channel(false);
        let mut connections = FuturesUnordered::new();
        tokio::pin!(stop);
        loop {
            let room = connections.len() < MOST_CONNECTIONS;
            tokio::select! {
                () = &mut stop => break,
                Some(()) = connections.next() => {}
                accepted = listener.accept(), if room => {
                    match accepted {
                        Ok(stream) => connections.push(connection(stream, &shared, stopped.clone())),
                        // A connection that failed before it began concerns nobody; but where no more can be had
                        // at all, asking again at once would only keep the machine busy.
                        Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                    }
                }
            }
        }
        drop(listener);
        // Nobody listens if there is no connection left.
        let _ = stopping.send(true);
        while connections.next().await.is_some() {}
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    shared: &Shared<'_>,
    mut stopped: watch::Receiver<bool>,
) {
    let service = service_fn(|request| forward::answer(shared, request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // How a connection ends is the client's business.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
