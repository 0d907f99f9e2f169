//! A secret of Vault's or OpenBao's key-value store, version 2, by its HTTP API: one field each variable. Each write says which
//! version it replaces (`cas`), and what else stands in the secret is left alone.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use super::http::refused;
use super::wiped::Field;
use super::{Contents, Holds, Place, PlaceError};
use crate::model::quoted;
use crate::model::target::Target;
use crate::remote::VaultAccess;
use crate::remote::http::{Answer, Server};

/// How often somebody else may come in between.
const ATTEMPTS: usize = 4;

const ADVICE: &[(&str, &str)] = &[
    (
        "permission denied",
        "sign in again (`vault login`), with a policy that allows `read`, `create`, `update` and `patch` there",
    ),
    ("missing client token", "sign in: `vault login`, or VAULT_TOKEN"),
    ("invalid token", "sign in again: `vault login`, or VAULT_TOKEN"),
    ("sealed", "it is to be unsealed first"),
    ("check-and-set", "something else writes there at the same time"),
];

pub(super) struct Hashivault<'t> {
    target: &'t Target,
    access: &'t VaultAccess,
    limit: Duration,
    opened: OnceCell<Opened>,
}

/// The server, and where the secret is there.
struct Opened {
    server: Server,
    /// The API's path of the secret.
    path: String,
    /// In words.
    place: String,
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

#[derive(Deserialize)]
struct Mount {
    path: String,
    r#type: String,
    accessor: Option<String>,
    options: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Version {
    data: Option<BTreeMap<String, Field>>,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    version: u64,
}

/// What a secret has, and in which version; version 0 is none.
#[derive(Default)]
struct Found {
    version: u64,
    fields: BTreeMap<String, Field>,
}

#[derive(Serialize)]
struct Write<'a> {
    options: Options,
    data: BTreeMap<&'a str, Option<&'a str>>,
}

#[derive(Serialize)]
struct Options {
    cas: u64,
}

impl<'t> Hashivault<'t> {
    pub(super) fn new(target: &'t Target, access: &'t VaultAccess, limit: Duration) -> Self {
        Self {
            target,
            access,
            limit,
            opened: OnceCell::new(),
        }
    }

    async fn opened(&self) -> Result<&Opened, PlaceError> {
        self.opened.get_or_try_init(|| self.find()).await
    }

    /// Asks which mount it is, as `vault kv` does: what is put into one of version 1 would end up elsewhere.
    async fn find(&self) -> Result<Opened, PlaceError> {
        let server = self.access.open(self.limit)?;
        let answer = server
            .get(&format!("/v1/sys/internal/ui/mounts/{}", encoded(self.target.rest())))
            .await?;
        if answer.status != 200 {
            return Err(refused(&server, &answer, &Contents::nothing(), ADVICE));
        }
        let mount = serde_json::from_slice::<Envelope<Mount>>(&answer.body)
            .map_err(|_| server.rubbish("something that does not say which mount it is"))?
            .data;
        let version = mount.options.as_ref().and_then(|options| options.get("version"));
        if mount.r#type != "kv" || version.is_none_or(|version| version != "2") {
            return Err(PlaceError::NotSetUp(
                "there is no key-value store of version 2 there".to_owned(),
            ));
        }
        let secret = format!("{}/", self.target.rest());
        let secret = secret
            .strip_prefix(mount.path.as_str())
            .map(|rest| rest.trim_end_matches('/'));
        let secret = secret
            .filter(|secret| !secret.is_empty())
            .ok_or_else(|| server.rubbish("another mount than was asked for"))?;
        let path = format!("/v1/{}data/{}", encoded(&mount.path), encoded(secret));
        let namespace = self.access.namespace.as_ref();
        let namespace = namespace.map_or(String::new(), |namespace| {
            format!(", namespace {}", quoted::shown(namespace))
        });
        let accessor = mount
            .accessor
            .map_or(String::new(), |accessor| format!(", {}", quoted::shown(&accessor)));
        let place = format!("Vault at {}{namespace}{accessor}", server.address());
        Ok(Opened { server, path, place })
    }
}

