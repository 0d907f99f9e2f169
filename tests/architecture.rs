//! The arrows between modules run one way, and secrets have no doors.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests set up and look at files as a user would, outside the program"
)]

use std::path::{Path, PathBuf};

/// What each module may name with `crate::`.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &["model"]),
    ("sys", &["sys", "model"]),
    ("remote", &["remote", "model", "sys"]),
    ("keys", &["keys", "remote", "model", "sys"]),
    ("api", &["api", "model", "sys"]),
    ("vault", &["vault", "model", "sys"]),
    ("export", &["export", "model"]),
    ("deliver", &["deliver", "remote", "model", "sys"]),
    (
        "workflow",
        &["workflow", "api", "keys", "vault", "export", "deliver", "model", "sys"],
    ),
    ("loopback", &["loopback"]),
    ("sandbox", &["sandbox", "loopback", "model"]),
    ("proxy", &["proxy", "loopback", "api", "keys", "vault", "model", "sys"]),
    ("sdk", &["sdk", "keys", "vault", "model", "sys"]),
    (
        "cli",
        &[
            "cli", "workflow", "api", "keys", "vault", "export", "deliver", "model", "sys", "sandbox", "proxy",
            "remote",
        ],
    ),
];

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The code of a file without its tests, which stand at its foot.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    match text.find("#[cfg(test)]\nmod tests") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// A path may be a token that was pasted where a file belongs.
#[test]
fn paths_are_shown_by_the_one_that_knows_what_a_secret_looks_like() {
    // The address of a socket is data, which its clients need whole.
    let exceptions = ["model/quoted/mod.rs", "proxy/listener.rs"];
    for path in sources(&root()) {
        if !exceptions.iter().any(|exception| path.ends_with(exception)) {
            for (number, line) in code(&path).lines().enumerate() {
                assert!(
                    !line.contains(".display()"),
                    "{}:{}: use model::quoted::path",
                    path.display(),
                    number + 1
                );
            }
        }
    }
}

/// Each row of the threat model names the tests that show what it says, and they are there.
#[test]
fn the_threat_model_names_tests_that_exist() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tests = Vec::new();
    for path in [sources(&root()), sources(&project.join("tests"))].concat() {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            if line == "#[test]" || line == "#[tokio::test]" {
                is_test = true;
            } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test) {
                tests.push(rest.split('(').next().unwrap().to_owned());
                is_test = false;
            }
        }
    }
    let text = std::fs::read_to_string(project.join("docs/threat-model.md")).unwrap();
    let rows = text
        .lines()
        .filter(|line| line.starts_with('|') && !line.starts_with("| ---"));
    let mut shown = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [_, _, by] = cells[..] else {
            panic!("three cells: {row}")
        };
        if by == "shown by" {
            continue;
        }
        let names: Vec<&str> = by.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "nothing shows: {row}");
        for name in names {
            assert!(
                tests.iter().any(|test| test == name),
                "there is no test `{name}`: {row}"
            );
        }
        shown += 1;
    }
    assert!(shown > 40, "{shown}");
}

#[test]
fn modules_name_only_what_lies_below_them() {
    let mut named = 0;
    for (module, allowed) in ARROWS {
        for path in sources(&root().join(module)) {
            for (number, line) in code(&path).lines().enumerate() {
                for part in line.split("crate::").skip(1) {
                    let target: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    named += 1;
                    assert!(
                        allowed.contains(&target.as_str()),
                        "{}:{}: {module} names {target}",
                        path.display(),
                        number + 1
                    );
                }
            }
        }
    }
    assert!(named > 100, "the test reads the sources: {named}");
    let modules: Vec<String> = std::fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    for module in modules {
        assert!(
            ARROWS.iter().any(|(known, _)| *known == module),
            "{module} has no arrows"
        );
    }
}

/// The files that a file names by `crate::`, `super::`, or as a module of its own, wherever it does. A name that stands for no
/// file is one of something that its parent's `mod.rs` has.
fn imports(path: &Path, text: &str) -> Vec<PathBuf> {
    let directory = path.parent().unwrap();
    // Where the modules of this file's own stand.
    let below = match path.file_name().unwrap().to_str().unwrap() {
        "mod.rs" | "lib.rs" => directory.to_path_buf(),
        _ => path.with_extension(""),
    };
    let parent = below.parent().unwrap();
    let mut found = Vec::new();
    for (start, from) in [
        ("crate::", root()),
        ("super::super::", parent.parent().unwrap().to_path_buf()),
        ("super::", parent.to_path_buf()),
    ] {
        for (position, _) in text.match_indices(start) {
            let before = text[..position].chars().next_back();
            // A longer way that ends like this one, as a macro's `$crate::` or the second half of `super::super::`.
            if before.is_some_and(|c| c == ':' || c == '$' || c.is_alphanumeric())
                || text[position + start.len()..].starts_with("super::")
            {
                continue;
            }
            for name in paths(&text[position + start.len()..]) {
                found.extend(file_of(&from, &name));
            }
        }
    }
    found.sort();
    found.dedup();
    found.retain(|file| file != path);
    found
}

