//! The same for Prometheus, in its text format: read by node_exporter's textfile collector.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::model::record::PublicRecord;
use crate::workflow::status::{Attention, Standing, Survey};

/// A metric, and what each credential says to it: further labels, and a value.
type Samples<'s> = Box<dyn Fn(&'s Standing) -> Vec<(String, i64)> + 's>;

pub(super) fn render(survey: &Survey, now: Timestamp) -> String {
    let mut text = String::new();
    let each: [(&str, &str, Samples); 6] = [
        (
            "dfns_keys_token_expires_timestamp_seconds",
            "When the token ends.",
            Box::new(|standing| one(standing.record.token_expires_at)),
        ),
        (
            "dfns_keys_key_created_timestamp_seconds",
            "When the key was made.",
            Box::new(|standing| one(Some(standing.key_created_at()))),
        ),
        (
            "dfns_keys_rotation_started_timestamp_seconds",
            "When the rotation under way was begun.",
            Box::new(|standing| one(standing.record.rotation.as_ref().map(|rotation| rotation.started_at))),
        ),
        (
            "dfns_keys_delivery_in_sync",
            "Whether a place has what is active: 1 or 0.",
            Box::new(|standing| {
                let deliveries = standing.record.deliveries.iter();
                deliveries
                    .map(|delivery| {
                        let target = escaped(&delivery.target.to_string());
                        (format!(",target=\"{target}\""), i64::from(delivery.in_sync))
                    })
                    .collect()
            }),
        ),
        (
            "dfns_keys_last_verified_timestamp_seconds",
            "When verify last passed, as the audit log has it.",
            Box::new(|standing| one(standing.last_verified_at)),
        ),
        (
            "dfns_keys_attention",
            "What needs somebody, by its id in status --json.",
            Box::new(|standing| {
                let mut ids: Vec<&str> = standing.attention.iter().map(Attention::as_str).collect();
                ids.dedup();
                ids.iter().map(|id| (format!(",id=\"{id}\""), 1)).collect()
            }),
        ),
    ];
    for (name, help, samples) in each {
        begin(&mut text, name, help);
        for standing in &survey.credentials {
            let labels = labels(&standing.record);
            for (more, value) in samples(standing) {
                let _ = writeln!(text, "{name}{{{labels}{more}}} {value}");
            }
        }
    }
    begin(
        &mut text,
        "dfns_keys_unreadable_credentials",
        "Files of credentials that cannot be read.",
    );
    let _ = writeln!(text, "dfns_keys_unreadable_credentials {}", survey.damaged.len());
    if let Ok(log) = &survey.log {
        begin(
            &mut text,
            "dfns_keys_log_lines",
            "Lines of the audit log; they never become fewer.",
        );
        let _ = writeln!(text, "dfns_keys_log_lines {}", log.lines);
        begin(
            &mut text,
            "dfns_keys_log_head_info",
            "The hash that stands for the whole audit log.",
        );
        let _ = writeln!(text, "dfns_keys_log_head_info{{head=\"{}\"}} 1", log.head);
    }
    begin(
        &mut text,
        "dfns_keys_status_timestamp_seconds",
        "When this was written.",
    );
    let _ = writeln!(text, "dfns_keys_status_timestamp_seconds {}", now.as_second());
    text
}

fn begin(text: &mut String, name: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
}

fn one(at: Option<Timestamp>) -> Vec<(String, i64)> {
    at.map(|at| (String::new(), at.as_second())).into_iter().collect()
}

fn labels(record: &PublicRecord) -> String {
    let kind = serde_json::to_value(record.kind).unwrap_or_default();
    format!(
        "name=\"{}\",kind=\"{}\"",
        escaped(record.name.as_str()),
        escaped(kind.as_str().unwrap_or_default())
    )
}

/// A label's value between its quotes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
