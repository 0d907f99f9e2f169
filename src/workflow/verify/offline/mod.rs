//! The checks that need no network.

mod address;
mod key;
mod token;

use std::str::FromStr;

use jiff::Timestamp;

use super::Expectations;
use super::checks::CheckId;
use super::report::{Check, SubjectReport};
use crate::model::ids::{ApplicationId, CredentialId, IdError, OrganisationId, Username};
use crate::model::token::AuthToken;
use crate::model::url::{ApiUrl, Origin};
use crate::workflow::sources::{Source, Subject, Variable};

pub(super) use key::UsableKey;

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

pub(super) fn check(
    subject: &Subject,
    expectations: &Expectations,
    now: Timestamp,
    report: &mut SubjectReport,
) -> Ground {
    report.push(readable(subject));
    report.push(complete(subject));
    let key = key::check(subject, expectations, report);
    let token = token::check(subject, expectations, now, report);
    let origin = address::origin(subject, report);
    let api_url = address::api_url(subject, report);
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
