//! Why a rotation did not go on.

use jiff::Timestamp;
use thiserror::Error;

use super::dependents::Dependents;
use crate::model::ids::CredentialName;
use crate::model::quoted;
use crate::workflow::deliver::{DeliverError, Outcome};
use crate::workflow::job::JobError;
use crate::workflow::refusal::Refusal;

/// A rotation did not go on. Run again, it goes on from where it stopped.
#[derive(Debug, Error)]
pub enum RotateError {
    /// Only service accounts and personal access tokens that are active can be rotated.
    #[error("{name} is {state}, and only an active service account or personal access token can be rotated")]
    NotRotatable {
        /// The credential.
        name: CredentialName,
        /// What it is.
        state: String,
    },
    /// Nothing is under way.
    #[error("no rotation of {0} is under way")]
    NotRotating(CredentialName),
    /// The new key is not active yet, so the old one cannot go.
    #[error("the new key of {0} is not active yet")]
    NotPromoted(CredentialName),
    /// Dfns does not let this identity have a second key.
    #[error("Dfns does not let {name} register a second key{}", .message.as_ref().map(|text| format!(" (it says: \"{text}\")")).unwrap_or_default())]
    NotOffered {
        /// The credential.
        name: CredentialName,
        /// What Dfns said.
        message: Option<String>,
        /// This way and no other was asked for.
        asked_for: bool,
    },
    /// It is delivered to places, which a key that is held elsewhere cannot be.
    #[error("{0} is delivered to places, and a key that never leaves is delivered nowhere")]
    IsDelivered(CredentialName),
    /// An organisation's user has to act.
    #[error("{0} needs an organisation's user")]
    NeedsAdministrator(&'static str),
    /// A personal access token is of the user who makes it, and this one is another's.
    #[error("the token of {0} is not known to be of this user, and a new one would be")]
    OtherUsers(CredentialName),
    /// The old account is not among those the administrator sees.
    #[error("the account of {0} is not among those at Dfns")]
    AccountUnknown(CredentialName),
    /// A person is to make a new account and bring its token.
    #[error("{0} waits for the token of a new account")]
    AwaitingToken(CredentialName),
    /// A token was brought that nothing can be done with.
    #[error("no rotation of {0} waits for a token")]
    TokenNotAwaited(CredentialName),
    /// The new key, or the old one on the way back, is not accepted.
    #[error("{which}: {refusal}")]
    Refused {
        /// Which.
        which: &'static str,
        /// The diagnosis.
        refusal: Refusal,
    },
    /// The old key is dead, so the rotation cannot be undone.
    #[error("there is no way back to the old key of {name}: {refusal}")]
    NoWayBack {
        /// The credential.
        name: CredentialName,
        /// The diagnosis.
        refusal: Refusal,
    },
    /// Other names of the vault sign with what is to be retired.
    #[error("{}", still_used(.0))]
    StillUsed(Dependents),
    /// Places are not as they are to be before a key goes.
    #[error("not every place of {name} has the {key} key: {}", told(.outcomes))]
    Undelivered {
        /// The credential.
        name: CredentialName,
        /// Which key they are to have: the new one, or on the way back the old one.
        key: &'static str,
        /// The old one is refused already, so that whatever has it does not work.
        refused: bool,
        /// Those that stand in the way.
        outcomes: Vec<Outcome>,
    },
    /// The credential cannot be delivered.
    #[error(transparent)]
    Deliver(#[from] DeliverError),
    /// The new identity may do less than the old one.
    #[error("the new account lacks permissions of the old one: {}", quoted::listed(.0))]
    FewerPermissions(Vec<String>),
    /// Dfns still accepts what should be refused by now.
    #[error("Dfns still accepts {0}")]
    StillHonoured(&'static str),
    /// A call against what was asked for would race with it.
    #[error("{doing} was asked for at {asked_at}, and may still take effect")]
    Unsettled {
        /// What was asked for.
        doing: &'static str,
        /// When, by Dfns's clock.
        asked_at: Timestamp,
        /// Until when it may still come, by Dfns's clock.
        until: Timestamp,
    },
    /// What any job may meet.
    #[error(transparent)]
    Job(JobError),
}

impl<E> From<E> for RotateError
where
    JobError: From<E>,
{
    fn from(error: E) -> Self {
        Self::Job(error.into())
    }
}

fn told(outcomes: &[Outcome]) -> String {
    let told = outcomes.iter().map(|outcome| match &outcome.reason {
        Some(reason) => format!("{}: {reason}", outcome.target),
        None => outcome.target.to_string(),
    });
    told.collect::<Vec<_>>().join("; ")
}

fn still_used(dependents: &Dependents) -> String {
    let names: Vec<&str> = dependents.names.iter().map(CredentialName::as_str).collect();
    let verb = if names.len() == 1 { "signs" } else { "sign" };
    format!("{} still {verb} with {}", names.join(", "), dependents.with)
}
