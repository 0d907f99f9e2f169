//! The checks that need no network.

use jiff::Timestamp;

use super::Expectations;
use super::report::{Check, CheckId, SubjectReport};
use super::subject::Subject;
use crate::keys::pem::{read_private_key, read_public_key};
use crate::keys::{KeyError, KeyPair};
use crate::model::ids::{ApplicationId, CredentialId, OrganisationId};
use crate::model::token::AuthToken;
use crate::model::url::{ApiUrl, Origin};

/// What the online checks can stand on.
pub(super) struct Ground {
    pub(super) api_url: Option<ApiUrl>,
    pub(super) origin: Option<Origin>,
    pub(super) token: Option<AuthToken>,
    pub(super) key: Option<KeyPair>,
    pub(super) credential_id: Option<CredentialId>,
    pub(super) application_id: Option<ApplicationId>,
}

pub(super) fn check(
    subject: &Subject,
    expectations: &Expectations,
    now: Timestamp,
    report: &mut SubjectReport,
) -> Ground {
    report.push(Check::pass(CheckId::SourceReadable, "the vault opens it"));
    report.push(complete(subject));
    let key = key(subject, report);
    let token = token(subject, expectations, now, report);
    let origin = origin(subject, report);
    let api_url = api_url(subject, report);
    Ground {
        api_url: expectations.api_url.clone().or(api_url),
        origin,
        token,
        key,
        credential_id: subject.credential_id.value().map(CredentialId::new),
        application_id: subject.application_id.value().map(ApplicationId::new),
    }
}

fn complete(subject: &Subject) -> Check {
    let required = [&subject.api_url, &subject.token, &subject.private_key];
    let missing: Vec<&str> = required
        .iter()
        .filter(|variable| variable.value().is_none())
        .map(|variable| variable.name)
        .collect();
    if missing.is_empty() {
        Check::pass(CheckId::SourceComplete, "address, token and key are there")
    } else {
        Check::fail(
            CheckId::SourceComplete,
            format!("missing or empty: {}", missing.join(", ")),
        )
    }
}

fn key(subject: &Subject, report: &mut SubjectReport) -> Option<KeyPair> {
    let Some(text) = subject.private_key.value() else {
        for id in [CheckId::KeyParses, CheckId::KeyCurve, CheckId::KeyMatchesPublic] {
            report.push(Check::skip(id, "there is no private key"));
        }
        return None;
    };
    let pair = match read_private_key(text.as_bytes(), None) {
        Ok(pair) => pair,
        Err(error) => {
            let (id, other) = match error {
                KeyError::OtherCurve { .. } | KeyError::Rsa | KeyError::Ed25519 | KeyError::OtherAlgorithm { .. } => {
                    report.push(Check::pass(CheckId::KeyParses, "it is a private key"));
                    (CheckId::KeyCurve, None)
                }
                _ => (CheckId::KeyParses, Some(CheckId::KeyCurve)),
            };
            report.push(Check::fail(id, format!("{} {error}", subject.private_key.name)));
            if let Some(id) = other {
                report.push(Check::skip(id, "the key does not parse"));
            }
            report.push(Check::skip(CheckId::KeyMatchesPublic, "there is no usable private key"));
            return None;
        }
    };
    report.push(Check::pass(CheckId::KeyParses, pair.public_key().fingerprint()));
    report.push(Check::pass(CheckId::KeyCurve, "prime256v1"));
    report.push(matches_public(subject, &pair));
    Some(pair)
}

fn matches_public(subject: &Subject, pair: &KeyPair) -> Check {
    let id = CheckId::KeyMatchesPublic;
    let Some(text) = subject.public_key.value() else {
        return Check::skip(id, "the source keeps no public key");
    };
    match read_public_key(text.as_bytes()) {
        Ok(public) if public == *pair.public_key() => Check::pass(id, "the public key is this private key's"),
        Ok(public) => Check::fail(
            id,
            format!("the public key ({}) is another key's", public.fingerprint()),
        ),
        Err(error) => Check::fail(id, format!("the public key {error}")),
    }
}

fn token(
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
            report.push(Check::fail(CheckId::TokenShape, error.to_string()));
            for id in [CheckId::TokenExpiry, CheckId::TokenOrganisation] {
                report.push(Check::skip(id, "the token cannot be read"));
            }
            return None;
        }
        None => {
            for id in [CheckId::TokenShape, CheckId::TokenExpiry, CheckId::TokenOrganisation] {
                report.push(Check::skip(id, "there is no token"));
            }
            return None;
        }
    };
    report.push(expiry(&token, expectations.min_days, now));
    report.push(organisation(subject, &token, expectations));
    Some(token)
}

fn expiry(token: &AuthToken, min_days: u32, now: Timestamp) -> Check {
    let id = CheckId::TokenExpiry;
    let Some(at) = token.claims().expires_at else {
        return Check::skip(id, "the token does not say when it ends");
    };
    let days = (at.as_second() - now.as_second()).div_euclid(86_400);
    let renew = "no call renews a token: rotate before it ends";
    if at <= now {
        Check::fail(id, format!("the token expired on {at}")).hint("onboard again, or rotate to a new token")
    } else if days < i64::from(min_days) {
        Check::warn(id, format!("the token ends on {at}, in {days} days")).hint(renew)
    } else {
        Check::pass(id, format!("valid until {at} ({days} days)"))
    }
}

fn organisation(subject: &Subject, token: &AuthToken, expectations: &Expectations) -> Check {
    let id = CheckId::TokenOrganisation;
    let expected = expectations
        .organisation_id
        .clone()
        .or_else(|| subject.organisation_id.value().map(OrganisationId::new));
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

fn origin(subject: &Subject, report: &mut SubjectReport) -> Option<Origin> {
    let id = CheckId::OriginShape;
    match subject.origin.value().map(str::parse::<Origin>) {
        None => {
            report.push(Check::skip(id, format!("not set: {} is used", Origin::DASHBOARD)));
            Origin::DASHBOARD.parse().ok()
        }
        Some(Ok(origin)) => {
            report.push(Check::pass(id, origin.to_string()));
            Some(origin)
        }
        Some(Err(error)) => {
            report.push(Check::fail(id, error.to_string()).hint("an origin is scheme and host: https://app.dfns.io"));
            None
        }
    }
}

fn api_url(subject: &Subject, report: &mut SubjectReport) -> Option<ApiUrl> {
    let id = CheckId::ApiUrl;
    match subject.api_url.value().map(str::parse::<ApiUrl>) {
        None => {
            report.push(Check::skip(id, "there is no address"));
            None
        }
        Some(Ok(url)) => {
            report.push(Check::pass(id, url.to_string()));
            Some(url)
        }
        Some(Err(error)) => {
            report.push(Check::fail(id, error.to_string()));
            None
        }
    }
}
