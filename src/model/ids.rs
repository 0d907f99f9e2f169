//! Identifiers. Those that look alike (a credential's id and its uuid) are different types.

use std::fmt;
use std::str::FromStr;

use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Deserializer, Serialize, de};
use thiserror::Error;

use super::quoted::{Quoted, known_secret, suspicion};

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
        let hexadecimal = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if hexadecimal && has(text, u8::is_ascii_digit) && has(text, u8::is_ascii_alphabetic) {
            return refuse("64 hexadecimal digits are the bare number of a private key");
        }
        Ok(Self(text.to_owned()))
    }
}

fn has(text: &str, is: fn(&u8) -> bool) -> bool {
    text.bytes().any(|byte| is(&byte))
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

/// A text is no identifier of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{given} is not {kind}: {reason}")]
pub struct IdError {
    given: Quoted,
    kind: &'static str,
    reason: &'static str,
}

impl IdError {
    /// Whether a document was not read for the sake of an identifier in it.
    #[must_use]
    pub fn is_in(error: &serde_json::Error) -> bool {
        // serde keeps the words of an error alone. Its own say what was expected.
        error.is_data() && error.to_string().contains(" is not a")
    }
}

/// What an identifier may be made of. Whatever it is, it is one word, and no shell, file of variables or template takes any of
/// it for something else.
enum Form {
    /// Anybody's text in base64 or the like, as long as it is no secret in disguise.
    Opaque,
    /// Dfns's own: a few letters, a hyphen, and groups of them.
    Named,
    /// What a person types, which is handed over to no program.
    Typed,
}

const LONGEST_ID: usize = 512;

impl Form {
    /// Why a text is none, if it is none.
    fn refusal(&self, text: &str) -> Option<&'static str> {
        let allowed = |c: char| match self {
            Self::Opaque => c.is_ascii_alphanumeric() || "._~+/=:-".contains(c),
            Self::Named => c.is_ascii_alphanumeric() || "._:-".contains(c),
            Self::Typed => !c.is_control(),
        };
        let secret = match self {
            Self::Opaque => known_secret(text),
            Self::Named | Self::Typed => suspicion(text),
        };
        if text.is_empty() {
            Some("it is empty")
        } else if text.len() > LONGEST_ID {
            Some("it is too long")
        } else if secret.is_some() {
            Some("it looks like a secret, or like nothing that Dfns uses for it")
        } else if !text.chars().all(allowed) {
            Some("it has characters that none can have")
        } else {
            None
        }
    }
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $form:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                match Form::$form.refusal(text) {
                    None => Ok(Self(text.to_owned())),
                    Some(reason) => Err(IdError {
                        given: Quoted::of(text),
                        kind: $kind,
                        reason,
                    }),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

identifier!(
    /// What a permission is taken away again by.
    AssignmentId, "an assignment's id", Named
);
identifier!(
    /// What Dfns calls `credId`: the opaque text, sometimes ending in `=`, that a signature names its key by.
    /// Not the credential's uuid.
    CredentialId, "a credential's id", Opaque
);
identifier!(
    /// An organisation, `or-…`.
    OrganisationId, "an organisation's id", Named
);
identifier!(
    /// A user or service account, `us-…`: what permissions are assigned to.
    IdentityId, "an identity's id", Named
);
identifier!(
    /// A token, `to-…`: names a personal access token or a service account's token without being the token.
    TokenId, "a token's id", Named
);
identifier!(
    /// An application, `ap-…`: sent as `X-DFNS-APPID` where it is configured.
    ApplicationId, "an application's id", Named
);
identifier!(
    /// A credential's uuid, `cr-…`: what it is activated, deactivated and deleted by. Not the credential's id.
    CredentialUuid, "a credential's uuid", Named
);
identifier!(
    /// A permission, `pm-…`: a named set of operations.
    PermissionId, "a permission's id", Named
);
identifier!(
    /// An id of ours for something at Dfns, `externalId` in its API: it makes a half-finished creation findable.
    ExternalId, "an external id", Opaque
);
identifier!(
    /// The name that an organisation's user logs in with.
    Username, "a user's name", Typed
);

impl From<TokenId> for IdentityId {
    /// A personal access token is an identity of its own.
    fn from(id: TokenId) -> Self {
        Self(id.0)
    }
}

impl CredentialId {
    /// The id of these bytes: base64url without padding, which every form of it allows.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(Base64UrlUnpadded::encode_string(bytes))
    }
}

impl ExternalId {
    /// An id of ours: what it is for, and these bytes.
    #[must_use]
    pub fn of_bytes(purpose: &'static str, bytes: &[u8]) -> Self {
        Self(format!("{purpose}-{}", Base64UrlUnpadded::encode_string(bytes)))
    }

    /// The id of another attempt.
    #[must_use]
    pub fn numbered(&self, attempt: usize) -> Self {
        Self(format!("{self}-{attempt}"))
    }
}

/// Reads an id that may not be known. Dfns leaves it out or empty, and so do files of version 1.
pub(crate) fn where_known<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = IdError>,
{
    match Option::<String>::deserialize(deserializer)? {
        Some(text) if !text.is_empty() => text.parse().map(Some).map_err(de::Error::custom),
        _ => Ok(None),
    }
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
        assert!(serde_json::from_str::<Form>(r#"{"id":"a b"}"#).is_err());
    }

    #[test]
    fn no_id_is_more_than_one_word_to_anybody() {
        let longest = "x".repeat(LONGEST_ID);
        for good in [
            "or-30tnh-itmjs-m5i2u4bosrvp9j1p",
            "or-1",
            "x",
            longest.get(..30).unwrap(),
        ] {
            assert_eq!(good.parse::<OrganisationId>().unwrap().as_str(), good);
            assert_eq!(good.parse::<ApplicationId>().unwrap().to_string(), good);
        }
        for good in [
            "c1QEdgnPLJargwzy3cbYKny4Q18u0hr97unXsF3DiE8",
            "a+b/c==",
            "a_b-c",
            &longest,
        ] {
            assert_eq!(good.parse::<CredentialId>().unwrap().as_str(), good);
        }
        let too_long = "x".repeat(LONGEST_ID + 1);
        for bad in [
            "",
            " ",
            "a b",
            "a'b",
            "a\"b",
            "a`b`",
            "$(id)",
            "a$b",
            "a;b",
            "a&b",
            "a|b",
            "a\nb",
            "a\rb",
            "a\0b",
            "a\\b",
            "a#b",
            "{{a}}",
            "a%b",
            "a!b",
            "a*b",
            "a,b",
            "<a>",
            "ä",
            "a\u{202e}b",
            "eyJhbGciOiJFZERTQSJ9.eyJleHAiOjF9.AAAA",
            &too_long,
        ] {
            assert!(bad.parse::<CredentialId>().is_err(), "{bad:?}");
            assert!(bad.parse::<ExternalId>().is_err(), "{bad:?}");
            assert!(bad.parse::<ApplicationId>().is_err(), "{bad:?}");
            assert!(bad.parse::<OrganisationId>().is_err(), "{bad:?}");
        }
        assert!("O'Brien+ops@example.com".parse::<Username>().is_ok());
        assert!("a\nb".parse::<Username>().is_err());
        assert_eq!(
            CredentialId::of_bytes(&[255; 4]).as_str().parse(),
            Ok(CredentialId::of_bytes(&[255; 4]))
        );
    }

    #[test]
    fn a_refused_name_is_shown_escaped() {
        let error = "a\u{1b}[2J".parse::<CredentialName>().unwrap_err();
        assert!(!error.to_string().contains('\u{1b}'));
    }
}
