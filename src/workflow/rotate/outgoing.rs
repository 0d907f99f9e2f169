//! The way out: the old key retired, or on a rollback the new one.

use super::{Job, Kept, Plan, RETIRED, ROLLED_BACK, RotateError, Standing, Work, is_not_offered};
use crate::api::accounts::AccountVerb;
use crate::api::{ApiError, CallError, SigningError};
use crate::keys::pem::same_public_key;
use crate::model::credential::ActiveGeneration;
use crate::model::rotation::{NewIdentity, Next, NextStep, Outgoing, Registered, RotationStage, Strategy};
use crate::workflow::account;
use crate::workflow::job::{JobError, failed};
use crate::workflow::refusal::{Refusal, check_claims};

impl Job<'_> {
    /// Has Dfns refuse the old generation, sees that it does, and drops its secret. What leaked is delivered in between; `kept`
    /// is what stands in the way, and was said to be passed over.
    pub(super) async fn retire(
        &self,
        mut work: Work<'_>,
        outgoing: Outgoing,
        plan: &Plan,
        mut kept: Kept,
    ) -> Result<Standing, RotateError> {
        let previous = outgoing.previous.clone();
        let active = work.credential.current.active.clone();
        let (on, off) = (&active.public_key.fingerprint, &previous.public_key.fingerprint);
        if let Some(refusal) = self.wait_out(&mut work, on, off).await? {
            return Err(RotateError::Refused {
                which: "the new key",
                refusal,
            });
        }
        if !outgoing.retiring {
            work.credential.current.stage = RotationStage::Retiring(Outgoing {
                retiring: true,
                regardless: plan.undelivered || plan.compromised,
                ..outgoing
            });
            work.save().await?;
        }
        self.switch(&mut work, &active, &previous, false).await?;
        if let Err(error) = self
            .expect_refusal(&work, &previous, "the old key: deactivate it by hand")
            .await
        {
            work.save().await?;
            return Err(error);
        }
        self.sweep(&work).await?;
        if plan.compromised {
            kept = self.hand_over(&mut work, off).await?;
        }
        let settled = self.settle(work, RETIRED).await?;
        if !kept.behind.is_empty() && !plan.undelivered {
            return Err(kept.left_behind(self.name));
        }
        Ok(Standing {
            old_fingerprint: Some(previous.public_key.fingerprint),
            unneeded_key: previous.private_key.held().cloned(),
            ..settled
        })
    }

    /// Sees that there is something to go back to: the old generation signs, after it was switched on again where it may be
    /// off.
    async fn prove_old(&self, work: &mut Work<'_>) -> Result<(), RotateError> {
        let rotating = &work.credential.current;
        let active = rotating.active.clone();
        let (old, new, may_be_off) = match &rotating.stage {
            RotationStage::Preparing(next) => (active.clone(), next.public_key.fingerprint.clone(), false),
            RotationStage::Retiring(outgoing) => (
                outgoing.previous.clone(),
                active.public_key.fingerprint.clone(),
                outgoing.retiring,
            ),
        };
        let environment = &work.credential.environment;
        let claims = check_claims(old.token.claims(), environment, self.vault.clock().now());
        let refused = if let Err(refusal) = claims {
            Some(refusal)
        } else {
            self.wait_out(work, &old.public_key.fingerprint, &new).await?;
            match self.try_generation(work, &old).await? {
                Some(refusal) if may_be_off && !matches!(refusal, Refusal::Call(_)) => {
                    self.switch(work, &active, &old, true).await?;
                    work.save().await?;
                    self.try_generation(work, &old).await?
                }
                outcome => outcome,
            }
        };
        match refused {
            None => Ok(()),
            Some(refusal @ Refusal::Call(_)) => Err(RotateError::Refused {
                which: "the old key",
                refusal,
            }),
            Some(refusal) => Err(RotateError::NoWayBack {
                name: self.name.clone(),
                refusal,
            }),
        }
    }

    /// Undoes a rotation from wherever it stands. Only what was proven to lead back is recorded; where an earlier run
    /// recorded it and the old key has died since, the rotation goes on instead.
    ///
    /// Places that have the new key get the old one first, unless it is not to be put anywhere any more.
    pub(super) async fn undo(&self, mut work: Work<'_>, hand_back: bool) -> Result<Standing, RotateError> {
        let recorded = work.credential.current.journal.rolling_back;
        match self.prove_old(&mut work).await {
            Ok(()) if recorded => {}
            Ok(()) => {
                work.credential.current.journal.rolling_back = true;
                work.save().await?;
            }
            Err(error) => {
                if recorded && matches!(error, RotateError::NoWayBack { .. }) {
                    work.credential.current.journal.rolling_back = false;
                    work.save().await?;
                }
                return Err(error);
            }
        }
        let next = match work.credential.current.stage.clone() {
            RotationStage::Preparing(next) => next,
            RotationStage::Retiring(outgoing) => demote(&mut work, outgoing).await?,
        };
        if hand_back {
            self.hand_back(&mut work, &next.public_key.fingerprint).await?;
        }
        // Has Dfns refuse the new generation again, and sees that it does.
        if let Some(new) = next.generation(&work.credential.current.active) {
            let active = work.credential.current.active.clone();
            self.switch(&mut work, &active, &new, false).await?;
            self.expect_refusal(&work, &new, "the new key: deactivate it by hand")
                .await?;
        } else if matches!(next.step, NextStep::Registering) {
            self.withdraw_unknown(&work, &next).await?;
        }
        if !matches!(next.step, NextStep::KeySealed) {
            // It may stay listed with the account.
            work.credential.earlier_keys.push(next.public_key.fingerprint);
        }
        self.sweep(&work).await?;
        Ok(Standing {
            unneeded_key: next.private_key.held().cloned(),
            ..self.settle(work, ROLLED_BACK).await?
        })
    }

    /// A registration of which nobody knows whether it happened: if it did, it is undone.
    async fn withdraw_unknown(&self, work: &Work<'_>, next: &Next) -> Result<(), RotateError> {
        match work.credential.current.journal.strategy {
            Strategy::Credential => match self.own_key(work, next).await {
                Ok(Some(key)) if key.active => {
                    let active = &work.credential.current.active;
                    let signer = self.key(&active.private_key)?;
                    let switch = self.client.switch_key(work.access(active, &signer), &key, false);
                    Ok(switch.await.map_err(failed("deactivating the new key"))?)
                }
                Ok(_) => Ok(()),
                Err(JobError::Call { error, .. }) if is_not_offered(&error) => Ok(()),
                Err(error) => Err(error.into()),
            },
            Strategy::Replace => match self.own_account(work, next).await? {
                Some((session, account)) => {
                    Ok(account::deactivate(session, &account, "deactivating the new account").await?)
                }
                None => Ok(()),
            },
            Strategy::Dashboard => Ok(()),
        }
    }

    /// Activates or deactivates a generation at Dfns, if it is not so already. `by` is the one that acts where a key is
    /// switched by another key of the same identity. Where nobody may, it is left to a person, and what follows finds out.
    pub(super) async fn switch(
        &self,
        work: &mut Work<'_>,
        by: &ActiveGeneration,
        generation: &ActiveGeneration,
        active: bool,
    ) -> Result<(), RotateError> {
        let doing = if active {
            "activating a key"
        } else {
            "deactivating a key"
        };
        let outcome = if work.credential.current.journal.strategy == Strategy::Credential {
            self.switch_key(work, by, generation, active, doing).await?
        } else {
            self.switch_account(work, generation, active).await?
        };
        match outcome {
            Err(CallError::Call(ApiError::AwaitingApproval)) => Err(JobError::AwaitingApproval(doing).into()),
            outcome => Ok(outcome.map_err(failed(doing))?),
        }
    }

    async fn switch_account(
        &self,
        work: &mut Work<'_>,
        generation: &ActiveGeneration,
        active: bool,
    ) -> Result<Result<(), CallError>, RotateError> {
        let Some(session) = self.administrator else {
            return Ok(Ok(()));
        };
        let is_old = matches!(work.credential.current.stage, RotationStage::Retiring(_));
        let account = self.account_of(work, generation, is_old).await?;
        let Some(account) = account.filter(|account| account.active != active) else {
            return Ok(Ok(()));
        };
        let verb = if active {
            AccountVerb::Activate
        } else {
            AccountVerb::Deactivate
        };
        let before = self.asking(work, generation, active).await?;
        let outcome = session.change(account.kind, &account.identity_id, verb).await;
        self.asked(work, before, &outcome).await?;
        Ok(outcome)
    }

    async fn switch_key(
        &self,
        work: &mut Work<'_>,
        by: &ActiveGeneration,
        generation: &ActiveGeneration,
        active: bool,
        doing: &'static str,
    ) -> Result<Result<(), CallError>, RotateError> {
        let signer = self.key(&by.private_key)?;
        let keys = match self.client.keys(work.access(by, &signer)).await {
            Ok(keys) => keys,
            Err(error) if is_not_offered(&error) => return Ok(Ok(())),
            Err(error) => return Err(failed(doing)(error).into()),
        };
        let found = keys
            .iter()
            .find(|key| same_public_key(&key.public_key, &generation.public_key.pem))
            .filter(|key| key.active != active);
        let Some(key) = found else { return Ok(Ok(())) };
        let before = self.asking(work, generation, active).await?;
        let outcome = self.client.switch_key(work.access(by, &signer), key, active).await;
        self.asked(work, before, &outcome).await?;
        Ok(match outcome {
            Err(error) if is_not_offered(&error) => Ok(()),
            outcome => outcome,
        })
    }

    /// Tries a generation that should be refused by now.
    async fn expect_refusal(
        &self,
        work: &Work<'_>,
        generation: &ActiveGeneration,
        otherwise: &'static str,
    ) -> Result<(), RotateError> {
        match self.sign_with(work, generation).await? {
            Ok(_) => Err(RotateError::StillHonoured(otherwise)),
            Err(
                SigningError::NoKeys
                | SigningError::KeyNotAmong { .. }
                | SigningError::NoneFits { .. }
                | SigningError::Challenge(ApiError::Refused { status: 401 | 403, .. })
                | SigningError::Signature(ApiError::Refused { status: 400..=403, .. }),
            ) => Ok(()),
            Err(error) => Err(failed("seeing that it is refused")(CallError::Signing(error)).into()),
        }
    }
}

/// One rename makes the old generation active again, as old as it was.
async fn demote(work: &mut Work<'_>, outgoing: Outgoing) -> Result<Next, JobError> {
    let credential = &mut work.credential;
    let new = std::mem::replace(&mut credential.current.active, outgoing.previous);
    let own = &credential.current.active;
    let same_identity = own.token.expose_secret() == new.token.expose_secret();
    credential
        .earlier_keys
        .retain(|earlier| *earlier != own.public_key.fingerprint);
    let next = Next {
        private_key: new.private_key,
        public_key: new.public_key,
        step: NextStep::Registered(Registered {
            credential_id: new.credential_id,
            account: (!same_identity).then_some(NewIdentity {
                token: new.token,
                identity_id: new.identity_id,
                token_id: new.token_id,
                missing_permissions: Vec::new(),
            }),
        }),
    };
    credential.current.stage = RotationStage::Preparing(next.clone());
    credential.generation = credential.generation.saturating_sub(1).max(1);
    credential.rotated_at = outgoing.rotated_before;
    work.save().await?;
    Ok(next)
}
