//! The files of the log: `log.jsonl`, to which lines are appended, and the full ones before it, `log-000001.jsonl` and so on.

use std::path::{Path, PathBuf};

use super::FILE;
use crate::sys::files::{self, FileError};

/// A file of the log. The one that is appended to comes last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Segment {
    number: u64,
    pub(super) path: PathBuf,
}

impl Segment {
    /// Whether it may be put aside at any moment, with another one in its place.
    pub(super) fn is_current(&self) -> bool {
        self.number == u64::MAX
    }
}

/// The files that are there, the oldest first.
pub(super) fn all(directory: &Path) -> Result<Vec<Segment>, FileError> {
    let mut files = match full(directory) {
        Err(error) if error.is_not_found() => Vec::new(),
        full => full?,
    };
    let path = directory.join(FILE);
    if files::exists(&path) {
        files.push(Segment { number: u64::MAX, path });
    }
    Ok(files)
}

/// The name for the next file that is full.
pub(super) fn next(directory: &Path) -> Result<PathBuf, FileError> {
    let last = full(directory)?.last().map_or(0, |last| last.number);
    Ok(directory.join(format!("log-{:06}.jsonl", last + 1)))
}

/// Those that are full.
fn full(directory: &Path) -> Result<Vec<Segment>, FileError> {
    let mut found: Vec<Segment> = files::list(directory)?
        .into_iter()
        .filter_map(|name| {
            let number = name.strip_prefix("log-")?.strip_suffix(".jsonl")?;
            let digits = number.len() >= 6 && number.bytes().all(|byte| byte.is_ascii_digit());
            let number = number.parse().ok().filter(|number| digits && *number < u64::MAX)?;
            let path = directory.join(name);
            Some(Segment { number, path })
        })
        .collect();
    found.sort_unstable();
    Ok(found)
}
