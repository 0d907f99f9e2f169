//! Handing a credential over: from a credential to text that another program reads. Pure; what it returns is wiped.

mod dotenv;
mod json;
mod kubernetes;
mod postman;

use base64ct::{Base64, Encoding};
use thiserror::Error;
use zeroize::Zeroizing;

pub use postman::collection as postman_collection;

use crate::model::credential::{ActiveGeneration, Environment, KeyIsHeld};
use crate::model::ids::{ApplicationId, CredentialId, CredentialName, OrganisationId};
use crate::model::secret::PrivateKeyPem;
use crate::model::url::ApiUrl;

/// The forms a credential can be handed over in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// A `.env` file: single quotes and real line breaks, which python-dotenv, npm dotenv, node and bash read alike.
    Dotenv,
    /// A `v1` Secret, as JSON, which is YAML too.
    Kubernetes,
    /// A file for `gh secret set -f`.
    Github,
    /// A file for docker's `--env-file`, which cannot hold line breaks: the key is in base64.
    DockerEnv,
    /// One JSON object.
    Json,
    /// The private key alone, PKCS#8 PEM.
    PemPrivate,
    /// The public key alone, SPKI PEM. No secret.
    PemPublic,
    /// A Postman environment with the variables of the vendor's collection.
    PostmanEnvironment(PostmanAuth),
    /// A Postman environment that leads through a signing proxy at this address. No secret.
    PostmanThroughProxy(PostmanAuth, ApiUrl),
}

/// The variable that says `base64` beside a key which had to be written so.
pub const KEY_ENCODING: &str = "DFNS_PRIVATE_KEY_ENCODING";

/// Which of the vendor's two Postman set-ups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum PostmanAuth {
    /// `useAuthV2` is `true`.
    #[cfg_attr(feature = "cli", value(help = None::<&str>))]
    V2,
    /// The deprecated one.
    #[cfg_attr(feature = "cli", value(help = None::<&str>))]
    V1,
}

impl Format {
    /// Whether the text holds a secret.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        !matches!(self, Self::PemPublic | Self::PostmanThroughProxy(..))
    }
}

/// A program signs under the credential's id, which is not known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the credential id of {0} is not known")]
pub struct CredentialIdUnknown(pub CredentialName);

/// A credential cannot be handed over in the form that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExportError {
    /// A program signs under the credential's id, which is not known.
    #[error(transparent)]
    CredentialId(#[from] CredentialIdUnknown),
    /// A program signs with the private key, which is held elsewhere.
    #[error("{name} cannot be handed over: {error}")]
    Held {
        /// The credential.
        name: CredentialName,
        /// Where.
        error: KeyIsHeld,
    },
}

/// A credential as it is handed over.
#[derive(Clone, Copy)]
pub struct Exportable<'a> {
    /// Its local name.
    pub name: &'a CredentialName,
    /// Where it is used.
    pub environment: &'a Environment,
    /// Key and token.
    pub generation: &'a ActiveGeneration,
}

impl Exportable<'_> {
    /// What signatures name the key by, without which no program can sign.
    fn credential_id(&self) -> Result<&CredentialId, CredentialIdUnknown> {
        let known = self.generation.credential_id.as_ref();
        known.ok_or_else(|| CredentialIdUnknown(self.name.clone()))
    }

    /// The private key, as PKCS#8 PEM.
    fn private_key(&self) -> Result<&str, ExportError> {
        let sealed = self.generation.private_key.sealed();
        sealed
            .map(PrivateKeyPem::expose_secret)
            .map_err(|error| ExportError::Held {
                name: self.name.clone(),
                error,
            })
    }

    /// The variables that the vendor's SDK examples read, and what else a program may want to know.
    ///
    /// # Errors
    /// When the private key is held elsewhere, or the credential's id is not known.
    pub fn variables(&self) -> Result<Vec<(&'static str, Zeroizing<String>)>, ExportError> {
        let text = |value: &str| Zeroizing::new(value.to_owned());
        let Environment {
            api_url,
            origin,
            application_id,
            organisation_id,
        } = self.environment;
        let mut variables = vec![
            ("DFNS_API_URL", text(&api_url.to_string())),
            ("DFNS_AUTH_TOKEN", text(self.generation.token.expose_secret())),
            ("DFNS_CRED_ID", text(self.credential_id()?.as_str())),
            ("DFNS_PRIVATE_KEY", text(self.private_key()?)),
        ];
        variables.extend(
            application_id
                .as_ref()
                .map(|id: &ApplicationId| ("DFNS_APP_ID", text(id.as_str()))),
        );
        variables.push(("DFNS_ORIGIN", text(&origin.to_string())));
        variables.extend(
            organisation_id
                .as_ref()
                .map(|id: &OrganisationId| ("DFNS_ORG_ID", text(id.as_str()))),
        );
        Ok(variables)
    }

    /// The credential in this form.
    ///
    /// # Errors
    /// When the form has the private key, and that is held elsewhere, or names the credential's id, and that is not known.
    pub fn render(&self, format: &Format) -> Result<Zeroizing<String>, ExportError> {
        Ok(match format {
            Format::Dotenv | Format::Github => dotenv::quoted(&self.variables()?),
            Format::DockerEnv => dotenv::one_line_each(&self.variables()?),
            Format::Kubernetes => kubernetes::secret(self)?,
            Format::Json => json::object(self)?,
            Format::PemPrivate => Zeroizing::new(self.private_key()?.to_owned()),
            Format::PemPublic => Zeroizing::new(self.generation.public_key.pem.clone()),
            Format::PostmanEnvironment(auth) => postman::environment(self, *auth, None)?,
            Format::PostmanThroughProxy(auth, proxy) => postman::environment(self, *auth, Some(proxy))?,
        })
    }
}

/// The standard base64 of a secret.
fn base64(secret: &str) -> Zeroizing<String> {
    Zeroizing::new(Base64::encode_string(secret.as_bytes()))
}

/// An empty text with room for all of it, so that it never moves and leaves a copy behind.
fn room_for(length: usize) -> Zeroizing<String> {
    Zeroizing::new(String::with_capacity(length))
}

/// A secret as a JSON string, quotes included.
fn json_string(secret: &str) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(secret.len() * 6 + 2));
    serde_json::to_writer(&mut *bytes, secret).expect("a text serialises into memory");
    let mut text = room_for(bytes.len());
    text.push_str(std::str::from_utf8(&bytes).expect("JSON is UTF-8"));
    text
}

/// A JSON object of texts, in this order.
fn json_object(fields: &[(&str, Zeroizing<String>)], indent: &str) -> Zeroizing<String> {
    let length: usize = fields
        .iter()
        .map(|(name, value)| name.len() + value.len() * 6 + 32)
        .sum();
    let mut text = room_for(length + 16);
    text.push_str("{\n");
    for (position, (name, value)) in fields.iter().enumerate() {
        for part in [indent, "  ", &json_string(name), ": ", &json_string(value)] {
            text.push_str(part);
        }
        text.push_str(if position + 1 == fields.len() { "\n" } else { ",\n" });
    }
    text.push_str(indent);
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_texts_are_escaped() {
        assert_eq!(*json_string("a\"b\nc"), "\"a\\\"b\\nc\"");
        let fields = [
            ("a", Zeroizing::new("1".to_owned())),
            ("b", Zeroizing::new("\n".to_owned())),
        ];
        let value: serde_json::Value = serde_json::from_str(&json_object(&fields, "")).unwrap();
        assert_eq!(value, serde_json::json!({"a": "1", "b": "\n"}));
    }
}
