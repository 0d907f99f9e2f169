//! The vault on disk: modes, tampering, passphrases, locks, broken disks, and the stock age tool as judge.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{PROGRAM, Run, Sandbox, TestEnv, peer, peer_ok};

fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut document: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    change(&mut document);
    std::fs::write(path, document.to_string()).unwrap();
}

fn passphrase_vault() -> TestEnv {
    let env = TestEnv::new();
    env.write("passphrase", "correct horse battery staple\n");
    env.ok(&["init", "--passphrase-file", "passphrase"]);
    env.quicken("correct horse battery staple");
    env
}

#[cfg(unix)]
#[test]
fn a_vault_is_for_its_owner_alone() {
    let env = passphrase_vault();
    let sandbox = Sandbox::start();
    env.ok(&[
        "onboard",
        "a",
        "--prepare",
        "--api-url",
        &sandbox.url,
        "--passphrase-file",
        "passphrase",
    ]);
    for directory in [env.vault(), env.vault().join("credentials")] {
        assert_eq!(support::mode(&directory), 0o700, "{}", directory.display());
    }
    for file in [
        "vault.json",
        "identity.age",
        "recipients.txt",
        "log.jsonl",
        "credentials/a.json",
        "credentials/.a.lock",
    ] {
        assert_eq!(support::mode(&env.vault().join(file)), 0o600, "{file}");
    }
}

#[test]
fn a_second_init_changes_nothing() {
    let env = passphrase_vault();
    let before = std::fs::read(env.vault().join("identity.age")).unwrap();
    env.run(&["init", "--passphrase-file", "passphrase"])
        .fails(3, &["there is a vault at", "--vault DIR"]);
    assert_eq!(std::fs::read(env.vault().join("identity.age")).unwrap(), before);
}

#[test]
fn the_default_vault_is_where_xdg_says() {
    let env = TestEnv::new();
    env.write("passphrase", "x\n");
    let mut command = env.command(&["init", "--passphrase-file", "passphrase"]);
    Run::of(command.env_remove("DFNS_KEYS_VAULT")).fails(0, &["share/dfns-keys"]);
    assert!(env.path(".local/share/dfns-keys/vault.json").exists());
    let mut command = env.command(&["init", "--passphrase-file", "passphrase"]);
    Run::of(
        command
            .env_remove("DFNS_KEYS_VAULT")
            .env("XDG_DATA_HOME", env.path("data")),
    )
    .fails(0, &[]);
    assert!(env.path("data/dfns-keys/vault.json").exists());
}

#[test]
fn a_script_may_choose_a_weak_passphrase_but_not_without_a_word() {
    let env = TestEnv::new();
    env.write("weak", "x\n");
    env.write("strong", "correct horse battery staple\n");
    let words = "warning: the new passphrase is easily guessed: it has 1 character";
    env.run(&["init", "--passphrase-file", "weak"]).fails(0, &[words]);
    env.run(&["generate", "--passphrase-file", "weak"]).fails(0, &[words]);
    let run = env.run(&["rekey", "--passphrase-file", "weak", "--new-passphrase-file", "strong"]);
    assert!(run.code == 0 && !run.stderr.contains("guessed"), "{run:?}");
    let run = env.run(&[
        "rekey",
        "--passphrase-file",
        "strong",
        "--new-passphrase-file",
        "weak",
        "--json",
    ]);
    run.fails(0, &[words]);
    assert_eq!(run.json()["ok"], true);
    env.write("empty", "\n");
    env.run(&["generate", "--passphrase-file", "empty", "--force"])
        .fails(4, &["the passphrase is empty"]);
}

