use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::vault::{RecipientError, RecipientText};

/// Say who may open the vault
#[derive(Args)]
#[command(
    after_help = "Examples:\n  dfns-keys recipients list\n  dfns-keys recipients add age1…\n  dfns-keys recipients remove age1…"
)]
pub(in crate::cli) struct RecipientsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List those who may open the vault
    List,
    /// Add a recipient and seal everything again
    Add {
        /// An age recipient or an SSH public key
        recipient: String,
    },
    /// Remove a recipient and seal everything again
    ///
    /// It may have kept what it could read: rotate the credentials it could open.
    Remove {
        /// As `recipients list` shows it
        recipient: String,
    },
}

impl RecipientsArgs {
    pub(super) fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let vault = context.vault()?;
        let (recipient, add) = match &self.action {
            Action::List => {
                let recipients = vault.recipients()?;
                if context.ui.json() {
                    context.ui.document(&json!({ "recipients": recipients }))?;
                } else {
                    for recipient in recipients {
                        context.ui.answer(recipient.as_str())?;
                    }
                }
                return Ok(Exit::Done);
            }
            Action::Add { recipient } => (recipient.parse::<RecipientText>()?, true),
            Action::Remove { recipient } => (recipient.parse::<RecipientText>()?, false),
        };
        if !add && !vault.recipients()?.contains(&recipient) {
            return Err(RecipientError::NotListed(recipient).into());
        }
        let unlocked = context.unlock(&vault)?;
        let (count, action) = if add {
            (unlocked.add_recipient(&recipient)?, "recipient-added")
        } else {
            (unlocked.remove_recipient(&recipient)?, "recipient-removed")
        };
        context.log(&vault, action, None, None, Some(recipient.to_string()));
        if context.ui.json() {
            context
                .ui
                .document(&json!({ "recipients": vault.recipients()?, "sealed_again": count }))?;
            return Ok(Exit::Done);
        }
        context.ui.say(&format!("Sealed {count} credentials again."));
        if !add {
            context
                .ui
                .say("What it could open before, it may have kept: rotate those credentials.");
        }
        Ok(Exit::Done)
    }
}
