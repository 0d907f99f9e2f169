use clap::{Args, Subcommand};

use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::record::document;
use crate::model::ids::CredentialName;
use crate::vault::VaultError;
use crate::workflow::adopt;

/// Work on the vault as a whole
#[derive(Args)]
#[command(after_help = "Examples:\n  dfns-keys vault adopt payments-api --fingerprint SHA256:4mVn…")]
pub(in crate::cli) struct VaultArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Vouch for a credential that a writer sealed which can only seal
    ///
    /// Compare the fingerprint with what the writer printed, on its own machine: the file here may be another's.
    #[command(override_usage = "dfns-keys vault adopt --fingerprint SHA256:… NAME")]
    Adopt {
        /// The credential
        name: CredentialName,
        /// The fingerprint that the writer printed
        #[arg(long, value_name = "SHA256:…")]
        fingerprint: String,
    },
}

impl VaultArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let Action::Adopt { name, fingerprint } = &self.action;
        let vault = context.vault().await?;
        let lease = vault.lease(name, &format!("adopt {name}")).await?;
        vault.record(name).await?;
        let unlocked = context.unlock(&vault).await?;
        let (record, found) = adopt::look(&unlocked, name).await?;
        if found != *fingerprint {
            return Err(VaultError::OtherFingerprint(name.clone()).into());
        }
        context.ui.say(&format!(
            "{name}: a {}, for {}\n  its key   {found}",
            record.kind.in_words(),
            record.api_url
        ));
        context.confirm("Vouch for it?", "credential")?;
        let record = adopt::adopt(&unlocked, lease, fingerprint).await?;
        context.log(&vault, "adopted", Some(name), Some(&record.fingerprint), None);
        context
            .ui
            .emit_said(&document(&record), &format!("{name} is one of the vault's."))
    }
}
