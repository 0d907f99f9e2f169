//! The same for people: a line or two for whatever needs somebody, and the command that helps.

use jiff::Timestamp;

use super::Overview;
use crate::cli::error::Failure;
use crate::cli::text::columns;
use crate::cli::ui::{Tone, Ui};
use crate::model::credential::Kind;
use crate::model::record::PublicRecord;
use crate::workflow::status::{Attention, Survey};

/// The labels are no longer.
const LABEL: usize = 11;
/// A name that is longer has its message below.
const NAME: usize = 24;
/// In a window that is narrower, messages have lines of their own.
const BESIDE: usize = 76;
/// More of them are told in one.
const MOST_OUTDATED: usize = 3;

/// One thing that needs somebody.
struct Finding<'s> {
    attention: &'s Attention,
    name: String,
    message: String,
    hint: String,
}

pub(super) fn tell(ui: &Ui, overview: &Overview, survey: &Survey, now: Timestamp) -> Result<(), Failure> {
    let findings = findings(overview, survey, now);
    if ui.quiet() && findings.is_empty() {
        return Ok(());
    }
    if !ui.quiet() {
        ui.answer(&head(ui, overview, survey))?;
        ui.answer("")?;
    }
    let width = findings
        .iter()
        .map(|finding| columns(&finding.name))
        .max()
        .unwrap_or(0)
        .min(NAME);
    for finding in &findings {
        ui.answer(&lines(ui, finding, width))?;
    }
    if ui.quiet() {
        return Ok(());
    }
    if !findings.is_empty() {
        ui.answer("")?;
    }
    ui.answer(&ui.wrapped(&conclusion(overview, survey), ""))
}

/// What the vault is, in one line where there is room.
fn head(ui: &Ui, overview: &Overview, survey: &Survey) -> String {
    let opened = match &overview.opens_by[..] {
        [] => "opened by nobody".to_owned(),
        [one] => format!("opened by {one}"),
        [one, rest @ ..] => format!("opened by {one} and {} more", rest.len()),
    };
    let credentials = match survey.credentials.len() + survey.damaged.len() {
        1 => "1 credential".to_owned(),
        count => format!("{count} credentials"),
    };
    let context = overview.context.as_ref().map(|name| format!("context {name}"));
    let parts = context.into_iter().chain([overview.vault.clone(), opened, credentials]);
    let mut text = String::new();
    let mut last = 0;
    for part in parts {
        if last > 0 && last + 3 + columns(&part) <= ui.prose_width() {
            text.push_str(" · ");
            last += 3;
        } else if last > 0 {
            text.push('\n');
            last = 0;
        }
        text.push_str(&part);
        last += columns(&part);
    }
    text
}

fn findings<'s>(overview: &Overview, survey: &'s Survey, now: Timestamp) -> Vec<Finding<'s>> {
    let of_each = survey.credentials.iter().flat_map(|standing| {
        let record = &standing.record;
        standing.attention.iter().map(move |attention| (attention, record))
    });
    let (outdated, mut others): (Vec<_>, Vec<_>) =
        of_each.partition(|(attention, _)| **attention == Attention::RecipientsOutdated);
    let several = outdated.len() > MOST_OUTDATED;
    if !several {
        others.extend(&outdated);
    }
    // In a listing names are sorted, and so they stay within one urgency.
    others.sort_by_key(|(attention, _)| *attention);
    let mut findings: Vec<Finding> = others
        .into_iter()
        .map(|(attention, record)| {
            let (message, hint) = words(attention, record, overview, now);
            Finding {
                attention,
                name: record.name.to_string(),
                message,
                hint,
            }
        })
        .collect();
    if let (true, Some((attention, record))) = (several, outdated.first()) {
        let (_, hint) = words(attention, record, overview, now);
        findings.push(Finding {
            attention,
            name: format!("{} credentials", outdated.len()),
            message: "sealed to an older list of recipients".to_owned(),
            hint,
        });
    }
    findings
}

fn label(attention: &Attention) -> (&'static str, Tone) {
    match attention {
        Attention::TokenExpired { .. } => ("TOKEN ENDED", Tone::Bad),
        Attention::VerifyRefused { .. } => ("REFUSED", Tone::Bad),
        Attention::Rollback => ("OLD COPY", Tone::Bad),
        Attention::Unauthenticated => ("UNVOUCHED", Tone::Bad),
        Attention::TokenExpiring { .. } => ("TOKEN ENDS", Tone::Doubtful),
        Attention::DeliveryBehind { .. } => ("BEHIND", Tone::Doubtful),
        Attention::RotationStalled { .. } | Attention::OnboardingStalled { .. } => ("STANDS", Tone::Doubtful),
        Attention::KeyOld { .. } => ("KEY OLD", Tone::Doubtful),
        Attention::RecipientsOutdated => ("OUTDATED", Tone::Doubtful),
    }
}

