//! Nothing that may be a secret is repeated: secrets of every shape, new ones in each run, are put where they do not belong, in
//! every option, variable and field that there is, and no eight characters of them may appear anywhere.
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

#[path = "repeating/answers.rs"]
mod answers;
#[path = "repeating/options.rs"]
mod options;
#[path = "repeating/sources.rs"]
mod sources;

use std::collections::HashSet;
use std::path::Path;

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};
use support::{Run, Sandbox, TestEnv};

/// What somebody pastes into the wrong place, and what of it must not be seen again.
pub(crate) struct Secret {
    pub(crate) name: &'static str,
    pub(crate) pasted: String,
    hidden: Vec<String>,
}

/// So many characters of a secret are a part of it.
const PIECE: usize = 8;
/// From here on a text is looked through once, piece by piece.
const LONG: usize = 32 * 1024;

impl Secret {
    fn new(name: &'static str, pasted: impl Into<String>, hidden: &str) -> Self {
        Self {
            name,
            pasted: pasted.into(),
            hidden: hidden.split_whitespace().map(str::to_ascii_lowercase).collect(),
        }
    }

    fn whole(name: &'static str, pasted: impl Into<String>) -> Self {
        let pasted = pasted.into();
        let hidden = pasted.clone();
        Self::new(name, pasted, &hidden)
    }

    /// Asserts that no piece of it is in a text.
    #[track_caller]
    pub(crate) fn is_not_in(&self, what: &str, text: &str) {
        let text = text.to_ascii_lowercase();
        // Where a line was broken for a terminal.
        let joined: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        // All pieces of a long text at once: a search for each of a secret's would take minutes.
        let pieces: HashSet<&[u8]> = [&text, &joined]
            .into_iter()
            .filter(|text| text.len() > LONG)
            .flat_map(|text| text.as_bytes().windows(PIECE))
            .collect();
        let holds = |text: &str, piece: &str| {
            if text.len() > LONG && piece.len() == PIECE {
                pieces.contains(piece.as_bytes())
            } else {
                text.contains(piece)
            }
        };
        for hidden in &self.hidden {
            for start in 0..=hidden.len().saturating_sub(PIECE) {
                let piece = &hidden[start..(start + PIECE).min(hidden.len())];
                assert!(
                    !holds(&text, piece) && !holds(&joined, piece),
                    "{what} repeats `{piece}` of {}: {text}",
                    self.name
                );
            }
        }
    }

    #[track_caller]
    pub(crate) fn is_not_said(&self, what: &str, run: &Run) {
        self.is_not_in(what, &run.stdout);
        self.is_not_in(what, &run.stderr);
        assert!(!run.stderr.contains("this is a bug"), "{what}: {run:?}");
    }
}

