use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use clap_mangen::Man;

use crate::cli::Cli;
use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::model::quoted;
use crate::sys::files::{self, IfExists, Readable};

/// Print the manual page, or write one for each command into a directory
#[derive(Args)]
pub(in crate::cli) struct ManArgs {
    /// Where to write the pages
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

impl ManArgs {
    pub(super) fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let mut command = Cli::command();
        command.build();
        match &self.directory {
            None => context.ui.data(&page(&command)?)?,
            Some(directory) => {
                let count = write_pages(&command, directory)?;
                context.ui.say(&format!("{count} pages in {}", quoted::path(directory)));
            }
        }
        Ok(Exit::Done)
    }
}

fn page(command: &clap::Command) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    Man::new(command.clone())
        .render(&mut text)
        .map_err(|error| Failure::new(Exit::Other, "output", format!("cannot write the page: {error}")))?;
    Ok(text)
}

fn write_pages(command: &clap::Command, directory: &Path) -> Result<usize, Failure> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let path = directory.join(format!("{name}.1"));
    files::write(&path, &page(command)?, IfExists::Replace, Readable::ByAll)?;
    let mut count = 1;
    for subcommand in command.get_subcommands() {
        count += write_pages(subcommand, directory)?;
    }
    Ok(count)
}
