//! Who reads from stdin, and which descriptors go on to the programs that are started from here.

use zeroize::Zeroizing;

use super::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::input::Input;
use crate::sys::descriptors::{self, STDIN};

impl Context {
    /// Refuses two readers of stdin before either has read anything.
    pub(in crate::cli) fn check_stdin_readers(&self, mut readers: Vec<String>) -> Result<(), Failure> {
        if let Some(reader) = self.passphrase_from_stdin {
            readers.insert(0, reader.to_owned());
        }
        if readers.len() > 1 {
            return Err(Failure::usage(format!(
                "{} cannot both read from stdin",
                readers.join(" and ")
            )));
        }
        Ok(())
    }

    /// Keeps what this process was started with from the programs that it starts: everything, or, for one that is to have the
    /// rest, that with which the vault is opened.
    pub(in crate::cli) fn keep_descriptors(&self, passes_the_rest_on: bool) {
        descriptors::keep_from_children(passes_the_rest_on.then_some(&self.descriptors));
    }

    /// Whatever opened the vault and came by stdin cannot be read there again.
    pub(in crate::cli) fn end_stdin_if_used(&self) -> Result<(), Failure> {
        if !self.descriptors.contains(&STDIN) {
            return Ok(());
        }
        descriptors::end_stdin()
            .map_err(|error| Failure::new(Exit::Other, "stdin", format!("cannot open /dev/null: {error}")))
    }

    /// Reads a file that a user named, or stdin for `-`.
    pub(in crate::cli) fn input(&self, input: &Input) -> Result<Zeroizing<Vec<u8>>, Failure> {
        input.read(&self.ui)
    }
}
