//! How bash asks, and is answered.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::Command;
use clap_complete::engine::complete;

use super::targets;

/// Between candidates, in bash: a character that none of them has.
const BASH_SEPARATOR: u8 = 0x0b;

/// bash takes `--flag=value` and `file:/path` for three words each, and wants an answer for the last of them.
pub(super) fn answer(
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
