//! Making one of the vault's what a writer sealed that can only seal: a member compares the key.

use thiserror::Error;

use super::job::{JobError, THE_KEY, open_key};
use crate::model::credential::AnyCredential;
use crate::model::ids::CredentialName;
use crate::model::record::PublicRecord;
use crate::model::user_action::Signer;
use crate::vault::{NameLease, Unlocked};

/// A credential was not adopted.
#[derive(Debug, Error)]
pub enum AdoptError {
    /// It has a rotation under way, which only a member begins.
    #[error("{0} has a rotation under way, which no writer that only seals could have begun")]
    Rotating(CredentialName),
    /// It has places to deliver to, which only a member gives it.
    #[error("{0} has places to deliver to, which no writer that only seals could have given it")]
    Delivered(CredentialName),
    /// What any job may meet.
    #[error(transparent)]
    Job(JobError),
}

impl<E> From<E> for AdoptError
where
    JobError: From<E>,
{
    fn from(error: E) -> Self {
        Self::Job(error.into())
    }
}

/// What is sealed in the file of a credential that nobody vouches for, and the fingerprint of the private key itself.
///
/// # Errors
/// When there is none, a member vouches for it, or it is none that a writer could have made.
pub async fn look(unlocked: &Unlocked<'_>, name: &CredentialName) -> Result<(PublicRecord, String), AdoptError> {
    let credential = unlocked.unauthenticated(name).await?;
    let fingerprint = fingerprint_of(&credential)?;
    Ok((PublicRecord::from(&credential), fingerprint))
}

/// Adopts it, if its private key is the one with this fingerprint.
///
/// # Errors
/// As [`look`]; when the key is another one.
pub async fn adopt(unlocked: &Unlocked<'_>, lease: NameLease, fingerprint: &str) -> Result<PublicRecord, AdoptError> {
    Ok(unlocked
        .adopt(lease, |credential| {
            fingerprint_of(credential).is_ok_and(|found| found == fingerprint)
        })
        .await?)
}

/// Of the private key, not of the public part beside it.
fn fingerprint_of(credential: &AnyCredential) -> Result<String, AdoptError> {
    let (name, private_key) = match credential {
        AnyCredential::Pending(credential) => (&credential.name, &credential.current.private_key),
        AnyCredential::Active(credential) => (&credential.name, &credential.current.private_key),
        AnyCredential::User(credential) => (&credential.name, &credential.current.private_key),
        AnyCredential::Rotating(credential) => return Err(AdoptError::Rotating(credential.name.clone())),
    };
    if !credential.deliveries().is_empty() {
        return Err(AdoptError::Delivered(name.clone()));
    }
    Ok(open_key(THE_KEY, name, private_key)?.public_key().fingerprint)
}
