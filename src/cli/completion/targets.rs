//! What may stand behind `deliver --to` and `--forget`: kinds of places, and paths behind those that are on this machine; the
//! places that a credential has.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap_complete::engine::{CompletionCandidate, PathCompleter, ValueCompleter};

use crate::model::target::{Target, TargetKind};
use crate::sys::files;

/// Stands before the names of programs that know places.
const PLUGIN: &str = "dfns-keys-target-";

/// Whether a word is that of a kind of places.
pub(super) fn is_kind(word: &OsStr) -> bool {
    TargetKind::words().any(|kind| word == kind)
}

/// The places that begin so and could be.
pub(super) fn beginning(begun: &str) -> Vec<CompletionCandidate> {
    match begun.split_once(':') {
        None => {
            let kinds = TargetKind::words().filter(|kind| kind.starts_with(begun));
            kinds.map(|kind| CompletionCandidate::new(format!("{kind}:"))).collect()
        }
        Some((kind, "")) if is_on_this_machine(kind) => {
            vec![CompletionCandidate::new(format!("{kind}:/"))]
        }
        Some((kind, path)) if is_on_this_machine(kind) && path.starts_with('/') => {
            let paths = PathCompleter::any().complete(OsStr::new(path)).into_iter();
            let plain = paths.filter(|path| is_plain(path.get_value()));
            plain.map(|path| path.add_prefix(format!("{kind}:"))).collect()
        }
        Some((kind, name)) if kind == "plugin" => {
            let plugins = plugins().into_iter().filter(|plugin| plugin.starts_with(name));
            let plugins = plugins.map(|plugin| CompletionCandidate::new(format!("{kind}:{plugin}")));
            plugins.collect()
        }
        Some(_) => Vec::new(),
    }
}

/// The places that begin so, of those that there are.
pub(super) fn among(begun: &str, known: &[Target]) -> Vec<CompletionCandidate> {
    let texts = known.iter().map(ToString::to_string);
    texts
        .filter(|text| text.starts_with(begun))
        .map(CompletionCandidate::new)
        .collect()
}

fn is_on_this_machine(kind: &str) -> bool {
    let place: Option<Target> = format!("{kind}:/a").parse().ok();
    place.is_some_and(|place| place.kind().has_host())
}

/// Whether a path stands in a target as it is.
fn is_plain(path: &OsStr) -> bool {
    let stands = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~/:@+,".contains(byte);
    path.as_encoded_bytes().iter().all(stands)
}

/// The names of the programs on the PATH that know places.
fn plugins() -> Vec<String> {
    let path: OsString = std::env::var_os("PATH").unwrap_or_default();
    let mut plugins: Vec<String> = std::env::split_paths(&path)
        .filter_map(|directory| files::list(Path::new(&directory)).ok())
        .flatten()
        .filter_map(|name| name.strip_prefix(PLUGIN).map(str::to_owned))
        .collect();
    plugins.sort_unstable();
    plugins.dedup();
    plugins
}
