//! Blocks that are no shell: workflows and manifests, whose commands are run as their platform would run them; data; and
//! pieces of programs, which stand in programs that `make interop` runs.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::markdown::{Kind, Recipe, recipes};
use crate::peers;
use crate::scene::{Scene, Start};
use crate::support::{Run, TestEnv, skipped};

fn blocks(language: &str) -> Vec<Recipe> {
    let blocks: Vec<Recipe> = recipes()
        .into_iter()
        .filter(|recipe| recipe.kind == Kind::Block(language.to_owned()))
        .collect();
    assert!(!blocks.is_empty(), "no document has a block of {language} any more");
    blocks
}

fn parsed(scene: &Scene, python: &str, yaml: &str) -> Value {
    let script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))";
    let mut python = scene.command(python);
    let mut child = python
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(yaml.as_bytes()).unwrap();
    Run::from(child.wait_with_output().unwrap()).json()
}

/// Who reads YAML: python's own library has nothing for it, and of several pythons one may have.
fn yaml_reader() -> Option<&'static str> {
    let reads = |python: &&str| {
        let output = Command::new(python).args(["-c", "import yaml"]).output();
        output.is_ok_and(|output| output.status.success())
    };
    let reader = ["python3", "/usr/bin/python3"].into_iter().find(reads);
    let demanded = std::env::var_os("DFNS_KEYS_TEST_PEERS").is_some();
    assert!(
        reader.is_some() || !demanded,
        "python3-yaml is required here and missing"
    );
    if reader.is_none() {
        skipped("python3-yaml is not installed");
    }
    reader
}

#[test]
fn each_block_of_yaml_does_what_it_says() {
    let Some(python) = yaml_reader().filter(|_| peers()) else {
        return;
    };
    for recipe in blocks("yaml") {
        let scene = Scene::new(Start::Active);
        let document = parsed(&scene, python, &recipe.text);
        let place = recipe.place();
        if document
            .as_array()
            .is_some_and(|steps| steps.iter().any(|step| step.get("uses").is_some()))
        {
            workflow(&scene, &document, &place);
        } else if document["initContainers"].is_array() {
            containers(&scene, &document["initContainers"], &place);
        } else if document["jobs"].is_object() {
            jobs(&scene, &document["jobs"], &place);
        } else if document["kind"] == "CronJob" {
            let schedule = document["spec"]["schedule"].as_str().unwrap();
            assert_eq!(schedule.split(' ').count(), 5, "{place}");
            let template = &document["spec"]["jobTemplate"]["spec"]["template"];
            containers(&scene, &template["spec"]["containers"], &place);
        } else {
            panic!("{place}: nothing runs such a block: teach tests/documents/configuration.rs to");
        }
    }
}

/// The jobs of a workflow about a fleet, whose file was applied; vault and identity are the scene's.
fn jobs(scene: &Scene, jobs: &Value, place: &str) {
    let applied = scene.shell("dfns-keys apply --as ops-admin --yes");
    assert_eq!(applied.code, 0, "{place}: {applied:?}");
    let mut run = 0;
    for step in jobs
        .as_object()
        .unwrap()
        .values()
        .flat_map(|job| job["steps"].as_array().unwrap())
    {
        let Some(line) = step["run"].as_str() else {
            let uses = step["uses"].as_str().unwrap();
            assert!(uses.contains('@'), "{place}: {uses} names no version");
            continue;
        };
        let ended = scene.shell(line);
        assert_eq!(ended.code, 0, "{place}: {ended:?}");
        run += 1;
    }
    assert!(run > 0, "{place}: no job runs anything");
}

/// The steps of a job of GitHub Actions: variables from the secrets that `gh secret set -f` makes, empty where there is none.
fn workflow(scene: &Scene, steps: &Value, place: &str) {
    let secret = |name: &str| {
        let found = scene.variables.iter().find(|(variable, _)| variable == name);
        found.map_or("", |(_, value)| value.as_str())
    };
    for step in steps.as_array().unwrap() {
        if let Some(uses) = step["uses"].as_str() {
            assert!(uses.contains('@'), "{place}: {uses} names no version");
            let path = step["with"]["path"].as_str().unwrap();
            assert!(scene.env.path(path).exists(), "{place}: no step has made {path}");
            continue;
        }
        let mut shell = scene.command("bash");
        for (name, _) in &scene.variables {
            shell.env_remove(name);
        }
        for (name, value) in step["env"].as_object().unwrap() {
            let value = value.as_str().unwrap();
            let named = value
                .strip_prefix("${{ secrets.")
                .and_then(|rest| rest.strip_suffix(" }}"));
            shell.env(name, named.map_or(value, secret));
        }
        let run = Run::of(shell.args(["-e", "-o", "pipefail", "-c", step["run"].as_str().unwrap()]));
        assert_eq!(run.code, 0, "{place}: {run:?}");
    }
}

