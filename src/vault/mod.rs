//! The vault: credentials at rest, each a file whose secret part is sealed with age.
//!
//! Sealing needs the vault's recipients only; opening needs an identity, which [`Vault::unlock`] gets hold of once for
//! any number of credentials. Nothing here prints or prompts: whoever calls brings a [`Keyholder`].

pub mod age_file;
mod document;
mod identity;
pub mod log;
mod recipients;
mod sealed;
mod settings;
mod ssh;
pub mod store;
mod unlocked;

use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::model::credential::{ActiveGeneration, AnyCredential, Credential, PendingGeneration, UserGeneration};
use crate::model::ids::CredentialName;
use crate::model::quoted;
use crate::model::record::PublicRecord;
use crate::model::rotation::Rotating;
use crate::model::secret::Passphrase;
use crate::sys::clock::Clock;
use crate::sys::files::{self, FileError};
use crate::sys::lock::{self, Lock, LockError};

pub use identity::{IdentityError, Keyholder, PassphrasePurpose, PluginDialogue};
pub use recipients::{RecipientError, RecipientText};
pub use store::{Expected, LocalDirectory, Store, StoreError, Version};
pub use unlocked::Unlocked;

/// Something is wrong with the vault or a file in it.
#[derive(Debug, Error)]
pub enum VaultError {
    /// There is no vault at this place.
    #[error("there is no vault at {}", quoted::path(.0))]
    Missing(PathBuf),
    /// There is one already.
    #[error("there is a vault at {} already", quoted::path(.0))]
    Exists(PathBuf),
    /// A folder for a new vault holds something else.
    #[error("{} holds something that is no part of a vault: {found}", quoted::path(.directory))]
    Occupied {
        /// The folder.
        directory: PathBuf,
        /// What stands in it.
        found: String,
    },
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
    /// `recipients.txt` names somebody a credential was never sealed to.
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

/// A credential read from the vault, with the version it had.
pub struct Opened {
    /// The credential, as its sealed part has it.
    pub credential: AnyCredential,
    /// For the compare-and-swap when it is put back.
    pub version: Version,
}

/// One entry of a listing: a record, or the reason why a file could not be read.
pub struct Listed {
    /// The credential's name, from its file's name.
    pub name: CredentialName,
    /// Its public record.
    pub record: Result<PublicRecord, VaultError>,
}

/// A vault on disk.
pub struct Vault {
    directory: PathBuf,
    store: Box<dyn Store>,
    clock: Box<dyn Clock>,
    /// How long to wait for another process's lock.
    wait: Duration,
}

/// How a new vault is to be opened later on.
pub enum Opening<'a> {
    /// By the vault's own identity, sealed under this passphrase.
    Passphrase(&'a Passphrase),
    /// Not here: it can seal, and never open.
    SealOnly,
}

impl Vault {
    /// Creates a vault.
    ///
    /// # Errors
    /// When there is one already, a recipient is invalid, or the disk refuses.
    pub fn create(
        directory: &Path,
        opening: &Opening<'_>,
        recipients: &[RecipientText],
        clock: Box<dyn Clock>,
    ) -> Result<Self, VaultError> {
        if files::exists(&directory.join(settings::FILE)) {
            return Err(VaultError::Exists(directory.to_owned()));
        }
        let mut recipients = recipients.to_vec();
        recipients::check(&recipients)?;
        check_free(directory)?;
        files::create_private_directory(directory)?;
        files::create_private_directory(&directory.join(store::CREDENTIALS))?;
        let mut own = None;
        if let Opening::Passphrase(passphrase) = opening {
            recipients.insert(0, own.insert(identity::create(directory, passphrase)?).clone());
        }
        recipients::write(directory, &recipients, own.as_ref())?;
        // Last: a vault without this file does not exist, so a kill in between leaves nothing half-made.
        settings::write(directory, clock.now())?;
        Ok(Self::at(directory, clock, Duration::ZERO))
    }

    /// Opens the vault's directory; no credential is unlocked by this.
    ///
    /// # Errors
    /// When there is no vault, or a newer dfns-keys made it.
    pub fn open(directory: &Path, clock: Box<dyn Clock>, wait: Duration) -> Result<Self, VaultError> {
        settings::check(directory)?;
        Ok(Self::at(directory, clock, wait))
    }

    fn at(directory: &Path, clock: Box<dyn Clock>, wait: Duration) -> Self {
        Self {
            directory: directory.to_owned(),
            store: Box::new(LocalDirectory::new(directory)),
            clock,
            wait,
        }
    }

    /// Where the vault is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The clock that stamps what is written.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Whether the vault has an identity of its own; without one it seals and never opens.
    #[must_use]
    pub fn has_identity(&self) -> bool {
        identity::exists(&self.directory)
    }

    /// Those to whom credentials are sealed.
    ///
    /// # Errors
    /// When `recipients.txt` cannot be read.
    pub fn recipients(&self) -> Result<Vec<RecipientText>, VaultError> {
        recipients::read(&self.directory)
    }

    /// The names of all credentials, sorted.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn names(&self) -> Result<Vec<CredentialName>, VaultError> {
        self.store.list().map_err(StoreError::without_name)
    }

