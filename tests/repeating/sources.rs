//! Every variable of every source, for `verify` and for `import`.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::support::Run;
use crate::{Scene, Secret};

const VARIABLES: &[&str] = &[
    "DFNS_API_URL",
    "DFNS_AUTH_TOKEN",
    "DFNS_CRED_ID",
    "DFNS_PRIVATE_KEY",
    "DFNS_APP_ID",
    "DFNS_ORIGIN",
    "DFNS_ORG_ID",
    "DFNS_PRIVATE_KEY_ENCODING",
];
const POSTMAN: &[&str] = &[
    "dfnsApiDomain",
    "authToken",
    "credentialPrivateKey",
    "applicationId",
    "applicationOrigin",
    "useAuthV2",
    "credentialId",
    "dfnsApiScheme",
    "signedByProxy",
];

/// A source with a secret in one of its fields.
struct Source {
    flag: &'static str,
    file: String,
    field: String,
    secret: usize,
}

fn write(scene: &Scene, file: &str, text: &str) {
    let path = scene.env.write(file, text);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn quoted(secret: &Secret) -> String {
    format!("'{}'", secret.pasted)
}

/// A source for each field and each secret. A credential's id alone may hold a bare number of a key: its form is anybody's.
fn sources(scene: &Scene) -> Vec<Source> {
    let exported: Value = serde_json::from_str(&scene.env.ok(&["export", "a", "--format", "json"])).unwrap();
    let environment: Value =
        serde_json::from_str(&scene.env.ok(&["export", "a", "--format", "postman-environment"])).unwrap();
    let mut sources = Vec::new();
    for (number, secret) in scene.secrets.iter().enumerate() {
        let mut add = |flag: &'static str, field: &str, text: &str| {
            let ending = if flag == "--postman" { "json" } else { "env" };
            let file = format!("{number}-{}.{ending}", sources.len());
            write(scene, &file, text);
            sources.push(Source {
                flag,
                file,
                field: field.to_owned(),
                secret: number,
            });
        };
        let dotenv = |changed: &str| {
            let mut text = String::new();
            for name in VARIABLES {
                let value = if *name == changed {
                    quoted(secret)
                } else {
                    format!("'{}'", exported[*name].as_str().unwrap_or_default())
                };
                writeln!(text, "{name}={value}").unwrap();
            }
            text
        };
        for name in VARIABLES {
            if is_anybodys(name, secret) {
                continue;
            }
            add("--dotenv", name, &dotenv(name));
        }
        let whole = dotenv("");
        add(
            "--dotenv",
            "the name of a variable",
            &format!("{whole}{}=1\n", secret.pasted),
        );
        add("--dotenv", "a line", &format!("{whole}{}\n", secret.pasted));
        add(
            "--dotenv",
            "behind a quote",
            &format!("{whole}A='b' {}\n", secret.pasted),
        );
        let changed = |change: &dyn Fn(&mut Value)| {
            let mut document = environment.clone();
            change(&mut document);
            document.to_string()
        };
        for name in POSTMAN {
            if is_anybodys(name, secret) {
                continue;
            }
            let set = |document: &mut Value| {
                let values = document["values"].as_array_mut().unwrap();
                values.retain(|one| one["key"] != **name);
                values.push(json!({"key": name, "value": secret.pasted, "enabled": true}));
            };
            add("--postman", name, &changed(&set));
        }
        add(
            "--postman",
            "its name",
            &changed(&|document| document["name"] = secret.pasted.as_str().into()),
        );
        add(
            "--postman",
            "its name, which sounds like production",
            &changed(&|document| {
                document["name"] = format!("staging {}", secret.pasted).into();
                document["values"][0]["value"] = "api.dfns.io".into();
            }),
        );
        add(
            "--postman",
            "the name of a variable",
            &changed(&|document| {
                let values = document["values"].as_array_mut().unwrap();
                values.push(json!({"key": secret.pasted, "value": "1", "enabled": true}));
            }),
        );
        add("--postman", "no JSON", &format!("{{\"values\": [{}", secret.pasted));
    }
    sources
}

/// A credential's id may be any text in base64url, so that the bare number of a key in its place is told from none.
fn is_anybodys(field: &str, secret: &Secret) -> bool {
    matches!(field, "DFNS_CRED_ID" | "credentialId") && secret.name == "the bare number of a key"
}

