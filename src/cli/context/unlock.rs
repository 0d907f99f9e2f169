//! The keys to the vault: its identities, and the passphrase, asked for until it is right.

use super::Context;
use crate::cli::contexts::variable;
use crate::cli::error::Failure;
use crate::cli::passphrase::Asker;
use crate::vault::{IdentityError, Keyholder, PassphrasePurpose, Unlocked, Vault, VaultError};

/// How often a person may mistype a passphrase.
const TRIES: usize = 3;

impl Context {
    /// Unlocks the vault with the identities named, or with its own.
    pub(in crate::cli) async fn unlock<'v>(&self, vault: &'v Vault) -> Result<Unlocked<'v>, Failure> {
        let unlocked = self
            .ask_until_right(vault, async |asker| {
                vault.unlock(&self.surroundings.identities, asker).await
            })
            .await?;
        self.meet(&unlocked);
        Ok(unlocked)
    }

    /// Runs what needs the passphrase, three times where a person mistypes it.
    pub(in crate::cli) async fn ask_until_right<T>(
        &self,
        vault: &Vault,
        open: impl AsyncFn(&Asker<'_>) -> Result<T, VaultError>,
    ) -> Result<T, Failure> {
        let mut tries = 1;
        loop {
            self.ask_first(vault).await?;
            let spinner = self.ui.spinner("unlocking the vault");
            let opened = open(&self.asker()).await;
            spinner.finish_and_clear();
            match opened {
                Err(VaultError::Identity(error @ IdentityError::WrongPassphrase { .. }))
                    if tries < TRIES && self.supplier.forget_asked() =>
                {
                    tries += 1;
                    self.ui.warn(&format!("{error}; once more"));
                }
                opened => return opened.map_err(|error| self.locked(error)),
            }
        }
    }

    /// Says what this machine learns of a vault that was opened.
    pub(in crate::cli) fn meet(&self, unlocked: &Unlocked<'_>) {
        if unlocked.first_seen()
            && let Some(id) = unlocked.id()
        {
            self.ui.say(&format!(
                "  this machine meets the vault {id} for the first time, and will know it again"
            ));
        }
    }

    /// What a wrong passphrase of the vault's own leaves to be tried.
    fn locked(&self, error: VaultError) -> Failure {
        let own_passphrase = self.surroundings.identities.is_empty()
            && matches!(&error, VaultError::Identity(IdentityError::WrongPassphrase { .. }));
        let failure = Failure::from(error);
        if !own_passphrase {
            return failure;
        }
        failure.hint(
            "try again; a `rekey` that was cut short has set the new one already; if it is lost, another recipient's identity opens the vault (--identity)",
        )
    }

    /// Asks for the passphrase before a spinner turns; the answer is kept.
    async fn ask_first(&self, vault: &Vault) -> Result<(), Failure> {
        if self.surroundings.identities.is_empty() && !self.supplier.is_unlocked() && vault.has_identity().await? {
            self.asker().passphrase(&PassphrasePurpose::Vault)?;
        }
        Ok(())
    }

    /// Whether this run can only seal: it was told the list to seal to, or the vault has no identity and none was named.
    pub(in crate::cli) async fn seals_only(&self, vault: &Vault) -> Result<bool, Failure> {
        Ok(self.surroundings.identities.is_empty()
            && (variable("DFNS_KEYS_RECIPIENTS").is_some() || !vault.has_identity().await?))
    }

    pub(in crate::cli) fn asker(&self) -> Asker<'_> {
        Asker {
            supplier: &self.supplier,
        }
    }
}
