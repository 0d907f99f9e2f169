//! What keeps secrets in this process's memory from leaving it: no core dump, no reading by other processes, no swap. Each is best
//! effort: where the system refuses, there is nothing to be done.

/// Keeps other processes of the same user out of this one: they cannot read its memory, its descriptors, or the environment
/// that it was started with. A program that takes its place is open again.
pub fn shut_others_out() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

/// Keeps all that is and will be in memory out of swap, where this process may lock as much as it likes: as root, with
/// `CAP_IPC_LOCK`, or under an unlimited `RLIMIT_MEMLOCK`. Under any other limit a lock on everything would make later
/// allocations fail, and for that the capability of a user namespace, such as a container's, is none. A program that takes this
/// one's place is not locked.
pub fn lock() {
    #[cfg(target_os = "linux")]
    {
        use rustix::mm::{MlockAllFlags, mlockall};
        use rustix::process::{Resource, getrlimit};
        use rustix::thread::{CapabilitySet, capabilities};
        let may_lock_all = getrlimit(Resource::Memlock).current.is_none()
            || capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK))
                && is_in_first_user_namespace();
        if may_lock_all {
            // A page is locked once it is used, so that what is reserved and never used costs nothing.
            let _ = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT);
        }
    }
}

/// Whether capabilities are those of the machine, and not of a user namespace in it.
#[cfg(target_os = "linux")]
fn is_in_first_user_namespace() -> bool {
    // The kernel gives the first one this number, always.
    rustix::fs::readlink("/proc/self/ns/user", Vec::new()).is_ok_and(|name| name.as_bytes() == b"user:[4026531837]")
}

/// Keeps what is in memory out of core dumps.
pub fn forbid_core_dumps() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let before = getrlimit(Resource::Core);
        let maximum = before.maximum;
        let _ = CORE_LIMIT.set(before);
        let _ = setrlimit(
            Resource::Core,
            Rlimit {
                current: Some(0),
                maximum,
            },
        );
    }
}

/// What the limit was before [`forbid_core_dumps`].
#[cfg(unix)]
static CORE_LIMIT: std::sync::OnceLock<rustix::process::Rlimit> = std::sync::OnceLock::new();

/// Gives a program that takes this process's place the limit it would have had.
pub fn permit_core_dumps() {
    #[cfg(unix)]
    if let Some(limit) = CORE_LIMIT.get() {
        let _ = rustix::process::setrlimit(rustix::process::Resource::Core, *limit);
    }
}