#[test]
fn a_wrong_passphrase_is_blamed_on_what_it_does_not_open() {
    let env = passphrase_vault();
    env.write("wrong", "another passphrase\n");
    env.ok(&["onboard", "a", "--prepare", "--passphrase-file", "passphrase"]);
    let run = env.run(&["remove", "a", "--yes", "--passphrase-file", "wrong"]);
    run.fails(
        4,
        &[
            "does not open the vault",
            "another recipient's identity opens the vault",
        ],
    );
    // `onboard` seals a key before it asks: what was changed is not for this message to say.
    assert!(!run.stderr.contains("nothing was changed"), "{run:?}");
    env.ok(&["generate", "--passphrase-file", "passphrase"]);
    let run = env.run(&["public-key", "prime256v1.pem.age", "--passphrase-file", "wrong"]);
    run.fails(4, &["does not open prime256v1.pem.age"]);
    assert!(
        !run.stderr.contains("vault") && !run.stderr.contains("recipient"),
        "{run:?}"
    );
    // An identity file of the user's own, sealed by age.
    std::fs::copy(env.vault().join("identity.age"), env.path("mine.age")).unwrap();
    let run = env.run(&[
        "remove",
        "a",
        "--yes",
        "--identity",
        "mine.age",
        "--passphrase-file",
        "wrong",
    ]);
    run.fails(4, &["does not open mine.age"]);
    assert!(
        !run.stderr.contains("vault") && !run.stderr.contains("recipient"),
        "{run:?}"
    );
    env.ok(&[
        "remove",
        "a",
        "--yes",
        "--identity",
        "mine.age",
        "--passphrase-file",
        "passphrase",
    ]);
}

#[test]
fn no_vault_is_told_of_with_the_way_to_make_one() {
    let env = TestEnv::new();
    for arguments in [
        &["list"][..],
        &["onboard", "a"],
        &["verify", "a"],
        &["log"],
        &["show", "a"],
    ] {
        env.run(arguments).fails(3, &["there is no vault at", "dfns-keys init"]);
    }
}

#[test]
fn the_stock_age_tool_opens_everything() {
    if !(peer("age") && peer("age-keygen") && peer("jq")) {
        return;
    }
    let env = TestEnv::new();
    peer_ok(Command::new("age-keygen").arg("-o").arg(env.path("identity.txt")));
    let recipient = peer_ok(Command::new("age-keygen").arg("-y").arg(env.path("identity.txt")));
    let recipient = String::from_utf8(recipient).unwrap();
    env.ok(&["init", "--recipient", recipient.trim()]);
    let sandbox = Sandbox::start();
    let token = env.onboard(&sandbox, "a");
    let sealed = peer_ok(Command::new("jq").args(["-j", ".sealed"]).arg(env.credential_file("a")));
    env.write("sealed.age", sealed);
    let opened = peer_ok(
        Command::new("age")
            .arg("-d")
            .arg("-i")
            .arg(env.path("identity.txt"))
            .arg(env.path("sealed.age")),
    );
    let opened: Value = serde_json::from_slice(&opened).unwrap();
    assert_eq!(opened["active"]["token"], token.as_str());
    env.write("private.pem", opened["active"]["private_key"].as_str().unwrap());
    assert_eq!(
        env.ok(&["public-key", "private.pem"]),
        env.ok(&["show", "a", "--public-key"])
    );
    let file: Value = serde_json::from_slice(&std::fs::read(env.credential_file("a")).unwrap()).unwrap();
    assert_eq!(opened["public"], file["public"]);
    assert_eq!(file["format"], "dfns-keys/credential");
    assert_eq!(file["version"], 2);
    assert_eq!(opened["epoch"], file["epoch"]);
    assert_eq!(opened["revision"], file["revision"]);
}

/// The first half under the passphrase in `passphrase`; returns the token.
fn prepare_by_passphrase(env: &TestEnv, sandbox: &Sandbox) -> String {
    let public_key = env.ok(&[
        "onboard",
        "a",
        "--prepare",
        "--api-url",
        &sandbox.url,
        "--passphrase-file",
        "passphrase",
    ]);
    sandbox.create("a", &public_key)
}

