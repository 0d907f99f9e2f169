//! Keys that are not on P-256: RSA and Ed25519, which some of the vendor's guides had people make. They are taken in and sign
//! as long as they have to; every new key is on P-256.

use async_trait::async_trait;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256};
use pkcs8::der::asn1::OctetStringRef;
use pkcs8::der::pem::LineEnding;
use pkcs8::der::{AnyRef, Encode};
use pkcs8::{PrivateKeyInfoRef, SecretDocument};
use spki::{AlgorithmIdentifierRef, Document};
use zeroize::Zeroizing;

use super::KeyError;
use super::diagnosis::RSA;
use crate::model::credential::PublicKeyText;
use crate::model::secret::PrivateKeyPem;
use crate::model::user_action::{Signer, SignerError};

/// An RSA or Ed25519 private key with its public half. AWS-LC wipes what it frees.
pub struct ForeignKey {
    kind: ForeignKind,
    /// PKCS#8, as the vault keeps it.
    der: SecretDocument,
    public: PublicKeyText,
}

enum ForeignKind {
    /// PKCS#1 v1.5 with SHA-256.
    Rsa(rsa::KeyPair),
    /// Pure Ed25519; the signature is the raw 64 bytes.
    Ed25519(Ed25519KeyPair),
}

impl ForeignKey {
    /// Reads PKCS#8 DER of an RSA key.
    pub(super) fn rsa(der: &[u8]) -> Result<Self, KeyError> {
        let pair = rsa::KeyPair::from_pkcs8(der).map_err(|_| KeyError::UnusableRsa)?;
        let public = public_text(pair.public_key())?;
        Self::of(ForeignKind::Rsa(pair), der, public)
    }

    /// Reads PKCS#1 DER (`RSA PRIVATE KEY`), and puts it into PKCS#8.
    pub(super) fn rsa_from_pkcs1(der: &[u8]) -> Result<Self, KeyError> {
        let algorithm = AlgorithmIdentifierRef {
            oid: RSA,
            parameters: Some(AnyRef::NULL),
        };
        let inner = OctetStringRef::new(der).map_err(|_| KeyError::Damaged)?;
        let wrapped = PrivateKeyInfoRef::new(algorithm, inner)
            .to_der()
            .map_err(|_| KeyError::Damaged)?;
        Self::rsa(&Zeroizing::new(wrapped))
    }

    /// Reads PKCS#8 DER of an Ed25519 key.
    pub(super) fn ed25519(der: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| KeyError::Damaged)?;
        let public = public_text(pair.public_key())?;
        Self::of(ForeignKind::Ed25519(pair), der, public)
    }

    fn of(kind: ForeignKind, der: &[u8], public: PublicKeyText) -> Result<Self, KeyError> {
        Ok(Self {
            kind,
            der: SecretDocument::try_from(der).map_err(|_| KeyError::Damaged)?,
            public,
        })
    }

    pub(super) fn to_sealable(&self) -> PrivateKeyPem {
        let pem = self
            .der
            .to_pem("PRIVATE KEY", LineEnding::LF)
            .expect("what was read as DER has a PEM form");
        PrivateKeyPem::new(pem)
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        match &self.kind {
            ForeignKind::Rsa(_) => Algorithm::Rsa,
            ForeignKind::Ed25519(_) => Algorithm::Ed25519,
        }
    }
}

#[async_trait]
impl Signer for ForeignKey {
    fn public_key(&self) -> PublicKeyText {
        self.public.clone()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        match &self.kind {
            ForeignKind::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
                    .map_err(|_| SignerError::Failed("RSA refused it"))?;
                Ok(signature)
            }
            ForeignKind::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

fn public_text(key: &impl AsDer<PublicKeyX509Der<'static>>) -> Result<PublicKeyText, KeyError> {
    let der = key.as_der().map_err(|_| KeyError::Damaged)?;
    let document = Document::try_from(der.as_ref()).map_err(|_| KeyError::Damaged)?;
    Ok(PublicKeyText {
        pem: document
            .to_pem("PUBLIC KEY", LineEnding::LF)
            .map_err(|_| KeyError::Damaged)?,
        fingerprint: super::fingerprint_of(der.as_ref()),
    })
}

/// What kind of key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256, which we make.
    P256,
    /// RSA, taken in.
    Rsa,
    /// Ed25519, taken in.
    Ed25519,
}

impl std::fmt::Display for Algorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::P256 => "P-256",
            Self::Rsa => "RSA",
            Self::Ed25519 => "Ed25519",
        })
    }
}
