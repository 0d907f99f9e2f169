//! AWS Secrets Manager and Systems Manager, by the real `aws` against moto.

use serde_json::{Value, json};

use crate::scene::{Scene, Server, installed};
use crate::support::{Run, http, peer_ok};

const SECRET: &str = "aws-secrets-manager:prod/payments?region=eu-central-1";
const PARAMETER: &str = "aws-ssm:/prod/payments";

pub(crate) struct Aws {
    pub(crate) scene: Scene,
    server: Server,
    address: String,
}

impl Aws {
    fn new() -> Option<Self> {
        let scene = Scene::new(&["aws"])?;
        let server = scene.serve("moto_server.py", &[])?;
        let address = format!("http://127.0.0.1:{}", server.port);
        Some(Self { scene, server, address })
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.scene.with(&self.signed_in(), arguments)
    }

    fn signed_in(&self) -> [(&str, &str); 4] {
        signed_in(&self.address)
    }

    /// Asks AWS, as the account of these tests.
    fn ask(&self, service: &str, action: &str, question: &Value) -> Value {
        let target = match service {
            "ssm" => format!("AmazonSSM.{action}"),
            _ => format!("secretsmanager.{action}"),
        };
        let credential = format!(
            "AWS4-HMAC-SHA256 Credential=test/20260101/eu-central-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
        );
        let address = format!("127.0.0.1:{}", self.server.port);
        let headers = [
            ("Host", address.as_str()),
            ("X-Amz-Target", target.as_str()),
            ("Authorization", credential.as_str()),
            ("Content-Type", "application/x-amz-json-1.1"),
        ];
        http(&address, "POST", "/", &headers, question.to_string().as_bytes()).json()
    }

    fn secret(&self) -> Value {
        let answer = self.ask(
            "secretsmanager",
            "GetSecretValue",
            &json!({"SecretId": "prod/payments"}),
        );
        serde_json::from_str(answer["SecretString"].as_str().unwrap()).unwrap()
    }

    fn parameter(&self) -> Value {
        let answer = self.ask(
            "ssm",
            "GetParameter",
            &json!({"Name": "/prod/payments", "WithDecryption": true}),
        );
        assert_eq!(answer["Parameter"]["Type"], "SecureString", "{answer}");
        serde_json::from_str(answer["Parameter"]["Value"].as_str().unwrap()).unwrap()
    }
}

/// What `aws` is signed in with.
pub(crate) fn signed_in(address: &str) -> [(&str, &str); 4] {
    [
        ("AWS_ENDPOINT_URL", address),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_DEFAULT_REGION", "eu-central-1"),
    ]
}

