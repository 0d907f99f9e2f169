//! What may be repeated of a text that somebody else wrote. A token or a key in the wrong field is the commonest paste, so
//! that every value from outside goes through here before a message, a report or the log has it. One place decides: it looks
//! for the forms of secrets, and for texts that nobody would write by hand.

mod suspicion;

use std::borrow::Cow;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use serde::{Serialize, Serializer};
pub use suspicion::{Suspicion, known_secret, suspicion};

use suspicion::{has_pem_body, looks_random};

/// A value as a message may show it: in backquotes and escaped, or, where it may be a secret, what it seems to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quoted(String);

impl Quoted {
    /// A value that somebody gave.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(match suspicion(text) {
            None => format!("`{}`", shown(text)),
            Some(secret) => secret.to_string(),
        })
    }
}

impl fmt::Display for Quoted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As [`Quoted`], without quotes.
#[must_use]
pub fn shown(text: &str) -> String {
    if let Some(secret) = suspicion(text) {
        return secret.to_string();
    }
    without_query(text).escape_debug().to_string()
}

/// An address down to its `?` or `#`: what follows may be a password as short as a word.
fn without_query(text: &str) -> Cow<'_, str> {
    let end = text
        .find("://")
        .and_then(|scheme| Some(scheme + text[scheme..].find(['?', '#'])? + 1));
    match end {
        Some(end) if end < text.len() => Cow::Owned(format!("{}…", &text[..end])),
        _ => Cow::Borrowed(text),
    }
}

/// A sentence or a name that somebody else wrote, each word that may be a secret replaced.
#[must_use]
pub fn cleared(text: &str) -> String {
    replacing(text, |word| {
        known_secret(word).or_else(|| looks_random(word).then_some(Suspicion::Unknown))
    })
}

/// What a program or a server said, cleared, in one line that a terminal has nothing to obey in; `None` where that is nothing.
#[must_use]
pub fn sentence(said: &[u8]) -> Option<String> {
    /// So many characters are enough.
    const LONGEST: usize = 240;
    let text = String::from_utf8_lossy(said);
    let cleared = cleared(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    let cut: String = cleared.chars().take(LONGEST).collect();
    let dots = if cut.len() < cleared.len() { "…" } else { "" };
    // Quotation marks are none that a terminal would obey.
    let shown = cut.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let shown: String = shown.chain(dots.chars()).collect();
    (!shown.is_empty()).then_some(shown)
}

/// A text of ours or a library's, with what certainly is a secret replaced: the last net, under all that is quoted one by one.
#[must_use]
pub fn without_secrets(text: &str) -> String {
    replacing(text, known_secret)
}

fn replacing(text: &str, judge: impl Fn(&str) -> Option<Suspicion>) -> String {
    // Spaces and line breaks do not end a PEM file.
    if has_pem_body(text) {
        return Suspicion::PrivateKey.to_string();
    }
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let next = after.find(|c: char| !c.is_whitespace()).unwrap_or(after.len());
        // Words of ours that name a PEM file or an identity are none.
        let named = word.len() < "AGE-SECRET-KEY-1".len() + 8;
        match judge(word).filter(|secret| !named || !matches!(secret, Suspicion::PrivateKey | Suspicion::AgeIdentity)) {
            None => clean.push_str(&without_query(word)),
            Some(secret) => clean.push_str(&secret.to_string()),
        }
        clean.push_str(&after[..next]);
        rest = &after[next..];
    }
    clean
}

/// Values one after the other.
#[must_use]
pub fn listed(values: &[String]) -> String {
    values.iter().map(|value| shown(value)).collect::<Vec<_>>().join(", ")
}

/// Whether a text has something in it that was not repeated.
#[must_use]
pub fn leaves_out(text: &str) -> bool {
    text.contains("not repeated")
}

/// A name that people chose at Dfns, which may be anything: shown and written without what may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Foreign(String);

