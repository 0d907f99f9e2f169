//! The signals that end a server in order.

use std::io;

use super::error::{Exit, Failure};

/// Listened for from the moment this exists.
pub(super) struct StopSignals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(windows)]
    interrupt: tokio::signal::windows::CtrlC,
}

impl StopSignals {
    pub(super) fn listen() -> Result<Self, Failure> {
        Self::registered()
            .map_err(|error| Failure::new(Exit::Other, "signals", format!("cannot listen for signals: {error}")))
    }

    #[cfg(unix)]
    fn registered() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    #[cfg(windows)]
    fn registered() -> io::Result<Self> {
        let interrupt = tokio::signal::windows::ctrl_c()?;
        Ok(Self { interrupt })
    }

    #[cfg(unix)]
    pub(super) async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(windows)]
    pub(super) async fn received(&mut self) {
        self.interrupt.recv().await;
    }
}
