//! The two addresses a credential is bound to: where the API is, and the origin named in client data.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::{Host, Url};

use super::quoted::{Quoted, suspicion};

/// Why an address was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UrlError {
    /// There is no `https://` in front.
    #[error("{given} has no scheme")]
    NoScheme {
        /// What was given.
        given: Quoted,
    },
    /// It does not parse at all.
    #[error("{given} is not an address ({reason})")]
    Malformed {
        /// What was given.
        given: Quoted,
        /// The parser's words.
        reason: String,
    },
    /// Plain HTTP to another machine would send the token in clear.
    #[error("{given} is plain http, which would send the token in clear")]
    PlainHttp {
        /// What was given.
        given: Quoted,
    },
    /// Neither `http` nor `https`.
    #[error("{given} is neither https nor http")]
    OtherScheme {
        /// What was given.
        given: Quoted,
    },
    /// Its host is none: it has other characters, or is a token or a key that was pasted here.
    #[error("{given} names no host")]
    NoHost {
        /// What was given.
        given: Quoted,
    },
    /// A path, query, fragment, user name or password follows the host.
    #[error("{given} has {extra}, where only scheme, host and port belong")]
    Extra {
        /// What was given.
        given: Quoted,
        /// Which part is too much.
        extra: &'static str,
    },
}

/// No host name comes near this length, and the parser's work on some hosts grows faster than they do.
const LONGEST: usize = 2048;

fn parse(text: &str) -> Result<Url, UrlError> {
    let given = || Quoted::of(text);
    if text.len() > LONGEST {
        return Err(UrlError::Malformed {
            given: given(),
            reason: format!("it is longer than {LONGEST} characters"),
        });
    }
    if !text.contains("://") {
        return Err(UrlError::NoScheme { given: given() });
    }
    // The parser of the URL standard would drop the one unseen, and take the other for a slash.
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(UrlError::Malformed {
            given: given(),
            reason: "it has white space or a backslash in it".to_owned(),
        });
    }
    let url = Url::parse(text).map_err(|error| UrlError::Malformed {
        given: given(),
        reason: error.to_string(),
    })?;
    let extra = if !url.username().is_empty() || url.password().is_some() {
        Some("a user name or password")
    } else if url.query().is_some() {
        Some("a query")
    } else if url.fragment().is_some() {
        Some("a fragment")
    } else if !matches!(url.path(), "" | "/") {
        Some("a path")
    } else {
        None
    };
    if let Some(extra) = extra {
        return Err(UrlError::Extra { given: given(), extra });
    }
    if !matches!(url.scheme(), "https" | "http") || url.host().is_none() {
        return Err(UrlError::OtherScheme { given: given() });
    }
    if !names_host(&url) || suspicion(text).is_some() {
        return Err(UrlError::NoHost { given: given() });
    }
    Ok(url)
}

/// Whether the host has no other characters than those of names and numbers: the URL standard allows quotes, semicolons and
/// dollar signs, too.
fn names_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(domain)) => domain
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
        None => false,
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(domain)) => domain == "localhost",
        None => false,
    }
}

/// Where the API is: `https://api.dfns.io`, or plain HTTP to a loopback address. Never a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ApiUrl(Url);

impl ApiUrl {
    /// Production in the European region, the default.
    pub const PRODUCTION: &'static str = "https://api.dfns.io";

    /// The host, as a diagnosis names it.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// Whether requests go over plain HTTP, which only a loopback address may.
    #[must_use]
    pub fn is_plain_http(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// The address of one call. `path` starts with `/` and may carry a query.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        format!("{self}{path}")
    }
}

impl FromStr for ApiUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let url = parse(text)?;
        if url.scheme() == "http" && !is_loopback(&url) {
            return Err(UrlError::PlainHttp {
                given: Quoted::of(text),
            });
        }
        Ok(Self(url))
    }
}

/// The origin that client data names: scheme, host and port of the application, `https://app.dfns.io` by default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin(Url);

impl Origin {
    /// The dashboard's own origin, which Dfns accepts for tokens made there.
    pub const DASHBOARD: &'static str = "https://app.dfns.io";
}

impl FromStr for Origin {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        parse(text).map(Self)
    }
}

macro_rules! shown_without_slash {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0.as_str().trim_end_matches('/'))
            }
        }

        impl TryFrom<String> for $name {
            type Error = UrlError;

            fn try_from(text: String) -> Result<Self, UrlError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(url: $name) -> Self {
                url.to_string()
            }
        }
    };
}

shown_without_slash!(ApiUrl);
shown_without_slash!(Origin);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_url_is_https_or_loopback() {
        for good in [
            "https://api.dfns.io",
            "https://api.dfns.io/",
            "http://127.0.0.1:8080",
            "http://[::1]:1",
            "http://localhost:9",
        ] {
            let url: ApiUrl = good.parse().unwrap();
            assert_eq!(url.to_string(), good.trim_end_matches('/'));
        }
        for bad in [
            "",
            "api.dfns.io",
            "http://api.dfns.io",
            "http://localhost.example.com",
            "ftp://api.dfns.io",
            "https://api.dfns.io/v1",
            "https://api.dfns.io?x=1",
            "https://api.dfns.io/#a",
            "https://user:secret@api.dfns.io",
            "https://",
        ] {
            assert!(bad.parse::<ApiUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_not_repeated() {
        for address in [
            "https://user:hunter2@api.dfns.io",
            "https://hunter2@api.dfns.io",
            "https://api.dfns.io/?password=hunter2",
            "https://api.dfns.io/#hunter2",
            "ftp://user:hunter2@api.dfns.io",
            "https://user:hunter2@api.dfns.io:99999",
            "user:hunter2@api.dfns.io",
        ] {
            let error = address.parse::<ApiUrl>().unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_host_has_the_characters_of_a_name() {
        for host in [
            "a';id;'",
            "$(id)",
            "a\"b",
            "a`id`",
            "a{b}",
            "eyJhbGciOiJFZERTQSJ9.eyJleHAiOjF9.AAAA",
        ] {
            assert!(format!("https://{host}").parse::<ApiUrl>().is_err(), "{host}");
            assert!(format!("https://{host}").parse::<Origin>().is_err(), "{host}");
        }
        assert_eq!(
            "https://münchen.example".parse::<Origin>().unwrap().to_string(),
            "https://xn--mnchen-3ya.example"
        );
    }
}
