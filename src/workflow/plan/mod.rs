//! The organisation's credentials as a reviewed file has them: what is to be done so that vault and Dfns are as it says, and doing
//! it. There is no state but the vault and Dfns.

mod apply;
mod change;
mod compare;
mod fleet;
mod view;

use thiserror::Error;

use crate::api::{Client, UserSession};
use crate::vault::Unlocked;
use view::View;

pub use apply::{Applied, Apply, ApplyError};
pub use change::{AccountId, Change, Step};
pub use compare::Options;
pub use fleet::{Account, Fleet, Permission, Place, Position, Problem};
pub use view::ViewError;

/// What is to be done, and what it takes to do it.
pub struct Plan {
    /// In the order in which it is done.
    pub changes: Vec<Change>,
    /// How many credentials are as they are to be.
    pub as_written: usize,
    view: View,
}

/// There is no plan.
#[derive(Debug, Error)]
pub enum PlanError {
    /// The file names what is not there.
    #[error("the file names what Dfns does not have")]
    Problems(Vec<Problem>),
    /// What there is could not be looked at.
    #[error(transparent)]
    View(#[from] ViewError),
}

/// Compares file, vault and, with a session, Dfns. Nothing is changed.
///
/// # Errors
/// When either cannot be looked at, or the file names what is not there.
pub async fn plan(
    fleet: &Fleet,
    unlocked: &Unlocked<'_>,
    client: &Client,
    session: Option<&UserSession<'_>>,
    options: Options,
) -> Result<Plan, PlanError> {
    let view = View::look(fleet, unlocked, client, session).await?;
    let changes = compare::compare(fleet, &view, options).map_err(PlanError::Problems)?;
    let is_pending = |account: &&Account| {
        let of_it = |change: &Change| change.name == account.name.as_str() && change.step.is_pending();
        changes.iter().any(of_it)
    };
    let pending = fleet.accounts.iter().filter(is_pending).count();
    Ok(Plan {
        as_written: fleet.accounts.len() - pending,
        changes,
        view,
    })
}
