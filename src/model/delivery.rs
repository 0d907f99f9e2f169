//! What is remembered of each place that a credential is kept up to date in. It is sealed with the credential, so that
//! whoever can write to the vault cannot send a secret elsewhere.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::effect::SETTLED_AFTER;
use super::target::{Target, TargetKind};

/// A place, and what it holds as far as is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// The place.
    pub target: Target,
    /// What the target was resolved to when it was first delivered to: it is delivered nowhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What tells that from other places: not all of it may be shown. Files of before lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place_digest: Option<String>,
    /// The words of a program to run after a changed delivery.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub then: Vec<String>,
    /// What it was last seen to have taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
    /// It was seen to have something else since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
    /// What was put since, and may be there instead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intents: Vec<Intent>,
    /// What was put before, in attempts whose end nobody saw: it may still land.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub late: Vec<Intent>,
    /// The program is still to be run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub then_pending: bool,
    /// It is delivered to no more, and is remembered until the rotation ends that it may stand in the way of.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forgotten: bool,
}

/// That a place has a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Of the key.
    pub fingerprint: String,
    /// When it was last put, or seen there.
    pub delivered_at: Timestamp,
    /// When it was first seen to have taken it.
    pub since: Timestamp,
    /// It was read there, too.
    pub read_back: bool,
}

/// That a key is being put somewhere. It is sealed before the attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// Of the key.
    pub fingerprint: String,
    /// When the attempt was begun.
    pub at: Timestamp,
    /// The attempt was seen to end: it lands no later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
}

impl Intent {
    fn may_land(&self, now: Timestamp) -> Option<Timestamp> {
        let settled = self.at.checked_add(SETTLED_AFTER).unwrap_or(Timestamp::MAX);
        (!self.ended && settled > now).then_some(settled)
    }
}

impl Delivery {
    /// A place that nothing was put to yet.
    #[must_use]
    pub fn new(target: Target, then: Vec<String>) -> Self {
        Self {
            target,
            place: None,
            place_digest: None,
            then,
            receipt: None,
            lost: false,
            intents: Vec::new(),
            late: Vec::new(),
            then_pending: false,
            forgotten: false,
        }
    }

    /// Whether it has this key, and nothing else was put since.
    #[must_use]
    pub fn has(&self, fingerprint: &str) -> bool {
        let received = self
            .receipt
            .as_ref()
            .is_some_and(|receipt| receipt.fingerprint == fingerprint);
        received && !self.lost && self.intents.iter().all(|intent| intent.fingerprint == fingerprint)
    }

    /// Whether nothing is left to be done for this key.
    #[must_use]
    pub fn in_sync(&self, fingerprint: &str) -> bool {
        self.has(fingerprint) && !self.then_pending
    }

    /// Whether it may have this key now: by its receipt, or by an attempt since.
    #[must_use]
    pub fn may_have(&self, fingerprint: &str) -> bool {
        let received = self.receipt.iter().map(|receipt| &receipt.fingerprint);
        let put = self.intents.iter().map(|intent| &intent.fingerprint);
        received.chain(put).any(|one| one == fingerprint)
    }

    /// Until when an attempt with this key whose end nobody saw may still land.
    #[must_use]
    pub fn may_land_until(&self, fingerprint: &str, now: Timestamp) -> Option<Timestamp> {
        self.intents
            .iter()
            .chain(&self.late)
            .filter(|intent| intent.fingerprint == fingerprint)
            .filter_map(|intent| intent.may_land(now))
            .max()
    }

    /// Whether what is there was put over by another of the same place: that one then knows what may still land of it.
    pub fn replaces(&mut self, forgotten: &Self, fingerprint: &str) -> bool {
        let same = self.target == forgotten.target && self.place_digest == forgotten.place_digest;
        if !forgotten.forgotten || !same || !self.has(fingerprint) {
            return false;
        }
        self.late.extend_from_slice(&forgotten.late);
        self.late.extend_from_slice(&forgotten.intents);
        true
    }

    /// An attempt begins.
    pub fn intend(&mut self, fingerprint: &str, now: Timestamp) {
        self.intents.push(Intent {
            fingerprint: fingerprint.to_owned(),
            at: now,
            // What this process writes itself ends with it.
            ended: matches!(self.target.kind(), TargetKind::File | TargetKind::SystemdCreds),
        });
        self.then_pending = !self.then.is_empty();
    }

