//! What is asked of a rotation, and what becomes of the token in it.

use jiff::Timestamp;

use crate::model::key_uri::KeyUri;
use crate::model::rotation::{Grace, Strategy};
use crate::model::token::AuthToken;

/// What the user wants of a rotation.
#[derive(Clone, Default)]
pub struct Plan {
    /// How the new key is to come to Dfns; the first way that Dfns offers, where left out.
    pub strategy: Option<Strategy>,
    /// How long the old key stays; as begun, or until `finish`, where left out.
    pub grace: Option<Grace>,
    /// The grace period is over.
    pub finish: bool,
    /// The old key goes although places may have it.
    pub undelivered: bool,
    /// The token of a new account from the dashboard.
    pub token: Option<AuthToken>,
    /// Which tokens are replaced with their keys.
    pub renewal: Renewal,
    /// How many days a new token lives; as many as the old one was made for, where left out.
    pub days: Option<u32>,
    /// It is known to somebody else: the old key goes at once, whoever uses it.
    pub compromised: bool,
    /// Where the new key is to be held; where the old one is, if left out.
    pub key: Option<KeyUri>,
    /// Nobody is there to bring a token from the dashboard: no rotation is begun that would wait for one.
    pub no_dashboard: bool,
}

impl Plan {
    /// How a new key comes in where nobody says how: a new token comes with a new account alone.
    pub(super) fn first_choice(&self, token: &AuthToken, has_administrator: bool, now: Timestamp) -> Strategy {
        match self.renewal.is_due(token, now) {
            true if has_administrator => Strategy::Replace,
            true if !self.no_dashboard => Strategy::Dashboard,
            true | false => Strategy::Credential,
        }
    }
}

/// Which tokens are replaced with their keys. A key alone leaves the token to run into its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Renewal {
    /// None for its own sake.
    #[default]
    No,
    /// Those that end within so many seconds.
    EndingWithin(u64),
    /// Each.
    Always,
}

impl Renewal {
    /// Whether a token that ends then may be to be replaced: how long it was made for decides, too.
    #[must_use]
    pub fn may_be_due(self, expires_at: Option<Timestamp>, now: Timestamp) -> bool {
        match self {
            Self::No => false,
            Self::Always => true,
            Self::EndingWithin(seconds) => expires_at.is_some_and(|at| before(at, seconds) <= now),
        }
    }

    /// From when on a token is to be replaced. One that was made for no longer than that time is in its last half: otherwise each
    /// run would replace it.
    #[must_use]
    pub fn due_from(self, token: &AuthToken) -> Option<Timestamp> {
        let claims = token.claims();
        match self {
            Self::No => None,
            Self::Always => Some(Timestamp::MIN),
            Self::EndingWithin(seconds) => {
                let ends = claims.expires_at?;
                let life = claims
                    .issued_at
                    .and_then(|made| u64::try_from(ends.as_second() - made.as_second()).ok());
                let short = life.filter(|life| *life <= seconds).map(|life| life / 2);
                Some(before(ends, short.unwrap_or(seconds)))
            }
        }
    }

    pub(super) fn is_due(self, token: &AuthToken, now: Timestamp) -> bool {
        self.due_from(token).is_some_and(|from| from <= now)
    }
}

/// So many seconds before.
fn before(at: Timestamp, seconds: u64) -> Timestamp {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    Timestamp::from_second(at.as_second().saturating_sub(seconds)).unwrap_or(Timestamp::MIN)
}

/// What is to become of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlook {
    /// From when on it is to be replaced, where that is now or before.
    pub due_from: Option<Timestamp>,
    /// It says how long it was made for, so that a new one can live as long.
    pub says_its_life: bool,
}

/// How many days the token was made for, where it says so.
pub(super) fn days_made_for(token: &AuthToken) -> Option<u32> {
    const DAY: i64 = 24 * 60 * 60;
    let claims = token.claims();
    let life = claims.expires_at?.as_second() - claims.issued_at?.as_second();
    let days = life.checked_add(DAY / 2)? / DAY;
    Some(u32::try_from(days.clamp(1, MOST_DAYS)).unwrap_or(DAYS_OTHERWISE))
}

/// The longest life of a token that Dfns gives.
const MOST_DAYS: i64 = 730;
/// How long a token lives whose predecessor does not say how long it was made for.
pub const DAYS_OTHERWISE: u32 = 365;
