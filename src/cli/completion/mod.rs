//! What a shell is told when somebody presses TAB. The scripts that `completions` prints ask this program, by a variable of
//! the environment; it looks at the vault's public parts, unlocks nothing, asks no network, and is silent about errors.
#![expect(
    clippy::disallowed_methods,
    reason = "the answer is the shell's alone: nothing of the printer's rules for people fits it"
)]

mod bash;
mod targets;
mod values;

use std::any::TypeId;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Command, ValueHint};
use clap_complete::engine::{ArgValueCompleter, PathCompleter};
use clap_complete::env::{EnvCompleter, Shells};

use self::values::{Wanted, contexts, names, paths, places};
use super::context::vault_directory;
use super::contexts::Flags;
use super::error::Exit;
use super::input::{Input, Output};

/// Set by the scripts, to the name of the shell.
const VARIABLE: &str = "_DFNS_KEYS_COMPLETE";
/// The script that makes a shell ask, or nothing where the shell is none that we know.
pub(super) fn script(shell: &str) -> Option<Vec<u8>> {
    let mut script = Vec::new();
    let completer = Shells::builtins().completer(shell)?.write_registration(
        VARIABLE,
        "dfns-keys",
        "dfns-keys",
        "dfns-keys",
        &mut script,
    );
    completer.ok()?;
    if shell == "zsh" {
        script = for_colons(&script)?;
        // From a file in $fpath zsh runs the script itself at the first TAB, instead of what the script defines.
        script.extend_from_slice(
            b"if [ \"$funcstack[1]\" = \"_dfns-keys\" ]; then _clap_dynamic_completer_dfns_keys \"$@\"; fi\n",
        );
    }
    Some(script)
}

/// zsh has a colon before what a candidate means, and one of its own escaped, which the script takes for the former; and behind what ends
/// with a colon or a slash more is to be typed, so that no space belongs there.
fn for_colons(script: &[u8]) -> Option<Vec<u8>> {
    let changes = [
        (
            "local value=\"${completion%%:*}\"",
            "local value=${completion//\\\\:/$'\\v'}; value=${value%%:*}; value=${value//$'\\v'/\\\\:}",
        ),
        (
            "if [[ \"$completion\" == *:* ]]; then",
            "if [[ \"$completion\" != \"$value\" ]]; then",
        ),
        (
            "local desc=\"${completion#*:}\"",
            "local desc=\"${completion#\"$value\":}\"",
        ),
        (
            "            else\n                other+=",
            "            elif [[ \"$value\" == *: ]]; then\n                open+=(\"$completion\")\n            else\n                other+=",
        ),
        ("local -a other=()", "local -a other=() open=()"),
        (
            "[[ -n $other ]] &&",
            "[[ -n $open ]] && _describe -V 'values' open -S ''\n        [[ -n $other ]] &&",
        ),
    ];
    let mut script = String::from_utf8(script.to_vec()).ok()?;
    for (theirs, ours) in changes {
        script = script.replace(theirs, ours);
    }
    Some(script.into_bytes())
}

/// Answers a shell, if it is one that asks.
pub(super) fn answer(command: impl FnOnce() -> Command, arguments: &[OsString]) -> Option<Exit> {
    let shell = std::env::var(VARIABLE).ok().filter(|shell| !shell.is_empty())?;
    std::panic::set_hook(Box::new(|_| {}));
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let escape = arguments.iter().position(|argument| argument == "--")?;
        tell(&shell, command(), &arguments[escape + 1..])
    }));
    Some(match told {
        Ok(Some(())) => Exit::Done,
        Ok(None) | Err(_) => Exit::Other,
    })
}

fn tell(shell: &str, command: Command, words: &[OsString]) -> Option<()> {
    let index = std::env::var("_CLAP_COMPLETE_INDEX")
        .ok()
        .and_then(|index| index.parse::<usize>().ok())
        .unwrap_or_else(|| words.len().saturating_sub(1));
    let mut command = taught(command, words, index);
    let directory = std::env::current_dir().ok();
    let mut text = Vec::new();
    if shell == "bash" {
        bash::answer(&mut command, words, index, directory.as_deref(), &mut text)?;
    } else {
        let shells = Shells::builtins();
        let completer: &dyn EnvCompleter = shells.completer(shell)?;
        completer
            .write_complete(&mut command, words.to_vec(), directory.as_deref(), &mut text)
            .ok()?;
    }
    std::io::stdout().write_all(&text).ok()
}

