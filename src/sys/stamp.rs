//! Which state of a file was read, without reading it: what changes whenever a file is replaced.
#![expect(
    clippy::disallowed_methods,
    reason = "metadata of the disk; like `files`, this is a door to it"
)]

use std::fs::Metadata;
use std::io;
use std::path::Path;

/// The state of the file at `path`: its inode, time and size. Replacing a file changes it; renaming one does not.
///
/// # Errors
/// When there is no such file, or it cannot be looked at.
pub fn of(path: &Path) -> io::Result<String> {
    std::fs::metadata(path).map(|metadata| text(&metadata))
}

#[cfg(unix)]
fn text(metadata: &Metadata) -> String {
    use std::os::unix::fs::MetadataExt;
    format!(
        "{:x}-{:x}.{:09}-{:x}",
        metadata.ino(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.size()
    )
}

#[cfg(not(unix))]
fn text(metadata: &Metadata) -> String {
    let nanoseconds = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
        .map_or(0, |since| since.as_nanos());
    format!("{nanoseconds:x}-{:x}", metadata.len())
}
