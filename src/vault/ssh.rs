//! SSH keys (RFC 4253, and OpenSSH's own format of private keys) as far as they must be looked at before the age crate works
//! on them: one that is malformed would make it panic, and one with many rounds of bcrypt would keep it busy for years.

use base64ct::{Base64, Base64Unpadded, Encoding};
use thiserror::Error;
use zeroize::Zeroizing;

/// An RSA key of 8192 bits takes 6.5 kB.
const LONGEST_PRIVATE_KEY: usize = 8 * 1024;
/// A second or two. ssh-keygen writes 16 to 24, and those who mean it ask for 100.
const MOST_ROUNDS: u32 = 256;

/// An SSH private key that is not worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Refused {
    #[error("it is larger than an SSH private key that age can use")]
    TooLarge,
    #[error(
        "its passphrase is stretched by {0} rounds of bcrypt, and more than {MOST_ROUNDS} are not worked on: `ssh-keygen -p -a 100 -f FILE` sets another"
    )]
    Rounds(u32),
    #[error("it is no SSH private key")]
    Malformed,
}

/// Whether `ssh-rsa BASE64` holds what it says: a name and two positive numbers in their shortest form.
pub(super) fn is_rsa_public_key(recipient: &str) -> bool {
    let base64 = recipient.split_whitespace().nth(1).unwrap_or_default();
    let Ok(bytes) = Base64Unpadded::decode_vec(base64.trim_end_matches('=')) else {
        return false;
    };
    let mut rest = &bytes[..];
    string(&mut rest) == Some(b"ssh-rsa")
        && string(&mut rest).is_some_and(is_positive)
        && string(&mut rest).is_some_and(is_positive)
        && rest.is_empty()
}

/// Whether a text can be the name of a type of key, such as `ecdsa-sha2-nistp256` or `sk-ssh-ed25519@openssh.com`.
pub(super) fn is_type(text: &str) -> bool {
    text.len() <= 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-@.".contains(&byte))
}

/// Whether a private key can be worked on: none is refused for its passphrase here.
pub(super) fn check_private_key(pem: &[u8]) -> Result<(), Refused> {
    if pem.len() > LONGEST_PRIVATE_KEY {
        return Err(Refused::TooLarge);
    }
    let text = std::str::from_utf8(pem).map_err(|_| Refused::Malformed)?;
    let Some((_, body)) = text.split_once("-----BEGIN OPENSSH PRIVATE KEY-----") else {
        return Ok(());
    };
    match rounds(body.split("-----").next().unwrap_or_default()) {
        Some(rounds) if rounds > MOST_ROUNDS => Err(Refused::Rounds(rounds)),
        Some(_) => Ok(()),
        None => Err(Refused::Malformed),
    }
}

/// The rounds of bcrypt before an OpenSSH private key opens; 0 for one without a passphrase.
fn rounds(body: &str) -> Option<u32> {
    let mut compact = Zeroizing::new(String::with_capacity(body.len()));
    compact.extend(body.chars().filter(|c| !c.is_ascii_whitespace()));
    let bytes = Zeroizing::new(Base64::decode_vec(&compact).ok()?);
    let mut rest = bytes.strip_prefix(b"openssh-key-v1\0")?;
    let _cipher = string(&mut rest)?;
    let derivation = string(&mut rest)?;
    let mut options = string(&mut rest)?;
    match derivation {
        b"none" => Some(0),
        b"bcrypt" => {
            let _salt = string(&mut options)?;
            Some(u32::from_be_bytes(options.try_into().ok()?))
        }
        _ => None,
    }
}

/// Takes a `string` (RFC 4251) off the front.
fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (field, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(field)
}

/// Whether an `mpint` (RFC 4251) is a positive number in its shortest form.
fn is_positive(bytes: &[u8]) -> bool {
    match bytes {
        [] | [0] => false,
        [0, second, ..] => second & 0x80 != 0,
        [first, ..] => first & 0x80 == 0,
    }
}
