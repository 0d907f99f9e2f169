//! The way out: the old key retired, or on a rollback the new one.

use jiff::Timestamp;

use super::late::as_generation;
use super::{Job, Kept, Plan, RETIRED, ROLLED_BACK, RotateError, Standing, Work, access, is_not_offered, next};
use crate::api::accounts::AccountVerb;
use crate::api::{Access, Action, ApiError, CallError, SigningError};
use crate::keys::pem::same_public_key;
use crate::model::credential::ActiveGeneration;
use crate::model::rotation::{Next, NextStep, Registered, RotationStage, Strategy};
use crate::workflow::refusal::{Refusal, check_claims};

impl Job<'_> {
    /// Has Dfns refuse the old generation, sees that it does, and drops its secret. What leaked is delivered in between; `kept`
    /// is what stands in the way, and was said to be passed over.
    pub(super) async fn retire(
        &self,
        mut work: Work<'_>,
        plan: &Plan,
        mut kept: Kept,
    ) -> Result<Standing, RotateError> {
        let RotationStage::Retiring(outgoing) = &work.credential.current.stage else {
            return Err(RotateError::NotRotating(self.name.clone()));
        };
        let previous = outgoing.previous.clone();
        let active = work.credential.current.active.clone();
        let (on, off) = (&active.public_key.fingerprint, &previous.public_key.fingerprint);
        if let Some(refusal) = self.wait_out(&mut work, on, off).await? {
            return Err(RotateError::Refused {
                which: "the new key",
                refusal,
            });
        }
        if let RotationStage::Retiring(outgoing) = &mut work.credential.current.stage
            && !outgoing.retiring
        {
            outgoing.retiring = true;
            outgoing.regardless = plan.undelivered || plan.compromised;
            self.save(&mut work).await?;
        }
        self.switch(&mut work, &active, &previous, false).await?;
        if let Err(error) = self
            .expect_refusal(&work, &previous, "the old key: deactivate it by hand")
            .await
        {
            self.save(&mut work).await?;
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
                    self.save(work).await?;
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
                self.save(&mut work).await?;
            }
            Err(error) => {
                if recorded && matches!(error, RotateError::NoWayBack { .. }) {
                    work.credential.current.journal.rolling_back = false;
                    self.save(&mut work).await?;
                }
                return Err(error);
            }
        }
        if let RotationStage::Retiring(outgoing) = &work.credential.current.stage {
            let (previous, rotated_before) = (outgoing.previous.clone(), outgoing.rotated_before);
            self.demote(&mut work, previous, rotated_before).await?;
        }
        if hand_back {
            self.hand_back(&mut work).await?;
        }
        let next = next(&work)?.clone();
        match &next.step {
            NextStep::KeySealed => {}
            NextStep::Registering => self.withdraw_unknown(&work).await?,
            NextStep::Registered(_) | NextStep::Proven(_) => {
                self.withdraw(&mut work, &next).await?;
            }
        }
        if !matches!(next.step, NextStep::KeySealed) {
            // It may stay listed with the account.
            work.credential.earlier_keys.push(next.public_key.fingerprint);
        }
        self.sweep(&work).await?;
        self.settle(work, ROLLED_BACK).await
    }

    /// One rename makes the old generation active again, as old as it was.
    async fn demote(
        &self,
        work: &mut Work<'_>,
        previous: ActiveGeneration,
        rotated_before: Option<Timestamp>,
    ) -> Result<(), RotateError> {
        let rotating = &mut work.credential.current;
        let new = std::mem::replace(&mut rotating.active, previous);
        let same_identity = rotating.active.token.expose_secret() == new.token.expose_secret();
        rotating.stage = RotationStage::Preparing(Next {
            private_key: new.private_key,
            public_key: new.public_key,
            step: NextStep::Registered(Registered {
                token: (!same_identity).then_some(new.token),
                credential_id: new.credential_id,
                credential_uuid: None,
                identity_id: if same_identity { None } else { new.identity_id },
                token_id: if same_identity { None } else { new.token_id },
                missing_permissions: Vec::new(),
            }),
        });
        work.credential.generation = work.credential.generation.saturating_sub(1).max(1);
        work.credential.rotated_at = rotated_before;
        let own = &work.credential.current.active.public_key.fingerprint;
        work.credential.earlier_keys.retain(|earlier| earlier != own);
        self.save(work).await
    }

    /// A registration of which nobody knows whether it happened: if it did, it is undone.
    async fn withdraw_unknown(&self, work: &Work<'_>) -> Result<(), RotateError> {
        match work.credential.current.journal.strategy {
            Strategy::Credential => match self.own_key(work).await {
                Ok(Some(key)) if key.active => {
                    let active = &work.credential.current.active;
                    let signer = self.key(&active.private_key)?;
                    let access = access(&work.credential, &active.token, &signer, active.credential_id.as_ref());
                    self.client
                        .switch_key(access, &key, false)
                        .await
                        .map_err(|error| RotateError::Call {
                            doing: "deactivating the new key",
                            error,
                        })
                }
                Ok(_) => Ok(()),
                Err(RotateError::Call { error, .. }) if is_not_offered(&error) => Ok(()),
                Err(error) => Err(error),
            },
            Strategy::Replace => match self.own_account(work).await? {
                Some(account) if account.active => self
                    .administrator("deactivating the new account")?
                    .change(account.kind, &account.identity_id, AccountVerb::Deactivate)
                    .await
                    .map_err(|error| RotateError::Call {
                        doing: "deactivating the new account",
                        error,
                    }),
                _ => Ok(()),
            },
            Strategy::Dashboard => Ok(()),
        }
    }

    /// Has Dfns refuse the new generation again, and sees that it does.
    async fn withdraw(&self, work: &mut Work<'_>, next: &Next) -> Result<(), RotateError> {
        let active = work.credential.current.active.clone();
        let Some(new) = as_generation(next, &active) else {
            return Ok(());
        };
        self.switch(work, &active, &new, false).await?;
        self.expect_refusal(work, &new, "the new key: deactivate it by hand")
            .await
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
            Err(CallError::Call(ApiError::AwaitingApproval)) => Err(RotateError::AwaitingApproval(doing)),
            outcome => outcome.map_err(|error| RotateError::Call { doing, error }),
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
        let own = access(&work.credential, &by.token, &signer, by.credential_id.as_ref());
        let keys = match self.client.keys(own).await {
            Ok(keys) => keys,
            Err(error) if is_not_offered(&error) => return Ok(Ok(())),
            Err(error) => return Err(RotateError::Call { doing, error }),
        };
        let found = keys
            .iter()
            .find(|key| same_public_key(&key.public_key, &generation.public_key.pem))
            .filter(|key| key.active != active);
        let Some(key) = found else { return Ok(Ok(())) };
        let before = self.asking(work, generation, active).await?;
        let own = access(&work.credential, &by.token, &signer, by.credential_id.as_ref());
        let outcome = self.client.switch_key(own, key, active).await;
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
        let key = self.key(&generation.private_key)?;
        let access = Access::of(&work.credential.environment, generation, &key);
        match self.client.sign(access, Action::TEST_CALL).await {
            Ok(_) => Err(RotateError::StillHonoured(otherwise)),
            Err(
                SigningError::NoKeys
                | SigningError::KeyNotAmong { .. }
                | SigningError::NoneFits { .. }
                | SigningError::Challenge(ApiError::Refused { status: 401 | 403, .. })
                | SigningError::Signature(ApiError::Refused { status: 400..=403, .. }),
            ) => Ok(()),
            Err(error) => Err(RotateError::Call {
                doing: "seeing that it is refused",
                error: CallError::Signing(error),
            }),
        }
    }
}
