//! The passphrase that stands in the environment, taken out of it before anything else is done.
//!
//! Whoever starts a program from here would hand it on: the age crate does, when it starts a plug-in, and offers no way to say
//! otherwise. And while this process lives, its first environment is shown in `/proc`. So this process takes its own place
//! once more, without the two variables: the passphrase goes over in a pipe, the path of a file as an argument. Both are
//! taken off the command line here, before it is looked at. (docs/decisions/0008.)

use std::ffi::OsString;
use std::path::PathBuf;

use super::error::Failure;
use super::origin::Origin;

const VALUE: &str = "DFNS_KEYS_PASSPHRASE";
pub(super) const FILE: &str = "DFNS_KEYS_PASSPHRASE_FILE";

/// What the environment says of the passphrase.
pub(super) fn given(arguments: &mut Vec<OsString>) -> Result<Option<Origin>, Failure> {
    #[cfg(unix)]
    {
        if let Some(given) = again::taken_off(arguments) {
            return Ok(Some(given));
        }
        again::start_without_passphrase(arguments)?;
        Ok(None)
    }
    // No process takes the place of another here, so that plug-ins see what this one sees (docs/threat-model.md).
    #[cfg(not(unix))]
    {
        let _ = arguments;
        Ok(match (variable(FILE), variable(VALUE)) {
            (Some(path), _) => Some(Origin::file(&PathBuf::from(path).into())),
            (None, Some(value)) => Some(Origin::variable(VALUE, value)),
            (None, None) => None,
        })
    }
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

#[cfg(unix)]
mod again {
    use std::ffi::OsStr;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::os::unix::ffi::OsStringExt;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use zeroize::Zeroizing;

    use super::{FILE, Failure, Origin, OsString, PathBuf, VALUE, variable};
    use crate::cli::error::Exit;
    use crate::sys::descriptors;

    /// Nobody gives these; they stand first among the arguments, or not at all.
    const PASSPHRASE_IN: &str = "--passphrase-of-environment-in-fd=";
    const FILE_AT: &str = "--passphrase-file-of-environment=";

    /// What an earlier start handed over.
    pub(super) fn taken_off(arguments: &mut Vec<OsString>) -> Option<Origin> {
        let first = arguments.get(1)?.as_encoded_bytes();
        let given = if let Some(number) = first.strip_prefix(PASSPHRASE_IN.as_bytes()) {
            Origin::variable(VALUE, std::str::from_utf8(number).ok()?.parse().ok()?)
        } else {
            let path = first.strip_prefix(FILE_AT.as_bytes())?;
            Origin::file(&PathBuf::from(OsString::from_vec(path.to_vec())).into())
        };
        arguments.remove(1);
        Some(given)
    }

    /// Takes this process's own place, where there is something to be taken out of the environment. Then it does not return
    /// unless it cannot be done.
    pub(super) fn start_without_passphrase(arguments: &[OsString]) -> Result<(), Failure> {
        let (file, value) = (variable(FILE), variable(VALUE));
        let (option, pipe): (OsString, Option<OwnedFd>) = match (file, value) {
            (None, None) => return Ok(()),
            (Some(path), _) => ([OsStr::new(FILE_AT), &path].into_iter().collect(), None),
            (None, Some(value)) => {
                let value = Zeroizing::new(value.into_vec());
                let pipe = descriptors::hand_over(&value).map_err(|error| impossible(&error))?;
                (format!("{PASSPHRASE_IN}{}", pipe.as_raw_fd()).into(), Some(pipe))
            }
        };
        let start = |program: PathBuf| {
            let mut command = Command::new(program);
            if let Some(name) = arguments.first() {
                command.arg0(name);
            }
            command
                .arg(&option)
                .args(arguments.iter().skip(1))
                .env_remove(VALUE)
                .env_remove(FILE)
                .exec()
        };
        // By its name, so that `ps` shows that; by the other way where an update has put another file there.
        let error = std::env::current_exe().map_or_else(|error| error, start);
        if error.kind() != std::io::ErrorKind::NotFound {
            return Err(impossible(&error));
        }
        let error = start("/proc/self/exe".into());
        drop(pipe);
        Err(impossible(&error))
    }

    fn impossible(error: &std::io::Error) -> Failure {
        Failure::new(
            Exit::Other,
            "environment",
            format!("the passphrase cannot be taken out of the environment: {error}"),
        )
        .hint("give it by --passphrase-file FILE or --passphrase-fd N, and not in a variable")
    }
}
