//! Rotation: a new key comes in, is proven, and becomes active; the old one works on until it is retired.
//!
//! A state machine whose every step is sealed before the remote call that needs it and again after. At every instant what
//! the vault calls active works, and any later run finishes what an earlier one began.

mod deliveries;
mod dependents;
mod incoming;
mod late;
mod outgoing;
mod standing;

use jiff::Timestamp;
use thiserror::Error;

use crate::api::{Access, ApiError, CallError, Client, UserSession};
use crate::keys::{KeyError, KeyPair, PrivateKey, RandomnessError, pem};
use crate::model::credential::{ActiveGeneration, AnyCredential, Credential, Kind};
use crate::model::ids::{CredentialId, CredentialName, ExternalId};
use crate::model::quoted;
use crate::model::record::PublicRecord;
use crate::model::rotation::{Grace, Journal, Next, NextStep, Rotating, RotationStage, Strategy};
use crate::model::secret::PrivateKeyPem;
use crate::model::token::AuthToken;
use crate::vault::{Edit, Unlocked, Vault, VaultError};
use crate::workflow::deliver::{Courier, DeliverError, Outcome};
use crate::workflow::refusal::Refusal;
use crate::workflow::sharing::Neighbours;

use deliveries::{Kept, held_since};
use standing::{idle, standing};

pub use dependents::{Dependents, Shared};
pub use standing::{AwaitedAccount, DELIVERED, DELIVERING, PROMOTED, RETIRED, ROLLED_BACK, Standing};

