//! A parameter of AWS Systems Manager, as one JSON object, and never other than encrypted.

use serde::Deserialize;

use super::aws::{ADVICE, PLACE};
use super::{Get, Put, Recipe, is_credential, text};
use crate::deliver::wiped::Wiped;
use crate::deliver::{Contents, Holds};

pub(in crate::deliver) const RECIPE: Recipe = Recipe {
    program: "aws",
    place: PLACE,
    put: &[Put {
        words: &[
            "ssm",
            "put-parameter",
            "--name={rest}",
            "--type=SecureString",
            "--overwrite",
            "--value=file:///dev/stdin",
            "--output=json",
            "--profile={profile}",
            "--region={region}",
        ],
        input: text,
        done: "\"Version\"",
    }],
    get: Some(Get {
        words: &[
            "ssm",
            "get-parameter",
            "--name={rest}",
            "--with-decryption",
            "--query=Parameter",
            "--output=json",
            "--profile={profile}",
            "--region={region}",
        ],
        holds,
        ours: Some(|answer| shown(answer).is_some_and(|found| is_credential(&found.value.0))),
    }),
    missing: &["ParameterNotFound"],
    advice: ADVICE,
};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameter {
    r#type: String,
    value: Wiped,
}

fn shown(answer: &[u8]) -> Option<Parameter> {
    serde_json::from_slice(answer).ok()
}

fn holds(answer: &[u8], contents: &Contents) -> Option<Holds> {
    let found = shown(answer)?;
    let these = found.r#type == "SecureString" && *found.value.0 == contents.text();
    Some(if these { Holds::These } else { Holds::Others })
}
