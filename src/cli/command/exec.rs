use std::ffi::OsString;
use std::process::Command;

use clap::Args;

use crate::cli::context::{self, Context};
use crate::cli::error::{Exit, Failure};
use crate::export::{Exportable, KEY_ENCODING};
use crate::model::ids::CredentialName;

/// What of ours a child must not see: how to open the vault.
const OURS: [&str; 4] = [
    "DFNS_KEYS_PASSPHRASE",
    "DFNS_KEYS_PASSPHRASE_FILE",
    "DFNS_KEYS_IDENTITY",
    "DFNS_KEYS_TEST_STOP_AT",
];

/// Run a program with a credential in its environment
///
/// Sets DFNS_API_URL, DFNS_AUTH_TOKEN, DFNS_CRED_ID, DFNS_PRIVATE_KEY, DFNS_ORIGIN, and DFNS_APP_ID and DFNS_ORG_ID where
/// they are known. On Unix the program takes this process's place: exit code and signals are its own.
#[derive(Args)]
#[command(after_help = "Example:\n  dfns-keys exec payments-api -- npm start")]
pub(in crate::cli) struct ExecArgs {
    /// The credential
    name: CredentialName,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

impl ExecArgs {
    pub(super) fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let (program, arguments) = self
            .command
            .split_first()
            .ok_or_else(|| Failure::usage("no program to run"))?;
        let vault = context.vault()?;
        vault.record(&self.name)?;
        let unlocked = context.unlock(&vault)?;
        let (environment, generation) = super::usable(context, &unlocked, &self.name)?;
        let exportable = Exportable {
            name: &self.name,
            environment: &environment,
            generation: &generation,
        };
        let mut command = Command::new(program);
        command.args(arguments);
        for variable in OURS {
            command.env_remove(variable);
        }
        // A variable of the same name from outside would be of another credential.
        for variable in ["DFNS_APP_ID", "DFNS_ORG_ID", KEY_ENCODING] {
            command.env_remove(variable);
        }
        for (name, value) in exportable.variables() {
            command.env(name, value.as_str());
        }
        let fingerprint = &generation.public_key.fingerprint;
        let detail = Some(program.to_string_lossy().into_owned());
        context.log(&vault, "executed", Some(&self.name), Some(fingerprint), detail);
        context::permit_core_dumps();
        let error = replace(&mut command);
        Err(Failure::new(
            Exit::Other,
            "not_started",
            format!("cannot run {}: {error}", program.to_string_lossy().escape_debug()),
        )
        .hint("is it installed, and on the PATH?"))
    }
}

/// Runs the program in this process's place; returns only when it could not.
#[cfg(unix)]
fn replace(command: &mut Command) -> std::io::Error {
    use std::os::unix::process::CommandExt;
    command.exec()
}

/// Runs the program as a child and ends as it ends.
#[cfg(not(unix))]
#[expect(clippy::disallowed_methods, reason = "the child's exit code is passed on as it is")]
fn replace(command: &mut Command) -> std::io::Error {
    match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => error,
    }
}