    /// The attempt that was begun last is over, and lands no later.
    pub fn ended(&mut self) {
        if let Some(last) = self.intents.last_mut() {
            last.ended = true;
        }
    }

    /// The attempt that was begun last came to nothing.
    pub fn nothing_was_put(&mut self) {
        self.intents.pop();
    }

    /// It has this key. Only attempts that may still land are remembered beside that.
    pub fn confirm(&mut self, fingerprint: &str, read_back: bool, now: Timestamp) {
        let had = self.has(fingerprint);
        let since = match &self.receipt {
            Some(receipt) if receipt.fingerprint == fingerprint => receipt.since,
            _ => now,
        };
        if !had && !self.then.is_empty() {
            self.then_pending = true;
        }
        self.lost = false;
        self.late.append(&mut self.intents);
        self.late.retain(|intent| intent.may_land(now).is_some());
        self.receipt = Some(Receipt {
            fingerprint: fingerprint.to_owned(),
            delivered_at: now,
            since,
            read_back,
        });
    }
}

/// What lists show of a place, without unlocking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicDelivery {
    /// The place.
    pub target: Target,
    /// What it was last seen to have taken.
    pub fingerprint: Option<String>,
    /// When.
    pub delivered_at: Option<Timestamp>,
    /// It was read there, too.
    pub read_back: bool,
    /// Nothing is left to be done.
    pub in_sync: bool,
    /// A program is run there after each change.
    pub then: bool,
}

impl PublicDelivery {
    /// What may be known of a place by whoever can read the vault's files.
    #[must_use]
    pub fn of(delivery: &Delivery, fingerprint: &str) -> Self {
        let receipt = delivery.receipt.as_ref();
        Self {
            target: delivery.target.clone(),
            fingerprint: receipt.map(|receipt| receipt.fingerprint.clone()),
            delivered_at: receipt.map(|receipt| receipt.delivered_at),
            read_back: receipt.is_some_and(|receipt| receipt.read_back),
            in_sync: delivery.in_sync(fingerprint),
            then: !delivery.then.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minute * 60).unwrap()
    }

    fn delivery() -> Delivery {
        Delivery::new("plugin:a".parse().unwrap(), Vec::new())
    }

    #[test]
    fn a_place_may_have_what_it_was_seen_to_have_and_what_was_put_since() {
        let mut place = delivery();
        place.intend("old", at(0));
        place.ended();
        place.confirm("old", true, at(0));
        place.intend("new", at(1));
        assert!(place.may_have("old") && place.may_have("new"));
        assert!(!place.has("old") && !place.has("new"));
        place.confirm("new", false, at(2));
        assert!(!place.may_have("old") && place.in_sync("new"));
    }

    #[test]
    fn an_attempt_whose_end_nobody_saw_may_land_for_a_while() {
        let mut place = delivery();
        place.intend("old", at(0));
        place.confirm("old", true, at(1));
        place.intend("new", at(2));
        place.ended();
        place.confirm("new", true, at(2));
        assert_eq!(place.may_land_until("old", at(3)), Some(at(10)));
        assert_eq!(place.may_land_until("old", at(10)), None);
        assert_eq!(place.may_land_until("new", at(3)), None);
    }

    #[test]
    fn putting_a_key_again_does_not_move_the_time_since_when_it_is_there() {
        let mut place = delivery();
        place.confirm("k", true, at(0));
        place.intend("k", at(5));
        place.confirm("k", true, at(6));
        let receipt = place.receipt.unwrap();
        assert_eq!((receipt.since, receipt.delivered_at), (at(0), at(6)));
    }

    #[test]
    fn a_program_is_to_be_run_after_a_change_and_not_after_a_repetition() {
        let mut place = Delivery::new("file:/a?host=h".parse().unwrap(), vec!["true".to_owned()]);
        place.confirm("k", true, at(0));
        assert!(place.then_pending && !place.in_sync("k"));
        place.then_pending = false;
        place.confirm("k", true, at(1));
        assert!(place.in_sync("k"));
        place.intend("k", at(2));
        place.confirm("k", true, at(2));
        assert!(place.then_pending, "it was put again, so that it had changed");
    }
}
