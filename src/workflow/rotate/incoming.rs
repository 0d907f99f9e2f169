//! The new key on its way in: registered, proven, promoted.

use super::{Job, Plan, RotateError, Work};
use crate::api::{ApiError, CallError};
use crate::model::credential::ActiveGeneration;
use crate::model::ids::CredentialId;
use crate::model::rotation::{NewIdentity, Next, NextStep, Outgoing, Registered, RotationStage, Strategy};
use crate::workflow::account::{account_ids, assign_missing};
use crate::workflow::job::failed;
use crate::workflow::refusal::{check_claims, diagnose};

impl Job<'_> {
    /// Takes the next generation one step further.
    pub(super) async fn prepare(&self, work: &mut Work<'_>, next: Next, plan: &Plan) -> Result<(), RotateError> {
        match (&next.step, work.credential.current.journal.strategy) {
            (NextStep::KeySealed, Strategy::Credential) => self.register_key(work, &next, plan).await,
            (NextStep::Registering, Strategy::Credential) => self.look_for_key(work, next, plan).await,
            (NextStep::KeySealed, Strategy::Replace) => self.create_account(work, next, plan).await,
            (NextStep::Registering, Strategy::Replace) => self.look_for_account(work, next).await,
            (NextStep::KeySealed | NextStep::Registering, Strategy::Dashboard) => {
                self.take_token(work, &next, plan).await
            }
            (NextStep::Registered(registered), _) => self.prove(work, &next, registered.clone()).await,
            (NextStep::Proven(registered), _) => self.promote(work, &next, registered).await,
        }
    }

    /// The dashboard's way: a person brings a token, which is proven before it is kept.
    async fn take_token(&self, work: &mut Work<'_>, next: &Next, plan: &Plan) -> Result<(), RotateError> {
        let Some(token) = plan.token.clone() else {
            return Err(RotateError::AwaitingToken(self.name.clone()));
        };
        let which = "the new account's token";
        check_claims(token.claims(), &work.credential.environment, self.vault.clock().now())
            .map_err(|refusal| RotateError::Refused { which, refusal })?;
        let mut account = NewIdentity {
            token,
            identity_id: None,
            token_id: None,
            missing_permissions: Vec::new(),
        };
        let registered = |credential_id, account: &NewIdentity| Registered {
            credential_id,
            account: Some(account.clone()),
        };
        let active = &work.credential.current.active;
        let new = next.registered_as(&registered(None, &account), active);
        let credential_id = self.accepted(work, &new, which).await?;
        let key = self.key(&new.private_key)?;
        let access = work.access(&new, &key);
        let ids = account_ids(self.client, access, work.credential.kind, &credential_id).await;
        (account.identity_id, account.token_id) = ids;
        let registered = registered(Some(credential_id), &account);
        Ok(work.step(next, NextStep::Registered(registered)).await?)
    }

    /// The signed test call with the next generation; `which` says what is refused where it is.
    async fn accepted(
        &self,
        work: &Work<'_>,
        new: &ActiveGeneration,
        which: &'static str,
    ) -> Result<CredentialId, RotateError> {
        self.sign_with(work, new).await?.map_err(|error| RotateError::Refused {
            which,
            refusal: diagnose(error, new.token.claims(), &work.credential.environment),
        })
    }

    async fn prove(&self, work: &mut Work<'_>, next: &Next, mut registered: Registered) -> Result<(), RotateError> {
        let active = work.credential.current.active.clone();
        self.accept_again(work, &next.registered_as(&registered, &active))
            .await?;
        if let Some(account) = &mut registered.account {
            self.assign_missing(work, account).await?;
        }
        let mut new = next.registered_as(&registered, &active);
        let credential_id = self.accepted(work, &new, "the new key").await?;
        new.credential_id = Some(credential_id.clone());
        if work.credential.current.journal.strategy == Strategy::Dashboard {
            self.compare_permissions(work, &active, &new, &credential_id).await?;
        }
        registered.credential_id = Some(credential_id);
        Ok(work.step(next, NextStep::Proven(registered)).await?)
    }

    /// A rollback that turned round had asked for the new generation to be refused.
    async fn accept_again(&self, work: &mut Work<'_>, new: &ActiveGeneration) -> Result<(), RotateError> {
        let own = &new.public_key.fingerprint;
        let switch = &work.credential.current.journal.switch;
        if switch.as_ref().is_none_or(|switch| switch.fingerprint != *own) {
            return Ok(());
        }
        self.wait_out(work, own, "").await?;
        let active = work.credential.current.active.clone();
        self.switch(work, &active, new, true).await
    }

    async fn assign_missing(&self, work: &Work<'_>, account: &mut NewIdentity) -> Result<(), RotateError> {
        let doing = "giving the new account the old one's permissions";
        let Some(identity) = account
            .identity_id
            .as_ref()
            .filter(|_| !account.missing_permissions.is_empty())
        else {
            return Ok(());
        };
        let (session, kind) = (self.administrator(doing)?, work.credential.kind);
        let found = session.account(kind, identity).await;
        let has = found.map_err(failed(doing))?.permissions;
        let missing = &mut account.missing_permissions;
        missing.retain(|wanted| !has.contains(wanted));
        Ok(assign_missing(session, kind, identity, missing, doing).await?)
    }

    /// What a person made must not be able to do less. Where the accounts may not read their own permissions, there is
    /// nothing to compare.
    async fn compare_permissions(
        &self,
        work: &Work<'_>,
        old: &ActiveGeneration,
        new: &ActiveGeneration,
        new_id: &CredentialId,
    ) -> Result<(), RotateError> {
        let (old_key, new_key) = (self.key(&old.private_key)?, self.key(&new.private_key)?);
        let old_id = match &old.credential_id {
            Some(known) => known.clone(),
            None => match self.sign_with(work, old).await? {
                Ok(found) => found,
                Err(_) => return Ok(()),
            },
        };
        let (Ok(Some(old)), Ok(Some(new))) = (
            self.client.registration(work.access(old, &old_key), &old_id).await,
            self.client.registration(work.access(new, &new_key), new_id).await,
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
    async fn promote(&self, work: &mut Work<'_>, next: &Next, registered: &Registered) -> Result<(), RotateError> {
        let now = self.vault.clock().now();
        let credential = &mut work.credential;
        let old = credential.current.active.clone();
        let mut active = next.registered_as(registered, &old);
        if registered.account.is_none() {
            // What was sealed before ids were kept, or before its token was looked at, learns them now.
            let said = credential.kind.account_ids(old.token.claims());
            active.identity_id = active.identity_id.or(said.0);
            active.token_id = active.token_id.or(said.1);
        }
        credential.current.active = active;
        credential.earlier_keys.push(old.public_key.fingerprint.clone());
        credential.current.stage = RotationStage::Retiring(Outgoing {
            previous: old,
            promoted_at: now,
            rotated_before: credential.rotated_at,
            retiring: false,
            regardless: false,
        });
        credential.generation += 1;
        credential.rotated_at = Some(now);
        Ok(work.save().await?)
    }
}

/// Whether a refused creation may be there all the same: it was sent twice on the way.
pub(super) fn may_be_there(error: &CallError) -> bool {
    matches!(error.api_error(), Some(ApiError::Refused { status: 400 | 409, .. }))
}
