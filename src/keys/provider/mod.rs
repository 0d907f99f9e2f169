//! Keys that never leave where they were made: a PKCS#11 token, AWS KMS, a transit engine, or whatever a plug-in knows. They are
//! made there, on P-256 and not exportable, and sign there; what they sign is checked here against the public half that is
//! known, whatever place it comes from.

mod aws_kms;
#[cfg(all(unix, feature = "pkcs11"))]
mod pkcs11;
#[cfg(all(unix, feature = "pkcs11"))]
mod pkcs11_module;
mod plugin;
mod sigv4;
mod transit;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{DerSignature, VerifyingKey};
use spki::DecodePublicKey;

pub use aws_kms::AwsAccess;
#[cfg(all(unix, feature = "pkcs11"))]
pub use pkcs11_module::serve as serve_pkcs11;

use super::PublicKey;
use crate::model::credential::{HeldReference, KeyMaterial, PublicKeyText};
use crate::model::held_key::HeldKeyError;
use crate::model::key_uri::KeyUri;
use crate::model::quoted;
use crate::model::secret::Pin;
use crate::model::user_action::{Signer, SignerError};
use crate::remote::VaultAccess;
use crate::remote::http::{Answer, RemoteError, Server};

/// The one argument with which the program that has the `cli` feature becomes the process that a PKCS#11 module is loaded in.
pub const PKCS11_ARGUMENT: &str = "load-pkcs11-module";

/// Who knows the PIN of a token that no file is named for.
pub trait PinSupplier: Send + Sync {
    /// The PIN; `None` where nobody can be asked.
    ///
    /// # Errors
    /// When it should be somewhere and cannot be read.
    fn pin(&self, token: &str) -> Result<Option<Pin>, HeldKeyError>;
}

/// What places of keys are reached with. A process has one, as it has one environment: a credential that is opened says where its
/// key is, not how this machine gets there.
pub struct KeyPlaces {
    /// How long one answer may take.
    pub limit: Duration,
    /// The program that loads PKCS#11 modules, in a process of its own: `dfns-keys`.
    pub program: PathBuf,
    /// Who knows PINs.
    pub pins: Box<dyn PinSupplier>,
    /// What is known of Vault.
    pub vault: VaultAccess,
    /// What is known of AWS.
    pub aws: AwsAccess,
}

/// The process's places, and the keys that were worked with.
struct Installed {
    places: KeyPlaces,
    providers: Mutex<HashMap<KeyUri, Arc<dyn Provider>>>,
}

static INSTALLED: OnceLock<Installed> = OnceLock::new();

/// A place, as one of its keys is worked with.
#[async_trait]
trait Provider: Send + Sync {
    /// Makes the key, which must not be there yet.
    async fn make(&self) -> Result<PublicKey, HeldKeyError>;

    /// The public half of the key that is there.
    async fn find(&self) -> Result<PublicKey, HeldKeyError>;

    /// Signs; DER.
    async fn sign(&self, message: &[u8], public: &PublicKey) -> Result<Vec<u8>, HeldKeyError>;
}

impl KeyPlaces {
    /// Has this process reach keys in this way, from now on. What was installed first stays.
    pub fn install(self) {
        let _ = INSTALLED.set(Installed {
            places: self,
            providers: Mutex::default(),
        });
    }

    fn open(&self, uri: &KeyUri) -> Result<Arc<dyn Provider>, HeldKeyError> {
        Ok(match uri {
            #[cfg(all(unix, feature = "pkcs11"))]
            KeyUri::Pkcs11(key) => Arc::new(pkcs11::Pkcs11::new(self, uri, key)?),
            #[cfg(not(all(unix, feature = "pkcs11")))]
            KeyUri::Pkcs11(_) => return Err(HeldKeyError::NotBuilt),
            KeyUri::AwsKms(key) => Arc::new(aws_kms::AwsKms::new(self, uri, key)?),
            KeyUri::Hashivault(key) => Arc::new(transit::Transit::new(self, uri, key)?),
            KeyUri::Plugin(key) => Arc::new(plugin::Plugin::new(self, uri, key)),
        })
    }
}

/// A key's place, which stays open for as long as this process lives.
fn provider(uri: &KeyUri) -> Result<Arc<dyn Provider>, HeldKeyError> {
    let installed = INSTALLED.get().ok_or_else(|| {
        HeldKeyError::NotSetUp("this program does not say how keys that are held elsewhere are reached".to_owned())
    })?;
    let mut providers = installed.providers.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(provider) = providers.get(uri) {
        return Ok(Arc::clone(provider));
    }
    let provider = installed.places.open(uri)?;
    providers.insert(uri.clone(), Arc::clone(&provider));
    Ok(provider)
}

