//! The places where people keep an environment today, and what is found there.

mod dotenv;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod postman;
mod subject;

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::export::KEY_ENCODING;
use crate::model::quoted;
use crate::sys::files;

pub use subject::{Source, Subject, Variable};

/// Environments are far smaller.
const LIMIT: u64 = 1024 * 1024;
/// No token, key, id or address comes near this size.
const LONGEST_VALUE: usize = 64 * 1024;
/// So many names of variables, and so much of each, are told.
const MOST_NAMES: usize = 8;
const LONGEST_NAME: usize = 64;

/// A source that could not be read at all. Its report says so and skips the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// What reports call it.
    pub label: String,
    /// What is wrong, and where.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// A Postman environment, as Postman exports it.
///
/// # Errors
/// When the file cannot be read or is no such export.
pub fn postman(path: &Path) -> Result<Subject, Unreadable> {
    let (label, text, mode) = read(path)?;
    from_postman(&label, &text, mode)
}

fn from_postman(label: &str, text: &str, mode: Option<u32>) -> Result<Subject, Unreadable> {
    let subject = postman::parse(label, text)?;
    within_limits(Subject { mode, ..subject })
}

/// A `.env` file with the variables that the vendor's SDK examples read.
///
/// # Errors
/// When the file cannot be read or a line of it is no assignment.
pub fn dotenv(path: &Path) -> Result<Subject, Unreadable> {
    let (label, text, mode) = read(path)?;
    from_dotenv(&label, &text, mode)
}

fn from_dotenv(label: &str, text: &str, mode: Option<u32>) -> Result<Subject, Unreadable> {
    let variables = dotenv::parse(text).map_err(|(line, reason)| Unreadable {
        label: label.to_owned(),
        message: format!("line {line}: {reason}"),
        hint: "a line is NAME=value, NAME='value' or a comment; a value over several lines stands in quotes".to_owned(),
    })?;
    let lookup = |name: &str| {
        // The last assignment counts, as it does for those who read such files.
        let found = variables.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| SecretString::from(value.as_str().to_owned()))
    };
    let subject = from_sdk_variables(label, Source::Dotenv, lookup);
    let others = variables
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| !name.starts_with("DFNS_"));
    within_limits(Subject {
        mode,
        others: told(others),
        ..subject
    })
}

fn within_limits(subject: Subject) -> Result<Subject, Unreadable> {
    let too_long = subject.variables().find(|variable| variable.length() > LONGEST_VALUE);
    match too_long.map(|variable| variable.name) {
        None => Ok(subject),
        Some(name) => Err(Unreadable {
            message: format!("the value of {name} is longer than any can be (64 KiB)"),
            hint: "copy the environment again, whole".to_owned(),
            label: subject.label,
        }),
    }
}

/// The first of some names, shortened.
fn told<'a>(mut names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut told: Vec<String> = names.by_ref().take(MOST_NAMES).map(shortened).collect();
    if names.next().is_some() {
        told.push("…".to_owned());
    }
    told
}

fn shortened(name: &str) -> String {
    match name.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// The variables of a process, looked up by whoever may read the environment.
pub fn process_environment(lookup: impl Fn(&str) -> Option<SecretString>) -> Subject {
    from_sdk_variables("process environment", Source::ProcessEnvironment, lookup)
}

fn from_sdk_variables(label: &str, source: Source, lookup: impl Fn(&str) -> Option<SecretString>) -> Subject {
    let variable = |name: &'static str| Variable::new(name, lookup(name));
    Subject {
        label: label.to_owned(),
        source,
        others: Vec::new(),
        scheme: "https".to_owned(),
        mode: None,
        names: vec![label.to_owned()],
        api_url: variable("DFNS_API_URL"),
        token: variable("DFNS_AUTH_TOKEN"),
        private_key: variable("DFNS_PRIVATE_KEY"),
        held: None,
        key_is_declared_base64: lookup(KEY_ENCODING).is_some_and(|encoding| encoding.expose_secret() == "base64"),
        credential_id: variable("DFNS_CRED_ID"),
        application_id: variable("DFNS_APP_ID"),
        origin: variable("DFNS_ORIGIN"),
        organisation_id: variable("DFNS_ORG_ID"),
        public_key: Variable::new("public key", None),
        username: None,
    }
}

type Contents = (String, Zeroizing<String>, Option<u32>);

fn read(path: &Path) -> Result<Contents, Unreadable> {
    let label = quoted::path(path);
    let unreadable = |message: String, hint: &str| Unreadable {
        label: label.clone(),
        message,
        hint: hint.to_owned(),
    };
    let bytes = files::read(path, LIMIT).map_err(|error| {
        unreadable(
            format!("{error}: {}", error.source),
            "is the path right, and may you read it?",
        )
    })?;
    let text =
        std::str::from_utf8(&bytes).map_err(|_| unreadable("it is not text (UTF-8)".to_owned(), "export it again"))?;
    let mode = files::permissions(path).ok().flatten();
    Ok((
        label,
        Zeroizing::new(text.trim_start_matches('\u{feff}').to_owned()),
        mode,
    ))
}
