use clap::Args;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::model::credential::State;
use crate::model::ids::CredentialName;
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
    pub(super) fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let vault = context.vault()?;
        let _lock = vault.lock(&self.name, &format!("remove {}", self.name))?;
        let mut elsewhere = None;
        if !self.force {
            let record = vault.record(&self.name)?;
            context.check_confirmable()?;
            // The public part alone is nobody's word for "pending", so a pending credential is opened too where it can be.
            if record.state != State::Pending || context.can_unlock(&vault) {
                let unlocked = context.unlock(&vault)?;
                let client = context.client();
                elsewhere = context.block_on(check_unused(&unlocked, &client, &self.name))??;
            }
        } else if !vault.names()?.contains(&self.name) {
            return Err(crate::vault::VaultError::NoSuchCredential(self.name.clone()).into());
        }
        context.confirm_by_typing(self.name.as_str(), "confirm")?;
        vault.delete(&self.name)?;
        context.log(&vault, "removed", Some(&self.name), None, None);
        if context.ui.json() {
            context.ui.document(&json!({ "name": self.name, "removed": true }))?;
        } else {
            context.ui.say(&format!("{} is removed from the vault.", self.name));
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
