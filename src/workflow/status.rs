//! What needs somebody, most urgent first: from what is public of the credentials and from the log. Nothing is unlocked and nobody
//! is asked, so nobody vouches for it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::credential::State;
use crate::model::duration::Span;
use crate::model::ids::CredentialName;
use crate::model::record::PublicRecord;
use crate::model::rotation::Grace;
use crate::model::target::Target;
use crate::vault::log::{Entries, Entry, REFUSED, REMOVED, VERIFIED};
use crate::vault::{Vault, VaultError};

/// What is begun and stands still for so long waits for somebody.
const STANDS_STILL: Duration = Duration::from_secs(24 * 60 * 60);

/// A token that ends within this time ends soon, where nobody says otherwise.
const ENDS_SOON: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Why a credential needs somebody. The order is that of urgency.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attention {
    /// Its token has ended.
    TokenExpired {
        /// When.
        at: Timestamp,
    },
    /// It was not good when it was last verified.
    VerifyRefused {
        /// When.
        at: Timestamp,
    },
    /// Its file is older than what this machine has seen.
    Rollback,
    /// Nobody vouches for it.
    Unauthenticated,
    /// Its token ends soon.
    TokenExpiring {
        /// When.
        at: Timestamp,
    },
    /// A place does not have what is active.
    DeliveryBehind {
        /// Which.
        target: Target,
        /// It has another key, or may have.
        has_another: bool,
    },
    /// A rotation waits for somebody.
    RotationStalled {
        /// Since when it could have gone on.
        since: Timestamp,
        /// The new key is active, and the old one is to be retired.
        promoted: bool,
    },
    /// An onboarding waits for somebody.
    OnboardingStalled {
        /// When it began.
        since: Timestamp,
    },
    /// Its key is older than it is to become.
    KeyOld {
        /// When it was made.
        since: Timestamp,
    },
    /// It is sealed to an older list of recipients than the one in force.
    RecipientsOutdated,
}

impl Attention {
    /// The word for scripts.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::TokenExpired { .. } => "token_expired",
            Self::VerifyRefused { .. } => "verify_refused",
            Self::Rollback => "rollback",
            Self::Unauthenticated => "unauthenticated",
            Self::TokenExpiring { .. } => "token_expiring",
            Self::DeliveryBehind { .. } => "delivery_behind",
            Self::RotationStalled { .. } => "rotation_stalled",
            Self::OnboardingStalled { .. } => "onboarding_stalled",
            Self::KeyOld { .. } => "key_old",
            Self::RecipientsOutdated => "recipients_outdated",
        }
    }
}

/// From when on something needs somebody.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A token that ends within this time; without it, each one's own time, or 30 days.
    pub expiring: Option<Duration>,
    /// A key that is older; without it, each one's own time, or keys are as old as they like.
    pub older_than: Option<Duration>,
}

/// One credential, as it stands.
pub struct Standing {
    /// What is public of it.
    pub record: PublicRecord,
    /// It says itself that nobody vouches for it.
    pub unauthenticated: bool,
    /// When it was last verified and good.
    pub last_verified_at: Option<Timestamp>,
    /// What needs somebody, most urgent first.
    pub attention: Vec<Attention>,
}

impl Standing {
    /// When its key was made.
    #[must_use]
    pub fn key_created_at(&self) -> Timestamp {
        self.record.rotated_at.unwrap_or(self.record.created_at)
    }
}

/// All of a vault.
pub struct Survey {
    /// One a credential, by name.
    pub credentials: Vec<Standing>,
    /// What could not be read.
    pub damaged: Vec<VaultError>,
    /// This machine has seen the vault before, and notices an older copy.
    pub remembered: bool,
    /// What the log says; or why it cannot be read.
    pub log: Result<LogFacts, VaultError>,
}

impl Survey {
    /// How many credentials need somebody.
    #[must_use]
    pub fn in_need(&self) -> usize {
        let in_need = self
            .credentials
            .iter()
            .filter(|standing| !standing.attention.is_empty());
        in_need.count()
    }
}

/// What the log says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LogFacts {
    /// How many lines it has.
    pub lines: u64,
    /// How many of them are no records.
    pub damaged: u64,
    /// The hash that stands for all of it.
    pub head: String,
    verified: BTreeMap<CredentialName, Verified>,
}

/// What came of verifying a credential.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Verified {
    passed: Option<Timestamp>,
    /// The last time, if it was refused then, and whose key it was.
    refused: Option<(Timestamp, Option<String>)>,
}

impl LogFacts {
    fn read(vault: &Vault) -> Result<Self, VaultError> {
        let head = vault.log_head()?;
        Ok(Self {
            head,
            ..Self::of(vault.events()?)?
        })
    }

