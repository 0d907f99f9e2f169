//! Private and public keys in PEM.

use base64ct::{Base64, Encoding};

use super::bounded;
use crate::support::TestEnv;

/// A DER value: tag, length, contents.
fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut value = vec![tag];
    match contents.len() {
        short @ 0..=0x7f => value.push(u8::try_from(short).unwrap()),
        long => {
            let bytes = long.to_be_bytes();
            let bytes = &bytes[bytes.iter().position(|byte| *byte != 0).unwrap()..];
            value.push(0x80 | u8::try_from(bytes.len()).unwrap());
            value.extend_from_slice(bytes);
        }
    }
    value.extend_from_slice(contents);
    value
}

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    der(0x30, &parts.concat())
}

fn number(value: u64) -> Vec<u8> {
    let bytes = [&[0][..], &value.to_be_bytes()].concat();
    let start = bytes
        .windows(2)
        .position(|pair| pair[0] != 0 || pair[1] & 0x80 != 0)
        .unwrap_or(bytes.len() - 1);
    der(0x02, &bytes[start..])
}

fn pem(label: &str, der: &[u8]) -> String {
    let base64 = Base64::encode_string(der);
    let lines: Vec<&str> = base64
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// An encrypted PKCS#8 key whose key derivation is this one.
fn encrypted(derivation: Vec<u8>) -> String {
    let pbes2 = der(0x06, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d]);
    let aes_256_cbc = der(0x06, &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a]);
    let cipher = sequence(&[aes_256_cbc, der(0x04, &[7; 16])]);
    let algorithm = sequence(&[pbes2, sequence(&[derivation, cipher])]);
    pem("ENCRYPTED PRIVATE KEY", &sequence(&[algorithm, der(0x04, &[7; 64])]))
}

fn scrypt(cost: u64, block_size: u64, parallelization: u64) -> String {
    let oid = der(0x06, &[0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x04, 0x0b]);
    let parameters = sequence(&[
        der(0x04, b"salt"),
        number(cost),
        number(block_size),
        number(parallelization),
    ]);
    encrypted(sequence(&[oid, parameters]))
}

fn pbkdf2(iterations: u64, sha: u8) -> String {
    let oid = der(0x06, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c]);
    let prf = der(0x06, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, sha]);
    let parameters = sequence(&[der(0x04, b"salt"), number(iterations), sequence(&[prf, der(0x05, &[])])]);
    encrypted(sequence(&[oid, parameters]))
}

#[test]
fn a_key_whose_passphrase_is_stretched_for_minutes_is_refused_with_what_to_do() {
    let env = TestEnv::with_vault();
    env.write("passphrase", "x");
    for (what, text) in [
        ("16 GB of scrypt", scrypt(1 << 24, 8, 1)),
        ("8 GB of blocks", scrypt(2, 65_535, 65_535)),
        ("scrypt for an hour", scrypt(1 << 14, 8, 65_535)),
        ("wide scrypt", scrypt(2, 1 << 10, 1 << 10)),
        ("more scrypt than age", scrypt(1 << 19, 8, 1)),
        ("minutes of PBKDF2", pbkdf2(100_000_000, 9)),
        ("minutes of PBKDF2 with SHA-512", pbkdf2(100_000_000, 11)),
        ("seconds of PBKDF2", pbkdf2(5_000_000, 9)),
    ] {
        env.write("key.pem", &text);
        for arguments in [
            &["public-key", "key.pem"][..],
            &["import", "a", "--private-key", "key.pem", "--offline"],
        ] {
            let run = bounded(&env, &[arguments, &["--passphrase-file", "passphrase"]].concat());
            assert!(run.stderr.contains("openssl pkcs8 -topk8"), "{what}: {run:?}");
            run.fails(1, &["key.pem", "more work"]);
        }
    }
}

