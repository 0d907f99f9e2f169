//! Every recipe of the documents is run as it stands there. What is put in its place is said in `scene.rs` (`age1…`, a port),
//! what is not pasted into a shell but typed, served or run elsewhere in `ways.rs`. A recipe that is new is run by itself.
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

mod support;

#[path = "documents/configuration.rs"]
mod configuration;
#[path = "documents/markdown.rs"]
mod markdown;
#[path = "documents/scene.rs"]
mod scene;
#[path = "documents/ways.rs"]
mod ways;

use std::collections::BTreeSet;
use std::process::Command;

use markdown::{Kind, Recipe, looks_like_a_command, recipes};
use scene::{PASSPHRASE, Scene, Server, Start, USERNAME};
use support::terminal::{ends, on_terminal};
use support::{Run, Sandbox, TestEnv, peer, skipped};
use ways::{Answer, EXCEPTIONS, Way, exception_for};

/// The programs that the recipes need beside ours.
const PEERS: &[&str] = &["age", "bash", "curl", "jq", "node", "npm", "openssl", "python3"];

fn peers() -> bool {
    // All are named before the first is missed.
    PEERS.iter().filter(|program| !peer(program)).count() == 0
}

/// Runs the command lines of a recipe one after the other, in one scene.
fn run(recipe: &Recipe, lines: &[String]) {
    let mut scene: Option<Scene> = None;
    let mut servers = Vec::new();
    for line in lines {
        let place = format!("{}: {line}", recipe.place());
        let way = exception_for(&recipe.document, line).map_or(Way::Shell(None), |one| one.way);
        match way {
            Way::Name => continue,
            Way::Elsewhere(test) => {
                skipped(&format!("{place} is run by {test}"));
                continue;
            }
            Way::MakeTarget => {
                make_knows(line, &place);
                continue;
            }
            Way::Shell(Some(start)) | Way::Terminal(Some(start), _) => scene = Some(Scene::new(start)),
            _ => {}
        }
        let scene = scene.get_or_insert_with(|| Scene::new(Start::Active));
        let succeeded = |run: Run| assert_eq!(run.code, 0, "{place}: {run:?}");
        match way {
            Way::Brought => {
                scene.bring_the_token();
                succeeded(scene.shell(line));
            }
            Way::Shell(_) => succeeded(scene.shell(line)),
            Way::Terminal(_, answers) => on_a_terminal(scene, line, answers),
            Way::Server => servers.push(scene.serve(line)),
            Way::Cron => {
                let (schedule, command) = line.split_once("  ").expect(&place);
                assert_eq!(schedule.split(' ').count(), 5, "{place}");
                let command = scene.as_written(command);
                // cron's environment is a shell, a home and little more.
                let mut cron = scene.command("sh");
                for (name, _) in &scene.variables {
                    cron.env_remove(name);
                }
                cron.env_remove("DFNS_KEYS_IDENTITY").args(["-c", &command]);
                succeeded(Run::of(&mut cron));
            }
            Way::Container => {
                let mut shell = scene.command("bash");
                let file = std::fs::read_to_string(scene.env.path("container.env")).unwrap();
                shell.envs(file.lines().filter_map(|line| line.split_once('=')));
                succeeded(Run::of(shell.args(["-c", line])));
            }
            Way::Name | Way::Elsewhere(_) | Way::MakeTarget => unreachable!("handled above"),
        }
    }
}

fn on_a_terminal(scene: &Scene, line: &str, answers: &[Answer]) {
    let line = scene.as_written(line);
    let named = line.split_whitespace().skip_while(|word| *word != "--api-url").nth(1);
    let mut session = on_terminal(&scene.asking(&line));
    for answer in answers {
        let (question, typed) = match answer {
            Answer::Passphrase(question) => (*question, PASSPHRASE.to_owned()),
            Answer::Typed(question, typed) => (*question, (*typed).to_owned()),
            Answer::Code => ("One-time code", scene.sandbox.code(USERNAME)),
            Answer::Token(name) => {
                session.exp_string("Token (hidden").unwrap();
                let public = scene.env.ok(&["show", name, "--public-key"]);
                let token = match named {
                    Some(url) => Sandbox::create_at(url.trim_start_matches("http://"), name, &public),
                    None => scene.sandbox.create(name, &public),
                };
                session.send_line(&token).unwrap();
                continue;
            }
        };
        session.exp_string(question).unwrap();
        session.exp_string(": ").unwrap();
        session.send_line(&typed).unwrap();
    }
    ends(session, 0);
}

/// The pipelines that come with the project call targets that are there.
#[test]
fn the_workflows_make_what_there_is_to_make() {
    let workflows = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/workflows");
    let mut made = 0;
    for entry in std::fs::read_dir(workflows).unwrap() {
        let path = entry.unwrap().path();
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let Some((_, command)) = line.split_once("run: ") else {
                continue;
            };
            if command.starts_with("make ") {
                make_knows(command, &path.display().to_string());
                made += 1;
            }
        }
    }
    assert!(made > 0, "the test reads the workflows");
}