/// Containers of a pod, whose variables are those of the Secret that `export --format kubernetes` makes.
fn containers(scene: &Scene, containers: &Value, place: &str) {
    use base64ct::{Base64, Encoding};
    let secret = scene.env.ok(&["export", "payments-api", "--format", "kubernetes"]);
    let secret: Value = serde_json::from_str(&secret).unwrap();
    for container in containers.as_array().unwrap() {
        let words = container["command"].as_array().unwrap();
        let words: Vec<&str> = words.iter().map(|word| word.as_str().unwrap()).collect();
        let mut command = scene.command(words[0]);
        for (name, _) in &scene.variables {
            command.env_remove(name);
        }
        for source in container["envFrom"].as_array().unwrap() {
            assert_eq!(
                source["secretRef"]["name"], secret["metadata"]["name"],
                "{place}: the Secret has another name"
            );
            for (name, value) in secret["data"].as_object().unwrap() {
                let value = Base64::decode_vec(value.as_str().unwrap()).unwrap();
                command.env(name, String::from_utf8(value).unwrap());
            }
        }
        command.env_remove("DFNS_KEYS_VAULT").env_remove("DFNS_KEYS_IDENTITY");
        let run = Run::of(command.args(&words[1..]));
        assert_eq!(run.code, 0, "{place}: {run:?}");
    }
}

#[test]
fn each_block_of_json_has_the_fields_that_the_program_prints() {
    for recipe in blocks("json") {
        let document: Value = serde_json::from_str(&recipe.text).unwrap();
        if recipe.document == "docs/plugins.md" {
            request(&document);
            continue;
        }
        assert_eq!(
            recipe.document,
            "docs/exit-codes.md",
            "{}: say what prints it",
            recipe.place()
        );
        let printed = TestEnv::new().run(&["show", "payments-api", "--json"]).json();
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&document), keys(&printed));
        assert_eq!(keys(&document["error"]), keys(&printed["error"]));
    }
}

/// What a plug-in for places is asked.
fn request(document: &Value) {
    if !peers() {
        return;
    }
    let scene = Scene::new(Start::Active);
    let plugin = "#!/bin/sh\ncat >request.$$\ntest -s asked || cp request.$$ asked\n\
                  grep -q '\"put\"' request.$$ && cp request.$$ asked\n\
                  echo '{\"version\":1,\"ok\":true,\"read_back\":false}'\n";
    let path = scene.env.write("dfns-keys-target-folder", plugin);
    crate::support::set_mode(&path, 0o755);
    let target = document["target"]["text"].as_str().unwrap();
    let line = format!("PATH=\"$PWD:$PATH\" dfns-keys deliver payments-api --to '{target}'");
    let run = scene.shell(&line);
    assert_eq!(run.code, 0, "{run:?}");
    let asked: Value = serde_json::from_slice(&std::fs::read(scene.env.path("asked")).unwrap()).unwrap();
    for field in ["version", "verb", "target"] {
        assert_eq!(document[field], asked[field]);
    }
    for variable in document["credential"].as_object().unwrap().keys() {
        assert!(asked["credential"][variable].is_string(), "{variable}");
    }
}

/// The table of accounts is what `accounts.csv` holds when the guide is run.
#[test]
fn each_block_of_csv_is_a_manifest() {
    let blocks = blocks("csv");
    assert_eq!(blocks.len(), 1, "a second table needs a run of its own");
    assert_eq!(blocks[0].document, "docs/guide.md");
}

/// Pieces of programs are pieces of the programs that `make interop` runs with the vendor's own SDKs.
#[test]
fn each_piece_of_a_program_stands_in_one_that_is_run() {
    let words = |text: &str| {
        let text = text.replace("//!", "").split_whitespace().collect::<String>();
        text.replace(",)", ")").replace(",}", "}")
    };
    for (language, program) in [
        ("js", include_str!("../interop/typescript.cjs")),
        ("python", include_str!("../interop/python_sdk.py")),
        // Its documentation is compiled, and is a test of its own.
        ("rust", include_str!("../../src/sdk/mod.rs")),
    ] {
        let program = words(program);
        for recipe in blocks(language) {
            for line in recipe.text.lines().map(words).filter(|line| !line.is_empty()) {
                assert!(
                    program.contains(line.trim_end_matches(',')),
                    "{}: {line}",
                    recipe.place()
                );
            }
        }
    }
}
