use clap::Args;
use clap_complete::Shell;

use crate::cli::completion;
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
        let script = completion::script(&self.shell.to_string())
            .ok_or_else(|| Failure::usage(format!("there is no completion for {}", self.shell)))?;
        context.ui.data(&script)?;
        Ok(Exit::Done)
    }
}
