use clap::Args;
use serde::Serialize;

use super::recipients::recipients_of;
use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::model::quoted;
use crate::sys::clock::SystemClock;
use crate::sys::files;
use crate::vault::{Member, Opening, RecipientText, Vault};

/// Create the vault
///
/// Makes an age identity and seals it under a passphrase, asked for twice; left empty, a passphrase is made. With
/// --recipient and no passphrase option the vault has no identity of its own: it can onboard and never open (for CI).
#[derive(Args)]
#[command(after_help = "Examples:\n  dfns-keys init\n  dfns-keys init --recipient age1…   (seal-only)")]
pub(in crate::cli) struct InitArgs {
    /// Seal to this age recipient too; repeat for more
    #[arg(long, value_name = "RECIPIENT")]
    recipient: Vec<String>,
}

impl InitArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let directory = context.new_vault_directory()?;
        let recipients = self
            .recipient
            .iter()
            .map(|text| text.parse::<RecipientText>().map(Member::new))
            .collect::<Result<Vec<_>, _>>()?;
        if let Ok(vault) = context.vault().await {
            return Err(crate::vault::VaultError::Exists(vault.directory().to_owned()).into());
        }
        if files::exists(&directory) {
            files::check_is_ours(&directory).map_err(|error| {
                Failure::from(error).hint("name a new folder, or one of your own, with --vault DIR")
            })?;
        }
        let seal_only = !recipients.is_empty() && !context.supplier.has_flag();
        let passphrase = if seal_only {
            None
        } else {
            Some(context.supplier.fresh("Passphrase for the new vault")?)
        };
        let opening = match &passphrase {
            Some(passphrase) => Opening::Passphrase(passphrase),
            None => Opening::SealOnly,
        };
        let spinner = context.ui.spinner("sealing the vault's identity");
        let vault = Vault::create(
            &directory,
            &opening,
            &recipients,
            context.machine()?,
            Box::new(SystemClock),
        )
        .await;
        spinner.finish_and_clear();
        let vault = vault?;
        context.log(&vault, "initialised", None, None, None);
        let recipients = recipients_of(&vault.listed_members().await?);
        let created = Created {
            vault: quoted::path(&directory),
            seal_only,
            recipients,
        };
        context.ui.emit(&created, |ui| {
            ui.say(&format!("The vault is at {}.", created.vault));
            if seal_only {
                ui.say("It seals and never opens: whoever has the recipients' identities opens it elsewhere.");
            }
            if passphrase.is_some() {
                ui.say("  Keep the passphrase: without it, or another recipient's identity, nobody opens the vault.");
            }
            ui.say("  next:  dfns-keys onboard NAME");
            if cfg!(feature = "sandbox") {
                ui.say("  or, to try it without an account:  dfns-keys sandbox");
            }
            Ok(())
        })
    }
}

#[derive(Serialize)]
struct Created {
    vault: String,
    seal_only: bool,
    recipients: Vec<RecipientText>,
}
