//! Where Dfns is, and the origin.

use crate::model::quoted::Quoted;
use crate::model::url::{ApiUrl, Origin, UrlError};
use crate::workflow::sources::{Source, Subject};
use crate::workflow::verify::checks::CheckId;
use crate::workflow::verify::report::{Check, SubjectReport};

/// The vendor's deprecated staging environment.
const STAGING_HOST: &str = "api.dfns.ninja";

pub(super) fn origin(subject: &Subject, report: &mut SubjectReport) -> Option<Origin> {
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

pub(super) fn api_url(subject: &Subject, report: &mut SubjectReport) -> Option<ApiUrl> {
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
