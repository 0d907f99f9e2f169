//! Keys that a plug-in knows: the example of docs/plugins.md, and plug-ins that go wrong.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::{TestEnv, peer};

fn plugin(env: &TestEnv, name: &str, text: &str) {
    let folder = env.path("bin");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("dfns-keys-signer-{name}"));
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_example_of_a_plug_in_makes_a_key_and_shows_it() {
    if !peer("jq") || !peer("openssl") {
        return;
    }
    let env = TestEnv::with_vault();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/dfns-keys-signer-files");
    plugin(&env, "files", &std::fs::read_to_string(example).unwrap());
    let uri = format!("plugin:files?at={}&key=a", env.home.path().display());
    env.run(&["public-key", "--key", &uri]).fails(4, &["is not there"]);
    let made = env.ok(&["generate", "--key", &uri]);
    assert_eq!(env.ok(&["public-key", "--key", &uri]), made);
    env.run(&["generate", "--key", &uri]).fails(3, &["is there already"]);
}

#[test]
fn a_plug_in_that_goes_wrong_is_a_diagnosis() {
    let env = TestEnv::with_vault();
    for (name, text, code, words) in [
        ("silent", "exit 0", 6, "something that is not the JSON"),
        ("old", "echo '{\"version\": 2, \"ok\": true}'", 6, "another version"),
        ("empty", "echo '{\"version\": 1, \"ok\": true}'", 6, "no public key"),
        ("angry", "echo no >&2; exit 1", 4, "refuses: it says: \"no\""),
        (
            "down",
            "echo '{\"version\": 1, \"error\": \"down\", \"reason\": \"unreachable\"}'; exit 1",
            6,
            "\"down\"",
        ),
        (
            "denies",
            "echo '{\"version\": 1, \"error\": \"who are you\", \"reason\": \"denied\"}'; exit 1",
            4,
            "denies it",
        ),
        (
            "other",
            "echo '{\"version\": 1, \"ok\": true, \"public_key\": \"rsa\"}'",
            4,
            "not a P-256 key",
        ),
        ("endless", "while :; do :; done", 6, "did not answer within 1 s"),
    ] {
        plugin(&env, name, &format!("#!/bin/sh\nread request\n{text}\n"));
        env.run(&["public-key", "--timeout", "1s", "--key", &format!("plugin:{name}")])
            .fails(code, &[words]);
    }
    env.run(&["public-key", "--key", "plugin:nobody"])
        .fails(4, &["dfns-keys-signer-nobody", "no such program"]);
}
