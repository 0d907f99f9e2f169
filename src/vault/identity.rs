//! The identities that open a vault: its own in `identity.age`, sealed by a passphrase (scrypt), or files that the
//! user names (age identities, passphrase-sealed ones, SSH private keys, plugins').

use std::path::{Path, PathBuf};

use age::{DecryptError, IdentityFile};
use secrecy::ExposeSecret;
use thiserror::Error;
use zeroize::Zeroizing;

use super::codes::VaultId;
use super::recipients::RecipientText;
use super::store::{Store, StoreError, Version};
use super::{AgeIdentity, VaultError, sealed, ssh};
use crate::model::quoted;
use crate::model::secret::Passphrase;
use crate::sys::files::{self, FileError};
use crate::sys::panics::contained;

/// The document of the vault's own identity.
pub(super) const FILE: &str = "identity.age";
/// Stands before the vault's id, in a comment of the identity file.
const VAULT: &str = "# dfns-keys vault: ";
const SIZE_LIMIT: u64 = 1024 * 1024;
/// Each is tried with each stanza of a file.
const MOST_IN_A_FILE: usize = 32;

/// What a passphrase is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PassphrasePurpose {
    /// The vault's own identity.
    Vault,
    /// An identity file of the user's.
    IdentityFile(PathBuf),
}

/// Whoever can be asked for passphrases and told about plugins. The library never asks a user itself.
pub trait Keyholder {
    /// The contents of the vault's `identity.age`, where they were kept from an earlier time.
    fn unlocked(&self) -> Option<Zeroizing<String>> {
        None
    }

    /// The passphrase for `purpose`.
    ///
    /// # Errors
    /// When there is none to be had, with the reason.
    fn passphrase(&self, purpose: &PassphrasePurpose) -> Result<Passphrase, IdentityError>;

    /// What the age crate shows and asks on behalf of a plugin or an SSH key.
    fn callbacks(&self) -> Box<dyn PluginDialogue>;
}

/// The age crate's questions on behalf of a plugin or an encrypted SSH key.
pub trait PluginDialogue: Send + Sync {
    /// Shows a message, such as "touch your key".
    fn show(&self, message: &str);
    /// Asks for a secret, such as a PIN.
    fn secret(&self, description: &str) -> Option<Passphrase>;
    /// Asks for something that is no secret.
    fn text(&self, description: &str) -> Option<String>;
    /// Asks to confirm something.
    fn confirm(&self, message: &str, yes: &str, no: Option<&str>) -> Option<bool>;
}

#[derive(Clone)]
struct Dialogue(std::sync::Arc<dyn PluginDialogue>);

impl age::Callbacks for Dialogue {
    fn display_message(&self, message: &str) {
        self.0.show(message);
    }

    fn confirm(&self, message: &str, yes_string: &str, no_string: Option<&str>) -> Option<bool> {
        self.0.confirm(message, yes_string, no_string)
    }

    fn request_public_string(&self, description: &str) -> Option<String> {
        self.0.text(description)
    }

    fn request_passphrase(&self, description: &str) -> Option<Passphrase> {
        self.0.secret(description)
    }
}

