//! The session keyring of the Linux kernel: keeps a secret for the programs of a login session, for a while. Not on disk, not in
//! a process; docs/decisions/0011 says who can read it.

use std::time::Duration;

use thiserror::Error;
use zeroize::Zeroizing;

/// The keyring in the session's in which all that is kept is, and what stands before the names in it.
#[cfg(target_os = "linux")]
const OURS: &str = "dfns-keys";

/// Nothing can be kept.
#[derive(Debug, Error)]
pub enum SessionError {
    /// There is no such keyring here.
    #[error("nothing can be kept here: {0}")]
    Unavailable(String),
    /// The kernel refused.
    #[error("the session keyring takes nothing more: {0}")]
    Refused(String),
    /// The keyring, with something in it, would go along to what is started.
    #[error("what `unlock` keeps cannot be kept from the programs that are started from here: {0}")]
    NotLeft(String),
}

/// How far what is kept reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The programs of this login session.
    Session,
    /// All programs of the user's that have no session keyring of their own.
    User,
}

/// A secret that was kept, and can be had by this process alone.
pub struct Kept(#[cfg(target_os = "linux")] keyutils::Key);

impl Kept {
    /// The secret; none when its time is over.
    #[must_use]
    pub fn read(&self) -> Option<Zeroizing<Vec<u8>>> {
        #[cfg(target_os = "linux")]
        return self.0.read().ok().map(Zeroizing::new);
        #[cfg(not(target_os = "linux"))]
        None
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use keyutils::keytypes::User;
    use keyutils::{Keyring, Permission, SpecialKeyring};

    use super::{Duration, Kept, OURS, Reach, SessionError};

    /// The keyring that a login without one of its own has.
    const OF_USER: &str = "_uid_ses.";

    fn session() -> Result<Keyring, SessionError> {
        Keyring::attach(SpecialKeyring::Session).map_err(|error| {
            SessionError::Unavailable(if error.0 == rustix::io::Errno::KEYREVOKED.raw_os_error() {
                "the login that this was started in has ended, and its session keyring with it; a new tmux has one"
                    .to_owned()
            } else {
                format!("the kernel's session keyring cannot be used ({error})")
            })
        })
    }

    /// The keyring of this thread, which nobody inherits and which ends with it.
    fn thread() -> Result<Keyring, SessionError> {
        Keyring::attach_or_create(SpecialKeyring::Thread).map_err(|error| SessionError::Refused(error.to_string()))
    }

    pub(super) fn check() -> Result<(), SessionError> {
        let refused = |error: keyutils::Error| SessionError::Refused(error.to_string());
        session()?;
        let mut thread = thread()?;
        let key = thread
            .add_key::<User, _, _>(format!("{OURS}:"), &b"?"[..])
            .map_err(refused)?;
        thread.unlink_key(&key).map_err(refused)
    }

    pub(super) fn keep(name: &str, secret: &[u8], time: Duration) -> Result<Reach, SessionError> {
        let refused = |error: keyutils::Error| SessionError::Refused(error.to_string());
        let (mut session, mut thread) = (session()?, thread()?);
        let mut ours = match session.search_for_keyring(OURS, None) {
            Ok(ours) => ours,
            Err(_) => session.add_keyring(OURS).map_err(refused)?,
        };
        ours.set_permissions(Permission::POSSESSOR_ALL).map_err(refused)?;
        let mut key = thread
            .add_key::<User, _, _>(format!("{OURS}:{name}"), secret)
            .map_err(refused)?;
        key.set_timeout(time).map_err(refused)?;
        key.set_permissions(Permission::POSSESSOR_ALL).map_err(refused)?;
        ours.link_key(&key).map_err(refused)?;
        thread.unlink_key(&key).map_err(refused)?;
        let reach = match session.description() {
            Ok(found) if found.description.starts_with(OF_USER) => Reach::User,
            _ => Reach::Session,
        };
        Ok(reach)
    }

    pub(super) fn take(name: &str) -> Option<Kept> {
        let key = session()
            .ok()?
            .search_for_key::<User, _, _>(format!("{OURS}:{name}"), None)
            .ok()?;
        thread().ok()?.link_key(&key).ok()?;
        Some(Kept(key))
    }

    pub(super) fn forget_all() -> Result<bool, SessionError> {
        let mut session = session()?;
        let Ok(mut ours) = session.search_for_keyring(OURS, None) else {
            return Ok(false);
        };
        let refused = |error: keyutils::Error| SessionError::Refused(error.to_string());
        ours.clear().map_err(refused)?;
        session.unlink_keyring(&ours).map_err(refused)?;
        Ok(true)
    }

    pub(super) fn leave() -> Result<(), SessionError> {
        let Err(error) = Keyring::join_anonymous_session() else {
            return Ok(());
        };
        let ours = session()
            .ok()
            .and_then(|session| session.search_for_keyring(OURS, None).ok());
        let is_empty = |ours: Keyring| ours.read().is_ok_and(|(keys, _)| keys.is_empty());
        if ours.is_none_or(is_empty) {
            return Ok(());
        }
        Err(SessionError::NotLeft(error.to_string()))
    }
}

/// Keeps a secret for a time, in place of one of the same name.
///
/// # Errors
/// When there is no keyring, or it is full.
pub fn keep(name: &str, secret: &[u8], time: Duration) -> Result<Reach, SessionError> {
    #[cfg(target_os = "linux")]
    return linux::keep(name, secret, time);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (name, secret, time);
        Err(elsewhere())
    }
}

/// Takes what is kept under a name, so that this process still has it after [`leave`].
#[must_use]
pub fn take(name: &str) -> Option<Kept> {
    #[cfg(target_os = "linux")]
    return linux::take(name);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = name;
        None
    }
}

/// Leaves the session's keyring for an empty one, which whatever is started from here has too.
///
/// # Errors
/// When it cannot be left, as where a user has too many keys, and something is kept in it.
pub fn leave() -> Result<(), SessionError> {
    #[cfg(target_os = "linux")]
    return linux::leave();
    #[cfg(not(target_os = "linux"))]
    Ok(())
}

/// Finds out whether anything can be kept.
///
/// # Errors
/// When there is no keyring, or it is full.
pub fn check() -> Result<(), SessionError> {
    #[cfg(target_os = "linux")]
    return linux::check();
    #[cfg(not(target_os = "linux"))]
    Err(elsewhere())
}

/// Forgets all that is kept. Returns whether there was anything, though its time may have been over.
///
/// # Errors
/// When there is no keyring.
pub fn forget_all() -> Result<bool, SessionError> {
    #[cfg(target_os = "linux")]
    return linux::forget_all();
    #[cfg(not(target_os = "linux"))]
    Err(elsewhere())
}

#[cfg(not(target_os = "linux"))]
fn elsewhere() -> SessionError {
    SessionError::Unavailable("it takes the session keyring of a Linux kernel".to_owned())
}