/// A rotation did not go on. Run again, it goes on from where it stopped.
#[derive(Debug, Error)]
pub enum RotateError {
    /// Only service accounts and personal access tokens that are active can be rotated.
    #[error("{name} is {state}, and only an active service account or personal access token can be rotated")]
    NotRotatable {
        /// The credential.
        name: CredentialName,
        /// What it is.
        state: String,
    },
    /// Nothing is under way.
    #[error("no rotation of {0} is under way")]
    NotRotating(CredentialName),
    /// The new key is not active yet, so the old one cannot go.
    #[error("the new key of {0} is not active yet")]
    NotPromoted(CredentialName),
    /// Dfns does not let this identity have a second key.
    #[error("Dfns does not let {name} register a second key{}", .message.as_ref().map(|text| format!(" (it says: \"{text}\")")).unwrap_or_default())]
    NotOffered {
        /// The credential.
        name: CredentialName,
        /// What Dfns said.
        message: Option<String>,
        /// This way and no other was asked for.
        asked_for: bool,
    },
    /// An organisation's user has to act.
    #[error("{0} needs an organisation's user")]
    NeedsAdministrator(&'static str),
    /// A personal access token is of the user who makes it, and this one is another's.
    #[error("the token of {0} is not known to be of this user, and a new one would be")]
    OtherUsers(CredentialName),
    /// The old account is not among those the administrator sees.
    #[error("the account of {0} is not among those at Dfns")]
    AccountUnknown(CredentialName),
    /// A person is to make a new account and bring its token.
    #[error("{0} waits for the token of a new account")]
    AwaitingToken(CredentialName),
    /// A token was brought that nothing can be done with.
    #[error("no rotation of {0} waits for a token")]
    TokenNotAwaited(CredentialName),
    /// Somebody has to approve it.
    #[error("{0} waits for a policy approval at Dfns")]
    AwaitingApproval(&'static str),
    /// A call failed.
    #[error("{doing}: {error}")]
    Call {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        error: CallError,
    },
    /// The new key, or the old one on the way back, is not accepted.
    #[error("{which}: {refusal}")]
    Refused {
        /// Which.
        which: &'static str,
        /// The diagnosis.
        refusal: Refusal,
    },
    /// The old key is dead, so the rotation cannot be undone.
    #[error("there is no way back to the old key of {name}: {refusal}")]
    NoWayBack {
        /// The credential.
        name: CredentialName,
        /// The diagnosis.
        refusal: Refusal,
    },
    /// Other names of the vault sign with what is to be retired.
    #[error("{}", still_used(.0))]
    StillUsed(Dependents),
    /// Places are not as they are to be before a key goes.
    #[error("not every place of {name} has the {key} key: {}", told(.outcomes))]
    Undelivered {
        /// The credential.
        name: CredentialName,
        /// Which key they are to have: the new one, or on the way back the old one.
        key: &'static str,
        /// The old one is refused already, so that whatever has it does not work.
        refused: bool,
        /// Those that stand in the way.
        outcomes: Vec<Outcome>,
    },
    /// The credential cannot be delivered.
    #[error(transparent)]
    Deliver(#[from] DeliverError),
    /// The new identity may do less than the old one.
    #[error("the new account lacks permissions of the old one: {}", quoted::listed(.0))]
    FewerPermissions(Vec<String>),
    /// Dfns still accepts what should be refused by now.
    #[error("Dfns still accepts {0}")]
    StillHonoured(&'static str),
    /// A call against what was asked for would race with it.
    #[error("{doing} was asked for at {asked_at}, and may still take effect")]
    Unsettled {
        /// What was asked for.
        doing: &'static str,
        /// When, by Dfns's clock.
        asked_at: Timestamp,
        /// Until when it may still come, by Dfns's clock.
        until: Timestamp,
    },
    /// New accounts keep becoming orphans.
    #[error("the answers to {0} creations were lost one after the other")]
    TooManyOrphans(usize),
    /// A sealed key is unusable.
    #[error("a sealed key of {name} {error}")]
    Key {
        /// The credential.
        name: CredentialName,
        /// In which way.
        error: KeyError,
    },
    /// The operating system gave no randomness.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// What the user wants of a rotation.
#[derive(Clone, Default)]
pub struct Plan {
    /// How the new key is to come to Dfns; the first way that Dfns offers, where left out.
    pub strategy: Option<Strategy>,
    /// How long the old key stays; as begun, or until `finish`, where left out.
    pub grace: Option<Grace>,
    /// The grace period is over.
    pub finish: bool,
    /// The old key goes although places may have it.
    pub undelivered: bool,
    /// The token of a new account from the dashboard.
    pub token: Option<AuthToken>,
    /// Which tokens are replaced with their keys.
    pub renewal: Renewal,
    /// How many days a new token lives; as many as the old one was made for, where left out.
    pub days: Option<u32>,
    /// It is known to somebody else: the old key goes at once, whoever uses it.
    pub compromised: bool,
    /// Nobody is there to bring a token from the dashboard: no rotation is begun that would wait for one.
    pub no_dashboard: bool,
}

/// Which tokens are replaced with their keys. A key alone leaves the token to run into its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Renewal {
    /// None for its own sake.
    #[default]
    No,
    /// Those that end within so many seconds.
    EndingWithin(u64),
    /// Each.
    Always,
}

impl Renewal {
    /// Whether a token that ends then may be to be replaced: how long it was made for decides, too.
    #[must_use]
    pub fn may_be_due(self, expires_at: Option<Timestamp>, now: Timestamp) -> bool {
        match self {
            Self::No => false,
            Self::Always => true,
            Self::EndingWithin(seconds) => expires_at.is_some_and(|at| before(at, seconds) <= now),
        }
    }

    /// From when on a token is to be replaced. One that was made for no longer than that time is in its last half: otherwise each
    /// run would replace it.
    fn due_from(self, token: &AuthToken) -> Option<Timestamp> {
        let claims = token.claims();
        match self {
            Self::No => None,
            Self::Always => Some(Timestamp::MIN),
            Self::EndingWithin(seconds) => {
                let ends = claims.expires_at?;
                let life = claims
                    .issued_at
                    .and_then(|made| u64::try_from(ends.as_second() - made.as_second()).ok());
                let short = life.filter(|life| *life <= seconds).map(|life| life / 2);
                Some(before(ends, short.unwrap_or(seconds)))
            }
        }
    }

    fn is_due(self, token: &AuthToken, now: Timestamp) -> bool {
        self.due_from(token).is_some_and(|from| from <= now)
    }
}

/// So many seconds before.
fn before(at: Timestamp, seconds: u64) -> Timestamp {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    Timestamp::from_second(at.as_second().saturating_sub(seconds)).unwrap_or(Timestamp::MIN)
}

/// What is to become of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlook {
    /// From when on it is to be replaced, where that is now or before.
    pub due_from: Option<Timestamp>,
    /// It says how long it was made for, so that a new one can live as long.
    pub says_its_life: bool,
}

/// How many days the token was made for, where it says so.
fn days_made_for(token: &AuthToken) -> Option<u32> {
    const DAY: i64 = 24 * 60 * 60;
    let claims = token.claims();
    let life = claims.expires_at?.as_second() - claims.issued_at?.as_second();
    let days = life.checked_add(DAY / 2)? / DAY;
    Some(u32::try_from(days.clamp(1, MOST_DAYS)).unwrap_or(DAYS_OTHERWISE))
}

/// The longest life of a token that Dfns gives.
const MOST_DAYS: i64 = 730;
/// How long a token lives whose predecessor does not say how long it was made for.
pub const DAYS_OTHERWISE: u32 = 365;

/// Who and what works on a rotation.
pub struct Job<'a> {
    /// The vault.
    pub vault: &'a Vault,
    /// Its identities.
    pub unlocked: &'a Unlocked<'a>,
    /// The client.
    pub client: &'a Client,
    /// The organisation's user to act as, where there is one.
    pub administrator: Option<&'a UserSession<'a>>,
    /// Which credential.
    pub name: &'a CredentialName,
    /// Who may share it.
    pub neighbours: &'a Neighbours<'a>,
    /// Who brings it to its places.
    pub courier: &'a Courier<'a>,
}

/// A credential being worked on, as it is in the vault.
struct Work<'e> {
    credential: Credential<Rotating>,
    edit: Edit<'e>,
}

/// What was found in the vault.
enum Found {
    Active(Credential<ActiveGeneration>),
    Rotating(Credential<Rotating>),
}

impl Job<'_> {
    /// Begins a rotation, or goes on with one: as far as it goes without waiting for anybody.
    ///
    /// # Errors
    /// Why it stopped.
    pub async fn advance(&self, mut edit: Edit<'_>, plan: &Plan) -> Result<Standing, RotateError> {
        let mut work = match self.found(edit.take())? {
            Found::Rotating(credential) => Work { credential, edit },
            Found::Active(_) if plan.finish => return Err(RotateError::NotRotating(self.name.clone())),
            // The key that an account is made with is one that was shown.
            Found::Active(_) if plan.token.is_some() => return Err(RotateError::TokenNotAwaited(self.name.clone())),
            Found::Active(credential) => self.begin(edit, credential, plan).await?,
        };
        if plan.token.as_ref().is_some_and(|token| !has_use_for(&work, token)) {
            return Err(RotateError::TokenNotAwaited(self.name.clone()));
        }
        if work.credential.current.journal.rolling_back {
            // What leaked is put back nowhere.
            return self.undo(work, !plan.compromised).await;
        }
        if plan.finish && matches!(work.credential.current.stage, RotationStage::Preparing(_)) {
            return Err(RotateError::NotPromoted(self.name.clone()));
        }
        self.change_strategy(&mut work, plan).await?;
        loop {
            match &work.credential.current.stage {
                RotationStage::Preparing(_) => self.bring_in(&mut work, plan).await?,
                RotationStage::Retiring(outgoing) => {
                    let begun = outgoing.retiring;
                    let regardless = outgoing.regardless || plan.undelivered || plan.compromised;
                    // What leaked is refused before anything is delivered.
                    let kept = if plan.compromised {
                        Kept::default()
                    } else {
                        let old = outgoing.previous.public_key.fingerprint.clone();
                        self.hand_over(&mut work, &old).await?
                    };
                    let RotationStage::Retiring(outgoing) = &work.credential.current.stage else {
                        continue;
                    };
                    let grace = plan.grace.unwrap_or(work.credential.current.journal.grace);
                    let since = held_since(&work.credential, outgoing);
                    // Once it was begun, or somebody says so who was told whom it cuts off, no other name is in the way.
                    let at_once = plan.finish || plan.compromised || begun;
                    let due = at_once || is_over(grace, since, self.vault.clock().now());
                    let delivered = regardless || kept.is_empty();
                    let dependents = self.dependents_on_old(&work.credential).await;
                    if due && delivered && (at_once || dependents.names.is_empty()) {
                        return self.retire(work, plan, kept).await;
                    }
                    if grace != work.credential.current.journal.grace {
                        work.credential.current.journal.grace = grace;
                        self.save(&mut work).await?;
                    }
                    if !kept.behind.is_empty() || (due && !delivered) {
                        return Err(kept.waiting(self.name));
                    }
                    if due {
                        return Err(RotateError::StillUsed(dependents));
                    }
                    return Ok(standing(&work.credential, dependents));
                }
            }
        }
    }

