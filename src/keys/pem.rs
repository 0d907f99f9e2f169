//! The written forms of a P-256 key: SEC1 (RFC 5915), PKCS#8 (RFC 5958) and SPKI (RFC 5280), as PEM (RFC 7468).
//! Every form that openssl writes is read; what cannot be used is named by [`KeyError`].

use p256::elliptic_curve::sec1::ToSec1Point;
use pkcs8::der::pem::LineEnding;
use pkcs8::der::{Decode, EncodePem};
use pkcs8::{EncodePrivateKey, EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef, SecretDocument};
use sec1::{EcParameters, EcPrivateKey};
use secrecy::ExposeSecret;
use spki::DecodePublicKey;
use zeroize::Zeroizing;

use super::diagnosis::{self, Content, KeyError};
use super::provider::HeldKey;
use super::stretching::is_agreed_to;
use super::{Algorithm, ForeignKey, KeyPair, PrivateKey, PublicKey, fingerprint_of};
use crate::model::credential::{HeldReference, KeyMaterial};
use crate::model::secret::{Passphrase, PrivateKeyPem};

/// How a private key is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum PrivateKeyFormat {
    /// EC PRIVATE KEY, as `openssl ecparam -genkey -noout` writes it.
    Sec1,
    /// PRIVATE KEY, as `openssl genpkey` writes it.
    Pkcs8,
}

impl KeyPair {
    /// The private key as PEM with one trailing new line.
    #[must_use]
    pub fn to_private_pem(&self, format: PrivateKeyFormat) -> Zeroizing<String> {
        match format {
            PrivateKeyFormat::Sec1 => self.to_sec1_pem(),
            PrivateKeyFormat::Pkcs8 => self
                .secret
                .to_pkcs8_pem(LineEnding::LF)
                .expect("a P-256 key has a PKCS#8 form"),
        }
    }

    /// The private key as the vault keeps it: PKCS#8 PEM.
    #[must_use]
    pub fn to_sealable(&self) -> KeyMaterial {
        KeyMaterial::Sealed(PrivateKeyPem::new(self.to_private_pem(PrivateKeyFormat::Pkcs8)))
    }

    // Not `SecretKey::to_sec1_pem`, which multiplies the base point again for the public half we have at hand.
    fn to_sec1_pem(&self) -> Zeroizing<String> {
        let private_key = Zeroizing::new(self.secret.to_bytes());
        let public_key = self.public.0.to_sec1_point(false);
        let structure = EcPrivateKey {
            private_key: &private_key,
            parameters: Some(EcParameters::NamedCurve(diagnosis::PRIME256V1)),
            public_key: Some(public_key.as_bytes()),
        };
        Zeroizing::new(structure.to_pem(LineEnding::LF).expect("a P-256 key has a SEC1 form"))
    }
}

/// Reads a private key from the contents of a file: SEC1 or PKCS#8 PEM, with `EC PARAMETERS` in front or not, with
/// CRLF or LF, and PKCS#8 encrypted by a passphrase.
///
/// # Errors
/// [`KeyError::PassphraseNeeded`] for an encrypted key when `passphrase` is `None`; otherwise the reason why the
/// contents are no usable P-256 private key.
pub fn read_private_key(contents: &[u8], passphrase: Option<&Passphrase>) -> Result<KeyPair, KeyError> {
    match decrypted(contents, passphrase)? {
        Decrypted::Sec1(der) => from_sec1(&der),
        Decrypted::Pkcs8(der) => from_pkcs8(der.as_bytes()),
        Decrypted::Pkcs1(_) => Err(KeyError::Rsa),
    }
}

