//! The places that a credential is kept up to date in: named once, delivered to, read back, and told of honestly when something
//! goes wrong there.
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use serde_json::{Value, json};
use support::places::{asked, key_at, plugins, program};
use support::{Run, Sandbox, TestEnv, mode, peer};

struct Scene {
    env: TestEnv,
    sandbox: Sandbox,
}

impl Scene {
    fn new() -> Self {
        let scene = Self {
            env: TestEnv::with_vault(),
            sandbox: Sandbox::start(),
        };
        scene.env.onboard(&scene.sandbox, "a");
        scene
    }

    fn deliver(&self, arguments: &[&str]) -> Run {
        self.env.run(&[&["deliver"], arguments].concat())
    }

    fn deliver_json(&self, arguments: &[&str]) -> Value {
        self.deliver(&[arguments, &["--json"]].concat()).json()
    }

    /// `file:` and a path in the home.
    fn file(&self, name: &str) -> String {
        format!("file:{}", self.env.path(name).display())
    }

    fn key(&self) -> String {
        let opened = self.env.open("a");
        opened["active"]["private_key"].as_str().unwrap().to_owned()
    }

    fn stopped(&self, arguments: &[&str], stop_at: u64) -> Run {
        let mut command = self.env.command(&[&["deliver"], arguments].concat());
        Run::of(command.env("DFNS_KEYS_TEST_STOP_AT", stop_at.to_string()))
    }
}

#[test]
fn a_file_is_delivered_once_and_kept_up_to_date() {
    let scene = Scene::new();
    let file = scene.env.path("dfns.env");
    let target = scene.file("dfns.env");
    let run = scene.deliver(&["a", "--to", &target]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("in sync, read back"), "{run:?}");
    assert_eq!(mode(&file), 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text, scene.env.ok(&["export", "a", "--format", "dotenv"]));
    // It is sealed with the credential, and shown without unlocking.
    let sealed = scene.env.open("a");
    let place = &sealed["deliveries"][0];
    assert!(place["target"].as_str().unwrap().starts_with(&target), "{sealed}");
    assert!(place["target"].as_str().unwrap().contains("host="), "{sealed}");
    assert_eq!(place["receipt"]["fingerprint"], sealed["public"]["fingerprint"]);
    let shown = scene.env.run(&["show", "a", "--json"]).json();
    assert_eq!(shown["credential"]["deliveries"][0]["in_sync"], true, "{shown}");
    // Nothing is put where nothing is behind.
    let before = std::fs::metadata(&file).unwrap().modified().unwrap();
    let document = scene.deliver_json(&["a"]);
    let row = &document["deliveries"][0];
    for (field, value) in [
        ("name", json!("a")),
        ("state", json!("in_sync")),
        ("read_back", json!(true)),
    ] {
        assert_eq!(row[field], value, "{document}");
    }
    assert!(
        row.get("error").is_none() && row["delivered_at"].is_string(),
        "{document}"
    );
    assert_eq!(std::fs::metadata(&file).unwrap().modified().unwrap(), before);
    // What somebody changed there is seen, and mended by the next delivery.
    for spoil in ["contents", "mode", "gone"] {
        match spoil {
            "contents" => std::fs::write(&file, "DFNS_AUTH_TOKEN=x\n").unwrap(),
            "mode" => support::set_mode(&file, 0o644),
            _ => std::fs::remove_file(&file).unwrap(),
        }
        scene
            .deliver(&["a", "--check"])
            .fails(8, &["does not have what is active now", "dfns-keys deliver a"]);
        scene.deliver(&["a"]).fails(0, &[]);
        scene.deliver(&["a", "--check"]).fails(0, &[]);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text, "{spoil}");
        assert_eq!(mode(&file), 0o600, "{spoil}");
    }
    let log = scene.env.ok(&["log", "a", "--json"]);
    assert!(log.contains("\"delivered\"") && log.contains(&target), "{log}");
}