#[test]
fn one_passphrase_serves_by_flag_descriptor_environment_and_stdin() {
    let env = passphrase_vault();
    let sandbox = Sandbox::start();
    env.write("token", prepare_by_passphrase(&env, &sandbox));
    env.ok(&[
        "onboard",
        "a",
        "--token-file",
        "token",
        "--passphrase-file",
        "passphrase",
    ]);
    let verify = &["verify", "a"];
    let passphrase = "correct horse battery staple";
    let run = Run::of(env.command(verify).env("DFNS_KEYS_PASSPHRASE", passphrase));
    assert_eq!(run.code, 0, "{run:?}");
    let run = Run::of(env.command(verify).env("DFNS_KEYS_PASSPHRASE_FILE", "passphrase"));
    assert_eq!(run.code, 0, "{run:?}");
    let run = env.run_with_stdin(&["verify", "a", "--passphrase-file", "-"], passphrase.as_bytes());
    assert_eq!(run.code, 0, "{run:?}");
    let script = format!("exec 7<passphrase; exec {PROGRAM} verify a --passphrase-fd 7");
    let mut shell = env.bare("sh");
    let run = Run::of(shell.args(["-c", &script]).env("DFNS_KEYS_VAULT", env.vault()));
    assert_eq!(run.code, 0, "{run:?}");
    // The flag goes before the environment.
    let mut command = env.command(&["verify", "a", "--passphrase-file", "passphrase"]);
    let run = Run::of(command.env("DFNS_KEYS_PASSPHRASE", "wrong"));
    assert_eq!(run.code, 0, "{run:?}");
    Run::of(env.command(verify).env("DFNS_KEYS_PASSPHRASE", "wrong"))
        .fails(4, &["the passphrase does not open the vault"]);
    env.run(verify).fails(
        4,
        &["no terminal to ask for the passphrase on", "--passphrase-file FILE"],
    );
    env.run(&["verify", "a", "--passphrase-file", "missing"])
        .fails(4, &["cannot read the passphrase from missing"]);
}

#[test]
fn a_tampered_public_part_is_refused() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "a");
    env.onboard(&sandbox, "b");
    let healthy = std::fs::read(env.credential_file("a")).unwrap();
    let changes = [
        ("api_url", Value::from("https://evil.example.com")),
        ("fingerprint", "SHA256:x".into()),
        ("generation", 2.into()),
        ("token_expires_at", Value::Null),
        ("origin", "https://evil.example.com".into()),
    ];
    let calls = sandbox.calls().len();
    for (field, value) in changes {
        edit(&env.credential_file("a"), |d| d["public"][field] = value);
        let run = env.run(&["verify", "a"]);
        run.fails(4, &["tampered", &format!("another `{field}`")]);
        std::fs::write(env.credential_file("a"), &healthy).unwrap();
    }
    // Another credential's file under this name, and another's sealed part.
    std::fs::copy(env.credential_file("b"), env.credential_file("a")).unwrap();
    env.run(&["verify", "a"]).fails(4, &["tampered", "under another name"]);
    env.run(&["list"]).fails(4, &["tampered"]);
    let other: Value = serde_json::from_slice(&std::fs::read(env.credential_file("b")).unwrap()).unwrap();
    std::fs::write(env.credential_file("a"), &healthy).unwrap();
    edit(&env.credential_file("a"), |d| d["sealed"] = other["sealed"].clone());
    env.run(&["verify", "a"]).fails(4, &["tampered"]);
    assert_eq!(sandbox.calls().len(), calls, "nothing was sent anywhere");
    let error = env.run(&["verify", "a", "--json"]).json();
    assert_eq!(error["error"]["code"], "tampered");
    assert_eq!(error["error"]["exit"], 4);
}