/// The command line, with what only this program knows: which names there are, and for which commands.
fn taught(mut command: Command, words: &[OsString], index: usize) -> Command {
    // With --help, and what is global where it belongs.
    command.build();
    // What stands behind `--` is another program's.
    let ours: Vec<OsString> = words.iter().take_while(|word| *word != "--").cloned().collect();
    let vault = vault_of(&ours).map(Arc::new);
    // Flags only to who begins one: among them the names would not be seen, nor a single one be completed.
    let hide_flags = words.get(index).is_none_or(|word| word.is_empty());
    let given: Arc<[OsString]> = words.iter().take(index).cloned().collect();
    taught_one(
        command,
        &Lesson {
            vault,
            given,
            hide_flags,
        },
    )
}

/// The vault that a line means; none where its context cannot be had, since the names of another one would mislead.
fn vault_of(words: &[OsString]) -> Option<PathBuf> {
    let context = match value_of(words, "--context") {
        Some(name) => Some(name.parse().ok()?),
        None => None,
    };
    let flags = Flags {
        context,
        vault: value_of(words, "--vault").and_then(expanded),
        identities: Vec::new(),
    };
    vault_directory(flags.resolve().ok()?.vault.as_deref()).ok()
}

struct Lesson {
    vault: Option<Arc<PathBuf>>,
    /// The words in front of the cursor.
    given: Arc<[OsString]>,
    hide_flags: bool,
}

fn taught_one(command: Command, lesson: &Lesson) -> Command {
    let name = command.get_name().to_owned();
    command
        .mut_args(|arg| {
            let arg = match Wanted::by(&name, &arg) {
                _ if arg.get_id() == "context" || arg.get_id() == "context_name" => {
                    arg.add(ArgValueCompleter::new(contexts))
                }
                Some(wanted) => {
                    let (vault, given) = (lesson.vault.clone(), Arc::clone(&lesson.given));
                    arg.add(ArgValueCompleter::new(move |begun: &OsStr| {
                        vault
                            .as_ref()
                            .map_or_else(Vec::new, |vault| names(vault, wanted, begun, &given))
                    }))
                }
                None if arg.get_id() == "to" && name == "deliver" => {
                    arg.add(ArgValueCompleter::new(|begun: &OsStr| {
                        begun.to_str().map_or_else(Vec::new, targets::beginning)
                    }))
                }
                None if arg.get_id() == "forget" && name == "deliver" => {
                    let (vault, given) = (lesson.vault.clone(), Arc::clone(&lesson.given));
                    arg.add(ArgValueCompleter::new(move |begun: &OsStr| {
                        let known = vault.as_ref().map_or_else(Vec::new, |vault| places(vault, &given));
                        targets::among(begun.to_str().unwrap_or_default(), &known)
                    }))
                }
                None if arg.get_id() == "path" && name == "call" => {
                    let given = Arc::clone(&lesson.given);
                    arg.add(ArgValueCompleter::new(move |begun: &OsStr| paths(begun, &given)))
                }
                None if [TypeId::of::<Input>(), TypeId::of::<Output>()]
                    .iter()
                    .any(|id| arg.get_value_parser().type_id() == *id)
                    && arg.get_id() != "data" =>
                {
                    arg.value_hint(ValueHint::AnyPath)
                }
                None if arg.is_last_set() => arg.add(ArgValueCompleter::new(PathCompleter::file())),
                None => arg,
            };
            let hide = lesson.hide_flags && !arg.is_positional();
            if hide { arg.hide(true) } else { arg }
        })
        .mut_subcommands(|command| taught_one(command, lesson))
}

/// The value that the line has for a flag.
fn value_of<'w>(words: &'w [OsString], flag: &str) -> Option<&'w str> {
    let joined = format!("{flag}=");
    let position = words
        .iter()
        .position(|word| word == flag || word.as_encoded_bytes().starts_with(joined.as_bytes()))?;
    match words[position].to_str()?.split_once('=') {
        Some((_, value)) => Some(value),
        // bash has made three words of it.
        None => words[position + 1..].iter().find(|word| *word != "=")?.to_str(),
    }
}

/// A path of the line, in which the shell has not replaced `~` yet.
fn expanded(path: &str) -> Option<PathBuf> {
    Some(match path.strip_prefix("~/") {
        Some(rest) => PathBuf::from(std::env::var_os("HOME")?).join(rest),
        None => PathBuf::from(path),
    })
}
