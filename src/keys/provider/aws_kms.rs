//! AWS KMS: a key of spec `ECC_NIST_P256`, which it never gives out. The whole message is sent (`RAW`), for KMS to digest.

use std::time::Duration;

use async_trait::async_trait;
use base64ct::{Base64, Encoding};
use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::sigv4::{Scope, authorization, date};
use super::{KeyPlaces, Provider, no_answer, parsed, public_key, unreached, words};
use crate::keys::PublicKey;
use crate::model::held_key::HeldKeyError;
use crate::model::key_uri::{AwsKmsUri, KeyUri};
use crate::model::quoted::shown;
use crate::model::url::ApiUrl;
use crate::remote::http::{Answer, Authorities, Server};

const NAME: &str = "AWS KMS";
const TYPE: &str = "application/x-amz-json-1.1";
/// Pauses after which it is asked again where it limits the rate.
const PAUSES: [u64; 3] = [200, 600, 1800];

/// What this machine knows of AWS, from its environment; unless anybody says so, nothing.
#[derive(Default)]
pub struct AwsAccess {
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key: Option<String>,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_key: Option<SecretString>,
    /// `AWS_SESSION_TOKEN`.
    pub session_token: Option<SecretString>,
    /// `AWS_REGION` or `AWS_DEFAULT_REGION`.
    pub region: Option<String>,
    /// `AWS_ENDPOINT_URL_KMS` or `AWS_ENDPOINT_URL`.
    pub endpoint: Option<String>,
}

