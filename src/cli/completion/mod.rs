//! What a shell is told when somebody presses TAB. The scripts that `completions` prints ask this program, by a variable of
//! the environment; it looks at the vault's public parts, unlocks nothing, asks no network, and is silent about errors.
#![expect(
    clippy::disallowed_methods,
    reason = "the answer is the shell's alone: nothing of the printer's rules for people fits it"
)]

mod targets;

use std::any::TypeId;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Arg, Command};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, PathCompleter, complete};
use clap_complete::env::{EnvCompleter, Shells};

use super::context::vault_directory;
use super::contexts::{Contexts, Flags};
use super::error::Exit;
use crate::model::credential::{Kind, State};
use crate::model::ids::CredentialName;
use crate::model::operations;
use crate::model::record::PublicRecord;
use crate::model::target::Target;
use crate::sys::clock::SystemClock;
use crate::vault::{Machine, Vault, VaultError};

/// Set by the scripts, to the name of the shell.
const VARIABLE: &str = "_DFNS_KEYS_COMPLETE";
/// Of more names than these, what each of them is would not be read by anybody.
const MANY: usize = 500;
/// Between candidates, in bash: a character that none of them has.
const BASH_SEPARATOR: u8 = 0x0b;

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
        in_bash(&mut command, words, index, directory.as_deref(), &mut text)?;
    } else {
        let shells = Shells::builtins();
        let completer: &dyn EnvCompleter = shells.completer(shell)?;
        completer
            .write_complete(&mut command, words.to_vec(), directory.as_deref(), &mut text)
            .ok()?;
    }
    std::io::stdout().write_all(&text).ok()
}

/// bash takes `--flag=value` and `file:/path` for three words each, and wants an answer for the last of them.
fn in_bash(
    command: &mut Command,
    words: &[OsString],
    index: usize,
    directory: Option<&Path>,
    text: &mut Vec<u8>,
) -> Option<()> {
    let mut joined: Vec<OsString> = Vec::new();
    let (mut target, mut before_cursor) = (0, 0);
    let mut value_follows = false;
    for (position, word) in words.iter().enumerate() {
        let colon = behind_kind(&joined) && (word == ":" || word.is_empty() && position == index);
        let sign = word == "=" && joined.last().is_some_and(|last| is_flag(last)) || colon;
        if sign || value_follows {
            let last = joined.last_mut()?;
            before_cursor = last.len();
            last.push(if colon { OsStr::new(":") } else { word });
            if colon {
                before_cursor = last.len();
            }
        } else {
            before_cursor = 0;
            joined.push(word.clone());
        }
        value_follows = sign;
        if position == index {
            target = joined.len() - 1;
            break;
        }
    }
    for (position, candidate) in complete(command, joined, target, directory).ok()?.iter().enumerate() {
        if position > 0 {
            text.push(BASH_SEPARATOR);
        }
        for byte in candidate.get_value().as_encoded_bytes().get(before_cursor..)? {
            // bash takes it as it comes, and would make something else of it when the line is run.
            if b" !\"#$&'()*;<>?[\\]^`{|}".contains(byte) {
                text.push(b'\\');
            }
            text.push(*byte);
        }
    }
    Some(())
}

/// Whether the last word is a kind of places, where a place belongs: then a colon follows, which bash does not tell of at the cursor.
fn behind_kind(words: &[OsString]) -> bool {
    let is_place = |flag: &OsStr| flag == "--to" || flag == "--forget";
    match words {
        [.., flag, kind] if is_place(flag) => targets::is_kind(kind),
        [.., last] => last
            .to_str()
            .and_then(|last| last.split_once('='))
            .is_some_and(|(flag, kind)| is_place(OsStr::new(flag)) && targets::is_kind(OsStr::new(kind))),
        [] => false,
    }
}

fn is_flag(word: &OsStr) -> bool {
    word.as_encoded_bytes().starts_with(b"--")
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
                None if arg.is_last_set() => arg.add(ArgValueCompleter::new(PathCompleter::file())),
                None => arg,
            };
            let hide = lesson.hide_flags && !arg.is_positional();
            if hide { arg.hide(true) } else { arg }
        })
        .mut_subcommands(|command| taught_one(command, lesson))
}

/// Which of the vault's names an argument may want.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
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
    fn by(command: &str, arg: &Arg) -> Option<Self> {
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

/// The names that begin so and do not stand on the line yet, with a word on each.
fn names(vault: &Path, wanted: Wanted, begun: &OsStr, given: &[OsString]) -> Vec<CompletionCandidate> {
    let found = || {
        let begun = begun.to_str()?;
        let runtime = tokio::runtime::Builder::new_current_thread().build().ok()?;
        let open = Vault::open(vault, Machine::default(), Box::new(SystemClock), Duration::ZERO);
        let vault = runtime.block_on(open).ok()?;
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
fn places(vault: &Path, given: &[OsString]) -> Vec<Target> {
    let found = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().ok()?;
        let open = Vault::open(vault, Machine::default(), Box::new(SystemClock), Duration::ZERO);
        let vault = runtime.block_on(open).ok()?;
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
fn contexts(begun: &OsStr) -> Vec<CompletionCandidate> {
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
fn paths(begun: &OsStr, given: &[OsString]) -> Vec<CompletionCandidate> {
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
