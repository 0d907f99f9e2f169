//! The checks that need no network.

use std::str::FromStr;

use jiff::Timestamp;

use super::Expectations;
use super::checks::CheckId;
use super::report::{Check, SubjectReport};
use crate::keys::mend::read_mending;
use crate::keys::pem::public_fingerprint;
use crate::keys::{Algorithm, KeyError, PrivateKey};
use crate::model::ids::{ApplicationId, CredentialId, IdError, OrganisationId, Username};
use crate::model::quoted::Quoted;
use crate::model::record::PublicRecord;
use crate::model::token::{AuthToken, TokenShapeError};
use crate::model::url::{ApiUrl, Origin, UrlError};
use crate::model::user_action::Signer;
use crate::workflow::sources::{Source, Subject, Variable};

/// The vendor's deprecated staging environment.
const STAGING_HOST: &str = "api.dfns.ninja";

/// What the online checks can stand on.
pub(super) struct Ground {
    pub(super) api_url: Option<ApiUrl>,
    pub(super) origin: Option<Origin>,
    pub(super) token: Option<AuthToken>,
    pub(super) key: Option<UsableKey>,
    pub(super) credential_id: Option<CredentialId>,
    pub(super) application_id: Option<ApplicationId>,
    pub(super) organisation_id: Option<OrganisationId>,
    pub(super) username: Option<Username>,
}

/// A key to sign with.
pub(super) struct UsableKey {
    pub(super) key: PrivateKey,
    /// Whether it had to be mended, so that whoever reads this source as it stands could not have signed.
    pub(super) mended: bool,
}

pub(super) fn check(
    subject: &Subject,
    expectations: &Expectations,
    now: Timestamp,
    report: &mut SubjectReport,
) -> Ground {
    report.push(readable(subject));
    report.push(complete(subject));
    let key = key(subject, expectations, report);
    let token = token(subject, expectations, now, report);
    let origin = origin(subject, report);
    let api_url = api_url(subject, report);
    Ground {
        api_url: expectations.api_url.clone().or(api_url),
        origin,
        token,
        key,
        credential_id: subject.credential_id.read().and_then(Result::ok),
        application_id: subject.application_id.read().and_then(Result::ok),
        organisation_id: subject.organisation_id.read().and_then(Result::ok),
        username: subject.username.clone(),
    }
}

fn readable(subject: &Subject) -> Check {
    let id = CheckId::SourceReadable;
    match subject.mode {
        Some(mode) if mode & 0o077 != 0 => Check::warn(
            id,
            format!("other users of this machine can read or change it (mode {mode:o})"),
        )
        .hint(format!("chmod 600 {}", subject.label)),
        Some(mode) => Check::pass(id, format!("for its owner alone (mode {mode:o})")),
        None if matches!(subject.source, Source::Vault | Source::Pending) => Check::pass(id, "the vault opens it"),
        None => Check::pass(id, "it can be read"),
    }
}

fn complete(subject: &Subject) -> Check {
    let id = CheckId::SourceComplete;
    let mut required = vec![&subject.api_url, &subject.private_key];
    if subject.username.is_none() {
        required.push(&subject.token);
    } else {
        required.push(&subject.organisation_id);
    }
    // Nobody has to configure an application, so that its id is never missed.
    let mut optional = Vec::new();
    match subject.source {
        Source::Pending => {
            return Check::fail(id, format!("{} has no token yet", subject.label))
                .hint(format!("finish it with `dfns-keys onboard {}`", subject.label));
        }
        Source::Vault if subject.username.is_some() => {}
        Source::Vault => optional.push(&subject.credential_id),
        Source::Dotenv | Source::ProcessEnvironment => required.push(&subject.credential_id),
        Source::Postman => optional.push(&subject.origin),
    }
    let lacking = |variables: &[&Variable]| {
        let words = variables
            .iter()
            .filter(|variable| variable.value().is_none())
            .map(|variable| {
                format!(
                    "{} is {}",
                    variable.name,
                    if variable.is_there() { "empty" } else { "missing" }
                )
            });
        words.collect::<Vec<_>>().join(", ")
    };
    let (needed, wished) = (lacking(&required), lacking(&optional));
    if let Some(message) = no_id(subject) {
        Check::fail(id, message).hint("copy it again: an id is one word of letters, digits and hyphens")
    } else if !needed.is_empty() {
        Check::fail(id, needed).hint("copy the environment again, whole; a disabled Postman variable counts as missing")
    } else if !wished.is_empty() {
        Check::warn(id, wished).hint("Dfns does without today; older SDKs and set-ups want it")
    } else {
        let count = required.len() + optional.len();
        Check::pass(id, format!("{count} of {count} variables"))
    }
}