/// Older files have an empty text where a credential's id is not known.
#[test]
fn an_unknown_credential_id_is_none_however_it_was_written() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    let token = env.onboard(&sandbox, "a");
    let code = sandbox.code("ops@example.com");
    env.ok(&["enroll", "ops", "--code", &code, "--api-url", &sandbox.url]);
    let forget = |name: &str, generation: &str, empty: &Value| {
        env.reseal(name, |sealed| {
            sealed["public"]["credential_id"] = empty.clone();
            sealed[generation]["credential_id"] = empty.clone();
        });
    };
    for empty in [Value::from(""), Value::Null] {
        forget("a", "active", &empty);
        forget("ops", "user", &empty);
        let listed = env.run(&["list", "--json"]).json();
        for credential in listed["credentials"].as_array().unwrap() {
            assert_eq!(credential["credential_id"], Value::Null, "{listed}");
        }
        // Dfns says which keys there are; the right one is found among them.
        env.ok(&["verify", "a", "ops"]);
        env.ok(&["call", "a", "POST", "/wallets", "--data", r#"{"network":"Bitcoin"}"#]);
        env.ok(&["account", "list", "--as", "ops"]);
        for arguments in [
            &["export", "a", "--format", "dotenv"][..],
            &["export", "a", "--format", "postman-environment"],
            &["exec", "a", "--", "sh", "-c", ":"],
        ] {
            let run = env.run(arguments);
            run.fails(3, &["the credential id of a is not known", "dfns-keys rotate a"]);
            assert!(!run.stdout.contains(&token), "{run:?}");
        }
        env.ok(&["export", "a", "--format", "pem-public"]);
    }
    env.ok(&["rotate", "a", "--grace", "0"]);
    assert!(env.ok(&["export", "a", "--format", "dotenv"]).contains("DFNS_CRED_ID="));
}

#[test]
fn damaged_and_newer_files_are_named() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "a");
    let healthy = std::fs::read(env.credential_file("a")).unwrap();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (healthy[..healthy.len() / 2].to_vec(), "not JSON"),
        (b"".to_vec(), "not JSON"),
        (b"{}".to_vec(), "neither format nor version"),
    ];
    for (contents, words) in cases {
        std::fs::write(env.credential_file("a"), contents).unwrap();
        env.run(&["verify", "a"]).fails(4, &["the file of a is damaged", words]);
    }
    std::fs::write(env.credential_file("a"), &healthy).unwrap();
    edit(&env.credential_file("a"), |d| d["version"] = 3.into());
    env.run(&["show", "a"])
        .fails(4, &["format version 3", "update dfns-keys"]);
    std::fs::write(env.credential_file("a"), &healthy).unwrap();
    let armored = String::from_utf8(healthy.clone()).unwrap();
    let middle = armored.find("BEGIN AGE").unwrap() + 400;
    let mut broken = armored.into_bytes();
    broken[middle] = if broken[middle] == b'A' { b'B' } else { b'A' };
    std::fs::write(env.credential_file("a"), broken).unwrap();
    env.run(&["verify", "a"]).fails(4, &[]);
    std::fs::write(env.credential_file("a"), &healthy).unwrap();
    edit(&env.vault().join("vault.json"), |d| d["version"] = 9.into());
    env.run(&["list"]).fails(4, &["vault.json has format version 9"]);
}

#[test]
fn one_damaged_file_hides_no_other() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "a");
    env.onboard(&sandbox, "b");
    std::fs::write(env.credential_file("a"), "x").unwrap();
    let run = env.run(&["list"]);
    run.fails(4, &["the file of a is damaged"]);
    assert!(run.stdout.contains("b  "), "{run:?}");
    let document = env.run(&["list", "--json"]).json();
    assert_eq!(document["ok"], false);
    assert_eq!(document["credentials"][0]["name"], "b");
}

#[test]
fn a_recipient_added_behind_our_back_gets_nothing() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    let token = env.prepare(&sandbox, "a");
    env.write("token", token);
    let stranger = age::x25519::Identity::generate().to_public().to_string();
    let path = env.vault().join("recipients.txt");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}{stranger}\n")).unwrap();
    let before = std::fs::read(env.credential_file("a")).unwrap();
    env.run(&["onboard", "a", "--token-file", "token"]).fails(
        4,
        &[
            "changed by somebody who is not a member",
            &format!("added: {stranger}"),
            "Nothing was sealed to it",
            "recipients sync",
        ],
    );
    assert_eq!(std::fs::read(env.credential_file("a")).unwrap(), before);
    // Nobody's next change of the list seals anything to it either.
    for change in [["recipients", "add", &stranger], ["recipients", "remove", &stranger]] {
        env.run(&change).fails(4, &["changed by somebody who is not a member"]);
    }
    env.ok(&["recipients", "sync"]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "put back to the byte");
    // Whoever does mean it says so.
    env.ok(&["recipients", "add", &stranger]);
    env.ok(&["onboard", "a", "--token-file", "token"]);
}

