//! The vault: credentials at rest, each a file whose secret part is sealed with age, and vouched for by a code that only those can
//! make who can open it (docs/decisions/0007).
//!
//! [`Vault::unlock`] gets hold of an identity once for any number of credentials; [`Unlocked::edit`] is the only way to write one.
//! Nothing here prints or prompts: whoever calls brings a [`Keyholder`].

pub mod age_file;
mod change;
mod codes;
mod create;
mod document;
mod edit;
mod error;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod identity;
mod keyring;
mod list;
mod listing;
pub mod log;
mod machine;
mod marks;
mod memory;
mod migrate;
mod recipients;
mod reseal;
#[cfg(test)]
mod scenes;
mod seal_only;
mod sealed;
mod sealed_text;
mod settings;
mod ssh;
pub mod store;
mod sync;
mod unattended;
mod unlock;
mod unlocked;
mod vouched;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::ids::CredentialName;
use crate::sys::clock::Clock;
use crate::sys::files;
use store::{LocalDirectory, Store, StoreError};

pub use codes::{VaultId, VaultIdError};
pub use create::Opening;
pub use document::Contents;
pub use edit::{Edit, NameLease};
pub use error::{ListChange, RolledBack, VaultError, VouchedBy, WrongVault};
pub use identity::{IdentityError, Keyholder, PassphrasePurpose, PluginDialogue};
pub use list::{Member, check_label};
pub use listing::Listed;
pub use machine::Machine;
pub use recipients::{RecipientError, RecipientText};
pub use reseal::{Resealed, Watch};
pub use seal_only::{FreeName, SealOnly};
pub use sync::{Repair, Synced};
pub use unattended::Unattended;
pub use unlocked::Unlocked;

/// A file of the log that has so many bytes gets no more lines.
const LOG_IS_FULL: u64 = 8 * 1024 * 1024;

type AgeIdentity = Box<dyn age::Identity + Send + Sync>;

/// Whoever is to know what is accepted although it should not be, and who may open the vault from now on.
pub trait Witness: Send + Sync {
    /// An older state than one that was seen was accepted, because [`Machine::accept_rollback`] says so. `what` says which.
    fn rollback_accepted(&self, vault: &Vault, what: &str);
    /// A list with this recipient is in force; not everything is sealed to it yet.
    fn recipient_added(&self, vault: &Vault, recipient: &RecipientText);
    /// A list without this recipient is in force; not everything is sealed to it yet.
    fn recipient_removed(&self, vault: &Vault, recipient: &RecipientText);
}

/// A vault, and what this machine knows of it.
pub struct Vault {
    directory: PathBuf,
    store: Box<dyn Store>,
    machine: Machine,
    clock: Box<dyn Clock>,
    /// How long to wait for another process's lease.
    wait: Duration,
    witness: Option<Box<dyn Witness>>,
    /// What the log is vouched for with, once the vault was opened.
    log_voucher: Mutex<Option<log::Voucher>>,
}

impl Vault {
    /// The same vault, with somebody to tell.
    #[must_use]
    pub fn with_witness(self, witness: Box<dyn Witness>) -> Self {
        Self {
            witness: Some(witness),
            ..self
        }
    }

    /// Opens the vault's directory; no credential is unlocked by this.
    ///
    /// # Errors
    /// When there is no vault, or a newer dfns-keys made it.
    pub async fn open(
        directory: &Path,
        machine: Machine,
        clock: Box<dyn Clock>,
        wait: Duration,
    ) -> Result<Self, VaultError> {
        let vault = Self::at(directory, machine, clock, wait);
        if files::exists(&directory.join(list::FILE)) {
            settings::check(&*vault.store).await?;
            return Ok(vault);
        }
        Err(vault.without_list()?)
    }