/// An id that is none: a token or a key in its place, or characters that would do something in a shell.
fn no_id(subject: &Subject) -> Option<String> {
    fn wrong<T: FromStr<Err = IdError>>(variable: &Variable) -> Option<String> {
        let error = variable.read::<T>()?.err()?;
        Some(format!("{}: {error}", variable.name))
    }
    wrong::<CredentialId>(&subject.credential_id)
        .or_else(|| wrong::<ApplicationId>(&subject.application_id))
        .or_else(|| wrong::<OrganisationId>(&subject.organisation_id))
}

fn key(subject: &Subject, expectations: &Expectations, report: &mut SubjectReport) -> Option<UsableKey> {
    let Some(text) = subject.private_key.value() else {
        for id in [CheckId::KeyParses, CheckId::KeyCurve, CheckId::KeyMatchesPublic] {
            report.push(Check::skip(id, "there is no private key"));
        }
        return None;
    };
    let name = subject.private_key.name;
    let (key, wound) = match read_mending(text) {
        Ok(read) => read,
        Err(error) => {
            unusable_key(name, &error, report);
            return None;
        }
    };
    let fingerprint = key.public_key().fingerprint;
    let mended = match wound {
        None => {
            report.push(Check::pass(CheckId::KeyParses, fingerprint));
            false
        }
        Some(KeyError::Base64OfPem) if subject.key_is_declared_base64 => {
            let message = format!("in base64, which the application decodes: {fingerprint}");
            report.push(Check::pass(CheckId::KeyParses, message));
            false
        }
        Some(wound) if reader_may_decode(subject.source, &wound) => {
            report.push(Check::warn(CheckId::KeyParses, format!("{name} {wound}")).hint(format!(
                "fine where the application decodes it; it reads well then: {fingerprint}"
            )));
            false
        }
        Some(wound) => {
            report.push(
                Check::fail(CheckId::KeyParses, format!("{name} {wound}"))
                    .hint(format!("{}. It reads well once mended: {fingerprint}", mending(&wound))),
            );
            true
        }
    };
    report.push(curve(subject, key.algorithm()));
    report.push(matches_public(subject, &key, &expectations.known));
    Some(UsableKey { key, mended })
}

fn curve(subject: &Subject, algorithm: Algorithm) -> Check {
    if algorithm == Algorithm::P256 {
        return Check::pass(CheckId::KeyCurve, "prime256v1");
    }
    Check::warn(
        CheckId::KeyCurve,
        format!("{algorithm}: Dfns takes it, but every new key is made on prime256v1"),
    )
    .hint(match subject.source {
        Source::Vault | Source::Pending => format!("replace it: dfns-keys rotate {}", subject.label),
        Source::Postman | Source::Dotenv | Source::ProcessEnvironment => {
            "replace it: import it into the vault, then rotate it".to_owned()
        }
    })
}

/// Applications that take a key from a variable often decode `\n` or base64 themselves, because a variable cannot hold
/// line breaks everywhere. Postman's script does not.
fn reader_may_decode(source: Source, wound: &KeyError) -> bool {
    matches!(source, Source::Dotenv | Source::ProcessEnvironment)
        && matches!(wound, KeyError::NewLinesEscaped | KeyError::Base64OfPem)
}

fn mending(wound: &KeyError) -> &'static str {
    match wound {
        KeyError::NewLinesLost => "paste it again with its line breaks: Postman keeps them only if they are pasted",
        KeyError::NewLinesEscaped => "turn each \\n into a real line break",
        KeyError::Quoted => "take the quotes away",
        KeyError::Base64OfPem => "decode the base64",
        _ => "paste the file's contents as they are",
    }
}

fn unusable_key(name: &str, error: &KeyError, report: &mut SubjectReport) {
    let other_key = matches!(
        error,
        KeyError::OtherCurve { .. } | KeyError::UnusableRsa | KeyError::OtherAlgorithm { .. }
    );
    let message = format!("{name} {error}");
    if other_key {
        report.push(Check::pass(CheckId::KeyParses, "it is a private key"));
        report.push(Check::fail(CheckId::KeyCurve, message).hint("make a key on prime256v1: dfns-keys generate"));
    } else {
        let hint = match error {
            KeyError::PublicKey => "the private key is the one between BEGIN EC PRIVATE KEY or BEGIN PRIVATE KEY",
            KeyError::Certificate => "a certificate holds a public key only",
            KeyError::PassphraseNeeded | KeyError::EncryptedSec1 | KeyError::OldEncryption => {
                "whoever reads this source knows no passphrase: it needs the key in clear, or better from the vault"
            }
            _ => "paste the key file's contents again, whole",
        };
        report.push(Check::fail(CheckId::KeyParses, message).hint(hint));
        report.push(Check::skip(CheckId::KeyCurve, "the key does not parse"));
    }
    report.push(Check::skip(CheckId::KeyMatchesPublic, "there is no usable private key"));
}

