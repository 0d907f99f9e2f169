//! Blame, hint and exit code: decided here, once, by exhaustive matches. The library's errors say what failed; here is
//! added what to do next.

mod calls;
mod delivery;
mod fleet;
mod held_keys;
mod jobs;
mod local;
mod vault;

pub(super) use delivery::{delivery_row, of_place};
use serde_json::{Map, Value};

use crate::keys::KeyError;
use crate::model::effect::Effect;
use crate::model::ids::CredentialName;
use crate::model::quoted::without_secrets;

/// The exit codes, as docs/exit-codes.md lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Done,
    Other,
    Usage,
    State,
    Vault,
    Refused,
    Unreachable,
    Waiting,
    Found,
    Bug,
    /// `exec` found the program, and the system does not run it.
    NotExecutable,
    /// `exec` found no such program.
    NoProgram,
    Interrupted,
}

impl Exit {
    /// All of them, by their numbers.
    pub(super) const ALL: [Self; 13] = [
        Self::Done,
        Self::Other,
        Self::Usage,
        Self::State,
        Self::Vault,
        Self::Refused,
        Self::Unreachable,
        Self::Waiting,
        Self::Found,
        Self::Bug,
        Self::NotExecutable,
        Self::NoProgram,
        Self::Interrupted,
    ];

    /// How much it tells about a job in which several things went wrong: the code of the gravest is the job's.
    pub(super) fn gravity(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Found => 1,
            Self::Waiting => 2,
            Self::Unreachable => 3,
            Self::State => 4,
            Self::Usage => 5,
            Self::Refused => 6,
            Self::Other | Self::NotExecutable | Self::NoProgram => 7,
            Self::Vault => 8,
            Self::Interrupted => 9,
            Self::Bug => 10,
        }
    }

    /// What it means, for the manual.
    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::Done => "Done.",
            Self::Other => "Something else went wrong; the message says what.",
            Self::Usage => "Usage: a wrong flag, name or address.",
            Self::State => {
                "No such credential or vault, it exists already, it is in the wrong state, or another process has it."
            }
            Self::Vault => {
                "The vault is locked or damaged: wrong passphrase, no matching identity, a tampered file; or a key that is held elsewhere is not to be had: wrong PIN, locked token, no such object."
            }
            Self::Refused => "Dfns refuses the credential (token, key, permission), or a check of verify failed.",
            Self::Unreachable => {
                "Dfns, or the place that a key is held in, cannot be reached, is failing or limits the rate: try again."
            }
            Self::Waiting => {
                "Waiting for a person (a token to paste, a policy approval, an old account to deactivate by hand), or for a place that could not be delivered to."
            }
            Self::Found => "A check found something: deliver --check, status --check, plan --check.",
            Self::Bug => "A bug in dfns-keys.",
            Self::NotExecutable => "exec: the program is there and cannot be run.",
            Self::NoProgram => "exec: there is no such program. Once it runs, its exit code is passed on.",
            Self::Interrupted => "Stopped at a prompt.",
        }
    }

    pub(super) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Other => 1,
            Self::Usage => 2,
            Self::State => 3,
            Self::Vault => 4,
            Self::Refused => 5,
            Self::Unreachable => 6,
            Self::Waiting => 7,
            Self::Found => 8,
            Self::Bug => 70,
            Self::NotExecutable => 126,
            Self::NoProgram => 127,
            Self::Interrupted => 130,
        }
    }
}

/// A command failed. Everything in it may be shown.
pub(super) struct Failure {
    pub(super) exit: Exit,
    /// One word for scripts.
    pub(super) code: &'static str,
    pub(super) message: String,
    /// Further lines for people.
    pub(super) details: Vec<String>,
    pub(super) hint: Option<String>,
    /// What the call that failed has done, where one failed.
    pub(super) effect: Option<Effect>,
    /// The name that is not in the vault, which may be a slip for one that is.
    pub(super) missing: Option<CredentialName>,
    /// What a command adds to its JSON document on failure.
    pub(super) extra: Map<String, Value>,
}

impl Failure {
    pub(super) fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            exit,
            code,
            message: message.into(),
            details: Vec::new(),
            hint: None,
            effect: None,
            missing: None,
            extra: Map::new(),
        }
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn details(mut self, details: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(details);
        self
    }

    /// The `error` object of a JSON document.
    pub(super) fn document(&self) -> Value {
        let mut document = serde_json::json!({
            "code": self.code,
            "exit": self.exit.code(),
            "message": without_secrets(&self.message),
            "hint": self.hint.as_deref().map(without_secrets),
        });
        if let Some(effect) = self.effect {
            document["effect"] = serde_json::json!(effect);
        }
        document
    }

    /// This failure for several: its effect is that of all. Where they differ, it is in doubt.
    pub(super) fn standing_for<'f>(mut self, others: impl Iterator<Item = &'f Self>) -> Self {
        for other in others {
            self.effect = match (self.effect, other.effect) {
                (one, other) if one == other => one,
                (one, None) | (None, one) => one,
                (Some(_), Some(_)) => Some(Effect::Unknown),
            };
        }
        self
    }

    pub(super) fn is_broken_pipe(&self) -> bool {
        self.code == "broken_pipe"
    }

    /// What is wrong with a key file, with its name in front.
    pub(super) fn key(file: &str, error: &KeyError) -> Self {
        let exit = match error {
            KeyError::WrongPassphrase | KeyError::PassphraseNeeded => Exit::Vault,
            _ => Exit::Other,
        };
        let failure = Self::new(exit, "unusable_key", format!("{file} {error}"));
        match local::key_hint(error) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