    /// Undoes a rotation: the old key is active again, and the new one deactivated.
    ///
    /// # Errors
    /// Why it stopped.
    pub async fn rollback(&self, mut edit: Edit<'_>) -> Result<Standing, RotateError> {
        match self.found(edit.take())? {
            Found::Rotating(credential) => self.undo(Work { credential, edit }, true).await,
            Found::Active(_) => Err(RotateError::NotRotating(self.name.clone())),
        }
    }

    /// Where the credential stands, without any call.
    ///
    /// # Errors
    /// When it cannot be opened or is no credential that can be rotated.
    pub async fn status(&self) -> Result<Standing, RotateError> {
        Ok(match self.find().await? {
            Found::Active(credential) => {
                let step = if credential.rotated_at.is_some() {
                    RETIRED
                } else {
                    "none"
                };
                idle(PublicRecord::from(&credential), step)
            }
            Found::Rotating(credential) => standing(&credential, self.dependents_on_old(&credential).await),
        })
    }

    /// Whether the token is to be replaced, and what it says of itself.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn outlook(&self, renewal: Renewal) -> Result<Outlook, RotateError> {
        let token = match self.find().await? {
            Found::Active(credential) => credential.current.token,
            Found::Rotating(credential) => credential.current.active.token,
        };
        let now = self.vault.clock().now();
        Ok(Outlook {
            due_from: renewal.due_from(&token).filter(|from| *from <= now),
            says_its_life: days_made_for(&token).is_some(),
        })
    }

    async fn find(&self) -> Result<Found, RotateError> {
        self.found(Some(self.unlocked.get(self.name).await?))
    }

    fn found(&self, credential: Option<AnyCredential>) -> Result<Found, RotateError> {
        let credential = credential.ok_or_else(|| VaultError::NoSuchCredential(self.name.clone()))?;
        let record = PublicRecord::from(&credential);
        match credential {
            AnyCredential::Active(credential) => Ok(Found::Active(credential)),
            AnyCredential::Rotating(credential) => Ok(Found::Rotating(credential)),
            AnyCredential::Pending(_) | AnyCredential::User(_) => Err(RotateError::NotRotatable {
                name: self.name.clone(),
                state: format!("a {} and {}", record.kind.in_words(), record.state),
            }),
        }
    }

    async fn begin<'e>(
        &self,
        edit: Edit<'e>,
        credential: Credential<ActiveGeneration>,
        plan: &Plan,
    ) -> Result<Work<'e>, RotateError> {
        let id = new_rotation_id()?;
        let now = self.vault.clock().now();
        let journal = Journal {
            account_name: self.account_name(&id),
            id,
            strategy: plan
                .strategy
                .unwrap_or_else(|| self.first_choice(plan, &credential.current.token)),
            grace: plan.grace.unwrap_or(Grace::Manual),
            started_at: now,
            rolling_back: false,
            credential_id: None,
            awaiting_approval: false,
            attempts: Vec::new(),
            switch: None,
        };
        let next = new_key()?;
        let credential = credential.with_generation(|active| Rotating {
            active,
            journal,
            stage: RotationStage::Preparing(next),
        });
        let mut work = Work { credential, edit };
        self.save(&mut work).await?;
        Ok(work)
    }

    /// A new token comes with a new account alone.
    fn first_choice(&self, plan: &Plan, token: &AuthToken) -> Strategy {
        if !plan.renewal.is_due(token, self.vault.clock().now()) {
            Strategy::Credential
        } else if self.administrator.is_some() {
            Strategy::Replace
        } else if plan.no_dashboard {
            Strategy::Credential
        } else {
            Strategy::Dashboard
        }
    }

    /// A name at Dfns that no other account has.
    fn account_name(&self, id: &ExternalId) -> String {
        let text = id.as_str();
        format!("{}-{}", self.name, &text[text.len().saturating_sub(8)..])
    }

    /// While Dfns was not asked for anything yet, another way may be taken: the one that is asked for now, or an
    /// administrator instead of waiting for a person.
    async fn change_strategy(&self, work: &mut Work<'_>, plan: &Plan) -> Result<(), RotateError> {
        let RotationStage::Preparing(next) = &mut work.credential.current.stage else {
            return Ok(());
        };
        let current = work.credential.current.journal.strategy;
        let wanted = match plan.strategy {
            Some(wanted) => wanted,
            // Whether a personal access token is the administrator's own was looked at before.
            None if current == Strategy::Dashboard
                && work.credential.kind != Kind::Pat
                && self.administrator.is_some()
                && plan.token.is_none() =>
            {
                Strategy::Replace
            }
            None if current == Strategy::Credential => self.first_choice(plan, &work.credential.current.active.token),
            None => current,
        };
        if wanted == current || !matches!(next.step, NextStep::KeySealed) {
            return Ok(());
        }
        if current == Strategy::Dashboard && wanted == Strategy::Replace {
            // Somebody may have made an account with the key that was shown; it is looked for before another is made.
            next.step = NextStep::Registering;
        }
        work.credential.current.journal.strategy = wanted;
        self.save(work).await
    }

    async fn save(&self, work: &mut Work<'_>) -> Result<(), RotateError> {
        Ok(work.edit.put(&work.credential).await?)
    }

    /// Ends the rotation: the active generation alone remains, and every other secret is gone from the vault.
    async fn settle(&self, work: Work<'_>, step: &'static str) -> Result<Standing, RotateError> {
        let Work {
            mut credential,
            mut edit,
        } = work;
        // Whatever of them arrives after all is known as this account's.
        let attempts = std::mem::take(&mut credential.current.journal.attempts);
        let fingerprints = attempts.into_iter().map(|attempt| attempt.fingerprint);
        credential.earlier_keys.splice(0..0, fingerprints);
        let mut credential = credential.with_generation(|rotating| rotating.active);
        credential.deliveries.retain(|place| !place.forgotten);
        edit.put(&credential).await?;
        Ok(idle(PublicRecord::from(&credential), step))
    }

    fn key(&self, sealed: &PrivateKeyPem) -> Result<PrivateKey, RotateError> {
        pem::unseal(sealed).map_err(|error| RotateError::Key {
            name: self.name.clone(),
            error,
        })
    }

    fn administrator(&self, what: &'static str) -> Result<&UserSession<'_>, RotateError> {
        self.administrator.ok_or(RotateError::NeedsAdministrator(what))
    }
}