#[test]
fn a_file_has_the_form_mode_and_owner_that_its_target_names() {
    let scene = Scene::new();
    for format in ["dotenv", "docker-env", "json", "pem-private"] {
        let target = format!("{}?format={format}&mode=0640", scene.file(format));
        scene.deliver(&["a", "--to", &target]).fails(0, &[]);
        let text = std::fs::read_to_string(scene.env.path(format)).unwrap();
        assert_eq!(text, scene.env.ok(&["export", "a", "--format", format]), "{format}");
        assert_eq!(mode(&scene.env.path(format)), 0o640);
    }
    if rustix::process::geteuid().is_root() {
        use std::os::unix::fs::MetadataExt;
        let target = format!("{}?owner=65534", scene.file("owned"));
        scene.deliver(&["a", "--to", &target]).fails(0, &[]);
        assert_eq!(std::fs::metadata(scene.env.path("owned")).unwrap().uid(), 65534);
    }
    let target = format!("{}?owner=nobody-of-this-name", scene.file("nobody"));
    scene
        .deliver(&["a", "--to", &target])
        .fails(7, &["there is no user nobody-of-this-name"]);
    // A folder is not made: nobody knows whose it should be.
    scene
        .deliver(&["a", "--to", &scene.file("missing/dfns.env")])
        .fails(7, &["missing/dfns.env", "No such file"]);
}

#[test]
fn what_is_no_place_is_refused_before_anything_happens() {
    let scene = Scene::new();
    for (target, words) in [
        ("vaultwarden:x", "begin with one of"),
        ("file:relative.env", "file:/PATH"),
        ("file:/a/../b", "without detours"),
        ("file:/a?color=red", "its parameters are format, host, mode, owner"),
        ("file:/a?format=xml", "its format is to be"),
        ("file:/a?mode=0644", "its mode is to be octal"),
    ] {
        scene.deliver(&["a", "--to", target]).fails(2, &[words]);
    }
    let good = scene.file("x");
    scene
        .deliver(&["a", "--then", "true", "--to", &good])
        .fails(2, &["behind the --to"]);
    scene
        .deliver(&["a", "--to", &good, "--then", "echo 'a"])
        .fails(2, &["not closed"]);
    scene
        .deliver(&["a", "--to", "plugin:x", "--then", "true"])
        .fails(2, &["one machine"]);
    scene.deliver(&["a", "b", "--to", &good]).fails(2, &["just that one"]);
    scene.deliver(&["a", "--to", &good, "--check"]).fails(2, &["--check"]);
    scene.deliver(&["a", "--forget", &good]).fails(3, &["has no place"]);
    scene.deliver(&["nobody", "--to", &good]).fails(3, &["nobody"]);
    scene.env.prepare(&scene.sandbox, "pending");
    scene.deliver(&["pending", "--to", &good]).fails(3, &["no token yet"]);
    let code = scene.sandbox.code("ops");
    scene.env.write("code", &code);
    let enrolled = scene
        .env
        .run(&["enroll", "ops", "--code", &code, "--api-url", &scene.sandbox.url]);
    if enrolled.code == 0 {
        scene.deliver(&["ops", "--to", &good]).fails(3, &["is a user"]);
    }
    assert!(!scene.env.path("x").exists());
    scene.deliver(&["a"]).fails(0, &["name one with --to"]);
}

#[test]
fn one_place_is_one_credentials() {
    let scene = Scene::new();
    scene.env.onboard(&scene.sandbox, "b");
    let target = scene.file("dfns.env");
    scene.deliver(&["a", "--to", &target]).fails(0, &[]);
    scene
        .deliver(&["b", "--to", &target])
        .fails(3, &["a is delivered to", "already", "--forget"]);
    let run = scene.deliver(&["a", "--forget", &target]);
    run.fails(0, &["what it has is still there"]);
    assert!(scene.env.path("dfns.env").exists());
    scene.deliver(&["b", "--to", &target]).fails(0, &[]);
    // However it is said, a file is one place.
    let text = std::fs::read_to_string(scene.env.path("dfns.env")).unwrap();
    let creds = target.replacen("file:", "systemd-creds:", 1);
    for (name, other) in [
        ("a", format!("{target}?format=json")),
        ("b", format!("{target}?mode=0640")),
        ("b", creds),
    ] {
        scene
            .deliver(&[name, "--to", &other])
            .fails(3, &["b is delivered to", &target, "already", "--forget"]);
    }
    let two = format!("{}?mode=0640", scene.file("two"));
    scene
        .deliver(&["a", "--to", &two, "--to", &scene.file("two")])
        .fails(3, &["a is delivered to"]);
    assert_eq!(std::fs::read_to_string(scene.env.path("dfns.env")).unwrap(), text);
    let document = scene.deliver_json(&["--all"]);
    assert_eq!(document["deliveries"].as_array().unwrap().len(), 1, "{document}");
    assert_eq!(document["deliveries"][0]["name"], "b");
}

