//! The vendor's own Rust SDK (crate `dfns-sdk-rust`), signing with a key from the vault.
//!
//! A service opens its credential once, at its start, and the SDK never sees the key:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::path::{Path, PathBuf};
//!
//! use dfns_keys::sdk::ServiceCredential;
//! use dfns_sdk_rust::DfnsClient;
//! use dfns_sdk_rust::wallets::types::CreateWalletRequest;
//!
//! let vault = Path::new("/var/lib/payments/vault");
//! let identity = PathBuf::from("/run/secrets/age-identity.txt");
//! let credential = ServiceCredential::open(vault, &"payments-api".parse()?, &[identity], None).await?;
//! let client = DfnsClient::new(credential.into_options())?;
//! let wallets = client.wallets.list_wallets(None).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The SDK's HTTP client links the system's TLS library; the `dfns-keys` program, which is built without this feature,
//! does not.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64ct::{Base64UrlUnpadded, Encoding};
use dfns_sdk_rust::Options;
use dfns_sdk_rust::error::Error as SdkError;
use dfns_sdk_rust::signer::{CredentialAssertion, CredentialAssertionData, UserActionChallenge, UserActionSigner};
use thiserror::Error;

use crate::keys::KeyError;
use crate::keys::pem::unseal;
use crate::model::credential::Unusable;
use crate::model::ids::{CredentialId, CredentialName};
use crate::model::secret::Passphrase;
use crate::model::token::AuthToken;
use crate::model::url::{ApiUrl, Origin};
use crate::model::user_action::{Ceremony, Signer, client_data};
use crate::sys::clock::SystemClock;
use crate::vault::{Machine, Unattended, Vault, VaultError};

/// A credential could not be had for a service.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The vault does not give it.
    #[error("the vault does not give the credential")]
    Vault(#[from] VaultError),
    /// It cannot be used by programs.
    #[error("the credential is not one for programs: {0}")]
    Unusable(#[from] Unusable),
    /// What signatures name its key by is not known.
    #[error("the credential's id is not known")]
    CredentialIdUnknown,
    /// The sealed key cannot be read.
    #[error("the sealed key cannot be read")]
    Key(#[from] KeyError),
}

/// Token, address and signer of a credential, as the SDK wants them.
pub struct ServiceCredential {
    api_url: ApiUrl,
    token: AuthToken,
    signer: KeySigner,
}

impl ServiceCredential {
    /// Opens a credential in a vault: with age identity files, or with the vault's own identity and its passphrase.
    ///
    /// While a rotation is under way it is the key in use; open it again after one, before the old key is retired.
    ///
    /// # Errors
    /// When the vault or the credential cannot be opened, or it has no token yet.
    pub async fn open(
        vault: &Path,
        name: &CredentialName,
        identities: &[PathBuf],
        passphrase: Option<Passphrase>,
    ) -> Result<Self, OpenError> {
        let vault = Vault::open(vault, Machine::default(), Box::new(SystemClock), Duration::ZERO).await?;
        let unlocked = vault.unlock(identities, &Unattended::with(passphrase)).await?;
        let (environment, generation) = unlocked.get(name).await?.into_usable()?;
        Ok(Self {
            signer: KeySigner {
                key: Box::new(unseal(&generation.private_key)?),
                credential_id: generation.credential_id.ok_or(OpenError::CredentialIdUnknown)?,
                origin: environment.origin,
            },
            api_url: environment.api_url,
            token: generation.token,
        })
    }

    /// What `DfnsClient::new` takes. From here on the token is a plain text in the SDK's hands.
    #[must_use]
    pub fn into_options(self) -> Options {
        Options {
            base_url: self.api_url.to_string(),
            auth_token: self.token.expose_secret().to_owned(),
            signer: Some(Arc::new(self.signer)),
            http: None,
        }
    }
}

/// Signs user actions with a private key, which stays here and is wiped when the signer goes.
pub struct KeySigner {
    key: Box<dyn Signer>,
    credential_id: CredentialId,
    origin: Origin,
}

impl KeySigner {
    /// A signer of its parts, for a key that does not come from a vault.
    #[must_use]
    pub fn new(key: Box<dyn Signer>, credential_id: CredentialId, origin: Origin) -> Self {
        Self {
            key,
            credential_id,
            origin,
        }
    }
}

#[async_trait]
impl UserActionSigner for KeySigner {
    async fn sign(&self, challenge: &UserActionChallenge) -> Result<CredentialAssertion, SdkError> {
        let client_data = client_data(Ceremony::Get, &challenge.challenge, &self.origin);
        let signature = self.key.sign(&client_data).await;
        let signature = signature.map_err(|error| SdkError::Signer(error.to_string()))?;
        Ok(CredentialAssertion {
            kind: "Key".to_owned(),
            credential_assertion: CredentialAssertionData {
                cred_id: self.credential_id.as_str().to_owned(),
                signature: Base64UrlUnpadded::encode_string(&signature),
                client_data: Base64UrlUnpadded::encode_string(&client_data),
            },
        })
    }
}