/// The access that a generation gives.
fn access<'a>(
    credential: &'a Credential<Rotating>,
    token: &'a AuthToken,
    key: &'a PrivateKey,
    credential_id: Option<&'a CredentialId>,
) -> Access<'a> {
    Access {
        environment: &credential.environment,
        token,
        signer: key,
        credential_id,
    }
}

/// Whether a rotation waits for this token, or has it already.
fn has_use_for(work: &Work<'_>, token: &AuthToken) -> bool {
    let Rotating { active, journal, stage } = &work.credential.current;
    let is_it = |known: &AuthToken| known.expose_secret() == token.expose_secret();
    match stage {
        _ if journal.rolling_back => false,
        RotationStage::Preparing(next) => match &next.step {
            NextStep::KeySealed | NextStep::Registering => journal.strategy == Strategy::Dashboard,
            NextStep::Registered(registered) | NextStep::Proven(registered) => {
                registered.token.as_ref().is_some_and(is_it)
            }
        },
        RotationStage::Retiring(_) => is_it(&active.token),
    }
}

fn is_over(grace: Grace, from: Timestamp, now: Timestamp) -> bool {
    match grace {
        Grace::Manual => false,
        Grace::Seconds(seconds) => {
            let since = now.as_second().saturating_sub(from.as_second());
            u64::try_from(since).is_ok_and(|since| since >= seconds)
        }
    }
}

