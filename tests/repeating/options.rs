//! Every option and every argument of every command.

use std::sync::Mutex;

use crate::support::{Run, TestEnv};
use crate::{Scene, Secret};

/// What a command is given beside the option that is tried, in each of the ways that lead it further than its command line.
#[rustfmt::skip]
const BESIDE: &[(&str, &[&[&str]])] = &[
    ("init", &[&["--vault", "other"]]),
    ("onboard", &[&["fresh", "--prepare"], &["made", "--as", "ops"], &["pending"]]),
    ("rotate", &[&["a", "--dry-run"], &["a", "--status"]]),
    ("export", &[&["a", "--format", "dotenv"], &["a", "--format", "postman-environment"], &["a"]]),
    ("exec", &[&["a", "--", "true"]]),
    ("call", &[&["a", "POST", "/wallets", "--dry-run"], &["a", "GET", "/wallets"]]),
    ("proxy", &[&["a"]]),
    ("enroll", &[&["someone", "--code", "none"]]),
    ("import", &[&["taken", "--offline"], &["taken", "--private-key", "nothing.pem", "--kind", "user"]]),
    ("account", &[&["list"], &["show", "a"], &["permissions"]]),
    ("verify", &[&["a", "--offline"], &["a"]]),
    ("list", &[&[]]),
    ("status", &[&[]]),
    ("show", &[&["a"]]),
    ("remove", &[&["pending", "--no-input"]]),
    ("rename", &[&["pending", "taken"]]),
    ("plan", &[&["--offline"], &[]]),
    ("apply", &[&["--yes"], &[]]),
    ("deliver", &[&["a", "--check"], &["a"], &["--all"]]),
    ("context", &[&["list"], &["set", "staging"], &["use", "staging"], &["remove", "staging"]]),
    ("unlock", &[&[]]),
    ("lock", &[&[]]),
    ("vault", &[&["adopt", "a", "--fingerprint", "SHA256:none"]]),
    ("log", &[&[], &["--verify"]]),
    ("recipients", &[&["list"], &["add"], &["remove"]]),
    ("rekey", &[&[]]),
    ("generate", &[&["--plaintext"], &["--plaintext", "--json"], &[]]),
    ("public-key", &[&[]]),
    ("sandbox", &[&[]]),
    ("demo", &[&[]]),
    ("completions", &[&[]]),
    ("man", &[&[]]),
];

/// The options of a help text that take a value, and how many arguments without a name there are.
fn taking_values(help: &str) -> (Vec<String>, usize) {
    let options = help.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line
            .split_once(", ")
            .filter(|(short, _)| short.len() == 2)
            .map_or(line, |(_, long)| long);
        let (option, rest) = line.strip_prefix("--")?.split_once(' ')?;
        rest.starts_with('<').then(|| format!("--{option}"))
    });
    let options = options.collect();
    let arguments = help.lines().skip_while(|line| *line != "Arguments:").skip(1);
    let arguments = arguments.take_while(|line| !line.is_empty());
    let named = |line: &&str| line.starts_with("  [") || line.starts_with("  <");
    (options, arguments.filter(named).count())
}

fn commands(env: &TestEnv) -> Vec<String> {
    let help = env.ok(&["--help"]);
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = lines.take_while(|line| !line.is_empty()).filter_map(|line| {
        let name = line.strip_prefix("  ")?.split(' ').next()?;
        (!name.is_empty() && name != "help").then(|| name.to_owned())
    });
    names.collect()
}