/// The paths of a use tree (`a::{b, c::D}`) or of an expression (`a::b(…)`), one after the other.
fn paths(text: &str) -> Vec<Vec<String>> {
    let end = text
        .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
        .unwrap_or(text.len());
    let start: Vec<String> = text[..end]
        .split("::")
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    if !text[end..].starts_with('{') || !text[..end].ends_with("::") && !start.is_empty() {
        return vec![start];
    }
    let mut depth = 0;
    let mut parts = vec![String::new()];
    for c in text[end..].chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        match c {
            '{' if depth == 1 => {}
            ',' if depth == 1 => parts.push(String::new()),
            _ if depth == 0 => break,
            _ => parts.last_mut().unwrap().push(c),
        }
    }
    let inner = parts.iter().flat_map(|part| paths(part.trim()));
    inner.map(|part| [start.clone(), part].concat()).collect()
}

/// The file that holds what a path names.
fn file_of(from: &Path, name: &[String]) -> Option<PathBuf> {
    let mut directory = from.to_path_buf();
    let mut file = directory.join("mod.rs");
    for part in name {
        if directory.join(part).with_extension("rs").exists() {
            return Some(directory.join(part).with_extension("rs"));
        }
        if !directory.join(part).join("mod.rs").exists() {
            break;
        }
        directory.push(part);
        file = directory.join("mod.rs");
    }
    file.exists().then_some(file)
}

/// A `mod.rs` may name what lies below it and be named by it; otherwise no way leads from a file back to it.
#[test]
fn no_file_imports_one_that_imports_it() {
    let files = sources(&root());
    let graph: Vec<(PathBuf, Vec<PathBuf>)> = files
        .iter()
        .filter(|path| !path.ends_with("src/lib.rs") && !path.ends_with("src/main.rs"))
        .map(|path| {
            let is_parent = |file: &Path| {
                file.file_name().is_some_and(|name| name == "mod.rs") && path.starts_with(file.parent().unwrap())
            };
            let named = imports(path, &code(path));
            (
                path.clone(),
                named.into_iter().filter(|file| !is_parent(file)).collect(),
            )
        })
        .collect();
    let arrows: usize = graph.iter().map(|(_, named)| named.len()).sum();
    assert!(arrows > 500, "the test reads the sources: {arrows}");
    // Files that nothing else imports are taken away until none is left, or a circle.
    let mut left: Vec<&(PathBuf, Vec<PathBuf>)> = graph.iter().collect();
    loop {
        let before = left.len();
        let names: Vec<&PathBuf> = left.iter().map(|(path, _)| path).collect();
        left.retain(|(_, named)| named.iter().any(|file| names.contains(&file)));
        if left.len() == before {
            break;
        }
    }
    let circle: Vec<String> = left
        .iter()
        .map(|(path, named)| {
            let named = named.iter().filter(|file| left.iter().any(|(path, _)| path == *file));
            let named: Vec<_> = named
                .map(|file| file.strip_prefix(root()).unwrap().display().to_string())
                .collect();
            format!(
                "{} imports {}",
                path.strip_prefix(root()).unwrap().display(),
                named.join(", ")
            )
        })
        .collect();
    assert!(
        circle.is_empty(),
        "a circle, or what leads to one:\n{}",
        circle.join("\n")
    );
}

#[test]
fn the_library_below_cli_reads_no_environment_and_prints_nothing() {
    for (module, _) in ARROWS.iter().filter(|(module, _)| *module != "cli") {
        for path in sources(&root().join(module)) {
            let code = code(&path);
            for word in [
                "std::env::var",
                "env::var_os",
                "println!",
                "eprintln!",
                "io::stdout()",
                "io::stderr()",
            ] {
                assert!(!code.contains(word), "{} has {word}", path.display());
            }
        }
    }
}

#[test]
fn types_that_hold_secrets_cannot_be_printed_or_serialised() {
    const HOLDERS: &[&str] = &[
        "PrivateKeyPem",
        "AuthToken",
        "KeyPair",
        "PendingGeneration",
        "ActiveGeneration",
        "Credential<G>",
        "SignedAction",
        "Variable",
        "Subject",
        "Exportable",
        "KeySigner",
        "LocalToken",
        "Found",
        "ForeignKey",
        "Live",
        "ServiceCredential",
        "AwsAccess",
        "AwsKms",
        "KeyPlaces",
        "Pkcs11",
        "VaultAccess",
    ];
    let mut seen = 0;
    for path in sources(&root()) {
        let text = code(&path);
        for holder in HOLDERS {
            for keyword in ["pub struct", "pub(super) struct"] {
                let needle = format!("{keyword} {holder}");
                let Some(position) = text.find(&needle) else { continue };
                if text[position + needle.len()..].starts_with(|c: char| c.is_alphanumeric()) {
                    continue;
                }
                // The attributes stand between the end of the item before and this one.
                let before = &text[..position];
                let attributes = &before[before.rfind("\n\n").map_or(0, |start| start)..];
                for door in ["Debug", "Serialize", "Deserialize"] {
                    assert!(
                        !attributes.contains(door),
                        "{}: {holder} derives {door}",
                        path.display()
                    );
                }
                for door in ["fmt::Debug for", "fmt::Display for", "Serialize for"] {
                    assert!(
                        !text.contains(&format!("{door} {holder}")),
                        "{holder} implements {door}"
                    );
                }
                seen += 1;
            }
        }
    }
    assert!(seen >= HOLDERS.len(), "every holder was found: {seen}");
}