fn new_key() -> Result<Next, RandomnessError> {
    let pair = KeyPair::generate()?;
    Ok(Next {
        private_key: pair.to_sealable(),
        public_key: pair.public_key().to_text(),
        step: NextStep::KeySealed,
    })
}

fn new_rotation_id() -> Result<ExternalId, RandomnessError> {
    Ok(ExternalId::of_bytes("dfns-keys-rotation", &random_bytes()?))
}

fn random_bytes() -> Result<[u8; 18], RandomnessError> {
    let mut bytes = [0_u8; 18];
    getrandom::fill(&mut bytes).map_err(|_| RandomnessError)?;
    Ok(bytes)
}

fn told(outcomes: &[Outcome]) -> String {
    let told = outcomes.iter().map(|outcome| match &outcome.reason {
        Some(reason) => format!("{}: {reason}", outcome.target),
        None => outcome.target.to_string(),
    });
    told.collect::<Vec<_>>().join("; ")
}

fn still_used(dependents: &Dependents) -> String {
    let names: Vec<&str> = dependents.names.iter().map(CredentialName::as_str).collect();
    let verb = if names.len() == 1 { "signs" } else { "sign" };
    format!("{} still {verb} with {}", names.join(", "), dependents.with)
}

/// Whether Dfns says that this identity may not do this at all.
fn is_not_offered(error: &CallError) -> bool {
    matches!(error.api_error(), Some(ApiError::Refused { status: 401 | 403, .. }))
}

/// The next generation, which is there before the promotion only.
fn next<'w>(work: &'w Work<'_>) -> Result<&'w Next, RotateError> {
    match &work.credential.current.stage {
        RotationStage::Preparing(next) => Ok(next),
        RotationStage::Retiring(_) => Err(RotateError::NotRotating(work.credential.name.clone())),
    }
}
