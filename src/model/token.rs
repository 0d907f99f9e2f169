//! Bearer tokens: their shape, and what their claims say.
//!
//! Claims are read without checking the token's signature (we hold no key for it) and serve messages only.

use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::ids::{IdentityId, OrganisationId, TokenId};

/// What is wrong with a text that should be a token. No variant repeats any of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TokenShapeError {
    /// Nothing, or white space only.
    #[error("the token is empty")]
    Empty,
    /// Quotes around it.
    #[error("the token has quotes around it")]
    Quoted,
    /// The word `Bearer` in front.
    #[error("the token has the word `Bearer` in front")]
    BearerPrefix,
    /// A line break inside.
    #[error("the token has a line break in it")]
    LineBreak,
    /// White space inside or around.
    #[error("the token has white space in it")]
    WhiteSpace,
    /// A private or public key, or a certificate.
    #[error("this is a PEM block (a key or a certificate), not a token")]
    Pem,
    /// Longer than a server would take it.
    #[error("the token is longer than a token is (more than 16 KiB)")]
    TooLong,
    /// Not three parts between dots.
    #[error("the token is not a JWT: it has {parts} part{} between dots instead of 3", if *.parts == 1 { "" } else { "s" })]
    Parts {
        /// How many there are.
        parts: usize,
    },
    /// Three parts, but no claims in the second.
    #[error("the token has three parts, but the second is not base64url of a JSON object")]
    NoClaims,
}

/// Servers take 8 to 16 KiB of headers.
const LONGEST: usize = 16 * 1024;

/// A personal access token, a service account's token or a user's session token.
pub struct AuthToken {
    text: SecretString,
    claims: Claims,
}

impl AuthToken {
    /// Takes a token as it was pasted or read: white space around it is dropped, nothing else is mended.
    ///
    /// # Errors
    /// When the text cannot be a token, with the reason; the text itself is never part of the error.
    pub fn parse(text: &str) -> Result<Self, TokenShapeError> {
        Self::parse_exactly(text.trim())
    }

    /// Takes a token that must be right to the letter, as another program would send it.
    ///
    /// # Errors
    /// As [`AuthToken::parse`], and for white space around it.
    pub fn parse_exactly(text: &str) -> Result<Self, TokenShapeError> {
        if text.trim().is_empty() {
            return Err(TokenShapeError::Empty);
        }
        if text.contains("-----BEGIN") {
            return Err(TokenShapeError::Pem);
        }
        if text.len() > LONGEST {
            return Err(TokenShapeError::TooLong);
        }
        if text.starts_with(['"', '\'']) || text.ends_with(['"', '\'']) {
            return Err(TokenShapeError::Quoted);
        }
        if text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("bearer ")) {
            return Err(TokenShapeError::BearerPrefix);
        }
        if text.contains(['\n', '\r']) {
            return Err(TokenShapeError::LineBreak);
        }
        if text.contains(char::is_whitespace) {
            return Err(TokenShapeError::WhiteSpace);
        }
        let parts: Vec<&str> = text.split('.').collect();
        let [header, payload, signature] = parts[..] else {
            return Err(TokenShapeError::Parts { parts: parts.len() });
        };
        let base64url = |part: &str| {
            part.bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if ![header, payload, signature].into_iter().all(base64url) {
            return Err(TokenShapeError::NoClaims);
        }
        let payload = Base64UrlUnpadded::decode_vec(payload).map_err(|_| TokenShapeError::NoClaims)?;
        let claims = serde_json::from_slice(&payload).map_err(|_| TokenShapeError::NoClaims)?;
        Ok(Self {
            claims: Claims::read(&claims),
            text: SecretString::from(text.to_owned()),
        })
    }

    /// The token's text, for the `Authorization` header and the vault.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        self.text.expose_secret()
    }

    /// What tells it from other tokens without being one: `SHA256:` and unpadded base64.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(self.text.expose_secret().as_bytes());
        format!("SHA256:{}", Base64Unpadded::encode_string(&digest))
    }

    /// What the token says of itself, unverified.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }
}

