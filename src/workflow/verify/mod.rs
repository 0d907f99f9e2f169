//! Verifying an environment before use: every check, every source, one clear verdict.
//!
//! What can be known without the network is said without it. A check whose ground is gone is skipped, not failed.

mod checks;
mod offline;
mod online;
pub mod report;

use futures_util::StreamExt;
use futures_util::stream;
use jiff::Timestamp;

use crate::api::Client;
use crate::model::ids::OrganisationId;
use crate::model::record::PublicRecord;
use crate::model::url::ApiUrl;
use crate::workflow::sources::{Subject, Unreadable};

pub use checks::{CheckId, Explanation};
pub use report::{Check, Report, Status, SubjectReport};

/// How many subjects are asked about at once; the client's rate limit stands above it.
const AT_ONCE: usize = 16;

/// What to hold an environment to.
#[derive(Debug, Clone, Default)]
pub struct Expectations {
    /// Ask here instead of where the source says.
    pub api_url: Option<ApiUrl>,
    /// The organisation the token must belong to.
    pub organisation_id: Option<OrganisationId>,
    /// Warn when the token ends within so many days.
    pub min_days: u32,
    /// Operations that its permissions must grant.
    pub permissions: Vec<String>,
    /// Public records of the vault at hand, which may know that a key was replaced. They are for display, so that they warn
    /// and do no more.
    pub known: Vec<PublicRecord>,
}

/// Runs the checks on all subjects, several at once: those without the network, and with a client all the others.
/// `done` is told of each as it ends; the report keeps the order of the subjects.
pub async fn verify_all(
    subjects: &[Result<Subject, Unreadable>],
    expectations: &Expectations,
    client: Option<&Client>,
    now: Timestamp,
    done: impl Fn(&SubjectReport),
) -> Report {
    let done = &done;
    let reports = stream::iter(subjects)
        .map(|subject| async move {
            let report = verify(subject, expectations, client, now).await;
            done(&report);
            report
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    Report { subjects: reports }
}

async fn verify(
    subject: &Result<Subject, Unreadable>,
    expectations: &Expectations,
    client: Option<&Client>,
    now: Timestamp,
) -> SubjectReport {
    let subject = match subject {
        Ok(subject) => subject,
        Err(unreadable) => return unread(unreadable),
    };
    let mut report = SubjectReport::new(subject.label.clone());
    let ground = offline::check(subject, expectations, now, &mut report);
    match client {
        Some(client) => online::check(&ground, expectations, client, now, &mut report).await,
        None => report.skip_rest("not asked: --offline"),
    }
    report
}

fn unread(unreadable: &Unreadable) -> SubjectReport {
    let mut report = SubjectReport::new(unreadable.label.clone());
    report.push(Check::fail(CheckId::SourceReadable, &unreadable.message).hint(&unreadable.hint));
    report.skip_rest("the source cannot be read");
    report
}
