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
pub mod log;
mod machine;
mod marks;
mod migrate;
mod recipients;
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
mod unlocked;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::ids::CredentialName;
use crate::model::record::PublicRecord;
use crate::sys::clock::Clock;
use crate::sys::files;
use store::{LocalDirectory, Store, StoreError};

pub use change::{Resealed, Watch};
pub use codes::{VaultId, VaultIdError};
pub use create::Opening;
pub use document::Contents;
pub use edit::{Edit, NameLease};
pub use error::{ListChange, RolledBack, VaultError, VouchedBy, WrongVault};
pub use identity::{IdentityError, Keyholder, PassphrasePurpose, PluginDialogue};
pub use list::{Member, check_label};
pub use machine::Machine;
pub use recipients::{RecipientError, RecipientText};
pub use seal_only::{FreeName, SealOnly};
pub use sync::{Repair, Synced};
pub use unattended::Unattended;
pub use unlocked::Unlocked;

/// A file of the log that has so many bytes gets no more lines.
const LOG_IS_FULL: u64 = 8 * 1024 * 1024;

type AgeIdentity = Box<dyn age::Identity + Send + Sync>;

/// One entry of a listing: a record, or the reason why a file could not be read. Nobody vouches for it.
pub struct Listed {
    /// The credential's name, from its file's name.
    pub name: CredentialName,
    /// Its public record.
    pub record: Result<PublicRecord, VaultError>,
    /// The file says itself that nobody vouches for it.
    pub unauthenticated: bool,
    /// It is sealed to an older list than the newest.
    pub outdated: bool,
    /// The epoch and the revision that it says it is of.
    turn: (u64, u64),
}

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

    /// The public records of all credentials, sorted by name. A damaged file does not hide the others.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub async fn list(&self) -> Result<Vec<Listed>, VaultError> {
        let epoch = match keyring::read_list(&*self.store).await?.0 {
            list::Written::One(_) => 0,
            list::Written::Two(signed) => signed.list.epoch,
        };
        let mut found = Vec::new();
        for (document, _) in self.store.list(document::FOLDER).await? {
            let Some(name) = document::credential_name(&document) else {
                continue;
            };
            let glimpse = match self.store.get(&document).await {
                Ok((bytes, _)) => document::glimpse(&name, &bytes),
                // Removed since the folder was read.
                Err(StoreError::NotFound) => continue,
                Err(error) => Err(VaultError::of_credential(error, &name)),
            };
            found.push((name, glimpse));
        }
        let arrived: Vec<String> = found
            .iter()
            .filter_map(|(_, glimpse)| match glimpse.as_ref().ok()?.moves.as_ref()? {
                document::Moves::From { id, .. } => Some(id.clone()),
                document::Moves::To { .. } => None,
            })
            .collect();
        Ok(found
            .into_iter()
            .filter_map(|(name, glimpse)| {
                let (record, unauthenticated, outdated, turn) = match glimpse {
                    Ok(glimpse) => {
                        let gone =
                            matches!(&glimpse.moves, Some(document::Moves::To { id, .. }) if arrived.contains(id));
                        let record = glimpse.record.filter(|_| !gone)?;
                        (
                            Ok(record),
                            glimpse.unauthenticated,
                            glimpse.epoch < epoch,
                            (glimpse.epoch, glimpse.revision),
                        )
                    }
                    Err(error) => (Err(error), false, false, (0, 0)),
                };
                Some(Listed {
                    name,
                    record,
                    unauthenticated,
                    outdated,
                    turn,
                })
            })
            .collect())
    }

    /// Those of a listing that say themselves that they are older than what this machine has seen of them; `None` where it has
    /// seen nothing of this vault, and would not notice.
    ///
    /// # Errors
    /// When what this machine remembers cannot be read.
    pub fn older_than_seen(&self, listed: &[Listed]) -> Result<Option<Vec<CredentialName>>, VaultError> {
        let place = self.store.place();
        let Some(pin) = machine::pin(&self.machine, &place)? else {
            return Ok(None);
        };
        let memory = machine::Memory::load(&self.machine, &place, &pin.id)?;
        let is_older = |listed: &&Listed| {
            let seen = memory.mark(&listed.name).filter(|_| listed.record.is_ok());
            seen.is_some_and(|mark| listed.turn < (mark.epoch, mark.revision))
        };
        Ok(Some(
            listed
                .iter()
                .filter(is_older)
                .map(|listed| listed.name.clone())
                .collect(),
        ))
    }

    /// The names of all files of credentials, sorted, of those that were removed too: none is read.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub async fn file_names(&self) -> Result<Vec<CredentialName>, VaultError> {
        let documents = self.store.list(document::FOLDER).await?;
        Ok(documents
            .iter()
            .filter_map(|(document, _)| document::credential_name(document))
            .collect())
    }

    /// The names of all credentials, sorted. Nobody vouches for them.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub async fn names(&self) -> Result<Vec<CredentialName>, VaultError> {
        Ok(self.list().await?.into_iter().map(|listed| listed.name).collect())
    }

    /// The public record of one credential. It is for display: nobody has vouched for it until it was unsealed.
    ///
    /// # Errors
    /// When there is no such credential, or its file is damaged.
    pub async fn record(&self, name: &CredentialName) -> Result<PublicRecord, VaultError> {
        let (bytes, _) = self
            .store
            .get(&document::document_name(name))
            .await
            .map_err(|error| VaultError::of_credential(error, name))?;
        let glimpse = document::glimpse(name, &bytes)?;
        if let Some(document::Moves::To { name: to, id }) = &glimpse.moves
            && self.seems_to_have_arrived(to, id).await
        {
            return Err(VaultError::Renamed {
                from: name.clone(),
                to: to.clone(),
            });
        }
        glimpse.record.ok_or_else(|| VaultError::NoSuchCredential(name.clone()))
    }

    /// Where the credential of a name that is free went, as its file has it. It is for display: nobody has vouched for it.
    pub async fn moved_to(&self, name: &CredentialName) -> Option<CredentialName> {
        let (bytes, _) = self.store.get(&document::document_name(name)).await.ok()?;
        document::glimpse(name, &bytes).ok()?.moved_to
    }

    /// Whether a file says that it is the second half of a move. Nobody vouches for it.
    async fn seems_to_have_arrived(&self, name: &CredentialName, move_id: &str) -> bool {
        let Ok((bytes, _)) = self.store.get(&document::document_name(name)).await else {
            return false;
        };
        matches!(
            document::glimpse(name, &bytes),
            Ok(document::Glimpse { moves: Some(document::Moves::From { id, .. }), .. }) if id == move_id
        )
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