impl Clone for AuthToken {
    fn clone(&self) -> Self {
        Self {
            text: self.text.clone(),
            claims: self.claims.clone(),
        }
    }
}

/// The claims that messages are made of. Any may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// `https://custom/app_metadata` → `orgId`.
    pub organisation_id: Option<OrganisationId>,
    /// `exp`.
    pub expires_at: Option<Timestamp>,
    /// `iat`.
    pub issued_at: Option<Timestamp>,
    /// `https://custom/app_metadata` → `userId`: the service account, or the user whom a personal access token is of.
    pub user_id: Option<IdentityId>,
    /// `jti`, where that is a token's id.
    pub token_id: Option<TokenId>,
    /// `iss`: the address that made the token, which tells regions apart.
    pub issuer: Option<String>,
}

impl Claims {
    fn read(claims: &serde_json::Map<String, serde_json::Value>) -> Self {
        let time = |name: &str| {
            claims
                .get(name)
                .and_then(serde_json::Value::as_i64)
                .and_then(|seconds| Timestamp::from_second(seconds).ok())
        };
        let metadata = |name: &str| {
            claims
                .get("https://custom/app_metadata")
                .and_then(|metadata| metadata.get(name))
                .and_then(serde_json::Value::as_str)
        };
        Self {
            organisation_id: metadata("orgId").and_then(|id| id.parse().ok()),
            expires_at: time("exp"),
            issued_at: time("iat"),
            user_id: metadata("userId")
                .filter(|id| id.starts_with("us-"))
                .and_then(|id| id.parse().ok()),
            token_id: claims
                .get("jti")
                .and_then(serde_json::Value::as_str)
                .filter(|id| id.starts_with("to-"))
                .and_then(|id| id.parse().ok()),
            issuer: claims.get("iss").and_then(serde_json::Value::as_str).map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        let encode = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
        format!(
            "{}.{}.{}",
            encode(r#"{"alg":"EdDSA"}"#),
            encode(claims),
            encode("signature")
        )
    }

    #[test]
    fn claims_are_read_and_may_be_missing() {
        let full = token(r#"{"exp":1893456000,"iat":1,"https://custom/app_metadata":{"orgId":"or-1"}}"#);
        let claims = AuthToken::parse(&format!("\n {full}\n")).ok().unwrap().claims().clone();
        assert_eq!(claims.organisation_id, "or-1".parse().ok());
        assert_eq!(claims.expires_at.unwrap().as_second(), 1_893_456_000);
        for odd in [
            "{}",
            r#"{"exp":"soon","https://custom/app_metadata":[]}"#,
            r#"{"exp":1e300}"#,
        ] {
            let claims = AuthToken::parse(&token(odd)).ok().unwrap().claims().clone();
            assert_eq!(claims, Claims::default(), "{odd}");
        }
    }

    #[test]
    fn each_wound_of_a_paste_has_its_name() {
        let good = token("{}");
        for (text, expected) in [
            (String::new(), TokenShapeError::Empty),
            (" \n".into(), TokenShapeError::Empty),
            (format!("\"{good}\""), TokenShapeError::Quoted),
            (format!("'{good}"), TokenShapeError::Quoted),
            (format!("Bearer {good}"), TokenShapeError::BearerPrefix),
            (good.replacen('.', ".\n", 1), TokenShapeError::LineBreak),
            (good.replacen('.', ". ", 1), TokenShapeError::WhiteSpace),
            ("-----BEGIN PRIVATE KEY-----\nx".into(), TokenShapeError::Pem),
            ("abc".into(), TokenShapeError::Parts { parts: 1 }),
            ("a.b.c.d".into(), TokenShapeError::Parts { parts: 4 }),
            ("abc.def.ghi".into(), TokenShapeError::NoClaims),
            (token("[]"), TokenShapeError::NoClaims),
            (token("{}").replace('.', ".é"), TokenShapeError::NoClaims),
        ] {
            assert_eq!(AuthToken::parse(&text).err(), Some(expected));
        }
        assert_eq!(
            AuthToken::parse_exactly(&format!("{good}\n")).err(),
            Some(TokenShapeError::LineBreak)
        );
    }
}
