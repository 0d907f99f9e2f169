//! Rotation: a new key comes in, is proven, and becomes active; the old one works on until it is retired.
//!
//! A state machine whose every step is sealed before the remote call that needs it and again after. At every instant what
//! the vault calls active works, and any later run finishes what an earlier one began.

mod change;
mod deliveries;
mod dependents;
mod error;
mod incoming;
mod late;
mod new_account;
mod outgoing;
mod plan;
mod second_key;
mod standing;

use jiff::Timestamp;

use crate::api::{Access, Action, ApiError, CallError, Client, SigningError, UserSession};
use crate::keys::{PrivateKey, RandomnessError};
use crate::model::credential::{
    ActiveGeneration, AnyCredential, Credential, KeyMaterial, Kind, PendingGeneration, Stage,
};
use crate::model::held_key::HeldKeyError;
use crate::model::ids::{CredentialId, CredentialName, ExternalId};
use crate::model::record::PublicRecord;
use crate::model::rotation::{Grace, Journal, Next, NextStep, Outgoing, Rotating, RotationStage, Strategy};
use crate::model::token::AuthToken;
use crate::vault::{Edit, Unlocked, Vault, VaultError};
use crate::workflow::deliver::Courier;
use crate::workflow::job::{self, JobError, open_key};
use crate::workflow::sharing::Neighbours;

use deliveries::{Kept, held_since};
use plan::days_made_for;
use standing::{idle, standing};

pub use change::{Change, Prospect, Why};
pub use dependents::{Dependents, Shared};
pub use error::RotateError;
pub use plan::{DAYS_OTHERWISE, Outlook, Plan, Renewal};
pub use standing::{AwaitedAccount, DELIVERED, DELIVERING, PROMOTED, RETIRED, ROLLED_BACK, Standing, retires_at};

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

impl Work<'_> {
    async fn save(&mut self) -> Result<(), VaultError> {
        self.edit.put(&self.credential).await
    }

    /// Seals how far the next generation came.
    async fn step(&mut self, next: &Next, step: NextStep) -> Result<(), VaultError> {
        let next = Next { step, ..next.clone() };
        self.credential.current.stage = RotationStage::Preparing(next);
        self.save().await
    }

    /// The access that a generation gives.
    fn access<'a>(&'a self, generation: &'a ActiveGeneration, key: &'a PrivateKey) -> Access<'a> {
        Access::of(&self.credential.environment, generation, key)
    }
}

