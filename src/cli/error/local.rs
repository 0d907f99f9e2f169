//! What goes wrong on this machine: files, keys, the vault.

use super::{Exit, Failure};
use crate::keys::{KeyError, RandomnessError};
use crate::model::quoted;
use crate::sys::files::FileError;
use crate::sys::session::SessionError;
use crate::vault::{IdentityError, RecipientError};

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        use std::io::ErrorKind;
        let reason = plain(&error.source);
        let message = format!("{error}: {reason}");
        match error.source.kind() {
            ErrorKind::AlreadyExists => Self::new(
                Exit::State,
                "already_exists",
                format!("{} exists already", quoted::path(&error.path)),
            )
            .hint("choose another name, or replace it with --force"),
            ErrorKind::PermissionDenied => Self::new(Exit::Other, "permission_denied", message)
                .hint("look at the owner and mode of the file and of the directories above it"),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                Self::new(Exit::Other, "disk_full", message).hint("make room and run the same command again")
            }
            ErrorKind::ReadOnlyFilesystem => {
                Self::new(Exit::Other, "read_only", message).hint("the file system is mounted read-only")
            }
            ErrorKind::NotFound => Self::new(Exit::Other, "not_found", message),
            _ => Self::new(Exit::Other, "file", message),
        }
    }
}

/// The operating system's words without Rust's "(os error 13)".
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_ascii_lowercase(),
        None => text,
    }
}

impl From<RandomnessError> for Failure {
    fn from(error: RandomnessError) -> Self {
        Self::new(Exit::Other, "randomness", error.to_string())
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        let message = error.to_string();
        match error {
            SessionError::Unavailable(_) => Self::new(Exit::Other, "no_session_keyring", message)
                .hint("use --identity FILE, or --passphrase-file FILE, instead"),
            SessionError::Refused(_) => Self::new(Exit::Other, "session_keyring", message)
                .hint("`cat /proc/key-users` shows how many keys your user has of how many it may have"),
            SessionError::NotLeft(_) => Self::new(Exit::Other, "session_keyring", message)
                .hint("`dfns-keys lock` forgets it; `cat /proc/key-users` shows how many keys your user has of how many it may have"),
        }
    }
}

impl From<IdentityError> for Failure {
    fn from(error: IdentityError) -> Self {
        let message = error.to_string();
        match error {
            IdentityError::SealOnly => Self::new(Exit::Vault, "seal_only", message)
                .hint("give the identity of one of its recipients with --identity FILE"),
            IdentityError::NobodyToAsk => Self::new(Exit::Vault, "no_terminal", message)
                .hint("give --passphrase-file FILE, or an age identity with --identity FILE"),
            IdentityError::Interrupted => Self::new(Exit::Interrupted, "interrupted", message),
            IdentityError::PassphraseUnreadable { source, .. } => Self::new(
                Exit::Vault,
                "passphrase_unreadable",
                format!("{message}: {}", plain(&source)),
            ),
            IdentityError::WrongPassphrase { .. } => {
                Self::new(Exit::Vault, "wrong_passphrase", message).hint("try again")
            }
            IdentityError::TooMuchWork { .. } => Self::new(Exit::Vault, "too_much_work", message).hint(
                "it would take seconds and half a gigabyte or more: decrypt it with age, and encrypt it again with age, which writes 18 (rage goes by the machine's speed)",
            ),
            IdentityError::Unusable { .. } => Self::new(Exit::Vault, "unusable_identity", message)
                .hint("an identity file has lines that start with AGE-SECRET-KEY-, or is an SSH private key"),
            IdentityError::File(error) => Self {
                exit: Exit::Vault,
                ..error.into()
            },
        }
    }
}

impl From<RecipientError> for Failure {
    fn from(error: RecipientError) -> Self {
        let message = error.to_string();
        match error {
            RecipientError::Invalid { .. } => Self::new(Exit::Usage, "invalid_recipient", message)
                .hint("a recipient starts with age1, ssh-ed25519 or ssh-rsa"),
            RecipientError::IsIdentity => Self::new(Exit::Usage, "invalid_recipient", message)
                .hint("it was seen on a command line, so make a new one; `age-keygen -y FILE` prints the recipient"),
            RecipientError::UnsupportedSsh { .. } => Self::new(Exit::Usage, "invalid_recipient", message),
            RecipientError::None => Self::new(Exit::State, "no_recipient", message)
                .hint("a credential sealed to nobody would be lost; add another recipient first"),
            RecipientError::TooMany { .. } => Self::new(Exit::Usage, "too_many_recipients", message)
                .hint("give a team one identity, or make a vault for each"),
            RecipientError::Label => Self::new(Exit::Usage, "invalid_label", message),
            RecipientError::Listed(_) => Self::new(Exit::State, "already_exists", message),
            RecipientError::NotListed(_) => Self::new(Exit::State, "no_such_recipient", message)
                .hint("`dfns-keys recipients list` shows those there are"),
            RecipientError::Unusable { .. } => Self::new(Exit::Other, "unusable_recipient", message)
                .hint("is the plugin installed? post-quantum recipients cannot be mixed with others"),
        }
    }
}

pub(super) fn key_hint(error: &KeyError) -> Option<&'static str> {
    Some(match error {
        KeyError::PublicKey => {
            "the private key is the file that starts with \"BEGIN EC PRIVATE KEY\" or \"BEGIN PRIVATE KEY\""
        }
        KeyError::PrivateKeyForPublic => "the public key is the file that starts with \"BEGIN PUBLIC KEY\"",
        KeyError::Certificate => "a certificate holds a public key only; the private key is a file of its own",
        KeyError::Empty | KeyError::Truncated => "copy the file again, whole",
        KeyError::Binary => "if it is DER: openssl pkey -inform DER -in FILE -out FILE.pem",
        KeyError::NotPem => {
            "a private key starts with \"-----BEGIN EC PRIVATE KEY-----\" or \"-----BEGIN PRIVATE KEY-----\""
        }
        KeyError::NewLinesLost => "paste it again with its line breaks: 64 characters a line between BEGIN and END",
        KeyError::NewLinesEscaped => "turn each \\n into a real line break: printf '%b' \"$KEY\"",
        KeyError::Quoted => "take the quotes away",
        KeyError::Base64OfPem => "decode it first: base64 -d FILE",
        KeyError::UnusableRsa => "ask for a new credential: dfns-keys makes its key on prime256v1",
        KeyError::Rsa | KeyError::Ed25519 | KeyError::OtherCurve { .. } | KeyError::OtherAlgorithm { .. } => {
            "dfns-keys works with prime256v1; make such a key with `dfns-keys generate`"
        }
        KeyError::OpenSsh => "make a key with `dfns-keys generate`; SSH keys are for another purpose",
        KeyError::ParametersOnly => "the key is a second block, which openssl writes after the parameters",
        KeyError::AgeEncrypted => "decrypt it first: age -d FILE",
        KeyError::EncryptedSec1 | KeyError::OldEncryption => {
            "let openssl write it as PKCS#8: openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out FILE.p8"
        }
        KeyError::PassphraseNeeded => "give --passphrase-file FILE",
        KeyError::TooMuchWork => {
            "let openssl write it with less: openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out FILE.p8"
        }
        KeyError::TooLarge => "is it the right file? a key takes a few kB",
        KeyError::SeveralKeys => "keep the one that is wanted in a file of its own",
        KeyError::WrongPassphrase | KeyError::OtherLabel { .. } | KeyError::Damaged | KeyError::HalvesDiffer => {
            return None;
        }
    })
}
