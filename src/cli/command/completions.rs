use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};

/// Print a completion script for a shell
#[derive(Args)]
#[command(after_help = "Example:\n  dfns-keys completions bash > ~/.local/share/bash-completion/completions/dfns-keys")]
pub(in crate::cli) struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

impl CompletionsArgs {
    pub(super) fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "dfns-keys", &mut script);
        context.ui.data(&script)?;
        Ok(Exit::Done)
    }
}
