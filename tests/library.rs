//! What a Rust program does with the library: the examples of docs/examples, run; and a key that is elsewhere.
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "tests set up and look at files as a user would, outside the program; of an example `main` is not run"
)]

mod support;

#[path = "../docs/examples/open_and_sign.rs"]
mod open_and_sign;
#[path = "../docs/examples/rotate.rs"]
mod rotate;
#[path = "../docs/examples/verify_environment.rs"]
mod verify_environment;

use std::future::Future;

use async_trait::async_trait;
use dfns_keys::api::{Access, Action, Client, ClientConfig, SigningError};
use dfns_keys::keys::KeyPair;
use dfns_keys::keys::pem::read_private_key;
use dfns_keys::model::credential::{Environment, PublicKeyText};
use dfns_keys::model::token::AuthToken;
use dfns_keys::model::user_action::{Signer, SignerError};
use support::{Sandbox, TestEnv};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

#[test]
fn a_program_signs_a_call_with_a_credential_of_a_vault() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "payments");
    let identity = env.path("identity.txt");
    let status = block_on(open_and_sign::create_wallet(&env.vault(), "payments", &identity));
    assert_eq!(status.unwrap(), 200);
    assert!(sandbox.calls().contains(&"POST /wallets 200".to_owned()));
}

#[test]
fn a_program_checks_its_environment_before_it_starts() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "payments");
    env.ok(&["export", "payments", "--format", "dotenv", "--output", "payments.env"]);
    let failures = block_on(verify_environment::failures(&env.path("payments.env")));
    assert!(failures.is_empty(), "{failures:?}");
    // The token of one account, and the key of another.
    env.onboard(&sandbox, "refunds");
    let mixed = env.ok(&["export", "payments", "--format", "json"]);
    let key = env.ok(&["export", "refunds", "--format", "json"]);
    let [mixed, key]: [serde_json::Value; 2] = [mixed, key].map(|text| serde_json::from_str(&text).unwrap());
    let lines = mixed.as_object().unwrap().iter().map(|(name, value)| {
        let value = if name == "DFNS_PRIVATE_KEY" { &key[name] } else { value };
        format!("{name}='{}'\n", value.as_str().unwrap())
    });
    env.write("mixed.env", lines.collect::<String>());
    let failures = block_on(verify_environment::failures(&env.path("mixed.env")));
    assert!(failures[0].starts_with("signature.accepted: "), "{failures:?}");
}

#[test]
fn a_program_rotates_a_credential() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "payments");
    let before = env.open("payments");
    let step = block_on(rotate::rotate(&env.vault(), "payments", &env.path("identity.txt")));
    assert_eq!(step.unwrap(), "promoted");
    assert_ne!(
        env.open("payments")["active"]["private_key"],
        before["active"]["private_key"]
    );
    env.ok(&["verify", "payments"]);
}

/// A key that this process does not hold: its owner signs, or says why not.
struct Elsewhere {
    owner: Option<KeyPair>,
    public_key: PublicKeyText,
}

#[async_trait]
impl Signer for Elsewhere {
    fn public_key(&self) -> PublicKeyText {
        self.public_key.clone()
    }

    async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        match &self.owner {
            Some(owner) => owner.sign(message).await,
            None => Err(SignerError::Failed("the token of the key was pulled out")),
        }
    }
}

#[test]
fn a_key_that_is_elsewhere_signs_or_says_why_not() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    let token: AuthToken = AuthToken::parse(&env.onboard(&sandbox, "payments")).unwrap();
    let pem = env.open("payments")["active"]["private_key"]
        .as_str()
        .unwrap()
        .to_owned();
    let owner = read_private_key(pem.as_bytes(), None).unwrap();
    let environment = Environment {
        api_url: sandbox.url.parse().unwrap(),
        origin: "https://app.dfns.io".parse().unwrap(),
        application_id: None,
        organisation_id: None,
    };
    let client = Client::new(ClientConfig::default());
    let mut signer = Elsewhere {
        public_key: Signer::public_key(&owner),
        owner: Some(owner),
    };
    let sign = |signer: &Elsewhere| {
        let access = Access {
            environment: &environment,
            token: &token,
            signer,
            credential_id: None,
        };
        block_on(client.sign(access, Action::TEST_CALL))
    };
    assert!(sign(&signer).is_ok());
    signer.owner = None;
    let before = sandbox.calls().len();
    let Err(error) = sign(&signer) else {
        panic!("nobody signed it")
    };
    assert!(matches!(error, SigningError::Signer(_)), "{error}");
    assert_eq!(
        error.to_string(),
        "the private key does not sign: the token of the key was pulled out"
    );
    assert_eq!(sandbox.calls()[before..], ["POST /auth/action/init 200"]);
}
