//! What the next run would do with a credential's key, and why: from what is known without any call.

use std::fmt;

use jiff::Timestamp;

use crate::model::credential::State;
use crate::model::duration::Span;
use crate::model::record::PublicRecord;

/// What a run would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// It would need somebody who is not there.
    Blocked,
    /// Bring a new key in, or go on with that.
    Rotate,
    /// Bring a new key in, and a new token with it.
    Renew,
    /// Have the old key refused.
    Retire,
}

impl Change {
    /// The word in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Blocked => "blocked",
            Self::Rotate => "rotate",
            Self::Renew => "renew",
            Self::Retire => "retire",
        }
    }
}

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The token ends, or is to be replaced, and nobody could make another.
    NobodyToRenew(Option<Timestamp>),
    /// The old key's time is over.
    GraceOver,
    /// The old key's time is not over.
    InGrace,
    /// It was begun before.
    UnderWay,
    /// Somebody else knows it.
    Leaked,
    /// The token ends then; without a time, a new one was asked for.
    TokenEnds(Option<Timestamp>),
    /// The key is older than that.
    KeyOlderThan(Span),
    /// The token ends, and the key alone is replaced.
    TokenEndsUnrenewed,
    /// Somebody asked for it.
    AskedFor,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = |at: &Timestamp| at.strftime("%Y-%m-%d").to_string();
        match self {
            Self::NobodyToRenew(Some(at)) => {
                write!(
                    f,
                    "the token ends on {}, and nobody is named who could make another",
                    day(at)
                )
            }
            Self::NobodyToRenew(None) => f.write_str("nobody is named who could make another token"),
            Self::GraceOver => f.write_str("the grace period of the old key is over"),
            Self::InGrace => f.write_str("the old key is kept until its grace period is over, or --finish"),
            Self::UnderWay => f.write_str("a rotation is under way"),
            Self::Leaked => f.write_str("key and token leaked"),
            Self::TokenEnds(Some(at)) => write!(f, "the token ends on {}", day(at)),
            Self::TokenEnds(None) => f.write_str("a new token was asked for"),
            Self::KeyOlderThan(span) => write!(f, "the key is older than {span}"),
            Self::TokenEndsUnrenewed => {
                f.write_str("the token ends, and nobody is named who could make another: it gets a new key")
            }
            Self::AskedFor => f.write_str("a new key was asked for"),
        }
    }
}

/// What is known of a credential, and what is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Prospect<'a> {
    /// What is public of it.
    pub record: &'a PublicRecord,
    /// When its old key may go, where a time is set.
    pub retires_at: Option<Timestamp>,
    /// Its token is to be replaced by now.
    pub token_due: bool,
    /// Somebody is there who could bring another token.
    pub renewable: bool,
    /// Its token alone is due, it got its key for that before, and nobody could bring another token.
    pub blocked: bool,
    /// Somebody else knows it.
    pub compromised: bool,
    /// The age from which on keys are replaced, where the key was chosen for its age.
    pub older_than: Option<Span>,
}

impl Prospect<'_> {
    /// What a run at that time would do, and why.
    #[must_use]
    pub fn change(&self, now: Timestamp) -> (Change, Why) {
        let ends = self.record.token_expires_at;
        match self.record.state {
            State::Retiring if self.retires_at.is_some_and(|at| at <= now) => (Change::Retire, Why::GraceOver),
            State::Retiring => (Change::None, Why::InGrace),
            State::Rotating => (Change::Rotate, Why::UnderWay),
            State::Pending | State::Active if self.blocked => (Change::Blocked, Why::NobodyToRenew(ends)),
            State::Pending | State::Active if self.compromised => (Change::Renew, Why::Leaked),
            State::Pending | State::Active if self.token_due && self.renewable => (Change::Renew, Why::TokenEnds(ends)),
            State::Pending | State::Active => match self.older_than {
                Some(span) => (Change::Rotate, Why::KeyOlderThan(span)),
                None if self.token_due => (Change::Rotate, Why::TokenEndsUnrenewed),
                None => (Change::Rotate, Why::AskedFor),
            },
        }
    }
}