#[test]
fn a_file_of_another_machine_is_left_to_that_machine() {
    let scene = Scene::new();
    let target = format!("{}?host=pay1", scene.file("dfns.env"));
    scene
        .deliver(&["a", "--to", &target, "--then", "touch ran"])
        .fails(7, &["it is on pay1", "dfns-keys deliver a", "on pay1"]);
    assert!(!scene.env.path("dfns.env").exists() && !scene.env.path("ran").exists());
    let document = scene.deliver_json(&["a"]);
    assert_eq!(document["deliveries"][0]["state"], "behind", "{document}");
    assert_eq!(document["deliveries"][0]["error"]["code"], "elsewhere");
}

#[test]
fn a_program_runs_after_a_change_and_until_it_succeeds() {
    let scene = Scene::new();
    let target = scene.file("dfns.env");
    program(
        &scene.env,
        "reload",
        "#!/bin/sh\necho \"$#:$1:$2\" >>\"$HOME/ran\"\ntest -f \"$HOME/well\"\n",
    );
    // Words as a shell splits them, and nothing that a shell would do.
    let then = "reload 'one two' $HOME;false";
    scene.deliver(&["a", "--to", &target, "--then", then]).fails(
        7,
        &["it was delivered, but the program to be run then: reload refuses (exit code 1)"],
    );
    let ran = || std::fs::read_to_string(scene.env.path("ran")).unwrap();
    assert_eq!(ran(), "2:one two:$HOME;false\n");
    scene.deliver(&["a", "--check"]).fails(8, &[]);
    assert_eq!(ran().lines().count(), 1, "a look runs nothing");
    scene.env.write("well", "");
    scene.deliver(&["a"]).fails(0, &[]);
    assert_eq!(ran().lines().count(), 2);
    scene.deliver(&["a"]).fails(0, &[]);
    assert_eq!(ran().lines().count(), 2, "nothing changed");
    scene.env.write("dfns.env", "spoilt");
    scene.deliver(&["a"]).fails(0, &[]);
    assert_eq!(ran().lines().count(), 3, "it was put again, and changed");
}

