//! Named sets of settings in `$XDG_CONFIG_HOME/dfns-keys/config.toml`, and what a run goes by: its flags, the environment, a
//! context.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use toml_edit::DocumentMut;

use super::error::{Exit, Failure};
use super::folders;
use crate::model::ids::{ApplicationId, CredentialName, OrganisationId};
use crate::model::quoted;
use crate::model::url::{ApiUrl, Origin};
use crate::sys::files::{self, IfExists, Readable};
use crate::sys::lock::{self, Lock, LockError};
use crate::workflow::settings::Defaults;

/// A person writes it: a thousand contexts fit.
const LARGEST: u64 = 1024 * 1024;
/// The table of the contexts.
const TABLE: &str = "context";
const DEFAULT: &str = "default";
/// A change of the file takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// One context: whatever it leaves out has its usual default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    #[serde(default, deserialize_with = "place")]
    pub(super) vault: Option<PathBuf>,
    #[serde(default, deserialize_with = "place")]
    pub(super) identity: Option<PathBuf>,
    pub(super) api_url: Option<ApiUrl>,
    pub(super) origin: Option<Origin>,
    pub(super) app_id: Option<ApplicationId>,
    pub(super) org_id: Option<OrganisationId>,
    #[serde(rename = "as")]
    pub(super) admin: Option<CredentialName>,
}

/// The file, as it is read.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contexts {
    /// The context that counts where none is named.
    pub(super) default: Option<CredentialName>,
    #[serde(default, rename = "context")]
    pub(super) entries: BTreeMap<CredentialName, Entry>,
}

/// A path that means the same from every directory.
fn place<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let path = PathBuf::deserialize(deserializer)?;
    if path.is_absolute() || path.starts_with("~") {
        return Ok(Some(path));
    }
    Err(serde::de::Error::custom(
        "a path here is absolute or begins with ~/, for it would be another from each directory",
    ))
}

fn path() -> Option<PathBuf> {
    Some(folders::config()?.join("config.toml"))
}

fn text_of(path: &Path) -> Result<String, Failure> {
    match files::read_trusted(path, LARGEST) {
        Ok(bytes) => String::from_utf8(bytes.to_vec()).map_err(|_| damaged(path, None, "it is not text (UTF-8)")),
        Err(error) if error.is_not_found() => Ok(String::new()),
        Err(error) => {
            Err(Failure::from(error).hint("it says which vault is used: `chmod go-w` what others can write to"))
        }
    }
}

pub(super) fn parse(path: &Path, text: &str) -> Result<Contexts, Failure> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
        damaged(path, line, error.message())
    })
}

fn damaged(path: &Path, line: Option<usize>, reason: &str) -> Failure {
    let place = line.map(|line| format!(", line {line}")).unwrap_or_default();
    Failure::new(
        Exit::Usage,
        "config",
        format!("{}{place}: {}", quoted::path(path), quoted::cleared(reason)),
    )
    .hint("a context has vault, identity, api_url, origin, app_id, org_id, as; `default` names one")
}

impl Contexts {
    /// Reads the file; where there is none, there are no contexts.
    pub(super) fn read() -> Result<Self, Failure> {
        match path() {
            Some(path) => parse(&path, &text_of(&path)?),
            None => Ok(Self::default()),
        }
    }

    /// The context of a name.
    pub(super) fn get(&self, name: &CredentialName) -> Result<&Entry, Failure> {
        self.entries.get(name).ok_or_else(|| {
            let slips = |other: &&CredentialName| strsim::osa_distance(other.as_str(), name.as_str());
            let nearest = self.entries.keys().min_by_key(slips);
            let hint = match nearest.filter(|nearest| slips(nearest) <= 2) {
                Some(nearest) => format!("did you mean {nearest}? `dfns-keys context list` shows those there are"),
                None => {
                    format!("`dfns-keys context list` shows those there are; `dfns-keys context set {name}` makes it")
                }
            };
            Failure::new(
                Exit::State,
                "no_such_context",
                format!("there is no context named {name}"),
            )
            .hint(hint)
        })
    }
}

/// Changes the file and leaves alone whatever else a person wrote there. Two who change it do so one after the other.
pub(super) fn change(change: impl FnOnce(&Contexts, &mut DocumentMut) -> Result<(), Failure>) -> Result<(), Failure> {
    let path = path().ok_or_else(|| Failure::usage("there is no home directory to keep config.toml in"))?;
    let folder = path.parent().expect("it is in the folder of our name");
    files::create_private_directory(folder)?;
    let _lock = locked(folder)?;
    let text = text_of(&path)?;
    // As it is read: what is broken is not written over.
    let contexts = parse(&path, &text)?;
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
        damaged(&path, line, error.message())
    })?;
    change(&contexts, &mut document)?;
    // Where it is a link, it stays one.
    let target = files::canonical(&path);
    let bytes = document.to_string();
    files::write(&target, bytes.as_bytes(), IfExists::Replace, Readable::ByOwner)?;
    Ok(())
}

fn locked(folder: &Path) -> Result<Lock, Failure> {
    lock::acquire(&folder.join("config.lock"), "context", PATIENCE).map_err(|error| {
        let code = match &error {
            LockError::Held { .. } => "locked",
            LockError::Io { .. } => "file",
        };
        let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
        Failure::new(
            Exit::State,
            code,
            format!("config.toml is not changed: {error}{}", source.unwrap_or_default()),
        )
    })
}