fn make_knows(line: &str, place: &str) {
    let command = line.split(" #").next().unwrap();
    let targets = command.split_whitespace().skip(1);
    let mut make = Command::new("make");
    make.arg("--dry-run")
        .args(targets)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    if peer("make") {
        let run = Run::of(&mut make);
        assert_eq!(run.code, 0, "{place}: {run:?}");
    }
}

/// Whether a piece of code in a sentence stands for something: it has a word in capitals where a value belongs, or nothing
/// but a command's name.
fn is_a_pattern(text: &str) -> bool {
    text.split(' ').count() <= 2 || text.split(' ').any(is_a_placeholder)
}

/// A word in capitals, for which a reader writes something else: NAME, FILE, OTHER.
fn is_a_placeholder(word: &str) -> bool {
    let letters = word.trim_matches(|c: char| !c.is_alphanumeric());
    letters.len() > 1 && letters.chars().all(|c| c.is_ascii_uppercase()) && !METHODS.contains(&letters)
}

const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE", "IMAGE"];

/// A command line is one that the program takes: whatever it says then, it is not that the line is wrong.
fn is_taken(line: &str, place: &str) {
    let written = |word: &str| match word {
        "FILE" => "token.txt".to_owned(),
        "age1…" => age::x25519::Identity::generate().to_public().to_string(),
        placeholder if is_a_placeholder(placeholder) => "payments-api".to_owned(),
        other => other.replace('…', "1"),
    };
    let line = line.split(' ').map(written).collect::<Vec<_>>().join(" ");
    let env = TestEnv::new();
    let words: Vec<&str> = line.split(' ').skip(1).collect();
    if words.is_empty() {
        return;
    }
    if let [command] = words[..] {
        env.ok(&[command, "--help"]);
        return;
    }
    if peer("bash") {
        let mut shell = env.bare("bash");
        shell.env("PATH", path());
        std::fs::create_dir_all(env.path("fleets")).unwrap();
        for file in ["dfns-keys.toml", "fleets/payments.toml"] {
            env.write(file, "fleet = \"payments\"\n[account.payments-api]\n");
        }
        // It needs no vault, and serves until it is stopped.
        if words[0] == "sandbox" {
            let line = line.replace("127.0.0.1:8080", &format!("127.0.0.1:{}", scene::free_port()));
            shell.args(["-c", &format!("exec {line} </dev/null")]);
            drop(Server::start(&mut shell, &env.path("served")));
            return;
        }
        let run = Run::of(shell.args(["-c", &format!("{line} </dev/null")]));
        // What asks before it changes anything has nobody to ask here.
        assert!(
            run.code != 2 || run.stderr.contains("no terminal to confirm on"),
            "{place}: {run:?}"
        );
        assert_ne!(run.code, 127, "{place}: {run:?}");
    }
}

fn path() -> String {
    let ours = std::path::Path::new(support::PROGRAM).parent().unwrap();
    format!("{}:{}", ours.display(), std::env::var("PATH").unwrap_or_default())
}

/// Runs all blocks of shell and all code within sentences of one document.
fn run_all(document: &str) {
    if !peers() {
        return;
    }
    let here: Vec<Recipe> = recipes().into_iter().filter(|one| one.document == document).collect();
    assert!(
        !here.is_empty(),
        "{document} has no recipe any more: take its test away"
    );
    for recipe in &here {
        match &recipe.kind {
            Kind::Block(language) if language == "sh" => run(recipe, &recipe.command_lines()),
            Kind::Block(_) => {}
            Kind::Inline => {
                let listed = exception_for(document, &recipe.text).is_some();
                if !listed && recipe.text.starts_with("dfns-keys") && is_a_pattern(&recipe.text) {
                    is_taken(&recipe.text, &recipe.place());
                } else {
                    run(recipe, std::slice::from_ref(&recipe.text));
                }
            }
        }
    }
}

macro_rules! documents {
    ($($test:ident: $document:literal),* $(,)?) => {
        const RUN: &[&str] = &[$($document),*];
        $(
            #[test]
            fn $test() {
                run_all($document);
            }
        )*
    };
}

documents! {
    the_readme_works_as_it_stands: "README.md",
    the_changelog_works_as_it_stands: "docs/changelog.md",
    the_checks_work_as_they_stand: "docs/checks.md",
    the_page_on_contributing_works_as_it_stands: "docs/contributing.md",
    the_page_on_fleets_works_as_it_stands: "docs/fleet.md",
    the_page_on_delivery_works_as_it_stands: "docs/delivery.md",
    the_page_on_pipelines_works_as_it_stands: "docs/ci.md",
    the_guide_works_as_it_stands: "docs/guide.md",
    the_page_on_held_keys_works_as_it_stands: "docs/held-keys.md",
    the_page_on_installing_works_as_it_stands: "docs/install.md",
    the_page_on_releasing_works_as_it_stands: "docs/releasing.md",
    the_page_on_the_supply_chain_works_as_it_stands: "docs/supply-chain.md",
    the_page_on_handing_over_works_as_it_stands: "docs/handing-over.md",
    the_page_on_reliability_works_as_it_stands: "docs/reliability.md",
    the_page_on_rotation_works_as_it_stands: "docs/rotation.md",
    the_page_on_security_works_as_it_stands: "docs/security.md",
}

