//! Requests, read whole.

use std::net::SocketAddr;

use hyper::HeaderMap;
use hyper::body::Incoming;
use serde_json::{Map, Value};

use super::answer::Answer;
use crate::loopback::Bodies;

pub(super) const LARGEST_BODY: usize = 1024 * 1024;

pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) async fn read(incoming: hyper::Request<Incoming>, bodies: &Bodies) -> Option<Self> {
        let (parts, body) = incoming.into_parts();
        let body = bodies.read(body).await.ok()?.bytes;
        Some(Self {
            method: parts.method.as_str().to_owned(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers,
            body,
        })
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as a JSON object with exactly these fields, as the vendor's schemas demand.
    pub(super) fn json(&self, required: &[&str], optional: &[&str]) -> Result<Map<String, Value>, Answer> {
        if !self
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("application/json"))
        {
            return Err(Answer::error(400, "content-type must be application/json"));
        }
        let Ok(Value::Object(fields)) = serde_json::from_slice(&self.body) else {
            return Err(Answer::error(400, "the body is no JSON object"));
        };
        check_fields(&fields, required, optional)?;
        Ok(fields)
    }

    /// The fields of an HTML form.
    pub(super) fn form(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(&self.body)
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// A page of another site may resolve its own name to loopback; then the Host gives it away.
    pub(super) fn host_is(&self, address: SocketAddr) -> bool {
        self.header("host")
            .is_some_and(|host| host == address.to_string() || host == format!("localhost:{}", address.port()))
    }

    /// Browsers name the page that a form or script came from.
    pub(super) fn origin_is_ours(&self, address: SocketAddr) -> bool {
        self.header("origin").is_none_or(|origin| {
            origin == format!("http://{address}") || origin == format!("http://localhost:{}", address.port())
        })
    }
}

pub(super) fn check_fields(fields: &Map<String, Value>, required: &[&str], optional: &[&str]) -> Result<(), Answer> {
    if let Some(missing) = required.iter().find(|name| !fields.contains_key(**name)) {
        return Err(Answer::error(400, &format!("{missing} is required")));
    }
    let unknown = fields
        .keys()
        .find(|name| !required.contains(&name.as_str()) && !optional.contains(&name.as_str()));
    match unknown {
        Some(unknown) => Err(Answer::error(400, &format!("unrecognized key: {unknown}"))),
        None => Ok(()),
    }
}

/// A field that must be a text.
pub(super) fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a str, Answer> {
    fields
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| Answer::error(400, &format!("{name} must be a string")))
}
