//! `log --verify`: whether the log is as it was written.

use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::ui::{Tone, Ui, fields};
use crate::vault::log::{Checked, Fault, Place};

pub(super) async fn run(context: &Context) -> Result<Exit, Failure> {
    let vault = context.vault().await?;
    let unlocked = context.unlock(&vault).await?;
    let checked = unlocked.check_log()?;
    let is_version_1 = unlocked.id().is_none();
    let ui = &context.ui;
    if !ui.json() {
        tell(ui, &checked, is_version_1)?;
    }
    if let Some(first) = checked.faults.first() {
        let mut failure = Failure::new(Exit::Vault, "log_changed", sentence(first));
        failure.details = checked.faults.iter().skip(1).map(sentence).collect();
        let more = checked.fault_count - checked.faults.len() as u64;
        if more > 0 {
            failure.details.push(format!("and {more} more"));
        }
        failure.extra = fields(document(&checked));
        return Err(
            failure.hint("ask who can write to the vault; compare with a backup, or with heads that were written down")
        );
    }
    if ui.json() {
        ui.document(&document(&checked))?;
    }
    Ok(Exit::Done)
}

fn sentence(fault: &Fault) -> String {
    match fault {
        Fault::DoesNotFollow { at, after } => {
            let before = match after {
                Some(after) if after.file != at.file => after.to_string(),
                Some(after) => format!("line {}", after.line),
                None if at.line == 1 => {
                    return format!(
                        "{at} is not the first that was written: it was changed or moved, or what was before it was taken out"
                    );
                }
                None => "what is before it".to_owned(),
            };
            format!(
                "{at} does not follow {before}: either was changed, or something between them was changed, taken out, put in or moved"
            )
        }
        Fault::Forged { at } => format!("{at} is a checkpoint that no member of the vault wrote"),
        Fault::CutOff { checkpoint_at } => format!(
            "a checkpoint of {checkpoint_at} is gone, up to which this machine had found the log good: its end was cut off, or an older copy was put back"
        ),
    }
}

fn tell(ui: &Ui, checked: &Checked, is_version_1: bool) -> Result<(), Failure> {
    for place in &checked.torn {
        ui.warn(&format!(
            "{place} is no record: its writer was stopped, or somebody changed it"
        ));
    }
    let more = checked.torn_count - checked.torn.len() as u64;
    if more > 0 {
        ui.warn(&format!("so are {more} more"));
    }
    if checked.fault_count > 0 {
        return Ok(());
    }
    let lines = counted(checked.lines, "line");
    if checked.lines == 0 {
        return ui.answer("The log is empty.");
    }
    if let Some((place, at, _)) = &checked.confirmed {
        ui.answer(&Tone::Good.paint(&format!("The log is as it was written, up to {place} ({at}).")))?;
        let checkpoints = counted(checked.checkpoints, "checkpoint");
        ui.answer(&format!("  {lines}, {checkpoints} by members of the vault"))?;
    } else {
        ui.answer(&format!(
            "The lines of the log fit one another, and nobody vouches for them: {lines}."
        ))?;
        if is_version_1 {
            ui.answer("  In a vault of version 1 nobody can: `dfns-keys recipients sync` moves it to version 2.")?;
        }
    }
    if checked.unlinked > 0 {
        let records = counted(checked.unlinked, "record");
        ui.answer(&format!("  {records} by a version that linked none"))?;
    }
    if checked.unconfirmed > 0 {
        let lines = counted(checked.unconfirmed, "line");
        ui.answer(&Tone::Doubtful.paint(&format!(
            "  {lines} unconfirmed, until the next command that opens the vault and is logged"
        )))?;
    }
    ui.answer(&format!("  head {}", checked.head))
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn document(checked: &Checked) -> Value {
    let place = |place: &Place| json!({"file": place.file, "line": place.line});
    let faults: Vec<Value> = checked
        .faults
        .iter()
        .map(|fault| {
            let (kind, at) = match fault {
                Fault::DoesNotFollow { at, .. } => ("does_not_follow", Some(at)),
                Fault::Forged { at } => ("forged_checkpoint", Some(at)),
                Fault::CutOff { .. } => ("cut_off", None),
            };
            json!({
                "kind": kind,
                "file": at.map(|at| &at.file),
                "line": at.map(|at| at.line),
                "message": sentence(fault),
            })
        })
        .collect();
    json!({
        "lines": checked.lines,
        "head": checked.head,
        "confirmed": checked.confirmed.as_ref().map(|(at, time, _)| json!({"file": at.file, "line": at.line, "at": time})),
        "unconfirmed": checked.unconfirmed,
        "checkpoints": checked.checkpoints,
        "unlinked": checked.unlinked,
        "torn": checked.torn.iter().map(place).collect::<Vec<_>>(),
        "torn_count": checked.torn_count,
        "faults": faults,
        "fault_count": checked.fault_count,
    })
}
