//! The calls that a proxy lets through, where they are narrowed down.
//!
//! Own matching, although there are libraries for globs: theirs know braces, classes and negation, which would have to be kept
//! out, let `**` stand for whole segments alone, and go back and forth in a path; this goes through it once.

use std::str::FromStr;

use thiserror::Error;

use super::plain_path::is_plain;

/// Calls that get through: a method or `*`, and a path in which `*` stands for one segment or a part of one, and `**` for
/// any number of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    method: String,
    glob: Vec<Token>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// `*`
    WithinSegment,
    /// `**`
    Anything,
}

/// A text permits nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("it must be a method and a path, such as 'POST /wallets' or 'GET /wallets/**'")]
pub struct PermitError;

const LONGEST: usize = 256;

impl FromStr for Permit {
    type Err = PermitError;

    fn from_str(text: &str) -> Result<Self, PermitError> {
        let (method, glob) = text.trim().split_once(' ').ok_or(PermitError)?;
        let glob = glob.trim_start();
        let method = method.to_ascii_uppercase();
        let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "*"];
        if !known.contains(&method.as_str()) || glob.len() > LONGEST || !is_plain(glob) {
            return Err(PermitError);
        }
        Ok(Self {
            method,
            glob: tokens(glob.as_bytes()),
        })
    }
}

fn tokens(mut glob: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    while let Some((first, rest)) = glob.split_first() {
        let (token, rest) = match (first, rest.strip_prefix(b"*")) {
            (b'*', Some(rest)) => (Token::Anything, rest),
            (b'*', None) => (Token::WithinSegment, rest),
            (byte, _) => (Token::Byte(*byte), rest),
        };
        tokens.push(token);
        glob = rest;
    }
    tokens
}

impl Permit {
    pub(super) fn covers(&self, method: &str, path: &str) -> bool {
        (self.method == "*" || self.method == method) && matches(&self.glob, path.as_bytes())
    }
}

/// Goes through the path once, with all places of the glob that may have been come to.
fn matches(glob: &[Token], path: &[u8]) -> bool {
    let mut places = vec![false; glob.len() + 1];
    places[0] = true;
    skip_empty(glob, &mut places);
    for byte in path {
        let mut next = vec![false; glob.len() + 1];
        for (place, token) in glob.iter().enumerate().filter(|(place, _)| places[*place]) {
            match token {
                Token::Byte(wanted) => next[place + 1] |= wanted == byte,
                Token::WithinSegment => next[place] |= *byte != b'/',
                Token::Anything => next[place] = true,
            }
        }
        skip_empty(glob, &mut next);
        if !next.contains(&true) {
            return false;
        }
        places = next;
    }
    places[glob.len()]
}

/// A star may stand for nothing.
fn skip_empty(glob: &[Token], places: &mut [bool]) {
    for (place, token) in glob.iter().enumerate() {
        if !matches!(token, Token::Byte(_)) {
            places[place + 1] |= places[place];
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
        let long = format!("GET /{}", "a".repeat(LONGEST));
        assert_eq!(long.parse::<Permit>(), Err(PermitError));
    }

    /// What a glob means, as it would be defined: a star stands for some text, and what is left matches the rest.
    fn means(glob: &[Token], path: &[u8]) -> bool {
        let Some((first, rest)) = glob.split_first() else {
            return path.is_empty();
        };
        let reach = match first {
            Token::Byte(wanted) => {
                return path
                    .split_first()
                    .is_some_and(|(byte, path)| byte == wanted && means(rest, path));
            }
            Token::WithinSegment => path.iter().position(|byte| *byte == b'/').unwrap_or(path.len()),
            Token::Anything => path.len(),
        };
        (0..=reach).any(|taken| means(rest, &path[taken..]))
    }

    proptest! {
        #[test]
        fn going_through_once_finds_what_going_back_and_forth_would(glob in "[ab/*]{0,9}", path in "[ab/]{0,9}") {
            let glob = tokens(glob.as_bytes());
            prop_assert_eq!(matches(&glob, path.as_bytes()), means(&glob, path.as_bytes()));
        }
    }
}
