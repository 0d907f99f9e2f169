//! The forms of secrets, and of texts that nobody writes by hand.

use std::fmt;

use base64ct::{Base64Unpadded, Encoding};

/// What a text seems to be, in the place of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicion {
    /// A JSON web token, or a part of one.
    Token,
    /// A private key, as PEM, DER in base64, or its bare number.
    PrivateKey,
    /// An age identity.
    AgeIdentity,
    /// An address with a user name or password in it.
    Password,
    /// Nothing known, but nothing that anybody writes by hand either.
    Unknown,
}

impl fmt::Display for Suspicion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token => "[a token, not repeated]",
            Self::PrivateKey => "[a private key, not repeated]",
            Self::AgeIdentity => "[an age identity, not repeated]",
            Self::Password => "[not repeated: it may hold a password]",
            Self::Unknown => "[not repeated: it may be a secret]",
        })
    }
}

/// Whether a text may be repeated, and if not, what it seems to be.
#[must_use]
pub fn suspicion(text: &str) -> Option<Suspicion> {
    known_secret(text).or_else(|| {
        let long = text.chars().count() > LONGEST;
        let many_words = text.split_whitespace().count() >= PASSPHRASE_WORDS;
        (long || many_words || looks_random(text)).then_some(Suspicion::Unknown)
    })
}

/// The secret that a text has the form of, whatever else it may be.
#[must_use]
pub fn known_secret(text: &str) -> Option<Suspicion> {
    let capitals = text.to_ascii_uppercase();
    if capitals.contains("-----BEGIN") {
        Some(Suspicion::PrivateKey)
    } else if capitals.contains("AGE-SECRET-KEY-") || capitals.contains("AGE-PLUGIN-") {
        Some(Suspicion::AgeIdentity)
    } else if text.split(|c| !is_token_character(c)).any(is_token) {
        Some(Suspicion::Token)
    } else if is_encoded_key(text) {
        Some(Suspicion::PrivateKey)
    } else if has_password(text) {
        Some(Suspicion::Password)
    } else {
        None
    }
}

/// Whether a text has the beginning of a PEM file and some of what follows. The words `-----BEGIN PRIVATE KEY-----` alone are
/// in hints of ours.
pub(super) fn has_pem_body(text: &str) -> bool {
    text.split("-----BEGIN ").skip(1).any(|rest| {
        let Some((label, body)) = rest.split_once("-----") else {
            return false;
        };
        let body = body.replace("\\n", "");
        let body = body.trim_start().split(|c| !is_base64_character(c)).next();
        label != "PUBLIC KEY" && body.is_some_and(|body| body.len() >= 8)
    })
}

/// Longer texts are not repeated.
const LONGEST: usize = 120;
/// So many words are a passphrase, or no value of ours at any rate.
const PASSPHRASE_WORDS: usize = 4;

fn is_token_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

fn is_base64_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+' | '/' | '=')
}

/// Whether a word is a JSON web token or has a part that begins as one does.
fn is_token(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    let claims = parts.len() == 3 && is_json_start(parts[1]);
    claims || parts.iter().any(|part| part.len() >= 12 && is_json_start(part))
}

/// Whether base64url text stands for JSON, as far as its beginning tells.
fn is_json_start(part: &str) -> bool {
    let start = decoded_start(part);
    start.first() == Some(&b'{') && start.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Whether a text is a key in base64: DER with a version number behind its length, or a PEM file. In a path it begins behind a
/// slash, which is a character of base64 too.
fn is_encoded_key(text: &str) -> bool {
    let words = text.split(|c| !is_base64_character(c));
    let starts = |word: &str| -> Vec<usize> {
        let behind_slashes = word.match_indices('/').map(|(at, _)| at + 1);
        std::iter::once(0).chain(behind_slashes).collect()
    };
    words.into_iter().any(|word| {
        starts(word)
            .into_iter()
            .any(|start| word.len() - start >= 20 && begins_a_key(&decoded_start(&word[start..])))
    })
}

fn begins_a_key(bytes: &[u8]) -> bool {
    let version = match *bytes {
        [0x30, 0x82, _, _, ref rest @ ..] | [0x30, 0x81, _, ref rest @ ..] | [0x30, _, ref rest @ ..] => rest,
        _ => &[],
    };
    bytes.starts_with(b"-----BEGI") || matches!(version, [2, 1, 0 | 1, ..])
}

/// The first bytes that a text in either alphabet of base64 stands for; none where it is no base64.
fn decoded_start(text: &str) -> Vec<u8> {
    let start: String = text
        .chars()
        .take(16)
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    let whole = start.len() / 4 * 4;
    start
        .get(..whole)
        .and_then(|start| Base64Unpadded::decode_vec(start).ok())
        .unwrap_or_default()
}

/// Whether an address carries a user name or password: `https://user@host`, `user:password@host`.
fn has_password(text: &str) -> bool {
    let word_ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'');
    text.split(word_ends).any(|word| {
        let before = word.rsplit_once('@').map_or("", |(before, _)| before);
        before.contains(':') && !before.starts_with("mailto:")
    })
}

/// Whether a text has a run of characters that nobody writes by hand. Ids of Dfns's have at most sixteen characters without
/// a hyphen, operations no digits, and words change their sort of character rarely.
pub(super) fn looks_random(text: &str) -> bool {
    let runs = text.split(|c: char| !c.is_alphanumeric());
    let random_run = runs.into_iter().any(|run| {
        let length = run.chars().count();
        let has = |is: fn(char) -> bool| run.chars().any(is);
        let (digits, letters) = (has(|c| c.is_ascii_digit()), has(char::is_alphabetic));
        let mixed = digits && has(char::is_lowercase) && has(char::is_uppercase);
        length >= 40 || length >= 20 && digits && letters || length >= 14 && mixed
    });
    random_run || text.split(|c| !is_base64_character(c)).any(changes_often)
}

/// So many characters of base64 in a row give it away, whatever stands around them.
const WINDOW: usize = 24;

/// Whether base64 is what a word changes its sort of character like, or a piece of it: two times in three, where words do so one
/// time in five.
fn changes_often(word: &str) -> bool {
    let sort = |c: char| match c {
        'a'..='z' => 0,
        'A'..='Z' => 1,
        '0'..='9' => 2,
        _ => 3,
    };
    let sorts: Vec<u8> = word.chars().map(sort).collect();
    let is_random = |piece: &[u8]| {
        let changes = piece.windows(2).filter(|pair| pair[0] != pair[1]).count();
        let has = |sort: u8| piece.contains(&sort);
        let least = if has(2) { 16 } else { 20 };
        piece.len() >= least && has(0) && has(1) && changes * 5 >= piece.len() * 2
    };
    is_random(&sorts) || sorts.windows(WINDOW).any(is_random)
}
