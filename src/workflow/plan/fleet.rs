//! The credentials of an organisation as a reviewed file has them.

use crate::model::credential::Kind;
use crate::model::duration::Span;
use crate::model::ids::{CredentialName, ExternalId};
use crate::model::rotation::Grace;
use crate::model::target::Target;
use crate::model::upkeep::Upkeep;

/// Where something stands in the file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in it.
    pub column: usize,
}

/// Something in the file that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub at: Position,
    /// What, and what was meant where that can be guessed.
    pub message: String,
}

/// All of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    /// What tells its credentials from those of other files.
    pub name: Option<CredentialName>,
    /// In the order of the file.
    pub accounts: Vec<Account>,
}

/// One credential as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name here, and at Dfns.
    pub name: CredentialName,
    /// Service account or personal access token.
    pub kind: Kind,
    /// How many days a new token lives.
    pub days: Option<u32>,
    /// How old its key is to become.
    pub rotate_every: Option<Span>,
    /// How long before its end its token is replaced.
    pub renew_before: Option<Span>,
    /// How long an old key stays beside the new one.
    pub grace: Option<Grace>,
    /// The permissions that it has, and no others; nobody's business where this is left out.
    pub permissions: Option<Vec<Permission>>,
    /// The places that have it, and no others; nobody's business where this is left out.
    pub deliver: Option<Vec<Place>>,
    /// What Dfns is to know a new account by.
    pub external_id: Option<ExternalId>,
}

/// A permission as the file names it: by its name or its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// Its name or id.
    pub text: String,
    /// Where it stands.
    pub at: Position,
}

/// A place that has a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which.
    pub target: Target,
    /// The words of a program to be run there after a change.
    pub then: Vec<String>,
}

impl Fleet {
    /// What is left with a credential of it.
    #[must_use]
    pub fn upkeep(&self, account: &Account) -> Upkeep {
        Upkeep {
            fleet: self.name.clone(),
            rotate_every: account.rotate_every,
            renew_before: account.renew_before,
        }
    }

    /// Whether it names this credential.
    #[must_use]
    pub fn has(&self, name: &CredentialName) -> bool {
        self.accounts.iter().any(|account| account.name == *name)
    }
}

impl Place {
    /// Whether a place that is remembered is this one. One that leaves its machine out is where it was first put.
    #[must_use]
    pub fn is(&self, target: &Target) -> bool {
        match target.host() {
            Some(host) => self.target.clone().on(host) == *target,
            None => self.target == *target,
        }
    }

    /// Whether what is put to one of them is in the way of what is put to the other.
    #[must_use]
    pub fn collides(&self, other: &Target) -> bool {
        let host = self.target.host().or(other.host()).unwrap_or("localhost");
        self.target.clone().on(host).same_place(&other.clone().on(host))
    }
}