/// What was found in the vault.
enum Opened {
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
            Opened::Rotating(credential) => Work { credential, edit },
            Opened::Active(_) if plan.finish => return Err(RotateError::NotRotating(self.name.clone())),
            // The key that an account is made with is one that was shown.
            Opened::Active(_) if plan.token.is_some() => return Err(RotateError::TokenNotAwaited(self.name.clone())),
            Opened::Active(credential) => self.begin(edit, credential, plan).await?,
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
            match work.credential.current.stage.clone() {
                RotationStage::Preparing(next) => Box::pin(self.prepare(&mut work, next, plan)).await?,
                RotationStage::Retiring(outgoing) => return Box::pin(self.wind_down(work, outgoing, plan)).await,
            }
        }
    }

    /// Has every place take the new key, and retires the old one if its time is over and nobody else has it.
    async fn wind_down(&self, mut work: Work<'_>, outgoing: Outgoing, plan: &Plan) -> Result<Standing, RotateError> {
        let regardless = outgoing.regardless || plan.undelivered || plan.compromised;
        // What leaked is refused before anything is delivered.
        let kept = if plan.compromised {
            Kept::default()
        } else {
            let old = &outgoing.previous.public_key.fingerprint;
            self.hand_over(&mut work, old).await?
        };
        let grace = plan.grace.unwrap_or(work.credential.current.journal.grace);
        // Once it was begun, or somebody says so who was told whom it cuts off, no other name is in the way.
        let at_once = plan.finish || plan.compromised || outgoing.retiring;
        let now = self.vault.clock().now();
        let due = at_once || ends(grace, held_since(&work.credential, &outgoing)).is_some_and(|end| end <= now);
        let delivered = regardless || kept.is_empty();
        let dependents = self.dependents_on_old(&work.credential).await;
        if due && delivered && (at_once || dependents.names.is_empty()) {
            return self.retire(work, outgoing, plan, kept).await;
        }
        if grace != work.credential.current.journal.grace {
            work.credential.current.journal.grace = grace;
            work.save().await?;
        }
        if !kept.behind.is_empty() || (due && !delivered) {
            return Err(kept.waiting(self.name));
        }
        if due {
            return Err(RotateError::StillUsed(dependents));
        }
        Ok(standing(&work.credential, dependents))
    }

    /// Undoes a rotation: the old key is active again, and the new one deactivated.
    ///
    /// # Errors
    /// Why it stopped.
    pub async fn rollback(&self, mut edit: Edit<'_>) -> Result<Standing, RotateError> {
        match self.found(edit.take())? {
            Opened::Rotating(credential) => self.undo(Work { credential, edit }, true).await,
            Opened::Active(_) => Err(RotateError::NotRotating(self.name.clone())),
        }
    }

    /// Where the credential stands, without any call.
    ///
    /// # Errors
    /// When it cannot be opened or is no credential that can be rotated.
    pub async fn status(&self) -> Result<Standing, RotateError> {
        Ok(match self.find().await? {
            Opened::Active(credential) => {
                let step = if credential.rotated_at.is_some() {
                    RETIRED
                } else {
                    "none"
                };
                idle(PublicRecord::from(&credential), step)
            }
            Opened::Rotating(credential) => standing(&credential, self.dependents_on_old(&credential).await),
        })
    }

    /// Whether the token is to be replaced, and what it says of itself.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn outlook(&self, renewal: Renewal) -> Result<Outlook, RotateError> {
        let token = match self.find().await? {
            Opened::Active(credential) => credential.current.token,
            Opened::Rotating(credential) => credential.current.active.token,
        };
        let now = self.vault.clock().now();
        Ok(Outlook {
            due_from: renewal.due_from(&token).filter(|from| *from <= now),
            says_its_life: days_made_for(&token).is_some(),
        })
    }

    async fn find(&self) -> Result<Opened, RotateError> {
        self.found(Some(self.unlocked.get(self.name).await?))
    }

    fn found(&self, credential: Option<AnyCredential>) -> Result<Opened, RotateError> {
        let credential = credential.ok_or_else(|| VaultError::NoSuchCredential(self.name.clone()))?;
        let record = PublicRecord::from(&credential);
        match credential {
            AnyCredential::Active(credential) => Ok(Opened::Active(credential)),
            AnyCredential::Rotating(credential) => Ok(Opened::Rotating(credential)),
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
        let next = self.first_key(&credential, plan).await?;
        let credential = credential.with_generation(|active| Rotating {
            active,
            journal,
            stage: RotationStage::Preparing(next),
        });
        let mut work = Work { credential, edit };
        work.save().await?;
        Ok(work)
    }

    /// The next key: where it was asked for, or beside the one that it replaces.
    async fn first_key(&self, credential: &Credential<ActiveGeneration>, plan: &Plan) -> Result<Next, RotateError> {
        let Some(uri) = &plan.key else {
            let active = &credential.current.private_key;
            return Ok(new_key(active, self.name, credential.generation + 1).await?);
        };
        if credential.deliveries.iter().any(|place| !place.forgotten) {
            return Err(RotateError::IsDelivered(self.name.clone()));
        }
        let next = sealed(job::new_key(Stage::AwaitingToken, Some(uri)).await?);
        let fingerprint = &next.public_key.fingerprint;
        // A key that Dfns knows as an older one of this credential is no new one.
        if *fingerprint == credential.current.public_key.fingerprint || credential.earlier_keys.contains(fingerprint) {
            let what = uri.in_words();
            return Err(JobError::Held(HeldKeyError::Exists { what }).into());
        }
        Ok(next)
    }

    fn first_choice(&self, plan: &Plan, token: &AuthToken) -> Strategy {
        plan.first_choice(token, self.administrator.is_some(), self.vault.clock().now())
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
        Ok(work.save().await?)
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

    fn key(&self, sealed: &KeyMaterial) -> Result<PrivateKey, JobError> {
        open_key("a sealed key", self.name, sealed)
    }

    /// The signed test call with a generation, and the credential id that worked.
    async fn sign_with(
        &self,
        work: &Work<'_>,
        generation: &ActiveGeneration,
    ) -> Result<Result<CredentialId, SigningError>, JobError> {
        let key = self.key(&generation.private_key)?;
        let signed = self.client.sign(work.access(generation, &key), Action::TEST_CALL).await;
        Ok(signed.map(|signed| signed.credential_id))
    }

    fn administrator(&self, what: &'static str) -> Result<&UserSession<'_>, RotateError> {
        self.administrator.ok_or(RotateError::NeedsAdministrator(what))
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
                registered.account.as_ref().is_some_and(|account| is_it(&account.token))
            }
        },
        RotationStage::Retiring(_) => is_it(&active.token),
    }
}

/// When the old key's time is over, counted from when the new one was held everywhere.
fn ends(grace: Grace, from: Timestamp) -> Option<Timestamp> {
    match grace {
        Grace::Manual => None,
        Grace::Seconds(seconds) => {
            let seconds = from.as_second().checked_add(i64::try_from(seconds).ok()?)?;
            Timestamp::from_second(seconds).ok()
        }
    }
}

/// The key of a later generation: beside the one before, where that is held elsewhere.
async fn new_key(before: &KeyMaterial, name: &CredentialName, generation: u32) -> Result<Next, JobError> {
    Ok(sealed(
        job::new_key_beside(before, Stage::AwaitingToken, name, generation).await?,
    ))
}

fn sealed(pending: PendingGeneration) -> Next {
    let PendingGeneration {
        private_key,
        public_key,
        stage: _,
    } = pending;
    Next {
        private_key,
        public_key,
        step: NextStep::KeySealed,
    }
}

fn new_rotation_id() -> Result<ExternalId, RandomnessError> {
    Ok(ExternalId::of_bytes("dfns-keys-rotation", &job::random::<18>()?))
}

/// Whether Dfns says that this identity may not do this at all.
fn is_not_offered(error: &CallError) -> bool {
    matches!(error.api_error(), Some(ApiError::Refused { status: 401 | 403, .. }))
}
