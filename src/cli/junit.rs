//! A report as JUnit XML, which pipelines show check by check.

use quick_junit::{NonSuccessKind, Report as JunitReport, TestCase, TestCaseStatus, TestSuite};

use super::error::{Exit, Failure};
use crate::workflow::verify::{Check, Report, Status};

pub(super) fn render(report: &Report) -> Result<String, Failure> {
    let mut document = JunitReport::new("dfns-keys verify");
    for subject in &report.subjects {
        let mut suite = TestSuite::new(&subject.subject);
        suite.add_test_cases(subject.checks.iter().map(case));
        document.add_test_suite(suite);
    }
    document
        .to_string()
        .map_err(|error| Failure::new(Exit::Other, "output", format!("cannot write the JUnit report: {error}")))
}

fn case(check: &Check) -> TestCase {
    let text = match &check.hint {
        Some(hint) => format!("{}\n{hint}", check.message),
        None => check.message.clone(),
    };
    let status = match check.status {
        Status::Pass | Status::Warn => TestCaseStatus::success(),
        Status::Skip => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(text.as_str());
            status
        }
        Status::Fail => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(text.as_str());
            status
        }
    };
    let mut case = TestCase::new(check.id.as_str(), status);
    case.set_time(std::time::Duration::from_millis(check.ms));
    if check.status == Status::Warn {
        case.set_system_out(format!("warning: {text}"));
    }
    case
}
