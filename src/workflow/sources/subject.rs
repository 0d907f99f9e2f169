//! The values of one environment, as another program would find them.

use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};

use crate::model::credential::{
    ActiveGeneration, Credential, Environment, KeyMaterial, PendingGeneration, PublicKeyText, UserGeneration,
};
use crate::model::ids::{CredentialId, CredentialName, Username};

/// One variable of an environment. Values are secrets until shown otherwise: somebody may have pasted a key anywhere.
pub struct Variable {
    /// What the source calls it.
    pub name: &'static str,
    value: Option<SecretString>,
}

impl Variable {
    /// A variable as it was found, or was not.
    #[must_use]
    pub fn new(name: &'static str, value: Option<SecretString>) -> Self {
        Self { name, value }
    }

    /// Whether it is there, be it empty.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.value.is_some()
    }

    /// How many bytes its value has.
    pub(super) fn length(&self) -> usize {
        self.value.as_ref().map_or(0, |value| value.expose_secret().len())
    }

    /// Its value as what it should be, if it is there and not empty.
    #[must_use]
    pub fn read<T: FromStr>(&self) -> Option<Result<T, T::Err>> {
        self.value().map(str::parse)
    }

    /// Its value, if it is there and not empty.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        self.value
            .as_ref()
            .map(SecretString::expose_secret)
            .filter(|value| !value.trim().is_empty())
    }
}

/// Where an environment was found, which decides what its readers can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The vault.
    Vault,
    /// The vault, where the token is still to come.
    Pending,
    /// A Postman environment export.
    Postman,
    /// A `.env` file.
    Dotenv,
    /// The environment of this process.
    ProcessEnvironment,
}

/// An environment as it was found.
pub struct Subject {
    /// What reports call it.
    pub label: String,
    /// Where it was found.
    pub source: Source,
    /// The names of variables in it that are none of ours, the first of them.
    pub others: Vec<String>,
    /// How the API is spoken to, where the address does not say: `https`.
    pub scheme: String,
    /// The permission bits of its file, where it has some.
    pub mode: Option<u32>,
    /// What people call it: its file's name, and its own.
    pub names: Vec<String>,
    /// The API's address.
    pub api_url: Variable,
    /// The bearer token.
    pub token: Variable,
    /// The private key, as PEM, or where it is held.
    pub private_key: Variable,
    /// The same as the vault has it, where it is held elsewhere.
    pub held: Option<KeyMaterial>,
    /// Whether the source says that the key is in base64, so that whoever reads it decodes it.
    pub key_is_declared_base64: bool,
    /// What signatures name the key by.
    pub credential_id: Variable,
    /// The application.
    pub application_id: Variable,
    /// The origin in client data.
    pub origin: Variable,
    /// The organisation.
    pub organisation_id: Variable,
    /// The public key kept beside the private one, as PEM.
    pub public_key: Variable,
    /// Who logs in, for a user, who has no token.
    pub username: Option<Username>,
}

impl Subject {
    /// All of them.
    pub(super) fn variables(&self) -> impl Iterator<Item = &Variable> {
        [
            &self.api_url,
            &self.token,
            &self.private_key,
            &self.credential_id,
            &self.application_id,
            &self.origin,
            &self.organisation_id,
            &self.public_key,
        ]
        .into_iter()
    }

    /// A credential of the vault's.
    #[must_use]
    pub fn from_vault(name: &CredentialName, environment: &Environment, generation: &ActiveGeneration) -> Self {
        Self {
            token: Variable::new("token", text(generation.token.expose_secret())),
            ..Self::sealed(
                name,
                environment,
                &generation.private_key,
                &generation.public_key,
                generation.credential_id.as_ref(),
            )
        }
    }

    /// A credential of the vault's that has no token yet.
    #[must_use]
    pub fn from_pending(credential: &Credential<PendingGeneration>) -> Self {
        let pending = &credential.current;
        Self {
            source: Source::Pending,
            ..Self::sealed(
                &credential.name,
                &credential.environment,
                &pending.private_key,
                &pending.public_key,
                None,
            )
        }
    }

    /// A user of the vault's.
    #[must_use]
    pub fn from_user(credential: &Credential<UserGeneration>) -> Self {
        let user = &credential.current;
        Self {
            username: Some(user.username.clone()),
            ..Self::sealed(
                &credential.name,
                &credential.environment,
                &user.private_key,
                &user.public_key,
                user.credential_id.as_ref(),
            )
        }
    }

    fn sealed(
        name: &CredentialName,
        environment: &Environment,
        private_key: &KeyMaterial,
        public_key: &PublicKeyText,
        credential_id: Option<&CredentialId>,
    ) -> Self {
        Self {
            label: name.to_string(),
            source: Source::Vault,
            others: Vec::new(),
            scheme: "https".to_owned(),
            mode: None,
            names: vec![name.to_string()],
            api_url: Variable::new("api_url", text(&environment.api_url.to_string())),
            token: Variable::new("token", None),
            private_key: Variable::new(
                "private_key",
                match private_key {
                    KeyMaterial::Sealed(pem) => text(pem.expose_secret()),
                    KeyMaterial::Held(reference) => text(&reference.uri.to_string()),
                },
            ),
            held: private_key.held().is_some().then(|| private_key.clone()),
            key_is_declared_base64: false,
            credential_id: Variable::new("credential_id", credential_id.and_then(|id| text(id.as_str()))),
            application_id: Variable::new(
                "app_id",
                environment.application_id.as_ref().and_then(|id| text(id.as_str())),
            ),
            origin: Variable::new("origin", text(&environment.origin.to_string())),
            organisation_id: Variable::new(
                "org_id",
                environment.organisation_id.as_ref().and_then(|id| text(id.as_str())),
            ),
            public_key: Variable::new("public_key", text(&public_key.pem)),
            username: None,
        }
    }
}

// An option, because that is what a variable's value is.
#[expect(clippy::unnecessary_wraps, reason = "a variable takes an optional value")]
fn text(value: &str) -> Option<SecretString> {
    Some(SecretString::from(value.to_owned()))
}