/// Languages whose blocks are run by `configuration.rs`, or hold nothing to run.
const LANGUAGES: &[&str] = &["sh", "yaml", "json", "csv", "js", "python", "rust", ""];

#[test]
fn no_recipe_is_left_out() {
    let mut documents = BTreeSet::new();
    for recipe in recipes() {
        let place = recipe.place();
        match &recipe.kind {
            Kind::Block(language) => {
                assert!(
                    LANGUAGES.contains(&language.as_str()),
                    "{place}: nothing runs blocks of `{language}`: teach tests/documents.rs to"
                );
                for line in recipe.text.lines().filter(|_| language.is_empty()) {
                    assert!(
                        !looks_like_a_command(line),
                        "{place}: `{line}` belongs into a block of `sh`"
                    );
                }
                if language != "sh" {
                    continue;
                }
            }
            Kind::Inline => {}
        }
        documents.insert(recipe.document);
    }
    let run: BTreeSet<String> = RUN.iter().map(|document| (*document).to_owned()).collect();
    let forgotten: Vec<_> = documents.difference(&run).collect();
    assert!(
        forgotten.is_empty(),
        "no test runs the recipes of {forgotten:?}: add them to `documents!`"
    );
}

#[test]
fn no_exception_has_outlived_its_recipe() {
    let lines: Vec<(String, String)> = recipes()
        .into_iter()
        .flat_map(|recipe| {
            let lines = match recipe.kind {
                Kind::Block(_) => recipe.command_lines(),
                Kind::Inline => vec![recipe.text.clone()],
            };
            lines.into_iter().map(move |line| (recipe.document.clone(), line))
        })
        .collect();
    for one in EXCEPTIONS {
        let used = lines
            .iter()
            .any(|(document, line)| exception_for(document, line).is_some_and(|found| std::ptr::eq(found, one)));
        assert!(used, "{}: nothing begins with `{}` any more", one.document, one.line);
    }
}

/// A client-side apply copies the Secret, private key and all, into an annotation.
#[test]
fn secrets_are_applied_on_the_servers_side_everywhere() {
    let mut texts: Vec<(String, String)> = markdown::documents()
        .iter()
        .map(|path| (path.display().to_string(), std::fs::read_to_string(path).unwrap()))
        .collect();
    texts.extend(commands().into_iter().map(|command| {
        let help = TestEnv::new().ok(&[&command, "--help"]);
        (format!("dfns-keys {command} --help"), help)
    }));
    let mut applied = 0;
    for (place, text) in texts {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for rest in text.split("kubectl apply").skip(1) {
            applied += 1;
            assert!(
                rest.starts_with(" --server-side"),
                "{place}: kubectl apply{}",
                &rest[..20.min(rest.len())]
            );
        }
    }
    assert!(applied >= 4, "{applied}");
}

/// Every variable of ours that the program reads is in the guide's table and in the manual.
#[test]
fn no_variable_of_ours_is_left_out() {
    fn below(directory: &std::path::Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                below(&path, found);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for rest in text.split("\"DFNS_KEYS_").skip(1) {
                let name = rest.split('"').next().unwrap();
                let is_name = name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
                if is_name && !name.is_empty() && !name.starts_with("TEST_") {
                    found.insert(format!("DFNS_KEYS_{name}"));
                }
            }
        }
    }
    let project = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeSet::new();
    below(&project.join("src/cli"), &mut found);
    assert!(found.len() >= 6, "{found:?}");
    let guide = std::fs::read_to_string(project.join("docs/guide.md")).unwrap();
    let table = guide.split("## The environment").nth(1).unwrap();
    let manual = TestEnv::new().ok(&["man"]);
    for name in found {
        assert!(table.contains(&format!("`{name}`")), "the guide's table lacks {name}");
        assert!(manual.contains(&name), "the manual lacks {name}");
    }
}

#[test]
fn the_examples_of_the_help_are_taken() {
    let mut taken = 0;
    for command in commands() {
        let help = TestEnv::new().ok(&[&command, "--help"]);
        let examples = help.split("Example").nth(1).unwrap_or_default();
        // On a narrow terminal an example goes on in the next line.
        let examples = examples.split_whitespace().collect::<Vec<_>>().join(" ");
        for line in examples.split("dfns-keys ").skip(1) {
            // A remark stands in brackets behind it, and what comes after a pipe is another program's.
            let line = line.trim().split(" (").next().unwrap();
            let ours = line.split(" | ").next().unwrap().split(" > ").next().unwrap();
            is_taken(&format!("dfns-keys {ours}"), &format!("dfns-keys {command} --help"));
            taken += 1;
        }
    }
    assert!(taken > 20, "{taken}");
}

/// The commands that `--help` lists.
fn commands() -> Vec<String> {
    let help = TestEnv::new().ok(&["--help"]);
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = lines.take_while(|line| !line.is_empty()).filter_map(|line| {
        let name = line.strip_prefix("  ")?.split(' ').next()?;
        (!name.is_empty() && name != "help").then(|| name.to_owned())
    });
    names.collect()
}
