//! What goes wrong with the credentials of a file.

use super::{Exit, Failure, of_place};
use crate::model::ids::CredentialName;
use crate::workflow::deliver::NameError;
use crate::workflow::plan::{ApplyError, ViewError};

impl From<ViewError> for Failure {
    fn from(error: ViewError) -> Self {
        let message = error.to_string();
        match error {
            ViewError::Vault(error) => error.into(),
            ViewError::Call { error, .. } => Self::from(error).with_message(message),
        }
    }
}

impl Failure {
    /// Why a change was not made.
    pub(in crate::cli) fn apply(name: &CredentialName, needs: Option<&str>, error: ApplyError) -> Self {
        let message = error.to_string();
        match error {
            ApplyError::Blocked => {
                let failure = Self::new(Exit::Waiting, "blocked", message);
                match needs {
                    Some(needs) => failure.hint(needs),
                    None => failure,
                }
            }
            ApplyError::NotReached => Self::new(Exit::Done, "not_reached", message),
            ApplyError::Provision(error) => error.into(),
            ApplyError::Rotate(error) => error.into(),
            ApplyError::Deliver(error) => error.into(),
            ApplyError::Behind(outcome) => {
                let failure = of_place(name, &outcome);
                let message = format!("{}: {}", outcome.target, failure.message);
                failure.with_message(message)
            }
            ApplyError::Name(NameError::Held(error)) => error.into(),
            ApplyError::Name(NameError::Taken(target)) => Self::new(
                Exit::State,
                "place_taken",
                format!("it is delivered to {target} already, in another form"),
            )
            .hint(format!(
                "`dfns-keys deliver {name} --forget '{target}'`, and apply again"
            )),
            ApplyError::Name(NameError::Unusable(error)) => Self::new(Exit::State, "unusable", error.to_string())
                .hint(format!("`dfns-keys show {name}` says how it stands")),
            ApplyError::Call { error, .. } => {
                Self::account(error, &format!("dfns-keys account show {name}")).with_message(message)
            }
            ApplyError::Vault(error) => error.into(),
        }
    }
}
