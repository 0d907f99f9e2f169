//! User Action Signing: what is signed, and who can sign.
//!
//! Source: <https://docs.dfns.co/api-reference/auth/signing-flows>.

use async_trait::async_trait;
use serde::Serialize;
use thiserror::Error;

use super::credential::PublicKeyText;
use super::held_key::HeldKeyError;
use super::url::Origin;

/// A private key did not sign.
#[derive(Debug, Error)]
pub enum SignerError {
    /// For a reason of the signer's own.
    #[error("the private key does not sign: {0}")]
    Failed(&'static str),
    /// One that is held elsewhere.
    #[error("the private key does not sign: {0}")]
    Held(#[from] HeldKeyError),
}

/// Whoever holds a private key and signs with it; it need not be in this process.
#[async_trait]
pub trait Signer: Send + Sync {
    /// The public half.
    fn public_key(&self) -> PublicKeyText;

    /// Signs `message` as Dfns wants it: for P-256, ECDSA with SHA-256 as ASN.1 DER.
    ///
    /// # Errors
    /// When the key does not sign; nothing was sent to Dfns then.
    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError>;
}

/// What a signature is for, as client data says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ceremony {
    /// Asserting a registered key: a user action or a log-in.
    Get,
    /// Registering a new key.
    Create,
}

#[derive(Serialize)]
struct ClientData<'a> {
    challenge: &'a str,
    #[serde(rename = "crossOrigin")]
    cross_origin: bool,
    origin: String,
    r#type: &'static str,
}

/// The client data JSON for a challenge, whose bytes are signed. Keys are in alphabetical order and there are no
/// spaces, which satisfies every reading of the vendor's documents.
#[must_use]
pub fn client_data(ceremony: Ceremony, challenge: &str, origin: &Origin) -> Vec<u8> {
    let data = ClientData {
        challenge,
        cross_origin: false,
        origin: origin.to_string(),
        r#type: match ceremony {
            Ceremony::Get => "key.get",
            Ceremony::Create => "key.create",
        },
    };
    serde_json::to_vec(&data).expect("a struct of texts and a boolean serialises")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_data_is_sorted_and_compact() {
        let origin = "https://app.dfns.io".parse().unwrap();
        assert_eq!(
            client_data(Ceremony::Create, "a\"b", &origin),
            br#"{"challenge":"a\"b","crossOrigin":false,"origin":"https://app.dfns.io","type":"key.create"}"#
        );
    }
}
