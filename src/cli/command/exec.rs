use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::Path;
#[cfg(unix)]
use std::path::PathBuf;
use std::process::Command;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::export::{Exportable, KEY_ENCODING};
use crate::model::ids::CredentialName;
use crate::model::quoted;
use crate::sys::child::OURS;
#[cfg(unix)]
use crate::sys::files;
#[cfg(unix)]
use crate::sys::memory;

/// Run a program with a credential
///
/// In its environment: DFNS_API_URL, DFNS_AUTH_TOKEN, DFNS_CRED_ID, DFNS_PRIVATE_KEY, DFNS_ORIGIN, and DFNS_APP_ID and DFNS_ORG_ID where
/// they are known. On Unix the program takes this process's place: exit code and signals are its own. Exit code 127 where there
/// is no such program, 126 where it cannot be run.
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
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let (program, arguments) = self
            .command
            .split_first()
            .ok_or_else(|| Failure::usage("no program to run"))?;
        let vault = context.vault().await?;
        super::usable_record(&vault, &self.name).await?;
        #[cfg(unix)]
        look_for(program, std::env::var_os("PATH"))?;
        let unlocked = context.unlock(&vault).await?;
        let (environment, generation) = super::usable(context, &unlocked, &self.name).await?;
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
        for (name, value) in exportable.variables()? {
            command.env(name, value.as_str());
        }
        let fingerprint = &generation.public_key.fingerprint;
        let detail = Some(quoted::path(Path::new(program)));
        context.log(&vault, "executed", Some(&self.name), Some(fingerprint), detail);
        context.end_stdin_if_used()?;
        memory::permit_core_dumps();
        let error = replace(&mut command);
        Err(match error.kind() {
            ErrorKind::NotFound => no_program(program),
            _ => not_executable(program, &error.to_string()),
        })
    }
}

/// Tells of a program that is not there, or cannot be run, before anybody types a passphrase. What is found here may still
/// fail to start.
#[cfg(unix)]
fn look_for(program: &OsStr, search: Option<OsString>) -> Result<(), Failure> {
    let named_with_its_place = program.as_encoded_bytes().contains(&b'/');
    let places: Vec<PathBuf> = match search {
        _ if named_with_its_place => vec![PathBuf::from(program)],
        Some(search) => std::env::split_paths(&search)
            .map(|directory| directory.join(program))
            .collect(),
        // The system has a search path of its own for this.
        None => return Ok(()),
    };
    if places.iter().any(|path| files::is_program(path)) {
        return Ok(());
    }
    match places.iter().find(|path| files::exists(path)) {
        Some(path) => Err(not_executable(
            program,
            &format!("{} is no file with the permission to execute it", quoted::path(path)),
        )),
        None => Err(no_program(program)),
    }
}

fn no_program(program: &OsStr) -> Failure {
    let shown = shown(program);
    let place = if program.as_encoded_bytes().contains(&b'/') {
        ""
    } else {
        " on the PATH"
    };
    Failure::new(
        Exit::NoProgram,
        "no_such_program",
        format!("there is no program {shown}{place}"),
    )
    .hint("is it installed, and spelled right? a script needs its interpreter, too")
}

fn not_executable(program: &OsStr, reason: &str) -> Failure {
    Failure::new(
        Exit::NotExecutable,
        "not_executable",
        format!("{} cannot be run: {reason}", shown(program)),
    )
    .hint("look at its permissions; a script needs a first line such as #!/bin/sh")
}

fn shown(program: &OsStr) -> String {
    quoted::path(Path::new(program)).escape_debug().to_string()
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
