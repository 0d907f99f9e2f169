//! A program of somebody else's, `dfns-keys-target-NAME`: one JSON request by stdin, one JSON answer on stdout
//! (docs/plugins.md).

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::said::{refused, repeatable};
use super::wiped::Wiped;
use super::{Contents, Holds, Place, PlaceError};
use crate::model::target::Target;
use crate::sys::child;

/// The version of the protocol.
const VERSION: u64 = 1;

pub(super) struct Plugin<'t> {
    target: &'t Target,
    program: String,
    limit: Duration,
}

#[derive(Serialize)]
struct Request<'a> {
    version: u64,
    verb: &'a str,
    target: TargetForm<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<BTreeMap<&'a str, &'a str>>,
}

#[derive(Serialize)]
struct TargetForm<'a> {
    text: String,
    name: &'a str,
    parameters: BTreeMap<&'a str, &'a str>,
}

#[derive(Deserialize)]
pub(super) struct Answer {
    version: u64,
    #[serde(default)]
    ok: bool,
    #[serde(default)]
    read_back: Option<bool>,
    #[serde(default)]
    place: Option<String>,
    #[serde(default)]
    credential: Option<BTreeMap<String, Wiped>>,
    #[serde(default)]
    error: Option<String>,
}

impl<'t> Plugin<'t> {
    pub(super) fn new(target: &'t Target, limit: Duration) -> Self {
        Self {
            target,
            program: format!("dfns-keys-target-{}", target.rest()),
            limit,
        }
    }

    async fn ask(&self, verb: &str, contents: &Contents, hand_over: bool) -> Result<Answer, PlaceError> {
        let variables = contents.variables.iter().map(|(name, value)| (*name, value.as_str()));
        let request = Request {
            version: VERSION,
            verb,
            target: TargetForm {
                text: self.target.to_string(),
                name: self.target.rest(),
                parameters: self.target.parameters().collect(),
            },
            credential: hand_over.then(|| variables.collect()),
        };
        // More than any credential takes, so that the text never moves and leaves a copy behind.
        let mut input = Zeroizing::new(Vec::with_capacity(128 * 1024));
        serde_json::to_writer(&mut *input, &request).expect("texts serialise into memory");
        input.push(b'\n');
        let ended = child::run(&self.program, &[], &input, self.limit)
            .await
            .map_err(|error| PlaceError::Program {
                program: self.program.clone(),
                error,
            })?;
        if !ended.status.success() {
            let mut refusal = refused(&self.program, &ended, contents);
            let answer = serde_json::from_slice::<Answer>(&ended.stdout);
            if let (Ok(answer), PlaceError::Refused { words, .. }) = (answer, &mut refusal) {
                *words = answer.error.and_then(|error| repeatable(error.as_bytes(), contents));
            }
            return Err(refusal);
        }
        answer_of(&self.program, &ended.stdout)
    }
}

/// What a program printed that ended well.
pub(super) fn answer_of(program: &str, stdout: &[u8]) -> Result<Answer, PlaceError> {
    let rubbish = |what| PlaceError::Rubbish {
        program: program.to_owned(),
        what,
    };
    let answer: Answer =
        serde_json::from_slice(stdout).map_err(|_| rubbish("something that is not the JSON of docs/plugins.md"))?;
    if answer.version != VERSION {
        return Err(rubbish("another version of the protocol than 1"));
    }
    if !answer.ok {
        return Err(rubbish("no error, and does not say that it is ok either"));
    }
    Ok(answer)
}

#[async_trait]
impl Place for Plugin<'_> {
    async fn resolve(&self) -> Result<Option<String>, PlaceError> {
        let nothing = Contents::nothing();
        let answer = self.ask("describe", &nothing, false).await?;
        Ok(answer.place)
    }

    fn shown(&self, found: &str) -> Option<String> {
        repeatable(found.as_bytes(), &Contents::nothing())
    }

    async fn put(&self, contents: &Contents) -> Result<(), PlaceError> {
        self.ask("put", contents, true).await.map(|_| ())
    }

    async fn holds(&self, contents: &Contents) -> Result<Option<Holds>, PlaceError> {
        let answer = self.ask("get", contents, false).await?;
        if answer.read_back == Some(false) {
            return Ok(None);
        }
        let Some(found) = answer.credential else {
            return Ok(Some(Holds::Nothing));
        };
        let same = |(name, value): &(&str, Zeroizing<String>)| found.get(*name).is_some_and(|found| found.0 == *value);
        Ok(Some(if contents.variables.iter().all(same) {
            Holds::These
        } else {
            Holds::Others
        }))
    }
}
