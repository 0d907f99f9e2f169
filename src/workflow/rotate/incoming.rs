//! The new key on its way in: registered, proven, promoted.

use super::late::as_generation;
use super::{DAYS_OTHERWISE, Job, Plan, RotateError, Work, access, days_made_for, is_not_offered, next, random_bytes};
use crate::api::accounts::{AccountVerb, CreatedAccount, NewAccount, RemoteAccount};
use crate::api::credentials::{NewKey, RemoteKey};
use crate::api::{Action, ApiError, CallError};
use crate::keys::pem::{public_fingerprint, same_public_key};
use crate::model::credential::{ActiveGeneration, Kind};
use crate::model::ids::{CredentialId, PermissionId};
use crate::model::rotation::{NextStep, Outgoing, Registered, RotationStage, Strategy};
use crate::model::token::AuthToken;
use crate::workflow::identity::{account_ids, has_key};
use crate::workflow::refusal::{check_claims, diagnose};

/// How often an account is made anew after an orphan, within one run.
const MOST_ORPHANS: usize = 4;

impl Job<'_> {
    /// Takes the next generation one step further.
    pub(super) async fn bring_in(&self, work: &mut Work<'_>, plan: &Plan) -> Result<(), RotateError> {
        let next = next(work)?;
        let strategy = work.credential.current.journal.strategy;
        match (&next.step, strategy) {
            (NextStep::KeySealed, Strategy::Credential) => self.register_key(work, plan).await,
            (NextStep::Registering, Strategy::Credential) => self.look_for_key(work, plan).await,
            (NextStep::KeySealed, Strategy::Replace) => self.create_account(work, plan).await,
            (NextStep::Registering, Strategy::Replace) => self.look_for_account(work).await,
            (NextStep::KeySealed | NextStep::Registering, Strategy::Dashboard) => self.take_token(work, plan).await,
            (NextStep::Registered(registered), _) => {
                let registered = registered.clone();
                self.prove(work, registered).await
            }
            (NextStep::Proven(registered), _) => {
                let registered = registered.clone();
                self.promote(work, registered).await
            }
        }
    }

    async fn step(&self, work: &mut Work<'_>, step: NextStep) -> Result<(), RotateError> {
        if let RotationStage::Preparing(next) = &mut work.credential.current.stage {
            next.step = step;
        }
        self.save(work).await
    }

    async fn register_key(&self, work: &mut Work<'_>, plan: &Plan) -> Result<(), RotateError> {
        let credential_id = CredentialId::of_bytes(&random_bytes()?);
        work.credential.current.journal.credential_id = Some(credential_id.clone());
        self.step(work, NextStep::Registering).await?;
        let doing = "registering the new key";
        let registered = {
            let next = next(work)?;
            let (old_key, new_key) = (
                self.key(&work.credential.current.active.private_key)?,
                self.key(&next.private_key)?,
            );
            let active = &work.credential.current.active;
            let access = access(&work.credential, &active.token, &old_key, active.credential_id.as_ref());
            let key = NewKey {
                name: &work.credential.current.journal.account_name,
                credential_id: &credential_id,
                signer: &new_key,
            };
            self.client.register_key(access, key).await
        };
        match registered {
            Ok(key) => self.step(work, NextStep::Registered(of_key(key))).await,
            // Where it cannot be found out, the registration is what is in doubt.
            Err(error) if error.may_have_happened() || may_be_there(&error) => match self.own_key(work).await {
                Ok(Some(key)) => self.step(work, NextStep::Registered(of_key(key))).await,
                Ok(None) | Err(_) => Err(RotateError::Call { doing, error }),
            },
            Err(error) if is_not_offered(&error) => self.fall_back(work, plan, &error).await,
            Err(error) => {
                self.step(work, NextStep::KeySealed).await?;
                Err(RotateError::Call { doing, error })
            }
        }
    }

    async fn look_for_key(&self, work: &mut Work<'_>, plan: &Plan) -> Result<(), RotateError> {
        match self.own_key(work).await {
            Ok(Some(key)) => self.step(work, NextStep::Registered(of_key(key))).await,
            Ok(None) => self.next_attempt(work, true).await,
            // Whoever may not list its keys was not let register one either.
            Err(RotateError::Call { error, .. }) if is_not_offered(&error) => {
                self.next_attempt(work, true).await?;
                self.fall_back(work, plan, &error).await
            }
            Err(error) => Err(error),
        }
    }

    /// The next key, if Dfns has it registered for this identity.
    pub(super) async fn own_key(&self, work: &Work<'_>) -> Result<Option<RemoteKey>, RotateError> {
        let active = &work.credential.current.active;
        let key = self.key(&active.private_key)?;
        let access = access(&work.credential, &active.token, &key, active.credential_id.as_ref());
        let keys = self.client.keys(access).await.map_err(|error| RotateError::Call {
            doing: "listing the registered keys",
            error,
        })?;
        let wanted = &next(work)?.public_key.pem;
        Ok(keys.into_iter().find(|key| same_public_key(&key.public_key, wanted)))
    }

    /// Goes on to the next way that may be offered.
    async fn fall_back(&self, work: &mut Work<'_>, plan: &Plan, error: &CallError) -> Result<(), RotateError> {
        if plan.strategy.is_some() || (plan.no_dashboard && self.administrator.is_none()) {
            work.credential.current.journal.credential_id = None;
            self.step(work, NextStep::KeySealed).await?;
            return Err(RotateError::NotOffered {
                name: self.name.clone(),
                message: match error.api_error() {
                    Some(ApiError::Refused { message, .. }) => message.clone(),
                    _ => None,
                },
                asked_for: plan.strategy.is_some(),
            });
        }
        work.credential.current.journal.credential_id = None;
        work.credential.current.journal.strategy = if self.administrator.is_some() {
            Strategy::Replace
        } else {
            Strategy::Dashboard
        };
        self.step(work, NextStep::KeySealed).await
    }

    async fn create_account(&self, work: &mut Work<'_>, plan: &Plan) -> Result<(), RotateError> {
        let session = self.administrator("making a new account")?;
        let old = self.old_account(work).await?;
        if old.kind == Kind::Pat {
            let own = session.user_id().await.map_err(|error| RotateError::Call {
                doing: "making a new account",
                error,
            })?;
            if own.is_none() || own != old.linked_user_id {
                if plan.strategy.is_some() {
                    return Err(RotateError::OtherUsers(self.name.clone()));
                }
                work.credential.current.journal.strategy = Strategy::Dashboard;
                return self.step(work, NextStep::KeySealed).await;
            }
        }
        let permissions = old.permissions;
        let made_for = days_made_for(&work.credential.current.active.token).unwrap_or(DAYS_OTHERWISE);
        for _ in 0..MOST_ORPHANS {
            self.step(work, NextStep::Registering).await?;
            let journal = &work.credential.current.journal;
            let answer = session
                .create(NewAccount {
                    kind: work.credential.kind,
                    name: &journal.account_name,
                    public_key: &next(work)?.public_key.pem,
                    days_valid: Some(plan.days.unwrap_or(made_for)),
                    external_id: &journal.id,
                })
                .await;
            match answer {
                Ok(created) => {
                    return self
                        .step(work, NextStep::Registered(of_account(created, permissions)))
                        .await;
                }
                Err(CallError::Call(ApiError::AwaitingApproval)) => {
                    work.credential.current.journal.awaiting_approval = true;
                    self.save(work).await?;
                    return Err(RotateError::AwaitingApproval("the new account"));
                }
                Err(error) if error.may_have_happened() => match self.own_account(work).await {
                    Ok(Some(orphan)) => self.abandon(work, &orphan).await?,
                    Ok(None) | Err(_) => {
                        return Err(RotateError::Call {
                            doing: "making a new account",
                            error,
                        });
                    }
                },
                Err(error) => {
                    if may_be_there(&error)
                        && let Some(orphan) = self.own_account(work).await?
                    {
                        self.abandon(work, &orphan).await?;
                        continue;
                    }
                    self.step(work, NextStep::KeySealed).await?;
                    return Err(RotateError::Call {
                        doing: "making a new account",
                        error,
                    });
                }
            }
        }
        Err(RotateError::TooManyOrphans(MOST_ORPHANS))
    }

    async fn look_for_account(&self, work: &mut Work<'_>) -> Result<(), RotateError> {
        self.administrator("making a new account")?;
        match self.own_account(work).await? {
            Some(orphan) => self.abandon(work, &orphan).await,
            None if work.credential.current.journal.awaiting_approval => {
                Err(RotateError::AwaitingApproval("the new account"))
            }
            None => self.next_attempt(work, true).await,
        }
    }

    /// An account whose token nobody has is deactivated.
    async fn abandon(&self, work: &mut Work<'_>, orphan: &RemoteAccount) -> Result<(), RotateError> {
        if orphan.active {
            self.administrator("deactivating an account whose token was lost")?
                .change(orphan.kind, &orphan.identity_id, AccountVerb::Deactivate)
                .await
                .map_err(|error| RotateError::Call {
                    doing: "deactivating an account whose token was lost",
                    error,
                })?;
        }
        self.next_attempt(work, false).await
    }

    /// The account with the next key, if Dfns has one.
    pub(super) async fn own_account(&self, work: &Work<'_>) -> Result<Option<RemoteAccount>, RotateError> {
        let wanted = next(work)?.public_key.pem.clone();
        self.account_with(work, &wanted).await
    }

    async fn old_account(&self, work: &Work<'_>) -> Result<RemoteAccount, RotateError> {
        let old = work.credential.current.active.clone();
        self.account_of(work, &old, true)
            .await?
            .ok_or_else(|| RotateError::AccountUnknown(self.name.clone()))
    }

    /// The account that has this public key.
    pub(super) async fn account_with(
        &self,
        work: &Work<'_>,
        public_key: &str,
    ) -> Result<Option<RemoteAccount>, RotateError> {
        let accounts = self.accounts(work).await?;
        Ok(accounts.into_iter().find(|account| has_key(account, public_key)))
    }

    /// The account of a generation: by what it is addressed by, or by its key. An account that has had several keys may be
    /// listed with any of them, so that the old one is known by each key that it had.
    pub(super) async fn account_of(
        &self,
        work: &Work<'_>,
        generation: &ActiveGeneration,
        is_old: bool,
    ) -> Result<Option<RemoteAccount>, RotateError> {
        let said = work.credential.kind.account_ids(generation.token.claims());
        let identity_id = generation.identity_id.as_ref().or(said.0.as_ref());
        let token_id = generation.token_id.as_ref().or(said.1.as_ref());
        if let Some(id) = identity_id {
            let doing = "looking for the account";
            match self.administrator(doing)?.account(work.credential.kind, id).await {
                Ok(account) => return Ok(Some(account)),
                // There is none of that id, so that the list decides.
                Err(error) if matches!(error.api_error(), Some(ApiError::Refused { .. })) => {}
                Err(error) => return Err(RotateError::Call { doing, error }),
            }
        }
        let accounts = self.accounts(work).await?;
        let by_id = |account: &&RemoteAccount| {
            identity_id == Some(&account.identity_id) || (token_id.is_some() && token_id == account.token_id.as_ref())
        };
        let by_key = |account: &&RemoteAccount| has_key(account, &generation.public_key.pem);
        let had = |account: &RemoteAccount, earlier: &str| {
            let fingerprint = |key: &String| public_fingerprint(key.as_bytes());
            let mut keys = account.public_keys.iter().filter_map(|key| fingerprint(key).ok());
            keys.any(|key| key == earlier)
        };
        let by_earlier_key = || {
            let mut newest_first = work.credential.earlier_keys.iter().rev().filter(|_| is_old);
            newest_first.find_map(|earlier| accounts.iter().find(|account| had(account, earlier)))
        };
        Ok(accounts
            .iter()
            .find(by_id)
            .or_else(|| accounts.iter().find(by_key))
            .or_else(by_earlier_key)
            .cloned())
    }

    /// All accounts of the credential's kind.
    pub(super) async fn accounts(&self, work: &Work<'_>) -> Result<Vec<RemoteAccount>, RotateError> {
        self.administrator("looking for the account")?
            .accounts(work.credential.kind)
            .await
            .map_err(|error| RotateError::Call {
                doing: "listing the accounts",
                error,
            })
    }

    /// The dashboard's way: a person brings a token, which is proven before it is kept.
    async fn take_token(&self, work: &mut Work<'_>, plan: &Plan) -> Result<(), RotateError> {
        let Some(token) = plan.token.clone() else {
            return Err(RotateError::AwaitingToken(self.name.clone()));
        };
        let which = "the new account's token";
        check_claims(token.claims(), &work.credential.environment, self.vault.clock().now())
            .map_err(|refusal| RotateError::Refused { which, refusal })?;
        let credential_id = self.try_next(work, which, &token, None).await?;
        let (identity_id, token_id) = {
            let key = self.key(&next(work)?.private_key)?;
            let access = access(&work.credential, &token, &key, Some(&credential_id));
            account_ids(self.client, access, work.credential.kind, &credential_id).await
        };
        self.step(
            work,
            NextStep::Registered(Registered {
                token: Some(token),
                credential_id: Some(credential_id),
                credential_uuid: None,
                identity_id,
                token_id,
                missing_permissions: Vec::new(),
            }),
        )
        .await
    }

    /// The signed test call with the next key; `which` says what is refused where it is.
    async fn try_next(
        &self,
        work: &Work<'_>,
        which: &'static str,
        token: &AuthToken,
        credential_id: Option<&CredentialId>,
    ) -> Result<CredentialId, RotateError> {
        let key = self.key(&next(work)?.private_key)?;
        let access = access(&work.credential, token, &key, credential_id);
        match self.client.sign(access, Action::TEST_CALL).await {
            Ok(signed) => Ok(signed.credential_id),
            Err(error) => Err(RotateError::Refused {
                which,
                refusal: diagnose(error, token.claims(), &work.credential.environment),
            }),
        }
    }

    async fn prove(&self, work: &mut Work<'_>, mut registered: Registered) -> Result<(), RotateError> {
        self.accept_again(work).await?;
        self.assign_missing(work, &mut registered).await?;
        let token = registered
            .token
            .clone()
            .unwrap_or_else(|| work.credential.current.active.token.clone());
        let credential_id = self
            .try_next(work, "the new key", &token, registered.credential_id.as_ref())
            .await?;
        if work.credential.current.journal.strategy == Strategy::Dashboard {
            self.compare_permissions(work, &token, &credential_id).await?;
        }
        registered.credential_id = Some(credential_id);
        self.step(work, NextStep::Proven(registered)).await
    }

    /// A rollback that turned round had asked for the new generation to be refused.
    async fn accept_again(&self, work: &mut Work<'_>) -> Result<(), RotateError> {
        let active = work.credential.current.active.clone();
        let Some(new) = as_generation(next(work)?, &active) else {
            return Ok(());
        };
        let own = &new.public_key.fingerprint;
        let switch = &work.credential.current.journal.switch;
        if switch.as_ref().is_none_or(|switch| switch.fingerprint != *own) {
            return Ok(());
        }
        self.wait_out(work, own, "").await?;
        self.switch(work, &active, &new, true).await
    }

    async fn assign_missing(&self, work: &mut Work<'_>, registered: &mut Registered) -> Result<(), RotateError> {
        let Some(identity) = registered.identity_id.clone() else {
            return Ok(());
        };
        let doing = "giving the new account the old one's permissions";
        let fail = |error| RotateError::Call { doing, error };
        if registered.missing_permissions.is_empty() {
            return Ok(());
        }
        let session = self.administrator(doing)?;
        let has = session
            .account(work.credential.kind, &identity)
            .await
            .map_err(fail)?
            .permissions;
        registered.missing_permissions.retain(|wanted| !has.contains(wanted));
        while let Some(permission) = registered.missing_permissions.first().cloned() {
            match session.assign(&permission, &identity).await {
                Ok(()) => {}
                Err(CallError::Call(ApiError::AwaitingApproval)) => {
                    return Err(RotateError::AwaitingApproval("the assignment of a permission"));
                }
                // Lost, or done before: what is there decides.
                Err(error) => {
                    let now = session.account(work.credential.kind, &identity).await;
                    if !now.is_ok_and(|now| now.permissions.contains(&permission)) {
                        return Err(fail(error));
                    }
                }
            }
            registered.missing_permissions.remove(0);
        }
        Ok(())
    }

    /// What a person made must not be able to do less. Where the accounts may not read their own permissions, there is
    /// nothing to compare.
    async fn compare_permissions(
        &self,
        work: &Work<'_>,
        token: &AuthToken,
        credential_id: &CredentialId,
    ) -> Result<(), RotateError> {
        let active = &work.credential.current.active;
        let (old_key, new_key) = (self.key(&active.private_key)?, self.key(&next(work)?.private_key)?);
        let old = access(&work.credential, &active.token, &old_key, active.credential_id.as_ref());
        let new = access(&work.credential, token, &new_key, Some(credential_id));
        let old_id = match &active.credential_id {
            Some(known) => Ok(known.clone()),
            None => self
                .client
                .sign(old, Action::TEST_CALL)
                .await
                .map(|signed| signed.credential_id),
        };
        let Ok(old_id) = old_id else { return Ok(()) };
        let (Ok(Some(old)), Ok(Some(new))) = (
            self.client.registration(old, &old_id).await,
            self.client.registration(new, credential_id).await,
        ) else {
            return Ok(());
        };
        let lacking: Vec<String> = old.operations.difference(&new.operations).cloned().collect();
        if lacking.is_empty() {
            Ok(())
        } else {
            Err(RotateError::FewerPermissions(lacking))
        }
    }

    /// One rename makes the new generation active and the old one previous.
    async fn promote(&self, work: &mut Work<'_>, registered: Registered) -> Result<(), RotateError> {
        let now = self.vault.clock().now();
        let next = next(work)?.clone();
        let Registered {
            token,
            credential_id,
            credential_uuid: _,
            identity_id,
            token_id,
            missing_permissions: _,
        } = registered;
        let rotating = &mut work.credential.current;
        let old = rotating.active.clone();
        let same_identity = token.is_none();
        // What was sealed before ids were kept, or before its token was looked at, learns them now.
        let said = work.credential.kind.account_ids(old.token.claims());
        rotating.active = ActiveGeneration {
            private_key: next.private_key,
            public_key: next.public_key,
            token: token.unwrap_or_else(|| old.token.clone()),
            credential_id,
            identity_id: if same_identity {
                old.identity_id.clone().or(said.0)
            } else {
                identity_id
            },
            token_id: if same_identity {
                old.token_id.clone().or(said.1)
            } else {
                token_id
            },
        };
        work.credential.earlier_keys.push(old.public_key.fingerprint.clone());
        rotating.stage = RotationStage::Retiring(Outgoing {
            previous: old,
            promoted_at: now,
            rotated_before: work.credential.rotated_at,
            retiring: false,
            regardless: false,
        });
        work.credential.generation += 1;
        work.credential.rotated_at = Some(now);
        self.save(work).await
    }
}

/// Whether a refused creation may be there all the same: it was sent twice on the way.
fn may_be_there(error: &CallError) -> bool {
    matches!(error.api_error(), Some(ApiError::Refused { status: 400 | 409, .. }))
}

fn of_key(key: RemoteKey) -> Registered {
    Registered {
        token: None,
        credential_id: key.credential_id,
        credential_uuid: key.credential_uuid,
        identity_id: None,
        token_id: None,
        missing_permissions: Vec::new(),
    }
}

fn of_account(created: CreatedAccount, permissions: Vec<PermissionId>) -> Registered {
    let CreatedAccount {
        token,
        identity_id,
        token_id,
        credential_id,
    } = created;
    Registered {
        token: Some(token),
        credential_id,
        credential_uuid: None,
        identity_id: Some(identity_id),
        token_id: Some(token_id),
        missing_permissions: permissions,
    }
}
