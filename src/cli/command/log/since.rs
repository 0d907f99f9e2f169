//! A moment in the past, as somebody would say it.

use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::model::duration::Span;

/// Since when.
#[derive(Clone, Copy)]
pub(super) enum Since {
    At(Timestamp),
    Ago(Span),
}

impl Since {
    pub(super) fn from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(span) => now.checked_sub(span.duration()).unwrap_or(Timestamp::MIN),
        }
    }
}

impl FromStr for Since {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        if let Ok(span) = text.parse() {
            return Ok(Self::Ago(span));
        }
        let day: Option<Date> = text.parse().ok();
        day.and_then(|day| day.to_zoned(TimeZone::UTC).ok())
            .map(|zoned| Self::At(zoned.timestamp()))
            .ok_or("it is no time such as 2026-11-25T12:00:00Z or 2026-11-25, and none such as 7d or 12h ago")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_a_day_and_how_long_ago_are_understood() {
        let now: Timestamp = "2026-11-25T12:00:00Z".parse().unwrap();
        for (text, at) in [
            ("2026-11-24T01:02:03Z", "2026-11-24T01:02:03Z"),
            ("2026-11-24T01:02:03+01:00", "2026-11-24T00:02:03Z"),
            ("2026-11-24", "2026-11-24T00:00:00Z"),
            ("36h", "2026-11-24T00:00:00Z"),
            ("7d", "2026-11-18T12:00:00Z"),
        ] {
            assert_eq!(text.parse::<Since>().ok().unwrap().from(now).to_string(), at, "{text}");
        }
        for text in ["", "yesterday", "2026-13-01", "7"] {
            assert!(text.parse::<Since>().is_err(), "{text}");
        }
    }
}
