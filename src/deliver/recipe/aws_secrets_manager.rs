//! A secret of AWS Secrets Manager, as one JSON object. `aws` gives each attempt a request token of its own and repeats the
//! attempt with it. (A token made from the contents would have a rollback ignored, since that version was there before.)

use super::aws::{ADVICE, PLACE};
use super::{Get, Put, Recipe, is_credential, text};
use crate::deliver::wiped::Field;
use crate::deliver::{Contents, Holds};

pub(in crate::deliver) const RECIPE: Recipe = Recipe {
    program: "aws",
    place: PLACE,
    put: &[
        Put {
            words: &[
                "secretsmanager",
                "put-secret-value",
                "--secret-id={rest}",
                "--secret-string=file:///dev/stdin",
                "--output=json",
                "--profile={profile}",
                "--region={region}",
            ],
            input: text,
            done: "\"VersionId\"",
        },
        Put {
            words: &[
                "secretsmanager",
                "create-secret",
                "--name={rest}",
                "--secret-string=file:///dev/stdin",
                "--output=json",
                "--profile={profile}",
                "--region={region}",
            ],
            input: text,
            done: "\"VersionId\"",
        },
    ],
    get: Some(Get {
        words: &[
            "secretsmanager",
            "get-secret-value",
            "--secret-id={rest}",
            "--query=SecretString",
            "--output=json",
            "--profile={profile}",
            "--region={region}",
        ],
        holds,
        ours: Some(ours),
    }),
    missing: &["ResourceNotFoundException"],
    advice: ADVICE,
};

/// A text; `null` where it is bytes.
fn shown(shown: &[u8]) -> Option<Field> {
    serde_json::from_slice(shown).ok()
}

fn holds(answer: &[u8], contents: &Contents) -> Option<Holds> {
    let found = shown(answer)?.0;
    let these = found.is_some_and(|found| *found == contents.text());
    Some(if these { Holds::These } else { Holds::Others })
}

fn ours(answer: &[u8]) -> bool {
    let found = shown(answer).and_then(|found| found.0);
    found.is_some_and(|found| is_credential(&found))
}