    /// The public records of all credentials, sorted by name. A damaged file does not hide the others.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Listed>, VaultError> {
        Ok(self
            .names()?
            .into_iter()
            .map(|name| Listed {
                record: self.record(&name),
                name,
            })
            .collect())
    }

    /// The public record of one credential. It is for display: nobody has vouched for it until it was unsealed.
    ///
    /// # Errors
    /// When there is no such credential, or its file is damaged.
    pub fn record(&self, name: &CredentialName) -> Result<PublicRecord, VaultError> {
        let (bytes, _) = self.store.get(name).map_err(|error| error.about(name))?;
        document::read_public(name, &bytes)
    }

    /// Keeps other processes away from a credential while this one works on it.
    ///
    /// # Errors
    /// When another process has it.
    pub fn lock(&self, name: &CredentialName, purpose: &str) -> Result<Lock, VaultError> {
        let path = self.directory.join(store::CREDENTIALS).join(format!(".{name}.lock"));
        lock::acquire(&path, purpose, self.wait).map_err(|error| match error {
            LockError::Held { .. } => VaultError::Locked {
                what: name.to_string(),
                error,
            },
            LockError::Io { .. } => VaultError::Lock(error),
        })
    }

    fn lock_whole(&self, purpose: &str) -> Result<Lock, VaultError> {
        lock::acquire(&self.directory.join(".lock"), purpose, self.wait).map_err(|error| match error {
            LockError::Held { .. } => VaultError::Locked {
                what: "the vault".to_owned(),
                error,
            },
            LockError::Io { .. } => VaultError::Lock(error),
        })
    }

    /// Gets hold of the identities that open credentials: those in `files`, or else the vault's own.
    ///
    /// # Errors
    /// When there is none, a file is no identity, or the passphrase is wrong.
    pub fn unlock(&self, files: &[PathBuf], keyholder: &dyn Keyholder) -> Result<Unlocked<'_>, VaultError> {
        let identities = if files.is_empty() {
            identity::open_own(&self.directory, keyholder)?
        } else {
            identity::open_files(files, keyholder)?
        };
        Ok(Unlocked {
            vault: self,
            identities,
            by_own_identity: files.is_empty(),
        })
    }

    /// Seals a credential that has a key and no token yet.
    ///
    /// # Errors
    /// When the version is not the expected one, or the disk refuses.
    pub fn put_pending(
        &self,
        credential: &Credential<PendingGeneration>,
        expected: &Expected,
    ) -> Result<Version, VaultError> {
        let record = PublicRecord::from(credential);
        let recipients = self.recipients()?;
        let bytes = document::seal_pending(&record, credential, &recipients)?;
        self.put(&credential.name, &bytes, expected)
    }

    /// Seals a proven credential.
    ///
    /// # Errors
    /// When the version is not the expected one, or the disk refuses.
    pub fn put_active(
        &self,
        credential: &Credential<ActiveGeneration>,
        expected: &Expected,
    ) -> Result<Version, VaultError> {
        let record = PublicRecord::from(credential);
        let recipients = self.recipients()?;
        let bytes = document::seal_active(&record, credential, &recipients)?;
        self.put(&credential.name, &bytes, expected)
    }

    /// Seals a credential with a rotation under way.
    ///
    /// # Errors
    /// When the version is not the expected one, or the disk refuses.
    pub fn put_rotating(&self, credential: &Credential<Rotating>, expected: &Expected) -> Result<Version, VaultError> {
        let record = PublicRecord::from(credential);
        let recipients = self.recipients()?;
        let bytes = document::seal_rotating(&record, credential, &recipients)?;
        self.put(&credential.name, &bytes, expected)
    }

    /// Seals a user's key.
    ///
    /// # Errors
    /// When the version is not the expected one, or the disk refuses.
    pub fn put_user(
        &self,
        credential: &Credential<UserGeneration>,
        expected: &Expected,
    ) -> Result<Version, VaultError> {
        let record = PublicRecord::from(credential);
        let recipients = self.recipients()?;
        let bytes = document::seal_user(&record, credential, &recipients)?;
        self.put(&credential.name, &bytes, expected)
    }

    fn put(&self, name: &CredentialName, bytes: &[u8], expected: &Expected) -> Result<Version, VaultError> {
        self.store.put(name, bytes, expected).map_err(|error| error.about(name))
    }

    /// Removes a credential's file. What Dfns knows of it is untouched.
    ///
    /// # Errors
    /// When there is none, or the disk refuses.
    pub fn delete(&self, name: &CredentialName) -> Result<(), VaultError> {
        self.store.delete(name).map_err(|error| error.about(name))
    }

    /// Appends to the audit log.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn record_event(&self, event: &log::Event) -> Result<(), VaultError> {
        self.record_events(std::slice::from_ref(event))
    }

    /// Appends several lines to the audit log at once.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn record_events(&self, events: &[log::Event]) -> Result<(), VaultError> {
        log::append(&self.directory, self.clock.now(), events)
    }

    /// The audit log, oldest first, as a stream.
    ///
    /// # Errors
    /// When it cannot be read. A line that is no record is an entry of its own.
    pub fn events(&self) -> Result<log::Entries, VaultError> {
        log::read(&self.directory)
    }
}

/// A vault may be made where nothing is, or what an `init` that was stopped left.
fn check_free(directory: &Path) -> Result<(), VaultError> {
    let ours = [identity::FILE, recipients::FILE, store::CREDENTIALS];
    let names = |directory: &Path| match files::list(directory) {
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        listed => listed,
    };
    let is_foreign = |name: &String| !ours.contains(&name.as_str()) && !name.starts_with(".dfns-keys-");
    let mut foreign = names(directory)?.into_iter().filter(is_foreign);
    let mut credentials = names(&directory.join(store::CREDENTIALS))?.into_iter();
    match foreign.next().or_else(|| credentials.next()) {
        None => Ok(()),
        Some(found) => Err(VaultError::Occupied {
            directory: directory.to_owned(),
            found: quoted::shown(&found),
        }),
    }
}