impl Opened {
    async fn found(&self, contents: &Contents) -> Result<Found, PlaceError> {
        let answer = self.server.get(&self.path).await?;
        match answer.status {
            200 => {}
            // One that was deleted has a version all the same.
            404 => {
                let version = serde_json::from_slice::<Envelope<Version>>(&answer.body);
                return Ok(version.map_or_else(
                    |_| Found::default(),
                    |version| Found {
                        version: version.data.metadata.version,
                        fields: BTreeMap::new(),
                    },
                ));
            }
            _ => return Err(refused(&self.server, &answer, contents, ADVICE)),
        }
        let version = serde_json::from_slice::<Envelope<Version>>(&answer.body)
            .map_err(|_| self.server.rubbish("something else than a secret"))?
            .data;
        Ok(Found {
            version: version.metadata.version,
            fields: version.data.unwrap_or_default(),
        })
    }

    async fn write(&self, found: &Found, contents: &Contents) -> Result<Answer, PlaceError> {
        let mut data: BTreeMap<&str, Option<&str>> = contents
            .variables
            .iter()
            .map(|(name, value)| (*name, Some(value.as_str())))
            .collect();
        let others = found.fields.keys().any(|name| !is_ours(name));
        // Without others' fields the whole is replaced, which needs fewer rights; else ours alone are, and what is set no
        // more is taken out.
        let (method, media_type) = if others {
            for name in found.fields.keys().filter(|name| is_ours(name)) {
                data.entry(name).or_insert(None);
            }
            (Method::PATCH, "application/merge-patch+json")
        } else {
            (Method::POST, "application/json")
        };
        let write = Write {
            options: Options { cas: found.version },
            data,
        };
        // More than any credential takes, so that the text never moves and leaves a copy behind.
        let mut body = Zeroizing::new(Vec::with_capacity(128 * 1024));
        serde_json::to_writer(&mut *body, &write).expect("texts serialise into memory");
        self.server
            .put(method, &self.path, media_type, &body)
            .await
            .map_err(PlaceError::from)
    }
}

#[async_trait]
impl Place for Hashivault<'_> {
    async fn resolve(&self) -> Result<Option<String>, PlaceError> {
        Ok(Some(self.opened().await?.place.clone()))
    }

    async fn put(&self, contents: &Contents) -> Result<(), PlaceError> {
        let opened = self.opened().await?;
        for attempt in 1.. {
            let found = opened.found(contents).await?;
            let answer = opened.write(&found, contents).await?;
            let other_version = answer.status == 400 && contains(&answer.body, "check-and-set");
            match answer.status {
                200 | 204 => break,
                _ if other_version && attempt < ATTEMPTS => {}
                _ => return Err(refused(&opened.server, &answer, contents, ADVICE)),
            }
        }
        Ok(())
    }

    async fn holds(&self, contents: &Contents) -> Result<Option<Holds>, PlaceError> {
        let found = self.opened().await?.found(contents).await?;
        if found.fields.is_empty() {
            return Ok(Some(Holds::Nothing));
        }
        let same = |(name, value): &(&str, Zeroizing<String>)| {
            found.fields.get(*name).and_then(|field| field.0.as_ref()) == Some(value)
        };
        let set = |name: &String| contents.variables.iter().any(|(known, _)| known == name);
        let stale = found.fields.keys().any(|name| is_ours(name) && !set(name));
        Ok(Some(if contents.variables.iter().all(same) && !stale {
            Holds::These
        } else {
            Holds::Others
        }))
    }
}

fn is_ours(name: &str) -> bool {
    name.starts_with("DFNS_")
}

fn contains(body: &[u8], words: &str) -> bool {
    body.windows(words.len()).any(|window| window == words.as_bytes())
}

/// A path whose parts have no other meaning in an address.
fn encoded(path: &str) -> String {
    let parts = path.split('/').map(|part| {
        let bytes = part.bytes().map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        });
        bytes.collect::<String>()
    });
    parts.collect::<Vec<_>>().join("/")
}
