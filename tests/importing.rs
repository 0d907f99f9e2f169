//! Taking in what people have today, and leaving nothing in clear behind.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use serde_json::{Value, json};
use support::{Sandbox, TestEnv, peer, peer_ok};

struct Scene {
    env: TestEnv,
    sandbox: Sandbox,
}

impl Scene {
    fn new() -> Self {
        Self {
            env: TestEnv::with_vault(),
            sandbox: Sandbox::start(),
        }
    }

    /// A key as openssl made it, and the token of an account that has it: `key.pem` and `token`.
    fn by_openssl(&self, name: &str, arguments: &[&str]) {
        let openssl = |arguments: &[&str]| {
            let mut command = self.env.bare("openssl");
            String::from_utf8(peer_ok(command.args(arguments))).unwrap()
        };
        openssl(arguments);
        let public = openssl(&["pkey", "-in", "key.pem", "-passin", "pass:old", "-pubout"]);
        self.env.write("token", self.sandbox.create(name, &public));
    }

    fn import(&self, arguments: &[&str]) -> support::Run {
        let mut all = vec!["import"];
        all.extend_from_slice(arguments);
        self.env.run(&all)
    }

    /// An account made by another vault and handed over in this form, and what its environment opens to.
    fn handed_over(&self, format: &str, file: &str) -> Value {
        let url = self.sandbox.url.as_str();
        let public = self.env.ok(&["onboard", "elsewhere", "--prepare", "--api-url", url]);
        self.env.write("token", self.sandbox.create(format, &public));
        self.env.ok(&["onboard", "elsewhere", "--token-file", "token"]);
        self.env
            .ok(&["export", "elsewhere", "--format", format, "--output", file]);
        let opened = self.env.open("elsewhere");
        self.env.ok(&["remove", "elsewhere", "--force", "--yes"]);
        opened
    }
}

#[test]
fn a_postman_environment_is_taken_in_and_deleted() {
    let scene = Scene::new();
    let opened = scene.handed_over("postman-environment", "env.json");
    let run = scene.import(&["a", "--postman", "env.json", "--delete-source"]);
    run.fails(0, &["a is active", "deleted  env.json", "dfns-keys rotate a"]);
    assert!(!scene.env.path("env.json").exists());
    let imported = scene.env.open("a");
    for field in ["private_key", "token", "credential_id"] {
        assert_eq!(imported["active"][field], opened["active"][field], "{field}");
    }
    assert_eq!(imported["public"]["api_url"], scene.sandbox.url.as_str());
    scene.env.ok(&["verify", "a", "--strict"]);
}

