use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::model::ids::CredentialName;
use crate::vault::VaultError;
use crate::vault::log::{FROM, RENAMED};

/// Give a credential another name, here alone
///
/// Dfns knows nothing of it. A rotation under way comes along; a kill leaves one name or the other.
#[derive(Args)]
#[command(after_help = "Examples:\n  dfns-keys rename payments-api payments-eu")]
pub(in crate::cli) struct RenameArgs {
    /// The name it has
    old: CredentialName,
    /// The name it is to have
    new: CredentialName,
}

impl RenameArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let Self { old, new } = self;
        if old == new {
            return Err(Failure::usage("both names are the same"));
        }
        let vault = context.vault().await?;
        let purpose = format!("rename {old} {new}");
        // In the order of the names, so that two who swap names do not wait for each other.
        let (first, second) = if old < new { (old, new) } else { (new, old) };
        let (first, second) = (
            vault.lease(first, &purpose).await?,
            vault.lease(second, &purpose).await?,
        );
        let (from, to) = if old < new { (first, second) } else { (second, first) };
        match vault.record(old).await {
            Err(error @ VaultError::Renamed { .. }) => {
                // Perhaps by a run that was cut short; what is left of it goes.
                context.unlock(&vault).await?.edit(from).await?;
                return Err(error.into());
            }
            Err(error @ VaultError::NoSuchCredential(_)) => {
                return Err(match vault.moved_to(old).await {
                    Some(to) => VaultError::Renamed { from: old.clone(), to },
                    None => error,
                }
                .into());
            }
            found => drop(found?),
        }
        if vault.record(new).await.is_ok() {
            return Err(VaultError::CredentialExists(new.clone()).into());
        }
        let unlocked = context.unlock(&vault).await?;
        unlocked.rename(from, to).await?;
        let detail = Some(format!("{FROM}{old}"));
        context.log(&vault, RENAMED, Some(new), None, detail);
        let renamed = Renamed {
            name: new,
            renamed_from: old,
        };
        context.ui.emit_said(&renamed, &format!("{old} is {new} now."))
    }
}

#[derive(Serialize)]
struct Renamed<'a> {
    name: &'a CredentialName,
    renamed_from: &'a CredentialName,
}
