use clap::Args;

use super::recipients;
use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::input::Input;
use crate::cli::origin::Origin;

/// Change the passphrase, seal everything again
///
/// The vault gets a new identity. Cut short, it is run again: old and new identity are both kept, under the new passphrase, until all is done.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  dfns-keys rekey\n  dfns-keys rekey --passphrase-file old.txt --new-passphrase-file new.txt"
)]
pub(in crate::cli) struct RekeyArgs {
    /// Read the new passphrase from a file, or from stdin
    #[arg(long, value_name = "FILE|-")]
    new_passphrase_file: Option<Input>,
}

impl RekeyArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let origin = self.new_passphrase_file.as_ref().map(Origin::file);
        context.supplier.insist();
        let vault = context.vault().await?;
        let new = || context.supplier.replacement(origin);
        // On a terminal the old one is asked for first. What a file has, or that there is nobody to ask, is known before.
        let (mut unlocked, passphrase) = if self.new_passphrase_file.is_none() && context.may_ask() {
            (recipients::current(context, &vault).await?, new()?)
        } else {
            let passphrase = new()?;
            (recipients::current(context, &vault).await?, passphrase)
        };
        let resealed = recipients::with_progress(context, async |watch| {
            unlocked.rekey(&passphrase, &context.asker(), watch).await
        })
        .await?;
        context.log(&vault, "rekeyed", None, None, None);
        if !context.ui.json() {
            context.ui.say("The vault has a new identity and passphrase.");
        }
        recipients::conclude(context, &unlocked, resealed).await
    }
}