#[test]
fn a_plugin_gets_the_secret_by_stdin_alone() {
    let scene = Scene::new();
    plugins(&scene.env, &["x"]);
    let run = scene.deliver(&["a", "--to", "plugin:x?k=v"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(
        run.stdout
            .contains("plugin:x?k=v  (the place of x)  in sync, read back"),
        "{run:?}"
    );
    assert_eq!(key_at(&scene.env, "x"), Some(scene.key()));
    let token = scene.env.open("a")["active"]["token"].as_str().unwrap().to_owned();
    for seen in ["arguments", "environment"] {
        let text = std::fs::read_to_string(scene.env.path(&format!("seen/{seen}"))).unwrap();
        assert!(
            !text.contains(&token) && !text.contains("PRIVATE KEY"),
            "{seen}: {text}"
        );
        assert!(!text.contains("DFNS_KEYS_IDENTITY"), "{seen}: {text}");
    }
    scene.deliver(&["a"]).fails(0, &[]);
    assert_eq!(asked(&scene.env, "x put"), 1);
}

#[test]
fn what_a_plugin_does_wrong_is_a_sentence_and_the_other_places_are_delivered() {
    let scene = Scene::new();
    plugins(&scene.env, &["x", "good"]);
    for (mood, state, words) in [
        (
            "rubbish",
            "failed",
            "dfns-keys-target-x answers with something that is not the JSON",
        ),
        ("flood", "failed", "prints more than"),
        ("hang", "failed", "did not end within 2 s"),
        (
            "signedout",
            "failed",
            "refuses (exit code 4): it says: \\\"error: please sign in again",
        ),
        ("refuse", "failed", "refuses (exit code 1): it says: \\\"no room left"),
        ("echo", "failed", "has a secret in it"),
        ("takesother", "failed", "took the new one, and has another"),
        ("hanglater", "in_sync", ""),
    ] {
        scene.env.write("mood-x", mood);
        let _ = std::fs::remove_file(scene.env.path("place-x"));
        let _ = std::fs::remove_file(scene.env.path("place-good"));
        // What ends by itself has time to, however busy the machine is.
        let time = if mood.starts_with("hang") { "2s" } else { "1m" };
        let both = ["a", "--to", "plugin:x", "--to", "plugin:good", "--timeout", time];
        let run = scene.deliver(&[&both[..], &["--json"]].concat());
        assert_eq!(run.code, if state == "in_sync" { 0 } else { 7 }, "{mood}: {run:?}");
        let document = run.json();
        assert_eq!(document["deliveries"][0]["state"], state, "{mood}: {document}");
        assert_eq!(document["deliveries"][1]["state"], "in_sync", "{mood}: {document}");
        assert!(run.stdout.contains(words), "{mood}: {run:?}");
        assert!(key_at(&scene.env, "good").is_some(), "{mood}");
        let key = scene.key();
        let line = key.lines().nth(1).unwrap();
        assert!(!run.stdout.contains(&line[..16]), "{mood}: {run:?}");
        scene
            .deliver(&["a", "--forget", "plugin:x", "--forget", "plugin:good"])
            .fails(0, &[]);
    }
    scene.deliver(&["a", "--to", "plugin:nowhere"]).fails(
        7,
        &[
            "dfns-keys-target-nowhere: there is no such program on the PATH",
            "install it",
        ],
    );
}

#[test]
fn an_answer_that_is_lost_is_found_out_about_by_reading() {
    let scene = Scene::new();
    plugins(&scene.env, &["x"]);
    scene.env.write("mood-x", "lose");
    scene.deliver(&["a", "--to", "plugin:x"]).fails(0, &[]);
    assert_eq!(key_at(&scene.env, "x"), Some(scene.key()));
    assert_eq!(asked(&scene.env, "x put"), 1);
}

#[test]
fn a_place_that_cannot_be_read_says_so_and_is_put_once() {
    let scene = Scene::new();
    plugins(&scene.env, &["x"]);
    scene.env.write("mood-x", "blind");
    let run = scene.deliver(&["a", "--to", "plugin:x"]);
    assert!(
        run.code == 0 && run.stdout.contains("in sync, not read back"),
        "{run:?}"
    );
    scene.deliver(&["a"]).fails(0, &[]);
    scene.deliver(&["a", "--check"]).fails(0, &[]);
    assert_eq!(asked(&scene.env, "x put"), 1);
}

#[test]
fn a_target_that_leads_elsewhere_by_now_gets_nothing() {
    let scene = Scene::new();
    plugins(&scene.env, &["x"]);
    scene.deliver(&["a", "--to", "plugin:x"]).fails(0, &[]);
    std::fs::remove_file(scene.env.path("place-x")).unwrap();
    scene.env.write("where-x", "somebody else's place");
    scene.deliver(&["a"]).fails(
        7,
        &[
            "another place",
            "the place of x",
            "somebody else's place",
            "nothing was put",
        ],
    );
    assert_eq!(key_at(&scene.env, "x"), None);
    scene.deliver(&["a", "--check"]).fails(8, &["another place"]);
    scene.env.write("where-x", "the place of x");
    scene.deliver(&["a"]).fails(0, &[]);
    assert_eq!(key_at(&scene.env, "x"), Some(scene.key()));
}

#[test]
fn places_are_told_apart_by_what_is_not_shown_of_them_too() {
    let scene = Scene::new();
    plugins(&scene.env, &["x"]);
    let long = "a/".repeat(200);
    for (place, other) in [
        (format!("{long}one"), format!("{long}two")),
        (
            "https://user:Tr0ub4dor&3xyz@one".to_owned(),
            "https://user:c0rrecthorse9@one".to_owned(),
        ),
    ] {
        let _ = std::fs::remove_file(scene.env.path("place-x"));
        scene.env.write("where-x", &place);
        scene.deliver(&["a", "--to", "plugin:x"]).fails(0, &[]);
        std::fs::remove_file(scene.env.path("place-x")).unwrap();
        scene.env.write("where-x", &other);
        scene.deliver(&["a"]).fails(7, &["another place", "nothing was put"]);
        assert_eq!(key_at(&scene.env, "x"), None);
        scene.deliver(&["a", "--forget", "plugin:x"]).fails(0, &[]);
    }
}

/// As an earlier version sealed it.
#[test]
fn a_place_that_was_sealed_by_its_words_alone_is_known_again() {
    let scene = Scene::new();
    plugins(&scene.env, &["x"]);
    scene.deliver(&["a", "--to", "plugin:x"]).fails(0, &[]);
    scene.env.reseal("a", |sealed| {
        let place = sealed["deliveries"][0].as_object_mut().unwrap();
        assert!(place.remove("place_digest").is_some());
    });
    scene.env.write("where-x", "elsewhere");
    scene.deliver(&["a"]).fails(7, &["another place"]);
    scene.env.write("where-x", "the place of x");
    scene.deliver(&["a"]).fails(0, &[]);
    assert!(scene.env.open("a")["deliveries"][0]["place_digest"].is_string());
}

#[test]
fn a_target_that_cannot_be_used_stops_no_other() {
    let scene = Scene::new();
    plugins(&scene.env, &["x"]);
    let file = scene.file("dfns.env");
    scene.deliver(&["a", "--to", &file, "--to", "plugin:x"]).fails(0, &[]);
    // A form that this version does not know.
    scene.env.reseal("a", |sealed| {
        for list in ["/deliveries/0/target", "/public/deliveries/0/target"] {
            let target = sealed.pointer_mut(list).unwrap();
            *target = format!("{}&format=xml", target.as_str().unwrap()).into();
        }
    });
    std::fs::remove_file(scene.env.path("place-x")).unwrap();
    let run = scene.deliver(&["a", "--json"]);
    assert_eq!(run.code, 7, "{run:?}");
    let rows = run.json()["deliveries"].clone();
    assert_eq!(
        (&rows[0]["state"], &rows[1]["state"]),
        (&json!("failed"), &json!("in_sync")),
        "{rows}"
    );
    assert_eq!(rows[0]["error"]["code"], "unusable_target", "{rows}");
    assert_eq!(key_at(&scene.env, "x"), Some(scene.key()));
    scene
        .deliver(&["a", "--check"])
        .fails(8, &["it cannot be delivered to: its format is to be"]);
}

#[test]
fn a_pipe_in_the_place_of_a_file_keeps_nobody_waiting() {
    let scene = Scene::new();
    let target = scene.file("dfns.env");
    scene.deliver(&["a", "--to", &target]).fails(0, &[]);
    std::fs::remove_file(scene.env.path("dfns.env")).unwrap();
    let (mode, kind) = (
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        rustix::fs::FileType::Fifo,
    );
    rustix::fs::mknodat(rustix::fs::CWD, scene.env.path("dfns.env"), kind, mode, 0).unwrap();
    scene.deliver(&["a"]).fails(7, &["dfns.env", "it is no plain file"]);
    scene.deliver(&["a", "--check"]).fails(8, &["it is no plain file"]);
}

#[test]
fn a_place_that_could_be_read_before_and_refuses_it_now_is_not_up_to_date() {
    let scene = Scene::new();
    plugins(&scene.env, &["x"]);
    scene.deliver(&["a", "--to", "plugin:x"]).fails(0, &[]);
    scene.env.write("mood-x", "unreadable");
    for (arguments, code) in [(&["a"][..], 7), (&["a", "--check"], 8)] {
        let run = scene.deliver(&[arguments, &["--json"]].concat());
        assert_eq!(run.code, code, "{run:?}");
        assert_eq!(run.json()["deliveries"][0]["state"], "unknown", "{run:?}");
    }
    assert_eq!(asked(&scene.env, "x put"), 1);
    scene.env.write("mood-x", "");
    scene.deliver(&["a"]).fails(0, &[]);
}

#[test]
fn a_program_may_leave_a_service_running_and_repeats_no_secret() {
    let scene = Scene::new();
    let target = scene.file("dfns.env");
    // What it starts has its output, and outlives it.
    program(
        &scene.env,
        "reload",
        "#!/bin/sh\necho reloading\n(kill -STOP $(exec sh -c 'echo $PPID')) &\necho $! >\"$HOME/service\"\n",
    );
    let run = scene.deliver(&["a", "--to", &target, "--then", "reload", "--timeout", "20s"]);
    let service: i32 = std::fs::read_to_string(scene.env.path("service"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let service = rustix::process::Pid::from_raw(service).unwrap();
    let runs = rustix::process::test_kill_process(service).is_ok();
    let _ = rustix::process::kill_process(service, rustix::process::Signal::KILL);
    run.fails(0, &[]);
    assert!(runs, "it was stopped with the program");
    program(
        &scene.env,
        "reload",
        "#!/bin/sh\nwhile IFS= read -r line; do echo \"$line\" >&2; done <\"$HOME/dfns.env\"\nexit 1\n",
    );
    scene.env.write("dfns.env", "spoilt");
    let key = scene.key();
    let run = scene.deliver(&["a"]);
    run.fails(7, &["reload refuses (exit code 1)", "it has a secret in it"]);
    assert!(!run.stderr.contains(&key.lines().nth(1).unwrap()[..16]), "{run:?}");
}

#[test]
fn stopped_at_every_instant_the_next_run_ends_it() {
    let scene = Scene::new();
    plugins(&scene.env, &["x"]);
    let target = scene.file("dfns.env");
    program(&scene.env, "mark", "#!/bin/sh\n: >\"$HOME/ran\"\n");
    let arguments = ["a", "--to", "plugin:x", "--to", &target, "--then", "mark"];
    for stop_at in 1.. {
        assert!(stop_at < 200);
        let run = scene.stopped(&arguments, stop_at);
        let ended = run.code == 0;
        // Nothing is there of which the vault does not know that it may be there.
        let places = scene.env.open("a")["deliveries"].to_string();
        for (there, name) in [
            (key_at(&scene.env, "x").is_some(), "plugin:x"),
            (scene.env.path("dfns.env").exists(), "dfns.env"),
        ] {
            assert!(!there || places.contains(name), "{stop_at}: {name} is not in {places}");
        }
        scene.deliver(&arguments).fails(0, &[]);
        scene.deliver(&["a", "--check"]).fails(0, &[]);
        assert_eq!(key_at(&scene.env, "x"), Some(scene.key()), "{stop_at}");
        assert!(scene.env.path("ran").exists(), "{stop_at}: the program was run");
        if ended {
            assert!(stop_at > 12, "there are so many instants: {stop_at}");
            break;
        }
        let forget = ["a", "--forget", "plugin:x", "--forget", &target];
        scene.deliver(&forget).fails(0, &[]);
        for name in ["place-x", "dfns.env", "ran"] {
            std::fs::remove_file(scene.env.path(name)).unwrap();
        }
    }
}

/// What `systemd-creds` has made, it decrypts; the secret goes to it by stdin, and no clear text stands on the disk.
#[test]
fn a_credential_of_systemd_is_encrypted_for_this_machine() {
    if !peer("systemd-creds") {
        return;
    }
    let scene = Scene::new();
    let path = scene.env.path("dfns.cred");
    let target = format!("systemd-creds:{}?format=json", path.display());
    let run = scene.deliver(&["a", "--to", &target, "--then", "touch ran"]);
    if run.code == 7 && !rustix::process::geteuid().is_root() {
        return support::skipped("only root has the machine's key");
    }
    assert_eq!(run.code, 0, "{run:?}");
    assert!(
        run.stdout.contains("in sync, read back") && scene.env.path("ran").exists(),
        "{run:?}"
    );
    let decrypted = Run::of(scene.env.bare("systemd-creds").arg("decrypt").arg(&path).arg("-"));
    assert_eq!(decrypted.stdout, scene.env.ok(&["export", "a", "--format", "json"]));
    assert_eq!(mode(&path), 0o600);
    let put = std::fs::read(&path).unwrap();
    scene.deliver(&["a"]).fails(0, &[]);
    assert_eq!(std::fs::read(&path).unwrap(), put, "it is there, and is not put again");
    std::fs::write(&path, "spoilt").unwrap();
    scene
        .deliver(&["a", "--check"])
        .fails(8, &["does not have what is active now"]);
    scene.deliver(&["a"]).fails(0, &[]);
    scene.deliver(&["a", "--check"]).fails(0, &[]);
}

/// A `systemd-creds` that is not as it should be.
#[test]
fn a_tool_that_writes_down_what_it_sees_sees_no_secret_but_on_its_stdin() {
    // What the stand-in is made of, beside env and sleep.
    if !peer("tr") {
        return;
    }
    let scene = Scene::new();
    let target = format!("systemd-creds:{}", scene.env.path("dfns.cred").display());
    let script = "#!/bin/sh\nprintf '%s\\n' \"$@\" >>\"$HOME/arguments\"\nenv >>\"$HOME/environment\"\n\
                  case $1 in encrypt) tr a-z n-za-m ;; decrypt) tr a-z n-za-m <\"$3\" ;; esac\n";
    program(&scene.env, "systemd-creds", script);
    scene.deliver(&["a", "--to", &target]).fails(0, &[]);
    let token = scene.env.open("a")["active"]["token"].as_str().unwrap().to_owned();
    for seen in ["arguments", "environment"] {
        let text = std::fs::read_to_string(scene.env.path(seen)).unwrap();
        assert!(
            !text.contains(&token) && !text.contains("PRIVATE KEY"),
            "{seen}: {text}"
        );
    }
    for (script, words) in [
        (
            "#!/bin/sh\necho 'no key on this machine' >&2; exit 1\n",
            "refuses (exit code 1): it says: \"no key on this machine\"",
        ),
        ("#!/bin/sh\nexit 0\n", "answers with nothing"),
        ("#!/bin/sh\nexec sleep 600\n", "did not end within 2 s"),
    ] {
        program(&scene.env, "systemd-creds", script);
        scene.deliver(&["a", "--timeout", "2s"]).fails(7, &[words]);
    }
}

#[test]
fn the_example_of_a_plugin_keeps_what_it_is_given() {
    if !peer("jq") {
        return;
    }
    let scene = Scene::new();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/dfns-keys-target-folder");
    let text = std::fs::read_to_string(example).unwrap();
    assert!(text.lines().count() <= 25, "it is short enough to be read");
    program(&scene.env, "dfns-keys-target-folder", &text);
    let target = format!("plugin:folder?at={}", scene.env.path("folder").display());
    scene
        .deliver(&["a", "--to", "plugin:folder"])
        .fails(7, &["say where: plugin:folder?at=/PATH"]);
    scene.deliver(&["a", "--forget", "plugin:folder"]).fails(0, &[]);
    scene.deliver(&["a", "--to", &target]).fails(0, &[]);
    scene.deliver(&["a", "--check"]).fails(0, &[]);
    let file = scene.env.path("folder/credential.json");
    let kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let exported: Value = serde_json::from_str(&scene.env.ok(&["export", "a", "--format", "json"])).unwrap();
    assert_eq!(kept, exported);
    assert_eq!(mode(&file), 0o600);
    std::fs::remove_file(&file).unwrap();
    scene.deliver(&["a", "--check"]).fails(8, &[]);
}
