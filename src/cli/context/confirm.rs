//! What somebody has to confirm.

use super::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::terminal;
use crate::model::quoted;

impl Context {
    /// Refuses, before anybody types a passphrase, what has to be confirmed and cannot be.
    pub(in crate::cli) fn check_confirmable(&self) -> Result<(), Failure> {
        if self.yes || self.may_ask() {
            return Ok(());
        }
        Err(Failure::usage("no terminal to confirm on").hint("say --yes if you mean it"))
    }

    /// Asks yes or no. Nobody to ask is no answer: somebody has to come.
    pub(in crate::cli) fn confirm(&self, question: &str, what: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !self.may_ask() {
            return Err(Failure::new(
                Exit::Waiting,
                "not_confirmed",
                format!("somebody has to confirm the {what}, and there is no terminal to ask on"),
            )
            .hint("say --yes if they are as they should be"));
        }
        let answer = terminal::ask(&format!("{}{question} [y/N] ", self.supplier.named()))
            .map_err(|error| Failure::new(Exit::Other, "terminal", format!("cannot ask: {error}")))?;
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Other,
            "not_confirmed",
            "not confirmed; nothing was changed",
        ))
    }

    /// Makes sure that the user means it.
    pub(in crate::cli) fn confirm_by_typing(&self, name: &str, what: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        self.check_confirmable()?;
        let question = format!(
            "{}Type the name to {what} ({}): ",
            self.supplier.named(),
            quoted::shown(name)
        );
        let answer = terminal::ask(&question)
            .map_err(|error| Failure::new(Exit::Other, "terminal", format!("cannot ask: {error}")))?;
        if answer == name {
            Ok(())
        } else {
            Err(Failure::new(
                Exit::Other,
                "not_confirmed",
                "not confirmed; nothing was changed",
            ))
        }
    }
}
