//! What was asked for and may take effect yet, minutes later and whatever a clock says. Each attempt to create is of its own
//! and looked for until the end; nothing goes against a switch before it is settled.

use jiff::Timestamp;

use super::{Job, RotateError, Work, is_not_offered, new_key, new_rotation_id};
use crate::api::CallError;
use crate::api::credentials::RemoteKey;
use crate::keys::pem::same_public_key;
use crate::model::attempt::Attempt;
use crate::model::credential::ActiveGeneration;
use crate::model::effect::{Effect, SETTLED_AFTER};
use crate::model::rotation::{Next, RotationStage, Strategy, Switch};
use crate::workflow::account::sweep;
use crate::workflow::job::{JobError, failed};
use crate::workflow::refusal::{Refusal, diagnose};

impl Job<'_> {
    /// Another attempt has a key, a name and an external id of its own. What became of the one before may be open.
    pub(super) async fn next_attempt(
        &self,
        work: &mut Work<'_>,
        before: Next,
        is_open: bool,
    ) -> Result<Next, JobError> {
        let public_key = before.public_key;
        let id = new_rotation_id()?;
        let account_name = self.account_name(&id);
        let next = new_key(&before.private_key, self.name, work.credential.generation + 1).await?;
        let rotating = &mut work.credential.current;
        let credential_id = rotating.journal.credential_id.take();
        if is_open {
            rotating.journal.attempts.push(Attempt {
                public_key: public_key.pem,
                fingerprint: public_key.fingerprint,
                credential_id,
            });
        }
        rotating.journal.account_name = account_name;
        rotating.journal.id = id;
        rotating.journal.awaiting_approval = false;
        rotating.stage = RotationStage::Preparing(next.clone());
        work.save().await?;
        Ok(next)
    }

    /// Deactivates what has come of earlier attempts since they were looked for.
    pub(super) async fn sweep(&self, work: &Work<'_>) -> Result<(), RotateError> {
        let rotating = &work.credential.current;
        let (keys, accounts): (Vec<&Attempt>, Vec<&Attempt>) = rotating
            .journal
            .attempts
            .iter()
            .partition(|attempt| attempt.credential_id.is_some());
        // A key is one of the old account's. Where that was replaced, it has gone with it.
        let same_account =
            rotating.journal.strategy == Strategy::Credential || matches!(rotating.stage, RotationStage::Preparing(_));
        if same_account && !keys.is_empty() {
            self.sweep_keys(work, &keys).await?;
        }
        if accounts.is_empty() {
            return Ok(());
        }
        let doing = "deactivating a new account that arrived late";
        let (session, kind) = (self.administrator(doing)?, work.credential.kind);
        Ok(sweep(session, kind, &accounts, ("listing the accounts", doing)).await?)
    }

    async fn sweep_keys(&self, work: &Work<'_>, attempts: &[&Attempt]) -> Result<(), RotateError> {
        let active = &work.credential.current.active;
        let signer = self.key(&active.private_key)?;
        let access = work.access(active, &signer);
        let fail = failed("deactivating a new key that arrived late");
        let keys = match self.client.keys(access).await {
            Ok(keys) => keys,
            Err(error) if is_not_offered(&error) => return Ok(()),
            Err(error) => return Err(fail(error).into()),
        };
        let came_late = |attempt: &&Attempt, key: &RemoteKey| {
            attempt.credential_id == key.credential_id || same_public_key(&key.public_key, &attempt.public_key)
        };
        for key in keys.iter().filter(|key| key.active) {
            if attempts.iter().any(|attempt| came_late(attempt, key)) {
                self.client.switch_key(access, key, false).await.map_err(fail)?;
            }
        }
        Ok(())
    }

    /// Records a switch before it is asked for; the one that was open before.
    pub(super) async fn asking(
        &self,
        work: &mut Work<'_>,
        generation: &ActiveGeneration,
        active: bool,
    ) -> Result<Option<Switch>, RotateError> {
        let asked_at = self.now_at_dfns(work);
        let journal = &mut work.credential.current.journal;
        let before = journal.switch.replace(Switch {
            fingerprint: generation.public_key.fingerprint.clone(),
            active,
            asked_at,
        });
        work.save().await?;
        Ok(before)
    }

    /// Records what is known of a switch that was asked for. After a clear answer it is only the earlier one that may be
    /// open still, which the next step seals.
    pub(super) async fn asked(
        &self,
        work: &mut Work<'_>,
        before: Option<Switch>,
        outcome: &Result<(), CallError>,
    ) -> Result<(), RotateError> {
        let is_open = matches!(outcome, Err(error) if error.effect() != Effect::None || error.awaits_approval());
        if is_open {
            let now = self.now_at_dfns(work);
            if let Some(switch) = &mut work.credential.current.journal.switch {
                switch.asked_at = now;
            }
        } else {
            work.credential.current.journal.switch = before;
        }
        if outcome.is_err() {
            work.save().await?;
        }
        Ok(())
    }

    /// Waits until nothing can take effect any more that would have `on` refused, or `off` accepted. Then both generations
    /// are tried: how `on` is refused, if it is.
    pub(super) async fn wait_out(
        &self,
        work: &mut Work<'_>,
        on: &str,
        off: &str,
    ) -> Result<Option<Refusal>, RotateError> {
        let Some(switch) = work.credential.current.journal.switch.clone() else {
            return Ok(None);
        };
        let against = (switch.fingerprint == on && !switch.active) || (switch.fingerprint == off && switch.active);
        if !against {
            return Ok(None);
        }
        let mut refusal_of_on = None;
        for generation in both(work) {
            match self.try_generation(work, &generation).await? {
                Some(refusal @ Refusal::Call(_)) => {
                    return Err(RotateError::Refused {
                        which: "trying both keys",
                        refusal,
                    });
                }
                Some(refusal) if generation.public_key.fingerprint == on => refusal_of_on = Some(refusal),
                _ => {}
            }
        }
        let until = switch.asked_at.saturating_add(SETTLED_AFTER).unwrap_or(Timestamp::MAX);
        if self.now_at_dfns(work) < until {
            let is_new = match &work.credential.current.stage {
                RotationStage::Preparing(next) => next.public_key.fingerprint == switch.fingerprint,
                RotationStage::Retiring(_) => {
                    work.credential.current.active.public_key.fingerprint == switch.fingerprint
                }
            };
            return Err(RotateError::Unsettled {
                doing: match (switch.active, is_new) {
                    (true, true) => "accepting the new key again",
                    (true, false) => "accepting the old key again",
                    (false, true) => "refusing the new key",
                    (false, false) => "refusing the old key",
                },
                asked_at: switch.asked_at,
                until,
            });
        }
        work.credential.current.journal.switch = None;
        Ok(refusal_of_on)
    }

    /// The signed test call with a generation: how it is refused, if it is.
    pub(super) async fn try_generation(
        &self,
        work: &Work<'_>,
        generation: &ActiveGeneration,
    ) -> Result<Option<Refusal>, RotateError> {
        let environment = &work.credential.environment;
        let refusal = self.sign_with(work, generation).await?.err();
        Ok(refusal.map(|error| diagnose(error, generation.token.claims(), environment)))
    }

    /// What time it is at Dfns, by what it said last; where it says nothing of the time, ours.
    fn now_at_dfns(&self, work: &Work<'_>) -> Timestamp {
        let there = &work.credential.environment.api_url;
        self.client
            .time_at(there)
            .or_else(|| self.client.time_at(&self.administrator?.environment().api_url))
            .unwrap_or_else(|| self.vault.clock().now())
    }
}

/// The old generation and the new one, as far as they are there.
fn both(work: &Work<'_>) -> Vec<ActiveGeneration> {
    let active = work.credential.current.active.clone();
    let other = match &work.credential.current.stage {
        RotationStage::Retiring(outgoing) => Some(outgoing.previous.clone()),
        RotationStage::Preparing(next) => next.generation(&active),
    };
    std::iter::once(active).chain(other).collect()
}
