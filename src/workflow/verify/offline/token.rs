//! The token, by what it says of itself.

use jiff::Timestamp;

use crate::model::token::{AuthToken, TokenShapeError};
use crate::workflow::sources::Subject;
use crate::workflow::verify::Expectations;
use crate::workflow::verify::checks::CheckId;
use crate::workflow::verify::report::{Check, SubjectReport};

pub(super) fn check(
    subject: &Subject,
    expectations: &Expectations,
    now: Timestamp,
    report: &mut SubjectReport,
) -> Option<AuthToken> {
    let token = match subject.token.value().map(AuthToken::parse_exactly) {
        Some(Ok(token)) => {
            report.push(Check::pass(CheckId::TokenShape, "it is a JWT"));
            token
        }
        Some(Err(error)) => {
            report.push(
                Check::fail(CheckId::TokenShape, format!("{}: {error}", subject.token.name)).hint(shape_hint(error)),
            );
            for id in [CheckId::TokenExpiry, CheckId::TokenOrganisation] {
                report.push(Check::skip(id, "the token cannot be read"));
            }
            return None;
        }
        None => {
            let no_token = if subject.username.is_some() {
                "a user logs in instead of having a token"
            } else {
                "there is no token"
            };
            for id in [CheckId::TokenShape, CheckId::TokenExpiry, CheckId::TokenOrganisation] {
                report.push(Check::skip(id, no_token));
            }
            return None;
        }
    };
    report.push(expiry(&token, expectations.min_days, now));
    report.push(organisation(subject, &token, expectations));
    Some(token)
}

fn shape_hint(error: TokenShapeError) -> &'static str {
    match error {
        TokenShapeError::Quoted => "take the quotes away",
        TokenShapeError::BearerPrefix => "leave `Bearer` out: whoever sends the token adds it",
        TokenShapeError::LineBreak | TokenShapeError::WhiteSpace => "copy it again as one piece",
        TokenShapeError::Pem => "the token is the text with two dots in it that the dashboard showed once",
        TokenShapeError::TooLong => "copy the token alone",
        TokenShapeError::Empty | TokenShapeError::Parts { .. } | TokenShapeError::NoClaims => "copy it again, whole",
    }
}

fn expiry(token: &AuthToken, min_days: u32, now: Timestamp) -> Check {
    let id = CheckId::TokenExpiry;
    let Some(at) = token.claims().expires_at else {
        return Check::skip(id, "the token does not say when it ends");
    };
    let days = (at.as_second() - now.as_second()).div_euclid(86_400);
    if at <= now {
        Check::fail(id, format!("the token expired on {at}"))
            .hint("`rotate NAME --renew` replaces it: a new token comes with a new account")
    } else if days < i64::from(min_days) {
        Check::warn(id, format!("the token ends on {at}, in {days} days"))
            .hint("`rotate NAME --renew` replaces it in time: a new token comes with a new account")
    } else {
        Check::pass(id, format!("valid until {at} ({days} days)"))
    }
}

fn organisation(subject: &Subject, token: &AuthToken, expectations: &Expectations) -> Check {
    let id = CheckId::TokenOrganisation;
    let expected = expectations
        .organisation_id
        .clone()
        .or_else(|| subject.organisation_id.read().and_then(Result::ok));
    match (&token.claims().organisation_id, expected) {
        (None, _) => Check::skip(id, "the token does not name its organisation"),
        (Some(found), None) => Check::pass(id, format!("{found} (no other was expected)")),
        (Some(found), Some(expected)) if *found == expected => Check::pass(id, found.to_string()),
        (Some(found), Some(expected)) => Check::fail(
            id,
            format!("the token belongs to organisation {found}, not to {expected}"),
        )
        .hint("take the token of the right organisation"),
    }
}
