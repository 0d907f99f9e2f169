//! What can be wrong with a vault.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use super::codes::VaultId;
use super::identity::IdentityError;
use super::recipients::{RecipientError, RecipientText};
use super::store::StoreError;
use super::vouched::Voucher;
use crate::model::ids::CredentialName;
use crate::model::quoted;
use crate::sys::files::FileError;
use crate::sys::lock::LockError;

/// Something is wrong with the vault or a file in it.
#[derive(Debug, Error)]
pub enum VaultError {
    /// There is no vault at this place.
    #[error("there is no vault at {}", quoted::path(.0))]
    Missing(PathBuf),
    /// There is one already.
    #[error("there is a vault at {} already", quoted::path(.0))]
    Exists(PathBuf),
    /// `vault.json` or a credential was written by a newer dfns-keys.
    #[error("{what} has format version {found}; this dfns-keys knows versions up to {known}")]
    Newer {
        /// Which file.
        what: String,
        /// Its version.
        found: u64,
        /// The newest we know.
        known: u64,
    },
    /// A file's contents are not what they should be.
    #[error("{what} is damaged: {reason}")]
    Damaged {
        /// Which file.
        what: String,
        /// In which way.
        reason: String,
    },
    /// The public part of a credential was changed without the sealed one.
    #[error("the file of {name} was tampered with: {difference}")]
    Tampered {
        /// The credential.
        name: CredentialName,
        /// What differs.
        difference: String,
    },
    /// A file has a value that earlier versions took and this one does not.
    #[error("the file of {name} has an `{field}` that is refused: {reason}")]
    Refused {
        /// The credential.
        name: CredentialName,
        /// Which field.
        field: &'static str,
        /// In which way it is none of its kind.
        reason: String,
    },
    /// `recipients.txt` is not as members of the vault wrote it.
    #[error("recipients.txt was changed by somebody who is not a member of this vault: {0}")]
    ListChanged(ListChange),
    /// The list of recipients was replaced by another process in the meantime.
    #[error("the list of recipients was changed by another process in the meantime")]
    ListMoved,
    /// It is another vault than the one that is vouched for.
    #[error(transparent)]
    WrongVault(#[from] WrongVault),
    /// Nobody vouches for the vault, and it was not said that it is the right one.
    #[error("nobody vouches for the vault at {}: its id is {id}", quoted::shown(place))]
    Unknown {
        /// Where it is.
        place: String,
        /// The id that it claims.
        id: VaultId,
    },
    /// A file is older than one that was seen.
    #[error(transparent)]
    RolledBack(RolledBack),
    /// The list has secrets that none of the identities opens, and this machine knows an earlier one.
    #[error(
        "recipients.txt is of epoch {found}, which none of the identities at hand opens; they opened epoch {known}"
    )]
    NotOnTheList {
        /// The epoch that the list says it has.
        found: u64,
        /// The newest that opens.
        known: u64,
    },
    /// None of the identities is a member's.
    #[error("none of the identities at hand opens this vault")]
    NotAMember,
    /// A credential is sealed for an epoch that the list does not know.
    #[error("the file of {name} is sealed for epoch {epoch}, and recipients.txt is of epoch {known}")]
    UnknownEpoch {
        /// The credential.
        name: CredentialName,
        /// Its epoch.
        epoch: u64,
        /// The list's.
        known: u64,
    },
    /// Nobody vouches for a credential.
    #[error("the file of {0} was written by somebody who could not open this vault, so nobody vouches for it")]
    Unauthenticated(CredentialName),
    /// A credential has another key than the one that was confirmed.
    #[error("the key sealed in the file of {0} has another fingerprint than the one that was given")]
    OtherFingerprint(CredentialName),
    /// A credential that a member vouches for needs no adoption.
    #[error("a member of this vault wrote the file of {0}: there is nothing to adopt")]
    Authenticated(CredentialName),
    /// A writer that only seals does not know to whom.
    #[error("this machine can only seal, and does not know which list of recipients is the right one (that of {} has the digest {found})", .place)]
    ListNotPinned {
        /// The vault.
        place: String,
        /// What is there.
        found: String,
    },
    /// The list of recipients is not the one that a writer which only seals was told of.
    #[error("recipients.txt is not the list that this machine seals to")]
    OtherList {
        /// The digest that was expected.
        expected: String,
        /// The digest of what is there.
        found: String,
    },
    /// Somebody who can only seal was asked for more.
    #[error("{0} cannot be changed by a writer that only seals: it makes new names, and no more")]
    SealsOnly(CredentialName),
    /// The vault is of version 1, and a member has to move it first.
    #[error("this vault is of version 1, and has to be moved to version 2 first")]
    VersionOne,
    /// It is of version 2 already.
    #[error("this vault is of version 2 already")]
    VersionTwo,
    /// A credential has another name by now.
    #[error("{from} was renamed to {to}")]
    Renamed {
        /// The name that is gone.
        from: CredentialName,
        /// The name it has now.
        to: CredentialName,
    },
    /// A folder for a new vault holds something else.
    #[error("{} holds something that is no part of a vault: {found}", quoted::path(.directory))]
    Occupied {
        /// The folder.
        directory: PathBuf,
        /// What stands in it.
        found: String,
    },
    /// An `init` was cut short.
    #[error("the vault at {} is unfinished", quoted::path(.0))]
    Unfinished(PathBuf),
    /// Parts of a vault are there, and the list is not.
    #[error("the vault at {} has lost its recipients.txt", quoted::path(.0))]
    ListMissing(PathBuf),
    /// Some credentials were not sealed again.
    #[error("{} credentials are not sealed to the new list yet: {}", .0.len(), shortened(.0))]
    LeftBehind(Vec<(CredentialName, String)>),
    /// Some credentials were not sealed to a new identity of the vault's, which therefore did not take the place of the old one.
    #[error("identity and passphrase are as they were: {} credentials could not be sealed to the new identity: {}", .0.len(), shortened(.0))]
    IdentityKept(Vec<(CredentialName, String)>),
    /// The vault's own recipient is changed by `rekey` alone.
    #[error("{0} is the vault's own recipient: the passphrase would open nothing any more")]
    OwnRecipient(RecipientText),
    /// The operating system gave no randomness.
    #[error("the operating system gives no random numbers")]
    Randomness,
    /// It is not known whether a write happened.
    #[error("it is not known whether {what} was written")]
    Unclear {
        /// What was being written.
        what: String,
        /// Why.
        #[source]
        source: FileError,
    },
    /// `recipients.txt` names somebody a credential of version 1 was never sealed to.
    #[error("recipients.txt has a recipient that {name} is not sealed to: {recipient}")]
    UnexpectedRecipient {
        /// The credential.
        name: CredentialName,
        /// The recipient.
        recipient: RecipientText,
    },
    /// There is no credential of this name.
    #[error("there is no credential named {0}")]
    NoSuchCredential(CredentialName),
    /// There is one already.
    #[error("there is a credential named {0} already")]
    CredentialExists(CredentialName),
    /// Somebody else wrote the credential in between.
    #[error("the credential {0} was changed by another process in the meantime")]
    Changed(CredentialName),
    /// Another process works on the credential or the vault.
    #[error("{what} is {error}")]
    Locked {
        /// The vault or the credential.
        what: String,
        /// Who has it.
        error: LockError,
    },
    /// A lock file cannot be used.
    #[error(transparent)]
    Lock(LockError),
    /// Unlocking failed.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A recipient cannot be used.
    #[error(transparent)]
    Recipient(#[from] RecipientError),
    /// No identity at hand opens this credential.
    #[error("none of the identities at hand opens {name}")]
    NoMatchingIdentity {
        /// The credential.
        name: CredentialName,
    },
    /// The disk.
    #[error(transparent)]
    File(#[from] FileError),
}

/// How a list differs from what members wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListChange {
    /// Lines were added or removed, in words.
    Lines(String),
    /// The lines are genuine, and something around them is not.
    Code,
    /// It names secrets of the vault's that are not there.
    NoKeys,
    /// It is of version 1, and the vault is not.
    Downgraded,
}