/// No identity could be had.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The vault has none of its own, and none was named.
    #[error("this vault has no identity of its own: it seals and never opens")]
    SealOnly,
    /// No passphrase, and nobody to ask.
    #[error("no terminal to ask for the passphrase on")]
    NobodyToAsk,
    /// The user stopped at the prompt.
    #[error("interrupted")]
    Interrupted,
    /// The terminal or the given source of the passphrase failed.
    #[error("cannot read the passphrase from {origin}")]
    PassphraseUnreadable {
        /// Where it should have come from.
        origin: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The passphrase does not open it.
    #[error("the passphrase does not open {what}")]
    WrongPassphrase {
        /// The vault or a file.
        what: String,
    },
    /// It asks for more work than we agree to.
    #[error("{what} is sealed too slowly: its scrypt work factor is {factor}, and more than {most} is not worked on")]
    TooMuchWork {
        /// The vault or a file.
        what: String,
        /// log2 of scrypt's N in it.
        factor: u8,
        /// The largest that we agree to.
        most: u8,
    },
    /// A file is no identity.
    #[error("{what} is damaged or no age identity: {reason}")]
    Unusable {
        /// The vault's identity or a file.
        what: String,
        /// In which way.
        reason: String,
    },
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The vault's own identities, newest first, and the vault's id: what `identity.age` seals.
pub(super) struct Own {
    pub(super) id: Option<VaultId>,
    pub(super) identities: Vec<age::x25519::Identity>,
}

impl Own {
    /// A new identity, alone.
    pub(super) fn generate() -> Self {
        Self {
            id: None,
            identities: vec![age::x25519::Identity::generate()],
        }
    }

    /// A new identity before those that were there: they stay, for opening.
    pub(super) fn with_newer(self) -> Self {
        let mut identities = vec![age::x25519::Identity::generate()];
        identities.extend(self.identities);
        Self {
            id: self.id,
            identities,
        }
    }

    /// The recipient that stands for the newest.
    pub(super) fn recipient(&self) -> RecipientText {
        self.identities[0]
            .to_public()
            .to_string()
            .parse()
            .expect("an identity's own recipient parses")
    }

    pub(super) fn parse(text: &str) -> Result<Self, IdentityError> {
        let id = text.lines().find_map(|line| line.strip_prefix(VAULT));
        let identities = native_of(text);
        if identities.is_empty() {
            return Err(unusable("there is no identity of the vault's in it"));
        }
        Ok(Self {
            id: id
                .map(|id| id.trim().parse())
                .transpose()
                .map_err(|_| unusable("the vault's id in it is none"))?,
            identities,
        })
    }

    /// The file, before it is sealed.
    pub(super) fn to_text(&self) -> Zeroizing<String> {
        // Room for every line, so that the text never moves and leaves a copy behind.
        let mut text = Zeroizing::new(String::with_capacity(256 * (self.identities.len() + 1)));
        if let Some(id) = &self.id {
            text.push_str(VAULT);
            text.push_str(id.as_str());
            text.push('\n');
        }
        for identity in &self.identities {
            text.push_str("# public key: ");
            text.push_str(&identity.to_public().to_string());
            text.push('\n');
            text.push_str(identity.to_string().expose_secret());
            text.push('\n');
        }
        text
    }

    /// The file, sealed under a passphrase.
    pub(super) fn seal(&self, passphrase: &Passphrase) -> Result<String, VaultError> {
        let text = self.to_text();
        sealed::seal_with_passphrase(text.as_bytes(), passphrase).map_err(|error| VaultError::Damaged {
            what: FILE.to_owned(),
            reason: error.to_string(),
        })
    }

    /// The newest, as age opens with it.
    pub(super) fn newest(&self) -> AgeIdentity {
        Box::new(self.identities[0].clone())
    }

    /// What age opens with.
    pub(super) fn into_identities(self) -> Vec<AgeIdentity> {
        self.identities
            .into_iter()
            .map(|identity| Box::new(identity) as AgeIdentity)
            .collect()
    }
}

fn unusable(reason: &str) -> IdentityError {
    IdentityError::Unusable {
        what: "the vault's identity.age".to_owned(),
        reason: reason.to_owned(),
    }
}

/// Opens the vault's own identity.
pub(super) async fn open_own(
    store: &dyn Store,
    keyholder: &dyn Keyholder,
) -> Result<(Vec<AgeIdentity>, Option<VaultId>), VaultError> {
    let (own, _) = read_own(store, keyholder).await?;
    let id = own.id.clone();
    Ok((own.into_identities(), id))
}

/// The vault's own identity as it is kept, with what the store calls this state of it.
pub(super) async fn read_own(store: &dyn Store, keyholder: &dyn Keyholder) -> Result<(Own, Version), VaultError> {
    let (bytes, version) = match store.get(FILE).await {
        Ok(found) => found,
        Err(StoreError::NotFound) => return Err(IdentityError::SealOnly.into()),
        Err(error) => return Err(error.into()),
    };
    if !sealed::is_passphrase_sealed(&bytes).map_err(|error| unusable(&error.to_string()))? {
        return Err(unusable("it is not a file that age sealed with a passphrase").into());
    }
    let passphrase = keyholder.passphrase(&PassphrasePurpose::Vault)?;
    Ok((open_own_with(&bytes, &passphrase)?, version))
}

/// Opens the contents of `identity.age`.
pub(super) fn open_own_with(bytes: &[u8], passphrase: &Passphrase) -> Result<Own, IdentityError> {
    Own::parse(&open_sealed(bytes, passphrase, "the vault")?)
}

fn native_of(text: &str) -> Vec<age::x25519::Identity> {
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn open_sealed(bytes: &[u8], passphrase: &Passphrase, what: &str) -> Result<Zeroizing<String>, IdentityError> {
    let plaintext = sealed::open_with_passphrase(bytes, passphrase).map_err(|error| passphrase_failure(error, what))?;
    match std::str::from_utf8(&plaintext) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(IdentityError::Unusable {
            what: what.to_owned(),
            reason: "what it seals is not text".to_owned(),
        }),
    }
}

/// Why something sealed under a passphrase did not open.
pub(super) fn passphrase_failure(error: DecryptError, what: &str) -> IdentityError {
    let what = what.to_owned();
    match error {
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed | DecryptError::NoMatchingKeys => {
            IdentityError::WrongPassphrase { what }
        }
        DecryptError::ExcessiveWork { required, .. } => IdentityError::TooMuchWork {
            what,
            factor: required,
            most: sealed::MOST_WORK,
        },
        other => IdentityError::Unusable {
            what,
            reason: other.to_string(),
        },
    }
}

/// Opens the identity files that the user named.
pub(super) fn open_files(paths: &[PathBuf], keyholder: &dyn Keyholder) -> Result<Vec<AgeIdentity>, IdentityError> {
    let mut identities = Vec::new();
    for path in paths {
        let bytes = files::read(path, SIZE_LIMIT)?;
        let shown = quoted::path(path);
        let unusable = |reason: String| IdentityError::Unusable {
            what: shown.clone(),
            reason,
        };
        if sealed::is_passphrase_sealed(&bytes).map_err(|error| unusable(error.to_string()))? {
            let passphrase = keyholder.passphrase(&PassphrasePurpose::IdentityFile(path.clone()))?;
            let text = open_sealed(&bytes, &passphrase, &shown)?;
            identities.extend(identities_of(&text, &shown, keyholder)?);
        } else if bytes.starts_with(b"-----BEGIN ") && bytes.windows(11).any(|part| part == b"PRIVATE KEY") {
            identities.push(ssh_identity(&bytes, path, keyholder)?);
        } else {
            let text = std::str::from_utf8(&bytes).map_err(|_| unusable("it is not text".to_owned()))?;
            identities.extend(identities_of(text, &shown, keyholder)?);
        }
    }
    Ok(identities)
}

fn ssh_identity(bytes: &[u8], path: &Path, keyholder: &dyn Keyholder) -> Result<AgeIdentity, IdentityError> {
    let what = quoted::path(path);
    let unusable = |reason: &str| IdentityError::Unusable {
        what: what.clone(),
        reason: reason.to_owned(),
    };
    ssh::check_private_key(bytes).map_err(|refused| unusable(&refused.to_string()))?;
    let malformed = ssh::Refused::Malformed.to_string();
    let identity = contained(|| age::ssh::Identity::from_buffer(bytes, Some(what.clone())))
        .and_then(Result::ok)
        .ok_or_else(|| unusable(&malformed))?;
    match identity {
        age::ssh::Identity::Unencrypted(_) => Ok(Box::new(identity)),
        // Opened here, once: the age crate would ask, and stretch the passphrase, for each stanza of each file.
        age::ssh::Identity::Encrypted(key) => {
            let passphrase = keyholder.passphrase(&PassphrasePurpose::IdentityFile(path.to_owned()))?;
            match contained(|| key.decrypt(passphrase)) {
                Some(Ok(key)) => Ok(Box::new(age::ssh::Identity::from(key))),
                Some(Err(error)) => Err(passphrase_failure(error, &what)),
                None => Err(unusable(&malformed)),
            }
        }
        age::ssh::Identity::Unsupported(_) => Err(unusable("SSH keys of its type cannot open age files")),
    }
}

fn identities_of(text: &str, shown: &str, keyholder: &dyn Keyholder) -> Result<Vec<AgeIdentity>, IdentityError> {
    let unusable = |reason: String| IdentityError::Unusable {
        what: shown.to_owned(),
        reason,
    };
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    if lines.count() > MOST_IN_A_FILE {
        return Err(unusable(format!("it has more than {MOST_IN_A_FILE} identities")));
    }
    let identities = IdentityFile::from_buffer(text.as_bytes())
        .map_err(|error| unusable(error.to_string()))?
        .with_callbacks(Dialogue(keyholder.callbacks().into()))
        .into_identities()
        .map_err(|error| unusable(error.to_string()))?;
    if identities.is_empty() {
        return Err(unusable("there is no identity in it".to_owned()));
    }
    Ok(identities)
}
