//! P-256 key pairs: making them, signing with them, and their written forms; and RSA and Ed25519 keys that are taken in.
//!
//! The curve is NIST P-256, alias `secp256r1` and `prime256v1` (SEC 2; FIPS 186-5); signatures are ECDSA with
//! SHA-256 and deterministic nonces (RFC 6979), encoded as ASN.1 DER.

mod diagnosis;
mod foreign;
pub mod mend;
pub mod pem;
pub mod provider;
mod stretching;

use std::sync::OnceLock;

use async_trait::async_trait;
use base64ct::{Base64Unpadded, Encoding};
use p256::ProjectivePoint;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::elliptic_curve::Generate;
use sha2::{Digest, Sha256};
use spki::EncodePublicKey;
use thiserror::Error;

use crate::model::credential::{KeyMaterial, PublicKeyText};
use crate::model::key_uri::KeyUri;
use crate::model::user_action::{Signer, SignerError};

pub use diagnosis::KeyError;
pub use foreign::{Algorithm, ForeignKey};
use provider::HeldKey;

/// The operating system gave no randomness.
#[derive(Debug, Error)]
#[error("the operating system's random number generator failed")]
pub struct RandomnessError;

/// A P-256 private key with its public half. Wiped from memory when dropped.
pub struct KeyPair {
    secret: p256::SecretKey,
    public: PublicKey,
    /// Made at the first signature: it computes the public half once more, which a process that only makes or converts a
    /// key can do without.
    signing: OnceLock<SigningKey>,
}

impl KeyPair {
    /// Makes a key pair from the operating system's random number generator.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn generate() -> Result<Self, RandomnessError> {
        let secret = p256::SecretKey::try_generate().map_err(|_| RandomnessError)?;
        Ok(Self::from_secret(secret))
    }

    fn from_secret(secret: p256::SecretKey) -> Self {
        // Not `secret.public_key()`: its precomputed tables take longer to set up than one multiplication without them.
        let point = ProjectivePoint::GENERATOR * *secret.to_nonzero_scalar();
        let public = p256::PublicKey::from_affine(point.to_affine())
            .expect("a non-zero scalar gives a point other than infinity");
        Self {
            secret,
            public: PublicKey(public),
            signing: OnceLock::new(),
        }
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }
}

#[async_trait]
impl Signer for KeyPair {
    fn public_key(&self) -> PublicKeyText {
        self.public.to_text()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let signing = self.signing.get_or_init(|| SigningKey::from(&self.secret));
        let signature: DerSignature = signing.sign(message);
        Ok(signature.as_bytes().to_vec())
    }
}

/// A private key that signs for a credential: on P-256, taken in from elsewhere, or held elsewhere.
pub enum PrivateKey {
    /// On P-256, which is what we make.
    P256(KeyPair),
    /// RSA or Ed25519.
    Foreign(ForeignKey),
    /// On P-256, and held elsewhere.
    Held(Box<HeldKey>),
}

impl PrivateKey {
    /// The private key as the vault keeps it: PKCS#8 PEM, or where it is held.
    #[must_use]
    pub fn to_sealable(&self) -> KeyMaterial {
        match self {
            Self::P256(pair) => pair.to_sealable(),
            Self::Foreign(key) => KeyMaterial::Sealed(key.to_sealable()),
            Self::Held(key) => key.to_sealable(),
        }
    }

    /// Where it is held, if it is not here.
    #[must_use]
    pub fn held(&self) -> Option<&KeyUri> {
        match self {
            Self::Held(key) => Some(key.uri()),
            Self::P256(_) | Self::Foreign(_) => None,
        }
    }

    /// What kind of key it is.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::P256(_) | Self::Held(_) => Algorithm::P256,
            Self::Foreign(key) => key.algorithm(),
        }
    }
}

#[async_trait]
impl Signer for PrivateKey {
    fn public_key(&self) -> PublicKeyText {
        match self {
            Self::P256(pair) => Signer::public_key(pair),
            Self::Foreign(key) => key.public_key(),
            Self::Held(key) => key.public_key(),
        }
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        match self {
            Self::P256(pair) => pair.sign(message).await,
            Self::Foreign(key) => key.sign(message).await,
            Self::Held(key) => key.sign(message).await,
        }
    }
}

/// `SHA256:` and the unpadded base64 of the SHA-256 of an SPKI DER.
fn fingerprint_of(der: &[u8]) -> String {
    format!("SHA256:{}", Base64Unpadded::encode_string(&Sha256::digest(der)))
}

/// A P-256 public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(p256::PublicKey);

impl PublicKey {
    /// SPKI PEM in 64 columns with one trailing new line: what `openssl ec -pubout` writes, and what the API's
    /// pattern for `publicKey` takes.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.0
            .to_public_key_pem(spki::der::pem::LineEnding::LF)
            .expect("a point of P-256 has an SPKI form")
    }

    /// `SHA256:` and the unpadded base64 of the SHA-256 of the SPKI DER, as
    /// `openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | base64` shows it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let der = self.0.to_public_key_der().expect("a point of P-256 has an SPKI form");
        fingerprint_of(der.as_bytes())
    }

    /// PEM and fingerprint together, as metadata keeps them.
    #[must_use]
    pub fn to_text(&self) -> PublicKeyText {
        PublicKeyText {
            pem: self.to_pem(),
            fingerprint: self.fingerprint(),
        }
    }
}
