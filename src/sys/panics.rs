//! Panics in libraries that read what others wrote: a file that a library cannot take is a bad file, not a bug of ours.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Does some work in a library; none where that panics. What the work could have left half-done must not be used afterwards.
pub fn contained<T>(work: impl FnOnce() -> T) -> Option<T> {
    let before = CONTAINED.replace(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(before);
    outcome.ok()
}

/// Whether a panic on this thread would be contained, so that a hook has nothing to report.
#[must_use]
pub fn are_contained() -> bool {
    CONTAINED.get()
}
