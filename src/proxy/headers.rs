//! Which headers go on to Dfns, and which of its come back.

use hyper::HeaderMap;
use hyper::header::CONNECTION;

/// What concerns one connection alone (RFC 9110 section 7.6.1), or is ours to set.
const NOT_SENT_ON: &[&str] = &[
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-dfns-appid",
    "x-dfns-useraction",
    "x-real-ip",
];

/// What servers and frameworks take another method, path, host or client from than the request's own: `X-HTTP-Method-Override`,
/// `X-Original-URL`, `X-Rewrite-URL`, `X-Forwarded-Prefix`, `X-Envoy-Original-Path` and their like.
const OVERRIDING: &[&str] = &[
    "proxy-",
    "x-accel-",
    "x-envoy-",
    "x-forwarded",
    "x-host",
    "x-http-",
    "x-method",
    "x-middleware-",
    "x-original-",
    "x-proxy-",
    "x-rewrite-",
    "x-script-name",
    "x-url",
];

const NOT_HANDED_BACK: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Of a request's headers those that go on.
pub(super) fn sent_on(headers: &HeaderMap) -> HeaderMap {
    without(headers, |name| {
        // Some servers take an underscore for a dash.
        let name = name.replace('_', "-");
        NOT_SENT_ON.contains(&name.as_str())
            || name.contains("override")
            || OVERRIDING.iter().any(|beginning| name.starts_with(beginning))
    })
}

/// Of an answer's headers those that come back.
pub(super) fn handed_back(headers: &HeaderMap) -> HeaderMap {
    without(headers, |name| NOT_HANDED_BACK.contains(&name))
}

/// The headers but for some, and for those that `Connection` names.
fn without(headers: &HeaderMap, some: impl Fn(&str) -> bool) -> HeaderMap {
    let mut kept = headers.clone();
    let named = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok());
    for name in named.flat_map(|names| names.split(',')).map(str::trim) {
        kept.remove(name);
    }
    for name in headers.keys().filter(|name| some(name.as_str())) {
        kept.remove(name);
    }
    kept
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn what_could_override_the_request_does_not_go_on() {
        let overriding = [
            "x-http-method-override",
            "x-http-method",
            "x-method-override",
            "x-method",
            "x_http_method_override",
            "x-original-url",
            "x-original-uri",
            "x-original-method",
            "x-rewrite-url",
            "x-override-url",
            "x-envoy-original-path",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-prefix",
            "x-forwarded_path",
            "x-host",
            "forwarded",
            "x-named-by-connection",
        ];
        let plain = [
            "accept",
            "content-type",
            "user-agent",
            "x-request-id",
            "traceparent",
            "x-mine",
        ];
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("close, X-Named-By-Connection"));
        for name in overriding.iter().chain(&plain) {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("x"));
        }
        let sent = sent_on(&headers);
        let mut names: Vec<&str> = sent.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let mut expected = plain;
        expected.sort_unstable();
        assert_eq!(names, expected);
    }
}