#[test]
fn recipients_come_and_go() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "a");
    let second = age::x25519::Identity::generate();
    let text = secrecy::ExposeSecret::expose_secret(&second.to_string()).to_owned();
    env.write("second.txt", text);
    let recipient = second.to_public().to_string();
    let by_second = ["verify", "a", "--offline", "--identity", "second.txt"];
    env.run(&by_second)
        .fails(4, &["none of the identities at hand opens this vault"]);
    env.ok(&["recipients", "add", &recipient]);
    env.ok(&by_second);
    assert!(env.ok(&["recipients", "list"]).contains(&recipient));
    env.ok(&["recipients", "remove", &recipient]);
    env.run(&by_second).fails(4, &["none of the identities"]);
    env.run(&["recipients", "remove", &recipient])
        .fails(3, &["is not among the recipients"]);
    let first = env.ok(&["recipients", "list"]);
    env.run(&["recipients", "remove", first.split_whitespace().next().unwrap()])
        .fails(3, &["at least one recipient"]);
    env.ok(&["verify", "a", "--offline"]);
    env.run(&["recipients", "add", "age1nonsense"])
        .fails(2, &["is not an age recipient"]);
    let secret = std::fs::read_to_string(env.path("second.txt")).unwrap();
    let run = env.run(&["recipients", "add", secret.trim()]);
    run.fails(2, &["age identity, which is secret"]);
    assert!(!run.stderr.contains(&secret[20..40]));
}

#[test]
fn an_ssh_key_opens_the_vault() {
    if !peer("ssh-keygen") {
        return;
    }
    let env = TestEnv::new();
    peer_ok(
        Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "a comment", "-f"])
            .arg(env.path("id_ed25519")),
    );
    let public = std::fs::read_to_string(env.path("id_ed25519.pub")).unwrap();
    env.ok(&["init", "--recipient", public.trim()]);
    let sandbox = Sandbox::start();
    let prepared = env.ok(&[
        "onboard",
        "a",
        "--prepare",
        "--identity",
        "id_ed25519",
        "--api-url",
        &sandbox.url,
    ]);
    env.write("token", sandbox.create("a", &prepared));
    env.ok(&["onboard", "a", "--token-file", "token", "--identity", "id_ed25519"]);
    env.ok(&["verify", "a", "--identity", "id_ed25519"]);
}

#[test]
fn rekey_changes_identity_and_passphrase() {
    let env = passphrase_vault();
    env.write("new", "another passphrase\n");
    let sandbox = Sandbox::start();
    env.write("token", prepare_by_passphrase(&env, &sandbox));
    env.ok(&[
        "onboard",
        "a",
        "--token-file",
        "token",
        "--passphrase-file",
        "passphrase",
    ]);
    let before = env.ok(&["recipients", "list"]);
    env.ok(&[
        "rekey",
        "--passphrase-file",
        "passphrase",
        "--new-passphrase-file",
        "new",
    ]);
    assert_ne!(env.ok(&["recipients", "list"]), before);
    env.ok(&["verify", "a", "--passphrase-file", "new"]);
    env.run(&["verify", "a", "--passphrase-file", "passphrase"])
        .fails(4, &["does not open"]);
    env.run(&["rekey", "--passphrase-file", "-", "--new-passphrase-file", "-"])
        .fails(2, &["cannot both read from stdin"]);
}

/// Whoever forgot the passphrase, or fears that others know it, comes in by another identity: what is sealed from then on
/// is for neither the old identity nor the old passphrase.
#[test]
fn rekey_by_another_identity_shuts_the_old_one_out() {
    use age::secrecy::ExposeSecret;
    let env = passphrase_vault();
    let other = age::x25519::Identity::generate();
    env.write("other.txt", other.to_string().expose_secret());
    env.write("new", "another passphrase\n");
    let old = env.ok(&["recipients", "list"]);
    let opened_by_old = ["--passphrase-file", "passphrase"];
    let add = ["recipients", "add", &other.to_public().to_string()];
    env.ok(&[&add[..], &opened_by_old].concat());
    env.ok(&["rekey", "--identity", "other.txt", "--new-passphrase-file", "new"]);
    let now = env.ok(&["recipients", "list"]);
    assert!(
        !now.contains(old.trim()) && now.contains(&other.to_public().to_string()),
        "{now}"
    );
    assert_eq!(
        now.lines().count(),
        2,
        "a new one of the vault's own, and the other: {now}"
    );
    // Again, and after a change of the others: the mark stays with the vault's own.
    env.ok(&[
        "recipients",
        "remove",
        &other.to_public().to_string(),
        "--passphrase-file",
        "new",
    ]);
    env.ok(&[&add[..], &["--passphrase-file", "new"]].concat());
    env.ok(&[
        "rekey",
        "--identity",
        "other.txt",
        "--new-passphrase-file",
        "passphrase",
    ]);
    let third = env.ok(&["recipients", "list"]);
    assert!(third.lines().count() == 2 && third != now, "{third}");
}

