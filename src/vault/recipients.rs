//! To whom credentials are sealed: age recipients, as they are written and as age takes them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{sealed, ssh};
use crate::model::quoted::{self, Quoted};

/// A post-quantum recipient takes 2 KiB.
const LONGEST: usize = 8 * 1024;

/// A recipient cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecipientError {
    /// It is none of the kinds we know.
    #[error("{given} is not an age recipient")]
    Invalid {
        /// What was given.
        given: Quoted,
    },
    /// It is an age identity, which is secret. Not repeated.
    #[error("that is an age identity, which is secret, not a recipient")]
    IsIdentity,
    /// An SSH key of a type age cannot encrypt to.
    #[error("SSH keys of type {kind} cannot be recipients; ssh-ed25519 and ssh-rsa can")]
    UnsupportedSsh {
        /// The type.
        kind: String,
    },
    /// There would be nobody left.
    #[error("a vault needs at least one recipient")]
    None,
    /// There would be more than every file can be sealed to.
    #[error("a vault takes {most} recipients at most")]
    TooMany {
        /// How many it takes.
        most: usize,
    },
    /// A label cannot be written.
    #[error("a label has 1 to 64 letters, digits, spaces and . , _ @ + - ' ( )")]
    Label,
    /// It is there already.
    #[error("{0} is among the recipients already")]
    Listed(RecipientText),
    /// It is not in `recipients.txt`.
    #[error("{0} is not among the recipients")]
    NotListed(RecipientText),
    /// The age crate or a plugin refuses to encrypt to these.
    #[error("cannot encrypt to these recipients: {reason}")]
    Unusable {
        /// In the crate's words.
        reason: String,
    },
}

/// An age recipient as it is written: X25519, a plugin's, a tagged one, or an SSH public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecipientText(String);

impl RecipientText {
    /// The recipient's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RecipientText {
    type Err = RecipientError;

    fn from_str(text: &str) -> Result<Self, RecipientError> {
        let text = text.trim();
        if text.len() > LONGEST {
            return Err(invalid(text));
        }
        if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-")
            || text.to_ascii_uppercase().starts_with("AGE-PLUGIN-")
            || text.contains("PRIVATE KEY")
        {
            return Err(RecipientError::IsIdentity);
        }
        // A comment behind an SSH key is no part of it: it would make the same key look like two.
        let text = if text.starts_with("ssh-") {
            text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
        } else {
            text.to_owned()
        };
        parse(&text)?;
        Ok(Self(text))
    }
}

impl TryFrom<String> for RecipientText {
    type Error = RecipientError;

    fn try_from(text: String) -> Result<Self, RecipientError> {
        text.parse()
    }
}

impl From<RecipientText> for String {
    fn from(recipient: RecipientText) -> Self {
        recipient.0
    }
}

impl fmt::Display for RecipientText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

type AgeRecipient = Box<dyn age::Recipient + Send>;

fn parse(text: &str) -> Result<AgeRecipient, RecipientError> {
    if let Ok(recipient) = text.parse::<age::x25519::Recipient>() {
        return Ok(Box::new(recipient));
    }
    if let Ok(recipient) = text.parse::<age::tag::Recipient>() {
        return Ok(Box::new(recipient));
    }
    if let Ok(recipient) = text.parse::<age::tagpq::Recipient>() {
        return Ok(Box::new(recipient));
    }
    if text.starts_with("ssh-rsa ") && !ssh::is_rsa_public_key(text) {
        return Err(invalid(text));
    }
    match text.parse::<age::ssh::Recipient>() {
        Ok(recipient) => return Ok(Box::new(recipient)),
        Err(age::ssh::ParseRecipientKeyError::Unsupported(kind)) if ssh::is_type(&kind) => {
            return Err(RecipientError::UnsupportedSsh {
                kind: quoted::shown(&kind),
            });
        }
        Err(_) => {}
    }
    if let Ok(recipient) = text.parse::<age::plugin::Recipient>() {
        // Whether the plugin is installed shows when something is sealed.
        let name = recipient.plugin().to_owned();
        return age::plugin::RecipientPluginV1::new(&name, &[recipient], &[], age::NoCallbacks)
            .map(|plugin| Box::new(plugin) as AgeRecipient)
            .map_err(|error| RecipientError::Unusable {
                reason: error.to_string(),
            });
    }
    Err(invalid(text))
}

fn invalid(text: &str) -> RecipientError {
    RecipientError::Invalid {
        given: Quoted::of(text),
    }
}

/// What the age crate encrypts to.
pub(super) fn to_age(recipients: &[RecipientText]) -> Result<Vec<AgeRecipient>, RecipientError> {
    recipients.iter().map(|recipient| parse(recipient.as_str())).collect()
}

/// Whether something can be sealed to these, all together.
pub(super) fn check(recipients: &[RecipientText]) -> Result<(), RecipientError> {
    if recipients.is_empty() {
        return Ok(());
    }
    // The vault's own may come to them.
    let most = sealed::MOST_RECIPIENTS - 1;
    if recipients.len() > most {
        return Err(RecipientError::TooMany { most });
    }
    sealed::seal(b"", &to_age(recipients)?)
        .map(drop)
        .map_err(|error| RecipientError::Unusable {
            reason: error.to_string(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_given_as_recipient_is_not_repeated() {
        use secrecy::ExposeSecret;
        let identity = age::x25519::Identity::generate();
        let secret = identity.to_string();
        for text in [secret.expose_secret().to_owned(), secret.expose_secret().to_lowercase()] {
            let error = text.parse::<RecipientText>().unwrap_err();
            assert_eq!(error, RecipientError::IsIdentity);
            assert!(!error.to_string().contains(&text[16..]));
        }
        let recipient = identity.to_public().to_string();
        assert_eq!(recipient.parse::<RecipientText>().unwrap().as_str(), recipient);
    }

    #[test]
    fn an_ssh_key_loses_its_comment() {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN";
        let recipient: RecipientText = format!("{key} alice@example.com").parse().unwrap();
        assert_eq!(recipient.as_str(), key);
    }
}
