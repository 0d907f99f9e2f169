//! What may have been meant: a name that is nearly one of the vault's, a file where a name belongs.

use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::context::Context;
use super::error::Failure;
use crate::model::ids::CredentialName;
use crate::model::quoted;
use crate::model::record::PublicRecord;
use crate::sys::files;
use crate::vault::Vault;

/// From here on two names are alike, between 0 and 1.
const ALIKE: f64 = 0.85;
/// Short names differ by a letter on purpose.
const SHORTEST_TWIN: usize = 5;

/// How much a name is like the wanted one, where it may be meant.
pub(super) fn likeness(name: &CredentialName, wanted: &CredentialName) -> Option<f64> {
    let likeness = strsim::jaro_winkler(name.as_str(), wanted.as_str());
    (likeness >= ALIKE).then_some(likeness)
}

/// Warns of a name that is about to be made beside one that is nearly the same. Names that differ in their numbers are a
/// series, and meant.
pub(super) async fn warn_of_twin(context: &Context, vault: &Vault, new: &CredentialName) {
    let letters = |name: &CredentialName| name.as_str().replace(['.', '_', '-'], "");
    let without_digits = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
    let ours = letters(new);
    let slips = |name: &CredentialName| {
        let theirs = letters(name);
        let series = ours != theirs && without_digits(&ours) == without_digits(&theirs);
        let slips = strsim::osa_distance(&ours, &theirs);
        (ours.len() >= SHORTEST_TWIN && !series && slips <= 1).then_some(slips)
    };
    // What cannot be listed is told of by whoever needs it.
    let names = vault.names().await.unwrap_or_default();
    if names.contains(new) {
        return;
    }
    let twins = names.iter().filter_map(|name| Some((slips(name)?, name)));
    if let Some((_, other)) = twins.min() {
        context.ui.warn(&format!(
            "{other} is in the vault already; {new} is another credential beside it"
        ));
    }
}

/// The name that is most like the wanted one, among those whose records fit.
pub(super) async fn nearest(
    vault: &Vault,
    wanted: &CredentialName,
    fits: impl Fn(&PublicRecord) -> bool,
) -> Option<CredentialName> {
    let mut alike: Vec<(f64, CredentialName)> = vault
        .file_names()
        .await
        .ok()?
        .into_iter()
        .filter_map(|name| Some((likeness(&name, wanted)?, name)))
        .collect();
    alike.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    for (_, name) in alike {
        if vault.record(&name).await.is_ok_and(|record| fits(&record)) {
            return Some(name);
        }
    }
    None
}

/// Adds to a failure about a name that is not there which one may have been meant.
pub(super) async fn forgiven(context: &Context, mut failure: Failure) -> Failure {
    let (Some(wanted), Ok(vault)) = (&failure.missing, context.vault().await) else {
        return failure;
    };
    if let Some(meant) = nearest(&vault, wanted, |_| true).await {
        let rest = failure.hint.map(|hint| format!(" if not: {hint}")).unwrap_or_default();
        failure.hint = Some(format!("did you mean {meant}?{rest}"));
    }
    failure
}

/// How `verify` is told that an environment is in a file, where a file of that name is here.
pub(super) fn file_for_verify(name: &str) -> Option<String> {
    let path = Path::new(name);
    let flag = match path.extension() {
        Some(ending) if ending.eq_ignore_ascii_case("json") => "--postman",
        _ => "--dotenv",
    };
    let shown = quoted::path(path);
    files::is_file(path).then(|| format!("that is a file here: `dfns-keys verify {flag} {shown}`"))
}

/// A tip for a command line that clap refuses.
pub(super) fn tip(error: &clap::Error, arguments: &[OsString]) -> Option<String> {
    if error.kind() != ErrorKind::ValueValidation || !arguments.iter().any(|argument| argument == "verify") {
        return None;
    }
    match (error.get(ContextKind::InvalidArg), error.get(ContextKind::InvalidValue)) {
        (Some(ContextValue::String(argument)), Some(ContextValue::String(value))) if argument.contains("NAME") => {
            file_for_verify(value)
        }
        _ => None,
    }
}
