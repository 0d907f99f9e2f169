//! The first way: a second key for the same identity, registered by the old one.

use super::incoming::may_be_there;
use super::{Job, Plan, RotateError, Work, is_not_offered};
use crate::api::credentials::{NewKey, RemoteKey};
use crate::api::{ApiError, CallError};
use crate::keys::pem::same_public_key;
use crate::model::ids::CredentialId;
use crate::model::rotation::{Next, NextStep, Registered, Strategy};
use crate::workflow::job::{JobError, failed, random};

impl Job<'_> {
    pub(super) async fn register_key(&self, work: &mut Work<'_>, next: &Next, plan: &Plan) -> Result<(), RotateError> {
        let credential_id = CredentialId::of_bytes(&random::<18>()?);
        work.credential.current.journal.credential_id = Some(credential_id.clone());
        work.step(next, NextStep::Registering).await?;
        let active = &work.credential.current.active;
        let (old_key, new_key) = (self.key(&active.private_key)?, self.key(&next.private_key)?);
        let key = NewKey {
            name: &work.credential.current.journal.account_name,
            credential_id: &credential_id,
            signer: &new_key,
        };
        let doing = "registering the new key";
        match self.client.register_key(work.access(active, &old_key), key).await {
            Ok(key) => Ok(work.step(next, of_key(key)).await?),
            // Where it cannot be found out, the registration is what is in doubt.
            Err(error) if error.may_have_happened() || may_be_there(&error) => match self.own_key(work, next).await {
                Ok(Some(key)) => Ok(work.step(next, of_key(key)).await?),
                Ok(None) | Err(_) => Err(failed(doing)(error).into()),
            },
            Err(error) if is_not_offered(&error) => self.fall_back(work, next, plan, &error).await,
            Err(error) => {
                work.step(next, NextStep::KeySealed).await?;
                Err(failed(doing)(error).into())
            }
        }
    }

    pub(super) async fn look_for_key(&self, work: &mut Work<'_>, next: Next, plan: &Plan) -> Result<(), RotateError> {
        match self.own_key(work, &next).await {
            Ok(Some(key)) => Ok(work.step(&next, of_key(key)).await?),
            Ok(None) => self
                .next_attempt(work, next, true)
                .await
                .map(|_| ())
                .map_err(Into::into),
            // Whoever may not list its keys was not let register one either.
            Err(JobError::Call { error, .. }) if is_not_offered(&error) => {
                let next = self.next_attempt(work, next, true).await?;
                self.fall_back(work, &next, plan, &error).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The next key, if Dfns has it registered for this identity.
    pub(super) async fn own_key(&self, work: &Work<'_>, next: &Next) -> Result<Option<RemoteKey>, JobError> {
        let active = &work.credential.current.active;
        let key = self.key(&active.private_key)?;
        let keys = self.client.keys(work.access(active, &key)).await;
        let mut keys = keys.map_err(failed("listing the registered keys"))?.into_iter();
        Ok(keys.find(|key| same_public_key(&key.public_key, &next.public_key.pem)))
    }

    /// Goes on to the next way that may be offered.
    async fn fall_back(
        &self,
        work: &mut Work<'_>,
        next: &Next,
        plan: &Plan,
        error: &CallError,
    ) -> Result<(), RotateError> {
        let journal = &mut work.credential.current.journal;
        journal.credential_id = None;
        if plan.strategy.is_some() || (plan.no_dashboard && self.administrator.is_none()) {
            work.step(next, NextStep::KeySealed).await?;
            return Err(RotateError::NotOffered {
                name: self.name.clone(),
                message: match error.api_error() {
                    Some(ApiError::Refused { message, .. }) => message.clone(),
                    _ => None,
                },
                asked_for: plan.strategy.is_some(),
            });
        }
        journal.strategy = if self.administrator.is_some() {
            Strategy::Replace
        } else {
            Strategy::Dashboard
        };
        Ok(work.step(next, NextStep::KeySealed).await?)
    }
}

fn of_key(key: RemoteKey) -> NextStep {
    NextStep::Registered(Registered {
        credential_id: key.credential_id,
        account: None,
    })
}
