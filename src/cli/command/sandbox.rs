use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::signals::StopSignals;
use crate::sandbox::{Doctrine, Sandbox, SandboxConfig, SandboxError};

/// Play the vendor's auth API on loopback
///
/// In memory: what was made in it is gone when it ends. Prints one JSON line with its address when it is ready, and answers until SIGINT or SIGTERM. The page at that address
/// plays the dashboard's part.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  dfns-keys sandbox\n  dfns-keys sandbox --listen 127.0.0.1:8080   (the same address at each start)"
)]
pub(in crate::cli) struct SandboxArgs {
    /// Where to listen; loopback only, port 0 for any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Which of the vendor's two readings to play: may service accounts and tokens manage their own keys?
    #[arg(long, default_value = "guide")]
    rotation: Doctrine,
    /// Hold every answer back so long
    #[arg(long, value_name = "MS", default_value = "0")]
    latency: u64,
    /// Answer 429 beyond so many requests a minute
    #[arg(long, value_name = "N")]
    limit: Option<NonZeroU32>,
}

impl SandboxArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let config = SandboxConfig {
            latency: Duration::from_millis(self.latency),
            rotation: self.rotation,
            per_minute: self.limit.map(NonZeroU32::get),
        };
        async {
            // Whoever reads the address may stop it at once.
            let mut signals = StopSignals::listen()?;
            let sandbox = Sandbox::bind(self.listen, config).await?;
            context.ui.line(&json!({"url": sandbox.url()}))?;
            context.ui.say(&format!(
                "The sandbox is at {} until you press Ctrl-C. Opened in a browser, it is the dashboard.",
                sandbox.url()
            ));
            context.ui.say(&format!(
                "  try it from another terminal:  dfns-keys onboard trial --api-url {}",
                sandbox.url()
            ));
            if self.listen.port() == 0 {
                context.ui.say(&format!(
                    "  for the same address next time:  dfns-keys sandbox --listen {}",
                    sandbox.url().trim_start_matches("http://")
                ));
            }
            sandbox.serve(signals.received()).await;
            Ok(Exit::Done)
        }
        .await
    }
}

impl From<SandboxError> for Failure {
    fn from(error: SandboxError) -> Self {
        let message = error.to_string();
        match error {
            SandboxError::NotLoopback(_) => {
                Self::usage(message).hint("use 127.0.0.1 or [::1]: whoever reaches it can make tokens")
            }
            SandboxError::Listen { source, .. } => Self::new(Exit::Other, "listen", format!("{message}: {source}")),
            SandboxError::Randomness => Self::new(Exit::Other, "randomness", message),
        }
    }
}