    /// Opens a vault whose list may be gone, for [`Vault::examine`] to put it back.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub async fn open_to_repair(
        directory: &Path,
        machine: Machine,
        clock: Box<dyn Clock>,
        wait: Duration,
    ) -> Result<Self, VaultError> {
        let vault = Self::at(directory, machine, clock, wait);
        if !files::exists(&directory.join(list::FILE)) {
            match vault.without_list()? {
                VaultError::ListMissing(_) => {}
                error => return Err(error),
            }
        }
        settings::check(&*vault.store).await?;
        Ok(vault)
    }

    /// What a folder is that has no list: one that was used had one, and what has not been used is what an `init` left.
    fn without_list(&self) -> Result<VaultError, VaultError> {
        let directory = self.directory.clone();
        let there = |name: &str| files::exists(&directory.join(name));
        Ok(if log::is_there(&directory) || create::has_credentials(&directory)? {
            VaultError::ListMissing(directory)
        } else if there(identity::FILE) || there(settings::FILE) {
            VaultError::Unfinished(directory)
        } else {
            VaultError::Missing(directory)
        })
    }

    fn at(directory: &Path, machine: Machine, clock: Box<dyn Clock>, wait: Duration) -> Self {
        Self {
            directory: directory.to_owned(),
            store: Box::new(LocalDirectory::new(directory)),
            machine,
            clock,
            wait,
            witness: None,
            log_voucher: Mutex::new(None),
        }
    }

    /// A name for a directory's vault, whether it is there or not, that tells it from others of this machine.
    #[must_use]
    pub fn name_of_place(directory: &Path) -> String {
        machine::name_of(&LocalDirectory::new(directory).place())
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

    /// Whether the vault has an identity of its own; without one it seals, and opens with the identities of members only.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn has_identity(&self) -> Result<bool, VaultError> {
        match self.store.get(identity::FILE).await {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Those to whom the vault is sealed, as `recipients.txt` has them. Nobody vouches for it; [`Unlocked::members`] are those who
    /// were checked.
    ///
    /// # Errors
    /// When `recipients.txt` cannot be read.
    pub async fn listed_members(&self) -> Result<Vec<Member>, VaultError> {
        Ok(match keyring::read_list(&*self.store).await?.0 {
            list::Written::One(members) => members,
            list::Written::Two(signed) => signed.list.members,
        })
    }

    /// Whether the vault is of version 1, as `recipients.txt` has it.
    ///
    /// # Errors
    /// When `recipients.txt` cannot be read.
    pub async fn is_version_1(&self) -> Result<bool, VaultError> {
        Ok(matches!(
            keyring::read_list(&*self.store).await?.0,
            list::Written::One(_)
        ))
    }

    /// Keeps other processes away from a credential while this one works on it.
    ///
    /// # Errors
    /// When another process has it.
    pub async fn lease(&self, name: &CredentialName, purpose: &str) -> Result<NameLease, VaultError> {
        self.lease_within(name, purpose, Duration::ZERO).await
    }

    /// The same, waiting for whoever has it at least so long.
    ///
    /// # Errors
    /// As [`Self::lease`].
    pub async fn lease_within(
        &self,
        name: &CredentialName,
        purpose: &str,
        at_least: Duration,
    ) -> Result<NameLease, VaultError> {
        NameLease::take(self, name, purpose, self.wait.max(at_least)).await
    }

    /// Appends to the audit log.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn record_event(&self, event: &log::Event) -> Result<(), VaultError> {
        self.record_events(std::slice::from_ref(event))
    }

    /// Appends several lines to the audit log at once, and, once the vault was opened, a checkpoint.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn record_events(&self, events: &[log::Event]) -> Result<(), VaultError> {
        let voucher = self.log_voucher.lock().unwrap_or_else(PoisonError::into_inner).clone();
        log::append(&self.directory, self.clock.now(), events, voucher.as_ref(), LOG_IS_FULL)
    }

    fn vouch_with(&self, voucher: log::Voucher) {
        *self.log_voucher.lock().unwrap_or_else(PoisonError::into_inner) = Some(voucher);
    }

    /// The SHA-256 of the log's last line, in hex, which stands for all of it: where it was written down elsewhere, a log that
    /// was cut off shows.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn log_head(&self) -> Result<String, VaultError> {
        log::head(&self.directory)
    }

    /// The audit log, oldest first, as a stream.
    ///
    /// # Errors
    /// When it cannot be read. A line that is no record is an entry of its own.
    pub fn events(&self) -> Result<log::Entries, VaultError> {
        log::read(&self.directory)
    }
}