/// One of each shape.
pub(crate) fn secrets(env: &TestEnv) -> Vec<Secret> {
    env.ok(&[
        "generate",
        "--plaintext",
        "--private-key",
        "secret.pem",
        "--public-key",
        "secret.pub",
        "--force",
    ]);
    let pem = std::fs::read_to_string(env.path("secret.pem")).unwrap();
    let pkcs8 = ["--private-key", "secret.p8", "--public-key", "secret.pub", "--force"];
    env.ok(&[&["generate", "--plaintext", "--format", "pkcs8"][..], &pkcs8].concat());
    let body = |pem: &str| -> String { pem.lines().filter(|line| !line.starts_with("---")).collect() };
    let pkcs8 = body(&std::fs::read_to_string(env.path("secret.p8")).unwrap());
    let der = Base64::decode_vec(&pkcs8).unwrap();
    let scalar = &der[36..68];
    let hex = scalar
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let token = token(&json!({"https://custom/app_metadata": {"orgId": "or-1"}, "exp": 4_000_000_000_u32}));
    let identity = age::x25519::Identity::generate();
    let identity = secrecy::ExposeSecret::expose_secret(&identity.to_string()).to_owned();
    let bech32 = identity.strip_prefix("AGE-SECRET-KEY-1").unwrap().to_owned();
    let lines = pem.lines().filter(|line| !line.starts_with("---"));
    let lines: Vec<&str> = lines.collect();
    vec![
        Secret::whole("a token", &token),
        Secret::new("a token with its word", format!("Bearer {token}"), &token),
        Secret::whole("the claims of a token", token.split('.').nth(1).unwrap()),
        Secret::new("a token as a host", format!("https://{token}"), &token),
        Secret::new("a private key", &pem, &lines.join(" ")),
        Secret::new(
            "a private key in one line",
            pem.trim().replace('\n', "\\n"),
            &lines.join(" "),
        ),
        Secret::whole("the base64 of a key", body(&pem)),
        Secret::whole("the base64 of PKCS#8", &pkcs8),
        Secret::whole("the base64 of a PEM file", Base64::encode_string(pem.as_bytes())),
        Secret::whole("the bare number of a key", hex),
        Secret::new("an age identity", &identity, &bech32),
        Secret::new(
            "an age identity in small letters",
            identity.to_ascii_lowercase(),
            &bech32,
        ),
        Secret::new(
            "a password in an address",
            "https://user:swordfish-7@api.dfns.io",
            "swordfish-7",
        ),
        Secret::new(
            "a password without its scheme",
            "user:swordfish-7@api.dfns.io",
            "swordfish-7",
        ),
        Secret::new(
            "a password in a query",
            "https://api.dfns.io/?key=swordfish-7",
            "swordfish-7",
        ),
    ]
}

/// A token of these claims that nobody signed.
pub(crate) fn token(claims: &Value) -> String {
    let encode = |text: &str| Base64UrlUnpadded::encode_string(text.as_bytes());
    let mut random = [0_u8; 64];
    getrandom::fill(&mut random).unwrap();
    format!(
        "{}.{}.{}",
        encode(r#"{"alg":"EdDSA","typ":"JWT"}"#),
        encode(&claims.to_string()),
        Base64UrlUnpadded::encode_string(&random)
    )
}

/// A vault with an active credential, a user, and what was begun.
pub(crate) struct Scene {
    pub(crate) env: TestEnv,
    pub(crate) sandbox: Sandbox,
    pub(crate) secrets: Vec<Secret>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let env = TestEnv::with_vault();
        let sandbox = Sandbox::start();
        env.onboard(&sandbox, "a");
        let code = sandbox.code("ops");
        env.ok(&["enroll", "ops", "--code", &code, "--api-url", &sandbox.url]);
        env.prepare(&sandbox, "pending");
        let secrets = secrets(&env);
        for name in ["secret.pem", "secret.p8", "secret.pub"] {
            std::fs::remove_file(env.path(name)).unwrap();
        }
        Self { env, sandbox, secrets }
    }

    /// Asserts that neither the log nor anything else in the vault has a piece of a secret.
    pub(crate) fn nothing_is_kept(&self) {
        let log = self.env.ok(&["log"]) + &self.env.ok(&["log", "--json"]);
        for secret in &self.secrets {
            secret.is_not_in("the log", &log);
            nothing_below(&self.env.vault(), secret);
        }
    }
}

fn nothing_below(directory: &Path, secret: &Secret) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        secret.is_not_in("a name in the vault", &path.file_name().unwrap().to_string_lossy());
        if path.is_dir() {
            nothing_below(&path, secret);
        } else {
            let text = std::fs::read(&path).unwrap();
            secret.is_not_in(&path.display().to_string(), &String::from_utf8_lossy(&text));
        }
    }
}

#[test]
fn the_watch_itself_can_fail() {
    let secret = Secret::whole("a test", "0123456789abcdef");
    for text in ["x 456789AB y", "01234\n  567"] {
        assert!(
            std::panic::catch_unwind(|| secret.is_not_in("a text", text)).is_err(),
            "{text}"
        );
    }
    secret.is_not_in("a text", "0123456 89abcdeg");
}
