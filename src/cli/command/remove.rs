use clap::Args;
use serde_json::json;

use super::rotate::holders::Exports;
use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::model::ids::CredentialName;
use crate::vault::VaultError;
use crate::vault::log::REMOVED;
use crate::workflow::remove::check_unused;

/// Remove a credential from the vault
///
/// Refuses while Dfns still honours it, which a signed test call finds out: the vault's copy of the key is the only one.
#[derive(Args)]
#[command(after_help = "Example:\n  dfns-keys remove payments-api")]
pub(in crate::cli) struct RemoveArgs {
    /// The credential
    name: CredentialName,
    /// Remove it even if Dfns honours it or cannot be asked
    #[arg(long)]
    force: bool,
}

impl RemoveArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let vault = context.vault().await?;
        let lease = vault.lease(&self.name, &format!("remove {}", self.name)).await?;
        let fingerprint = match vault.record(&self.name).await {
            // What is none has no key that anybody could have.
            Err(VaultError::Damaged { .. } | VaultError::Tampered { .. } | VaultError::Refused { .. })
                if self.force =>
            {
                None
            }
            record => Some(record?.fingerprint),
        };
        if !self.force {
            context.check_confirmable()?;
        }
        let unlocked = context.unlock(&vault).await?;
        let mut elsewhere = None;
        if !self.force {
            elsewhere = check_unused(&unlocked, &context.client(), &self.name).await?;
        }
        context.confirm_by_typing(self.name.as_str(), "confirm")?;
        if self.force {
            unlocked.discard(lease).await?;
        } else {
            unlocked.edit(lease).await?.remove().await?;
        }
        context.log(&vault, REMOVED, Some(&self.name), None, None);
        let exports = Exports::default();
        if context.ui.json() {
            let left = fingerprint.map(|fingerprint| exports.document(&vault, &context.ui, &fingerprint));
            let exports = left.map_or_else(|| json!([]), |left| left["exports"].clone());
            context
                .ui
                .document(&json!({ "name": self.name, "removed": true, "exports": exports }))?;
        } else {
            context.ui.say(&format!("{} is removed from the vault.", self.name));
            let holders = fingerprint.map(|fingerprint| exports.of(&vault, &context.ui, &fingerprint));
            for holder in holders.into_iter().flatten() {
                context.ui.say(&format!("  {} the key:  {holder}", holder.verb()));
            }
            if let Some(elsewhere) = elsewhere {
                context.ui.say(&format!(
                    "  {} has the same key and token, and goes on as before: nothing was lost, and nothing changed at Dfns",
                    elsewhere.name
                ));
            }
        }
        Ok(Exit::Done)
    }
}
