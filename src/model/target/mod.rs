//! A target: one place that a credential is kept up to date in, as a text that is the same everywhere it is written.
//!
//! `TYPE:REST[?k=v&…]`, percent-encoded; two targets are equal when their parameters are, in whatever order they stand.

mod kind;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::quoted::{Quoted, suspicion};
use kind::ROWS;
pub use kind::TargetKind;
pub(super) use kind::is_plugin_name;

/// A text is no target.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{given} is not a target: {reason}")]
pub struct TargetError {
    given: Quoted,
    reason: String,
}

/// A place that a credential is kept up to date in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target {
    kind: TargetKind,
    rest: String,
    parameters: BTreeMap<String, String>,
}

impl Target {
    /// Which kind of place.
    #[must_use]
    pub fn kind(&self) -> TargetKind {
        self.kind
    }

    /// What stands between the kind and the parameters, decoded.
    #[must_use]
    pub fn rest(&self) -> &str {
        &self.rest
    }

    /// A parameter's value.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// All parameters, sorted.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parameters
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The machine that it is on, where it is on one.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.parameter("host")
    }

    /// Whether what is put to one of them is in the way of what is put to the other: they say where, and differ at most in how.
    #[must_use]
    pub fn same_place(&self, other: &Self) -> bool {
        let both_files = self.kind.has_host() && other.kind.has_host();
        self == other || (both_files && self.rest == other.rest && self.host() == other.host())
    }

    /// The same, on this machine where it is on one and does not say which.
    #[must_use]
    pub fn on(mut self, host: &str) -> Self {
        if self.kind.has_host() {
            self.parameters.entry("host".to_owned()).or_insert(host.to_owned());
        }
        self
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let refuse = |reason: String| {
            Err(TargetError {
                given: Quoted::of(text),
                reason,
            })
        };
        let row = text
            .split_once(':')
            .and_then(|(word, rest)| Some((ROWS.iter().find(|row| row.word == word)?, rest)));
        let Some((row, rest)) = row else {
            let words: Vec<&str> = TargetKind::words().collect();
            return refuse(format!("it is to begin with one of {}, and a colon", words.join(", ")));
        };
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let Some(rest) = decoded_text(rest).filter(|rest| is_repeatable(rest)) else {
            return refuse("it has characters or parts that no place has".to_owned());
        };
        if !(row.fits)(&rest) {
            return refuse(format!("it is to be {}", row.rest));
        }
        let mut parameters = BTreeMap::new();
        for pair in query.into_iter().flat_map(|query| query.split('&')) {
            let Some((name, value)) = pair.split_once('=') else {
                return refuse("a parameter is to be NAME=VALUE".to_owned());
            };
            let (Some(name), Some(value)) = (decoded_text(name), decoded_text(value)) else {
                return refuse("a parameter is not percent-encoded text".to_owned());
            };
            if let Some(known) = row.parameters
                && !known.contains(&name.as_str())
            {
                return refuse(match known {
                    [] => "it has no parameters".to_owned(),
                    known => format!("its parameters are {}", known.join(", ")),
                });
            }
            if !is_parameter_name(&name) || !is_repeatable(&value) || value.is_empty() {
                return refuse("a parameter has characters or parts that none has".to_owned());
            }
            if name == "host" && row.kind.has_host() && !is_host(&value) {
                return refuse("`host` is to be a machine's name".to_owned());
            }
            if parameters.insert(name, value).is_some() {
                return refuse("a parameter stands there twice".to_owned());
            }
        }
        Ok(Self {
            kind: row.kind,
            rest,
            parameters,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.row().word, encoded(&self.rest))?;
        for (position, (name, value)) in self.parameters.iter().enumerate() {
            let before = if position == 0 { '?' } else { '&' };
            write!(f, "{before}{}={}", encoded(name), encoded(value))?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Target {
    type Error = TargetError;

    fn try_from(text: String) -> Result<Self, TargetError> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

/// Whether a machine can have this name.
#[must_use]
pub fn is_host(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (1..=253).contains(&name.len()) && name.chars().all(fits)
}

pub(super) fn is_parameter_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    (1..=64).contains(&name.len()) && name.chars().all(fits)
}

/// A target stands in lists, logs and messages, so that nothing may be in it that must not be repeated.
pub(super) fn is_repeatable(text: &str) -> bool {
    let spoils = |c: char| {
        c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}'..='\u{200f}')
    };
    text.len() <= 1024 && !text.contains(spoils) && text.split('/').all(|part| suspicion(part).is_none())
}

/// The bytes that a percent-encoded text stands for.
pub(super) fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    Some(bytes)
}

fn decoded_text(text: &str) -> Option<String> {
    String::from_utf8(decoded(text)?).ok()
}

fn encoded(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~/:@+,".contains(&byte);
        if plain {
            shown.push(char::from(byte));
        } else {
            let _ = write!(shown, "%{byte:02X}");
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target(text: &str) -> Target {
        text.parse().unwrap()
    }

    #[test]
    fn parameters_are_equal_in_any_order() {
        let one = target("file:/etc/a.env?mode=0640&format=dotenv");
        let other = target("file:/etc/a.env?format=dotenv&mode=0640");
        assert_eq!(one, other);
        assert_eq!(one.to_string(), "file:/etc/a.env?format=dotenv&mode=0640");
        assert_eq!(
            target("file:/etc/%61%20b").to_string(),
            "file:/etc/a%20b",
            "what need not be encoded is not"
        );
    }

    #[test]
    fn a_file_is_on_the_machine_that_it_was_named_on() {
        assert_eq!(target("file:/a").on("pay1"), target("file:/a?host=pay1"));
        assert_eq!(target("file:/a?host=pay2").on("pay1"), target("file:/a?host=pay2"));
        assert_eq!(target("plugin:x").on("pay1"), target("plugin:x"));
    }

    #[test]
    fn what_names_no_one_place_is_refused() {
        for text in [
            "",
            "file",
            "files:/a",
            "file:a",
            "file:/",
            "file:/a//b",
            "file:/a/../b",
            "file:/a?color=red",
            "file:/a?mode",
            "file:/a?mode=",
            "file:/a?mode=1&mode=1",
            "file:/a?host=a/b",
            "file:/a%0a",
            "file:/a%zz",
            "file:/%ff",
            "file:/\u{202e}a",
            "kubernetes:payments",
            "kubernetes:Payments/dfns",
            "kubernetes:payments/dfns/x",
            "kubernetes:payments/-dfns",
            "kubernetes:payments/dfns?kubeconfig=x",
            "hashivault:secret",
            "hashivault:secret//dfns",
            "hashivault:secret/../dfns",
            "hashivault:secret/dfns?address=x",
            "aws-secrets-manager:arn:aws:secretsmanager:eu-west-1:1:secret:x",
            "aws-secrets-manager:--x",
            "aws-ssm:payments",
            "aws-ssm:/a b",
            "github:acme",
            "github:acme/app/x",
            "github:-R/app",
            "plugin:",
            "plugin:../x",
            "plugin:Big",
            "plugin:x?a b=c",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_the_tools_name_so_is_a_place() {
        for text in [
            "kubernetes:payments/payments.dfns?context=arn:aws:eks:eu-west-1:123456789012:cluster/prod",
            "hashivault:secret/payments/dfns",
            "aws-secrets-manager:prod/payments_dfns?profile=payments&region=eu-central-1",
            "aws-ssm:/prod/payments/dfns?region=eu-central-1",
            "github:acme/.github?environment=production&format=fields",
        ] {
            assert_eq!(target(text).to_string(), text);
        }
    }

    #[test]
    fn a_secret_is_no_place() {
        let key = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
        for text in [
            format!("file:/{key}"),
            format!("plugin:x?password={key}"),
            "plugin:x?a=eyJhbGciOiJFZERTQSJ9.eyJhIjoxfQ.c2ln".to_owned(),
        ] {
            let error = text.parse::<Target>().unwrap_err().to_string();
            assert!(!error.contains(&text[9..]), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_the_same_place(name in "[ -~]{1,20}", value in "[ -~]{1,20}") {
            let text = format!("plugin:x?n={}&m={}", encoded(&name), encoded(&value));
            if let Ok(target) = text.parse::<Target>() {
                prop_assert_eq!(&target.to_string().parse::<Target>().unwrap(), &target);
                prop_assert_eq!(target.parameter("n"), Some(name.as_str()));
            }
        }
    }
}
