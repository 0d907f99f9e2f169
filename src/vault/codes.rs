//! Who wrote a file of the vault: codes under keys that only those have who can open it (docs/decisions/0007).

use std::fmt;
use std::str::FromStr;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

/// The length of a secret and of a code, in bytes.
const LENGTH: usize = 32;

/// A secret of the vault's: `K_1`, `K_2`, …
#[derive(Clone)]
pub(super) struct Secret(Zeroizing<[u8; LENGTH]>);

impl Secret {
    pub(super) fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0_u8; LENGTH]);
        getrandom::fill(&mut *bytes)?;
        Ok(Self(bytes))
    }

    pub(super) fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0_u8; LENGTH]);
        if text.len() != 2 * LENGTH || !text.is_ascii() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// For the sealed text of a key object, and nothing else.
    pub(super) fn expose_hex(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(2 * LENGTH));
        push_hex(&mut text, &*self.0);
        text
    }

    /// Names the secret without telling it, so that a machine knows it again.
    pub(super) fn proof(&self) -> String {
        hex(&Sha256::new()
            .chain_update(b"dfns-keys pinned secret")
            .chain_update(*self.0)
            .finalize())
    }

    fn mac(&self, purpose: Purpose, fields: &[&[u8]]) -> Hmac<Sha256> {
        let mut key = Zeroizing::new([0_u8; LENGTH]);
        Hkdf::<Sha256>::new(None, &*self.0)
            .expand(purpose.label().as_bytes(), &mut *key)
            .expect("one block is not too long");
        let mut mac = Hmac::<Sha256>::new_from_slice(&*key).expect("a key may have any length");
        for field in fields {
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field);
        }
        mac
    }

    pub(super) fn code(&self, purpose: Purpose, fields: &[&[u8]]) -> Code {
        Code(hex(&self.mac(purpose, fields).finalize().into_bytes()))
    }

    /// Whether `code` is right, compared in constant time.
    pub(super) fn verifies(&self, code: &Code, purpose: Purpose, fields: &[&[u8]]) -> bool {
        let Some(given) = Self::from_hex(&code.0) else {
            return false;
        };
        self.mac(purpose, fields).verify_slice(&*given.0).is_ok()
    }
}

/// What a code is about. Each has a key of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The list of recipients.
    List,
    /// A credential.
    Document,
    /// What a removed credential leaves.
    Tombstone,
    /// The audit log up to a line.
    Log,
}

impl Purpose {
    fn label(self) -> &'static str {
        match self {
            Self::List => "dfns-keys/list/2",
            Self::Document => "dfns-keys/document/2",
            Self::Tombstone => "dfns-keys/tombstone/2",
            Self::Log => "dfns-keys/log/1",
        }
    }
}

/// HMAC-SHA-256, in hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Code(String);

impl Code {
    pub(super) fn from_text(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// That is not the id of a vault.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the id of a vault is 32 hexadecimal digits")]
pub struct VaultIdError;

/// Names a vault: the first 16 bytes of a SHA-256 over its first secret, in hex. Only who can open the vault could have made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VaultId(String);

impl VaultId {
    pub(super) fn of(first: &Secret) -> Self {
        let digest = Sha256::new()
            .chain_update(b"dfns-keys vault id")
            .chain_update(*first.0)
            .finalize();
        Self(hex(&digest[..16]))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VaultId {
    type Err = VaultIdError;

    fn from_str(text: &str) -> Result<Self, VaultIdError> {
        let fits = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(VaultIdError)
        }
    }
}

impl TryFrom<String> for VaultId {
    type Error = VaultIdError;

    fn try_from(text: String) -> Result<Self, VaultIdError> {
        text.parse()
    }
}

impl From<VaultId> for String {
    fn from(id: VaultId) -> Self {
        id.0
    }
}

impl fmt::Display for VaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// SHA-256, in hex.
pub(super) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    push_hex(&mut text, bytes);
    text
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).expect("four bits are one digit"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_for_one_secret_one_purpose_and_one_division_into_fields() {
        let [first, second] = [(); 2].map(|()| Secret::generate().unwrap());
        let code = first.code(Purpose::List, &[b"ab", b"c"]);
        assert!(first.verifies(&code, Purpose::List, &[b"ab", b"c"]));
        assert!(!first.verifies(&code, Purpose::List, &[b"a", b"bc"]));
        assert!(!first.verifies(&code, Purpose::Document, &[b"ab", b"c"]));
        assert!(!second.verifies(&code, Purpose::List, &[b"ab", b"c"]));
        assert!(!first.verifies(&Code::from_text(""), Purpose::List, &[b"ab", b"c"]));
    }

    #[test]
    fn hkdf_and_hmac_are_those_of_the_rfcs() {
        // RFC 5869 A.3 has no salt and no info; our labels give other keys, so the derivation is compared with its parts.
        let secret = Secret(Zeroizing::new([0x0b; LENGTH]));
        let mut key = [0_u8; LENGTH];
        Hkdf::<Sha256>::new(None, &[0x0b; LENGTH])
            .expand(b"dfns-keys/list/2", &mut key)
            .unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(&[0, 0, 0, 0, 0, 0, 0, 2]);
        mac.update(b"id");
        assert_eq!(
            secret.code(Purpose::List, &[b"id"]).to_string(),
            hex(&mac.finalize().into_bytes())
        );
    }

    #[test]
    fn a_secret_survives_its_written_form() {
        let secret = Secret::generate().unwrap();
        let again = Secret::from_hex(&secret.expose_hex()).unwrap();
        assert_eq!(VaultId::of(&secret), VaultId::of(&again));
        assert!(Secret::from_hex("zz").is_none());
    }
}
