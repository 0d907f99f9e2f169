//! The transit engine of Vault or OpenBao: a key of type `ecdsa-p256`, which it never gives out.

use std::collections::BTreeMap;

use async_trait::async_trait;
use base64ct::{Base64, Encoding};
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::OnceCell;

use super::{KeyPlaces, Provider, no_answer, parsed, public_key_of_pem, unreached, words};
use crate::keys::PublicKey;
use crate::model::held_key::HeldKeyError;
use crate::model::key_uri::{KeyUri, TransitUri};
use crate::remote::http::{Answer, Server};

pub(super) struct Transit {
    server: Server,
    mount: String,
    key: String,
    /// In words.
    what: String,
    /// Which version of the key is the one that is known here; `None` where that may not be asked.
    version: OnceCell<Option<u64>>,
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

#[derive(Deserialize)]
struct Key {
    r#type: String,
    exportable: bool,
    latest_version: u64,
    keys: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Signed {
    signature: String,
}

impl Key {
    fn public_key(&self, version: u64) -> Option<&str> {
        self.keys.get(&version.to_string())?.get("public_key")?.as_str()
    }
}

impl Transit {
    pub(super) fn new(places: &KeyPlaces, uri: &KeyUri, key: &TransitUri) -> Result<Self, HeldKeyError> {
        Ok(Self {
            server: places.vault.open(places.limit).map_err(unreached)?,
            mount: key.mount.clone().unwrap_or_else(|| "transit".to_owned()),
            key: key.key.clone(),
            what: uri.in_words(),
            version: OnceCell::new(),
        })
    }

    async fn read(&self) -> Result<Key, HeldKeyError> {
        let path = format!("/v1/{}/keys/{}", self.mount, self.key);
        let answer = self.server.get(&path).await.map_err(unreached)?;
        if answer.status != 200 {
            return Err(self.refused(&answer));
        }
        let key = parsed::<Envelope<Key>>(&self.server, &answer)?.data;
        let other = |kind: String| {
            Err(HeldKeyError::OtherKind {
                what: self.what.clone(),
                kind,
            })
        };
        if key.r#type != "ecdsa-p256" {
            return other(format!("of type {}", crate::model::quoted::shown(&key.r#type)));
        }
        if key.exportable {
            return other("one that can be exported".to_owned());
        }
        Ok(key)
    }

    async fn post(&self, path: &str, body: &serde_json::Value) -> Result<Answer, HeldKeyError> {
        let path = format!("/v1/{}/{path}", self.mount);
        let body = body.to_string();
        let sent = self
            .server
            .post(&path, HeaderMap::new(), "application/json", body.as_bytes());
        let answer = sent.await.map_err(unreached)?;
        match answer.status {
            200 | 204 => Ok(answer),
            _ => Err(self.refused(&answer)),
        }
    }

    fn refused(&self, answer: &Answer) -> HeldKeyError {
        #[derive(Deserialize)]
        struct Errors {
            errors: Vec<String>,
        }
        let said =
            serde_json::from_slice::<Errors>(&answer.body).map_or_else(|_| String::new(), |e| e.errors.join("; "));
        let words = words(&self.server, &said);
        let who = self.server.name().to_owned();
        match answer.status {
            403 => HeldKeyError::Denied { who, words },
            404 if words.is_none() => HeldKeyError::Gone {
                what: self.what.clone(),
            },
            400 if said.contains("not found") => HeldKeyError::Gone {
                what: self.what.clone(),
            },
            429 | 500.. => HeldKeyError::Throttled { who, words },
            _ => HeldKeyError::Refused { who, words },
        }
    }

    /// The version whose public half is known here: somebody may have rotated the key in place.
    async fn version(&self, public: &PublicKey) -> Result<Option<u64>, HeldKeyError> {
        let find = async || match self.read().await {
            Ok(key) => {
                let pem = public.to_pem();
                let fits = |version: &u64| key.public_key(*version).is_some_and(|found| found.trim() == pem.trim());
                let found = (1..=key.latest_version).rev().find(fits);
                found.map(Some).ok_or_else(|| HeldKeyError::OtherKey {
                    what: self.what.clone(),
                })
            }
            // Who may only sign may not look; what is signed is checked in any case.
            Err(HeldKeyError::Denied { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        self.version.get_or_try_init(find).await.copied()
    }
}

#[async_trait]
impl Provider for Transit {
    async fn make(&self) -> Result<PublicKey, HeldKeyError> {
        match self.read().await {
            Err(HeldKeyError::Gone { .. }) => {}
            Ok(_) | Err(HeldKeyError::OtherKind { .. }) => {
                return Err(HeldKeyError::Exists {
                    what: self.what.clone(),
                });
            }
            Err(error) => return Err(error),
        }
        let key = json!({"type": "ecdsa-p256", "exportable": false, "allow_plaintext_backup": false});
        self.post(&format!("keys/{}", self.key), &key).await?;
        self.find().await
    }

    async fn find(&self) -> Result<PublicKey, HeldKeyError> {
        let key = self.read().await?;
        let pem = key.public_key(key.latest_version);
        let pem = pem.ok_or_else(|| no_answer(&self.server, "a key without its public half"))?;
        public_key_of_pem(pem, &self.what)
    }

    async fn sign(&self, message: &[u8], public: &PublicKey) -> Result<Vec<u8>, HeldKeyError> {
        let mut question = json!({"input": Base64::encode_string(message), "marshaling_algorithm": "asn1"});
        if let Some(version) = self.version(public).await? {
            question["key_version"] = version.into();
        }
        let answer = self.post(&format!("sign/{}/sha2-256", self.key), &question).await?;
        let signed = parsed::<Envelope<Signed>>(&self.server, &answer)?.data;
        // `vault:v1:` and base64.
        let text = signed.signature.rsplit(':').next().unwrap_or_default();
        Base64::decode_vec(text).map_err(|_| no_answer(&self.server, "something that is no signature"))
    }
}
