//! What a generation signs with.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::model::key_uri::KeyUri;
use crate::model::secret::PrivateKeyPem;

/// A private key that is sealed, or where one is held that never leaves there.
#[derive(Clone)]
pub enum KeyMaterial {
    /// The private key.
    Sealed(PrivateKeyPem),
    /// Where it is.
    Held(Box<HeldReference>),
}

/// Where a private key is held. It is no secret, and sealed all the same: whoever could change it would choose what is signed with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldReference {
    /// Its address.
    pub uri: KeyUri,
    /// Its public half as it was found there at first, SPKI PEM.
    pub public_key: String,
}

/// A private key was asked for that is held elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("its private key is {}, and never leaves there", .0.in_words())]
pub struct KeyIsHeld(pub KeyUri);

impl KeyMaterial {
    /// The private key itself. Whoever calls this hands it on.
    ///
    /// # Errors
    /// When it is held elsewhere.
    pub fn sealed(&self) -> Result<&PrivateKeyPem, KeyIsHeld> {
        match self {
            Self::Sealed(pem) => Ok(pem),
            Self::Held(reference) => Err(KeyIsHeld(reference.uri.clone())),
        }
    }

    /// Where it is held, if it is not sealed.
    #[must_use]
    pub fn held(&self) -> Option<&KeyUri> {
        match self {
            Self::Sealed(_) => None,
            Self::Held(reference) => Some(&reference.uri),
        }
    }
}
