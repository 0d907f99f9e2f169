//! The operating system: the one door to the disk, and the clock.

pub mod clock;
pub mod files;
pub mod instants;
pub mod lock;
