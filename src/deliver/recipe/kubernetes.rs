//! A Secret in a cluster, one field each variable, by server-side apply: a client-side one would copy the private key into an
//! annotation. What other field managers have in it is left alone.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;
use zeroize::Zeroizing;

use super::{Get, Put, Question, Recipe};
use crate::deliver::wiped::Wiped;
use crate::deliver::{Contents, Holds};
use crate::model::target::Target;

/// What the fields are ours by.
const MANAGER: &str = "--field-manager=dfns-keys";

pub(in crate::deliver) const RECIPE: Recipe = Recipe {
    program: "kubectl",
    place: &[Question {
        // Of the client's own settings nothing is asked for but this, which is no secret.
        words: &[
            "config",
            "view",
            "--minify",
            "--raw",
            "--flatten",
            "--context={context}",
            "--output=jsonpath={.clusters[0].cluster.server} {.clusters[0].cluster.certificate-authority-data}",
        ],
        unless: "",
        answer: place,
    }],
    put: &[Put {
        words: &[
            "apply",
            "--server-side",
            MANAGER,
            "--validate=false",
            "--namespace={head}",
            "--context={context}",
            "--filename=-",
        ],
        input: manifest,
        done: "serverside-applied",
    }],
    get: Some(Get {
        words: &[
            "get",
            "secret",
            "{tail}",
            "--ignore-not-found",
            "--namespace={head}",
            "--context={context}",
            "--output=json",
        ],
        holds,
        ours: None,
    }),
    missing: &[],
    advice: ADVICE,
};

/// What the API server, and its client, say of what.
pub(in crate::deliver) const ADVICE: &[(&str, &str)] = &[
    (
        "conflict",
        "another field manager has these fields: name another Secret, or have that one give them up (take them over once with \
         `kubectl apply --server-side --force-conflicts --field-manager=dfns-keys`)",
    ),
    (
        "current-context must exist",
        "name a context: `kubectl config use-context`, or ?context=",
    ),
    (
        "context was not found",
        "`kubectl config get-contexts` lists the contexts",
    ),
    (
        "cannot locate context",
        "`kubectl config get-contexts` lists the contexts",
    ),
    ("must be logged in", "sign in to the cluster again"),
    ("provide credentials", "sign in to the cluster again"),
    ("Unauthorized", "sign in to the cluster again"),
    ("getting credentials", "sign in to the cluster again"),
    (
        "forbidden",
        "its user needs `patch` and `create` on this Secret, and `get` to read it back",
    ),
    ("namespaces \"", "make the namespace first"),
    (
        "immutable",
        "the Secret there is made to stay as it is: name another one",
    ),
    ("was refused", "the API server cannot be reached from here"),
    ("no such host", "the API server cannot be reached from here"),
    ("i/o timeout", "the API server cannot be reached from here"),
];

/// `SERVER [CA]`, as the place: an address such as `https://127.0.0.1:6443` is many a cluster's, its authority is not.
fn place(answer: &str) -> Option<String> {
    let mut words = answer.split_ascii_whitespace();
    let server: Url = words.next()?.parse().ok()?;
    let authority = match words.next() {
        None => None,
        Some(base64) => Some(Base64::decode_vec(base64).ok()?),
    };
    if words.next().is_some() {
        return None;
    }
    address(&server, authority.as_deref())
}

/// A cluster as a place.
pub(in crate::deliver) fn address(server: &Url, authority: Option<&[u8]>) -> Option<String> {
    let known = matches!(server.scheme(), "https" | "http") && server.host().is_some();
    if !known || !server.username().is_empty() || server.password().is_some() || server.query().is_some() {
        return None;
    }
    let server = server.as_str().trim_end_matches('/');
    let mut place = format!("the cluster at {server}");
    if let Some(authority) = authority {
        let digest = Base64::encode_string(&Sha256::digest(authority));
        place.push_str(" with the authority ");
        place.push_str(&digest[..16]);
    }
    Some(place)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    api_version: &'a str,
    kind: &'a str,
    metadata: Metadata<'a>,
    data: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    namespace: &'a str,
}

/// What is applied: our fields and nothing else, so that we are the manager of nothing else.
pub(in crate::deliver) fn manifest(target: &Target, contents: &Contents) -> Zeroizing<Vec<u8>> {
    let (namespace, name) = target.rest().split_once('/').unwrap_or_default();
    let encoded = |value: &str| Zeroizing::new(Base64::encode_string(value.as_bytes()));
    let values: Vec<(&str, Zeroizing<String>)> = contents
        .variables
        .iter()
        .map(|(name, value)| (*name, encoded(value)))
        .collect();
    let manifest = Manifest {
        api_version: "v1",
        kind: "Secret",
        metadata: Metadata { name, namespace },
        data: values.iter().map(|(name, value)| (*name, value.as_str())).collect(),
    };
    // More than any credential takes, so that the text never moves and leaves a copy behind.
    let mut text = Zeroizing::new(Vec::with_capacity(128 * 1024));
    serde_json::to_writer(&mut *text, &manifest).expect("texts serialise into memory");
    text
}

#[derive(Deserialize)]
struct Secret {
    kind: String,
    #[serde(default)]
    data: BTreeMap<String, Wiped>,
}

/// What a Secret has of ours.
pub(in crate::deliver) fn holds(shown: &[u8], contents: &Contents) -> Option<Holds> {
    let secret: Secret = serde_json::from_slice(shown)
        .ok()
        .filter(|secret: &Secret| secret.kind == "Secret")?;
    let same = |(name, value): &(&str, Zeroizing<String>)| {
        let found = secret
            .data
            .get(*name)
            .and_then(|found| Base64::decode_vec(&found.0).ok());
        found
            .map(Zeroizing::new)
            .is_some_and(|found| *found == value.as_bytes())
    };
    // A field of ours that is set no more would be read together with the others.
    let stale = |name: &String| name.starts_with("DFNS_") && !contents.variables.iter().any(|(known, _)| known == name);
    let these = contents.variables.iter().all(same) && !secret.data.keys().any(stale);
    Some(if these { Holds::These } else { Holds::Others })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_its_address_and_its_authority() {
        let one = place("https://127.0.0.1:6443 YQ==").unwrap();
        let other = place("https://127.0.0.1:6443 Yg==").unwrap();
        assert!(
            one.starts_with("the cluster at https://127.0.0.1:6443 with the authority"),
            "{one}"
        );
        assert_ne!(one, other);
        assert_eq!(
            place("https://k8s.example/k/c-1/").unwrap(),
            "the cluster at https://k8s.example/k/c-1"
        );
        for text in [
            "",
            "k8s",
            "https://user:pass@k8s",
            "https://k8s ?",
            "https://k8s YQ== YQ==",
            "file:///x",
        ] {
            assert_eq!(place(text), None, "{text}");
        }
    }
}
