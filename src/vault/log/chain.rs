//! The chain: each line of the log names the SHA-256 of the one before, so that none can be changed, cut out, moved or put in
//! without the next one telling.

use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::segments::{self, Segment};
use crate::sys::files::{self, FileError, Line, Lines};
use crate::vault::codes::digest;

/// The end of a file in which a line with a link is looked for first.
const TAIL: u64 = 64 * 1024;

/// Stands for all lines up to one: SHA-256, in hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head(pub(super) String);

impl Head {
    /// That of a log without lines.
    pub(super) fn none() -> Self {
        Self("0".repeat(64))
    }

    /// The head after one more line, without its end. A line that has a link stands for all before it. One that has none (a
    /// torn one, or one of before there were links) does not, and is taken together with the head before it.
    pub(super) fn after(&self, line: &[u8]) -> Self {
        match link(line) {
            Some(_) => Self(digest(line)),
            None => self.with(&digest(line)),
        }
    }

    /// The head after a line that is too long to be kept.
    pub(super) fn after_too_long(&self, hash: &[u8; 32]) -> Self {
        self.with(&digest(hash))
    }

    fn with(&self, digest_of_line: &str) -> Self {
        Self(digest(format!("{}\n{digest_of_line}", self.0).as_bytes()))
    }

    /// The head after a line as it was read.
    pub(super) fn after_line(&self, line: &Line) -> Self {
        match line {
            Line::Whole(text) => self.after(without_end(text)),
            Line::Torn(text) => self.after(text),
            Line::TooLong(hash) => self.after_too_long(hash),
        }
    }
}

/// A line without the byte that ends it.
pub(super) fn without_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

/// What a line says of the one before it, and of itself.
#[derive(Deserialize)]
pub(super) struct Link {
    #[serde(rename = "at")]
    _at: IgnoredAny,
    pub(super) action: String,
    pub(super) prev: String,
}

/// The link of a line, where it has one.
pub(super) fn link(line: &[u8]) -> Option<Link> {
    let is_hash = |text: &str| text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    serde_json::from_slice(line)
        .ok()
        .filter(|link: &Link| is_hash(&link.prev))
}

/// The head of the whole log in a directory.
pub(super) fn head(directory: &Path) -> Result<Head, FileError> {
    match head_of(&segments::all(directory)?) {
        // It was put aside since the folder was read.
        Err(error) if error.is_not_found() => head_of(&segments::all(directory)?),
        outcome => outcome,
    }
}

/// The head of files of which each goes on where the one before it ends.
fn head_of(files: &[Segment]) -> Result<Head, FileError> {
    let Some((last, earlier)) = files.split_last() else {
        return Ok(Head::none());
    };
    let (bytes, whole) = files::tail(&last.path, TAIL)?;
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    // Behind the last end stands nothing; what stands there is torn.
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    let known = if whole { 0 } else { 1.min(lines.len()) };
    let lines = &lines[known..];
    let (head, from) = match lines.iter().rposition(|line| link(line).is_some()) {
        Some(linked) => (Head::none(), linked),
        None if whole => (head_of(earlier)?, 0),
        None => return head_from_the_beginning(&last.path, head_of(earlier)?),
    };
    Ok(lines[from..].iter().fold(head, |head, line| head.after(line)))
}

/// Of a file without links in its last lines.
fn head_from_the_beginning(file: &Path, before: Head) -> Result<Head, FileError> {
    let mut head = before;
    for line in Lines::open(file)? {
        head = head.after_line(&line?);
    }
    Ok(head)
}
