//! Answers, and how they become HTTP.

use bytes::Bytes;
use http_body_util::Full;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub(super) type HttpResponse = hyper::Response<Full<Bytes>>;

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
        response
            .body(Full::new(Bytes::from(self.body)))
            .unwrap_or_else(|_| hyper::Response::new(Full::new(Bytes::new())))
    }
}
