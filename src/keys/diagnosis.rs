//! What a file that should hold a key really holds. Nothing here repeats any of the file's text.

use base64ct::{Base64, Encoding};
use pkcs8::der::{AnyRef, Decode};
use spki::{AlgorithmIdentifierRef, ObjectIdentifier, SubjectPublicKeyInfoRef};
use thiserror::Error;
use zeroize::Zeroizing;

/// Why contents are no usable key. Each message completes a sentence that begins with the file's name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyError {
    /// No bytes, or white space only.
    #[error("is empty")]
    Empty,
    /// Not text at all; DER, perhaps.
    #[error("is a binary file, not PEM text")]
    Binary,
    /// Text without a PEM block.
    #[error("holds no PEM block (there is no `-----BEGIN` in it)")]
    NotPem,
    /// A PEM block without its end.
    #[error("is truncated: there is no `-----END` after the `-----BEGIN`")]
    Truncated,
    /// All on one line.
    #[error("has lost its line breaks")]
    NewLinesLost,
    /// A backslash and an `n` where line breaks should be.
    #[error("has `\\n` written out where line breaks should be")]
    NewLinesEscaped,
    /// Quotes around it.
    #[error("has quotes around the key")]
    Quoted,
    /// The base64 of a PEM file.
    #[error("is the base64 of a PEM file, not the PEM itself")]
    Base64OfPem,
    /// A public key where a private one belongs.
    #[error("holds a public key, not a private one")]
    PublicKey,
    /// A private key where a public one belongs.
    #[error("holds a private key, not a public one")]
    PrivateKeyForPublic,
    /// An X.509 certificate or a request for one.
    #[error("holds a certificate, not a private key")]
    Certificate,
    /// An RSA key.
    #[error("holds an RSA key, not one on the curve prime256v1")]
    Rsa,
    /// An RSA key that cannot sign.
    #[error("holds an RSA key that cannot be used: it is damaged, or has less than 2048 or more than 8192 bits")]
    UnusableRsa,
    /// An Ed25519 key.
    #[error("holds an Ed25519 key, not one on the curve prime256v1")]
    Ed25519,
    /// Another algorithm altogether.
    #[error("holds a key of another algorithm ({algorithm})")]
    OtherAlgorithm {
        /// Its name or object identifier.
        algorithm: String,
    },
    /// An elliptic curve key on another curve.
    #[error("holds a key on another curve ({curve}), not on prime256v1")]
    OtherCurve {
        /// Its name or object identifier.
        curve: String,
    },
    /// OpenSSH's own format.
    #[error("holds a key in OpenSSH's own format")]
    OpenSsh,
    /// `EC PARAMETERS` and nothing else.
    #[error("holds only the parameters of a curve, no key")]
    ParametersOnly,
    /// An age file.
    #[error("is encrypted with age")]
    AgeEncrypted,
    /// SEC1 with `Proc-Type: 4,ENCRYPTED`.
    #[error("holds a SEC1 key encrypted in openssl's old way (`Proc-Type: 4,ENCRYPTED`)")]
    EncryptedSec1,
    /// PKCS#8 under a scheme that is not PBES2 with AES.
    #[error("is encrypted with an old scheme that is not supported")]
    OldEncryption,
    /// Encrypted PKCS#8 whose passphrase is stretched for longer than we agree to.
    #[error("is encrypted in a way that takes more work than is agreed to (seconds, or more than 256 MiB)")]
    TooMuchWork,
    /// Larger than a key is, whatever stands around it.
    #[error("is larger than a key file is")]
    TooLarge,
    /// Encrypted PKCS#8, and no passphrase at hand.
    #[error("is encrypted, and no passphrase was given")]
    PassphraseNeeded,
    /// Encrypted PKCS#8, and the passphrase does not open it.
    #[error("is encrypted with another passphrase than the one given")]
    WrongPassphrase,
    /// Some other label.
    #[error("holds a PEM block of another sort ({label})")]
    OtherLabel {
        /// The words between `BEGIN` and the dashes.
        label: String,
    },
    /// More than one private key.
    #[error("holds more than one key")]
    SeveralKeys,
    /// The base64 or the structure inside is broken.
    #[error("is damaged: what stands between BEGIN and END is no valid key")]
    Damaged,
    /// Private and public half of one structure disagree.
    #[error("is damaged: the public key in it does not belong to the private one")]
    HalvesDiffer,
}

/// A key block, decoded as far as its DER.
pub(super) enum Content {
    Sec1(Zeroizing<Vec<u8>>),
    Pkcs8(Zeroizing<Vec<u8>>),
    /// An RSA key in its own form (RFC 8017).
    Pkcs1(Zeroizing<Vec<u8>>),
    EncryptedPkcs8(Zeroizing<Vec<u8>>),
    Public(Vec<u8>),
}