#[test]
fn parameters_that_mean_nothing_are_refused() {
    let env = TestEnv::new();
    env.write("passphrase", "x");
    for text in [
        scrypt(0, 8, 1),
        scrypt(1, 8, 1),
        scrypt(3, 8, 1),
        scrypt(2, 0, 1),
        scrypt(2, 8, 0),
        pbkdf2(0, 9),
    ] {
        env.write("key.pem", &text);
        let run = bounded(&env, &["public-key", "key.pem", "--passphrase-file", "passphrase"]);
        run.fails(1, &["key.pem"]);
    }
}

#[test]
fn what_openssl_and_others_write_by_default_is_read() {
    let env = TestEnv::new();
    env.write("passphrase", "x");
    // 600,000 rounds is what OWASP advises, and what the pkcs8 crate writes with PBKDF2.
    for text in [
        scrypt(1 << 14, 8, 1),
        scrypt(1 << 17, 8, 1),
        pbkdf2(2048, 9),
        pbkdf2(600_000, 9),
        pbkdf2(210_000, 11),
    ] {
        env.write("key.pem", &text);
        let run = bounded(&env, &["public-key", "key.pem", "--passphrase-file", "passphrase"]);
        run.fails(4, &["encrypted with another passphrase"]);
    }
}

#[test]
fn a_key_file_of_any_size_and_shape_is_refused_soon() {
    let env = TestEnv::with_vault();
    let zeros = vec![0; 9_000_000];
    let ones = vec![0xff; 3_000_000];
    let rsa = sequence(&[
        number(0),
        der(0x02, &[&[0][..], &ones].concat()),
        number(65537),
        der(0x02, &ones),
    ]);
    let mut nested = Vec::new();
    for _ in 0..10_000 {
        nested = der(0x30, &nested);
    }
    let cases = [
        ("zeros", pem("PRIVATE KEY", &zeros)),
        ("a huge RSA key", pem("RSA PRIVATE KEY", &rsa)),
        (
            "a huge EC key",
            pem("EC PRIVATE KEY", &sequence(&[number(1), der(0x04, &ones)])),
        ),
        ("structures in structures", pem("PRIVATE KEY", &nested)),
        (
            "many blocks",
            "-----BEGIN EC PARAMETERS-----\n\n-----END EC PARAMETERS-----\n".repeat(200_000),
        ),
        ("beginnings", "-----BEGIN ".repeat(1_400_000)),
        ("beginnings that never end", "-----BEGIN A-----\n".repeat(800_000)),
        ("one line", "A".repeat(16_000_000)),
        ("escaped line breaks", "\\n".repeat(8_000_000)),
        ("quotes", "\"".repeat(16_000_000)),
    ];
    for (what, text) in cases {
        env.write("key.pem", &text);
        let run = bounded(&env, &["public-key", "key.pem"]);
        assert!(run.code == 1 && run.stderr.len() < 1_000, "{what}: {run:?}");
        let run = bounded(&env, &["import", "a", "--private-key", "key.pem", "--offline"]);
        assert!(run.code == 1 && run.stderr.len() < 1_000, "{what}: {run:?}");
    }
}

#[test]
fn a_token_of_any_size_is_refused_soon() {
    let env = TestEnv::with_vault();
    env.ok(&["onboard", "a", "--prepare", "--api-url", "http://127.0.0.1:9"]);
    let base64 = |text: &str| base64ct::Base64UrlUnpadded::encode_string(text.as_bytes());
    let numbers = format!("{{\"a\":[{}0]}}", "0,".repeat(5_000_000));
    for (what, text) in [
        ("dots", ".".repeat(16_000_000)),
        ("letters", "a".repeat(16_000_000)),
        ("spaces", format!("a{}a", " ".repeat(16_000_000))),
        ("claims", format!("e30.{}.e30", base64(&numbers))),
        (
            "claims in claims",
            format!("e30.{}.e30", base64(&"[".repeat(1_000_000))),
        ),
    ] {
        env.write("token", &text);
        let run = bounded(&env, &["onboard", "a", "--token-file", "token"]);
        assert!(run.code == 5 && run.stderr.len() < 1_000, "{what}: {run:?}");
    }
}
