//! The one reader of stdin.
#![expect(
    clippy::disallowed_methods,
    reason = "stdin is read here, and nowhere else, so that two readers cannot share it unnoticed"
)]

use std::io::{self, IsTerminal};

use zeroize::Zeroizing;

use crate::sys::files;

/// Whether somebody would have to type it.
pub(super) fn is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// Reads stdin to its end.
pub(super) fn read(limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    files::read_limited(io::stdin().lock(), limit)
}