/// An RSA key of 8192 bits takes 6.5 kB; certificates may stand around it.
const LARGEST: usize = 256 * 1024;

pub(super) const PRIME256V1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
pub(super) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

const CURVES: &[(&str, &str)] = &[
    ("1.3.132.0.10", "secp256k1"),
    ("1.3.132.0.33", "secp224r1"),
    ("1.3.132.0.34", "secp384r1"),
    ("1.3.132.0.35", "secp521r1"),
    ("1.2.840.10045.3.1.1", "prime192v1"),
    ("1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1"),
    ("1.2.156.10197.1.301", "SM2"),
];

const ALGORITHMS: &[(&str, &str)] = &[
    ("1.3.101.110", "X25519"),
    ("1.3.101.111", "X448"),
    ("1.3.101.113", "Ed448"),
    ("1.2.840.10040.4.1", "DSA"),
    ("1.2.840.113549.1.1.10", "RSASSA-PSS"),
];

/// Finds the one key block in `contents` and decodes its base64.
pub(super) fn examine(contents: &[u8]) -> Result<Content, KeyError> {
    if contents.len() > LARGEST {
        return Err(KeyError::TooLarge);
    }
    if contents.iter().all(u8::is_ascii_whitespace) {
        return Err(KeyError::Empty);
    }
    if contents.starts_with(b"age-encryption.org/") {
        return Err(KeyError::AgeEncrypted);
    }
    let text = std::str::from_utf8(contents).map_err(|_| KeyError::Binary)?;
    if text.contains('\0') {
        return Err(KeyError::Binary);
    }
    let text = text.trim_start_matches('\u{feff}').trim();
    if !text.contains("-----BEGIN ") {
        return Err(without_begin(text));
    }
    if text.contains("\\n") || text.contains("\\r") {
        return Err(KeyError::NewLinesEscaped);
    }
    if text.starts_with(['"', '\'']) {
        return Err(KeyError::Quoted);
    }
    let blocks = blocks(text)?;
    let mut keys = blocks.iter().filter(|block| block.label != "EC PARAMETERS");
    let Some(block) = keys.next() else {
        return Err(KeyError::ParametersOnly);
    };
    if keys.any(|other| other.label.contains("KEY")) {
        return Err(KeyError::SeveralKeys);
    }
    block.decode()
}

fn without_begin(text: &str) -> KeyError {
    // What every PEM file's base64 starts with: `-----BEGI`.
    if text.starts_with("LS0tLS1CRUdJ") {
        KeyError::Base64OfPem
    } else {
        KeyError::NotPem
    }
}

struct Block<'a> {
    label: &'a str,
    body: &'a str,
}

fn blocks(text: &str) -> Result<Vec<Block<'_>>, KeyError> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("-----BEGIN ") {
        let after = &rest[start + "-----BEGIN ".len()..];
        let label_end = after.find("-----").ok_or(KeyError::Truncated)?;
        let label = &after[..label_end];
        if label.len() > 64 || !label.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
            return Err(KeyError::Damaged);
        }
        let after = &after[label_end + "-----".len()..];
        let end = after.find("-----END ").ok_or(KeyError::Truncated)?;
        let body = &after[..end];
        let tail = &after[end + "-----END ".len()..];
        let tail = tail
            .strip_prefix(label)
            .and_then(|tail| tail.strip_prefix("-----"))
            .ok_or(KeyError::Truncated)?;
        if !body.starts_with(['\n', '\r', ' ', '\t']) || !body.contains('\n') {
            return Err(KeyError::NewLinesLost);
        }
        blocks.push(Block { label, body });
        rest = tail;
    }
    Ok(blocks)
}

impl Block<'_> {
    fn decode(&self) -> Result<Content, KeyError> {
        match self.label {
            "EC PRIVATE KEY" | "RSA PRIVATE KEY" if self.body.contains("Proc-Type:") => Err(KeyError::EncryptedSec1),
            "EC PRIVATE KEY" => Ok(Content::Sec1(self.der()?)),
            "PRIVATE KEY" => Ok(Content::Pkcs8(self.der()?)),
            "ENCRYPTED PRIVATE KEY" => Ok(Content::EncryptedPkcs8(self.der()?)),
            "PUBLIC KEY" => Ok(Content::Public(self.der()?.to_vec())),
            "RSA PRIVATE KEY" => Ok(Content::Pkcs1(self.der()?)),
            "RSA PUBLIC KEY" => Err(KeyError::PublicKey),
            "CERTIFICATE"
            | "TRUSTED CERTIFICATE"
            | "X509 CERTIFICATE"
            | "CERTIFICATE REQUEST"
            | "NEW CERTIFICATE REQUEST" => Err(KeyError::Certificate),
            "OPENSSH PRIVATE KEY" => Err(KeyError::OpenSsh),
            "AGE ENCRYPTED FILE" => Err(KeyError::AgeEncrypted),
            other => Err(KeyError::OtherLabel {
                label: other.to_owned(),
            }),
        }
    }

    fn der(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let mut compact = Zeroizing::new(String::with_capacity(self.body.len()));
        compact.extend(self.body.chars().filter(|c| !c.is_ascii_whitespace()));
        if compact.is_empty() {
            return Err(KeyError::Damaged);
        }
        Base64::decode_vec(&compact)
            .map(Zeroizing::new)
            .map_err(|_| KeyError::Damaged)
    }
}

