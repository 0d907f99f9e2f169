//! Keys as openssl writes and reads them.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::process::Command;

use support::{Run, TestEnv, peer, peer_ok};

const PATTERN_HEAD: &str = "-----BEGIN PUBLIC KEY-----";

fn openssl(env: &TestEnv, arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new("openssl");
    command.args(arguments).current_dir(env.home.path());
    peer_ok(&mut command)
}

#[test]
fn openssl_reads_what_we_write() {
    if !peer("openssl") {
        return;
    }
    for format in ["sec1", "pkcs8"] {
        let env = TestEnv::new();
        env.ok(&[
            "generate",
            "--plaintext",
            "--format",
            format,
            "--private-key",
            "private.pem",
            "--public-key",
            "public.pem",
        ]);
        let public = std::fs::read(env.path("public.pem")).unwrap();
        assert_eq!(openssl(&env, &["pkey", "-in", "private.pem", "-pubout"]), public);
        assert_eq!(openssl(&env, &["ec", "-in", "private.pem", "-pubout"]), public);
        openssl(&env, &["pkey", "-in", "private.pem", "-check", "-noout"]);
        env.write("message", "to be signed");
        openssl(
            &env,
            &[
                "dgst",
                "-sha256",
                "-sign",
                "private.pem",
                "-out",
                "signature",
                "message",
            ],
        );
        openssl(
            &env,
            &[
                "dgst",
                "-sha256",
                "-verify",
                "public.pem",
                "-signature",
                "signature",
                "message",
            ],
        );
        let first = std::fs::read_to_string(env.path("private.pem")).unwrap();
        let label = if format == "sec1" {
            "EC PRIVATE KEY"
        } else {
            "PRIVATE KEY"
        };
        assert!(first.starts_with(&format!("-----BEGIN {label}-----\n")), "{format}");
    }
}

#[test]
fn our_sec1_file_is_openssls_to_the_byte() {
    if !peer("openssl") {
        return;
    }
    let env = TestEnv::new();
    env.ok(&[
        "generate",
        "--plaintext",
        "--private-key",
        "ours.pem",
        "--public-key",
        "ours.pub",
    ]);
    openssl(&env, &["ec", "-in", "ours.pem", "-out", "theirs.pem"]);
    assert_eq!(
        std::fs::read(env.path("ours.pem")).unwrap(),
        std::fs::read(env.path("theirs.pem")).unwrap()
    );
}

#[test]
fn every_form_that_openssl_writes_is_read() {
    if !peer("openssl") {
        return;
    }
    let env = TestEnv::new();
    openssl(
        &env,
        &[
            "ecparam",
            "-genkey",
            "-name",
            "prime256v1",
            "-noout",
            "-out",
            "sec1.pem",
        ],
    );
    openssl(
        &env,
        &[
            "ecparam",
            "-genkey",
            "-name",
            "prime256v1",
            "-out",
            "with-parameters.pem",
        ],
    );
    openssl(
        &env,
        &["pkcs8", "-topk8", "-nocrypt", "-in", "sec1.pem", "-out", "pkcs8.pem"],
    );
    let encrypt = |extra: &[&str], out: &str| {
        let mut arguments = vec![
            "pkcs8",
            "-topk8",
            "-in",
            "sec1.pem",
            "-passout",
            "pass:hunter2",
            "-out",
            out,
        ];
        arguments.extend_from_slice(extra);
        openssl(&env, &arguments);
    };
    encrypt(&[], "encrypted.pem");
    encrypt(&["-v2", "aes-128-cbc"], "encrypted-128.pem");
    encrypt(&["-scrypt", "-scrypt_N", "1024"], "encrypted-scrypt.pem");
    env.write("passphrase", "hunter2\n");
    let crlf = std::fs::read_to_string(env.path("sec1.pem"))
        .unwrap()
        .replace('\n', "\r\n");
    env.write("crlf.pem", crlf);
    for file in [
        "sec1.pem",
        "with-parameters.pem",
        "pkcs8.pem",
        "encrypted.pem",
        "encrypted-128.pem",
        "encrypted-scrypt.pem",
        "crlf.pem",
    ] {
        let ours = env.ok(&["public-key", file, "--passphrase-file", "passphrase"]);
        let theirs = openssl(&env, &["pkey", "-in", file, "-passin", "pass:hunter2", "-pubout"]);
        assert_eq!(ours.as_bytes(), theirs, "{file}");
    }
    env.write("wrong", "hunter3\n");
    env.run(&["public-key", "encrypted.pem", "--passphrase-file", "wrong"])
        .fails(4, &["another passphrase"]);
    env.run(&["public-key", "encrypted.pem"])
        .fails(4, &["no terminal to ask", "--passphrase-file"]);
}