fn matches_public(subject: &Subject, key: &PrivateKey, known: &[PublicRecord]) -> Check {
    let id = CheckId::KeyMatchesPublic;
    let Some(text) = subject.public_key.value() else {
        return replaced(subject, &key.public_key().fingerprint, known)
            .unwrap_or_else(|| Check::skip(id, "the source keeps no public key"));
    };
    match public_fingerprint(text.as_bytes()) {
        Ok(public) if public == key.public_key().fingerprint => Check::pass(id, "the public key is this private key's"),
        Ok(public) => Check::fail(id, format!("the public key ({public}) is another key's")),
        Err(error) => Check::fail(id, format!("the public key {error}")),
    }
}

/// What the vault at hand has another key for by now, or soon.
fn replaced(subject: &Subject, fingerprint: &str, known: &[PublicRecord]) -> Option<Check> {
    if known.iter().any(|record| record.fingerprint == fingerprint) {
        return None;
    }
    let earlier = |record: &&PublicRecord| record.earlier_fingerprints.iter().any(|one| one == fingerprint);
    let record = known.iter().find(earlier)?;
    let name = &record.name;
    let message = if record.has_key(fingerprint) {
        format!("a rotation of {name} is under way: this is its old key, which works until it is retired")
    } else {
        format!("the vault has another key for {name} by now")
    };
    let again = |format: &str| {
        let file = Some(&*subject.label).filter(|label| !label.contains([' ', '\'', '"', '…']));
        format!(
            "hand the new one over: `dfns-keys export {name} --format {format} --output {} --force`",
            file.unwrap_or("FILE")
        )
    };
    Some(
        Check::warn(CheckId::KeyMatchesPublic, message).hint(match subject.source {
            Source::Dotenv => again("dotenv"),
            Source::Postman => again("postman-environment"),
            Source::Vault | Source::Pending | Source::ProcessEnvironment => {
                format!("hand the new one over: `dfns-keys exec {name}` starts a program with it")
            }
        }),
    )
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
            report.push(
                Check::fail(id, format!("{}: {error}", subject.origin.name))
                    .hint("an origin is a scheme and a host, such as https://app.dfns.io"),
            );
            None
        }
    }
}

fn api_url(subject: &Subject, report: &mut SubjectReport) -> Option<ApiUrl> {
    let id = CheckId::ApiUrl;
    let name = subject.api_url.name;
    let Some(text) = subject.api_url.value() else {
        report.push(Check::skip(id, "there is no address"));
        return None;
    };
    let (address, hint) = if subject.source == Source::Postman {
        if let Some(wound) = domain_wound(text) {
            report
                .push(Check::fail(id, format!("{name} {wound}")).hint("it is a host name alone, such as api.dfns.io"));
            return None;
        }
        (
            format!("{}://{text}", subject.scheme),
            "it is a host name, such as api.dfns.io",
        )
    } else {
        (text.to_owned(), "it looks like https://api.dfns.io")
    };
    match address.parse::<ApiUrl>() {
        Ok(url) => {
            report.push(named_rightly(subject, text, &url));
            Some(url)
        }
        Err(error) => {
            let hint = match error {
                UrlError::PlainHttp { .. } => "write https",
                _ => hint,
            };
            report.push(Check::fail(id, format!("{name}: {error}")).hint(hint));
            None
        }
    }
}

/// What is wrong with a `dfnsApiDomain`, which the vendor's collection puts between `https://` and a path.
fn domain_wound(text: &str) -> Option<&'static str> {
    if text.contains("://") {
        Some("has a scheme in front")
    } else if text.trim() != text || text.contains(char::is_whitespace) {
        Some("has white space in it")
    } else if text.ends_with('/') {
        Some("has a slash at its end")
    } else if text.contains('/') {
        Some("has a path behind the host")
    } else {
        None
    }
}

/// An address that is sound, but may not be the one meant.
fn named_rightly(subject: &Subject, text: &str, url: &ApiUrl) -> Check {
    let id = CheckId::ApiUrl;
    let called = |word: &str| {
        subject
            .names
            .iter()
            .find(|name| name.to_ascii_lowercase().contains(word))
    };
    let staging = url.host() == STAGING_HOST;
    let production = url.host().ends_with(".dfns.io");
    if let Some(name) = called("prod").filter(|_| staging) {
        Check::warn(
            id,
            format!(
                "{} sounds like production, but {STAGING_HOST} is staging",
                Quoted::of(name)
            ),
        )
        .hint("production is api.dfns.io")
    } else if let Some(name) = called("staging").filter(|_| production) {
        Check::warn(
            id,
            format!(
                "{} sounds like staging, but {} is production",
                Quoted::of(name),
                url.host()
            ),
        )
        .hint("make sure that this is what you mean: production moves real money")
    } else if staging {
        Check::warn(id, format!("{STAGING_HOST} is deprecated")).hint("production is api.dfns.io")
    } else if text.ends_with('/') {
        Check::warn(id, format!("{} has a slash at its end", subject.api_url.name))
            .hint("take it away: some SDKs make two slashes of it")
    } else {
        Check::pass(id, url.to_string())
    }
}