pub(super) fn check_spki_algorithm(der: &[u8]) -> Result<(), KeyError> {
    let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| KeyError::Damaged)?;
    check_algorithm(&info.algorithm)
}

pub(super) fn check_algorithm(algorithm: &AlgorithmIdentifierRef<'_>) -> Result<(), KeyError> {
    if algorithm.oid == EC_PUBLIC_KEY {
        let curve = algorithm
            .parameters
            .and_then(|parameters: AnyRef<'_>| parameters.decode_as::<ObjectIdentifier>().ok());
        return match curve {
            Some(curve) => check_curve(curve),
            None => Err(KeyError::OtherCurve {
                curve: "given by explicit parameters".to_owned(),
            }),
        };
    }
    Err(match algorithm.oid {
        RSA => KeyError::Rsa,
        ED25519 => KeyError::Ed25519,
        other => KeyError::OtherAlgorithm {
            algorithm: name_of(other, ALGORITHMS),
        },
    })
}

pub(super) fn check_curve(curve: ObjectIdentifier) -> Result<(), KeyError> {
    if curve == PRIME256V1 {
        Ok(())
    } else {
        Err(KeyError::OtherCurve {
            curve: name_of(curve, CURVES),
        })
    }
}

fn name_of(oid: ObjectIdentifier, table: &[(&str, &str)]) -> String {
    let dotted = oid.to_string();
    table
        .iter()
        .find(|(known, _)| *known == dotted)
        .map_or_else(|| format!("object identifier {dotted}"), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyPair;
    use crate::keys::pem::{PrivateKeyFormat, read_private_key, read_public_key};

    fn refusal(contents: &[u8]) -> KeyError {
        read_private_key(contents, None).err().expect("refused")
    }

    #[test]
    fn each_wound_has_its_own_name() {
        let pair = KeyPair::generate().unwrap();
        let pem = pair.to_private_pem(PrivateKeyFormat::Sec1);
        let public = pair.public_key().to_pem();
        let middle = pem.len() / 2;
        let binary = [0x30, 0x77, 0x02, 0x01, 0x01, 0xff, 0xfe];
        let cases: Vec<(Vec<u8>, KeyError)> = vec![
            (b"".to_vec(), KeyError::Empty),
            (b" \r\n".to_vec(), KeyError::Empty),
            (binary.to_vec(), KeyError::Binary),
            (b"hello".to_vec(), KeyError::NotPem),
            (pem[..middle].into(), KeyError::Truncated),
            (pem.replace('\n', "").into(), KeyError::NewLinesLost),
            (pem.trim().replace('\n', " ").into(), KeyError::NewLinesLost),
            (pem.replace('\n', "\\n").into(), KeyError::NewLinesEscaped),
            (format!("\"{}\"", *pem).into(), KeyError::Quoted),
            (Base64::encode_string(pem.as_bytes()).into(), KeyError::Base64OfPem),
            (public.clone().into(), KeyError::PublicKey),
            (format!("{}{}", *pem, *pem).into(), KeyError::SeveralKeys),
            (pem.replacen('M', "!", 1).into(), KeyError::Damaged),
            (
                b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----".to_vec(),
                KeyError::Certificate,
            ),
            (
                b"-----BEGIN EC PARAMETERS-----\nAAAA\n-----END EC PARAMETERS-----".to_vec(),
                KeyError::ParametersOnly,
            ),
            (b"age-encryption.org/v1\n".to_vec(), KeyError::AgeEncrypted),
        ];
        for (contents, expected) in cases {
            assert_eq!(refusal(&contents), expected);
        }
        assert_eq!(read_public_key(pem.as_bytes()), Err(KeyError::PrivateKeyForPublic));
    }

    #[test]
    fn a_changed_byte_never_gives_another_key() {
        let pair = KeyPair::generate().unwrap();
        let pem = pair.to_private_pem(PrivateKeyFormat::Pkcs8);
        for position in 0..pem.len() {
            let mut bytes = pem.as_bytes().to_vec();
            bytes[position] ^= 1;
            if let Ok(read) = read_private_key(&bytes, None) {
                assert_eq!(read.public_key(), pair.public_key(), "at {position}");
            }
        }
    }
}