#[test]
fn what_cannot_be_used_is_named() {
    if !peer("openssl") {
        return;
    }
    let env = TestEnv::new();
    openssl(
        &env,
        &[
            "ecparam",
            "-genkey",
            "-name",
            "prime256v1",
            "-noout",
            "-out",
            "good.pem",
        ],
    );
    let good = std::fs::read_to_string(env.path("good.pem")).unwrap();
    openssl(&env, &["ec", "-in", "good.pem", "-pubout", "-out", "public.pem"]);
    openssl(
        &env,
        &[
            "req",
            "-x509",
            "-key",
            "good.pem",
            "-subj",
            "/CN=a",
            "-days",
            "1",
            "-out",
            "certificate.pem",
        ],
    );
    openssl(
        &env,
        &["ecparam", "-genkey", "-name", "secp256k1", "-noout", "-out", "k1.pem"],
    );
    openssl(
        &env,
        &["ecparam", "-genkey", "-name", "secp384r1", "-noout", "-out", "p384.pem"],
    );
    openssl(
        &env,
        &[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:secp521r1",
            "-out",
            "p521.pem",
        ],
    );
    openssl(
        &env,
        &[
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
            "-out",
            "rsa.pem",
        ],
    );
    openssl(&env, &["rsa", "-in", "rsa.pem", "-traditional", "-out", "rsa1.pem"]);
    openssl(&env, &["genpkey", "-algorithm", "ED25519", "-out", "ed25519.pem"]);
    openssl(
        &env,
        &[
            "ec",
            "-in",
            "good.pem",
            "-aes256",
            "-passout",
            "pass:x",
            "-out",
            "old-encryption.pem",
        ],
    );
    openssl(
        &env,
        &["ec", "-in", "good.pem", "-outform", "DER", "-out", "binary.der"],
    );
    openssl(&env, &["ecparam", "-name", "prime256v1", "-out", "parameters.pem"]);
    env.write("truncated.pem", &good[..good.len() / 2]);
    env.write("one-line.pem", good.replace('\n', ""));
    env.write("escaped.pem", good.replace('\n', "\\n"));
    env.write("empty.pem", "");
    env.write("text.pem", "hello\n");
    for (file, words) in [
        ("public.pem", "holds a public key, not a private one"),
        ("certificate.pem", "holds a certificate"),
        ("k1.pem", "another curve (secp256k1)"),
        ("p384.pem", "another curve (secp384r1)"),
        ("p521.pem", "another curve (secp521r1)"),
        ("rsa.pem", "holds an RSA key"),
        ("rsa1.pem", "holds an RSA key"),
        ("ed25519.pem", "holds an Ed25519 key"),
        ("old-encryption.pem", "Proc-Type: 4,ENCRYPTED"),
        ("binary.der", "is a binary file"),
        ("parameters.pem", "only the parameters of a curve"),
        ("truncated.pem", "is truncated"),
        ("one-line.pem", "has lost its line breaks"),
        ("escaped.pem", "`\\n` written out"),
        ("empty.pem", "is empty"),
        ("text.pem", "holds no PEM block"),
    ] {
        let run = env.run(&["public-key", file]);
        run.fails(1, &[&format!("{file} "), words, "hint: "]);
        let secret = good.lines().nth(1).unwrap();
        assert!(!run.stderr.contains(&secret[..12]), "{file} shows the key: {run:?}");
    }
}

#[test]
fn the_public_key_satisfies_the_apis_pattern() {
    let env = TestEnv::new();
    let public = env.ok(&["generate", "--plaintext", "--private-key", "private.pem"]);
    let body = public
        .strip_prefix(PATTERN_HEAD)
        .and_then(|rest| rest.strip_suffix("-----END PUBLIC KEY-----\n"))
        .expect("one trailing white-space character at most");
    assert!(
        body.chars()
            .all(|c| c.is_ascii_alphanumeric() || "+/=\n\r\\".contains(c)),
        "{public}"
    );
    assert!(body.lines().all(|line| line.len() <= 64));
}

#[test]
fn files_are_private_and_never_overwritten_unasked() {
    let env = TestEnv::new();
    let arguments = [
        "generate",
        "--plaintext",
        "--private-key",
        "a.pem",
        "--public-key",
        "a.pub",
    ];
    env.ok(&arguments);
    let before = std::fs::read(env.path("a.pem")).unwrap();
    #[cfg(unix)]
    {
        assert_eq!(support::mode(&env.path("a.pem")), 0o600);
        assert_eq!(support::mode(&env.path("a.pub")), 0o644);
    }
    env.run(&arguments).fails(3, &["a.pem exists already", "--force"]);
    std::fs::remove_file(env.path("a.pem")).unwrap();
    env.run(&arguments).fails(3, &["a.pub exists already"]);
    assert!(!env.path("a.pem").exists(), "a refusal writes nothing");
    env.write("a.pem", &before);
    env.ok(&[&arguments[..], &["--force"]].concat());
    assert_ne!(std::fs::read(env.path("a.pem")).unwrap(), before);
}

