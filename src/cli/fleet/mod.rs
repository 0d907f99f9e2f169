//! The file of a fleet, `dfns-keys.toml`: whatever is wrong with it is told at once, each with its line and column.

mod account;
mod fields;
mod reader;

use std::path::Path;

use serde_json::json;
use toml::de::DeTable;

use self::reader::Reader;
use super::context::Context;
use super::error::{Exit, Failure};
use super::ui::fields as document;
use crate::model::quoted;
use crate::workflow::plan::{Fleet, Position, Problem};

/// The file's usual name.
pub(super) const USUAL: &str = "dfns-keys.toml";
/// Ten thousand accounts and more; what a parser makes of a text takes many times its size.
const LARGEST: usize = 1024 * 1024;
/// More is nobody's reading.
const MOST_ACCOUNTS: usize = 10_000;
/// Of what is wrong, as much as somebody mends at once.
const MOST_TOLD: usize = 50;

/// Reads the file.
pub(super) fn read(context: &Context, path: &Path) -> Result<Fleet, Failure> {
    let bytes = context.input(&path.to_owned().into()).map_err(|failure| {
        let missing = path == Path::new(USUAL) && !path.exists();
        if missing {
            Failure::new(Exit::Usage, "manifest", format!("there is no {USUAL} here"))
                .hint("name the file, or write one: docs/fleet.md begins with an example")
        } else {
            failure
        }
    })?;
    let whole = |message: &str| Failure::new(Exit::Usage, "manifest", format!("{} {message}", quoted::path(path)));
    if bytes.len() > LARGEST {
        return Err(whole("is larger than 1 MiB"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| whole("is not text (UTF-8)"))?;
    parse(text).map_err(|problems| told(path, problems))
}

/// What is wrong with the file, for people and scripts.
pub(super) fn told(path: &Path, mut problems: Vec<Problem>) -> Failure {
    problems.sort();
    problems.dedup();
    let count = problems.len();
    let shown = quoted::path(path);
    let message = match count {
        1 => format!("{shown} has 1 error"),
        _ => format!("{shown} has {count} errors"),
    };
    let mut failure = Failure::new(Exit::Usage, "manifest", message);
    let line = |Problem { at, message }: &Problem| format!("{shown}:{}:{}: {message}", at.line, at.column);
    failure.details = problems.iter().take(MOST_TOLD).map(line).collect();
    if count > MOST_TOLD {
        failure.details.push(format!("and {} more", count - MOST_TOLD));
    }
    let rows: Vec<_> = problems
        .iter()
        .map(|problem| json!({"line": problem.at.line, "column": problem.at.column, "message": problem.message}))
        .collect();
    failure.extra = document(json!({ "problems": rows }));
    failure.hint("docs/fleet.md says what may stand in it; nothing was done")
}

fn parse(text: &str) -> Result<Fleet, Vec<Problem>> {
    let lines = Lines::of(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader::new(&lines);
    for error in errors {
        // A library's words, which may repeat what stands there.
        let reason = quoted::cleared(error.message());
        let what = match &*reason {
            "duplicate key" => "this stands there twice".to_owned(),
            reason => format!("this is not TOML: {reason}"),
        };
        reader.problem(error.span().map_or(0, |span| span.start), what);
    }
    let fleet = account::fleet(&mut reader, table.get_ref());
    if reader.problems.is_empty() {
        Ok(fleet)
    } else {
        Err(reader.problems)
    }
}

/// Where the lines of a text begin.
struct Lines<'t> {
    text: &'t str,
    begins: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Self {
        let begins = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
        Self {
            text,
            begins: begins.collect(),
        }
    }

    fn position(&self, offset: usize) -> Position {
        let line = self.begins.partition_point(|begin| *begin <= offset).max(1);
        let begin = self.begins[line - 1];
        let before = self.text.get(begin..offset).unwrap_or_default();
        Position {
            line,
            column: before.chars().count() + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let mut problems = parse(text).err().unwrap_or_default();
        problems.sort();
        let line = |Problem { at, message }: Problem| format!("{}:{}: {message}", at.line, at.column);
        problems.into_iter().map(line).collect()
    }

    #[test]
    fn an_account_has_what_it_says_and_otherwise_what_the_defaults_say() {
        let fleet = parse(
            "fleet = 'f'\n[defaults]\ndays = 90\npermissions = ['A']\ngrace = 'manual'\n[account.b]\ndays = 9\n\
             [account.a]\nkind = 'pat'\npermissions = []\ndeliver = ['plugin:x', {to = 'file:/a?host=h', then = ['true']}]\n",
        )
        .unwrap();
        let [b, a] = &fleet.accounts[..] else {
            panic!("in the order of the file")
        };
        assert_eq!((b.name.as_str(), b.days, a.days), ("b", Some(9), Some(90)));
        assert_eq!(b.permissions.as_ref().map(Vec::len), Some(1));
        assert_eq!(a.permissions.as_ref().map(Vec::len), Some(0));
        assert_eq!((b.deliver.is_none(), a.deliver.as_ref().unwrap().len()), (true, 2));
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once_with_its_place_and_what_was_meant() {
        let found = problems(
            "flet = 'x'\n[defaults]\ndays = '9'\nrotate_evry = '90d'\n[account.Bad]\n[account.a]\nkind = 'user'\n\
             rotate_every = '3 months'\ndeliver = ['fle:/x', 'plugin:x', 'plugin:x', {to = 'plugin:y', than = []}]\n\
             permissions = ['A', 'A', 3]\nkey = 'pkcs11:x'\n[account.b]\ndeliver = ['plugin:x']\n",
        );
        for (place, words) in [
            ("1:1: ", "did you mean `fleet`?"),
            ("3:8: ", "a number, not a text"),
            ("4:1: ", "did you mean `rotate_every`?"),
            ("5:10: ", "`Bad`"),
            ("7:8: ", "service-account or pat"),
            ("8:16: ", "is not a duration"),
            ("9:12: ", "did you mean `file`?"),
            ("9:34: ", "twice"),
            ("9:64: ", "did you mean `then`?"),
            ("10:21: ", "twice"),
            ("10:26: ", "a text"),
            ("11:1: ", "sealed in the vault"),
            ("13:12: ", "a delivers there"),
        ] {
            let is_it = |line: &&String| line.starts_with(place) && line.contains(words);
            assert!(found.iter().any(|line| is_it(&line)), "{place}{words}: {found:#?}");
        }
        assert_eq!(found.len(), 13, "{found:#?}");
    }

    #[test]
    fn a_secret_that_was_pasted_into_it_is_not_repeated() {
        let secret = "dcvw3Wd8gq0Kx7Zp1Lm5Rt2Yb9Nc4Hf6Js8Ae3Uo7Xi1Qk5";
        for text in [
            format!("{secret} = 1\n"),
            format!("[account.\"{secret}\"]\n"),
            format!("[account.a]\nkind = '{secret}'\n"),
            format!("[account.a]\ndeliver = ['{secret}']\n"),
            format!("[account.a]\nrotate_every = '{secret}'\n"),
            format!("[account.a]\nexternal_id = '-----BEGIN PRIVATE KEY-----{secret}'\n"),
            format!("x = {secret}\n"),
        ] {
            let found = problems(&text);
            assert!(!found.is_empty() && !found.join("\n").contains(secret), "{found:?}");
        }
    }
}
