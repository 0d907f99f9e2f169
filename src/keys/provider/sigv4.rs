//! AWS Signature Version 4, for a POST to `/` without a query: all that KMS needs.
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>)

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Whose signature it is, and for what.
pub(super) struct Scope<'a> {
    pub(super) access_key: &'a str,
    pub(super) secret_key: &'a SecretString,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// The time as `x-amz-date` has it.
pub(super) fn date(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The `Authorization` of a POST to `/`. `headers` are all that are sent and signed, their names in lower case, sorted.
pub(super) fn authorization(scope: &Scope<'_>, date: &str, headers: &[(&str, &str)], body: &[u8]) -> String {
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let mut request = "POST\n/\n\n".to_owned();
    for (name, value) in headers {
        let _ = writeln!(request, "{name}:{}", value.trim());
    }
    let _ = write!(request, "\n{names}\n{}", hex(&Sha256::digest(body)));
    let day = date.get(..8).unwrap_or(date);
    let place = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let text = format!(
        "AWS4-HMAC-SHA256\n{date}\n{place}\n{}",
        hex(&Sha256::digest(request.as_bytes()))
    );
    let first = Zeroizing::new(format!("AWS4{}", scope.secret_key.expose_secret()));
    let key = [day, scope.region, scope.service, "aws4_request"]
        .iter()
        .fold(Zeroizing::new(first.as_bytes().to_vec()), |key, part| {
            Zeroizing::new(mac(&key, part.as_bytes()).to_vec())
        });
    let signature = hex(&mac(&key, text.as_bytes()));
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{place}, SignedHeaders={names}, Signature={signature}",
        scope.access_key
    )
}

fn mac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(headers: &[(&str, &str)], body: &[u8]) -> String {
        let secret = SecretString::from("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let scope = Scope {
            access_key: "AKIDEXAMPLE",
            secret_key: &secret,
            region: "us-east-1",
            service: "service",
        };
        let text = authorization(&scope, "20150830T123600Z", headers, body);
        assert!(
            text.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "),
            "{text}"
        );
        text.rsplit('=').next().unwrap().to_owned()
    }

    /// `post-vanilla`, `post-header-key-sort` and `post-x-www-form-urlencoded` of AWS's own test suite.
    #[test]
    fn it_signs_what_awss_own_examples_say() {
        assert_eq!(
            signature(
                &[("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")],
                b""
            ),
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
        );
        assert_eq!(
            signature(
                &[
                    ("host", "example.amazonaws.com"),
                    ("my-header1", "value1"),
                    ("x-amz-date", "20150830T123600Z")
                ],
                b""
            ),
            "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"
        );
        assert_eq!(
            signature(
                &[
                    ("content-type", "application/x-www-form-urlencoded"),
                    ("host", "example.amazonaws.com"),
                    ("x-amz-date", "20150830T123600Z")
                ],
                b"Param1=value1"
            ),
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
        );
    }

    #[test]
    fn a_time_is_written_as_aws_reads_it() {
        assert_eq!(date("2015-08-30T12:36:00.5Z".parse().unwrap()), "20150830T123600Z");
    }
}
