//! Taking values out of the file, each of its type, and remembering what is wrong.

use std::fmt::Display;
use std::ops::Range;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Lines;
use crate::model::quoted::Quoted;
use crate::workflow::plan::{Position, Problem};

/// A slip is nearly the word that was meant.
const ALIKE: f64 = 0.8;

/// What was meant by a word that is none of those there are.
pub(super) fn meant<'w>(given: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let alike = words
        .into_iter()
        .map(|word| (strsim::jaro_winkler(given, word), word))
        .filter(|(likeness, _)| *likeness >= ALIKE);
    alike.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, word)| word)
}

/// The same as an end of a sentence.
pub(super) fn did_you_mean<'w>(given: &str, words: impl IntoIterator<Item = &'w str>) -> String {
    meant(given, words).map_or_else(String::new, |word| format!("; did you mean `{word}`?"))
}

pub(super) struct Reader<'l> {
    lines: &'l Lines<'l>,
    pub(super) problems: Vec<Problem>,
}

/// A value, and where it stands.
pub(super) type Value<'t> = Spanned<DeValue<'t>>;

impl<'l> Reader<'l> {
    pub(super) fn new(lines: &'l Lines<'l>) -> Self {
        Self {
            lines,
            problems: Vec::new(),
        }
    }

    pub(super) fn position(&self, span: Range<usize>) -> Position {
        self.lines.position(span.start)
    }

    pub(super) fn problem(&mut self, offset: usize, message: impl Into<String>) {
        let at = self.lines.position(offset);
        self.problems.push(Problem {
            at,
            message: message.into(),
        });
    }

    /// The fields of a table that are known, in the order of the file; of each other it is said that it is none.
    pub(super) fn fields<'t>(
        &mut self,
        table: &'t DeTable<'t>,
        known: &[&'static str],
        otherwise: impl Fn(&str) -> Option<String>,
    ) -> Vec<(&'static str, usize, &'t Value<'t>)> {
        let mut fields: Vec<_> = table
            .iter()
            .map(|(key, value)| (key.span().start, key, value))
            .collect();
        fields.sort_by_key(|(at, ..)| *at);
        let mut found = Vec::new();
        for (at, key, value) in fields {
            if let Some(name) = known.iter().find(|name| **name == key.get_ref()) {
                found.push((*name, at, value));
                continue;
            }
            let given = Quoted::of(key.get_ref());
            let message = otherwise(key.get_ref()).unwrap_or_else(|| {
                let meant = did_you_mean(key.get_ref(), known.iter().copied());
                format!("there is no field {given} here{meant}")
            });
            self.problem(at, message);
        }
        found
    }

    fn wrong_type(&mut self, value: &Value<'_>, wanted: &str) {
        let found = match value.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.problem(value.span().start, format!("this is to be {wanted}, not {found}"));
    }

    pub(super) fn table<'t>(&mut self, value: &'t Value<'t>) -> Option<&'t DeTable<'t>> {
        if let DeValue::Table(table) = value.get_ref() {
            return Some(table);
        }
        self.wrong_type(value, "a table");
        None
    }

    pub(super) fn text<'t>(&mut self, value: &'t Value<'t>) -> Option<&'t str> {
        if let DeValue::String(text) = value.get_ref() {
            return Some(text);
        }
        self.wrong_type(value, "a text");
        None
    }

    pub(super) fn list<'t>(&mut self, value: &'t Value<'t>) -> Option<Vec<&'t Value<'t>>> {
        if let DeValue::Array(list) = value.get_ref() {
            return Some(list.iter().collect());
        }
        self.wrong_type(value, "a list");
        None
    }

    pub(super) fn number(&mut self, value: &Value<'_>) -> Option<i64> {
        if let DeValue::Integer(number) = value.get_ref() {
            let number = i64::from_str_radix(&number.as_str().replace('_', ""), number.radix());
            if number.is_err() {
                self.problem(value.span().start, "this number is too large");
            }
            return number.ok();
        }
        self.wrong_type(value, "a number");
        None
    }

    /// A text that is something of ours.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self, value: &Value<'_>) -> Option<T> {
        let text = self.text(value)?;
        match text.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.problem(value.span().start, error.to_string());
                None
            }
        }
    }
}
