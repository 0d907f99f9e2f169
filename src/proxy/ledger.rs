//! The audit log of what went through: one line a request, written by a thread of its own, so that no request waits for a
//! disk to sync.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use tokio::sync::mpsc;

use crate::model::ids::CredentialName;
use crate::model::quoted;
use crate::vault::log::Event;
use crate::vault::{Vault, VaultError};

/// Requests whose lines are not written yet; more of them wait, so that memory stays flat.
const MOST_UNWRITTEN: usize = 1024;
const GATHERING: Duration = Duration::from_millis(20);
const LONGEST_PATH: usize = 200;
/// Strangers get so many lines, lest they fill the disk.
const BETWEEN_STRANGERS: Duration = Duration::from_secs(1);

pub(super) struct Ledger {
    /// There until the end.
    lines: Option<mpsc::Sender<Event>>,
    writer: Option<JoinHandle<()>>,
    name: CredentialName,
    last_stranger: Cell<Option<Instant>>,
}

impl Ledger {
    pub(super) fn start(
        vault: Vault,
        name: CredentialName,
        troubled: impl Fn(&VaultError) + Send + 'static,
    ) -> io::Result<Self> {
        let (lines, mut written) = mpsc::channel::<Event>(MOST_UNWRITTEN);
        let writer = thread::Builder::new().name("audit log".to_owned()).spawn(move || {
            let mut batch = Vec::new();
            while written.blocking_recv_many(&mut batch, MOST_UNWRITTEN) > 0 {
                // Under load the disk syncs once for all that comes in this while.
                thread::sleep(GATHERING);
                batch.extend(std::iter::from_fn(|| written.try_recv().ok()).take(MOST_UNWRITTEN));
                if let Err(error) = vault.record_events(&batch) {
                    troubled(&error);
                }
                batch.clear();
            }
        })?;
        Ok(Self {
            lines: Some(lines),
            writer: Some(writer),
            name,
            last_stranger: Cell::new(None),
        })
    }

    /// Notes a request that had the local token.
    pub(super) async fn note(&self, method: &str, path: &str, status: StatusCode, fingerprint: &str) {
        self.send(method, path, &status.as_u16().to_string(), Some(fingerprint))
            .await;
    }

    /// Notes a request that was refused before it could be anybody's.
    pub(super) async fn note_stranger(&self, method: &str, path: &str, status: StatusCode) {
        let recent = self
            .last_stranger
            .get()
            .is_some_and(|last| last.elapsed() < BETWEEN_STRANGERS);
        if !recent {
            self.last_stranger.set(Some(Instant::now()));
            self.send(method, path, &format!("{} refused", status.as_u16()), None)
                .await;
        }
    }

    async fn send(&self, method: &str, path: &str, outcome: &str, fingerprint: Option<&str>) {
        let path: String = quoted::path(Path::new(path)).chars().take(LONGEST_PATH).collect();
        let event = Event {
            actor: None,
            action: "proxied",
            name: Some(self.name.clone()),
            fingerprint: fingerprint.map(str::to_owned),
            detail: Some(format!("{method} {path} {outcome}")),
            format: None,
        };
        if let Some(lines) = &self.lines {
            // The writer ends only after this sender.
            let _ = lines.send(event).await;
        }
    }
}

impl Drop for Ledger {
    /// Waits until every line is written.
    fn drop(&mut self) {
        self.lines = None;
        if let Some(writer) = self.writer.take() {
            // A panic over there was told of by its own message.
            let _ = writer.join();
        }
    }
}
