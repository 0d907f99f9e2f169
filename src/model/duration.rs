//! Durations as users write them: `30d`, `24h`, `15m`, `45s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::quoted::Quoted;

/// A text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0} is not a duration: write a number and a unit, such as 30d, 24h, 15m or 45s")]
pub struct DurationError(Quoted);

/// A length of time written as a number and one unit: `d`, `h`, `m` or `s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(Duration);

impl Span {
    /// The same length as the standard library's type.
    #[must_use]
    pub fn duration(self) -> Duration {
        self.0
    }
}

/// In the largest unit that leaves no rest.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (unit, length) = [('d', 86_400), ('h', 3_600), ('m', 60)]
            .into_iter()
            .find(|(_, length)| seconds >= *length && seconds.is_multiple_of(*length))
            .unwrap_or(('s', 1));
        write!(f, "{}{unit}", seconds / length)
    }
}

impl TryFrom<String> for Span {
    type Error = DurationError;

    fn try_from(text: String) -> Result<Self, DurationError> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl FromStr for Span {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let refuse = || DurationError(Quoted::of(text));
        let unit = text.chars().last().ok_or_else(refuse)?;
        let seconds_a_unit = match unit {
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return Err(refuse()),
        };
        let digits = &text[..text.len() - unit.len_utf8()];
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(refuse());
        }
        let count: u64 = digits.parse().map_err(|_| refuse())?;
        let seconds = count.checked_mul(seconds_a_unit).ok_or_else(refuse)?;
        // Some 30,000 years: what arithmetic on dates can still take.
        if seconds > 1_000_000_000_000 {
            return Err(refuse());
        }
        Ok(Self(Duration::from_secs(seconds)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_a_unit_are_durations_and_nothing_else_is() {
        for (text, seconds) in [("30d", 2_592_000), ("36h", 129_600), ("15m", 900), ("0s", 0)] {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.duration().as_secs(), span.to_string().as_str()), (seconds, text));
        }
        for bad in [
            "",
            "d",
            "30",
            "-1d",
            "+1d",
            "1.5h",
            "30 d",
            "1w",
            "99999999999999999999d",
            "3€",
        ] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }
}
