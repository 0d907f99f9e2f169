//! What an argument may be: the vault's names, the places of what stands on the line, contexts, paths of the API.

use std::any::TypeId;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use clap::Arg;
use clap_complete::engine::CompletionCandidate;
use tokio::runtime::Runtime;

use crate::cli::contexts::Contexts;
use crate::model::credential::{Kind, State};
use crate::model::ids::CredentialName;
use crate::model::operations;
use crate::model::record::PublicRecord;
use crate::model::target::Target;
use crate::sys::clock::SystemClock;
use crate::vault::{Machine, Vault, VaultError};

/// Of more names than these, what each of them is would not be read by anybody.
const MANY: usize = 500;

/// Which of the vault's names an argument may want.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Any,
    /// What an organisation has at Dfns, beside its users.
    Accounts,
    /// What has a key and a token.
    Usable,
    /// Whoever can stand behind `--as`.
    Administrators,
    /// What an onboarding has begun.
    Waiting,
    /// Users who wait for a code.
    WaitingUsers,
}

impl Wanted {
    pub(super) fn by(command: &str, arg: &Arg) -> Option<Self> {
        let id = arg.get_id().as_str();
        if id == "account" {
            return Some(Self::Accounts);
        }
        if arg.get_value_parser().type_id() != TypeId::of::<CredentialName>() {
            return None;
        }
        match command {
            _ if id == "admin" => Some(Self::Administrators),
            // A name of an import's is a new one.
            "import" => None,
            "onboard" => Some(Self::Waiting),
            "enroll" => Some(Self::WaitingUsers),
            "exec" | "export" | "call" | "proxy" | "rotate" | "deliver" => Some(Self::Usable),
            _ => Some(Self::Any),
        }
    }

    fn is(self, record: &PublicRecord) -> bool {
        let (user, pending) = (record.kind == Kind::User, record.state == State::Pending);
        match self {
            Self::Any => true,
            Self::Accounts => !user,
            Self::Usable => !user && !pending,
            Self::Administrators => user && !pending,
            Self::Waiting => !user && pending,
            Self::WaitingUsers => user && pending,
        }
    }
}

/// The vault as it lies there, and what reads it.
fn opened(vault: &Path) -> Option<(Runtime, Vault)> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().ok()?;
    let open = Vault::open(vault, Machine::default(), Box::new(SystemClock), Duration::ZERO);
    let vault = runtime.block_on(open).ok()?;
    Some((runtime, vault))
}

/// The names that begin so and do not stand on the line yet, with a word on each.
pub(super) fn names(vault: &Path, wanted: Wanted, begun: &OsStr, given: &[OsString]) -> Vec<CompletionCandidate> {
    let found = || {
        let begun = begun.to_str()?;
        let (runtime, vault) = opened(vault)?;
        let mut names = runtime.block_on(vault.file_names()).ok()?;
        names.retain(|name| name.as_str().starts_with(begun) && !given.iter().any(|word| word == name.as_str()));
        let many = names.len() > MANY;
        Some(names.into_iter().filter_map(move |name| {
            let candidate = CompletionCandidate::new(name.as_str());
            if many && wanted == Wanted::Any {
                return Some(candidate);
            }
            match runtime.block_on(vault.record(&name)) {
                Ok(record) if wanted.is(&record) => {
                    let what = format!("{}, {}", record.kind.in_words(), record.state);
                    Some(candidate.help(Some(what.into())))
                }
                Ok(_) | Err(VaultError::NoSuchCredential(_) | VaultError::Renamed { .. }) => None,
                // What is damaged may have to be named, too.
                Err(_) => (wanted == Wanted::Any).then_some(candidate),
            }
        }))
    };
    found().map(Iterator::collect).unwrap_or_default()
}

/// The places of the credentials that stand on the line.
pub(super) fn places(vault: &Path, given: &[OsString]) -> Vec<Target> {
    let found = || {
        let (runtime, vault) = opened(vault)?;
        let names = given
            .iter()
            .filter_map(|word| word.to_str()?.parse::<CredentialName>().ok());
        let records = names.filter_map(|name| runtime.block_on(vault.record(&name)).ok());
        Some(
            records
                .flat_map(|record| record.deliveries)
                .map(|place| place.target)
                .collect(),
        )
    };
    found().unwrap_or_default()
}

/// The contexts that begin so.
pub(super) fn contexts(begun: &OsStr) -> Vec<CompletionCandidate> {
    let (Some(begun), Ok(contexts)) = (begun.to_str(), Contexts::read()) else {
        return Vec::new();
    };
    let names = contexts
        .entries
        .into_keys()
        .filter(|name| name.as_str().starts_with(begun));
    names.map(|name| CompletionCandidate::new(name.as_str())).collect()
}

/// The next part of a path of the API's, after what varies was typed.
pub(super) fn paths(begun: &OsStr, given: &[OsString]) -> Vec<CompletionCandidate> {
    let Some((typed, last)) = begun.to_str().and_then(|begun| begun.rsplit_once('/')) else {
        return vec![CompletionCandidate::new("/")];
    };
    let typed: Vec<&str> = typed.split('/').collect();
    let method = given.last().map(|word| word.to_string_lossy().to_ascii_uppercase());
    let next = |operation: &operations::Operation| {
        let mut segments = operation.path.split('/');
        let fits = typed.iter().all(|typed| {
            segments
                .next()
                .is_some_and(|ours| ours == *typed || ours.starts_with('{') && !typed.is_empty())
        });
        let next = segments.next().filter(|next| fits && next.starts_with(last))?;
        let more = if segments.next().is_some() { "/" } else { "" };
        Some(format!("{}/{next}{more}", typed.join("/")))
    };
    let mut paths: Vec<String> = operations::all()
        .iter()
        .filter(|operation| method.as_deref() == Some(operation.method))
        .filter_map(next)
        .collect();
    paths.sort_unstable();
    // What is an operation itself goes on with a slash that the user types.
    paths.dedup_by(|one, before| *one == *before || one.strip_suffix('/') == Some(before));
    paths.into_iter().map(CompletionCandidate::new).collect()
}
