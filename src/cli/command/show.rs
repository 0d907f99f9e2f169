use clap::Args;
use serde_json::json;

use super::list::row;
use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::keys::pem::algorithm_of;
use crate::model::ids::CredentialName;

/// Show what is public of a credential
///
/// Without unlocking.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  dfns-keys show payments-api\n  dfns-keys show payments-api --public-key > public.pem"
)]
pub(in crate::cli) struct ShowArgs {
    /// The credential
    name: CredentialName,
    /// Print the public key as PEM, and nothing else
    #[arg(long, conflicts_with = "fingerprint")]
    public_key: bool,
    /// Print the public key's fingerprint, and nothing else
    #[arg(long)]
    fingerprint: bool,
}

impl ShowArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let vault = context.vault().await?;
        let record = vault.record(&self.name).await?;
        if self.public_key || self.fingerprint {
            context
                .ui
                .say("read from the public part, which nobody vouches for; `dfns-keys onboard NAME --prepare` opens it first");
        }
        let algorithm = algorithm_of(&record.public_key).map(|algorithm| algorithm.to_string());
        if context.ui.json() {
            let mut credential = row(&record);
            credential["origin"] = json!(record.origin);
            credential["app_id"] = json!(record.app_id);
            credential["token_id"] = json!(record.token_id);
            credential["public_key"] = json!(record.public_key);
            credential["algorithm"] = json!(algorithm);
            context.ui.document(&json!({ "credential": credential }))?;
        } else if self.public_key {
            context.ui.data(record.public_key.as_bytes())?;
        } else if self.fingerprint {
            context.ui.data(format!("{}\n", record.fingerprint).as_bytes())?;
        } else {
            let optional = |value: Option<&str>| value.unwrap_or("–").to_owned();
            let lines = [
                ("name", record.name.to_string()),
                ("kind", record.kind.in_words().to_owned()),
                ("state", record.state.to_string()),
                ("api url", record.api_url.to_string()),
                ("origin", record.origin.to_string()),
                (
                    "application",
                    optional(record.app_id.as_ref().map(crate::model::ids::ApplicationId::as_str)),
                ),
                (
                    "organisation",
                    optional(record.org_id.as_ref().map(crate::model::ids::OrganisationId::as_str)),
                ),
                (
                    "identity",
                    optional(record.identity_id.as_ref().map(crate::model::ids::IdentityId::as_str)),
                ),
                (
                    "credential",
                    optional(
                        record
                            .credential_id
                            .as_ref()
                            .map(crate::model::ids::CredentialId::as_str),
                    ),
                ),
                ("fingerprint", record.fingerprint.clone()),
                ("algorithm", optional(algorithm.as_deref())),
                ("generation", record.generation.to_string()),
                ("created", record.created_at.to_string()),
                (
                    "rotated",
                    optional(record.rotated_at.map(|at| at.to_string()).as_deref()),
                ),
                (
                    "token expires",
                    optional(record.token_expires_at.map(|at| at.to_string()).as_deref()),
                ),
            ];
            for (label, value) in lines {
                context.ui.answer(&format!("{label:<14} {value}"))?;
            }
            context.ui.answer(record.public_key.trim_end())?;
        }
        Ok(Exit::Done)
    }
}
