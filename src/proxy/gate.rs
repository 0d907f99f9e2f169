//! Who and what gets through: the local token, the host a client means, the page a browser comes from, and the calls that
//! are permitted.

use std::net::SocketAddr;
use std::str::FromStr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64ct::{Base64UrlUnpadded, Encoding};
use hyper::header::{AUTHORIZATION, HOST, ORIGIN};
use hyper::{HeaderMap, Method, StatusCode, Uri};
use thiserror::Error;
use zeroize::Zeroizing;

use super::Rules;

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
            Self::Path => StatusCode::BAD_REQUEST,
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

/// The token in `Bearer TOKEN`; the scheme's name in any case (RFC 9110 section 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

/// Whether a path means the same to everybody who reads it: no `.` or `..`, no empty segment but the last, no encoded
/// separators, and only the characters of RFC 3986 paths, so that what is signed is what is sent.
fn is_plain(path: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@%/".contains(c);
    let lower = path.to_ascii_lowercase();
    let encoded = ["%2e", "%2f", "%5c", "%00", "%25"];
    let Some(rest) = path.strip_prefix('/') else {
        return false;
    };
    let segments: Vec<&str> = rest.split('/').collect();
    let (last, before) = segments.split_last().expect("splitting gives one part at least");
    path.chars().all(allowed)
        && !encoded.iter().any(|code| lower.contains(code))
        && !segments.iter().any(|segment| matches!(*segment, "." | ".."))
        && !before.iter().any(|segment| segment.is_empty())
        && (!last.is_empty() || before.is_empty())
}

/// Calls that get through: a method or `*`, and a path in which `*` stands for one segment or a part of one, and `**` for
/// any number of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    method: String,
    glob: String,
}

/// A text permits nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("it must be a method and a path, such as 'POST /wallets' or 'GET /wallets/**'")]
pub struct PermitError;

impl FromStr for Permit {
    type Err = PermitError;

    fn from_str(text: &str) -> Result<Self, PermitError> {
        let (method, glob) = text.trim().split_once(' ').ok_or(PermitError)?;
        let glob = glob.trim_start();
        let method = method.to_ascii_uppercase();
        let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "*"];
        if !known.contains(&method.as_str()) || !glob.starts_with('/') || !is_plain(glob) {
            return Err(PermitError);
        }
        Ok(Self {
            method,
            glob: glob.to_owned(),
        })
    }
}

impl Permit {
    fn covers(&self, method: &str, path: &str) -> bool {
        (self.method == "*" || self.method == method) && matches_glob(self.glob.as_bytes(), path.as_bytes())
    }
}

fn matches_glob(glob: &[u8], path: &[u8]) -> bool {
    let Some((first, rest)) = glob.split_first() else {
        return path.is_empty();
    };
    if *first != b'*' {
        return path
            .split_first()
            .is_some_and(|(c, path)| c == first && matches_glob(rest, path));
    }
    let (rest, crosses) = match rest.strip_prefix(b"*") {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let reach = if crosses {
        path.len()
    } else {
        path.iter().position(|c| *c == b'/').unwrap_or(path.len())
    };
    (0..=reach).any(|taken| matches_glob(rest, &path[taken..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_cover_what_they_say() {
        let covers = |permit: &str, call: &str| {
            let (method, path) = call.split_once(' ').unwrap();
            permit.parse::<Permit>().unwrap().covers(method, path)
        };
        for (permit, call) in [
            ("POST /wallets", "POST /wallets"),
            ("post /wallets", "POST /wallets"),
            ("* /wallets", "DELETE /wallets"),
            ("GET /wallets/*", "GET /wallets/wa-1"),
            ("GET /wallets/**", "GET /wallets/wa-1/transfers/xfr-2"),
            ("GET /wallets/*/transfers", "GET /wallets/wa-1/transfers"),
            ("GET /wallets/wa-*", "GET /wallets/wa-1"),
            ("* /**", "PUT /anything/at/all"),
        ] {
            assert!(covers(permit, call), "{permit} covers {call}");
        }
        for (permit, call) in [
            ("POST /wallets", "GET /wallets"),
            ("POST /wallets", "POST /wallets/import"),
            ("POST /wallets", "POST /walletsx"),
            ("GET /wallets/*", "GET /wallets/wa-1/transfers"),
            ("GET /wallets/*", "GET /wallets"),
            ("GET /wallets/**", "GET /vaults/x"),
        ] {
            assert!(!covers(permit, call), "{permit} does not cover {call}");
        }
        for wrong in [
            "/wallets",
            "POST",
            "FETCH /x",
            "POST wallets",
            "GET /a/../b",
            "GET /a b",
        ] {
            assert_eq!(wrong.parse::<Permit>(), Err(PermitError), "{wrong}");
        }
    }

    #[test]
    fn a_path_that_could_mean_another_is_none() {
        for plain in ["/", "/wallets", "/wallets/wa-1", "/permissions/pm:1,2", "/a/b%20c"] {
            assert!(is_plain(plain), "{plain}");
        }
        for other in [
            "",
            "wallets",
            "//wallets",
            "/a//b",
            "/a/./b",
            "/a/..",
            "/../a",
            "/a/%2e%2e/b",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a%252e",
            "/wallets/",
            "/ü",
            "/a|b",
            "*",
        ] {
            assert!(!is_plain(other), "{other}");
        }
    }
}
