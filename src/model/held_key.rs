//! What can be wrong with a key that is held elsewhere. Each is one diagnosis, whichever place it is.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A key that is held elsewhere was not made, found, or signed with. Nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldKeyError {
    /// The token does not take the PIN.
    #[error("the PIN of the token `{token}` is wrong")]
    WrongPin {
        /// The token's label.
        token: String,
    },
    /// A wrong PIN now would lock the token, so none was tried.
    #[error("one more wrong PIN locks the token `{token}`, so none was tried")]
    LastTry {
        /// The token's label.
        token: String,
    },
    /// The token takes no PIN any more.
    #[error("the token `{token}` is locked: too many wrong PINs")]
    Locked {
        /// The token's label.
        token: String,
    },
    /// The token wants a PIN, and none was given.
    #[error("the token `{token}` wants a PIN, and there is none")]
    NoPin {
        /// The token's label.
        token: String,
    },
    /// The PIN could not be read.
    #[error("the PIN cannot be read: {0}")]
    UnreadablePin(String),
    /// This program was built without what it takes.
    #[error("this build of dfns-keys loads no PKCS#11 modules")]
    NotBuilt,
    /// The module is not there, or is none.
    #[error("the PKCS#11 module {path} cannot be loaded: {reason}")]
    Module {
        /// Where it should be.
        path: String,
        /// Why not.
        reason: String,
    },
    /// No slot has the token.
    #[error("there is no token `{token}`: {found}")]
    NoToken {
        /// Its label.
        token: String,
        /// What there is instead.
        found: String,
    },
    /// There is no such key.
    #[error("{what} is not there")]
    Gone {
        /// Which one, in words.
        what: String,
    },
    /// There is a key of this name already.
    #[error("{what} is there already")]
    Exists {
        /// Which one, in words.
        what: String,
    },
    /// More than one key has this name.
    #[error("{what} is there {count} times")]
    Several {
        /// Which one, in words.
        what: String,
        /// How often.
        count: usize,
    },
    /// It is no P-256 key that signs.
    #[error("{what} is {kind}, and not a P-256 key that signs")]
    OtherKind {
        /// Which one, in words.
        what: String,
        /// What it is.
        kind: String,
    },
    /// It is another key than the one whose public half is known.
    #[error("{what} is another key than it was")]
    OtherKey {
        /// Which one, in words.
        what: String,
    },
    /// Who we are may not do this.
    #[error("{who} denies it{}", said(.words.as_ref()))]
    Denied {
        /// What is called.
        who: String,
        /// What it said, as it may be repeated.
        words: Option<String>,
    },
    /// It says no, for a reason of its own.
    #[error("{who} refuses{}", said(.words.as_ref()))]
    Refused {
        /// What is called.
        who: String,
        /// What it said, as it may be repeated.
        words: Option<String>,
    },
    /// What has to be known of this machine's surroundings is not there.
    #[error("{0}")]
    NotSetUp(String),
    /// It limits how often it is asked, or is failing itself.
    #[error("{who} is failing or limits the rate{}", said(.words.as_ref()))]
    Throttled {
        /// What is called.
        who: String,
        /// What it said, as it may be repeated.
        words: Option<String>,
    },
    /// It was not reached.
    #[error("{who} cannot be reached: {reason}")]
    Unreachable {
        /// What is called.
        who: String,
        /// Why.
        reason: String,
    },
    /// No answer came in time.
    #[error("{who} did not answer within {seconds} s, and was given up")]
    Hung {
        /// What is called.
        who: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// It took its process down.
    #[error("{who} crashed")]
    Crashed {
        /// What is called.
        who: String,
    },
    /// The session with the token ended, and a new one did too.
    #[error("the token `{token}` ended the session: {reason}")]
    SessionEnded {
        /// Its label.
        token: String,
        /// In which way.
        reason: String,
    },
    /// It answered with something that is no answer.
    #[error("{who} answers with {what}")]
    Rubbish {
        /// What is called.
        who: String,
        /// What it answered.
        what: String,
    },
}

impl HeldKeyError {
    /// Whether it may be otherwise the next time, with nothing done about it.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::NoToken { .. }
            | Self::Throttled { .. }
            | Self::Unreachable { .. }
            | Self::Hung { .. }
            | Self::Crashed { .. }
            | Self::SessionEnded { .. }
            | Self::Rubbish { .. } => true,
            Self::WrongPin { .. }
            | Self::LastTry { .. }
            | Self::Locked { .. }
            | Self::NoPin { .. }
            | Self::UnreadablePin(_)
            | Self::NotBuilt
            | Self::Module { .. }
            | Self::Gone { .. }
            | Self::Exists { .. }
            | Self::Several { .. }
            | Self::OtherKind { .. }
            | Self::OtherKey { .. }
            | Self::Denied { .. }
            | Self::Refused { .. }
            | Self::NotSetUp(_) => false,
        }
    }
}

fn said(words: Option<&String>) -> String {
    words.map(|words| format!(": it says: \"{words}\"")).unwrap_or_default()
}
