//! Where a rotation stands, as it is told of.

use jiff::Timestamp;

use super::deliveries::held_since;
use super::dependents::Dependents;
use super::ends;
use crate::model::credential::Credential;
use crate::model::key_uri::KeyUri;
use crate::model::record::PublicRecord;
use crate::model::rotation::{Grace, Next, NextStep, Rotating, RotationStage, Strategy};

/// Where a rotation stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The credential's public record.
    pub record: PublicRecord,
    /// How the new key comes to Dfns, while a rotation is under way.
    pub strategy: Option<Strategy>,
    /// The step it is at; without a rotation under way `retired` or `rolled_back`, as the last one ended, or `none`.
    pub step: &'static str,
    /// When the old key may go, where a time is set.
    pub retires_at: Option<Timestamp>,
    /// The fingerprint of the old key, while it is on its way out and when it has just been retired.
    pub old_fingerprint: Option<String>,
    /// Where a key is held that nothing signs with any more, when it has just been retired or undone.
    pub unneeded_key: Option<KeyUri>,
    /// The account that a person is to make, while its token is waited for.
    pub awaited: Option<AwaitedAccount>,
    /// Other names of the vault that sign with the old key, while it is on its way out.
    pub dependents: Option<Dependents>,
}

/// An account that a person is to make in the dashboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwaitedAccount {
    /// A name that no other account has.
    pub name: String,
    /// The public key to paste.
    pub public_key: String,
}

/// How a rotation ends: the old key is refused and forgotten.
pub const RETIRED: &str = "retired";
/// The new key is active, and there is no place to deliver it to.
pub const PROMOTED: &str = "promoted";
/// The new key is active, and places are behind.
pub const DELIVERING: &str = "delivering";
/// The new key is active, and every place has it.
pub const DELIVERED: &str = "delivered";
/// How a rotation ends that was undone.
pub const ROLLED_BACK: &str = "rolled_back";

pub(super) fn idle(record: PublicRecord, step: &'static str) -> Standing {
    Standing {
        record,
        strategy: None,
        step,
        retires_at: None,
        old_fingerprint: None,
        unneeded_key: None,
        awaited: None,
        dependents: None,
    }
}

/// How far the places are to which the new key is delivered.
fn delivered(credential: &Credential<Rotating>) -> &'static str {
    let fingerprint = &credential.current.active.public_key.fingerprint;
    let mut places = credential.deliveries.iter().filter(|place| !place.forgotten).peekable();
    if places.peek().is_none() {
        PROMOTED
    } else if places.all(|place| place.in_sync(fingerprint)) {
        DELIVERED
    } else {
        DELIVERING
    }
}

/// When the old key may go, where a time is set: by this grace period, or the one that the rotation was begun with.
#[must_use]
pub fn retires_at(credential: &Credential<Rotating>, grace: Option<Grace>) -> Option<Timestamp> {
    let Rotating { journal, stage, .. } = &credential.current;
    match stage {
        RotationStage::Preparing(_) => None,
        RotationStage::Retiring(outgoing) => ends(grace.unwrap_or(journal.grace), held_since(credential, outgoing)),
    }
}

pub(super) fn standing(credential: &Credential<Rotating>, dependents: Dependents) -> Standing {
    let Rotating { journal, stage, .. } = &credential.current;
    let (step, retires_at) = match stage {
        _ if journal.rolling_back => ("rolling_back", None),
        RotationStage::Preparing(next) => (
            match next.step {
                NextStep::KeySealed => "key_sealed",
                NextStep::Registering => "registering",
                NextStep::Registered(_) => "registered",
                NextStep::Proven(_) => "proven",
            },
            None,
        ),
        RotationStage::Retiring(outgoing) if outgoing.retiring => ("retiring", None),
        RotationStage::Retiring(outgoing) => (
            delivered(credential),
            ends(journal.grace, held_since(credential, outgoing)),
        ),
    };
    Standing {
        record: PublicRecord::from(credential),
        strategy: Some(journal.strategy),
        step,
        retires_at,
        old_fingerprint: match stage {
            RotationStage::Preparing(_) => None,
            RotationStage::Retiring(outgoing) => Some(outgoing.previous.public_key.fingerprint.clone()),
        },
        unneeded_key: None,
        awaited: match stage {
            RotationStage::Preparing(Next {
                public_key,
                step: NextStep::KeySealed | NextStep::Registering,
                ..
            }) if journal.strategy == Strategy::Dashboard && !journal.rolling_back => Some(AwaitedAccount {
                name: journal.account_name.clone(),
                public_key: public_key.pem.clone(),
            }),
            _ => None,
        },
        dependents: Some(dependents).filter(|dependents| !dependents.names.is_empty()),
    }
}