/// Reads a private key that may also be RSA (PKCS#1 or PKCS#8) or Ed25519 (PKCS#8).
///
/// # Errors
/// As [`read_private_key`].
pub fn read_any_private_key(contents: &[u8], passphrase: Option<&Passphrase>) -> Result<PrivateKey, KeyError> {
    match decrypted(contents, passphrase)? {
        Decrypted::Sec1(der) => from_sec1(&der).map(PrivateKey::P256),
        Decrypted::Pkcs8(der) => match from_pkcs8(der.as_bytes()) {
            Err(KeyError::Rsa) => ForeignKey::rsa(der.as_bytes()).map(PrivateKey::Foreign),
            Err(KeyError::Ed25519) => ForeignKey::ed25519(der.as_bytes()).map(PrivateKey::Foreign),
            pair => pair.map(PrivateKey::P256),
        },
        Decrypted::Pkcs1(der) => ForeignKey::rsa_from_pkcs1(&der).map(PrivateKey::Foreign),
    }
}

/// The DER of a private key, out of its encryption if it had one.
enum Decrypted {
    Sec1(Zeroizing<Vec<u8>>),
    Pkcs8(SecretDocument),
    Pkcs1(Zeroizing<Vec<u8>>),
}

fn decrypted(contents: &[u8], passphrase: Option<&Passphrase>) -> Result<Decrypted, KeyError> {
    match diagnosis::examine(contents)? {
        Content::Sec1(der) => Ok(Decrypted::Sec1(der)),
        Content::Pkcs8(der) => SecretDocument::try_from(der.as_slice())
            .map(Decrypted::Pkcs8)
            .map_err(|_| KeyError::Damaged),
        Content::Pkcs1(der) => Ok(Decrypted::Pkcs1(der)),
        Content::EncryptedPkcs8(der) => {
            let passphrase = passphrase.ok_or(KeyError::PassphraseNeeded)?;
            decrypt(&der, passphrase).map(Decrypted::Pkcs8)
        }
        Content::Public(_) => Err(KeyError::PublicKey),
    }
}

/// Reads a public key: SPKI PEM.
///
/// # Errors
/// The reason why the contents are no P-256 public key.
pub fn read_public_key(contents: &[u8]) -> Result<PublicKey, KeyError> {
    match diagnosis::examine(contents)? {
        Content::Public(der) => {
            diagnosis::check_spki_algorithm(&der)?;
            p256::PublicKey::from_public_key_der(&der)
                .map(PublicKey)
                .map_err(|_| KeyError::Damaged)
        }
        Content::Sec1(_) | Content::Pkcs8(_) | Content::Pkcs1(_) | Content::EncryptedPkcs8(_) => {
            Err(KeyError::PrivateKeyForPublic)
        }
    }
}

/// The fingerprint of a public key of any kind that signs here: SPKI PEM.
///
/// # Errors
/// The reason why the contents are no such public key.
pub fn public_fingerprint(contents: &[u8]) -> Result<String, KeyError> {
    match read_public_key(contents) {
        Ok(key) => Ok(key.fingerprint()),
        Err(KeyError::Rsa | KeyError::Ed25519) => match diagnosis::examine(contents)? {
            Content::Public(der) => Ok(fingerprint_of(&der)),
            _ => Err(KeyError::PrivateKeyForPublic),
        },
        Err(error) => Err(error),
    }
}

/// What kind of key a public key is: SPKI PEM, as metadata keeps it.
#[must_use]
pub fn algorithm_of(public_pem: &str) -> Option<Algorithm> {
    match read_public_key(public_pem.as_bytes()) {
        Ok(_) => Some(Algorithm::P256),
        Err(KeyError::Rsa) => Some(Algorithm::Rsa),
        Err(KeyError::Ed25519) => Some(Algorithm::Ed25519),
        Err(_) => None,
    }
}

/// Whether two texts are the same public key, however they are broken into lines.
#[must_use]
pub fn same_public_key(one: &str, other: &str) -> bool {
    let one = public_fingerprint(one.as_bytes());
    one.is_ok() && one == public_fingerprint(other.as_bytes())
}

/// Whether the contents are a PKCS#8 key that a passphrase must open.
#[must_use]
pub fn is_encrypted(contents: &[u8]) -> bool {
    matches!(diagnosis::examine(contents), Ok(Content::EncryptedPkcs8(_)))
}

