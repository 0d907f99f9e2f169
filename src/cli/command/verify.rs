use std::path::PathBuf;

use clap::Args;
use secrecy::SecretString;
use serde_json::Value;

use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::junit;
use crate::cli::slips;
use crate::cli::ui::{Tone, Ui};
use crate::model::credential::AnyCredential;
use crate::model::ids::{CredentialName, OrganisationId};
use crate::model::record::PublicRecord;
use crate::model::url::ApiUrl;
use crate::sys::clock::{Clock, SystemClock};
use crate::sys::files::{self, IfExists, Readable};
use crate::vault::log::{Event, REFUSED, VERIFIED};
use crate::vault::{Vault, VaultError};
use crate::workflow::sources::{self, Subject, Unreadable};
use crate::workflow::verify::report::Verdict;
use crate::workflow::verify::{Check, CheckId, Expectations, Report, Status, verify_all};

/// Verify an environment before use
///
/// From the vault, a Postman environment, a .env file or the process environment. Checks what can be known offline, then proves token and key together by a signed test call, which changes nothing.
/// Exit code 0: safe to use; 5: something is wrong with the environment; 6: Dfns could not be asked.
#[derive(Args)]
#[command(
    override_usage = "dfns-keys verify [OPTIONS] NAME…\n       dfns-keys verify [OPTIONS] --all\n       \
                      dfns-keys verify [OPTIONS] --postman FILE\n       dfns-keys verify [OPTIONS] --dotenv FILE\n       \
                      dfns-keys verify [OPTIONS] --process-env",
    after_help = "Examples:\n  dfns-keys verify payments-api --strict\n  dfns-keys verify --all --junit report.xml\n  \
                  dfns-keys verify --postman staging.postman_environment.json"
)]
#[command(group(clap::ArgGroup::new("sources").required(true).multiple(true)
    .args(["names", "all", "postman", "dotenv", "process_env"])))]
