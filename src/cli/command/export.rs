use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::export::{Exportable, Format, PostmanAuth};
use crate::model::ids::CredentialName;
use crate::sys::files::{self, IfExists, Readable};

/// Hand a credential over in the form that its user reads
///
/// Secrets go to a file for its owner alone, or to a pipe; to a terminal only with --reveal. What was exported is in the
/// log, so that a rotation can say who still has the old key.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  dfns-keys export payments-api --format dotenv --output deploy/payments.env\n  \
                  dfns-keys export payments-api --format kubernetes | kubectl apply -f -"
)]
pub(in crate::cli) struct ExportArgs {
    /// The credential
    name: CredentialName,
    /// In which form
    #[arg(long)]
    format: FormatArg,
    /// Which of the vendor's Postman set-ups
    #[arg(long, default_value = "v2")]
    auth: AuthArg,
    /// Write to a file (0600) instead of stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Show the secret on the terminal
    #[arg(long)]
    reveal: bool,
    /// Replace a file that exists
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum FormatArg {
    PostmanEnvironment,
    Dotenv,
    Kubernetes,
    Github,
    DockerEnv,
    Json,
    PemPrivate,
    PemPublic,
}

#[derive(Clone, Copy, ValueEnum)]
enum AuthArg {
    V2,
    V1,
}

impl ExportArgs {
    pub(super) fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let format = self.format();
        if self.output.is_none() && format.is_secret() && !self.reveal && context.ui.stdout_is_terminal() {
            return Err(Failure::usage("that would show the secret on the terminal")
                .hint("write it to a file with --output FILE, into a pipe, or say --reveal"));
        }
        if context.ui.json() && self.output.is_none() {
            return Err(Failure::usage("--json tells where the file is: name one with --output")
                .hint("`--format json` is the credential itself as JSON"));
        }
        let vault = context.vault()?;
        vault.record(&self.name)?;
        let unlocked = context.unlock(&vault)?;
        let (environment, generation) = super::usable(&unlocked, &self.name)?;
        let exportable = Exportable {
            name: &self.name,
            environment: &environment,
            generation: &generation,
        };
        let text = exportable.render(format);
        match &self.output {
            Some(path) => self.write(context, path, text.as_bytes(), format)?,
            None => context.ui.data(text.as_bytes())?,
        }
        if format.is_secret() {
            let place = self
                .output
                .as_ref()
                .map_or_else(|| "stdout".to_owned(), |path| path.display().to_string());
            let fingerprint = &generation.public_key.fingerprint;
            context.log(&vault, "exported", Some(&self.name), Some(fingerprint), Some(place));
        }
        Ok(Exit::Done)
    }

    fn write(&self, context: &Context, path: &Path, bytes: &[u8], format: Format) -> Result<(), Failure> {
        let if_exists = if self.force {
            IfExists::Replace
        } else {
            IfExists::Refuse
        };
        let readable = if format.is_secret() {
            Readable::ByOwner
        } else {
            Readable::ByAll
        };
        files::write(path, bytes, if_exists, readable)?;
        if context.ui.json() {
            return context
                .ui
                .document(&json!({"name": self.name, "file": path.display().to_string()}));
        }
        context.ui.say(&format!("  {}", path.display()));
        if matches!(format, Format::PostmanEnvironment(_)) {
            context.ui.say(
                "  Postman may sync what you import to its cloud, secrets too; `secret` only hides them on the screen.",
            );
        }
        Ok(())
    }

    fn format(&self) -> Format {
        match self.format {
            FormatArg::PostmanEnvironment => Format::PostmanEnvironment(match self.auth {
                AuthArg::V2 => PostmanAuth::V2,
                AuthArg::V1 => PostmanAuth::V1,
            }),
            FormatArg::Dotenv => Format::Dotenv,
            FormatArg::Kubernetes => Format::Kubernetes,
            FormatArg::Github => Format::Github,
            FormatArg::DockerEnv => Format::DockerEnv,
            FormatArg::Json => Format::Json,
            FormatArg::PemPrivate => Format::PemPrivate,
            FormatArg::PemPublic => Format::PemPublic,
        }
    }
}
