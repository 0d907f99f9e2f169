//! Recipes: how a program that the user has signed in already puts a secret somewhere, and shows what is there. A recipe is a
//! table; one more is one more small file. The secret goes to the program by its stdin alone, and no argument has any of it.

mod aws;
mod aws_secrets_manager;
mod aws_ssm;
mod github;
pub(super) mod kubernetes;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use zeroize::Zeroizing;

use super::said::refused;
use super::wiped::Field;
use super::{Contents, Holds, Place, PlaceError};
use crate::model::target::Target;
use crate::sys::child::{self, Ended};

pub(super) use aws_secrets_manager::RECIPE as AWS_SECRETS_MANAGER;
pub(super) use aws_ssm::RECIPE as AWS_SSM;
pub(super) use github::{FIELDS as GITHUB_FIELDS, RECIPE as GITHUB};
pub(super) use kubernetes::RECIPE as KUBERNETES;

/// How one program is worked with.
pub(super) struct Recipe {
    program: &'static str,
    /// What it is asked to know where the target leads from here; the answers, one after the other, are the place.
    place: &'static [Question],
    /// How it is told to put a secret: the first of these, and the next where it says that it has nothing to put it into.
    put: &'static [Put],
    /// How it is asked for what is there; `None` where nobody can read it.
    get: Option<Get>,
    /// What it says where there is nothing.
    missing: &'static [&'static str],
    /// What it says when it refuses, and what to do then.
    advice: &'static [(&'static str, &'static str)],
}

/// The words of a command line. `{rest}` in one is what the target says behind its kind, `{head}` and `{tail}` are what
/// stands before and after the first `/` of that, and any other `{name}` is a parameter: a word with one that the target does
/// not have falls away.
type Words = &'static [&'static str];

struct Question {
    words: Words,
    /// The parameter that says it already.
    unless: &'static str,
    /// What of the answer says where it is; `None` where it is no answer.
    answer: fn(&str) -> Option<String>,
}

struct Put {
    words: Words,
    input: fn(&Target, &Contents) -> Zeroizing<Vec<u8>>,
    /// What it says once it is done.
    done: &'static str,
}

struct Get {
    words: Words,
    /// What it shows; `None` where it is no answer.
    holds: fn(&[u8], &Contents) -> Option<Holds>,
    /// Whether what it shows is a credential, which may be replaced; `None` where others' fields stand beside ours.
    ours: Option<fn(&[u8]) -> bool>,
}

/// A place that a recipe leads to.
pub(super) struct Followed<'t> {
    recipe: &'static Recipe,
    target: &'t Target,
    limit: Duration,
}

impl<'t> Followed<'t> {
    pub(super) fn new(recipe: &'static Recipe, target: &'t Target, limit: Duration) -> Self {
        Self { recipe, target, limit }
    }

    async fn run(&self, words: Words, input: &[u8]) -> Result<Ended, PlaceError> {
        child::run(self.recipe.program, &filled(words, self.target), input, self.limit)
            .await
            .map_err(|error| PlaceError::Program {
                program: self.recipe.program.to_owned(),
                error,
            })
    }

    fn rubbish(&self, what: &'static str) -> PlaceError {
        PlaceError::Rubbish {
            program: self.recipe.program.to_owned(),
            what,
        }
    }

    /// The refusal, with what to do about it.
    fn refusal(&self, ended: &Ended, contents: &Contents) -> PlaceError {
        let mut refusal = refused(self.recipe.program, ended, contents);
        if let PlaceError::Refused { advice, .. } = &mut refusal {
            let known = self.recipe.advice.iter().find(|(words, _)| says(ended, words));
            *advice = known.map(|(_, advice)| *advice);
        }
        refusal
    }

    fn is_missing(&self, ended: &Ended) -> bool {
        !ended.status.success() && self.recipe.missing.iter().any(|words| says(ended, words))
    }

    async fn ask(&self, question: &Question) -> Result<Option<String>, PlaceError> {
        if self.target.parameter(question.unless).is_some() {
            return Ok(None);
        }
        let ended = self.run(question.words, b"").await?;
        if !ended.status.success() {
            return Err(self.refusal(&ended, &Contents::nothing()));
        }
        let text = std::str::from_utf8(&ended.stdout).ok().map(str::trim);
        let answer = text.and_then(question.answer);
        answer
            .map(Some)
            .ok_or_else(|| self.rubbish("something that does not say which place it is"))
    }

