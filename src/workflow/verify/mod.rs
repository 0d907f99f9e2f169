//! Verifying an environment before use: every check, and one clear verdict.
//!
//! What can be known without the network is said without it. A check whose ground is gone is skipped, not failed.

mod offline;
mod online;
pub mod report;
pub mod subject;

use jiff::Timestamp;

use crate::api::Client;
use crate::model::ids::OrganisationId;
use crate::model::url::ApiUrl;

pub use report::{Check, CheckId, Report, Status, SubjectReport};
pub use subject::Subject;

/// What to hold an environment to.
#[derive(Debug, Clone)]
pub struct Expectations {
    /// Ask here instead of where the source says.
    pub api_url: Option<ApiUrl>,
    /// The organisation the token must belong to.
    pub organisation_id: Option<OrganisationId>,
    /// Warn when the token ends within so many days.
    pub min_days: u32,
}

/// Runs the checks on one subject: those without the network, and with a client all the others.
pub async fn verify(
    subject: &Subject,
    expectations: &Expectations,
    client: Option<&Client>,
    now: Timestamp,
) -> SubjectReport {
    let mut report = SubjectReport::new(subject.label.clone());
    let ground = offline::check(subject, expectations, now, &mut report);
    match client {
        Some(client) => online::check(subject, ground, client, now, &mut report).await,
        None => online::skip_all(&mut report, "not asked: --offline"),
    }
    report
}
