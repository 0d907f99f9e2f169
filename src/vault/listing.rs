//! What a vault's files say of its credentials without being unlocked. It is for display: nobody vouches for it.

use super::memory::Memory;
use super::store::StoreError;
use super::{Vault, VaultError, document, keyring, list, machine};
use crate::model::ids::CredentialName;
use crate::model::record::PublicRecord;

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

impl Vault {
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
        let memory = Memory::load(&self.machine, &place, &pin.id)?;
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
}