impl Foreign {
    /// The text as it came.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Whether it begins so.
    #[must_use]
    pub fn begins_with(&self, text: &str) -> bool {
        self.0.starts_with(text)
    }

    /// Whether it is this text.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        self.0 == text
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = cleared(&self.0).chars().filter(|c| !c.is_control()).collect();
        f.write_str(&shown)
    }
}

impl Serialize for Foreign {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A path, without the parts that may be a secret. One without a root is judged as a whole, since base64 has slashes too.
#[must_use]
pub fn path(path: &Path) -> String {
    let whole = path.display().to_string();
    if let Some(secret) = known_secret(&whole) {
        return secret.to_string();
    }
    if whole.contains("://") {
        return shown(&whole);
    }
    let doubtful = |component: &Component<'_>| looks_random(&component.as_os_str().to_string_lossy());
    let rooted = matches!(
        path.components().next(),
        Some(Component::RootDir | Component::Prefix(_) | Component::CurDir | Component::ParentDir)
    );
    if !rooted {
        return if looks_random(&whole) {
            Suspicion::Unknown.to_string()
        } else {
            whole
        };
    }
    let marker = Suspicion::Unknown.to_string();
    let mut shown = PathBuf::new();
    let (mut begun, mut hidden) = (false, false);
    for component in path.components() {
        begun |= doubtful(&component);
        let name = component.as_os_str();
        // What comes behind is shown where base64 has no such character.
        if begun && (doubtful(&component) || !name.to_string_lossy().contains(['.', '-', '_'])) {
            if !hidden {
                shown.push(&marker);
            }
            hidden = true;
        } else {
            shown.push(name);
            hidden = false;
        }
    }
    shown.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64ct::{Base64, Base64UrlUnpadded, Encoding};
    use proptest::prelude::*;

    const AGE: &str = "AGE-SECRET-KEY-1QQQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0J4F0ZC";

    #[test]
    fn what_people_write_is_repeated() {
        for text in [
            "",
            "Payments",
            "payments-api",
            "api.dfns.io",
            "https://api.dfns.io/v1",
            "http://127.0.0.1:8080",
            "<app> & co",
            "or-30tnh-itmjs-m5i2u4bosrvp9j1p",
            "us-6b58p-r53sr-rlrd3l5cj3uc4ome",
            "3f1c9a52-7d7e-4c8b-9a55-0f2d6a1b7c9e",
            "Auth:ServiceAccounts:Read",
            "ops@example.com",
            "30 d",
            "dfns-keys-rotation-2026-11-24",
            "abcdef0123.execute-api.us-east-1.amazonaws.com",
            "EthereumSepolia",
        ] {
            assert_eq!(suspicion(text), None, "{text}");
            assert_eq!(Quoted::of(text).to_string(), format!("`{text}`"));
        }
        assert_eq!(Quoted::of("a\u{1b}[2J").to_string(), "`a\\u{1b}[2J`");
        assert_eq!(
            Quoted::of("https://api.dfns.io/?key=abc").to_string(),
            "`https://api.dfns.io/?…`"
        );
    }

    #[test]
    fn each_secret_is_named_and_not_repeated() {
        let token = format!("e30.{}.AAAA", Base64UrlUnpadded::encode_string(br#"{"exp":1}"#));
        let pem = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----\n";
        for (text, expected) in [
            (token.as_str(), Suspicion::Token),
            ("https://eyjhbgcioijfzerusaa1.example.com", Suspicion::Unknown),
            ("Bearer eyJhbGciOiJFZERTQSJ9", Suspicion::Token),
            (pem, Suspicion::PrivateKey),
            (&Base64::encode_string(pem.as_bytes()), Suspicion::PrivateKey),
            (
                "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg",
                Suspicion::PrivateKey,
            ),
            (
                "MHcCAQEEIGFrZXlmb3J0ZXN0aW5nb25seW5vdGhpbmdtb3Jl",
                Suspicion::PrivateKey,
            ),
            (AGE, Suspicion::AgeIdentity),
            (&AGE.to_ascii_lowercase(), Suspicion::AgeIdentity),
            ("https://user:hunter2@api.dfns.io", Suspicion::Password),
            ("user:hunter2@api.dfns.io", Suspicion::Password),
            ("https://hunter2@api.dfns.io", Suspicion::Password),
            ("correct horse battery staple", Suspicion::Unknown),
            (
                "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
                Suspicion::Unknown,
            ),
        ] {
            if expected == Suspicion::Unknown {
                assert!(suspicion(text).is_some(), "{text}");
            } else {
                assert_eq!(suspicion(text), Some(expected), "{text}");
            }
        }
    }

    #[test]
    fn of_a_sentence_only_the_doubtful_words_go() {
        assert_eq!(
            cleared("the token eyJhbGciOiJFZERTQSJ9.x is\n invalid"),
            "the token [a token, not repeated] is\n invalid"
        );
        let sentence =
            "Access token or-30tnh-itmjs-m5i2u4bosrvp9j1p is not authorized to perform operation (Wallets:Create).";
        assert_eq!(cleared(sentence), sentence);
        assert_eq!(cleared(&format!("a {AGE}")), "a [an age identity, not repeated]");
        let hint = "it starts with \"BEGIN EC PRIVATE KEY\", as in -----BEGIN EC PRIVATE KEY-----, or AGE-SECRET-KEY-";
        assert_eq!(without_secrets(hint), hint);
        let pem = "see -----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\nAgEGCCqGSM49AwEHBG0w";
        assert_eq!(without_secrets(pem), "[a private key, not repeated]");
    }

    #[test]
    fn a_secret_is_seen_whatever_stands_around_it() {
        let secret = "a2AP5ON9pdmwE/uLACSwBffcdHG+iVjJ2Pah";
        for text in [
            format!("-----BEGIN{secret}"),
            format!("-----BEGIN…{secret}"),
            format!("https-relative-words-that-go-on-and-on/{secret}/and/so/do/these/words/at/its/end"),
        ] {
            assert!(!cleared(&text).contains("BffcdHG"), "{text}");
            assert!(!Quoted::of(&text).to_string().contains("BffcdHG"), "{text}");
        }
    }

    #[test]
    fn a_path_is_shown_without_what_may_be_a_secret() {
        for sound in ["/home/user/Projects/Dfns2/payments-api/.env", "token.txt", "../a/b", ""] {
            assert_eq!(path(Path::new(sound)), sound);
        }
        let key = "c9afa9d845ba75166b5c215767b1d693";
        let shown = path(Path::new(&format!("/builds/{key}/deploy/payments.env")));
        assert_eq!(shown, "/builds/[not repeated: it may be a secret]/payments.env");
        assert_eq!(
            path(Path::new(&format!("ab/{key}"))),
            "[not repeated: it may be a secret]"
        );
        assert_eq!(path(Path::new(AGE)), "[an age identity, not repeated]");
    }

    proptest! {
        #[test]
        fn random_bytes_are_never_repeated_whatever_they_are_written_in(
            // As keys and tokens do, none begins with the slash that an absolute path has.
            first in 0_u8..0x80, rest in prop::collection::vec(any::<u8>(), 47..80).no_shrink()
        ) {
            let bytes = [&[first][..], &rest].concat();
            let hex = bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
            for text in [
                Base64::encode_string(&bytes),
                Base64UrlUnpadded::encode_string(&bytes),
                hex.to_ascii_uppercase(),
                hex,
            ] {
                prop_assert!(suspicion(&text).is_some(), "{text}");
                prop_assert!(!path(Path::new(&text)).contains(&text[..8]), "{text}");
                prop_assert!(!cleared(&format!("see {text}.")).contains(&text[..8]), "{text}");
            }
        }
    }
}