#[test]
fn a_secret_of_secrets_manager_is_made_read_back_and_rotated() {
    let Some(aws) = Aws::new() else { return };
    let run = aws.run(&["deliver", "a", "--to", SECRET]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(
        run.stdout.contains("(account 123456789012)  in sync, read back"),
        "{run:?}"
    );
    aws.scene.rotates(&aws.signed_in(), &|| aws.secret());
    let versions = aws.ask(
        "secretsmanager",
        "ListSecretVersionIds",
        &json!({"SecretId": "prod/payments"}),
    );
    assert_eq!(
        versions["Versions"].as_array().unwrap().len(),
        2,
        "each was put once: {versions}"
    );
    // What somebody else keeps there is left alone.
    let other =
        json!({"Name": "theirs", "SecretString": "{\"password\": \"x\"}", "ClientRequestToken": "0".repeat(32)});
    aws.ask("secretsmanager", "CreateSecret", &other);
    aws.run(&["deliver", "a", "--to", "aws-secrets-manager:theirs?region=eu-central-1"])
        .fails(
            7,
            &[
                "something else than a credential stands there",
                "name a place of its own",
            ],
        );
    let theirs = aws.ask("secretsmanager", "GetSecretValue", &json!({"SecretId": "theirs"}));
    assert_eq!(theirs["SecretString"], other["SecretString"]);
}

#[test]
fn a_parameter_of_systems_manager_is_encrypted_read_back_and_rotated() {
    let Some(aws) = Aws::new() else { return };
    let run = aws.run(&["deliver", "a", "--to", PARAMETER]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(
        run.stdout
            .contains("(account 123456789012, region eu-central-1)  in sync, read back"),
        "{run:?}"
    );
    aws.scene.rotates(&aws.signed_in(), &|| aws.parameter());
    // In another region is another place.
    let mut elsewhere = aws.signed_in();
    elsewhere[3].1 = "us-east-1";
    aws.scene.with(&elsewhere, &["deliver", "a"]).fails(
        7,
        &[
            "another place",
            "region us-east-1",
            "region eu-central-1",
            "nothing was put",
        ],
    );
}

#[test]
fn who_is_not_signed_in_to_aws_is_told_so() {
    let Some(aws) = Aws::new() else { return };
    let nobody = [
        ("AWS_ENDPOINT_URL", aws.address.as_str()),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    aws.scene
        .with(&nobody, &["deliver", "a", "--to", SECRET])
        .fails(7, &["aws refuses", "Unable to locate credentials", "aws sso login"]);
    aws.scene
        .with(&aws.signed_in(), &["deliver", "a", "--to", "aws-ssm:/x?profile=nobody"])
        .fails(7, &["could not be found", "aws configure list-profiles"]);
}

/// Two machines that share a vault, each signed in to an account of its own.
#[test]
fn two_machines_with_two_accounts_deliver_and_retire_each_for_its_own() {
    let Some(aws) = Aws::new() else { return };
    let Some(program) = installed("aws") else { return };
    let role = [
        "sts",
        "assume-role",
        "--role-arn",
        "arn:aws:iam::222222222222:role/payments",
        "--role-session-name",
        "second",
    ];
    let mut assume = aws.scene.env.bare(program.to_str().unwrap());
    let session: Value = serde_json::from_slice(&peer_ok(assume.args(role).envs(aws.signed_in()))).unwrap();
    let of_role = |name: &str| session["Credentials"][name].as_str().unwrap();
    let second = [
        ("AWS_ENDPOINT_URL", aws.address.as_str()),
        ("AWS_ACCESS_KEY_ID", of_role("AccessKeyId")),
        ("AWS_SECRET_ACCESS_KEY", of_role("SecretAccessKey")),
        ("AWS_SESSION_TOKEN", of_role("SessionToken")),
        ("AWS_DEFAULT_REGION", "eu-central-1"),
    ];
    let on_second = |arguments: &[&str]| aws.scene.with(&second, arguments);
    let parameter = |region: &str| {
        let mut get = aws.scene.env.bare(program.to_str().unwrap());
        get.args(["ssm", "get-parameter", "--name", "/prod/payments", "--with-decryption"]);
        let found: Value = serde_json::from_slice(&peer_ok(get.args(["--region", region]).envs(second))).unwrap();
        serde_json::from_str::<Value>(found["Parameter"]["Value"].as_str().unwrap()).unwrap()
    };

    aws.run(&["deliver", "a", "--to", SECRET]).fails(0, &[]);
    on_second(&["deliver", "a"]).fails(7, &["another place", "nothing was put"]);
    on_second(&["deliver", "a", "--to", PARAMETER]).fails(0, &[]);
    let old = aws.scene.exported();
    assert_eq!((aws.secret(), parameter("eu-central-1")), (old.clone(), old.clone()));

    // The first rotates: its own place has the new key, and the old one goes on working for the second's.
    aws.run(&["rotate", "a", "--grace", "0", "--yes"])
        .fails(7, &["aws-ssm"]);
    let new = aws.scene.exported();
    assert_eq!((aws.secret(), parameter("eu-central-1")), (new.clone(), old));
    assert_eq!(aws.scene.working().len(), 2);
    aws.run(&["rotate", "a", "--finish"]).fails(7, &["aws-ssm"]);

    on_second(&["rotate", "a", "--finish"]).fails(0, &[]);
    assert_eq!((aws.secret(), parameter("eu-central-1")), (new.clone(), new));
    assert_eq!(aws.scene.working().len(), 1);
}
