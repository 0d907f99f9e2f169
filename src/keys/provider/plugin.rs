//! A program of somebody else's, `dfns-keys-signer-NAME`: one JSON request by stdin, one JSON answer on stdout
//! (docs/plugins.md).

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};

use super::{KeyPlaces, Provider, public_key_of_pem};
use crate::keys::PublicKey;
use crate::model::held_key::HeldKeyError;
use crate::model::key_uri::{KeyUri, PluginUri};
use crate::model::quoted;
use crate::sys::child::{self, ChildError};

/// The version of the protocol.
const VERSION: u64 = 1;

pub(super) struct Plugin {
    key: PluginUri,
    text: String,
    program: String,
    /// In words.
    what: String,
    limit: Duration,
}

#[derive(Serialize)]
struct Request<'a> {
    version: u64,
    verb: &'a str,
    key: KeyForm<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

#[derive(Serialize)]
struct KeyForm<'a> {
    text: &'a str,
    name: &'a str,
    parameters: BTreeMap<&'a str, &'a str>,
}

#[derive(Deserialize)]
struct Answer {
    version: u64,
    #[serde(default)]
    ok: bool,
    #[serde(default)]
    public_key: Option<String>,
    #[serde(default)]
    signature: Option<String>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    reason: Option<Reason>,
}

/// Why a plug-in says no, in the words of the protocol.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reason {
    Exists,
    Gone,
    Denied,
    Unreachable,
    #[serde(other)]
    Other,
}

impl Plugin {
    pub(super) fn new(places: &KeyPlaces, uri: &KeyUri, key: &PluginUri) -> Self {
        Self {
            key: key.clone(),
            text: uri.to_string(),
            program: format!("dfns-keys-signer-{}", key.name),
            what: uri.in_words(),
            limit: places.limit,
        }
    }

    async fn ask(&self, verb: &str, message: Option<&[u8]>) -> Result<Answer, HeldKeyError> {
        let parameters = self.key.parameters.iter();
        let request = Request {
            version: VERSION,
            verb,
            key: KeyForm {
                text: &self.text,
                name: &self.key.name,
                parameters: parameters
                    .map(|(name, value)| (name.as_str(), value.as_str()))
                    .collect(),
            },
            message: message.map(Base64::encode_string),
        };
        let mut input = serde_json::to_vec(&request).expect("texts serialise into memory");
        input.push(b'\n');
        let ended = child::run(&self.program, &[], &input, self.limit).await;
        let ended = ended.map_err(|error| self.did_not_end(&error))?;
        let answer = serde_json::from_slice::<Answer>(&ended.stdout);
        if !ended.status.success() {
            let (words, reason) = match answer {
                Ok(answer) => (
                    answer.error.and_then(|text| quoted::sentence(text.as_bytes())),
                    answer.reason,
                ),
                Err(_) => (quoted::sentence(&ended.stderr), None),
            };
            return Err(self.refused(words, reason.as_ref()));
        }
        let answer = answer.map_err(|_| self.rubbish("something that is not the JSON of docs/plugins.md"))?;
        if answer.version != VERSION {
            return Err(self.rubbish("another version of the protocol than 1"));
        }
        if !answer.ok {
            return Err(self.rubbish("no error, and does not say that it is ok either"));
        }
        Ok(answer)
    }

    async fn public_key(&self, verb: &str) -> Result<PublicKey, HeldKeyError> {
        let pem = self.ask(verb, None).await?.public_key;
        public_key_of_pem(&pem.ok_or_else(|| self.rubbish("no public key"))?, &self.what)
    }

    fn refused(&self, words: Option<String>, reason: Option<&Reason>) -> HeldKeyError {
        let (who, what) = (self.program.clone(), self.what.clone());
        match reason {
            Some(Reason::Exists) => HeldKeyError::Exists { what },
            Some(Reason::Gone) => HeldKeyError::Gone { what },
            Some(Reason::Denied) => HeldKeyError::Denied { who, words },
            Some(Reason::Unreachable) => HeldKeyError::Throttled { who, words },
            Some(Reason::Other) | None => HeldKeyError::Refused { who, words },
        }
    }

    fn did_not_end(&self, error: &ChildError) -> HeldKeyError {
        match error {
            ChildError::Endless(limit) => HeldKeyError::Hung {
                who: self.program.clone(),
                seconds: limit.as_secs(),
            },
            ChildError::Missing | ChildError::NotStarted(_) => {
                HeldKeyError::NotSetUp(format!("{}: {error}", self.program))
            }
            ChildError::Lost(_) | ChildError::Flood => HeldKeyError::Rubbish {
                who: self.program.clone(),
                what: error.to_string(),
            },
        }
    }

    fn rubbish(&self, what: &str) -> HeldKeyError {
        HeldKeyError::Rubbish {
            who: self.program.clone(),
            what: what.to_owned(),
        }
    }
}

#[async_trait]
impl Provider for Plugin {
    async fn make(&self) -> Result<PublicKey, HeldKeyError> {
        self.public_key("make").await
    }

    async fn find(&self) -> Result<PublicKey, HeldKeyError> {
        self.public_key("public-key").await
    }

    async fn sign(&self, message: &[u8], _: &PublicKey) -> Result<Vec<u8>, HeldKeyError> {
        let signature = self.ask("sign", Some(message)).await?.signature;
        let signature = signature.ok_or_else(|| self.rubbish("no signature"))?;
        Base64::decode_vec(signature.trim()).map_err(|_| self.rubbish("a signature that is not base64"))
    }
}
