//! What goes wrong with the places that a credential is delivered to.

use serde_json::{Value, json};

use super::{Exit, Failure};
use crate::deliver::PlaceError;
use crate::model::ids::CredentialName;
use crate::sys::child::ChildError;
use crate::workflow::deliver::{DeliverError, DeliveryState, Outcome, Reason};

impl From<DeliverError> for Failure {
    fn from(error: DeliverError) -> Self {
        match error {
            DeliverError::Export(error) => error.into(),
            DeliverError::Vault(error) => error.into(),
        }
    }
}

impl Failure {
    /// A key stays because of places.
    pub(super) fn kept(name: &CredentialName, key: &str, refused: bool, outcomes: &[Outcome]) -> Self {
        let first = outcomes.iter().find_map(|outcome| outcome.reason.as_ref());
        let hint = first.and_then(|reason| Self::undelivered(name, reason).hint);
        let mut failure = Self::new(Exit::Waiting, "undelivered", "places are behind");
        failure.hint = hint.map(|hint| match key {
            _ if refused => format!("{hint}; Dfns refuses the old key already"),
            "new" => format!(
                "{hint}; the old key works until then, unless you say `dfns-keys rotate {name} --finish --undelivered`"
            ),
            _ => format!("{hint}; both keys work until then"),
        });
        let rows: Vec<Value> = outcomes.iter().map(|outcome| delivery_row(name, outcome)).collect();
        failure.extra.insert("deliveries".to_owned(), rows.into());
        failure
    }

    /// Why one place does not have what it should have.
    pub(in crate::cli) fn undelivered(name: &CredentialName, reason: &Reason) -> Self {
        let again = format!("`dfns-keys deliver {name}` tries again");
        let (code, hint) = match reason {
            Reason::Elsewhere { host } => ("elsewhere", format!("run `dfns-keys deliver {name}` on {host}")),
            Reason::AnotherPlace { .. } => (
                "another_place",
                "nothing was put; go back to the settings that it was sealed with, or --forget it and name it anew"
                    .to_owned(),
            ),
            Reason::Unusable(_) => (
                "unusable_target",
                format!(
                    "a newer dfns-keys may know it; or `dfns-keys deliver {name} --forget TARGET`, and name it anew"
                ),
            ),
            Reason::Place(error) | Reason::Then(error) => place(error, again),
            Reason::NotSeen => ("not_seen", format!("does something else write there? {again}")),
            Reason::Lacks => ("behind", format!("`dfns-keys deliver {name}` puts it there")),
            Reason::Settling { .. } => ("settling", "run the same command again after that time".to_owned()),
            Reason::Forgotten => (
                "forgotten",
                format!("put the new one there, and then `dfns-keys rotate {name} --finish --undelivered`"),
            ),
        };
        Self::new(Exit::Waiting, code, reason.to_string()).hint(hint)
    }
}

/// Why a place is not in sync.
pub(in crate::cli) fn of_place(name: &CredentialName, outcome: &Outcome) -> Failure {
    Failure::undelivered(name, outcome.reason.as_ref().unwrap_or(&Reason::Lacks))
}

/// What a script reads of a place.
pub(in crate::cli) fn delivery_row(name: &CredentialName, outcome: &Outcome) -> Value {
    let mut row = json!({
        "name": name,
        "target": outcome.target,
        "place": outcome.place,
        "state": outcome.state.as_str(),
        "fingerprint": outcome.fingerprint,
        "delivered_at": outcome.delivered_at,
        "read_back": outcome.read_back,
    });
    if outcome.state != DeliveryState::InSync {
        row["error"] = of_place(name, outcome).document();
    }
    row
}

fn place(error: &PlaceError, again: String) -> (&'static str, String) {
    match error {
        PlaceError::Program { error, .. } => match error {
            ChildError::Missing => ("no_such_tool", format!("install it, or mend the PATH; {again}")),
            ChildError::NotStarted(_) => ("tool_not_started", again),
            ChildError::Endless(_) => (
                "tool_endless",
                format!("it was stopped; --timeout gives it longer, and {again}"),
            ),
            ChildError::Lost(_) | ChildError::Flood => ("tool_lost", again),
        },
        PlaceError::Refused {
            advice: Some(advice), ..
        } => ("tool_refuses", format!("{advice}; {again}")),
        PlaceError::Refused { .. } => ("tool_refuses", format!("is it signed in, and may it do that? {again}")),
        PlaceError::Rubbish { .. } => (
            "tool_rubbish",
            format!("is it the right program, in the right version? {again}"),
        ),
        PlaceError::NotSetUp(_) => ("not_set_up", again),
        PlaceError::Unreachable { .. } => ("place_unreachable", again),
        PlaceError::Foreign => (
            "foreign",
            format!("name a place of its own, or remove what is there; {again}"),
        ),
        PlaceError::File { .. } | PlaceError::NoFile { .. } | PlaceError::NoSuchUser(_) => ("file", again),
    }
}
