//! Requests as `tests/fuzz` sends them.

use hyper::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Uri};

use super::Rules;
use super::gate::{Gate, LocalToken};
use super::headers::{handed_back, sent_on};
use super::permits::Permit;

/// Lines: a permit, a method, a path with its query, and headers, as `name: value`.
pub(crate) fn request(bytes: &[u8]) -> Vec<String> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let text = |line: Option<&[u8]>| std::str::from_utf8(line.unwrap_or_default()).ok().map(str::to_owned);
    let permit = text(lines.next()).and_then(|line| line.parse::<Permit>().ok());
    let method = lines.next().and_then(|line| Method::from_bytes(line).ok());
    let uri = text(lines.next()).and_then(|line| line.parse::<Uri>().ok());
    let (Some(method), Some(uri)) = (method, uri) else {
        return Vec::new();
    };
    let token = LocalToken::generate().expect("randomness");
    let mut headers = HeaderMap::new();
    let bearer = format!("Bearer {}", token.expose());
    headers.insert(AUTHORIZATION, HeaderValue::try_from(bearer).expect("a header"));
    headers.insert(HOST, HeaderValue::from_static("127.0.0.1:8080"));
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let rules = Rules {
        read_only: false,
        permits: permit.into_iter().collect(),
    };
    let gate = Gate::new(Some(([127, 0, 0, 1], 8080).into()), token, rules);
    let on = sent_on(&headers);
    assert!(!on.contains_key(AUTHORIZATION), "the local token went on");
    let _ = handed_back(&headers);
    gate.check(&method, &uri, &headers)
        .err()
        .map(|refused| refused.to_string())
        .into_iter()
        .collect()
}
