use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::export::{Exportable, Format, PostmanAuth, postman_collection};
use crate::model::ids::CredentialName;
use crate::model::quoted;
use crate::model::url::ApiUrl;
use crate::sys::files::{self, IfExists, Readable};
use crate::vault::log::Event;

/// Hand a credential over to what uses it
///
/// In the form that is read there. Secrets go to a file for its owner alone, or to a pipe; to a terminal only with --reveal. What was exported is in the
/// log, so that a rotation can say who still has the old key.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  dfns-keys export payments-api --format dotenv --output deploy/payments.env\n  \
                  dfns-keys export payments-api --format kubernetes | kubectl apply --server-side -f -"
)]
pub(in crate::cli) struct ExportArgs {
    /// The credential
    name: CredentialName,
    /// In which form
    #[arg(long)]
    format: FormatArg,
    /// Which of the vendor's Postman set-ups
    #[arg(long, default_value = "v2")]
    auth: PostmanAuth,
    /// Have the Postman environment lead through a signing proxy, without a secret
    #[arg(long, value_name = "URL")]
    via_proxy: Option<ApiUrl>,
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

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FormatArg {
    PostmanEnvironment,
    PostmanCollection,
    Dotenv,
    Kubernetes,
    Github,
    DockerEnv,
    Json,
    PemPrivate,
    PemPublic,
}

impl FormatArg {
    /// What `--format` calls it, where that alone says how to make the same again.
    fn named(self, auth: PostmanAuth) -> Option<String> {
        let enough = self != Self::PostmanEnvironment || auth == PostmanAuth::V2;
        let value = self.to_possible_value().filter(|_| enough)?;
        Some(value.get_name().to_owned())
    }

    /// Its name for a command line, if a text is one.
    pub(super) fn known(text: &str) -> Option<String> {
        Self::from_str(text, false).ok()?.named(PostmanAuth::V2)
    }
}

impl ExportArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let form = self.form()?;
        let secret = matches!(&form, Form::Credential(format) if format.is_secret());
        if self.output.is_none() && secret && !self.reveal && context.ui.stdout_is_terminal() {
            return Err(Failure::usage("that would show the secret on the terminal")
                .hint("write it to a file with --output FILE, into a pipe, or say --reveal"));
        }
        if context.ui.json() && self.output.is_none() {
            return Err(Failure::usage("--json tells where the file is: name one with --output")
                .hint("`--format json` is the credential itself as JSON"));
        }
        if let Some(path) = &self.output {
            files::check_target(path, self.if_exists())?;
        }
        let vault = context.vault().await?;
        super::usable_record(&vault, &self.name).await?;
        let format = match &form {
            Form::Credential(format) => format,
            // The same for every credential, so that nothing has to be opened.
            Form::Collection => {
                self.hand_over(context, postman_collection().as_bytes(), Readable::ByAll)?;
                return Ok(Exit::Done);
            }
        };
        if self.reveal {
            context.supplier.insist();
        }
        let unlocked = context.unlock(&vault).await?;
        let (environment, generation) = super::usable(context, &unlocked, &self.name).await?;
        let exportable = Exportable {
            name: &self.name,
            environment: &environment,
            generation: &generation,
        };
        let readable = if secret { Readable::ByOwner } else { Readable::ByAll };
        self.hand_over(context, exportable.render(format)?.as_bytes(), readable)?;
        if secret {
            let place = self.output.as_ref().map_or_else(
                || "stdout".to_owned(),
                |path| quoted::path(&files::from_everywhere(path)),
            );
            let fingerprint = &generation.public_key.fingerprint;
            let event = Event {
                actor: None,
                action: "exported",
                name: Some(self.name.clone()),
                fingerprint: Some(fingerprint.clone()),
                detail: Some(place),
                format: self.format.named(self.auth),
            };
            context.record(&vault, event);
        }
        match format {
            Format::PostmanEnvironment(_) => context.ui.say(
                "  Postman may sync what you import to its cloud, secrets too; `secret` only hides them on the screen.",
            ),
            Format::PostmanThroughProxy(..) => context.ui.say(&format!(
                "  It holds no secret: put the token that `dfns-keys proxy {}` prints into authToken.",
                self.name
            )),
            _ => {}
        }
        Ok(Exit::Done)
    }

    /// To the file that was named, or to stdout.
    fn hand_over(&self, context: &Context, bytes: &[u8], readable: Readable) -> Result<(), Failure> {
        let Some(path) = &self.output else {
            return context.ui.data(bytes);
        };
        files::write(path, bytes, self.if_exists(), readable)?;
        let shown = quoted::path(path);
        if context.ui.json() {
            return context.ui.document(&json!({"name": self.name, "file": shown}));
        }
        context.ui.say(&format!("  {shown}"));
        Ok(())
    }

    fn if_exists(&self) -> IfExists {
        if self.force {
            IfExists::Replace
        } else {
            IfExists::Refuse
        }
    }

    fn form(&self) -> Result<Form, Failure> {
        if self.via_proxy.is_some() && self.format != FormatArg::PostmanEnvironment {
            return Err(Failure::usage("--via-proxy goes with --format postman-environment"));
        }
        Ok(Form::Credential(match self.format {
            FormatArg::PostmanCollection => return Ok(Form::Collection),
            FormatArg::PostmanEnvironment => match &self.via_proxy {
                None => Format::PostmanEnvironment(self.auth),
                Some(proxy) => Format::PostmanThroughProxy(self.auth, proxy.clone()),
            },
            FormatArg::Dotenv => Format::Dotenv,
            FormatArg::Kubernetes => Format::Kubernetes,
            FormatArg::Github => Format::Github,
            FormatArg::DockerEnv => Format::DockerEnv,
            FormatArg::Json => Format::Json,
            FormatArg::PemPrivate => Format::PemPrivate,
            FormatArg::PemPublic => Format::PemPublic,
        }))
    }
}

/// What is handed over: a credential, or what serves every one.
enum Form {
    Credential(Format),
    Collection,
}
