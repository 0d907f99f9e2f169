//! Secrets as types without doors: no `Debug`, no `Display`, no serde. The one way in is `expose_secret`, which
//! can be searched for; memory is wiped when the value goes.

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

/// A private key as PKCS#8 PEM (RFC 5958, RFC 7468), the form in which the vault keeps it.
pub struct PrivateKeyPem(Zeroizing<String>);

impl PrivateKeyPem {
    /// Takes ownership of a PEM text that the `keys` module has written or checked.
    #[must_use]
    pub fn new(pem: Zeroizing<String>) -> Self {
        Self(pem)
    }

    /// The PEM text itself. Whoever calls this answers for where it goes.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        &self.0
    }
}

impl Clone for PrivateKeyPem {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// A passphrase, as age's API takes it.
pub type Passphrase = SecretString;

/// The PIN of a token that keys are held in.
pub type Pin = SecretString;

/// Makes a passphrase of a text, dropping one trailing new line (`\n` or `\r\n`), so that
/// `echo secret > file` and `printf secret > file` mean the same.
#[must_use]
pub fn passphrase_from_text(text: &str) -> Passphrase {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    SecretString::from(text.to_owned())
}

/// Whether a passphrase has no characters at all.
#[must_use]
pub fn is_empty(passphrase: &Passphrase) -> bool {
    passphrase.expose_secret().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_trailing_new_line_is_dropped_and_no_more() {
        for (text, expected) in [
            ("secret", "secret"),
            ("secret\n", "secret"),
            ("secret\r\n", "secret"),
            ("secret\n\n", "secret\n"),
            (" secret ", " secret "),
        ] {
            assert_eq!(passphrase_from_text(text).expose_secret(), expected);
        }
    }
}