#[test]
fn a_seal_only_vault_onboards_and_never_opens() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    assert!(!env.vault().join("identity.age").exists());
    let sealing = |arguments: &[&str]| Run::of(env.command(arguments).env_remove("DFNS_KEYS_IDENTITY"));
    let prepared = sealing(&["onboard", "a", "--prepare", "--api-url", &sandbox.url]);
    assert_eq!(prepared.code, 0, "{prepared:?}");
    assert!(
        prepared.stderr.contains("vault adopt a --fingerprint SHA256:"),
        "{prepared:?}"
    );
    // Run again it tells the same key, which this machine made.
    let again = sealing(&["onboard", "a", "--prepare"]);
    assert_eq!(again.stdout, prepared.stdout);
    env.write("token", sandbox.create("a", &prepared.stdout));
    sealing(&["onboard", "a", "--token-file", "token"]).fails(4, &["only seals"]);
    sealing(&["verify", "a"]).fails(4, &["seals and never opens", "--identity FILE"]);
    // Nobody vouches for it until a member says that it is what the writer made.
    env.run(&["onboard", "a", "--token-file", "token"])
        .fails(4, &["nobody vouches for it", "vault adopt a --fingerprint F"]);
    assert_eq!(
        env.run(&["list", "--json"]).json()["credentials"][0]["authenticated"],
        "no"
    );
    env.run(&["vault", "adopt", "a", "--fingerprint", "SHA256:AAAA", "--yes"])
        .fails(4, &["another fingerprint"]);
    let fingerprint = env.ok(&["show", "a", "--fingerprint"]);
    env.ok(&["vault", "adopt", "a", "--fingerprint", fingerprint.trim(), "--yes"]);
    env.ok(&["onboard", "a", "--token-file", "token"]);
}

#[test]
fn two_processes_do_not_share_a_credential() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start_with(&["--latency", "1500"]);
    let token = env.prepare(&sandbox, "a");
    env.write("token", token);
    let arguments = ["onboard", "a", "--token-file", "token"];
    let note = env.vault().join("credentials/.a.lock");
    let stale = std::fs::read_to_string(&note).unwrap();
    let mut first = env.command(&arguments).spawn().unwrap();
    // The lock's note tells when the first has it.
    while std::fs::read_to_string(&note).is_ok_and(|text| text.is_empty() || text == stale) {
        assert!(first.try_wait().unwrap().is_none(), "the first is still at it");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    env.run(&arguments)
        .fails(3, &["a is locked by another dfns-keys", "onboard a", "--wait 30s"]);
    let waited = env.run(&["onboard", "a", "--token-file", "token", "--wait", "60s"]);
    assert!(first.wait().unwrap().success());
    waited.fails(3, &["a is active already"]);
}

/// Runs the program as somebody without root's powers, where the tests run as root.
#[cfg(unix)]
fn unprivileged(env: &TestEnv, arguments: &[&str]) -> Run {
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65_534;
    let program = env.path("dfns-keys");
    std::fs::copy(PROGRAM, &program).unwrap();
    let mut command = Command::new(&program);
    if rustix::process::getuid().is_root() {
        support::give_away(env.home.path(), NOBODY);
        command.uid(NOBODY).gid(NOBODY);
    }
    command
        .args(arguments)
        .env_clear()
        .env("DFNS_KEYS_VAULT", env.vault())
        .env("DFNS_KEYS_IDENTITY", env.path("identity.txt"))
        .current_dir(env.home.path());
    Run::of(&mut command)
}

