use clap::Args;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::model::ids::CredentialName;
use crate::model::quoted::{self, shown};

/// Show the local audit log: who did what when
#[derive(Args)]
pub(in crate::cli) struct LogArgs {
    /// Only what concerns this credential
    name: Option<CredentialName>,
}

impl LogArgs {
    pub(super) fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let records = context.vault()?.events(self.name.as_ref())?;
        if context.ui.json() {
            context.ui.document(&json!({ "events": records }))?;
            return Ok(Exit::Done);
        }
        for record in records {
            let name = record.name.as_ref().map_or("", |name| name.as_str());
            let line = format!(
                "{}  {:<12} {:<12} {name}  {} {}",
                record.at,
                shown(record.actor.as_deref().unwrap_or("–")),
                shown(&record.action),
                record.fingerprint.as_deref().unwrap_or("").escape_debug(),
                quoted::without_secrets(record.detail.as_deref().unwrap_or("")).escape_debug(),
            );
            context.ui.answer(line.trim_end())?;
        }
        Ok(Exit::Done)
    }
}
