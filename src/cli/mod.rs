//! The command line: global flags, one file a command, one printer, one place that decides exit codes.
#![allow(clippy::doc_markdown, reason = "doc comments of arguments are help texts")]

mod beginning;
mod changes;
mod command;
mod completion;
mod context;
mod contexts;
mod desktop;
mod ending;
mod error;
mod fleet;
mod folders;
mod foreign;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod harmless;
mod held_keys;
mod help;
mod input;
mod junit;
mod listing;
mod many;
mod origin;
mod passphrase;
mod places;
mod record;
mod signals;
mod slips;
mod table;
mod terminal;
mod text;
mod ui;

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, ValueEnum};

use crate::model::duration::Span;
use crate::model::ids::CredentialName;
use crate::sys::memory;
use crate::sys::panics::are_contained;
use command::Command;
use context::Context;
use contexts::{Flags, Surroundings};
use error::{Exit, Failure};
use input::Input;
use ui::Ui;

/// Provision, verify and rotate credentials for the Dfns API.
///
/// Makes P-256 key pairs, keeps them sealed with age, and proves that a token and a key belong together before anything
/// relies on them. Not a product of Dfns's.
#[derive(Parser)]
#[command(name = "dfns-keys", version, max_term_width = 100)]
#[command(
    after_help = "Examples:\n  dfns-keys demo\n  dfns-keys init\n  dfns-keys onboard payments-api\n  dfns-keys verify payments-api"
)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every command takes.
#[derive(clap::Args)]
#[command(next_help_heading = help::GLOBAL)]
struct Globals {
    /// A context, which then goes before the environment [env: DFNS_KEYS_CONTEXT]
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<CredentialName>,
    /// The vault's directory [env: DFNS_KEYS_VAULT] [default: the context's, or $XDG_DATA_HOME/dfns-keys]
    #[arg(long, global = true, value_name = "DIR")]
    vault: Option<PathBuf>,
    /// An age identity that opens the vault, instead of its own [env: DFNS_KEYS_IDENTITY] [default: the context's]
    #[arg(long, global = true, value_name = "FILE", action = ArgAction::Append)]
    identity: Vec<PathBuf>,
    /// Read the passphrase from a file, or from stdin [env: DFNS_KEYS_PASSPHRASE_FILE; or the passphrase itself:
    /// DFNS_KEYS_PASSPHRASE]
    #[arg(long, global = true, value_name = "FILE|-", conflicts_with = "passphrase_fd")]
    passphrase_file: Option<Input>,
    /// Read the passphrase from an open file descriptor
    #[arg(long, global = true, value_name = "N", value_parser = readable_descriptor)]
    passphrase_fd: Option<u32>,
    /// Print one JSON document on stdout
    #[arg(long, global = true)]
    json: bool,
    /// Never ask; fail where an answer would be needed
    #[arg(long, global = true)]
    no_input: bool,
    /// Answer yes to confirmations
    #[arg(short, long, global = true)]
    yes: bool,
    /// Say only what went wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say which requests are made
    #[arg(short, long, global = true)]
    verbose: bool,
    /// Show tables whole, however wide the window is
    #[arg(long, global = true)]
    wide: bool,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: When,
    /// How long to wait for another dfns-keys that has the vault or credential
    #[arg(long, global = true, value_name = "DURATION", default_value = "0s")]
    wait: Span,
    /// Accept an older state of the vault than this machine has seen, such as a backup that was put back
    #[arg(long, global = true)]
    accept_rollback: bool,
    /// How long one request to Dfns may take
    #[arg(long, global = true, value_name = "DURATION", default_value = "30s")]
    timeout: Span,
    /// How many requests a minute to make at the most
    #[arg(long, global = true, value_name = "N", default_value = "900")]
    rate_limit: NonZeroU32,
}

impl Globals {
    fn flags(&self) -> Flags {
        Flags {
            context: self.context.clone(),
            vault: self.vault.clone(),
            identities: self.identity.clone(),
        }
    }
}

fn readable_descriptor(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(1 | 2) => Err("1 and 2 are for output".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("it is no number of a descriptor".to_owned()),
    }
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

/// Runs the program: parses the arguments, runs the command, and tells the exit code.
#[must_use]
pub fn main() -> ExitCode {
    memory::shut_others_out();
    #[cfg(debug_assertions)]
    context::choose_instant();
    // The default hook prints the panic's message, which may carry what it should not.
    panic::set_hook(Box::new(|panic| {
        if !are_contained() {
            ui::report_bug(panic.location());
        }
    }));
    let exit = panic::catch_unwind(AssertUnwindSafe(|| {
        held_keys::serve(std::env::args_os()).unwrap_or_else(|| run(std::env::args_os()))
    }))
    .unwrap_or(Exit::Bug);
    ExitCode::from(exit.code())
}

fn run(arguments: impl Iterator<Item = OsString>) -> Exit {
    let mut arguments: Vec<OsString> = arguments.collect();
    if let Some(exit) = completion::answer(Cli::command, &arguments) {
        return exit;
    }
    let json = asks_for_json(&arguments);
    let given = match beginning::given(&mut arguments) {
        Ok(given) => given,
        Err(failure) => return conclude(&Ui::new(json, false, false, When::Never), &failure),
    };
    // After that, for a limit is handed on to whoever takes this process's place.
    memory::forbid_core_dumps();
    memory::lock();
    let mut grammar = help::with_helps(Cli::command(), &arguments);
    let parsed = grammar.try_get_matches_from_mut(&arguments).and_then(|matches| {
        Ok((
            Cli::from_arg_matches(&matches)?,
            input::stdin_readers(&grammar, &matches),
        ))
    });
    let (cli, stdin_readers) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            let tip = slips::tip(&error, &arguments);
            return ui::usage(error, tip, json);
        }
    };
    let Cli { globals, command } = cli;
    let surroundings = if command.goes_by_a_context() {
        match globals.flags().resolve() {
            Ok(surroundings) => surroundings,
            Err(failure) => return conclude(&Ui::new(globals.json, false, false, When::Never), &failure),
        }
    } else {
        Surroundings::default()
    };
    let context = Context::new(globals, given, surroundings);
    context.install_key_places();
    context.keep_descriptors(command.passes_descriptors_on());
    if !command.works_on_the_session()
        && let Err(failure) = context.leave_session(command.goes_by_a_context())
    {
        return conclude(&context.ui, &failure);
    }
    let outcome = context.check_stdin_readers(stdin_readers).and_then(|()| {
        context.block_on(async {
            match command.run(&context).await {
                Ok(exit) => Ok(exit),
                Err(failure) => Err(slips::forgiven(&context, failure).await),
            }
        })?
    });
    match outcome {
        Ok(exit) => exit,
        Err(failure) => conclude(&context.ui, &failure),
    }
}

/// Whether a command line that is not parsed yet, or cannot be, asks for JSON. What stands behind `--` is another program's.
fn asks_for_json(arguments: &[OsString]) -> bool {
    let ours = arguments.iter().take_while(|argument| *argument != "--");
    ours.into_iter().any(|argument| argument == "--json")
}

fn conclude(ui: &Ui, failure: &Failure) -> Exit {
    // A reader that has seen enough (`| head -1`) is no failure of ours.
    if !failure.is_broken_pipe() {
        ui.failure(failure);
    }
    failure.exit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