/// Takes a private key out of its sealed form.
///
/// # Errors
/// When it is not the PKCS#8 PEM that [`PrivateKey::to_sealable`] writes.
pub fn unseal(material: &KeyMaterial) -> Result<PrivateKey, KeyError> {
    match material {
        KeyMaterial::Sealed(pem) => read_any_private_key(pem.expose_secret().as_bytes(), None),
        KeyMaterial::Held(reference) => {
            let HeldReference { uri, public_key } = &**reference;
            let key = HeldKey::known(uri.clone(), public_key).map_err(|_| KeyError::Damaged)?;
            Ok(PrivateKey::Held(Box::new(key)))
        }
    }
}

fn from_sec1(der: &[u8]) -> Result<KeyPair, KeyError> {
    let structure = EcPrivateKey::from_der(der).map_err(|_| KeyError::Damaged)?;
    if let Some(EcParameters::NamedCurve(curve)) = structure.parameters {
        diagnosis::check_curve(curve)?;
    }
    from_scalar(structure.private_key, structure.public_key)
}

fn from_pkcs8(der: &[u8]) -> Result<KeyPair, KeyError> {
    let info = PrivateKeyInfoRef::from_der(der).map_err(|_| KeyError::Damaged)?;
    diagnosis::check_algorithm(&info.algorithm)?;
    let inner = EcPrivateKey::from_der(info.private_key.as_bytes()).map_err(|_| KeyError::Damaged)?;
    from_scalar(inner.private_key, inner.public_key)
}

fn from_scalar(scalar: &[u8], public_key: Option<&[u8]>) -> Result<KeyPair, KeyError> {
    if scalar.len() != 32 {
        return Err(match scalar.len() {
            28 | 48 | 66 => KeyError::OtherCurve {
                curve: format!("a {}-bit curve", scalar.len() * 8),
            },
            _ => KeyError::Damaged,
        });
    }
    let secret = p256::SecretKey::from_slice(scalar).map_err(|_| KeyError::Damaged)?;
    let pair = KeyPair::from_secret(secret);
    let public = pair.public_key();
    // Another curve of the same size (secp256k1) without parameters shows itself here, and so does a damaged file.
    if public_key.is_some_and(|stated| {
        stated != public.0.to_sec1_point(false).as_bytes() && stated != public.0.to_sec1_point(true).as_bytes()
    }) {
        return Err(KeyError::HalvesDiffer);
    }
    Ok(pair)
}

fn decrypt(der: &[u8], passphrase: &Passphrase) -> Result<SecretDocument, KeyError> {
    let encrypted = EncryptedPrivateKeyInfoRef::from_der(der).map_err(|_| KeyError::Damaged)?;
    let parameters = encrypted.encryption_algorithm.pbes2().ok_or(KeyError::OldEncryption)?;
    if !is_agreed_to(&parameters.kdf) {
        return Err(KeyError::TooMuchWork);
    }
    match encrypted.decrypt(passphrase.expose_secret()) {
        Ok(document) => Ok(document),
        Err(pkcs8::Error::EncryptedPrivateKey(
            pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. } | pkcs8::pkcs5::Error::AlgorithmParametersInvalid { .. },
        )) => Err(KeyError::OldEncryption),
        Err(_) => Err(KeyError::WrongPassphrase),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_private_forms_come_back_as_the_same_key() {
        let pair = KeyPair::generate().unwrap();
        for format in [PrivateKeyFormat::Sec1, PrivateKeyFormat::Pkcs8] {
            let pem = pair.to_private_pem(format);
            let crlf = pem.replace('\n', "\r\n");
            for text in [pem.as_str(), crlf.as_str(), pem.trim_end()] {
                let back = read_private_key(text.as_bytes(), None).ok().unwrap();
                assert_eq!(back.public_key(), pair.public_key());
            }
        }
        assert_eq!(
            read_public_key(pair.public_key().to_pem().as_bytes()).unwrap(),
            *pair.public_key()
        );
    }
}
