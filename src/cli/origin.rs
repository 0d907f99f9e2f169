//! Where a passphrase comes from, when nobody types it: a file, a descriptor, or the environment.

use std::io;
use std::path::PathBuf;

use super::input::{self, Input};
use crate::model::quoted;
use crate::model::secret::{Passphrase, is_empty, passphrase_from_text};
use crate::sys::descriptors::{self, STDIN, Taken};
use crate::sys::files;
use crate::vault::IdentityError;

/// No passphrase comes near this size.
const LIMIT: u64 = 64 * 1024;

/// A source that was named, and not read yet. One that is a descriptor is taken over at once.
pub(super) struct Origin {
    /// For messages.
    shown: String,
    place: Place,
    /// In a variable, nothing counts as not given.
    empty_is_none: bool,
}

enum Place {
    File(PathBuf),
    Stdin,
    Descriptor(io::Result<Taken>),
    #[cfg(not(unix))]
    Value(zeroize::Zeroizing<Vec<u8>>),
}

impl Origin {
    /// A file, or stdin for `-`. A path may stand for a descriptor.
    pub(super) fn file(input: &Input) -> Self {
        let Some(path) = input.file() else {
            return Self::descriptor(STDIN);
        };
        match descriptors::named_by(path) {
            Some(number @ (STDIN | 3..)) => Self {
                shown: quoted::path(path),
                ..Self::descriptor(number)
            },
            _ => Self {
                shown: quoted::path(path),
                place: Place::File(path.to_owned()),
                empty_is_none: false,
            },
        }
    }

    /// A descriptor that this process was started with.
    pub(super) fn descriptor(number: u32) -> Self {
        let (shown, place) = if number == STDIN {
            ("stdin".to_owned(), Place::Stdin)
        } else {
            (
                format!("descriptor {number}"),
                Place::Descriptor(descriptors::take(number)),
            )
        };
        Self {
            shown,
            place,
            empty_is_none: false,
        }
    }

    /// What stood in the environment, by the descriptor that it was put into.
    #[cfg(unix)]
    pub(super) fn variable(name: &str, number: u32) -> Self {
        Self {
            shown: name.to_owned(),
            empty_is_none: true,
            ..Self::descriptor(number)
        }
    }

    /// What stands in the environment.
    #[cfg(not(unix))]
    pub(super) fn variable(name: &str, value: std::ffi::OsString) -> Self {
        Self {
            shown: name.to_owned(),
            place: Place::Value(zeroize::Zeroizing::new(value.into_encoded_bytes())),
            empty_is_none: true,
        }
    }

    pub(super) fn is_stdin(&self) -> bool {
        matches!(self.place, Place::Stdin)
    }

    /// Reads it. `None` where a variable holds nothing.
    pub(super) fn read(self) -> Result<Option<Passphrase>, IdentityError> {
        let bytes = match self.place {
            Place::File(path) => files::read(&path, LIMIT).map_err(|error| error.source),
            Place::Stdin => input::read(LIMIT).and_then(|bytes| {
                descriptors::end_stdin()?;
                Ok(bytes)
            }),
            Place::Descriptor(taken) => taken.and_then(|taken| taken.read(LIMIT)),
            #[cfg(not(unix))]
            Place::Value(bytes) => Ok(bytes),
        };
        let not_text = || io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text");
        let passphrase = bytes.and_then(|bytes| {
            let text = std::str::from_utf8(&bytes).map_err(|_| not_text())?;
            Ok(passphrase_from_text(text))
        });
        match passphrase {
            Ok(passphrase) if self.empty_is_none && is_empty(&passphrase) => Ok(None),
            Ok(passphrase) => Ok(Some(passphrase)),
            Err(source) => Err(IdentityError::PassphraseUnreadable {
                origin: self.shown,
                source,
            }),
        }
    }
}
