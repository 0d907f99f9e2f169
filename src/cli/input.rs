//! What an argument names for reading and for writing: a file, or `-` for stdin and stdout. The one reader of stdin.
#![expect(
    clippy::disallowed_methods,
    reason = "stdin is read here, and nowhere else, so that two readers cannot share it unnoticed"
)]

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use clap::builder::{MapValueParser, PathBufValueParser, TypedValueParser, ValueParserFactory};
use clap::{ArgMatches, Command};
use zeroize::Zeroizing;

use super::ui::Ui;
use crate::cli::error::{Exit, Failure};
use crate::model::quoted;
use crate::sys::files;

/// Key files, tokens and environments are far smaller.
const LIMIT: u64 = 16 * 1024 * 1024;

/// What is read.
#[derive(Clone)]
pub(super) enum Input {
    Stdin,
    File(PathBuf),
    /// It stands on the command line itself.
    Text(Zeroizing<String>),
}

/// What is written.
#[derive(Clone)]
pub(super) enum Output {
    Stdout,
    File(PathBuf),
}

impl Input {
    /// For an argument that is a text, `-`, or a file behind `@`.
    pub(super) fn text_or_file(text: String) -> Self {
        match text.strip_prefix('@') {
            Some(path) => PathBuf::from(path).into(),
            None if text == "-" => Self::Stdin,
            None => Self::Text(text.into()),
        }
    }

    /// The file, where it is one.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Stdin | Self::Text(_) => None,
        }
    }

    /// The path as it was said.
    pub(super) fn path(&self) -> &Path {
        self.file().unwrap_or(Path::new("-"))
    }

    /// For messages.
    pub(super) fn shown(&self) -> String {
        self.file().map_or_else(|| "stdin".to_owned(), quoted::path)
    }

    /// Reads it to its end.
    pub(super) fn read(&self, ui: &Ui) -> Result<Zeroizing<Vec<u8>>, Failure> {
        match self {
            Self::Stdin => {
                if is_terminal() {
                    ui.say("reading from the terminal; end with Ctrl-D");
                }
                read(LIMIT).map_err(|error| Failure::new(Exit::Other, "stdin", format!("cannot read stdin: {error}")))
            }
            Self::File(path) => Ok(files::read(path, LIMIT)?),
            Self::Text(text) => Ok(Zeroizing::new(text.as_bytes().to_vec())),
        }
    }
}

impl Output {
    /// The file, where it is one.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Stdout => None,
        }
    }
}

impl From<PathBuf> for Input {
    fn from(path: PathBuf) -> Self {
        if path == Path::new("-") {
            Self::Stdin
        } else {
            Self::File(path)
        }
    }
}

impl From<PathBuf> for Output {
    fn from(path: PathBuf) -> Self {
        if path == Path::new("-") {
            Self::Stdout
        } else {
            Self::File(path)
        }
    }
}

impl ValueParserFactory for Input {
    type Parser = MapValueParser<PathBufValueParser, fn(PathBuf) -> Self>;

    fn value_parser() -> Self::Parser {
        PathBufValueParser::new().map(Self::from)
    }
}

impl ValueParserFactory for Output {
    type Parser = MapValueParser<PathBufValueParser, fn(PathBuf) -> Self>;

    fn value_parser() -> Self::Parser {
        PathBufValueParser::new().map(Self::from)
    }
}

/// The arguments of the command that is run which read from stdin, in the order in which its help has them.
pub(super) fn stdin_readers(command: &Command, matches: &ArgMatches) -> Vec<String> {
    if let Some((name, matches)) = matches.subcommand() {
        let command = command.find_subcommand(name);
        return command.map_or_else(Vec::new, |command| stdin_readers(command, matches));
    }
    let reads = |id: &str| matches!(matches.try_get_one::<Input>(id), Ok(Some(Input::Stdin)));
    command
        .get_arguments()
        .filter(|arg| !arg.is_global_set() && reads(arg.get_id().as_str()))
        .map(|arg| match (arg.get_long(), arg.get_value_names()) {
            (Some(long), _) => format!("--{long}"),
            (None, Some([name, ..])) => name.to_string(),
            (None, _) => arg.get_id().to_string(),
        })
        .collect()
}

/// Whether somebody would have to type it.
pub(super) fn is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// Reads stdin to its end.
pub(super) fn read(limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    files::read_limited(io::stdin().lock(), limit)
}
