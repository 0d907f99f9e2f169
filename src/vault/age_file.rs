//! Files of the user's own that are encrypted with age, outside the vault.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::identity::{self, IdentityError, Keyholder, PassphrasePurpose};
use super::recipients::{self, RecipientError, RecipientText};
use super::{VaultError, sealed};
use crate::model::quoted;
use crate::model::secret::Passphrase;

/// Whether contents are an age file, armored or not.
#[must_use]
pub fn is_one(contents: &[u8]) -> bool {
    sealed::is_age_file(contents)
}

/// Encrypts to recipients, armored.
///
/// # Errors
/// When these recipients cannot be used, or not together.
pub fn seal(plaintext: &[u8], recipients: &[RecipientText]) -> Result<String, RecipientError> {
    sealed::seal(plaintext, &recipients::to_age(recipients)?).map_err(|error| unusable(&error))
}

/// Encrypts under a passphrase (scrypt), armored.
///
/// # Errors
/// When the age crate refuses.
pub fn seal_with_passphrase(plaintext: &[u8], passphrase: &Passphrase) -> Result<String, RecipientError> {
    sealed::seal_with_passphrase(plaintext, passphrase).map_err(|error| unusable(&error))
}

fn unusable(error: &age::EncryptError) -> RecipientError {
    RecipientError::Unusable {
        reason: error.to_string(),
    }
}

/// Decrypts the contents of the file at `path`: under a passphrase, or with one of the identity files.
///
/// # Errors
/// When the passphrase is wrong, no identity opens it, or it is damaged.
pub fn open(
    contents: &[u8],
    path: &Path,
    identities: &[PathBuf],
    keyholder: &dyn Keyholder,
) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let what = quoted::path(path);
    let damaged = |error: age::DecryptError| VaultError::Damaged {
        what: what.clone(),
        reason: error.to_string(),
    };
    if sealed::is_passphrase_sealed(contents).map_err(damaged)? {
        let passphrase = keyholder.passphrase(&PassphrasePurpose::IdentityFile(path.to_owned()))?;
        return sealed::open_with_passphrase(contents, &passphrase)
            .map_err(|error| identity::passphrase_failure(error, &what).into());
    }
    if identities.is_empty() {
        return Err(IdentityError::Unusable {
            what: what.clone(),
            reason: "it is encrypted to recipients, and no identity was named".to_owned(),
        }
        .into());
    }
    let identities = identity::open_files(identities, keyholder)?;
    sealed::open(contents, &identities).map_err(damaged)
}
