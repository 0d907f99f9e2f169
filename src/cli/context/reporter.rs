//! What vault and client report while they work, said to the user and written to the audit log.

use std::path::Path;
use std::time::Duration;

use super::audit::record;
use crate::api::{ApiError, Progress};
use crate::cli::ui::Ui;
use crate::model::quoted;
use crate::vault::{RecipientText, Vault, Witness, log};

pub(super) struct Reporter {
    pub(super) ui: Ui,
}

impl Witness for Reporter {
    fn rollback_accepted(&self, vault: &Vault, what: &str) {
        self.ui.warn(&format!("accepted: {what}"));
        self.record(vault, "rollback-accepted", what.to_owned());
    }

    fn recipient_added(&self, vault: &Vault, recipient: &RecipientText) {
        self.record(vault, "recipient-added", recipient.to_string());
    }

    fn recipient_removed(&self, vault: &Vault, recipient: &RecipientText) {
        self.record(vault, "recipient-removed", recipient.to_string());
    }
}

impl Reporter {
    fn record(&self, vault: &Vault, action: &'static str, detail: String) {
        let event = log::Event {
            actor: None,
            action,
            name: None,
            fingerprint: None,
            detail: Some(detail),
            format: None,
        };
        record(&self.ui, vault, event);
    }
}

impl Progress for Reporter {
    fn waiting(&self, reason: &ApiError, wait: Duration) {
        if wait >= Duration::from_secs(1) || self.ui.verbose() {
            self.ui
                .say(&format!("  {reason}; trying again in {:.1} s", wait.as_secs_f64()));
        }
    }

    fn answered(&self, method: &str, path: &str, status: u16, elapsed: Duration) {
        if self.ui.verbose() {
            let path = quoted::path(Path::new(path.split('?').next().unwrap_or_default()));
            self.ui
                .say(&format!("  {method} {path}: {status}, {} ms", elapsed.as_millis()));
        }
    }
}