pub(in crate::cli) struct VerifyArgs {
    /// Credentials of the vault
    names: Vec<CredentialName>,
    /// All active credentials of the vault
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// A Postman environment export
    #[arg(long, value_name = "FILE")]
    postman: Vec<PathBuf>,
    /// A .env file with the variables of the SDKs
    #[arg(long, value_name = "FILE")]
    dotenv: Vec<PathBuf>,
    /// The variables of the SDKs in this process's environment
    #[arg(long)]
    process_env: bool,
    /// Ask here instead of where the source says
    #[arg(long, value_name = "URL")]
    api_url: Option<ApiUrl>,
    /// The organisation that the token must belong to
    #[arg(long, value_name = "ID")]
    org_id: Option<OrganisationId>,
    /// Check only what can be known without the network
    #[arg(long)]
    offline: bool,
    /// An operation that must be granted, such as Wallets:Create; repeat for more
    #[arg(long, value_name = "OPERATION", conflicts_with = "offline")]
    expect_permission: Vec<String>,
    /// Warn when the token ends within so many days
    #[arg(long, value_name = "N", default_value = "30")]
    min_days: u32,
    /// Let warnings fail
    #[arg(long)]
    strict: bool,
    /// Write the report as JUnit XML too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

impl VerifyArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        if let Some(path) = &self.junit {
            files::check_target(path, IfExists::Replace)?;
        }
        let (subjects, damage, opened) = self.subjects(context).await?;
        let expectations = Expectations {
            api_url: self.api_url.clone(),
            organisation_id: self.org_id.clone(),
            min_days: self.min_days,
            permissions: self.expect_permission.clone(),
            known: self.known(context).await,
        };
        let client = (!self.offline).then(|| context.client());
        let progress = context.ui.progress(subjects.len(), "asking Dfns");
        let mut report = verify_all(&subjects, &expectations, client.as_ref(), SystemClock.now(), |_| {
            progress.inc(1);
        })
        .await;
        progress.finish_and_clear();
        if let Some(opened) = opened {
            self.write_down(context, &opened, &report);
        }
        if self.strict {
            report.make_strict();
        }
        if let Some(path) = &self.junit {
            let text = junit::render(&report)?;
            files::write(path, text.as_bytes(), IfExists::Replace, Readable::ByAll)?;
        }
        self.show(context, &report)?;
        let verdict = match report.verdict() {
            Verdict::Safe => Exit::Done,
            Verdict::Refused => Exit::Refused,
            Verdict::Unreachable => Exit::Unreachable,
        };
        Ok(damage.into_iter().fold(
            verdict,
            |worst, exit| {
                if exit.gravity() > worst.gravity() { exit } else { worst }
            },
        ))
    }

    /// What is to be verified, and how bad it is with what could not be opened.
    async fn subjects(
        &self,
        context: &Context,
    ) -> Result<(Vec<Candidate>, Option<Exit>, Option<OpenedVault>), Failure> {
        let mut subjects = Vec::new();
        let mut damage = None;
        let mut vault = None;
        if self.all || !self.names.is_empty() {
            let (found, from) = self.vault_subjects(context).await?;
            vault = Some(OpenedVault {
                vault: from,
                keys: found.iter().map(|(name, key, _)| (name.clone(), key.clone())).collect(),
            });
            for (name, _, opened) in found {
                subjects.push(opened.map_err(|failure| {
                    damage = Some(failure.exit);
                    Unreadable {
                        label: name.to_string(),
                        message: failure.message,
                        hint: failure.hint.unwrap_or_default(),
                    }
                }));
            }
        }
        subjects.extend(self.postman.iter().map(|path| sources::postman(path)));
        subjects.extend(self.dotenv.iter().map(|path| sources::dotenv(path)));
        if self.process_env {
            subjects.push(Ok(sources::process_environment(|name| {
                std::env::var(name).ok().map(SecretString::from)
            })));
        }
        Ok((subjects, damage, vault))
    }

    /// What the vault here tells of its keys without being unlocked, where files are verified. There may be none.
    async fn known(&self, context: &Context) -> Vec<PublicRecord> {
        if self.postman.is_empty() && self.dotenv.is_empty() && !self.process_env {
            return Vec::new();
        }
        let Ok(vault) = context.vault().await else {
            return Vec::new();
        };
        let listed = vault.list().await.unwrap_or_default();
        listed.into_iter().filter_map(|listed| listed.record.ok()).collect()
    }

    /// Of one name alone, whatever is wrong with it is the answer; among several it is that of its own subject.
    fn is_alone(&self) -> bool {
        let others = !self.postman.is_empty() || !self.dotenv.is_empty() || self.process_env;
        self.names.len() == 1 && !others
    }

    /// Adds how to say it, where the name of a file was given for that of a credential.
    fn or_a_file(failure: Failure, name: &CredentialName) -> Failure {
        match slips::file_for_verify(name.as_str()) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    async fn vault_subjects(&self, context: &Context) -> Result<(Vec<Opened>, Vault), Failure> {
        let vault = context.vault().await.map_err(|failure| match self.names.first() {
            Some(name) => Self::or_a_file(failure, name),
            None => failure,
        })?;
        let names = if self.all {
            vault.names().await?
        } else {
            self.names.clone()
        };
        // A name that is not there is told of before anybody types a passphrase.
        for name in &names {
            match vault.record(name).await {
                Err(error @ VaultError::NoSuchCredential(_)) => return Err(Self::or_a_file(error.into(), name)),
                Err(error) if self.is_alone() => return Err(error.into()),
                Ok(_) | Err(_) => {}
            }
        }
        let unlocked = context.unlock(&vault).await?;
        let mut subjects = Vec::new();
        for name in names {
            let opened = match unlocked.get(&name).await {
                Ok(opened) => opened,
                Err(error) if self.is_alone() => return Err(error.into()),
                Err(error) => {
                    subjects.push((name, None, Err(error.into())));
                    continue;
                }
            };
            let key = PublicRecord::from(&opened).fingerprint;
            let subject = match opened {
                AnyCredential::Active(credential) => {
                    Subject::from_vault(&name, &credential.environment, &credential.current)
                }
                // What is active is what programs use, before and after the promotion.
                AnyCredential::Rotating(credential) => {
                    Subject::from_vault(&name, &credential.environment, &credential.current.active)
                }
                AnyCredential::User(credential) => Subject::from_user(&credential),
                AnyCredential::Pending(_) if self.all => {
                    context
                        .ui
                        .say(&format!("{name} is pending and left out: it has no token yet"));
                    continue;
                }
                AnyCredential::Pending(_) if self.is_alone() => {
                    return Err(Failure::new(Exit::State, "pending", format!("{name} has no token yet"))
                        .hint(format!("finish it with `dfns-keys onboard {name}`")));
                }
                AnyCredential::Pending(credential) => Subject::from_pending(&credential),
            };
            subjects.push((name, Some(key), Ok(subject)));
        }
        Ok((subjects, vault))
    }

    /// Writes into the log what Dfns said of each credential, for `status`. What was asked elsewhere, or not at all, says nothing
    /// of it.
    fn write_down(&self, context: &Context, opened: &OpenedVault, report: &Report) {
        if self.offline || self.api_url.is_some() {
            return;
        }
        // Those of the vault come first.
        let events = opened
            .keys
            .iter()
            .zip(&report.subjects)
            .filter_map(|((name, key), subject)| {
                let action = match subject.verdict() {
                    Verdict::Safe => VERIFIED,
                    Verdict::Refused => REFUSED,
                    Verdict::Unreachable => return None,
                };
                let failed = subject.checks.iter().filter(|check| check.status == Status::Fail);
                let failed: Vec<&str> = failed.map(|check| check.id.as_str()).collect();
                Some(Event {
                    actor: None,
                    action,
                    name: Some(name.clone()),
                    // Of one that could not be opened nothing was asked.
                    fingerprint: Some(key.clone()?),
                    detail: (!failed.is_empty()).then(|| failed.join(", ")),
                    format: None,
                })
            });
        context.record_all(&opened.vault, events.collect());
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
        // Quietly only what failed; of many subjects only what is not as it should be.
        let quiet = context.ui.quiet();
        let all_checks = !quiet && (report.subjects.len() <= 3 || context.ui.verbose());
        let worth_a_line = |check: &Check| match check.status {
            Status::Fail => true,
            Status::Warn => !quiet,
            Status::Pass | Status::Skip => false,
        };
        for subject in &report.subjects {
            let healthy = subject.checks.iter().all(|check| !worth_a_line(check));
            if quiet && healthy {
                continue;
            }
            let verdict = if all_checks || !healthy {
                ""
            } else {
                "  all checks pass"
            };
            context
                .ui
                .answer(&format!("{}{verdict}", Tone::Strong.paint(&subject.subject)))?;
            let unread = subject
                .checks
                .iter()
                .any(|check| check.id == CheckId::SourceReadable && check.status == Status::Fail);
            let all_checks = all_checks && !unread;
            for check in subject.checks.iter().filter(|check| all_checks || worth_a_line(check)) {
                context.ui.answer(&line(&context.ui, check))?;
                if let Some(hint) = &check.hint {
                    context.ui.answer(&context.ui.wrapped(hint, HINT_INDENT))?;
                }
            }
            if unread && !quiet {
                context.ui.answer(" – the rest was not looked at")?;
            }
        }
        if quiet && report.verdict() == Verdict::Safe {
            return Ok(());
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

/// What is to be verified, or why it cannot be read.
type Candidate = Result<Subject, Unreadable>;
/// A credential of the vault's, with the fingerprint of its key; or why it cannot be opened.
type Opened = (CredentialName, Option<String>, Result<Subject, Failure>);

/// The vault as it was opened, and the credentials that are verified with the fingerprints of their keys.
struct OpenedVault {
    vault: Vault,
    keys: Vec<(CredentialName, Option<String>)>,
}

/// Where hints begin.
const HINT_INDENT: &str = "          ";
/// Where messages begin: a fingerprint behind it still ends at column 80.
const INDENT: &str = "                              ";
/// In a window that is narrower, messages have lines of their own.
const BESIDE: usize = 76;

fn line(ui: &Ui, check: &Check) -> String {
    let (sign, word, tone) = match check.status {
        Status::Pass => ("✓", "pass", Tone::Good),
        Status::Warn => ("!", "warn", Tone::Doubtful),
        Status::Fail => ("✗", "FAIL", Tone::Bad),
        Status::Skip => ("–", "skip", Tone::Plain),
    };
    let (verdict, id) = (tone.paint(&format!("{sign} {word}")), check.id.as_str());
    if ui.prose_width() < BESIDE {
        return format!(" {verdict} {id}\n{}", ui.wrapped(&check.message, HINT_INDENT));
    }
    let message = ui.wrapped(&check.message, INDENT);
    format!(" {verdict} {id:<21} {}", message.trim_start())
}
