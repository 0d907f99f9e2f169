//! The instants at which a process may be stopped to see what it leaves behind: before and after each durable write and
//! each request. In debug builds, of which the tests are made, one of them can be chosen to abort at; a release build has
//! neither the count nor the switch.

#[cfg(debug_assertions)]
mod counting {
    use std::sync::atomic::{AtomicU64, Ordering};

    static PASSED: AtomicU64 = AtomicU64::new(0);
    static STOP_AT: AtomicU64 = AtomicU64::new(0);

    /// Chooses the instant to abort at, counted from 1; 0 for none.
    pub fn stop_at(number: u64) {
        STOP_AT.store(number, Ordering::SeqCst);
    }

    /// Passes an instant, unless it is the chosen one.
    pub fn pass() {
        let number = PASSED.fetch_add(1, Ordering::SeqCst) + 1;
        if number == STOP_AT.load(Ordering::SeqCst) {
            std::process::abort();
        }
    }
}

#[cfg(debug_assertions)]
pub use counting::{pass, stop_at};

/// Passes an instant.
#[cfg(not(debug_assertions))]
#[inline]
pub fn pass() {}
