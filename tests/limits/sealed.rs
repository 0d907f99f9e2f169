//! age files, recipients, identities.

use base64ct::{Base64, Base64Unpadded, Encoding};
use serde_json::Value;

use super::bounded;
use crate::support::{Sandbox, TestEnv, peer, peer_ok};

/// An age file with these stanzas, which nobody sealed.
fn age_file(stanzas: &str) -> String {
    let mac = "A".repeat(43);
    format!("age-encryption.org/v1\n{stanzas}--- {mac}\n{}", "x".repeat(64))
}

fn armored(text: &str) -> String {
    let base64 = Base64::encode_string(text.as_bytes());
    let lines: Vec<&str> = base64
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN AGE ENCRYPTED FILE-----\n{}\n-----END AGE ENCRYPTED FILE-----\n",
        lines.join("\n")
    )
}

/// Headers that cost the age crate the square of their length, or more.
fn hostile_headers() -> Vec<(&'static str, String)> {
    let full = "A".repeat(64);
    vec![
        ("many stanzas", age_file(&"-> a\n\n".repeat(60_000))),
        (
            "a stanza of many lines",
            age_file(&format!("-> a\n{}\n", format!("{full}\n").repeat(40_000))),
        ),
        (
            "a stanza of many arguments",
            age_file(&format!("-> a{}\n\n", " b".repeat(1_500_000))),
        ),
        (
            "no end",
            format!("age-encryption.org/v1\n{}", "-> a\n\n".repeat(60_000)),
        ),
    ]
}

#[test]
fn a_header_of_any_size_is_refused_before_it_is_parsed() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "a");
    let document = env.credential_file("a");
    let whole: Value = serde_json::from_slice(&std::fs::read(&document).unwrap()).unwrap();
    for (what, file) in hostile_headers() {
        for text in [file.clone(), armored(&file)] {
            env.write("file.age", &text);
            let run = bounded(&env, &["public-key", "file.age"]);
            run.fails(4, &["file.age is damaged", "header"]);
            let run = bounded(&env, &["verify", "a", "--offline", "--identity", "file.age"]);
            run.fails(4, &["file.age"]);
        }
        let mut forged = whole.clone();
        forged["sealed"] = armored(&file).into();
        // By a member: from anybody else it would not even be looked at.
        forged["code"] = env.code_of(&forged).into();
        std::fs::write(&document, forged.to_string()).unwrap();
        let run = bounded(&env, &["verify", "a", "--offline"]);
        assert!(
            run.stdout.contains("header") || run.stderr.contains("header"),
            "{what}: {run:?}"
        );
    }
}

#[test]
fn more_scrypt_than_we_write_is_refused_with_what_to_do() {
    let env = TestEnv::new();
    env.write("passphrase", "x");
    for factor in [19, 20, 30] {
        let salt = Base64Unpadded::encode_string(&[7; 16]);
        let body = Base64Unpadded::encode_string(&[7; 32]);
        env.write("file.age", age_file(&format!("-> scrypt {salt} {factor}\n{body}\n")));
        bounded(&env, &["public-key", "file.age", "--passphrase-file", "passphrase"]).fails(
            4,
            &[
                &format!("its scrypt work factor is {factor}"),
                "more than 18",
                "encrypt it again with age",
            ],
        );
    }
}

fn ssh_string(bytes: &[u8]) -> Vec<u8> {
    let mut field = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    field.extend_from_slice(bytes);
    field
}

#[test]
fn a_malformed_ssh_recipient_is_refused_wherever_it_stands() {
    let exponent = ssh_string(&[1, 0, 1]);
    let modulus = ssh_string(&[&[0, 0xff][..], &[0xff; 255]].concat());
    let wounds = [
        [ssh_string(b"ssh-rsa"), exponent.clone(), ssh_string(&[0])],
        [ssh_string(b"ssh-rsa"), ssh_string(&[0]), modulus.clone()],
        [ssh_string(b"ssh-rsa"), exponent.clone(), ssh_string(&[0; 300])],
        [ssh_string(b"ssh-rsa"), exponent.clone(), vec![0xff; 4]],
        [ssh_string(b"ssh-rsa"), exponent, ssh_string(&vec![0xff; 80_000])],
    ];
    for wound in wounds {
        let recipient = format!("ssh-rsa {}", Base64::encode_string(&wound.concat()));
        let env = TestEnv::with_vault();
        bounded(&env, &["init", "--vault", "other", "--recipient", &recipient]).fails(2, &["recipient"]);
        bounded(&env, &["generate", "--recipient", &recipient]).fails(2, &["recipient"]);
        bounded(&env, &["recipients", "add", &recipient]).fails(2, &["recipient"]);
        std::fs::write(env.vault().join("recipients.txt"), &recipient).unwrap();
        bounded(&env, &["recipients", "list"]).fails(4, &["recipients.txt is damaged: line 1"]);
    }
}

#[test]
fn a_list_of_more_recipients_than_a_vault_takes_is_refused() {
    let env = TestEnv::with_vault();
    let one = std::fs::read_to_string(env.vault().join("recipients.txt")).unwrap();
    let line = one.lines().rfind(|line| !line.starts_with('#')).unwrap();
    std::fs::write(env.vault().join("recipients.txt"), format!("{line}\n").repeat(10_000)).unwrap();
    for arguments in [&["recipients", "list"][..], &["onboard", "a", "--prepare"]] {
        bounded(&env, arguments).fails(4, &["recipients.txt is damaged", "256"]);
    }
}

fn openssh(parts: &[Vec<u8>]) -> String {
    let mut bytes = b"openssh-key-v1\0".to_vec();
    bytes.extend(parts.concat());
    format!(
        "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n",
        Base64::encode_string(&bytes)
    )
}

