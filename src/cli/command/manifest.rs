//! Manifests of many accounts: CSV with a header line, or TOML with `[[account]]` tables.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::input::Input;
use crate::model::credential::Kind;
use crate::model::ids::{ApplicationId, CredentialName, ExternalId};
use crate::model::key_uri::KeyUri;
use crate::model::quoted;
use crate::model::url::Origin;

/// One account to be made.
pub(super) struct Entry {
    pub(super) name: CredentialName,
    pub(super) kind: Option<Kind>,
    pub(super) days: Option<u32>,
    pub(super) permissions: Vec<String>,
    pub(super) external_id: Option<ExternalId>,
    pub(super) origin: Option<Origin>,
    pub(super) app_id: Option<ApplicationId>,
    /// Where its key is held, if it is not sealed.
    pub(super) key: Option<KeyUri>,
}

impl Entry {
    pub(super) fn named(name: CredentialName) -> Self {
        Self {
            name,
            kind: None,
            days: None,
            permissions: Vec::new(),
            external_id: None,
            origin: None,
            app_id: None,
            key: None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CsvRow {
    name: CredentialName,
    #[serde(default)]
    kind: Option<Kind>,
    #[serde(default)]
    days: Option<u32>,
    /// Separated by semicolons.
    #[serde(default)]
    permissions: Option<String>,
    #[serde(default)]
    external_id: Option<ExternalId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TomlFile {
    account: Vec<TomlAccount>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TomlAccount {
    name: CredentialName,
    kind: Option<Kind>,
    days: Option<u32>,
    #[serde(default)]
    permissions: Vec<String>,
    external_id: Option<ExternalId>,
}

/// Ten thousand accounts and more; what a parser makes of a text takes hundreds of times its size.
const LARGEST: usize = 1024 * 1024;
const LONGEST_REASON: usize = 200;

pub(super) fn read(context: &Context, input: &Input) -> Result<Vec<Entry>, Failure> {
    let (bytes, path) = (context.input(input)?, input.path());
    let shown = quoted::path(path);
    let wrong = |place: String, reason: String| {
        Failure::new(Exit::Usage, "manifest", format!("{shown}{place}: {}", told(&reason)))
        .hint(
            "CSV: name,kind,days,permissions,external_id with a header line; TOML: [[account]] tables with the same fields",
        )
    };
    if bytes.len() > LARGEST {
        return Err(wrong(String::new(), "it is larger than 1 MiB".to_owned()));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong(String::new(), "it is not text (UTF-8)".to_owned()))?;
    let entries = if path
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("toml"))
    {
        from_toml(text)
            .map_err(|(line, reason)| wrong(line.map(|line| format!(", line {line}")).unwrap_or_default(), reason))?
    } else {
        from_csv(text).map_err(|(line, reason)| wrong(format!(", line {line}"), reason))?
    };
    if entries.is_empty() {
        return Err(wrong(String::new(), "it names no account".to_owned()));
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = entries.iter().find(|entry| !seen.insert(&entry.name)) {
        return Err(wrong(String::new(), format!("{} stands in it twice", twice.name)));
    }
    if let Some(entry) = entries
        .iter()
        .find(|entry| entry.kind == Some(Kind::User) || entry.days.is_some_and(|days| !(1..=730).contains(&days)))
    {
        return Err(wrong(
            String::new(),
            format!("{}: kind is service-account or pat, days from 1 to 730", entry.name),
        ));
    }
    Ok(entries)
}

/// What is said of a text that is no manifest, read as CSV and as TOML.
#[cfg(feature = "fuzzing")]
pub(in crate::cli) fn refusals(text: &str) -> Vec<String> {
    let csv = from_csv(text).err().map(|(_, reason)| reason);
    let toml = from_toml(text).err().map(|(_, reason)| reason);
    csv.into_iter().chain(toml).map(|reason| told(&reason)).collect()
}

/// A library's words, which may repeat what stands in the file.
fn told(reason: &str) -> String {
    let reason: String = reason.chars().take(LONGEST_REASON).collect();
    quoted::cleared(&reason)
}

fn from_csv(text: &str) -> Result<Vec<Entry>, (u64, String)> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(text.as_bytes());
    let line_of = |error: &csv::Error| error.position().map_or(1, csv::Position::line);
    reader
        .deserialize::<CsvRow>()
        .map(|row| {
            let CsvRow {
                name,
                kind,
                days,
                permissions,
                external_id,
            } = row.map_err(|error| (line_of(&error), reason(&error)))?;
            Ok(Entry {
                kind,
                days,
                permissions: permissions
                    .unwrap_or_default()
                    .split(';')
                    .map(|permission| permission.trim().to_owned())
                    .filter(|permission| !permission.is_empty())
                    .collect(),
                external_id,
                ..Entry::named(name)
            })
        })
        .collect()
}

fn reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Deserialize { err, .. } => err.kind().to_string(),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("it has {len} fields where the header has {expected_len}")
        }
        _ => "it is no CSV".to_owned(),
    }
}

fn from_toml(text: &str) -> Result<Vec<Entry>, (Option<usize>, String)> {
    let file: TomlFile = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
        (line, error.message().to_owned())
    })?;
    Ok(file
        .account
        .into_iter()
        .map(|account| {
            let TomlAccount {
                name,
                kind,
                days,
                permissions,
                external_id,
            } = account;
            Entry {
                kind,
                days,
                permissions,
                external_id,
                ..Entry::named(name)
            }
        })
        .collect())
}