impl fmt::Display for ListChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lines(difference) => f.write_str(difference),
            Self::Code => f.write_str("its code is not that of a member"),
            Self::NoKeys => f.write_str("it does not name the vault's secrets"),
            Self::Downgraded => f.write_str("what members wrote around the lines is gone"),
        }
    }
}

/// Who said which vault it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VouchedBy {
    /// `identity.age`.
    Identity,
    /// The user.
    User,
    /// This machine, which has seen it before.
    Pin,
}

/// It is another vault than it must be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("this is another vault than the one that is meant (its id is {found}, and should be {expected})")]
pub struct WrongVault {
    /// The id that it should have.
    pub expected: VaultId,
    /// Who says so.
    pub by: VouchedBy,
    /// The id that it has.
    pub found: VaultId,
}

impl From<Voucher> for VouchedBy {
    fn from(voucher: Voucher) -> Self {
        match voucher {
            Voucher::Identity(_) => Self::Identity,
            Voucher::User(_) => Self::User,
            Voucher::Pin(_) | Voucher::None => Self::Pin,
        }
    }
}

/// An old state was put back.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what} is older than it should be: {reason}")]
pub struct RolledBack {
    /// Which file.
    pub what: String,
    /// What shows it.
    pub reason: String,
}

fn shortened(names: &[(CredentialName, String)]) -> String {
    const MOST: usize = 5;
    let mut text = names
        .iter()
        .take(MOST)
        .map(|(name, reason)| format!("{name} ({reason})"))
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > MOST {
        text.push_str(", …");
    }
    text
}

impl VaultError {
    /// What a store's refusal means for a credential.
    pub(super) fn of_credential(error: StoreError, name: &CredentialName) -> Self {
        match error {
            StoreError::NotFound => Self::NoSuchCredential(name.clone()),
            StoreError::AlreadyExists => Self::CredentialExists(name.clone()),
            StoreError::Changed => Self::Changed(name.clone()),
            StoreError::Lease(error @ LockError::Held { .. }) => Self::Locked {
                what: name.to_string(),
                error,
            },
            StoreError::Unclear(source) => Self::Unclear {
                what: format!("the file of {name}"),
                source,
            },
            error => error.into(),
        }
    }
}

impl From<StoreError> for VaultError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Lease(error @ LockError::Held { .. }) => Self::Locked {
                what: "the vault".to_owned(),
                error,
            },
            StoreError::Lease(error) => Self::Lock(error),
            StoreError::Unclear(source) => Self::Unclear {
                what: "the vault".to_owned(),
                source,
            },
            StoreError::File(error) => Self::File(error),
            StoreError::NotFound | StoreError::AlreadyExists | StoreError::Changed => Self::Damaged {
                what: "the vault".to_owned(),
                reason: format!("a document was {error}"),
            },
        }
    }
}