    /// What the program shows of the place; nothing where nothing is there.
    async fn shown(&self, get: &Get, contents: &Contents) -> Result<Option<Ended>, PlaceError> {
        let ended = self.run(get.words, b"").await?;
        if self.is_missing(&ended) {
            return Ok(None);
        }
        if !ended.status.success() {
            return Err(self.refusal(&ended, contents));
        }
        Ok(Some(ended).filter(|ended| !ended.stdout.trim_ascii().is_empty()))
    }

    /// Sees that nothing of somebody else's stands in the way, where that can be seen.
    async fn make_way(&self, contents: &Contents) -> Result<(), PlaceError> {
        let get = self.recipe.get.as_ref();
        let Some((get, ours)) = get.and_then(|get| Some((get, get.ours?))) else {
            return Ok(());
        };
        match self.shown(get, contents).await {
            Ok(Some(ended)) if !ours(&ended.stdout) => Err(PlaceError::Foreign),
            // Who may put need not be one who may read; and a program that cannot do either says so again.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

#[async_trait]
impl Place for Followed<'_> {
    async fn resolve(&self) -> Result<Option<String>, PlaceError> {
        let answers = try_join_all(self.recipe.place.iter().map(|question| self.ask(question))).await?;
        Ok(Some(answers.into_iter().flatten().collect::<Vec<_>>().join(", ")))
    }

    async fn put(&self, contents: &Contents) -> Result<(), PlaceError> {
        self.make_way(contents).await?;
        let mut puts = self.recipe.put.iter().peekable();
        while let Some(put) = puts.next() {
            let ended = self.run(put.words, &(put.input)(self.target, contents)).await?;
            if ended.status.success() {
                let done = says(&ended, put.done);
                return if done {
                    Ok(())
                } else {
                    Err(self.rubbish("something else than that it is done"))
                };
            }
            if puts.peek().is_none() || !self.is_missing(&ended) {
                return Err(self.refusal(&ended, contents));
            }
        }
        Ok(())
    }

    async fn holds(&self, contents: &Contents) -> Result<Option<Holds>, PlaceError> {
        let Some(get) = &self.recipe.get else { return Ok(None) };
        let Some(ended) = self.shown(get, contents).await? else {
            return Ok(Some(Holds::Nothing));
        };
        (get.holds)(&ended.stdout, contents)
            .map(Some)
            .ok_or_else(|| self.rubbish("something else than what is there"))
    }
}

fn says(ended: &Ended, words: &str) -> bool {
    let said = [&ended.stderr, &ended.stdout];
    said.iter()
        .any(|said| words.is_empty() || said.windows(words.len()).any(|window| window == words.as_bytes()))
}

/// The command line for this target.
fn filled(words: Words, target: &Target) -> Vec<String> {
    words.iter().filter_map(|word| fill(word, target)).collect()
}

fn fill(word: &str, target: &Target) -> Option<String> {
    let Some((before, name)) = word.split_once('{') else {
        return Some(word.to_owned());
    };
    let Some((name, after)) = name
        .split_once('}')
        .filter(|(name, _)| name.bytes().all(|b| b.is_ascii_lowercase()))
    else {
        return Some(word.to_owned());
    };
    let value = match name {
        "rest" => target.rest(),
        "head" => target.rest().split_once('/')?.0,
        "tail" => target.rest().split_once('/')?.1,
        name => target.parameter(name)?,
    };
    Some(format!("{before}{value}{after}"))
}

/// The text as it is to be put.
fn text(_: &Target, contents: &Contents) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(contents.text().as_bytes().to_vec())
}

/// Whether a text is one JSON object with variables of ours and nothing else.
fn is_credential(text: &str) -> bool {
    let variables = serde_json::from_str::<BTreeMap<String, Field>>(text);
    variables.is_ok_and(|variables| variables.keys().all(|name| name.starts_with("DFNS_")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        text.parse().unwrap()
    }

    #[test]
    fn a_word_is_filled_in_and_falls_away_with_a_parameter_that_is_not_there() {
        let words: Words = &["get", "secret", "{tail}", "--namespace={head}", "--context={context}"];
        let plain = filled(words, &target("kubernetes:payments/dfns"));
        assert_eq!(plain, ["get", "secret", "dfns", "--namespace=payments"]);
        let named = filled(words, &target("kubernetes:payments/dfns?context=prod"));
        assert_eq!(named[4], "--context=prod");
    }

    #[test]
    fn what_has_other_things_in_it_is_no_credential() {
        assert!(is_credential("{\"DFNS_API_URL\":\"x\",\"DFNS_PRIVATE_KEY\":\"y\"}\n"));
        for text in ["{\"DFNS_API_URL\":\"x\",\"password\":\"y\"}", "[]", "hunter2", "\"\""] {
            assert!(!is_credential(text), "{text}");
        }
    }
}