fn lines(ui: &Ui, finding: &Finding, width: usize) -> String {
    let (label, tone) = label(finding.attention);
    let label = tone.paint(&format!("{label:<LABEL$}"));
    let name = &finding.name;
    let begin = 2 + LABEL + 2 + width + 2;
    let (first, indent) = if ui.prose_width() < BESIDE {
        (format!("  {label}  {name}\n"), 4)
    } else if columns(name) > width {
        (format!("  {label}  {name}\n"), begin)
    } else {
        let padding = " ".repeat(width - columns(name));
        (format!("  {label}  {name}{padding}  "), begin)
    };
    let indent = " ".repeat(indent);
    let message = ui.wrapped(&finding.message, &indent);
    let message = if first.ends_with('\n') {
        &message
    } else {
        message.trim_start()
    };
    // A command stays whole, to be copied.
    format!("{first}{message}\n{indent}{}", finding.hint)
}

/// What is wrong in a sentence, and the command that helps.
pub(super) fn words(
    attention: &Attention,
    record: &PublicRecord,
    overview: &Overview,
    now: Timestamp,
) -> (String, String) {
    let name = &record.name;
    let renew = || match &overview.admin {
        Some(admin) => format!("dfns-keys rotate {name} --renew --as {admin}"),
        None => format!("dfns-keys rotate {name} --renew"),
    };
    match attention {
        Attention::TokenExpired { at } => (format!("its token ended {} ago ({at})", span(*at, now)), renew()),
        Attention::TokenExpiring { at } => (format!("its token ends in {} ({at})", span(now, *at)), renew()),
        Attention::VerifyRefused { at } => (
            format!("was not good when it was last verified, {} ago", span(*at, now)),
            format!("dfns-keys verify {name}"),
        ),
        Attention::Rollback => (
            "its file is older than what this machine has seen: somebody put an old copy back".to_owned(),
            format!("dfns-keys verify {name} --offline"),
        ),
        Attention::Unauthenticated => (
            "nobody vouches for it until a member adopts it".to_owned(),
            format!("dfns-keys vault adopt {name} --fingerprint F"),
        ),
        Attention::DeliveryBehind { target, has_another } => {
            let what = if *has_another {
                "may have an older key"
            } else {
                "does not have it yet"
            };
            let host = target.host().map(|host| format!(" (on {host})")).unwrap_or_default();
            (format!("{target} {what}"), format!("dfns-keys deliver {name}{host}"))
        }
        Attention::RotationStalled { since, promoted: true } => (
            format!("its old key is to be retired since {}", span(*since, now)),
            format!("dfns-keys rotate {name} --finish"),
        ),
        Attention::RotationStalled { since, promoted: false } => (
            format!("a rotation stands still that was begun {} ago", span(*since, now)),
            format!("dfns-keys rotate {name}"),
        ),
        Attention::OnboardingStalled { since } => {
            let verb = if record.kind == Kind::User { "enroll" } else { "onboard" };
            (
                format!("waits for its token since {}", span(*since, now)),
                format!("dfns-keys {verb} {name}"),
            )
        }
        Attention::KeyOld { since } => (
            format!("its key is {} old", span(*since, now)),
            format!("dfns-keys rotate {name}"),
        ),
        Attention::RecipientsOutdated => (
            "sealed to an older list of recipients".to_owned(),
            "dfns-keys recipients sync".to_owned(),
        ),
    }
}

/// How long it is from one moment to a later one, as somebody would say it.
fn span(from: Timestamp, to: Timestamp) -> String {
    let minutes = to.duration_since(from).as_mins().max(0);
    let (count, unit) = match minutes {
        0..120 => (minutes, "minute"),
        120..2880 => (minutes / 60, "hour"),
        _ => (minutes / 1440, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

fn conclusion(overview: &Overview, survey: &Survey) -> String {
    let well = survey.credentials.len() - survey.in_need();
    let mut text = match (survey.credentials.len(), survey.in_need(), well) {
        (0, ..) => "There are no credentials yet: dfns-keys onboard NAME".to_owned(),
        (1, 0, _) => "It needs nothing.".to_owned(),
        (_, 0, _) => "None of them needs anything.".to_owned(),
        (_, _, 1) => "1 needs nothing.".to_owned(),
        (_, _, well) => format!("{well} need nothing."),
    };
    if survey.credentials.is_empty() {
        return text;
    }
    text.push_str(
        " Read from what is public of the vault, for which nobody vouches; `dfns-keys verify --all` asks Dfns.",
    );
    if !survey.remembered {
        text.push_str(" This machine has not opened the vault before: it would not notice an old copy.");
    }
    if overview.is_version_1 {
        text.push_str(" The vault is of version 1: `dfns-keys recipients sync` moves it to version 2.");
    }
    text
}
