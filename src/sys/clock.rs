//! The clock, as an argument: the shipped program has no switch to set it.

use jiff::{Timestamp, TimestampRound, Unit};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The current time, to the second.
    fn now(&self) -> Timestamp;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        now.round(TimestampRound::new().smallest(Unit::Second)).unwrap_or(now)
    }
}
