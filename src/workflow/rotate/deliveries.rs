//! The places that a rotation stands between: they get the new key before the old one goes, and the old one before the new one
//! is taken back.

use jiff::Timestamp;

use super::{Job, RotateError, Work};
use crate::model::credential::Credential;
use crate::model::delivery::Delivery;
use crate::model::ids::CredentialName;
use crate::model::rotation::{Outgoing, Rotating};
use crate::workflow::deliver::{DeliveryState, Outcome, Reason};

/// What keeps the old key, or on the way back the new one.
#[derive(Default)]
pub(super) struct Kept {
    /// Places that do not have what is active, though they are to have it.
    pub(super) behind: Vec<Outcome>,
    /// Places that may have the other key, now or soon.
    pub(super) in_the_way: Vec<Outcome>,
}

impl Kept {
    pub(super) fn is_empty(&self) -> bool {
        self.behind.is_empty() && self.in_the_way.is_empty()
    }

    fn into_error(self, name: &CredentialName, key: &'static str) -> RotateError {
        RotateError::Undelivered {
            name: name.clone(),
            key,
            refused: false,
            outcomes: self.behind.into_iter().chain(self.in_the_way).collect(),
        }
    }

    /// The error of a rotation that waits for places to have the new key.
    pub(super) fn waiting(self, name: &CredentialName) -> RotateError {
        self.into_error(name, "new")
    }

    /// The error of a rotation that has ended, and places are behind. What else may have the old key has it in vain.
    pub(super) fn left_behind(self, name: &CredentialName) -> RotateError {
        RotateError::Undelivered {
            name: name.clone(),
            key: "new",
            refused: true,
            outcomes: self.behind,
        }
    }
}

impl Job<'_> {
    /// Delivers the new key to whatever place is behind, and looks at the others.
    pub(super) async fn hand_over(&self, work: &mut Work<'_>, old: &str) -> Result<Kept, RotateError> {
        if work.credential.deliveries.is_empty() {
            return Ok(Kept::default());
        }
        let active = work.credential.current.active.clone();
        let outcomes = self
            .courier
            .deliver(&mut work.credential, &active, &mut work.edit, |place| !place.forgotten)
            .await?;
        let fingerprint = &active.public_key.fingerprint;
        let deliveries = &work.credential.deliveries;
        let behind: Vec<Outcome> = outcomes
            .into_iter()
            .filter(|outcome| {
                outcome.state != DeliveryState::InSync && !taken_elsewhere(outcome, deliveries, fingerprint)
            })
            .collect();
        Ok(self.kept(work, behind, old))
    }

    /// What is behind, and beside that whatever may have the unwanted key.
    fn kept(&self, work: &Work<'_>, behind: Vec<Outcome>, unwanted: &str) -> Kept {
        let now = self.vault.clock().now();
        let active = &work.credential.current.active.public_key.fingerprint;
        let told = |place: &&Delivery| behind.iter().all(|outcome| outcome.target != place.target);
        let others = work.credential.deliveries.iter().filter(told);
        let in_the_way = others.filter_map(|place| may_have(place, unwanted, active, now));
        Kept {
            in_the_way: in_the_way.collect(),
            behind,
        }
    }

    /// Delivers the old key again to whatever place may have the new one.
    pub(super) async fn hand_back(&self, work: &mut Work<'_>, new: &str) -> Result<(), RotateError> {
        if work.credential.deliveries.is_empty() {
            return Ok(());
        }
        let active = work.credential.current.active.clone();
        let now = self.vault.clock().now();
        let concerned = |place: &Delivery| place.may_have(new) || place.may_land_until(new, now).is_some();
        let mut outcomes = self
            .courier
            .deliver(&mut work.credential, &active, &mut work.edit, concerned)
            .await?;
        // Where a program is still to be run, what runs has the new key.
        outcomes.retain(|outcome| outcome.state != DeliveryState::InSync);
        let kept = self.kept(work, outcomes, new);
        if kept.is_empty() {
            Ok(())
        } else {
            Err(kept.into_error(self.name, "old"))
        }
    }
}

/// Whether a place that cannot be looked at from here has taken it from another machine, by its receipt.
fn taken_elsewhere(outcome: &Outcome, deliveries: &[Delivery], fingerprint: &str) -> bool {
    let not_from_here = match &outcome.reason {
        Some(Reason::AnotherPlace { .. }) => true,
        Some(Reason::Place(_)) => outcome.state == DeliveryState::Failed,
        _ => false,
    };
    let place = deliveries.iter().find(|place| place.target == outcome.target);
    not_from_here && place.is_some_and(|place| place.in_sync(fingerprint))
}

/// Why a place may have a key that it is not to have any more.
fn may_have(place: &Delivery, unwanted: &str, wanted: &str, now: Timestamp) -> Option<Outcome> {
    let reason = if let Some(until) = place.may_land_until(unwanted, now) {
        Reason::Settling { until }
    } else if place.may_have(unwanted) {
        Reason::Forgotten
    } else {
        return None;
    };
    Some(Outcome {
        state: DeliveryState::Behind,
        reason: Some(reason),
        ..Outcome::recorded(place, wanted)
    })
}

/// From when the old key's time counts: when the new one became active, or when the last place first had it.
pub(super) fn held_since(credential: &Credential<Rotating>, outgoing: &Outgoing) -> Timestamp {
    let fingerprint = &credential.current.active.public_key.fingerprint;
    let places = credential.deliveries.iter().filter(|place| !place.forgotten);
    let since = places
        .filter_map(|place| place.receipt.as_ref())
        .filter(|receipt| receipt.fingerprint == *fingerprint)
        .map(|receipt| receipt.since);
    since.fold(outgoing.promoted_at, Timestamp::max)
}