#[test]
fn wounds_are_mended_and_what_cannot_be_mended_is_named() {
    let scene = Scene::new();
    scene.handed_over("postman-environment", "env.json");
    let whole: Value = serde_json::from_slice(&std::fs::read(scene.env.path("env.json")).unwrap()).unwrap();
    let write = |key: &str, value: &str| {
        let mut edited = whole.clone();
        let values = edited["values"].as_array_mut().unwrap();
        values.iter_mut().find(|one| one["key"] == key).unwrap()["value"] = json!(value);
        scene.env.write("edited.json", edited.to_string());
    };
    let pem = {
        let values = whole["values"].as_array().unwrap();
        let found = values.iter().find(|one| one["key"] == "credentialPrivateKey").unwrap();
        found["value"].as_str().unwrap().to_owned()
    };
    let cases = [
        ("credentialPrivateKey", "", "has no credentialPrivateKey"),
        ("credentialPrivateKey", "hello", "holds no PEM block"),
        ("authToken", "", "has no authToken"),
        ("authToken", "eyJ.x", "authToken in edited.json"),
        ("applicationOrigin", "nonsense", "applicationOrigin in edited.json"),
        ("dfnsApiDomain", "a b", "dfnsApiDomain in edited.json"),
    ];
    for (key, value, words) in cases {
        write(key, value);
        let run = scene.import(&["a", "--postman", "edited.json", "--delete-source"]);
        assert!(run.code != 0 && run.stderr.contains(words), "{key}: {run:?}");
        assert!(!run.stderr.contains("eyJ.x"), "{run:?}");
        assert!(scene.env.path("edited.json").exists() && !scene.env.credential_file("a").exists());
    }
    write("credentialPrivateKey", &pem.replace('\n', " "));
    scene.import(&["a", "--postman", "edited.json"]).fails(
        0,
        &[
            "has lost its line breaks; it was mended",
            "safe to delete:  edited.json",
        ],
    );
    scene.env.ok(&["verify", "a", "--strict"]);
    scene
        .import(&["b", "--postman", "nowhere.json"])
        .fails(1, &["nowhere.json"]);
    scene.env.write("collection.json", r#"{"info": {}, "item": []}"#);
    scene
        .import(&["b", "--postman", "collection.json"])
        .fails(1, &["a Postman collection, not an environment"]);
}

#[test]
fn a_dotenv_file_is_taken_in_but_not_deleted_with_what_others_need() {
    let scene = Scene::new();
    for (name, format) in [("a", "dotenv"), ("b", "docker-env")] {
        let opened = scene.handed_over(format, "app.env");
        let text = std::fs::read_to_string(scene.env.path("app.env")).unwrap();
        scene
            .env
            .write("shared.env", format!("DATABASE_URL=postgres://x\n{text}"));
        scene
            .import(&[name, "--dotenv", "shared.env", "--delete-source"])
            .fails(1, &["holds other variables too: DATABASE_URL"]);
        assert!(scene.env.path("shared.env").exists() && !scene.env.credential_file(name).exists());
        scene
            .import(&[name, "--dotenv", "shared.env"])
            .fails(0, &["safe to take out of shared.env"]);
        assert_eq!(
            scene.env.open(name)["active"]["private_key"],
            opened["active"]["private_key"]
        );
        scene.env.ok(&["remove", name, "--force", "--yes"]);
        scene
            .import(&[name, "--dotenv", "app.env", "--delete-source"])
            .fails(0, &["deleted  app.env"]);
        assert!(!scene.env.path("app.env").exists());
        scene.env.ok(&["verify", name, "--strict"]);
    }
}

#[test]
fn without_a_call_nothing_is_proven_and_it_says_so() {
    let scene = Scene::new();
    let opened = scene.handed_over("dotenv", "app.env");
    let before = scene.sandbox.calls().len();
    let run = scene.import(&["a", "--dotenv", "app.env", "--offline"]);
    run.fails(0, &["a is active, and unproven", "dfns-keys verify a"]);
    assert_eq!(scene.sandbox.calls().len(), before, "nobody was asked");
    // All of it but since when it is here.
    let but_since = |opened: &Value| {
        let mut active = opened["active"].as_object().unwrap().clone();
        active.remove("since");
        active
    };
    assert_eq!(but_since(&scene.env.open("a")), but_since(&opened));
    scene.env.ok(&["verify", "a", "--strict"]);

    scene
        .env
        .write("key.pem", opened["active"]["private_key"].as_str().unwrap());
    scene.env.write("token", opened["active"]["token"].as_str().unwrap());
    scene.env.ok(&["remove", "a", "--force", "--yes"]);
    let files = ["b", "--private-key", "key.pem", "--token-file", "token", "--offline"];
    scene
        .import(&files)
        .fails(2, &["credential id is not known", "--credential-id"]);
    let with = |more: &[&'static str]| [&files[..], more].concat();
    scene
        .import(&with(&["--credential-id", "x", "--org-id", "or-other"]))
        .fails(5, &["belongs to organisation"]);
    assert!(!scene.env.credential_file("b").exists());
    scene.import(&with(&["--credential-id", "x"])).fails(0, &["unproven"]);
    // The production API was never asked; a wrong id shows when the pair is proven.
    let run = scene.env.run(&["verify", "b", "--api-url", &scene.sandbox.url]);
    run.fails(5, &[]);
}

/// Of a link only the link would go, and the key would stay where it is.
#[cfg(unix)]
#[test]
fn only_plain_files_are_deleted() {
    let scene = Scene::new();
    scene.handed_over("dotenv", "app.env");
    std::os::unix::fs::symlink(scene.env.path("app.env"), scene.env.path("link.env")).unwrap();
    scene
        .import(&["a", "--dotenv", "link.env", "--delete-source"])
        .fails(1, &["link.env is not a plain file"]);
    assert!(scene.env.path("link.env").exists() && !scene.env.credential_file("a").exists());
    scene
        .import(&["a", "--dotenv", "link.env"])
        .fails(0, &["safe to delete:  link.env"]);
}

#[test]
fn a_key_without_its_token_waits_for_it() {
    let scene = Scene::new();
    let public = scene.env.ok(&["generate", "--plaintext", "--private-key", "key.pem"]);
    let url = scene.sandbox.url.as_str();
    let run = scene.import(&[
        "a",
        "--private-key",
        "key.pem",
        "--api-url",
        url,
        "--delete-source",
        "--json",
    ]);
    assert_eq!((run.code, &run.json()["state"]), (0, &json!("pending")), "{run:?}");
    assert!(!scene.env.path("key.pem").exists());
    scene.env.write("token", scene.sandbox.create("a", &public));
    scene.env.ok(&["onboard", "a", "--token-file", "token"]);
    scene.env.ok(&["verify", "a", "--strict"]);
}

#[test]
fn a_key_under_a_passphrase_is_taken_in() {
    if !peer("openssl") {
        return;
    }
    let scene = Scene::new();
    scene.by_openssl(
        "a",
        &[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-aes-256-cbc",
            "-pass",
            "pass:old",
            "-out",
            "key.pem",
        ],
    );
    let url = scene.sandbox.url.as_str();
    let files = [
        "a",
        "--private-key",
        "key.pem",
        "--token-file",
        "token",
        "--api-url",
        url,
    ];
    scene.import(&files).fails(4, &["no terminal to ask"]);
    let with = |file: &'static str| [&files[..], &["--passphrase-file", file]].concat();
    scene.env.write("wrong", "new");
    scene.import(&with("wrong")).fails(4, &["another passphrase"]);
    scene.env.write("passphrase", "old\n");
    scene.import(&with("passphrase")).fails(0, &["a is active"]);
}

#[test]
fn other_keys_that_the_guides_had_people_make_sign_and_are_rotated_away() {
    if !peer("openssl") {
        return;
    }
    let rsa_8 = [
        "genpkey",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:2048",
        "-out",
        "key.pem",
    ];
    let rsa_1 = ["genrsa", "-traditional", "-out", "key.pem", "3072"];
    let sealed = [
        "genpkey",
        "-algorithm",
        "RSA",
        "-aes256",
        "-pass",
        "pass:old",
        "-out",
        "key.pem",
    ];
    let ed25519 = ["genpkey", "-algorithm", "ED25519", "-out", "key.pem"];
    for (arguments, algorithm) in [
        (&rsa_8[..], "RSA"),
        (&rsa_1, "RSA"),
        (&sealed, "RSA"),
        (&ed25519, "Ed25519"),
    ] {
        let scene = Scene::new();
        let url = scene.sandbox.url.as_str();
        scene.by_openssl("a", arguments);
        scene.env.write("passphrase", "old");
        let files = [
            "a",
            "--private-key",
            "key.pem",
            "--token-file",
            "token",
            "--api-url",
            url,
        ];
        let run = scene.import(&[&files[..], &["--passphrase-file", "passphrase"]].concat());
        run.fails(0, &["a is active", &format!("the key is {algorithm}"), "P-256"]);
        let body = r#"{"network":"EthereumSepolia"}"#;
        let run = scene.env.run(&["call", "a", "POST", "/wallets", "--data", body]);
        assert_eq!(run.code, 0, "{run:?}");
        // It works and is told of; strictly it is no key to stay with.
        let run = scene.env.run(&["verify", "a"]);
        assert!(
            run.code == 0 && run.stdout.contains(&format!("{algorithm}: Dfns takes it")),
            "{run:?}"
        );
        assert_eq!(scene.env.run(&["verify", "a", "--strict"]).code, 5);
        // Handed over as it came: openssl and a second import read it.
        scene
            .env
            .ok(&["export", "a", "--format", "dotenv", "--output", "a.env"]);
        scene
            .import(&["again", "--dotenv", "a.env", "--force"])
            .fails(0, &["again is active"]);
        scene
            .env
            .ok(&["export", "a", "--format", "pem-private", "--output", "old.pem"]);

        let run = scene.env.run(&["rotate", "a"]);
        run.fails(0, &[&format!("a's key was {algorithm}; it is P-256 now")]);
        scene.env.ok(&["rotate", "a", "--finish"]);
        scene.env.ok(&["verify", "a", "--strict"]);
        let shown = scene.env.run(&["show", "a", "--json"]).json();
        assert_eq!(shown["credential"]["algorithm"], "P-256");
        scene.env.run(&["verify", "again"]).fails(5, &[]);
    }
}

#[test]
fn keys_that_cannot_sign_are_named() {
    if !peer("openssl") {
        return;
    }
    let scene = Scene::new();
    for (arguments, words) in [
        (
            &[
                "genpkey",
                "-algorithm",
                "RSA",
                "-pkeyopt",
                "rsa_keygen_bits:1024",
                "-out",
                "key.pem",
            ][..],
            "less than 2048",
        ),
        (
            &["ecparam", "-genkey", "-name", "secp256k1", "-noout", "-out", "key.pem"],
            "secp256k1",
        ),
        (&["genpkey", "-algorithm", "X25519", "-out", "key.pem"], "X25519"),
    ] {
        peer_ok(scene.env.bare("openssl").args(arguments));
        scene.env.write("token", "a.b.c");
        scene
            .import(&["a", "--private-key", "key.pem", "--token-file", "token"])
            .fails(1, &[words]);
        assert!(!scene.env.credential_file("a").exists());
    }
    for arguments in [
        &["a"][..],
        &["a", "--private-key", "k", "--postman", "p"],
        &["a", "--token-file", "t"],
    ] {
        scene.import(arguments).fails(2, &[]);
    }
}
