//! Tokens near their end. No call renews one, so whatever gets, keeps or uses one that ends soon says so, once a run.

use jiff::{SignedDuration, Timestamp};

use super::context::Context;
use super::ui::Tone;
use crate::model::ids::CredentialName;
use crate::model::record::PublicRecord;

/// How long before its end a token is near it.
const NEAR: SignedDuration = SignedDuration::from_hours(30 * 24);
/// More names than this are counted only.
const MOST_NAMED: usize = 8;

impl Context {
    /// Warns of those among these records whose token ends soon, or has ended.
    pub(super) fn warn_of_ends<'r>(&self, now: Timestamp, records: impl IntoIterator<Item = &'r PublicRecord>) {
        let ends = records
            .into_iter()
            .filter_map(|record| Some((&record.name, record.token_expires_at?)));
        self.warn_of_end_of(now, ends);
    }

    /// The same for names, and when the token of each ends.
    pub(super) fn warn_of_end_of<'r>(
        &self,
        now: Timestamp,
        ends: impl IntoIterator<Item = (&'r CredentialName, Timestamp)>,
    ) {
        let near: Vec<_> = ends
            .into_iter()
            .filter(|(_, at)| at.duration_since(now) <= NEAR)
            .collect();
        let date = |at: Timestamp| at.strftime("%Y-%m-%d");
        let (message, name) = match &near[..] {
            [] => return,
            [(name, at)] if *at <= now => (format!("the token of {name} ended on {}", date(*at)), name.as_str()),
            [(name, at)] => (format!("the token of {name} ends on {}", date(*at)), name.as_str()),
            several => {
                let named = several.iter().take(MOST_NAMED);
                let named: Vec<String> = named.map(|(name, at)| format!("{name} on {}", date(*at))).collect();
                let more = several.len().saturating_sub(MOST_NAMED);
                let more = if more > 0 {
                    format!(", {more} more (`dfns-keys list --expiring 30d`)")
                } else {
                    String::new()
                };
                (
                    format!(
                        "{} tokens end within 30 days: {}{more}",
                        several.len(),
                        named.join(", ")
                    ),
                    "NAME",
                )
            }
        };
        self.ui.say(&format!("{} {message}", Tone::Doubtful.paint("warning:")));
        self.ui.say(&format!(
            "  no call renews a token; a new one comes with a new account:  dfns-keys rotate {name} --renew --as ADMIN  (or without --as, by the dashboard)"
        ));
    }
}
