//! How a delivery stands, as it is told of.

use jiff::Timestamp;
use thiserror::Error;

use super::Look;
use crate::deliver::PlaceError;
use crate::export::ExportError;
use crate::model::delivery::Delivery;
use crate::model::target::Target;
use crate::vault::VaultError;

/// A credential could not be delivered at all.
#[derive(Debug, Error)]
pub enum DeliverError {
    /// It is not known under which id a program signs.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Whether a place has what it should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It took it, or it was seen there, and nothing is left to be done.
    InSync,
    /// It does not have it, or a program is still to be run there.
    Behind,
    /// It was tried, and did not work.
    Failed,
    /// The answer was lost, and the place cannot be read.
    Unknown,
}

impl DeliveryState {
    /// The word in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InSync => "in_sync",
            Self::Behind => "behind",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// Why a place does not have what it should have.
#[derive(Debug, Error)]
pub enum Reason {
    /// It is on another machine.
    #[error("it is on {host}, and is delivered from there")]
    Elsewhere {
        /// Which.
        host: String,
    },
    /// From here, the target leads to another place than the one it was sealed with.
    #[error("another place: from here it leads to {}, and it was sealed for {sealed}", .found.as_deref().unwrap_or("no place known"))]
    AnotherPlace {
        /// Where it led to.
        sealed: String,
        /// Where it leads to.
        found: Option<String>,
    },
    /// The target asks for what is not there.
    #[error("it cannot be delivered to: {0}")]
    Unusable(String),
    /// Its tool, or the place itself.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// It said that it took it, and has something else.
    #[error("it took the new one, and has another")]
    NotSeen,
    /// It was looked at, and has something else or nothing.
    #[error("it does not have what is active now")]
    Lacks,
    /// The program to be run after a delivery.
    #[error("it was delivered, but the program to be run then: {0}")]
    Then(PlaceError),
    /// An attempt with another key, whose end nobody saw, may still land.
    #[error("an attempt to put the other key, whose end nobody saw, may still land until {until}")]
    Settling {
        /// Until when.
        until: Timestamp,
    },
    /// It is delivered to no more, and may have what is to be refused.
    #[error("it was forgotten, and may still have the key that is to be refused")]
    Forgotten,
}

/// How a delivery stands.
#[derive(Debug)]
pub struct Outcome {
    /// The place.
    pub target: Target,
    /// Where it leads to, where that is sealed with it.
    pub place: Option<String>,
    /// Whether it has what it should have.
    pub state: DeliveryState,
    /// Of the key that it was last seen to have.
    pub fingerprint: Option<String>,
    /// When it was put there, or seen.
    pub delivered_at: Option<Timestamp>,
    /// It was read there.
    pub read_back: bool,
    /// It took it in this run.
    pub arrived: bool,
    /// Why it does not have what it should have.
    pub reason: Option<Reason>,
}

impl Outcome {
    /// As the receipts have it, with what went wrong, and whether it is not known what became of it.
    pub(super) fn of(delivery: &Delivery, fingerprint: &str, reason: Option<(Reason, bool)>) -> Self {
        let state = match &reason {
            Some((_, true)) => DeliveryState::Unknown,
            Some((Reason::Place(_) | Reason::NotSeen | Reason::Unusable(_), _)) => DeliveryState::Failed,
            None if delivery.in_sync(fingerprint) => DeliveryState::InSync,
            Some(_) | None => DeliveryState::Behind,
        };
        let receipt = delivery.receipt.as_ref();
        Self {
            target: delivery.target.clone(),
            place: delivery.place.clone(),
            state,
            fingerprint: receipt.map(|receipt| receipt.fingerprint.clone()),
            delivered_at: receipt.map(|receipt| receipt.delivered_at),
            read_back: receipt.is_some_and(|receipt| receipt.read_back),
            arrived: false,
            reason: reason.map(|(reason, _)| reason),
        }
    }

    /// As the receipts have it, without a look.
    #[must_use]
    pub fn recorded(delivery: &Delivery, fingerprint: &str) -> Self {
        Self::of(delivery, fingerprint, None)
    }

    /// As it was seen.
    pub(super) fn seen(delivery: &Delivery, fingerprint: &str, look: Look) -> Self {
        let recorded = Self::recorded(delivery, fingerprint);
        let (state, reason, read_back) = match look {
            Look::Has if delivery.then_pending => (DeliveryState::Behind, None, true),
            Look::Has => {
                return Self {
                    state: DeliveryState::InSync,
                    fingerprint: Some(fingerprint.to_owned()),
                    read_back: true,
                    ..recorded
                };
            }
            Look::Lacks => (DeliveryState::Behind, Some(Reason::Lacks), true),
            Look::Closed => (recorded.state, None, false),
            // What is on another machine is judged by its receipt.
            Look::Not(reason @ Reason::Elsewhere { .. }) => {
                let reason = (recorded.state != DeliveryState::InSync).then_some(reason);
                (recorded.state, reason, false)
            }
            Look::Not(reason @ Reason::Unusable(_)) => (DeliveryState::Failed, Some(reason), false),
            Look::Not(reason @ Reason::AnotherPlace { .. }) => (DeliveryState::Behind, Some(reason), false),
            Look::Not(reason) => (DeliveryState::Unknown, Some(reason), false),
            Look::Unsure(error) => (DeliveryState::Unknown, Some(Reason::Place(error)), false),
        };
        Self {
            state,
            read_back,
            reason,
            ..recorded
        }
    }
}
