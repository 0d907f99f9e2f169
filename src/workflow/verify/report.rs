//! The report: for each subject every check, with a status, one sentence, and a hint.

use std::time::Duration;

use serde::Serialize;

use super::checks::CheckId;
use crate::model::quoted::without_secrets;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Pass,
    /// It works, but somebody should look at it.
    Warn,
    /// It does not work.
    Fail,
    /// There was no ground to stand on, or nothing to check.
    Skip,
}

/// Whom a failure is blamed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The environment that is verified.
    Environment,
    /// Dfns or the way to it: trying again later may help.
    Network,
}

/// One check of one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Which.
    pub id: CheckId,
    /// How it ended.
    pub status: Status,
    /// One sentence.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// How long it took, in milliseconds. What follows from another check's answer took none.
    pub ms: u64,
    /// Who is to blame for a failure.
    #[serde(skip)]
    pub blame: Blame,
}

impl Check {
    fn new(id: CheckId, status: Status, message: impl Into<String>) -> Self {
        Self {
            id,
            status,
            message: without_secrets(&message.into()),
            hint: None,
            ms: 0,
            blame: Blame::Environment,
        }
    }

    /// As it should be.
    pub fn pass(id: CheckId, message: impl Into<String>) -> Self {
        Self::new(id, Status::Pass, message)
    }

    /// Somebody should look at it.
    pub fn warn(id: CheckId, message: impl Into<String>) -> Self {
        Self::new(id, Status::Warn, message)
    }

    /// It does not work.
    pub fn fail(id: CheckId, message: impl Into<String>) -> Self {
        Self::new(id, Status::Fail, message)
    }

    /// Nothing to check, or no ground to check it on.
    pub fn skip(id: CheckId, message: impl Into<String>) -> Self {
        Self::new(id, Status::Skip, message)
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(without_secrets(&hint.into()));
        self
    }

    /// With how long it took.
    #[must_use]
    pub fn took(mut self, elapsed: Duration) -> Self {
        self.ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// With Dfns or the network to blame.
    #[must_use]
    pub fn blame_network(mut self) -> Self {
        self.blame = Blame::Network;
        self
    }
}

/// All checks of one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SubjectReport {
    /// What was verified: a credential's name or a file's.
    pub subject: String,
    /// Whether no check failed.
    pub ok: bool,
    /// The checks, in their fixed order.
    pub checks: Vec<Check>,
}

impl SubjectReport {
    /// Whether this one is safe to use.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        verdict_of(self.checks.iter())
    }

    pub(super) fn new(subject: String) -> Self {
        Self {
            subject,
            ok: true,
            checks: Vec::new(),
        }
    }

    /// Each check is told once, in the order of the table.
    pub(super) fn push(&mut self, check: Check) {
        debug_assert_eq!(
            check.id as usize,
            self.checks.len(),
            "{:?} is out of its order",
            check.id
        );
        self.ok &= check.status != Status::Fail;
        self.checks.push(check);
    }

    /// Skips what comes before a check and was not told yet.
    pub(super) fn skip_to(&mut self, next: CheckId, reason: &str) {
        for id in &CheckId::ALL[self.checks.len()..next as usize] {
            self.push(Check::skip(*id, reason));
        }
    }

    /// Skips what was not told yet.
    pub(super) fn skip_rest(&mut self, reason: &str) {
        for id in &CheckId::ALL[self.checks.len()..] {
            self.push(Check::skip(*id, reason));
        }
    }

    /// The check of this identifier.
    #[must_use]
    pub fn check(&self, id: CheckId) -> Option<&Check> {
        self.checks.iter().find(|check| check.id == id)
    }
}

/// What the exit code says of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No check failed.
    Safe,
    /// Something about an environment is wrong.
    Refused,
    /// Nothing is known to be wrong, but Dfns could not be asked.
    Unreachable,
}

/// The reports of all subjects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// One a subject.
    pub subjects: Vec<SubjectReport>,
}

impl Report {
    /// Makes warnings failures.
    pub fn make_strict(&mut self) {
        for subject in &mut self.subjects {
            for check in &mut subject.checks {
                if check.status == Status::Warn {
                    check.status = Status::Fail;
                    subject.ok = false;
                }
            }
        }
    }

    /// How many checks ended so.
    #[must_use]
    pub fn count(&self, status: Status) -> usize {
        self.checks().filter(|check| check.status == status).count()
    }

    /// Whether the environment is safe to use.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        verdict_of(self.checks())
    }

    fn checks(&self) -> impl Iterator<Item = &Check> {
        self.subjects.iter().flat_map(|subject| &subject.checks)
    }
}
fn verdict_of<'c>(checks: impl Iterator<Item = &'c Check>) -> Verdict {
    let mut failures = checks.filter(|check| check.status == Status::Fail).peekable();
    if failures.peek().is_none() {
        Verdict::Safe
    } else if failures.all(|check| check.blame == Blame::Network) {
        Verdict::Unreachable
    } else {
        Verdict::Refused
    }
}
