//! Keys that never leave OpenBao's transit engine, or AWS KMS.

use serde_json::{Value, json};

use crate::openbao::Bao;
use crate::scene::{Scene, Server};
use crate::support::held::Held;
use crate::support::{self, Run, Sandbox, TestEnv, http};

const TRANSIT: &str = "hashivault://payments";
const KMS: &str = "awskms:///alias/payments?region=eu-central-1";

/// OpenBao with a transit engine.
fn transit(scene: &Scene) -> Option<Bao> {
    let bao = Bao::start(scene)?;
    bao.ask("POST", "sys/mounts/transit", &json!({"type": "transit"}));
    Some(bao)
}

/// AWS, as moto knows it.
struct Aws {
    _server: Server,
    address: String,
}

impl Aws {
    fn new(scene: &Scene) -> Option<Self> {
        let server = scene.serve("moto_server.py", &[])?;
        Some(Self {
            address: format!("127.0.0.1:{}", server.port),
            _server: server,
        })
    }

    fn signed_in(&self) -> [(&'static str, String); 3] {
        signed_in(&format!("http://{}", self.address))
    }

    /// Asks KMS, as the account of these tests.
    fn ask(&self, action: &str, question: &Value) -> Value {
        let target = format!("TrentService.{action}");
        let headers = [
            ("Host", self.address.as_str()),
            ("X-Amz-Target", target.as_str()),
            (
                "Authorization",
                "AWS4-HMAC-SHA256 Credential=test/20260101/eu-central-1/kms/aws4_request, SignedHeaders=host, Signature=0",
            ),
            ("Content-Type", "application/x-amz-json-1.1"),
        ];
        http(&self.address, "POST", "/", &headers, question.to_string().as_bytes()).json()
    }
}

fn signed_in(endpoint: &str) -> [(&'static str, String); 3] {
    [
        ("AWS_ENDPOINT_URL", endpoint.to_owned()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "canary-secret-access-key-471108".to_owned()),
    ]
}

fn with(scene: &Scene, variables: &[(&str, String)], arguments: &[&str]) -> Run {
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    scene.with(&variables, arguments)
}

#[test]
fn a_key_is_made_in_a_transit_engine_and_cannot_be_taken_out() {
    let Some(scene) = Scene::new(&[]) else { return };
    let Some(bao) = transit(&scene) else { return };
    let run = |arguments: &[&str]| scene.with(&bao.signed_in(), arguments);
    let made = run(&["generate", "--key", TRANSIT]);
    made.fails(0, &[]);
    let key = bao.ask("GET", "transit/keys/payments", &Value::Null)["data"].clone();
    assert_eq!(key["type"], "ecdsa-p256");
    assert_eq!(
        (&key["exportable"], &key["allow_plaintext_backup"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(
        key["keys"]["1"]["public_key"].as_str().unwrap().trim(),
        made.stdout.trim()
    );
    assert_eq!(run(&["public-key", "--key", TRANSIT]).stdout, made.stdout);
    run(&["generate", "--key", TRANSIT]).fails(3, &["the transit key `payments` is there already"]);

    run(&["public-key", "--key", "hashivault://nothing"]).fails(4, &["the transit key `nothing` is not there"]);
    bao.ask("POST", "transit/keys/rsa", &json!({"type": "rsa-2048"}));
    run(&["public-key", "--key", "hashivault://rsa"]).fails(4, &["is of type rsa-2048, and not a P-256 key"]);
    bao.ask(
        "POST",
        "transit/keys/loose",
        &json!({"type": "ecdsa-p256", "exportable": true}),
    );
    run(&["public-key", "--key", "hashivault://loose"]).fails(4, &["is one that can be exported"]);
    scene
        .with(
            &[("VAULT_ADDR", &bao.url), ("VAULT_TOKEN", "canary-token")],
            &["public-key", "--key", TRANSIT],
        )
        .fails(4, &["Vault denies it", "permission denied"]);
    scene
        .with(
            &[("VAULT_ADDR", "http://127.0.0.1:1"), ("VAULT_TOKEN", "x")],
            &["public-key", "--key", TRANSIT],
        )
        .fails(6, &["Vault cannot be reached"]);
    scene
        .with(&[], &["public-key", "--key", TRANSIT])
        .fails(4, &["VAULT_ADDR does not say which Vault"]);
    bao.ask("PUT", "sys/seal", &Value::Null);
    run(&["public-key", "--key", TRANSIT]).fails(6, &["sealed"]);
}

#[test]
fn a_key_is_made_in_aws_kms_and_cannot_be_taken_out() {
    let Some(scene) = Scene::new(&[]) else { return };
    let Some(aws) = Aws::new(&scene) else { return };
    let run = |arguments: &[&str]| with(&scene, &aws.signed_in(), arguments);
    let made = run(&["generate", "--key", KMS]);
    made.fails(0, &[]);
    let key = aws.ask("DescribeKey", &json!({"KeyId": "alias/payments"}))["KeyMetadata"].clone();
    assert_eq!(
        (&key["KeySpec"], &key["KeyUsage"], &key["Origin"]),
        (&json!("ECC_NIST_P256"), &json!("SIGN_VERIFY"), &json!("AWS_KMS"))
    );
    assert_eq!(run(&["public-key", "--key", KMS]).stdout, made.stdout);
    let by_arn = format!("awskms:///{}", key["Arn"].as_str().unwrap());
    assert_eq!(run(&["public-key", "--key", &by_arn]).stdout, made.stdout);
    run(&["generate", "--key", KMS]).fails(3, &["the key `alias/payments` of AWS KMS is there already"]);

    let other = aws.ask("CreateKey", &json!({"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"}));
    let other = format!(
        "awskms:///{}?region=eu-central-1",
        other["KeyMetadata"]["KeyId"].as_str().unwrap()
    );
    run(&["public-key", "--key", &other]).fails(4, &["is RSA_2048 for SIGN_VERIFY, and not a P-256 key"]);
    run(&["public-key", "--key", "awskms:///alias/nothing?region=eu-central-1"]).fails(4, &["is not there"]);
    run(&["generate", "--key", "awskms:///1234?region=eu-central-1"]).fails(4, &["AWS chooses the id"]);
    run(&["public-key", "--key", "awskms:///alias/payments"]).fails(4, &["AWS_REGION"]);
    with(&scene, &[], &["public-key", "--key", KMS]).fails(4, &["there are no credentials for AWS"]);
}

#[test]
fn a_key_in_a_transit_engine_signs_whatever_is_signed_and_is_never_handed_over() {
    let Some(scene) = Scene::new(&[]) else { return };
    let Some(bao) = transit(&scene) else { return };
    let (env, sandbox) = (TestEnv::with_vault(), Sandbox::start_with(&["--rotation", "guide"]));
    let held = Held {
        env: &env,
        sandbox: &sandbox,
        variables: bao
            .signed_in()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        uri: TRANSIT.to_owned(),
    };
    held.onboard();
    held.signs();
    held.stays();
    // Somebody rotates the key in place: the version that Dfns knows still signs.
    bao.ask("POST", "transit/keys/payments/rotate", &json!({}));
    held.rotates();
    held.signs();
}

#[test]
fn a_key_in_aws_kms_signs_whatever_is_signed_and_is_never_handed_over() {
    let Some(scene) = Scene::new(&[]) else { return };
    let Some(aws) = Aws::new(&scene) else { return };
    let (env, sandbox) = (TestEnv::with_vault(), Sandbox::start_with(&["--rotation", "guide"]));
    let held = Held {
        env: &env,
        sandbox: &sandbox,
        variables: aws.signed_in().map(|(name, value)| (name.to_owned(), value)).to_vec(),
        uri: KMS.to_owned(),
    };
    held.onboard();
    held.signs();
    held.stays();
    held.rotates();
}

#[test]
fn what_aws_refuses_is_told_apart() {
    let Some(scene) = Scene::new(&[]) else { return };
    for (status, kind, code, words) in [
        (400, "AccessDeniedException", 4, "AWS KMS denies it"),
        (400, "ExpiredTokenException", 4, "AWS KMS denies it"),
        (400, "DisabledException", 4, "AWS KMS refuses"),
        (400, "ThrottlingException", 6, "limits the rate"),
        (500, "KMSInternalException", 6, "is failing"),
        (400, "NotFoundException", 4, "is not there"),
    ] {
        let body = json!({"__type": kind, "message": "because canary-secret-access-key-471108"}).to_string();
        let server = support::server::Server::start(status, "", &body);
        let run = with(&scene, &signed_in(&server.url), &["public-key", "--key", KMS]);
        run.fails(code, &[words]);
    }
}
