//! The operating system: the one door to the disk, and the clock; and what a library does when it gives up.

pub mod child;
pub mod clock;
pub mod descriptors;
pub mod files;
pub mod instants;
pub mod lock;
pub mod memory;
pub mod panics;
#[cfg(feature = "cli")]
pub mod session;
pub mod stamp;
