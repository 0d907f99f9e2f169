use clap::Args;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::signals::StopSignals;
use crate::model::ids::CredentialName;
use crate::model::user_action::SignerError;
use crate::proxy::{Address, Listener, Permit, Proxy, ProxyError, Rules};

/// Let HTTP clients call the API without a key
///
/// Any of them, through a local address. Prints one JSON line with the address and a local token when it is ready, and answers until SIGINT or SIGTERM; requests
/// under way are finished. A client brings the local token as its bearer token; the proxy puts the real one in its place and
/// signs what changes state. Each request leaves a line in the audit log.
#[derive(Args)]
#[command(after_help = "Examples:\n  dfns-keys proxy payments-api --read-only\n  \
                  dfns-keys proxy payments-api --listen unix:/run/payments/dfns.sock --allow 'POST /wallets/*/transfers' --allow 'GET /**'")]
pub(in crate::cli) struct ProxyArgs {
    /// The credential
    name: CredentialName,
    /// Where to listen: loopback, with port 0 for any free one, or unix:PATH
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: Address,
    /// Let these calls through alone; `*` stands for a part of a path, `**` for any number of parts; repeat for more
    #[arg(long, value_name = "METHOD GLOB")]
    allow: Vec<Permit>,
    /// Let reads through alone
    #[arg(long)]
    read_only: bool,
}

impl ProxyArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let vault = context.vault().await?;
        super::usable_record(&vault, &self.name).await?;
        let unlocked = context.unlock(&vault).await?;
        context.supplier.forget();
        super::usable(context, &unlocked, &self.name).await?;
        let rules = Rules {
            read_only: self.read_only,
            permits: self.allow.clone(),
        };
        let log = context.vault().await?;
        let ui = context.ui.clone();
        let troubled = move |error: &crate::vault::VaultError| {
            ui.warn(&format!("the audit log could not be written: {error}"));
        };
        async {
            // Whoever reads the address may stop it at once.
            let (mut first, mut second) = (StopSignals::listen()?, StopSignals::listen()?);
            let listener = Listener::bind(&self.listen).await?;
            let proxy = Proxy::new(listener, &unlocked, &self.name, context.client(), rules, log, troubled).await?;
            let ready = json!({"url": proxy.url(), "token": proxy.expose_local_token()});
            context.ui.line(&ready)?;
            context.ui.say(&format!(
                "The proxy for {} is at {} until you press Ctrl-C; the token above is for this run alone.",
                self.name,
                proxy.url()
            ));
            context.log(&vault, "proxy-started", Some(&self.name), None, Some(proxy.url()));
            // A second signal does not wait for the requests under way.
            let impatient = async {
                second.received().await;
                second.received().await;
            };
            tokio::select! {
                () = proxy.serve(first.received()) => {}
                () = impatient => {}
            }
            context.log(&vault, "proxy-stopped", Some(&self.name), None, None);
            Ok(Exit::Done)
        }
        .await
    }
}

impl From<ProxyError> for Failure {
    fn from(error: ProxyError) -> Self {
        let message = error.to_string();
        match error {
            ProxyError::Listen { source, .. } => Self::new(Exit::Other, "listen", format!("{message}: {source}"))
                .hint("choose another address; port 0 takes any free one"),
            ProxyError::Randomness => Self::new(Exit::Other, "randomness", message),
            ProxyError::Vault(error) => error.into(),
            ProxyError::Unusable(_) => Self::new(Exit::State, "unusable", message),
            ProxyError::Key(_) => Self::new(Exit::Vault, "damaged", message),
            ProxyError::Signer(SignerError::Held(error)) => error.into(),
            ProxyError::Signer(SignerError::Failed(_)) => Self::new(Exit::State, "signer", message),
            ProxyError::Ledger(source) => Self::new(Exit::Other, "audit_log", format!("{message}: {source}")),
        }
    }
}