/// Sets fields of a context, which is made where it is not there.
pub(super) fn set(document: &mut DocumentMut, name: &CredentialName, fields: &[(&str, String)]) {
    let contexts = document.entry(TABLE).or_insert_with(|| {
        let mut table = toml_edit::Table::new();
        // Only its tables have a heading.
        table.set_implicit(true);
        table.into()
    });
    let context = contexts
        .as_table_like_mut()
        .expect("it was read as a table")
        .entry(name.as_str());
    let context = context.or_insert_with(|| toml_edit::Table::new().into());
    let context = context.as_table_like_mut().expect("it was read as a table");
    for (field, value) in fields {
        context.insert(field, toml_edit::value(value.as_str()));
    }
}

/// Makes a context the default.
pub(super) fn set_default(document: &mut DocumentMut, name: &CredentialName) {
    document.insert(DEFAULT, toml_edit::value(name.as_str()));
}

/// Takes a context out, and with it the default that it was.
pub(super) fn remove(document: &mut DocumentMut, name: &CredentialName) {
    if let Some(contexts) = document.get_mut(TABLE).and_then(toml_edit::Item::as_table_like_mut) {
        contexts.remove(name.as_str());
    }
    if document.get(DEFAULT).and_then(toml_edit::Item::as_str) == Some(name.as_str()) {
        document.remove(DEFAULT);
    }
}

/// What a run goes by, whoever said so.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    /// The context, where there is one and its vault is the one in use.
    pub(super) name: Option<CredentialName>,
    /// A context of which the addresses alone count, since another vault than its own is in use.
    pub(super) apart: Option<CredentialName>,
    pub(super) vault: Option<PathBuf>,
    pub(super) identities: Vec<PathBuf>,
    /// For a credential that is begun.
    pub(super) defaults: Defaults,
    /// Whom to act as.
    pub(super) admin: Option<CredentialName>,
}

/// What the flags say.
#[derive(Debug, Clone)]
pub(super) struct Flags {
    pub(super) context: Option<CredentialName>,
    pub(super) vault: Option<PathBuf>,
    pub(super) identities: Vec<PathBuf>,
}

impl Flags {
    /// A flag goes before the environment, that before a context; but a context that a flag names goes before the environment.
    pub(super) fn resolve(self) -> Result<Surroundings, Failure> {
        let Self {
            context: flag,
            vault,
            identities,
        } = self;
        let variable = |name: &str| variable(name).filter(|_| flag.is_none());
        let contexts = Contexts::read()?;
        let name = match (&flag, parsed("DFNS_KEYS_CONTEXT", variable("DFNS_KEYS_CONTEXT"))?) {
            (Some(name), _) => Some(name.clone()),
            (None, Some(name)) => Some(name),
            (None, None) => contexts.default.clone(),
        };
        let entry = match &name {
            Some(name) => contexts.get(name)?.clone(),
            None => Entry::default(),
        };
        let vault = vault.or_else(|| variable("DFNS_KEYS_VAULT").map(PathBuf::from));
        let own = entry.vault.map(at_home);
        // What opens a context's own vault, and who acts in it, is not for another one. A context that names no vault goes with any.
        let is_apart = match (&vault, &own) {
            (Some(vault), Some(own)) => files::canonical(vault) != files::canonical(own),
            _ => false,
        };
        let (identity, admin) = if is_apart {
            (None, None)
        } else {
            (entry.identity, entry.admin)
        };
        let (apart, name) = if is_apart { (name, None) } else { (None, name) };
        Ok(Surroundings {
            vault: vault.or(own),
            identities: if !identities.is_empty() {
                identities
            } else if let Some(paths) = variable("DFNS_KEYS_IDENTITY") {
                std::env::split_paths(&paths).collect()
            } else {
                identity.map(at_home).into_iter().collect()
            },
            defaults: Defaults {
                api_url: parsed("DFNS_KEYS_API_URL", variable("DFNS_KEYS_API_URL"))?.or(entry.api_url),
                origin: parsed("DFNS_KEYS_ORIGIN", variable("DFNS_KEYS_ORIGIN"))?.or(entry.origin),
                application_id: parsed("DFNS_KEYS_APP_ID", variable("DFNS_KEYS_APP_ID"))?.or(entry.app_id),
                organisation_id: parsed("DFNS_KEYS_ORG_ID", variable("DFNS_KEYS_ORG_ID"))?.or(entry.org_id),
            },
            admin: parsed("DFNS_KEYS_AS", variable("DFNS_KEYS_AS"))?.or(admin),
            name,
            apart,
        })
    }
}

/// An environment variable that is set to something.
pub(super) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn parsed<T: FromStr<Err: std::fmt::Display>>(name: &str, value: Option<OsString>) -> Result<Option<T>, Failure> {
    value
        .map(|value| {
            let text = value
                .to_str()
                .ok_or_else(|| Failure::usage(format!("{name} is not text (UTF-8)")))?;
            text.parse().map_err(|error| Failure::usage(format!("{name}: {error}")))
        })
        .transpose()
}

/// `~/` in a path of the file is the user's home, as in a shell.
fn at_home(path: PathBuf) -> PathBuf {
    match (path.strip_prefix("~"), folders::home()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path,
    }
}
