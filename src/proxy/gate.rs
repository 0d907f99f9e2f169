//! Who and what gets through: the local token, the host a client means, the page a browser comes from, and the calls that
//! are permitted.

use std::net::SocketAddr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64ct::{Base64UrlUnpadded, Encoding};
use hyper::header::{AUTHORIZATION, HOST, ORIGIN};
use hyper::{HeaderMap, Method, StatusCode, Uri};
use thiserror::Error;
use zeroize::Zeroizing;

use super::Rules;
use super::permits::Permit;
use super::plain_path::is_plain;

const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::OPTIONS,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];

/// The token that clients of this run bring.
pub(super) struct LocalToken(Zeroizing<String>);

impl LocalToken {
    pub(super) fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        getrandom::fill(&mut *bytes)?;
        Ok(Self(Zeroizing::new(format!(
            "dfns-keys-proxy-{}",
            *Zeroizing::new(Base64UrlUnpadded::encode_string(&*bytes))
        ))))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    fn is(&self, given: &[u8]) -> bool {
        verify_slices_are_equal(self.0.as_bytes(), given).is_ok()
    }
}

/// A request that does not get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Refused {
    #[error("this proxy answers under its own loopback address only")]
    OtherHost,
    #[error("requests from web pages are refused")]
    FromAPage,
    #[error("bring the local token that this proxy printed at its start, as a bearer token")]
    Token,
    #[error("the path has segments or characters that could mean another path")]
    Path,
    #[error("this proxy knows GET, HEAD, OPTIONS, POST, PUT, PATCH and DELETE, and no other method in their place")]
    Method,
    #[error("this proxy lets reads through alone")]
    ReadOnly,
    #[error("this proxy does not let this call through")]
    NotPermitted,
}

impl Refused {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::OtherHost => StatusCode::MISDIRECTED_REQUEST,
            Self::Token => StatusCode::UNAUTHORIZED,
            Self::Path | Self::Method => StatusCode::BAD_REQUEST,
            Self::FromAPage | Self::ReadOnly | Self::NotPermitted => StatusCode::FORBIDDEN,
        }
    }
}

pub(super) struct Gate {
    /// None behind a Unix socket, which no web page reaches.
    address: Option<SocketAddr>,
    token: LocalToken,
    rules: Rules,
}

impl Gate {
    pub(super) fn new(address: Option<SocketAddr>, token: LocalToken, rules: Rules) -> Self {
        Self { address, token, rules }
    }

    pub(super) fn token(&self) -> &LocalToken {
        &self.token
    }

    /// Whether a request gets through. First whom it comes from, then what it wants.
    pub(super) fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Refused> {
        // A page may resolve a name of its own to loopback (DNS rebinding); then the host gives it away.
        if let Some(address) = self.address {
            let is_ours = |host: &str| host == address.to_string() || host == format!("localhost:{}", address.port());
            let mut hosts = headers.get_all(HOST).iter();
            let host = hosts.next().and_then(|host| host.to_str().ok());
            let one = hosts.next().is_none();
            let named = uri.authority().is_none_or(|authority| is_ours(authority.as_str()));
            if !one || !named || !host.is_some_and(is_ours) {
                return Err(Refused::OtherHost);
            }
        }
        // This proxy serves no pages, so that whatever names one comes from elsewhere.
        if headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site") {
            return Err(Refused::FromAPage);
        }
        let mut tokens = headers.get_all(AUTHORIZATION).iter();
        let given = tokens.next().and_then(|value| bearer(value.as_bytes()));
        if tokens.next().is_some() || !given.is_some_and(|given| self.token.is(given)) {
            return Err(Refused::Token);
        }
        if !is_plain(uri.path()) {
            return Err(Refused::Path);
        }
        // TRACE would hand the real token back.
        if !METHODS.contains(method) || names_a_method(uri.query().unwrap_or_default()) {
            return Err(Refused::Method);
        }
        if self.rules.read_only && method != Method::GET && method != Method::HEAD {
            return Err(Refused::ReadOnly);
        }
        let permits = &self.rules.permits;
        let permitted = |permit: &Permit| permit.covers(method.as_str(), uri.path());
        if !permits.is_empty() && !permits.iter().any(permitted) {
            return Err(Refused::NotPermitted);
        }
        Ok(())
    }
}

/// Whether a query asks that the call be taken for one by another method, as some frameworks let it.
fn names_a_method(query: &str) -> bool {
    url::form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name.eq_ignore_ascii_case("_method"))
}

/// The token in `Bearer TOKEN`; the scheme's name in any case (RFC 9110 section 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}
