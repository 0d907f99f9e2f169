//! What the program says of itself: short help, long help, the manual.
#![allow(
    clippy::disallowed_methods,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

use std::collections::BTreeSet;
use std::process::Command;

use support::{Run, TestEnv, peer, peer_ok};

fn at(env: &TestEnv, columns: usize, arguments: &[&str]) -> String {
    let run = Run::of(env.command(arguments).env("COLUMNS", columns.to_string()));
    assert_eq!(run.code, 0, "{run:?}");
    run.stdout
}

#[test]
fn the_short_help_is_one_screen_in_groups() {
    let env = TestEnv::new();
    for columns in [60, 80, 120] {
        let help = at(&env, columns, &["-h"]);
        assert!(help.lines().count() <= 45, "{help}");
        assert!(
            help.lines().all(|line| line.chars().count() <= columns),
            "{columns}: {help}"
        );
        for words in [
            "Get a credential\n  init",
            "Keep it working\n  status",
            "Use it\n  exec",
            "dfns-keys demo",
        ] {
            assert!(help.contains(words), "{words} is missing: {help}");
        }
        assert!(!help.contains("--rate-limit"), "{help}");
    }
    // Whoever types nothing sees the same, and a script sees that it typed nothing.
    let bare = env.run(&[]);
    assert_eq!((bare.code, bare.stderr.trim()), (2, at(&env, 80, &["-h"]).trim()));
}

#[test]
fn what_every_command_takes_stands_in_the_long_help_alone() {
    let env = TestEnv::new();
    for command in ["list", "onboard", "verify", "account"] {
        let (short, long) = (at(&env, 80, &[command, "-h"]), at(&env, 80, &[command, "--help"]));
        assert!(
            !short.contains("Global options") && short.contains("Example"),
            "{short}"
        );
        assert!(
            long.contains("Global options") && long.contains("--rate-limit"),
            "{long}"
        );
        assert_eq!(at(&env, 80, &["help", command]), long);
    }
    assert_eq!(at(&env, 80, &["help"]), at(&env, 80, &["--help"]));
    assert_eq!(
        at(&env, 80, &["help", "account", "list"]),
        at(&env, 80, &["account", "list", "--help"])
    );
    env.run(&["help", "acount"])
        .fails(2, &["unrecognized subcommand 'acount'"]);
}

#[test]
fn every_manual_page_has_what_a_manual_has() {
    let env = TestEnv::new();
    std::fs::create_dir(env.path("man")).unwrap();
    env.ok(&["man", "man"]);
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(env.path("man")).unwrap() {
        let path = entry.unwrap().path();
        let page = std::fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        for section in [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "OPTIONS",
            "\"EXIT STATUS\"",
            "ENVIRONMENT",
            "FILES",
            "\"SEE ALSO\"",
        ] {
            assert!(
                page.contains(&format!("\n.SH {section}\n")),
                "{name} lacks {section}: {page}"
            );
        }
        assert!(!page.contains("EXTRA"), "{name}: {page}");
        let examples = page.contains("\n.SH EXAMPLES\n");
        assert!(
            examples || name.matches('-').count() > 2,
            "{name} has no examples: {page}"
        );
        if peer("groff") {
            let output = Command::new("groff")
                .args(["-Kutf8", "-Tutf8", "-man", "-ww"])
                .arg(&path)
                .output()
                .unwrap();
            assert!(
                output.status.success() && output.stderr.is_empty(),
                "{name}: {output:?}"
            );
        }
        names.insert(name);
    }
    assert!(
        names.contains("dfns-keys") && names.contains("dfns-keys-recipients-add") && !names.contains("dfns-keys-help")
    );
    // Each page names the one above it, which is there.
    let above = std::fs::read_to_string(env.path("man/dfns-keys-public-key.1")).unwrap();
    assert!(above.contains("\\fBdfns\\-keys\\fR(1)"), "{above}");
    let above = std::fs::read_to_string(env.path("man/dfns-keys-recipients-add.1")).unwrap();
    assert!(above.contains("\\fBdfns\\-keys\\-recipients\\fR(1)"), "{above}");
}

#[test]
fn the_manual_has_the_exit_codes_of_the_documents() {
    if !peer("groff") {
        return;
    }
    let env = TestEnv::new();
    let page = env.write("page.1", env.ok(&["man"]));
    let shown = peer_ok(
        Command::new("groff")
            .args(["-Kutf8", "-Tascii", "-P-cbou", "-man"])
            .arg(page),
    );
    let shown = String::from_utf8(shown).unwrap();
    let section = shown
        .split("EXIT STATUS\n")
        .nth(1)
        .unwrap()
        .split("\nENVIRONMENT")
        .next()
        .unwrap();
    let told: BTreeSet<u8> = section
        .lines()
        .filter_map(|line| line.strip_prefix("       ")?.split(' ').next()?.parse().ok())
        .collect();
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/exit-codes.md")).unwrap();
    let documented: BTreeSet<u8> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .flat_map(|codes| codes.split(", "))
        .filter_map(|code| code.parse().ok())
        .collect();
    assert_eq!(told, documented, "{section}");
    assert!(told.len() > 10, "{section}");
}