/// All command lines with a place for a secret, which is written `SECRET`.
fn places(env: &TestEnv) -> Vec<Vec<String>> {
    let mut places = Vec::new();
    let global = taking_values(&env.ok(&["list", "--help"])).0;
    for command in commands(env) {
        let found = BESIDE.iter().find(|(name, _)| *name == command);
        let (_, ways) = found.unwrap_or_else(|| panic!("`{command}` is new: say in BESIDE what leads it further"));
        let (options, arguments) = taking_values(&env.ok(&[&command, "--help"]));
        let mut add = |words: &[&str]| {
            let words = [&[command.as_str()], words].concat();
            places.push(words.into_iter().map(str::to_owned).collect::<Vec<_>>());
        };
        for way in *ways {
            let own = options
                .iter()
                .filter(|option| command == "list" || !global.contains(option));
            for option in own {
                add(&[&[option.as_str(), "SECRET"][..], way].concat());
                add(&[&[format!("{option}=SECRET").as_str()][..], way].concat());
            }
            // In the place of each argument, behind all of them, and as an option that there is not.
            for position in 0..way.len() {
                let mut words = way.to_vec();
                words[position] = "SECRET";
                add(&words);
            }
            add(&[way, &["SECRET"][..]].concat());
            add(&[way, &["--SECRET"][..]].concat());
        }
        if arguments > 0 {
            add(&["SECRET"]);
        }
    }
    for way in [
        &["SECRET"][..],
        &["call", "a", "GET", "/SECRET"],
        &["call", "a", "GET", "/wallets/SECRET", "-v"],
        &["call", "a", "POST", "/wallets", "--dry-run", "--query", "a=SECRET"],
        &["call", "a", "POST", "/wallets", "--dry-run", "--query", "SECRET=a"],
        &[
            "call",
            "a",
            "POST",
            "/wallets",
            "--dry-run",
            "--data",
            "{\"token\":\"SECRET\"}",
        ],
        &["call", "a", "POST", "/wallets", "--data", "@SECRET"],
        &[
            "proxy",
            "a",
            "--allow",
            "GET SECRET",
            "--listen",
            "unix:/no/such/SECRET",
        ],
        &["exec", "a", "--", "./SECRET"],
        &["verify", "a", "SECRET"],
        &["account", "deactivate", "SECRET", "--as", "ops"],
        &["recipients", "add", "ssh-ed25519 SECRET"],
        &["init", "--vault", "SECRET", "--recipient", "age1"],
        &["list", "--vault", "./SECRET"],
    ] {
        places.push(way.iter().map(|word| (*word).to_owned()).collect());
    }
    places
}

/// Runs a command line with a secret in its place; servers that it would start do not start without what they need.
fn tried(scene: &Scene, place: &[String], secret: &Secret, json: bool) {
    let words: Vec<String> = place
        .iter()
        .map(|word| word.replace("SECRET", &secret.pasted))
        .collect();
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    // What stands behind `--` is the program's.
    let end = words.iter().position(|word| *word == "--").unwrap_or(words.len());
    words.insert(end, "--no-input");
    words.insert(end, if json { "--json" } else { "--verbose" });
    let mut command = scene.env.command(&words);
    let run = Run::of(command.env("DFNS_KEYS_PASSPHRASE_FILE", "/dev/null"));
    secret.is_not_said(&place.join(" "), &run);
}

#[test]
fn no_option_and_no_argument_repeats_a_secret() {
    let scene = Scene::new();
    let places: Vec<Vec<String>> = places(&scene.env)
        .into_iter()
        // A proxy and a sandbox that start never end; what makes them fail is tried.
        .filter(|place| {
            !matches!(place[0].as_str(), "proxy" | "sandbox" | "demo") || place.join(" ").contains("SECRET")
        })
        .collect();
    assert!(places.len() > 150, "{}", places.len());
    let next = Mutex::new(0..places.len());
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                loop {
                    let Some(index) = next.lock().unwrap().next() else {
                        break;
                    };
                    // Each place sees a third of them, and each of them a third of the places, many of which are alike.
                    let some = scene
                        .secrets
                        .iter()
                        .enumerate()
                        .filter(|(number, _)| (number + index) % 3 == 0);
                    // A body holds sums and hashes, which look as the bare number of a key does.
                    let body = places[index].iter().any(|word| word.starts_with("--data"));
                    for (number, secret) in some.filter(|(_, secret)| !body || !secret.name.starts_with("the bare")) {
                        tried(&scene, &places[index], secret, (index + number) % 2 == 0);
                    }
                }
            });
        }
    });
    scene.nothing_is_kept();
}

#[test]
fn no_variable_of_ours_is_repeated_where_it_holds_a_secret() {
    let scene = Scene::new();
    let runs = |variable: &str, secret: &Secret, arguments: &[&str]| {
        let mut command = scene.env.command(arguments);
        let run = Run::of(command.env(variable, &secret.pasted));
        secret.is_not_said(&format!("{variable} for {}", arguments.join(" ")), &run);
    };
    for secret in &scene.secrets {
        for variable in [
            "DFNS_KEYS_VAULT",
            "DFNS_KEYS_IDENTITY",
            "DFNS_KEYS_PASSPHRASE_FILE",
            "USER",
        ] {
            runs(variable, secret, &["list"]);
            runs(variable, secret, &["verify", "a", "--json", "--offline"]);
            runs(variable, secret, &["onboard", "fresh", "--prepare"]);
        }
        runs("DFNS_KEYS_PASSPHRASE_FILE", secret, &["init", "--vault", "other"]);
        for variable in ["HTTPS_PROXY", "ALL_PROXY"] {
            let far = ["verify", "a", "--api-url", "https://api.dfns.io", "--timeout", "1ms"];
            runs(variable, secret, &far);
        }
    }
    scene.nothing_is_kept();
}
