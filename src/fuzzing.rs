//! What `tests/fuzz` drives: one function for each parser that meets bytes of others', behind the feature `fuzzing`, which no build that
//! is handed out has.

use std::fmt::Display;

use futures_util::FutureExt;
use jiff::Timestamp;

use crate::model::duration::Span;
use crate::model::ids::{CredentialName, ExternalId, IdentityId, OrganisationId, PermissionId, Username};
use crate::model::key_uri::KeyUri;
use crate::model::target::Target;
use crate::model::token::AuthToken;
use crate::model::url::{ApiUrl, Origin};
use crate::workflow::sources::{Subject, Unreadable};
use crate::workflow::verify::{Expectations, verify_all};
use crate::{api, deliver, keys, proxy, vault, workflow};

/// A parser under test.
pub struct Parser {
    /// What it is called on the command line, and its folder of seeds.
    pub name: &'static str,
    /// Reads the bytes; what comes back is what a user would be told, a line a refusal.
    pub read: fn(&[u8]) -> Vec<String>,
}

/// Every parser that meets bytes of others'.
pub const PARSERS: &[Parser] = &[
    Parser {
        name: "keys",
        read: keys_and_diagnosis,
    },
    Parser {
        name: "pasted-keys",
        read: pasted_keys,
    },
    Parser {
        name: "tokens",
        read: tokens,
    },
    Parser {
        name: "texts",
        read: texts,
    },
    Parser {
        name: "key-uris",
        read: |bytes| in_text(bytes, |text| refusal(text.parse::<KeyUri>()).into_iter().collect()),
    },
    Parser {
        name: "dotenv",
        read: |bytes| in_text(bytes, |text| checked(workflow::sources::fuzzing::dotenv(text))),
    },
    Parser {
        name: "postman",
        read: |bytes| in_text(bytes, |text| checked(workflow::sources::fuzzing::postman(text))),
    },
    Parser {
        name: "api-answers",
        read: api::fuzzing::answers,
    },
    Parser {
        name: "plugin-answers",
        read: deliver::fuzzing::plugin_answer,
    },
    Parser {
        name: "documents",
        read: vault::fuzzing::document,
    },
    Parser {
        name: "sealed-documents",
        read: vault::fuzzing::sealed_document,
    },
    Parser {
        name: "recipients",
        read: vault::fuzzing::recipients,
    },
    Parser {
        name: "log-lines",
        read: vault::fuzzing::log_line,
    },
    Parser {
        name: "proxy-requests",
        read: proxy::fuzzing::request,
    },
    #[cfg(feature = "cli")]
    Parser {
        name: "manifests",
        read: |bytes| in_text(bytes, crate::cli::fuzzing::manifests),
    },
    #[cfg(feature = "cli")]
    Parser {
        name: "settings",
        read: |bytes| in_text(bytes, crate::cli::fuzzing::settings),
    },
];

/// What a refusal says with all of its causes, as it is printed.
fn refusal<T, E: Display>(read: Result<T, E>) -> Option<String> {
    read.err().map(|error| error.to_string())
}

fn in_text(bytes: &[u8], read: fn(&str) -> Vec<String>) -> Vec<String> {
    std::str::from_utf8(bytes).map(read).unwrap_or_default()
}

fn keys_and_diagnosis(bytes: &[u8]) -> Vec<String> {
    let read = [
        refusal(keys::pem::read_private_key(bytes, None)),
        refusal(keys::pem::read_any_private_key(bytes, None)),
        refusal(keys::pem::public_fingerprint(bytes)),
    ];
    read.into_iter().flatten().collect()
}

fn pasted_keys(bytes: &[u8]) -> Vec<String> {
    in_text(bytes, |text| {
        refusal(keys::mend::read_mending(text)).into_iter().collect()
    })
}

fn tokens(bytes: &[u8]) -> Vec<String> {
    in_text(bytes, |text| {
        [refusal(AuthToken::parse(text)), refusal(AuthToken::parse_exactly(text))]
            .into_iter()
            .flatten()
            .collect()
    })
}

/// Whatever is one word on a command line, taken for each of them.
fn texts(bytes: &[u8]) -> Vec<String> {
    fn parsed<T: std::str::FromStr<Err: Display>>(text: &str) -> Option<String> {
        refusal(text.parse::<T>())
    }
    in_text(bytes, |text| {
        [
            parsed::<ApiUrl>(text),
            parsed::<Origin>(text),
            parsed::<Target>(text),
            parsed::<Span>(text),
            parsed::<CredentialName>(text),
            parsed::<OrganisationId>(text),
            parsed::<IdentityId>(text),
            parsed::<PermissionId>(text),
            parsed::<ExternalId>(text),
            parsed::<Username>(text),
            parsed::<proxy::Permit>(text),
            parsed::<vault::RecipientText>(text),
        ]
        .into_iter()
        .flatten()
        .collect()
    })
}

/// What the checks without the network say of a source.
fn checked(source: Result<Subject, Unreadable>) -> Vec<String> {
    let expectations = Expectations::default();
    let report = verify_all(&[source], &expectations, None, Timestamp::UNIX_EPOCH, |_| ())
        .now_or_never()
        .expect("nothing is waited for without the network");
    let checks = report.subjects.iter().flat_map(|subject| &subject.checks);
    checks
        .flat_map(|check| [Some(check.message.clone()), check.hint.clone()])
        .flatten()
        .collect()
}