/// Calls with a directory at a mode, which is 0700 before and after.
#[cfg(unix)]
fn with_mode<T>(directory: &Path, mode: u32, call: impl FnOnce() -> T) -> T {
    support::set_mode(directory, mode);
    let result = call();
    support::set_mode(directory, 0o700);
    result
}

#[cfg(unix)]
#[test]
fn an_unreadable_vault_is_told_of() {
    let env = TestEnv::with_vault();
    let run = with_mode(&env.vault(), 0o000, || unprivileged(&env, &["list"]));
    run.fails(1, &["permission denied", "owner and mode"]);
}

#[cfg(unix)]
#[test]
fn a_vault_that_cannot_be_written_is_told_of() {
    let env = TestEnv::with_vault();
    let credentials = env.vault().join("credentials");
    let run = with_mode(&credentials, 0o500, || {
        unprivileged(&env, &["onboard", "a", "--prepare"])
    });
    run.fails(1, &["permission denied"]);
    assert_eq!(run.stdout, "", "no key is shown that is not sealed");
}

/// Runs a script with a small or read-only file system at `vault`, which needs a mount namespace.
#[cfg(target_os = "linux")]
fn mounted(env: &TestEnv, script: &str) -> Option<Run> {
    let works = Command::new("unshare")
        .args(["-rm", "true"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !works {
        support::lacking("no mount namespaces here");
        return None;
    }
    let mut command = env.bare("unshare");
    command
        .args(["-rm", "bash", "-c", script])
        .env("PROGRAM", PROGRAM)
        .env("DFNS_KEYS_VAULT", env.vault())
        .env("DFNS_KEYS_IDENTITY", env.path("identity.txt"));
    Some(Run::of(&mut command))
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_changes_nothing_and_says_so() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    let token = env.prepare(&sandbox, "a");
    env.write("token", token);
    let script = "cp -a vault copy && mount -t tmpfs -o size=48k tmpfs vault && cp -a copy/. vault/ \
        && before=$(sha256sum < vault/credentials/a.json) \
        && (cat /dev/zero > vault/filler 2>/dev/null; true) \
        && $PROGRAM onboard a --token-file token; code=$?; \
        [ \"$before\" = \"$(sha256sum < vault/credentials/a.json)\" ] || exit 99; \
        ls -A vault/credentials >&2; rm vault/filler; \
        $PROGRAM onboard a --token-file token >&2 || exit 98; exit $code";
    if let Some(run) = mounted(&env, script) {
        run.fails(
            1,
            &[
                "no space left",
                "make room and run the same command again",
                "a is active",
            ],
        );
        assert!(
            !run.stderr.contains(".dfns-keys-"),
            "no temporary file is left: {run:?}"
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_read_only_vault_can_still_be_read() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "a");
    let script = "mount --bind vault vault && mount -o remount,bind,ro vault && \
        $PROGRAM list >&2 && $PROGRAM verify a >&2 && $PROGRAM onboard b --prepare";
    if let Some(run) = mounted(&env, script) {
        run.fails(
            1,
            &["Safe to use", "read-only"].map(|word| {
                if word == "Safe to use" {
                    "signature.accepted"
                } else {
                    word
                }
            }),
        );
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn removal_asks_refuses_and_is_told_in_the_log() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    let token = env.onboard(&sandbox, "a");
    env.run(&["remove", "a", "--yes"])
        .fails(3, &["Dfns still honours a", "deactivate it in the dashboard"]);
    sandbox.fault(&serde_json::json!({"fault": "status", "status": 500, "times": 50}));
    env.run(&["remove", "a", "--yes", "--timeout", "5s"])
        .fails(6, &["cannot be found out"]);
    sandbox.clear_faults();
    sandbox.switch(&token);
    env.run(&["remove", "a"])
        .fails(2, &["no terminal to confirm on", "--yes"]);
    assert!(env.credential_file("a").exists());
    env.ok(&["remove", "a", "--yes"]);
    // What stays is who was there, and no secret.
    let stone = std::fs::read_to_string(env.credential_file("a")).unwrap();
    assert!(
        stone.contains("\"removed\"") && !stone.contains("AGE ENCRYPTED"),
        "{stone}"
    );
    assert!(env.ok(&["list", "--json"]).contains("\"credentials\": []"));
    env.run(&["show", "a"]).fails(3, &["there is no credential named a"]);
    env.run(&["remove", "a", "--yes", "--force"])
        .fails(3, &["there is no credential named a"]);
    let log = env.ok(&["log", "a", "--json"]);
    let log: Value = serde_json::from_str(&log).unwrap();
    let actions: Vec<&str> = log["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["prepared", "onboarded", "removed"]);
    assert_eq!(log["events"][0]["actor"], "tester");
}

fn actions(env: &TestEnv, name: &str) -> Vec<String> {
    let log: Value = serde_json::from_str(&env.ok(&["log", name, "--json"])).unwrap();
    let events = log["events"].as_array().unwrap().iter();
    events
        .map(|event| {
            let text = |field: &str| event[field].as_str().unwrap().to_owned();
            format!("{} {}", text("action"), text("name"))
        })
        .collect()
}

#[test]
fn what_happened_under_the_names_before_comes_along_in_the_log() {
    let env = TestEnv::with_vault();
    let prepare = |name: &str| drop(env.ok(&["onboard", name, "--prepare"]));
    prepare("first");
    env.ok(&["rename", "first", "second"]);
    // Another credential under the old name has a history of its own.
    prepare("first");
    env.ok(&["rename", "second", "third"]);
    prepare("second");
    prepare("fourth");
    let history = ["prepared first", "renamed second", "renamed third"];
    assert_eq!(actions(&env, "third"), history);
    assert_eq!(actions(&env, "fourth"), ["prepared fourth"]);
    assert!(env.ok(&["log", "third"]).contains("from second"));
    // The old name says where it went.
    let all = ["prepared first", "renamed second", "prepared first"];
    assert_eq!(actions(&env, "first"), all);
    let last = env.run(&["log", "third", "-n", "1", "--json"]).json();
    assert_eq!(last["events"][0]["detail"], "from second");
}

#[test]
fn removal_says_which_exports_still_have_the_key() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    for (name, file) in [("a", "a.env"), ("b", "b.env")] {
        env.onboard(&sandbox, name);
        env.ok(&["export", name, "--format", "dotenv", "--output", file]);
    }
    env.ok(&["export", "a", "--format", "dotenv", "--output", "gone.env"]);
    std::fs::remove_file(env.path("gone.env")).unwrap();
    let run = env.run(&["remove", "a", "--yes", "--force"]);
    run.fails(0, &["still has the key:  a.env (exported at "]);
    assert!(
        !run.stderr.contains("b.env") && !run.stderr.contains("gone.env"),
        "{run:?}"
    );
    let document = env.run(&["remove", "b", "--yes", "--force", "--json"]).json();
    let place = document["exports"][0]["place"].as_str().unwrap();
    assert!(place.ends_with("b.env"), "{document}");
}

#[test]
fn listing_needs_no_unlocking_and_keeps_its_fields() {
    let env = TestEnv::with_vault();
    let sandbox = Sandbox::start();
    env.onboard(&sandbox, "a");
    env.prepare(&sandbox, "b");
    std::fs::remove_file(env.path("identity.txt")).unwrap();
    let document = env.run(&["list", "--json"]).json();
    assert_eq!(document["ok"], true);
    assert_eq!(document["version"], 1);
    let first = &document["credentials"][0];
    for field in [
        "name",
        "kind",
        "state",
        "api_url",
        "org_id",
        "identity_id",
        "credential_id",
        "fingerprint",
        "created_at",
        "rotated_at",
        "token_expires_at",
        "generation",
    ] {
        assert!(first.get(field).is_some(), "{field}");
    }
    assert_eq!(first["kind"], "service-account");
    assert_eq!(document["credentials"][1]["state"], "pending");
    assert!(env.ok(&["list"]).starts_with("NAME"));
    let soon = env.run(&["list", "--json", "--expiring", "800d"]).json();
    assert_eq!(soon["credentials"].as_array().unwrap().len(), 1);
    let none = env.run(&["list", "--json", "--expiring", "30d"]).json();
    assert_eq!(none["credentials"].as_array().unwrap().len(), 0);
}
