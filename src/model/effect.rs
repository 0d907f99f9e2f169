//! What a call that failed has done.

use jiff::SignedDuration;
use serde::Serialize;

/// What was not heard of for this long since it was asked for does not come any more.
pub const SETTLED_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// What a call that failed has done at the other side. Whether it is safe to make it again follows from this alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing: it was not sent, was refused, or only reads.
    None,
    /// Nobody knows: it was sent, and no answer says what became of it.
    Unknown,
    /// All of it: the answer began with success, and did not arrive whole.
    Done,
}
