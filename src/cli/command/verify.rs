use clap::Args;
use serde_json::Value;

use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::ui::{Tone, wrapped};
use crate::model::credential::AnyCredential;
use crate::model::ids::{CredentialName, OrganisationId};
use crate::model::url::ApiUrl;
use crate::workflow::verify::report::Verdict;
use crate::workflow::verify::{Check, Expectations, Report, Status, Subject, verify};

/// Verify credentials before use
///
/// Checks what can be known offline, then proves token and key together by a signed test call, which changes nothing.
/// Exit code 0: safe to use; 5: something is wrong with a credential; 6: Dfns could not be asked.
#[derive(Args)]
pub(in crate::cli) struct VerifyArgs {
    /// The credentials
    #[arg(required_unless_present = "all")]
    names: Vec<CredentialName>,
    /// All active credentials of the vault
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Ask here instead of where the credential says
    #[arg(long, value_name = "URL")]
    api_url: Option<ApiUrl>,
    /// The organisation that the token must belong to
    #[arg(long, value_name = "ID")]
    org_id: Option<String>,
    /// Check only what can be known without the network
    #[arg(long)]
    offline: bool,
    /// Warn when the token ends within so many days
    #[arg(long, value_name = "N", default_value = "30")]
    min_days: u32,
    /// Let warnings fail
    #[arg(long)]
    strict: bool,
}

impl VerifyArgs {
    pub(super) fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let subjects = self.subjects(context)?;
        let expectations = Expectations {
            api_url: self.api_url.clone(),
            organisation_id: self.org_id.as_ref().map(OrganisationId::new),
            min_days: self.min_days,
        };
        let client = (!self.offline).then(|| context.client());
        let now = crate::sys::clock::Clock::now(&crate::sys::clock::SystemClock);
        let spinner = context.ui.spinner("asking Dfns");
        let subjects = context.block_on(async {
            let mut reports = Vec::new();
            for subject in &subjects {
                reports.push(verify(subject, &expectations, client.as_ref(), now).await);
            }
            reports
        });
        spinner.finish_and_clear();
        let mut report = Report { subjects: subjects? };
        if self.strict {
            report.make_strict();
        }
        self.show(context, &report)?;
        Ok(match report.verdict() {
            Verdict::Safe => Exit::Done,
            Verdict::Refused => Exit::Refused,
            Verdict::Unreachable => Exit::Unreachable,
        })
    }

    fn subjects(&self, context: &Context) -> Result<Vec<Subject>, Failure> {
        let vault = context.vault()?;
        let names = if self.all { vault.names()? } else { self.names.clone() };
        // A name that is not there is told of before anybody types a passphrase.
        for name in &names {
            vault.record(name)?;
        }
        let unlocked = context.unlock(&vault)?;
        let mut subjects = Vec::new();
        for name in &names {
            match unlocked.get(name)?.credential {
                AnyCredential::Active(credential) => subjects.push(Subject::from_vault(&credential)),
                AnyCredential::Pending(_) if self.all => {
                    context
                        .ui
                        .say(&format!("{name} is pending and left out: it has no token yet"));
                }
                AnyCredential::Pending(_) => {
                    return Err(Failure::new(Exit::State, "pending", format!("{name} has no token yet"))
                        .hint(format!("finish it with `dfns-keys onboard {name}`")));
                }
            }
        }
        Ok(subjects)
    }

    fn show(&self, context: &Context, report: &Report) -> Result<(), Failure> {
        if context.ui.json() {
            let mut document = serde_json::json!({
                "ok": report.verdict() == Verdict::Safe,
                "version": 1,
            });
            if let (Value::Object(document), Ok(Value::Object(fields))) = (&mut document, serde_json::to_value(report))
            {
                document.extend(fields);
            }
            return context.ui.raw_document(&document);
        }
        for subject in &report.subjects {
            context.ui.answer(&Tone::Strong.paint(&subject.subject))?;
            for check in &subject.checks {
                context.ui.answer(&line(check))?;
                if let Some(hint) = &check.hint {
                    context.ui.answer(&wrapped(hint, INDENT))?;
                }
            }
        }
        context.ui.answer(&self.conclusion(report))
    }

    fn conclusion(&self, report: &Report) -> String {
        let (failed, warned) = (report.count(Status::Fail), report.count(Status::Warn));
        let total: usize = report.subjects.iter().map(|subject| subject.checks.len()).sum();
        let counts = match (failed, warned) {
            (0, 0) => String::new(),
            (0, warned) => format!(" {warned} of {total} checks warn."),
            (failed, 0) => format!("{failed} of {total} checks failed. "),
            (failed, warned) => format!("{failed} of {total} checks failed, {warned} warn. "),
        };
        match report.verdict() {
            Verdict::Safe if report.subjects.is_empty() => "There is nothing to verify.".to_owned(),
            Verdict::Safe if self.offline => format!("Nothing is wrong as far as can be told offline.{counts}"),
            Verdict::Safe => Tone::Good.paint(&format!("Safe to use.{counts}")),
            Verdict::Refused => Tone::Bad.paint(&format!("{counts}Not safe to use as it is.")),
            Verdict::Unreachable => {
                Tone::Doubtful.paint(&format!("{counts}Dfns could not be asked: nothing is known."))
            }
        }
    }
}

const INDENT: &str = "                                 ";

fn line(check: &Check) -> String {
    let (sign, word, tone) = match check.status {
        Status::Pass => ("✓", "pass", Tone::Good),
        Status::Warn => ("!", "warn", Tone::Doubtful),
        Status::Fail => ("✗", "FAIL", Tone::Bad),
        Status::Skip => ("–", "skip", Tone::Plain),
    };
    let message = wrapped(&check.message, INDENT);
    format!(
        "  {}  {:<23}{}",
        tone.paint(&format!("{sign} {word}")),
        check.id.as_str(),
        message.trim_start()
    )
}