#[test]
fn no_source_of_verify_repeats_a_secret() {
    let scene = Scene::new();
    let sources = sources(&scene);
    assert!(sources.len() > 200, "{}", sources.len());
    for modes in [&["--offline"][..], &["--api-url", &scene.sandbox.url]] {
        for json in [false, true] {
            // Hundreds of environments are more than a minute's requests.
            let mut arguments = vec!["verify", "--strict", "--verbose", "--rate-limit", "100000"];
            if json {
                arguments[2] = "--json";
                arguments.extend(["--junit", "report.xml"]);
            }
            arguments.extend_from_slice(modes);
            for source in &sources {
                arguments.extend([source.flag, &source.file]);
            }
            let run = scene.env.run(&arguments);
            assert_eq!(run.code, 5, "{}", run.stderr);
            let mut subjects: Vec<String> = vec![run.stdout.clone()];
            if json {
                let document = run.json();
                subjects = document["subjects"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(ToString::to_string)
                    .collect();
                assert_eq!(subjects.len(), sources.len());
                let report = std::fs::read_to_string(scene.env.path("report.xml")).unwrap();
                for secret in &scene.secrets {
                    secret.is_not_in("the JUnit report", &report);
                }
            }
            for (number, text) in subjects.iter().enumerate() {
                for (index, secret) in scene.secrets.iter().enumerate() {
                    let source = &sources[number];
                    let what = format!(
                        "verify {} with {} in {}",
                        source.flag, scene.secrets[source.secret].name, source.field
                    );
                    if subjects.len() == 1 || source.secret == index {
                        secret.is_not_in(&what, text);
                    }
                }
            }
            for secret in &scene.secrets {
                secret.is_not_in("verify", &run.stderr);
            }
        }
    }
    // From the environment of the process, one at a time.
    let exported: Value = serde_json::from_str(&scene.env.ok(&["export", "a", "--format", "json"])).unwrap();
    for secret in &scene.secrets {
        for name in VARIABLES.iter().filter(|name| !is_anybodys(name, secret)) {
            let mut command = scene
                .env
                .command(&["verify", "--process-env", "--api-url", &scene.sandbox.url]);
            for (name, value) in exported.as_object().unwrap() {
                command.env(name, value.as_str().unwrap());
            }
            let run = Run::of(command.env(name, &secret.pasted));
            secret.is_not_said(&format!("verify --process-env with {} in {name}", secret.name), &run);
        }
    }
    scene.nothing_is_kept();
}

#[test]
fn no_source_of_import_repeats_a_secret() {
    let scene = Scene::new();
    let sources = sources(&scene);
    let forced = scene.env.ok(&["import", "--help"]).contains("--force");
    for (number, source) in sources.iter().enumerate() {
        let secret = &scene.secrets[source.secret];
        let what = format!("import {} with {} in {}", source.flag, secret.name, source.field);
        let mut arguments = vec!["import", "taken", source.flag, &source.file];
        if forced {
            // Another name has the key already.
            arguments.push("--force");
        }
        if number % 2 == 0 {
            arguments.push("--json");
        }
        if number % 3 == 0 {
            arguments.push("--delete-source");
        }
        let run = scene.env.run(&arguments);
        secret.is_not_said(&what, &run);
        if run.code == 0 {
            for arguments in [
                &["list", "--json"][..],
                &["show", "taken"],
                &["show", "taken", "--json"],
                &["verify", "taken", "--offline"],
            ] {
                secret.is_not_said(&what, &scene.env.run(arguments));
            }
            scene.env.ok(&["remove", "taken", "--force", "--yes"]);
        }
    }
    for secret in &scene.secrets {
        write(
            &scene,
            "accounts.csv",
            &format!("name,kind,days,permissions,external_id\nx,pat,{0},,\n", secret.pasted),
        );
        write(
            &scene,
            "names.csv",
            &format!(
                "name,kind,days,permissions,external_id\n{0},pat,1,{0},{0}\n",
                secret.pasted
            ),
        );
        write(
            &scene,
            "accounts.toml",
            &format!("[[account]]\nname = \"x\"\ndays = '''{0}'''\n", secret.pasted),
        );
        write(
            &scene,
            "unknown.toml",
            &format!(
                "[[account]]\nname = \"x\"\n\"{0}\" = 1\n",
                secret.pasted.replace(['\n', '\\'], "")
            ),
        );
        for file in ["accounts.csv", "names.csv", "accounts.toml", "unknown.toml"] {
            for json in ["--json", "--verbose"] {
                let run = scene.env.run(&["onboard", "--from", file, "--as", "ops", json]);
                assert_ne!(run.code, 0, "{file} with {}: {run:?}", secret.name);
                secret.is_not_said(&format!("{file} with {}", secret.name), &run);
            }
        }
    }
    scene.nothing_is_kept();
}
