//! A secret for GitHub Actions: the credential as one JSON object, `DFNS_CREDENTIAL`, for single ones would for a moment be a
//! mixed pair. GitHub shows it to nobody again.

use super::{Put, Question, Recipe, text};

pub(in crate::deliver) const RECIPE: Recipe = Recipe {
    program: "gh",
    place: &[Question {
        words: &["api", "repos/{rest}", "--jq=[.html_url, .id] | @tsv"],
        unless: "",
        answer: place,
    }],
    put: &[Put {
        words: &[
            "secret",
            "set",
            "DFNS_CREDENTIAL",
            "--repo={rest}",
            "--env={environment}",
        ],
        input: text,
        done: "",
    }],
    get: None,
    missing: &[],
    advice: &[
        ("gh auth login", "sign in: `gh auth login`"),
        ("Bad credentials", "sign in again: `gh auth login`"),
        ("HTTP 401", "sign in again: `gh auth login`"),
        ("HTTP 403", "who is signed in may not write secrets there"),
        (
            "HTTP 404",
            "is the repository, and the environment, there? Who is signed in is to see them",
        ),
        ("error connecting", "GitHub cannot be reached from here"),
    ],
};

/// Each variable as a secret of its own, for who asks for that.
pub(in crate::deliver) const FIELDS: Recipe = Recipe {
    put: &[Put {
        words: &["secret", "set", "--env-file=-", "--repo={rest}", "--env={environment}"],
        input: text,
        done: "",
    }],
    ..RECIPE
};

/// A repository's address, and its number: what was renamed can leave its name to others.
fn place(answer: &str) -> Option<String> {
    let (address, number) = answer.split_once('\t')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "/.:_-".contains(c);
    let known = address.starts_with("https://") && address.chars().all(plain);
    let counted = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (known && counted).then(|| format!("{address}, repository {number}"))
}
