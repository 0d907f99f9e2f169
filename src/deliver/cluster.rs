//! A Secret of the cluster that this very process runs in: its API server by what is mounted for the pod's service account.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use zeroize::Zeroizing;

use super::http::refused;
use super::recipe::kubernetes::{ADVICE, address, holds, manifest};
use super::{Contents, Holds, Place, PlaceError};
use crate::model::target::Target;
use crate::model::url::ApiUrl;
use crate::remote::http::{Authorities, Server};
use crate::sys::files;

const NAME: &str = "the cluster's API server";
/// Neither a token nor an authority is larger.
const LIMIT: u64 = 1024 * 1024;

/// What a pod knows of its cluster.
pub struct InCluster {
    /// The API server: `KUBERNETES_SERVICE_HOST` and `…_PORT`.
    pub address: String,
    /// Where the service account's token and the cluster's authority are.
    pub folder: PathBuf,
}

pub(super) struct Cluster<'t> {
    target: &'t Target,
    cluster: &'t InCluster,
    limit: Duration,
}

impl<'t> Cluster<'t> {
    pub(super) fn new(target: &'t Target, cluster: &'t InCluster, limit: Duration) -> Self {
        Self { target, cluster, limit }
    }

    fn read(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, PlaceError> {
        files::read(&self.cluster.folder.join(name), LIMIT).map_err(|error| PlaceError::NoFile { error })
    }

    fn api_url(&self) -> Result<ApiUrl, PlaceError> {
        let address = self.cluster.address.parse();
        address.map_err(|error| PlaceError::NotSetUp(format!("KUBERNETES_SERVICE_HOST: {error}")))
    }

    /// The token is read anew each time, for it is a new one every hour.
    fn open(&self) -> Result<Server, PlaceError> {
        let token = self.read("token")?;
        let mut bearer = Zeroizing::new(Vec::with_capacity(token.len() + 16));
        bearer.extend_from_slice(b"Bearer ");
        bearer.extend_from_slice(token.trim_ascii());
        let mut bearer = HeaderValue::from_bytes(&bearer)
            .map_err(|_| PlaceError::NotSetUp("the service account's token has characters that none has".to_owned()))?;
        bearer.set_sensitive(true);
        let headers = HeaderMap::from_iter([(AUTHORIZATION, bearer)]);
        let authority = self.read("ca.crt")?;
        let authorities = Authorities::Only(&authority);
        Ok(Server::new(NAME, self.api_url()?, headers, &authorities, self.limit)?)
    }

    fn path(&self) -> String {
        let (namespace, secret) = self.target.rest().split_once('/').unwrap_or_default();
        format!("/api/v1/namespaces/{namespace}/secrets/{secret}")
    }
}

#[async_trait]
impl Place for Cluster<'_> {
    async fn resolve(&self) -> Result<Option<String>, PlaceError> {
        let server = self.api_url()?.to_string();
        let authority = self.read("ca.crt")?;
        let place = server
            .parse()
            .ok()
            .and_then(|server| address(&server, Some(&authority)));
        // Without a place of its own the Secret would be any cluster's.
        place
            .map(Some)
            .ok_or_else(|| PlaceError::NotSetUp("KUBERNETES_SERVICE_HOST names no server".to_owned()))
    }

    async fn put(&self, contents: &Contents) -> Result<(), PlaceError> {
        let server = self.open()?;
        let path = format!("{}?fieldManager=dfns-keys", self.path());
        let body = manifest(self.target, contents);
        // JSON is YAML.
        let answer = server
            .put(Method::PATCH, &path, "application/apply-patch+yaml", &body)
            .await?;
        match answer.status {
            200 | 201 => Ok(()),
            _ => Err(refused(&server, &answer, contents, ADVICE)),
        }
    }

    async fn holds(&self, contents: &Contents) -> Result<Option<Holds>, PlaceError> {
        let server = self.open()?;
        let answer = server.get(&self.path()).await?;
        match answer.status {
            200 => holds(&answer.body, contents)
                .map(Some)
                .ok_or_else(|| server.rubbish("something else than a Secret").into()),
            404 => Ok(Some(Holds::Nothing)),
            _ => Err(refused(&server, &answer, contents, ADVICE)),
        }
    }
}
