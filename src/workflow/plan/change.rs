//! What is to be done, a change at a time, and why.

use super::fleet::Place;
use crate::api::accounts::RemoteAccount;
use crate::model::credential::Kind;
use crate::model::ids::{AssignmentId, CredentialName, IdentityId, PermissionId};
use crate::model::target::Target;
use crate::model::upkeep::Upkeep;

/// An account at Dfns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountId {
    /// Service account or personal access token.
    pub kind: Kind,
    /// What it is addressed by.
    pub id: IdentityId,
}

impl From<&RemoteAccount> for AccountId {
    fn from(account: &RemoteAccount) -> Self {
        Self {
            kind: account.kind,
            id: account.identity_id.clone(),
        }
    }
}

/// One thing to be done, or to be known.
#[derive(Debug, Clone)]
pub struct Change {
    /// The credential; for one that is in nobody's file, the account's name at Dfns.
    pub name: String,
    /// What.
    pub step: Step,
    /// Why.
    pub reason: String,
    /// What it takes that this run does not have.
    pub needs: Option<String>,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub enum Step {
    /// The account is made.
    Create,
    /// An account that was begun is finished.
    Resume,
    /// A rotation that was begun goes on.
    GoOn,
    /// Key and token are replaced by a new account's, if the key is still that of this fingerprint.
    Renew(String),
    /// The key is replaced, if it is still that of this fingerprint.
    Rotate(String),
    /// The old key is refused from now on.
    Retire,
    /// The account is given a permission.
    Grant(AccountId, PermissionId),
    /// A permission is taken from it.
    Revoke(PermissionId, AssignmentId),
    /// Its token is accepted again.
    Activate(AccountId),
    /// Its tokens are refused from now on.
    Deactivate(Vec<AccountId>),
    /// It is put somewhere.
    Deliver(Place),
    /// It is put there no more.
    Forget(Target),
    /// Something is to be done, and not by this program.
    Blocked,
    /// Nothing is to be done but to remember what the file wants of it.
    Note(Upkeep),
    /// Nothing is to be done, and somebody may want to know why.
    None,
    /// It is in neither the file nor the vault.
    Unmanaged,
}

impl Step {
    /// The word in documents.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Resume | Self::GoOn => "resume",
            Self::Renew(_) => "renew",
            Self::Rotate(_) => "rotate",
            Self::Retire => "retire",
            Self::Grant(..) => "grant",
            Self::Revoke(..) => "revoke",
            Self::Activate(_) => "activate",
            Self::Deactivate(_) => "deactivate",
            Self::Deliver(_) => "deliver",
            Self::Forget(_) => "forget",
            Self::Blocked => "blocked",
            Self::Note(_) | Self::None => "none",
            Self::Unmanaged => "unmanaged",
        }
    }

    /// Whether it is something to be done, by this program or by somebody.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !matches!(self, Self::Note(_) | Self::None | Self::Unmanaged)
    }

    /// Whether this program does it.
    #[must_use]
    pub fn is_work(&self) -> bool {
        self.is_pending() && !matches!(self, Self::Blocked)
    }
}

impl Change {
    pub(super) fn new(name: &CredentialName, step: Step, reason: impl Into<String>) -> Self {
        Self {
            name: name.to_string(),
            step,
            reason: reason.into(),
            needs: None,
        }
    }

    pub(super) fn needs(self, needs: impl Into<String>) -> Self {
        Self {
            needs: Some(needs.into()),
            ..self
        }
    }
}