    fn of(mut entries: Entries) -> Result<Self, VaultError> {
        let mut facts = Self::default();
        for entry in entries.by_ref() {
            let record = match entry? {
                Entry::Record(record) => record,
                Entry::Damaged { .. } => {
                    facts.damaged += 1;
                    continue;
                }
            };
            let from = record.renamed_from();
            let Some(name) = record.name else { continue };
            if let Some(from) = from {
                let known = facts.verified.remove(&from);
                facts.verified.insert(name, known.unwrap_or_default());
                continue;
            }
            match &*record.action {
                VERIFIED => {
                    let known = facts.verified.entry(name).or_default();
                    (known.passed, known.refused) = (Some(record.at), None);
                }
                REFUSED => {
                    let known = facts.verified.entry(name).or_default();
                    known.refused = Some((record.at, record.fingerprint));
                }
                REMOVED => {
                    facts.verified.remove(&name);
                }
                _ => {}
            }
        }
        facts.lines = entries.lines();
        Ok(facts)
    }
}

/// Looks at all that is public.
///
/// # Errors
/// When the vault cannot be read. A file that cannot be read hides no other, nor does the log.
pub async fn survey(vault: &Vault, limits: Limits) -> Result<Survey, VaultError> {
    let now = vault.clock().now();
    let listed = vault.list().await?;
    let older = vault.older_than_seen(&listed)?;
    let remembered = older.is_some();
    let older = older.unwrap_or_default();
    let log = LogFacts::read(vault);
    let mut survey = Survey {
        credentials: Vec::new(),
        damaged: Vec::new(),
        remembered,
        log,
    };
    for listed in listed {
        let record = match listed.record {
            Ok(record) => record,
            Err(error) => {
                survey.damaged.push(error);
                continue;
            }
        };
        let known = survey.log.as_ref().ok().and_then(|log| log.verified.get(&record.name));
        let seen = Seen {
            refused_at: known.and_then(|known| known.refused.as_ref()).and_then(|(at, key)| {
                // What was said of another key says nothing of this one.
                (key.as_ref().is_none_or(|key| *key == record.fingerprint)).then_some(*at)
            }),
            older: older.contains(&record.name),
            unauthenticated: listed.unauthenticated,
            outdated: listed.outdated,
        };
        survey.credentials.push(Standing {
            last_verified_at: known.and_then(|known| known.passed),
            unauthenticated: listed.unauthenticated,
            attention: attention(&record, &seen, limits, now),
            record,
        });
    }
    Ok(survey)
}

/// What is known of a credential beside its record.
struct Seen {
    refused_at: Option<Timestamp>,
    older: bool,
    unauthenticated: bool,
    outdated: bool,
}

impl Limits {
    /// What counts for this credential: what was asked for, or else what a reviewed file wants of it.
    fn of(self, record: &PublicRecord) -> (Duration, Option<Duration>) {
        let upkeep = record.upkeep.as_ref();
        let renewed = upkeep.and_then(|upkeep| upkeep.renew_before).map(Span::duration);
        let rotated = upkeep.and_then(|upkeep| upkeep.rotate_every).map(Span::duration);
        (
            self.expiring.or(renewed).unwrap_or(ENDS_SOON),
            self.older_than.or(rotated),
        )
    }
}

fn attention(record: &PublicRecord, seen: &Seen, limits: Limits, now: Timestamp) -> Vec<Attention> {
    let (expiring, older_than) = limits.of(record);
    let passed = |since: Timestamp, span: Duration| now.duration_since(since).unsigned_abs() > span && now > since;
    let mut found = Vec::new();
    if let Some(at) = record.token_expires_at {
        if at <= now {
            found.push(Attention::TokenExpired { at });
        } else if at.duration_since(now).unsigned_abs() <= expiring {
            found.push(Attention::TokenExpiring { at });
        }
    }
    found.extend(seen.refused_at.map(|at| Attention::VerifyRefused { at }));
    found.extend(seen.older.then_some(Attention::Rollback));
    found.extend(seen.unauthenticated.then_some(Attention::Unauthenticated));
    found.extend(seen.outdated.then_some(Attention::RecipientsOutdated));
    let behind = record.deliveries.iter().filter(|delivery| !delivery.in_sync);
    found.extend(behind.map(|delivery| {
        Attention::DeliveryBehind {
            target: delivery.target.clone(),
            has_another: delivery
                .fingerprint
                .as_ref()
                .is_some_and(|key| *key != record.fingerprint),
        }
    }));
    if let Some(rotation) = &record.rotation {
        let grace = match rotation.grace {
            Grace::Manual => Duration::ZERO,
            Grace::Seconds(seconds) => Duration::from_secs(seconds),
        };
        let since = match rotation.promoted_at {
            Some(at) => at.checked_add(grace).unwrap_or(Timestamp::MAX),
            None => rotation.started_at,
        };
        if passed(since, STANDS_STILL) {
            let promoted = rotation.promoted_at.is_some();
            found.push(Attention::RotationStalled { since, promoted });
        }
    }
    if record.state == State::Pending && passed(record.created_at, STANDS_STILL) {
        let since = record.created_at;
        found.push(Attention::OnboardingStalled { since });
    }
    let since = record.rotated_at.unwrap_or(record.created_at);
    let old = older_than.is_some_and(|most| passed(since, most));
    if old && record.state == State::Active {
        found.push(Attention::KeyOld { since });
    }
    found.sort();
    found
}
