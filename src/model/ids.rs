//! Identifiers. Those that look alike (a credential's id and its uuid) are different types.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use super::quoted::Quoted;

/// A text is not a usable credential name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{given} is not a credential name: {reason}")]
pub struct NameError {
    given: Quoted,
    reason: &'static str,
}

/// The local name of a credential: `[a-z0-9][a-z0-9._-]{0,63}`. It is also a file name, so nothing else is allowed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CredentialName(String);

impl CredentialName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CredentialName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = |reason| {
            Err(NameError {
                given: Quoted::of(text),
                reason,
            })
        };
        let Some(first) = text.chars().next() else {
            return refuse("it is empty");
        };
        if !(first.is_ascii_lowercase() || first.is_ascii_digit()) {
            return refuse("it must start with a lower-case letter or a digit");
        }
        if !text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-'))
        {
            return refuse("only lower-case letters, digits, `.`, `_` and `-` are allowed");
        }
        if text.len() > 64 {
            return refuse("it is longer than 64 characters");
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for CredentialName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<CredentialName> for String {
    fn from(name: CredentialName) -> Self {
        name.0
    }
}

impl fmt::Display for CredentialName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! opaque_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps the text as it came.
            #[must_use]
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

opaque_id!(
    /// What Dfns calls `credId`: the opaque text, sometimes ending in `=`, that a signature names its key by.
    /// Not the credential's uuid.
    CredentialId
);
opaque_id!(
    /// An organisation, `or-…`.
    OrganisationId
);
opaque_id!(
    /// A user or service account, `us-…`: what permissions are assigned to.
    IdentityId
);
opaque_id!(
    /// A token, `to-…`: names a personal access token or a service account's token without being the token.
    TokenId
);
opaque_id!(
    /// An application, `ap-…`: sent as `X-DFNS-APPID` where it is configured.
    ApplicationId
);

opaque_id!(
    /// A credential's uuid, `cr-…`: what it is activated, deactivated and deleted by. Not the credential's id.
    CredentialUuid
);
opaque_id!(
    /// A permission, `pm-…`: a named set of operations.
    PermissionId
);
opaque_id!(
    /// An id of ours for something at Dfns, `externalId` in its API: it makes a half-finished creation findable.
    ExternalId
);
opaque_id!(
    /// The name that an organisation's user logs in with.
    Username
);

impl CredentialId {
    /// The id, where it is known: an empty text is none.
    #[must_use]
    pub fn known(text: impl Into<String>) -> Option<Self> {
        Some(Self(text.into())).filter(|id| !id.0.is_empty())
    }
}

/// Reads a credential's id that may not be known. Dfns leaves it out or empty, and so do files of version 1.
pub(crate) fn where_known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<CredentialId>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.and_then(CredentialId::known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_file_names_and_nothing_else() {
        let longest = "a".repeat(64);
        for good in ["a", "0", "payments-api", "a.b_c-d", longest.as_str()] {
            assert_eq!(good.parse::<CredentialName>().unwrap().as_str(), good);
        }
        let too_long = "a".repeat(65);
        for bad in [
            "",
            ".",
            "..",
            "-a",
            "_a",
            ".a",
            "A",
            "a/b",
            "a\\b",
            "a b",
            "ä",
            "a\n",
            "a\0",
            too_long.as_str(),
        ] {
            assert!(bad.parse::<CredentialName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_unknown_credential_id_is_none() {
        #[derive(Deserialize)]
        struct Form {
            #[serde(default, deserialize_with = "where_known")]
            id: Option<CredentialId>,
        }
        for (text, known) in [
            (r#"{"id":"cr"}"#, true),
            (r#"{"id":""}"#, false),
            (r#"{"id":null}"#, false),
            ("{}", false),
        ] {
            let form: Form = serde_json::from_str(text).unwrap();
            assert_eq!(form.id.is_some(), known, "{text}");
        }
        assert_eq!(CredentialId::known(""), None);
    }

    #[test]
    fn a_refused_name_is_shown_escaped() {
        let error = "a\u{1b}[2J".parse::<CredentialName>().unwrap_err();
        assert!(!error.to_string().contains('\u{1b}'));
    }
}
