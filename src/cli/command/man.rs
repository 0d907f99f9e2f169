use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;
use roff::{Roff, bold, roman};

use crate::cli::Cli;
use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::model::quoted;
use crate::sys::files::{self, IfExists, Readable};

/// Print the manual page, or write all of them
///
/// Into a directory, one for each command.
#[derive(Args)]
#[command(after_help = "Examples:\n  dfns-keys man | man -l -\n  dfns-keys man ~/.local/share/man/man1")]
pub(in crate::cli) struct ManArgs {
    /// Where to write the pages
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

impl ManArgs {
    pub(super) fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        match &self.directory {
            None => context.ui.data(&page(&command, None)?)?,
            Some(directory) => {
                let count = write_pages(&command, None, directory)?;
                context.ui.say(&format!("{count} pages in {}", quoted::path(directory)));
            }
        }
        Ok(Exit::Done)
    }
}

fn write_pages(command: &Command, above: Option<&str>, directory: &Path) -> Result<usize, Failure> {
    let name = page_name(command);
    let path = directory.join(format!("{name}.1"));
    files::write(&path, &page(command, above)?, IfExists::Replace, Readable::ByAll)?;
    let mut count = 1;
    for subcommand in command.get_subcommands() {
        count += write_pages(subcommand, Some(name), directory)?;
    }
    Ok(count)
}

fn page_name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn page(command: &Command, above: Option<&str>) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    write(command, above, &mut text)
        .map_err(|error| Failure::new(Exit::Other, "output", format!("cannot write the page: {error}")))?;
    Ok(text)
}

fn write(command: &Command, above: Option<&str>, text: &mut Vec<u8>) -> std::io::Result<()> {
    let man = Man::new(command.clone()).manual("dfns-keys");
    man.render_title(text)?;
    man.render_name_section(text)?;
    man.render_synopsis_section(text)?;
    man.render_description_section(text)?;
    man.render_options_section(text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(text)?;
    }
    let mut more = Roff::new();
    examples(command, &mut more);
    let codes = Exit::ALL.map(|exit| (exit.code().to_string(), exit.meaning()));
    terms(
        &mut more,
        "EXIT STATUS",
        codes.iter().map(|(code, meaning)| (code.as_str(), *meaning)),
    );
    terms(&mut more, "ENVIRONMENT", ENVIRONMENT);
    terms(&mut more, "FILES", FILES);
    more.control("SH", ["SEE ALSO"]);
    more.text([bold(above.unwrap_or("age")), roman("(1)")]);
    more.to_writer(text)?;
    if command.get_version().is_some() {
        man.render_version_section(text)?;
    }
    Ok(())
}

/// The examples that stand below a command's help.
fn examples(command: &Command, page: &mut Roff) {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let lines: Vec<&str> = help.lines().skip(1).map(str::trim).collect();
    if lines.is_empty() {
        return;
    }
    page.control("SH", ["EXAMPLES"]);
    page.control("nf", []);
    for line in lines {
        page.text([roman(line)]);
    }
    page.control("fi", []);
}

fn terms<'t>(page: &mut Roff, title: &str, terms: impl IntoIterator<Item = (&'t str, &'t str)>) {
    page.control("SH", [title]);
    for (term, meaning) in terms {
        page.control("TP", []);
        page.text([bold(term)]);
        page.text([roman(meaning)]);
    }
}

/// Whatever of the environment is looked at.
const ENVIRONMENT: [(&str, &str); 17] = [
    (
        "DFNS_KEYS_VAULT",
        "The vault's directory, where --vault does not name it.",
    ),
    (
        "DFNS_KEYS_IDENTITY",
        "Age identities that open the vault, where --identity names none; several as in PATH.",
    ),
    (
        "DFNS_KEYS_CONTEXT",
        "The context, where --context names none. The other variables go before it.",
    ),
    (
        "DFNS_KEYS_API_URL, DFNS_KEYS_ORIGIN, DFNS_KEYS_APP_ID, DFNS_KEYS_ORG_ID, DFNS_KEYS_AS",
        "What a new credential takes for granted, and whom rotate and account act as, where no flag says.",
    ),
    (
        "DFNS_KEYS_PASSPHRASE_FILE",
        "A file with the passphrase, where no flag names one.",
    ),
    (
        "DFNS_KEYS_PASSPHRASE",
        "The passphrase itself, where no file is named. No child gets to see it.",
    ),
    (
        "DFNS_KEYS_VAULT_ID",
        "ID or ID:EPOCH: the vault that it must be, and the oldest list of recipients that is taken.",
    ),
    (
        "DFNS_KEYS_RECIPIENTS",
        "The digest of the list of recipients, for a machine that only seals.",
    ),
    (
        "DFNS_KEYS_PIN_FILE",
        "A file with the PIN of the PKCS#11 tokens that no pin-source is given for.",
    ),
    (
        "DFNS_API_URL, DFNS_AUTH_TOKEN, DFNS_CRED_ID, DFNS_PRIVATE_KEY, DFNS_ORIGIN, DFNS_APP_ID, DFNS_ORG_ID",
        "What exec sets for its program, and verify --process-env looks at.",
    ),
    (
        "XDG_DATA_HOME",
        "Where the vault is, if nothing else says so; ~/.local/share if unset.",
    ),
    (
        "XDG_STATE_HOME",
        "Where this machine remembers what it has seen of vaults; ~/.local/state if unset.",
    ),
    (
        "HTTPS_PROXY, NO_PROXY",
        "The proxy on the way to Dfns, and where none is used.",
    ),
    ("COLUMNS", "How wide tables may be; the terminal's width if unset."),
    ("NO_COLOR", "No colour, if set to something."),
    ("USER", "Who stands in the audit log."),
    ("TMPDIR", "Where demo keeps its vault."),
];

const FILES: [(&str, &str); 9] = [
    (
        "$XDG_DATA_HOME/dfns-keys",
        "The vault, readable by its owner alone. age -d and jq open everything in it.",
    ),
    ("vault.json", "Its format, and when it was made."),
    ("identity.age", "Its own age identity, sealed under the passphrase."),
    (
        "recipients.txt",
        "Who can open it: one age recipient a line, and a code that only they can make.",
    ),
    (
        "keys/N-HASH.age",
        "The vault's secrets, sealed to those who can open it.",
    ),
    (
        "credentials/NAME.json",
        "A credential: a part that is public, and one that is sealed.",
    ),
    (
        "log.jsonl, log-000001.jsonl …",
        "The audit log, who did what when, and its earlier files.",
    ),
    (
        "$XDG_STATE_HOME/dfns-keys",
        "What this machine remembers of vaults, so that it notices another one or an old copy. No secrets.",
    ),
    (
        "$XDG_CONFIG_HOME/dfns-keys/config.toml",
        "Contexts, which a person may edit.",
    ),
];