pub(super) struct AwsKms {
    server: Server,
    host: String,
    region: String,
    access_key: String,
    secret_key: SecretString,
    key: String,
    /// In words.
    what: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    public_key: String,
    key_spec: Option<String>,
    /// The same, as it was called before.
    customer_master_key_spec: Option<String>,
    key_usage: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Made {
    key_metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    key_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Signed {
    signature: String,
}

impl AwsKms {
    pub(super) fn new(places: &KeyPlaces, uri: &KeyUri, key: &AwsKmsUri) -> Result<Self, HeldKeyError> {
        let not = |text: &str| HeldKeyError::NotSetUp(text.to_owned());
        let access = &places.aws;
        let region = key.region.as_ref().or(access.region.as_ref());
        let region = region.ok_or_else(|| not("neither the key's address nor AWS_REGION says which region of AWS"))?;
        let (Some(access_key), Some(secret_key)) = (&access.access_key, &access.secret_key) else {
            return Err(not(
                "there are no credentials for AWS: neither AWS_ACCESS_KEY_ID nor AWS_SECRET_ACCESS_KEY is set",
            ));
        };
        let endpoint = access.endpoint.clone();
        let endpoint = endpoint.unwrap_or_else(|| format!("https://kms.{region}.amazonaws.com"));
        let address: ApiUrl = endpoint
            .parse()
            .map_err(|error| HeldKeyError::NotSetUp(format!("the endpoint of AWS KMS: {error}")))?;
        let mut headers = HeaderMap::new();
        if let Some(token) = &access.session_token {
            let mut token = HeaderValue::from_str(token.expose_secret())
                .map_err(|_| not("AWS_SESSION_TOKEN has characters that none has"))?;
            token.set_sensitive(true);
            headers.insert(HeaderName::from_static("x-amz-security-token"), token);
        }
        let host = address.to_string();
        let host = host.split_once("://").map_or("", |(_, host)| host).to_owned();
        Ok(Self {
            server: Server::new(NAME, address, headers, &Authorities::System, places.limit).map_err(unreached)?,
            host,
            region: region.clone(),
            access_key: access_key.clone(),
            secret_key: secret_key.clone(),
            key: key.key.clone(),
            what: uri.in_words(),
        })
    }

    async fn ask<T: DeserializeOwned>(&self, action: &str, question: &Value) -> Result<T, HeldKeyError> {
        parsed(&self.server, &self.call(action, question).await?)
    }

    async fn call(&self, action: &str, question: &Value) -> Result<Answer, HeldKeyError> {
        let mut pauses = PAUSES.into_iter();
        loop {
            let outcome = self.call_once(action, question).await;
            match (&outcome, pauses.next()) {
                (Err(HeldKeyError::Throttled { .. }), Some(pause)) => {
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                _ => return outcome,
            }
        }
    }

    async fn call_once(&self, action: &str, question: &Value) -> Result<Answer, HeldKeyError> {
        let body = question.to_string();
        let date = date(Timestamp::now());
        let target = format!("TrentService.{action}");
        let scope = Scope {
            access_key: &self.access_key,
            secret_key: &self.secret_key,
            region: &self.region,
            service: "kms",
        };
        let signed = [
            ("content-type", TYPE),
            ("host", self.host.as_str()),
            ("x-amz-date", date.as_str()),
            ("x-amz-target", target.as_str()),
        ];
        let authorization = authorization(&scope, &date, &signed, body.as_bytes());
        let mut headers = HeaderMap::new();
        for (name, text) in [
            (HeaderName::from_static("x-amz-date"), &date),
            (HeaderName::from_static("x-amz-target"), &target),
            (AUTHORIZATION, &authorization),
        ] {
            let value = HeaderValue::from_str(text)
                .map_err(|_| HeldKeyError::NotSetUp("AWS_ACCESS_KEY_ID has characters that none has".to_owned()))?;
            headers.insert(name, value);
        }
        let sent = self.server.post("/", headers, TYPE, body.as_bytes());
        let answer = sent.await.map_err(unreached)?;
        match answer.status {
            200 => Ok(answer),
            _ => Err(self.refused(&answer)),
        }
    }

    fn refused(&self, answer: &Answer) -> HeldKeyError {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Said {
            #[serde(rename = "__type")]
            kind: String,
            #[serde(alias = "Message")]
            message: String,
        }
        let said = serde_json::from_slice::<Said>(&answer.body).unwrap_or_default();
        let kind = said.kind.rsplit('#').next().unwrap_or_default();
        let words = words(&self.server, &format!("{kind}: {}", said.message));
        let (who, what) = (NAME.to_owned(), self.what.clone());
        match kind {
            "NotFoundException" => HeldKeyError::Gone { what },
            "AlreadyExistsException" => HeldKeyError::Exists { what },
            "InvalidKeyUsageException" | "UnsupportedOperationException" => HeldKeyError::OtherKind {
                what,
                kind: "for another use".to_owned(),
            },
            "ThrottlingException"
            | "KMSInternalException"
            | "DependencyTimeoutException"
            | "KeyUnavailableException" => HeldKeyError::Throttled { who, words },
            _ if answer.status == 429 || answer.status >= 500 => HeldKeyError::Throttled { who, words },
            "DisabledException" | "KMSInvalidStateException" | "LimitExceededException" | "ValidationException" => {
                HeldKeyError::Refused { who, words }
            }
            _ => HeldKeyError::Denied { who, words },
        }
    }

    fn bytes(&self, text: &str) -> Result<Vec<u8>, HeldKeyError> {
        Base64::decode_vec(text).map_err(|_| no_answer(&self.server, "something that is not base64"))
    }
}

#[async_trait]
impl Provider for AwsKms {
    async fn make(&self) -> Result<PublicKey, HeldKeyError> {
        if !self.key.starts_with("alias/") {
            return Err(HeldKeyError::NotSetUp(format!(
                "{} cannot be made: AWS chooses the id of a key, so that a new one is to be named alias/NAME",
                self.what
            )));
        }
        match self.find().await {
            Err(HeldKeyError::Gone { .. }) => {}
            Ok(_) | Err(HeldKeyError::OtherKind { .. }) => {
                return Err(HeldKeyError::Exists {
                    what: self.what.clone(),
                });
            }
            Err(error) => return Err(error),
        }
        let wanted = json!({
            "KeySpec": "ECC_NIST_P256",
            "KeyUsage": "SIGN_VERIFY",
            "Origin": "AWS_KMS",
            "Description": format!("made by dfns-keys as {}", self.key),
        });
        let made: Made = self.ask("CreateKey", &wanted).await?;
        let alias = json!({"AliasName": self.key, "TargetKeyId": made.key_metadata.key_id});
        self.call("CreateAlias", &alias).await?;
        self.find().await
    }

    async fn find(&self) -> Result<PublicKey, HeldKeyError> {
        let found: Found = self.ask("GetPublicKey", &json!({"KeyId": self.key})).await?;
        let spec = found.key_spec.or(found.customer_master_key_spec).unwrap_or_default();
        if spec != "ECC_NIST_P256" || found.key_usage != "SIGN_VERIFY" {
            return Err(HeldKeyError::OtherKind {
                what: self.what.clone(),
                kind: format!("{} for {}", shown(&spec), shown(&found.key_usage)),
            });
        }
        public_key(&self.bytes(&found.public_key)?, &self.what)
    }

    async fn sign(&self, message: &[u8], _: &PublicKey) -> Result<Vec<u8>, HeldKeyError> {
        let question = json!({
            "KeyId": self.key,
            "Message": Base64::encode_string(message),
            "MessageType": "RAW",
            "SigningAlgorithm": "ECDSA_SHA_256",
        });
        let signed: Signed = self.ask("Sign", &question).await?;
        self.bytes(&signed.signature)
    }
}
