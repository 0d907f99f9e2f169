//! What in the documents is a recipe: fenced blocks, and code within sentences and tables that begins with a program's name.

use std::path::{Path, PathBuf};

/// A word that begins a command line. Whoever writes a recipe for another program adds it here.
const PROGRAMS: &[&str] = &[
    "age",
    "base64",
    "bash",
    "cargo",
    "chmod",
    "chromium",
    "cron",
    "crontab",
    "curl",
    "dfns-keys",
    "docker",
    "gh",
    "jq",
    "kubectl",
    "make",
    "mkdir",
    "newman",
    "node",
    "npm",
    "npx",
    "openssl",
    "pip",
    "podman",
    "printf",
    "python",
    "python3",
    "sh",
    "source",
    "sudo",
    "systemctl",
    "systemd-creds",
    "systemd-run",
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Between two fences, in this language.
    Block(String),
    /// Between backquotes.
    Inline,
}

#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    /// Its path from the project's directory.
    pub(crate) document: String,
    pub(crate) line: usize,
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

impl Recipe {
    /// The command lines of a block of shell, as a person would paste them one by one.
    pub(crate) fn command_lines(&self) -> Vec<String> {
        let joined = self.text.replace("\\\n", " ");
        let lines = joined.lines().map(str::trim);
        lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(str::to_owned)
            .collect()
    }

    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.document, self.line)
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every document that a user reads.
pub(crate) fn documents() -> Vec<PathBuf> {
    fn below(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                below(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                found.push(path);
            }
        }
    }
    let mut found = vec![root().join("README.md")];
    below(&root().join("docs"), &mut found);
    found.sort();
    found
}

/// All recipes of all documents.
pub(crate) fn recipes() -> Vec<Recipe> {
    documents()
        .iter()
        .flat_map(|path| {
            let document = path.strip_prefix(root()).unwrap().to_str().unwrap();
            extract(document, &std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

pub(crate) fn extract(document: &str, text: &str) -> Vec<Recipe> {
    let mut recipes = Vec::new();
    // What stands between fences, blanked out for the search for backquotes.
    let mut prose = String::with_capacity(text.len());
    let mut block: Option<Recipe> = None;
    for (index, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut block, fence) {
            (None, Some(language)) => {
                block = Some(Recipe {
                    document: document.to_owned(),
                    line: index + 1,
                    kind: Kind::Block(language.trim().to_owned()),
                    text: String::new(),
                });
            }
            (Some(_), Some(_)) => recipes.extend(block.take()),
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => prose.push_str(&line.replace("\\|", "|")),
        }
        prose.push('\n');
    }
    assert!(block.is_none(), "{document} has a fence that is never closed");
    let mut at = 0;
    while let Some(open) = prose[at..].find('`') {
        let start = at + open + 1;
        let Some(length) = prose[start..].find('`') else { break };
        let code = &prose[start..start + length];
        at = start + length + 1;
        let code = code.split_whitespace().collect::<Vec<_>>().join(" ");
        // Alone it is no command, but the program that is spoken of.
        let is_a_name = code == "sudo";
        if !is_a_name && code.split(' ').next().is_some_and(|word| PROGRAMS.contains(&word)) {
            recipes.push(Recipe {
                document: document.to_owned(),
                line: prose[..start].matches('\n').count() + 1,
                kind: Kind::Inline,
                text: code,
            });
        }
    }
    recipes
}

/// Whether a line could be pasted into a shell.
pub(crate) fn looks_like_a_command(line: &str) -> bool {
    let word = line.trim_start().trim_start_matches("$ ").split(' ').next();
    word.is_some_and(|word| PROGRAMS.contains(&word)) && line.trim().contains(' ')
}