#[test]
fn the_private_key_is_encrypted_unless_asked_otherwise_and_age_opens_it() {
    let env = TestEnv::new();
    env.write("passphrase", "correct horse\n");
    let public = env.ok(&["generate", "--passphrase-file", "passphrase"]);
    let sealed = std::fs::read_to_string(env.path("prime256v1.pem.age")).unwrap();
    assert!(sealed.starts_with("-----BEGIN AGE ENCRYPTED FILE-----"));
    let again = env.ok(&["public-key", "prime256v1.pem.age", "--passphrase-file", "passphrase"]);
    assert_eq!(again, public);
    env.run(&["public-key", "prime256v1.pem.age"])
        .fails(4, &["no terminal"]);
    env.run(&["generate", "--private-key", "other"])
        .fails(4, &["no terminal", "--passphrase-file"]);
    assert!(!env.path("other").exists());

    if peer("age") && peer("age-keygen") {
        peer_ok(Command::new("age-keygen").arg("-o").arg(env.path("key.txt")));
        let recipient = peer_ok(Command::new("age-keygen").arg("-y").arg(env.path("key.txt")));
        let recipient = String::from_utf8(recipient).unwrap();
        let public = env.ok(&["generate", "--recipient", recipient.trim(), "--private-key", "k.age"]);
        let private = peer_ok(
            Command::new("age")
                .args(["-d", "-i"])
                .arg(env.path("key.txt"))
                .arg(env.path("k.age")),
        );
        env.write("clear.pem", private);
        assert_eq!(env.ok(&["public-key", "clear.pem"]), public);
        assert_eq!(env.ok(&["public-key", "k.age", "--identity", "key.txt"]), public);
        env.run(&["public-key", "k.age"]).fails(4, &["no identity was named"]);
    }
}

#[test]
fn stdin_is_read_where_no_file_is_named() {
    let env = TestEnv::new();
    let public = env.ok(&["generate", "--plaintext", "--private-key", "a.pem"]);
    let private = std::fs::read(env.path("a.pem")).unwrap();
    let run = env.run_with_stdin(&["public-key"], &private);
    assert_eq!((run.code, run.stdout.as_str()), (0, public.as_str()));
    Run::of(env.command(&["public-key", "--passphrase-file", "-"]).arg("-")).fails(2, &["cannot both read from stdin"]);
}

#[test]
fn json_tells_where_the_files_are_and_no_secret() {
    let env = TestEnv::new();
    let run = env.run(&["generate", "--plaintext", "--json"]);
    let document = run.json();
    assert_eq!(document["ok"], true);
    assert_eq!(document["private_key_file"], "prime256v1.pem");
    assert!(document["fingerprint"].as_str().unwrap().starts_with("SHA256:"));
    assert!(!run.stdout.contains("PRIVATE"));
    env.run(&["generate", "--plaintext", "--json", "--private-key", "-"])
        .fails(2, &[]);
}

/// RSA (PKCS#1 v1.5 with SHA-256) and Ed25519 signatures have one form for one message: openssl's is ours.
#[test]
fn keys_taken_in_sign_as_openssl_does() {
    use dfns_keys::keys::pem::{read_any_private_key, read_private_key};
    use dfns_keys::model::user_action::Signer;

    if !peer("openssl") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let signed = |key: &dfns_keys::keys::PrivateKey| runtime.block_on(key.sign(b"to be signed")).unwrap();
    let env = TestEnv::new();
    env.write("message", "to be signed");
    let rsa = ["dgst", "-sha256", "-sign", "key.pem", "message"];
    let ed25519 = ["pkeyutl", "-sign", "-inkey", "key.pem", "-rawin", "-in", "message"];
    for (make, sign) in [
        (&["genpkey", "-algorithm", "RSA", "-out", "key.pem"][..], &rsa[..]),
        (&["genrsa", "-traditional", "-out", "key.pem", "4096"], &rsa),
        (&["genpkey", "-algorithm", "ED25519", "-out", "key.pem"], &ed25519),
    ] {
        openssl(&env, make);
        let contents = std::fs::read(env.path("key.pem")).unwrap();
        let Ok(key) = read_any_private_key(&contents, None) else {
            panic!("{make:?} is read");
        };
        assert_eq!(signed(&key), openssl(&env, sign), "{make:?}");
        let public = String::from_utf8(openssl(&env, &["pkey", "-in", "key.pem", "-pubout"])).unwrap();
        assert_eq!(key.public_key().pem, public);
        // What the vault keeps is the key as openssl would write it.
        env.write("sealed.pem", key.to_sealable().sealed().unwrap().expose_secret());
        let pkcs8 = openssl(&env, &["pkcs8", "-topk8", "-nocrypt", "-in", "key.pem"]);
        assert_eq!(std::fs::read(env.path("sealed.pem")).unwrap(), pkcs8);
        assert!(
            read_private_key(&contents, None).is_err(),
            "where P-256 is asked for, it is none"
        );
    }
}
