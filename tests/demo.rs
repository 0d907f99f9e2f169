//! The demonstration: by itself where nobody reads along, at a reader's pace on a terminal.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use support::{Run, TestEnv};

#[test]
fn the_demonstration_ends_by_itself_with_exit_0() {
    let env = TestEnv::new();
    // It has nothing to do with what its reader works on.
    let settings = env.path("settings");
    std::fs::create_dir_all(settings.join("dfns-keys")).unwrap();
    let theirs =
        "default = \"prod\"\n[context.prod]\nvault = \"/nowhere\"\napp_id = \"ap-theirs\"\norg_id = \"or-theirs\"\n";
    std::fs::write(settings.join("dfns-keys/config.toml"), theirs).unwrap();
    let mut demo = env.bare(support::PROGRAM);
    demo.arg("demo").env("XDG_CONFIG_HOME", &settings);
    for (variable, value) in [
        ("DFNS_KEYS_CONTEXT", "prod"),
        ("DFNS_KEYS_VAULT", "/nowhere"),
        ("DFNS_KEYS_IDENTITY", "/nowhere/identity"),
        ("DFNS_KEYS_API_URL", "https://api.example"),
        ("DFNS_KEYS_ORIGIN", "https://origin.example"),
        ("DFNS_KEYS_APP_ID", "ap-theirs"),
        ("DFNS_KEYS_ORG_ID", "or-theirs"),
        ("DFNS_KEYS_AS", "theirs"),
        ("DFNS_KEYS_RECIPIENTS", "theirs"),
        ("DFNS_KEYS_VAULT_ID", "theirs"),
    ] {
        demo.env(variable, value);
    }
    let run = Run::of(&mut demo);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(
        !run.stdout.contains("theirs") && !run.stderr.contains("theirs"),
        "{run:?}"
    );
    std::fs::remove_dir_all(settings).unwrap();
    for words in [
        "$ dfns-keys onboard payments-api --prepare",
        "does not accept this key for this token",
        "payments-api is active.",
        "payments.env: ",
        "(exit code 7)",
        "The disk is back.",
        "the old key is refused",
        "payments.postman_environment.json",
        "That is all.",
    ] {
        assert!(run.stderr.contains(words), "{words}: {run:?}");
    }
    assert!(run.stdout.contains("Safe to use."), "{run:?}");
    assert!(!cfg!(unix) || run.stdout.contains("in sync, read back"), "{run:?}");
    assert!(!run.stderr.contains("Enter"), "nobody is waited for: {run:?}");
    let left: Vec<_> = std::fs::read_dir(env.home.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[cfg(unix)]
mod terminal {
    use super::*;
    use std::path::PathBuf;
    use support::terminal::{ends, on_terminal};

    const PAUSE: &str = "Enter to go on";

    fn left(env: &TestEnv) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(env.home.path()).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn it_explains_its_words_and_goes_on_when_the_reader_does() {
        let env = TestEnv::new();
        let mut demo = on_terminal(env.asking(&["demo"]).env("TMPDIR", env.home.path()));
        let words = demo.exp_string(PAUSE).unwrap();
        for word in [
            "Dfns keeps",
            "A service account is",
            "User action signing is",
            "Sealed is",
        ] {
            assert!(words.contains(word), "{word}: {words}");
        }
        let mut chapters = 0;
        loop {
            demo.send_line("").unwrap();
            let (shown, end) = demo.exp_regex("Enter to go on|That is all").unwrap();
            assert!(
                shown.matches("$ dfns-keys").count() <= 3,
                "one thing at a time: {shown}"
            );
            chapters += 1;
            if end == "That is all" {
                break;
            }
        }
        assert!(chapters >= 8, "{chapters}");
        ends(demo, 0);
        assert_eq!(left(&env), [] as [PathBuf; 0]);
    }

    #[test]
    fn a_reader_who_has_seen_enough_leaves_nothing_behind() {
        let env = TestEnv::new();
        let mut demo = on_terminal(env.asking(&["demo"]).env("TMPDIR", env.home.path()));
        demo.exp_string(PAUSE).unwrap();
        demo.send_line("").unwrap();
        let vault = demo.exp_string(PAUSE).unwrap();
        assert!(vault.contains("$ dfns-keys init"), "{vault}");
        assert_ne!(left(&env), [] as [PathBuf; 0], "it works here");
        demo.send_control('c').unwrap();
        let shown = ends(demo, 130);
        assert!(!shown.contains("$ dfns-keys"), "it waited: {shown}");
        assert_eq!(left(&env), [] as [PathBuf; 0]);
    }

    #[test]
    fn a_reader_who_stops_it_in_the_middle_leaves_nothing_behind() {
        let env = TestEnv::new();
        let mut demo = on_terminal(env.asking(&["--yes", "demo"]).env("TMPDIR", env.home.path()));
        demo.exp_string("$ dfns-keys onboard payments-api --prepare").unwrap();
        demo.send_control('c').unwrap();
        let shown = ends(demo, 130);
        assert!(shown.contains("stopped") && !shown.contains("That is all."), "{shown}");
        assert_eq!(left(&env), [] as [PathBuf; 0]);
    }

    #[test]
    fn whoever_wants_no_questions_is_not_waited_for() {
        for flag in ["--yes", "--no-input"] {
            let env = TestEnv::new();
            let demo = on_terminal(&env.asking(&[flag, "demo"]));
            let shown = ends(demo, 0);
            assert!(
                shown.contains("That is all.") && !shown.contains(PAUSE),
                "{flag}: {shown}"
            );
        }
    }
}
