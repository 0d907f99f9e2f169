//! What a reviewed file (docs/fleet.md) wants to be kept true of a credential, as `apply` leaves it with the credential.

use serde::{Deserialize, Serialize};

use super::duration::Span;
use super::ids::CredentialName;

/// Whose a credential is, and when it is due.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upkeep {
    /// The fleet whose file made it or took it over; without one, nobody prunes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<CredentialName>,
    /// How old its key is to become.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_every: Option<Span>,
    /// How long before its end its token is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_before: Option<Span>,
}
