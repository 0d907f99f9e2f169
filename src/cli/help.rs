//! What the command line says of itself: the commands in groups, and the rest where it is asked for.

use std::ffi::OsString;
use std::fmt::Write as _;

use clap::Command;

use super::text::{window, wrapped};
use super::ui::Tone;

/// The commands by what somebody comes for.
const GROUPS: [(&str, &[&str]); 6] = [
    ("Get a credential", &["init", "onboard", "import", "enroll"]),
    (
        "Keep it working",
        &["status", "verify", "rotate", "deliver", "plan", "apply"],
    ),
    ("Use it", &["exec", "call", "proxy", "export"]),
    ("Look", &["list", "show", "account", "log"]),
    (
        "The vault",
        &[
            "unlock",
            "lock",
            "context",
            "recipients",
            "rekey",
            "rename",
            "remove",
            "vault",
        ],
    ),
    ("Without a vault", &["demo", "sandbox", "generate", "public-key"]),
];
/// Those that nobody comes for.
const OTHERS: &str = "completions, help, man";

/// The heading of the flags that every command takes.
pub(super) const GLOBAL: &str = "Global options";

/// The command line with its helps: the flags that every command takes in the long ones alone.
pub(super) fn with_helps(command: Command, arguments: &[OsString]) -> Command {
    let command = command.mut_args(|arg| {
        let global = arg.get_help_heading() == Some(GLOBAL);
        arg.hide_short_help(global)
    });
    let in_full = arguments
        .iter()
        .any(|argument| argument == "--help" || argument == "help");
    if in_full {
        return command;
    }
    let short = short(&command);
    command.override_help(short)
}

/// What `-h` shows, and no argument at all.
fn short(command: &Command) -> String {
    let width = window().unwrap_or(80).clamp(40, 100);
    let mut text = format!(
        "{}\nUsage: dfns-keys [OPTIONS] COMMAND\n",
        command.get_about().map(ToString::to_string).unwrap_or_default()
    );
    for (title, names) in GROUPS {
        let _ = writeln!(text, "\n{}", Tone::Strong.paint(title));
        for name in names {
            // A build may have been made without it.
            let Some(about) = command.find_subcommand(name).and_then(Command::get_about) else {
                continue;
            };
            let about = wrapped(&about.to_string(), INDENT, width);
            let _ = writeln!(text, "  {name:<11} {}", about.trim_start());
        }
    }
    let last = format!("Start with `dfns-keys demo`. Also: {OTHERS}.");
    text.push_str(&wrapped(&last, "", width));
    text
}

/// Where the words on a command begin.
const INDENT: &str = "              ";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_command_stands_in_one_group_and_has_examples_that_parse() {
        let command = Cli::command();
        let mut told: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        told.extend(OTHERS.split(", ").filter(|name| *name != "help"));
        let once: BTreeSet<&str> = told.iter().copied().collect();
        assert_eq!(once.len(), told.len(), "{told:?}");
        let all: BTreeSet<&str> = command.get_subcommands().map(Command::get_name).collect();
        assert_eq!(all, once);
        for subcommand in command.get_subcommands() {
            let name = subcommand.get_name();
            let examples = subcommand.get_after_help().map(ToString::to_string).unwrap_or_default();
            let lines: Vec<&str> = examples.lines().skip(1).map(str::trim).collect();
            assert!(
                examples.starts_with("Example") && !lines.is_empty(),
                "{name}: {examples}"
            );
            for line in lines {
                let words = line.split(" | ").next().unwrap();
                let words = words.split(" > ").next().unwrap().split("   (").next().unwrap();
                // What stands for an id is none, and what it stands for is.
                let words: Vec<String> = words_of(&words.replace('…', "1"));
                assert_eq!(words[..2], ["dfns-keys", name], "{line}");
                let parsed = Cli::command().try_get_matches_from(&words);
                assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
            }
        }
    }

    #[test]
    fn every_help_fits_a_narrow_window() {
        fn check(command: &Command) {
            for subcommand in command.get_subcommands() {
                let help = subcommand.clone().term_width(60).render_long_help().to_string();
                for line in help.lines() {
                    assert!(line.chars().count() <= 60, "{}: {line}", subcommand.get_name());
                }
                check(subcommand);
            }
        }
        let mut command = Cli::command();
        command.build();
        check(&command);
    }

    /// As a shell splits them, which knows single quotes.
    fn words_of(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        for (position, part) in line.split('\'').enumerate() {
            if position % 2 == 1 {
                words.push(part.to_owned());
            } else {
                words.extend(part.split_whitespace().map(str::to_owned));
            }
        }
        words
    }

    #[test]
    fn the_short_help_is_one_screen() {
        let text = short(&Cli::command());
        assert!(text.lines().count() <= 45, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
}
