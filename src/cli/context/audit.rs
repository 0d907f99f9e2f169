//! The audit log: who did what.

use super::Context;
use crate::cli::error::Failure;
use crate::cli::ui::Ui;
use crate::model::ids::CredentialName;
use crate::model::quoted;
use crate::vault::{Vault, log};

impl Context {
    /// Writes to the audit log. A log that cannot be written is told of, but undoes nothing.
    pub(in crate::cli) fn log(
        &self,
        vault: &Vault,
        action: &'static str,
        name: Option<&CredentialName>,
        fingerprint: Option<&str>,
        detail: Option<String>,
    ) {
        self.record(
            vault,
            log::Event {
                actor: None,
                action,
                name: name.cloned(),
                fingerprint: fingerprint.map(str::to_owned),
                detail,
                format: None,
            },
        );
    }

    /// The same of any event, with who does it.
    pub(in crate::cli) fn record(&self, vault: &Vault, event: log::Event) {
        record(&self.ui, vault, event);
    }

    /// The same of several, written at once.
    pub(in crate::cli) fn record_all(&self, vault: &Vault, events: Vec<log::Event>) {
        record_all(&self.ui, vault, events);
    }
}

/// Writes to the audit log who did what.
pub(super) fn record(ui: &Ui, vault: &Vault, event: log::Event) {
    record_all(ui, vault, vec![event]);
}

fn record_all(ui: &Ui, vault: &Vault, mut events: Vec<log::Event>) {
    if events.is_empty() {
        return;
    }
    let actor = ["USER", "LOGNAME", "USERNAME"]
        .into_iter()
        .find_map(|variable| std::env::var(variable).ok())
        .filter(|name| !name.is_empty())
        .map(|name| quoted::shown(&name));
    for event in &mut events {
        event.actor.clone_from(&actor);
        event.detail = event.detail.take().map(|detail| quoted::without_secrets(&detail));
    }
    if let Err(error) = vault.record_events(&events) {
        let failure = Failure::from(error);
        ui.warn(&format!("the audit log could not be written: {}", failure.message));
    }
}