#[test]
fn a_hostile_ssh_identity_is_refused() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "a");
    env.write("passphrase", "x");
    let public = ssh_string(&[ssh_string(b"ssh-rsa"), ssh_string(&[1, 0, 1]), ssh_string(&[3])].concat());
    let one = 1_u32.to_be_bytes().to_vec();
    let none = [ssh_string(b"none"), ssh_string(b"none"), ssh_string(b"")].concat();
    let zeros = ssh_string(&[vec![7; 8], ssh_string(b"ssh-rsa"), ssh_string(&[0]), ssh_string(&[0])].concat());
    let bcrypt = |rounds: u32| {
        let options = [ssh_string(&[7; 16]), rounds.to_be_bytes().to_vec()].concat();
        [ssh_string(b"aes256-ctr"), ssh_string(b"bcrypt"), ssh_string(&options)].concat()
    };
    for (what, text, words) in [
        (
            "zeros for numbers",
            openssh(&[none.clone(), one.clone(), public.clone(), zeros]),
            "no SSH private key",
        ),
        (
            "a year of bcrypt",
            openssh(&[bcrypt(u32::MAX), one.clone(), public.clone(), ssh_string(&[7; 64])]),
            "4294967295 rounds",
        ),
        (
            "a megabyte of numbers",
            openssh(&[none, one, public, ssh_string(&vec![7; 1_000_000])]),
            "larger than",
        ),
    ] {
        env.write("id_ssh", text);
        let run = bounded(
            &env,
            &[
                "verify",
                "a",
                "--offline",
                "--identity",
                "id_ssh",
                "--passphrase-file",
                "passphrase",
            ],
        );
        run.fails(4, &["id_ssh", words]);
        assert!(!run.stderr.contains("bug"), "{what}: {run:?}");
    }
}

/// age asks for the passphrase once for each stanza of a file, and derives the key anew each time.
#[test]
fn an_encrypted_ssh_key_is_opened_once_for_any_number_of_recipients() {
    if !peer("ssh-keygen") {
        return;
    }
    let env = TestEnv::new();
    env.write("passphrase", "of the key\n");
    env.write("wrong", "another\n");
    peer_ok(
        std::process::Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-a", "100", "-N", "of the key", "-f"])
            .arg(env.path("id_ed25519")),
    );
    let public = std::fs::read_to_string(env.path("id_ed25519.pub")).unwrap();
    let others: Vec<String> = (0..100)
        .map(|_| age::x25519::Identity::generate().to_public().to_string())
        .collect();
    let mut arguments = vec!["init"];
    for recipient in others.iter().map(String::as_str).chain([public.trim()]) {
        arguments.extend(["--recipient", recipient]);
    }
    env.ok(&arguments);
    let sandbox = Sandbox::start();
    let opened = ["--identity", "id_ed25519", "--passphrase-file", "passphrase"];
    let prepare = ["onboard", "a", "--prepare", "--api-url", &sandbox.url];
    let run = bounded(&env, &[&prepare[..], &opened].concat());
    env.write("token", sandbox.create("a", &run.stdout));
    let run = bounded(
        &env,
        &[&["onboard", "a", "--token-file", "token"][..], &opened].concat(),
    );
    assert_eq!(run.code, 0, "{run:?}");
    let run = bounded(&env, &[&["verify", "a"][..], &opened].concat());
    assert_eq!(run.code, 0, "{run:?}");
    bounded(
        &env,
        &["verify", "a", "--identity", "id_ed25519", "--passphrase-file", "wrong"],
    )
    .fails(4, &["the passphrase does not open id_ed25519"]);
}

#[test]
fn an_identity_file_with_more_identities_than_anybody_has_is_refused() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "a");
    let identity = std::fs::read_to_string(env.path("identity.txt")).unwrap();
    env.write("many.txt", identity.repeat(10_000));
    bounded(&env, &["verify", "a", "--offline", "--identity", "many.txt"]).fails(4, &["many.txt", "32"]);
    env.write("lines.txt", "#\n".repeat(8_000_000));
    bounded(&env, &["verify", "a", "--offline", "--identity", "lines.txt"]).fails(4, &["lines.txt"]);
}

#[test]
fn a_credentials_file_of_any_shape_is_refused_or_shown_soon() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "a");
    let document = env.credential_file("a");
    let whole: Value = serde_json::from_slice(&std::fs::read(&document).unwrap()).unwrap();
    let long = "x".repeat(3_900_000);
    let mut cases = vec![
        ("arrays in arrays".to_owned(), "[".repeat(4_000_000)),
        ("numbers".to_owned(), format!("[{}0]", "0,".repeat(1_999_000))),
        ("larger than is read".to_owned(), " ".repeat(5_000_000)),
    ];
    for field in ["name", "app_id", "public_key", "created_at"] {
        for value in [Value::from(long.as_str()), vec![0; 1_900_000].into()] {
            let mut forged = whole.clone();
            forged["public"][field] = value;
            cases.push((field.to_owned(), forged.to_string()));
        }
    }
    let mut forged = whole.clone();
    forged["sealed"] = long.into();
    cases.push(("sealed".to_owned(), forged.to_string()));
    for (what, text) in cases {
        std::fs::write(&document, text).unwrap();
        for arguments in [
            &["list"][..],
            &["list", "--json"],
            &["show", "a"],
            &["verify", "a", "--offline"],
        ] {
            let run = bounded(&env, arguments);
            assert!(
                run.code != 0 || arguments[0] != "verify",
                "{what}: {arguments:?} takes it"
            );
        }
    }
}