/// Makes a key, which must not be there yet.
///
/// # Errors
/// When there is one, or none was made.
pub async fn make(uri: &KeyUri) -> Result<HeldKey, HeldKeyError> {
    let key = provider(uri)?.make().await?;
    Ok(HeldKey::of(uri.clone(), key))
}

/// A key that is there.
///
/// # Errors
/// When there is none ([`HeldKeyError::Gone`]), or it is no key for Dfns.
pub async fn find(uri: &KeyUri) -> Result<HeldKey, HeldKeyError> {
    let key = provider(uri)?.find().await?;
    Ok(HeldKey::of(uri.clone(), key))
}

/// A key that is held elsewhere, and signs there.
pub struct HeldKey {
    uri: KeyUri,
    key: PublicKey,
    public: PublicKeyText,
}

impl HeldKey {
    fn of(uri: KeyUri, key: PublicKey) -> Self {
        Self {
            uri,
            public: key.to_text(),
            key,
        }
    }

    /// One whose public half is known. Its place is asked for nothing before it signs.
    ///
    /// # Errors
    /// When that is no key on P-256.
    pub fn known(uri: KeyUri, public_pem: &str) -> Result<Self, HeldKeyError> {
        let key = public_key_of_pem(public_pem, &uri.in_words())?;
        Ok(Self::of(uri, key))
    }

    /// What the vault keeps of it.
    #[must_use]
    pub fn to_sealable(&self) -> KeyMaterial {
        KeyMaterial::Held(Box::new(HeldReference {
            uri: self.uri.clone(),
            public_key: self.public.pem.clone(),
        }))
    }

    /// Where it is.
    #[must_use]
    pub fn uri(&self) -> &KeyUri {
        &self.uri
    }

    async fn signature(&self, message: &[u8]) -> Result<Vec<u8>, HeldKeyError> {
        let der = provider(&self.uri)?.sign(message, &self.key).await?;
        let signature = DerSignature::from_bytes(&der).map_err(|_| HeldKeyError::Rubbish {
            who: self.uri.in_words(),
            what: "something that is no signature on P-256".to_owned(),
        })?;
        // One of another key, or of another digest, is told from a refusal of Dfns's.
        VerifyingKey::from(&self.key.0)
            .verify(message, &signature)
            .map_err(|_| HeldKeyError::OtherKey {
                what: self.uri.in_words(),
            })?;
        Ok(der)
    }
}

#[async_trait]
impl Signer for HeldKey {
    fn public_key(&self) -> PublicKeyText {
        self.public.clone()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.signature(message).await?)
    }
}

/// A public key as a place gives it out.
fn public_key(der: &[u8], what: &str) -> Result<PublicKey, HeldKeyError> {
    let key = p256::PublicKey::from_public_key_der(der).map_err(|_| other_curve(what))?;
    Ok(PublicKey(key))
}

fn public_key_of_pem(pem: &str, what: &str) -> Result<PublicKey, HeldKeyError> {
    let key = p256::PublicKey::from_public_key_pem(pem).map_err(|_| other_curve(what))?;
    Ok(PublicKey(key))
}

fn other_curve(what: &str) -> HeldKeyError {
    HeldKeyError::OtherKind {
        what: what.to_owned(),
        kind: "a key of another kind".to_owned(),
    }
}

fn unreached(error: RemoteError) -> HeldKeyError {
    match error {
        RemoteError::NoFile { error } => HeldKeyError::NotSetUp(format!("{error}: {}", error.source)),
        RemoteError::NotSetUp(text) => HeldKeyError::NotSetUp(text),
        RemoteError::Unreachable { server, reason, .. } => HeldKeyError::Unreachable {
            who: server.to_owned(),
            reason,
        },
        RemoteError::Rubbish { server, what } => HeldKeyError::Rubbish {
            who: server.to_owned(),
            what: what.to_owned(),
        },
    }
}

/// What a server says of a refusal, unless it repeats who we are.
fn words(server: &Server, text: &str) -> Option<String> {
    if server.shows_who_we_are(text) {
        return Some("[not repeated: it has a secret in it]".to_owned());
    }
    quoted::sentence(text.as_bytes())
}

fn no_answer(server: &Server, what: &str) -> HeldKeyError {
    HeldKeyError::Rubbish {
        who: server.name().to_owned(),
        what: what.to_owned(),
    }
}

fn parsed<T: serde::de::DeserializeOwned>(server: &Server, answer: &Answer) -> Result<T, HeldKeyError> {
    serde_json::from_slice(&answer.body).map_err(|_| no_answer(server, "something that is not its JSON"))
}
