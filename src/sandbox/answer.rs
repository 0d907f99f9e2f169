//! Answers, and how they become HTTP.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use thiserror::Error;

pub(super) type HttpResponse = hyper::Response<UnsyncBoxBody<Bytes, Close>>;

/// What makes hyper close a connection, without an answer or in the middle of one.
#[derive(Debug, Error)]
#[error("closed on request")]
pub(super) struct Close;

#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    content_type: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(value: &Value) -> Self {
        Self::new(200, "application/json", value.to_string().into_bytes())
    }

    pub(super) fn error(status: u16, message: &str) -> Self {
        let body = json!({"error": {"status": status, "message": message}});
        Self::new(status, "application/json", body.to_string().into_bytes())
    }

    pub(super) fn html(status: u16, text: String) -> Self {
        Self::new(status, "text/html; charset=utf-8", text.into_bytes())
    }

    pub(super) fn new(status: u16, content_type: &'static str, body: Vec<u8>) -> Self {
        Self {
            status,
            content_type,
            headers: Vec::new(),
            body,
        }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The first half of it.
    pub(super) fn truncated(mut self) -> Self {
        let half = self.body.len() / 2;
        self.body.truncate(half);
        self
    }

    pub(super) fn into_response(self, clock_offset: SignedDuration) -> HttpResponse {
        let date = Timestamp::now()
            .checked_add(clock_offset)
            .unwrap_or(Timestamp::UNIX_EPOCH)
            .strftime("%a, %d %b %Y %H:%M:%S GMT")
            .to_string();
        let mut response = hyper::Response::builder()
            .status(self.status)
            .header("content-type", self.content_type)
            .header("date", date)
            .header("cache-control", "no-store");
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        let body = whole(self.body);
        response
            .body(body)
            .unwrap_or_else(|_| hyper::Response::new(whole(Vec::new())))
    }

    /// Its head and the first half of its body, and then the connection breaks.
    pub(super) fn into_cut_response(self, clock_offset: SignedDuration) -> HttpResponse {
        let length = self.body.len().to_string();
        let half = Bytes::from(self.body[..self.body.len() / 2].to_vec());
        let sent = stream::once(async { Ok(Frame::data(half)) });
        let broken = stream::once(async {
            // So that what stands before it is on its way.
            tokio::task::yield_now().await;
            Err(Close)
        });
        let body = UnsyncBoxBody::new(StreamBody::new(sent.chain(broken)));
        self.header("content-length", length)
            .into_response(clock_offset)
            .map(|_| body)
    }
}

fn whole(body: Vec<u8>) -> UnsyncBoxBody<Bytes, Close> {
    UnsyncBoxBody::new(Full::new(Bytes::from(body)).map_err(|never| match never {}))
}
