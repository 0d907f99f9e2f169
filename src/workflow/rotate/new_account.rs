//! The second way: a new account with the permissions of the old one, made by an organisation's user.

use super::plan::{DAYS_OTHERWISE, days_made_for};
use super::{Job, Plan, RotateError, Work};
use crate::api::accounts::{CreatedAccount, NewAccount, RemoteAccount};
use crate::api::{ApiError, UserSession};
use crate::keys::pem::public_fingerprint;
use crate::model::credential::{ActiveGeneration, Kind};
use crate::model::rotation::{NewIdentity, Next, NextStep, Registered, Strategy};
use crate::workflow::account::{self, Asking, has_key, with_key};
use crate::workflow::job::{JobError, failed};

/// The new account being made.
struct Making<'m, 'w, 'e> {
    job: &'m Job<'m>,
    work: &'w mut Work<'e>,
    next: Next,
    days: Option<u32>,
}

const MAKING: &str = "making a new account";

impl Asking for Making<'_, '_, '_> {
    const MAKING: &'static str = MAKING;
    const LOOKING: &'static str = "listing the accounts";

    fn wanted(&self) -> NewAccount<'_> {
        let journal = &self.work.credential.current.journal;
        NewAccount {
            kind: self.work.credential.kind,
            name: &journal.account_name,
            public_key: &self.next.public_key.pem,
            days_valid: self.days,
            external_id: &journal.id,
        }
    }

    fn awaits_approval(&self) -> bool {
        self.work.credential.current.journal.awaiting_approval
    }

    async fn begin(&mut self) -> Result<(), JobError> {
        Ok(self.work.step(&self.next, NextStep::Registering).await?)
    }

    async fn await_approval(&mut self) -> Result<(), JobError> {
        self.work.credential.current.journal.awaiting_approval = true;
        Ok(self.work.save().await?)
    }

    async fn next_attempt(&mut self, is_open: bool) -> Result<(), JobError> {
        self.next = self.job.next_attempt(self.work, self.next.clone(), is_open).await?;
        Ok(())
    }
}

impl Job<'_> {
    pub(super) async fn create_account(&self, work: &mut Work<'_>, next: Next, plan: &Plan) -> Result<(), RotateError> {
        let session = self.administrator(MAKING)?;
        let active = work.credential.current.active.clone();
        let old = self
            .account_of(work, &active, true)
            .await?
            .ok_or_else(|| RotateError::AccountUnknown(self.name.clone()))?;
        if old.kind == Kind::Pat {
            let own = session.user_id().await.map_err(failed(MAKING))?;
            if own.is_none() || own != old.linked_user_id {
                if plan.strategy.is_some() {
                    return Err(RotateError::OtherUsers(self.name.clone()));
                }
                work.credential.current.journal.strategy = Strategy::Dashboard;
                return Ok(work.step(&next, NextStep::KeySealed).await?);
            }
        }
        let made_for = days_made_for(&active.token).unwrap_or(DAYS_OTHERWISE);
        let days = Some(plan.days.unwrap_or(made_for));
        let mut making = Making {
            job: self,
            work,
            next,
            days,
        };
        match account::make(session, &mut making, 0).await? {
            Ok(CreatedAccount {
                token,
                identity_id,
                token_id,
                credential_id,
            }) => {
                let registered = Registered {
                    credential_id,
                    account: Some(NewIdentity {
                        token,
                        identity_id: Some(identity_id),
                        token_id: Some(token_id),
                        missing_permissions: old.permissions,
                    }),
                };
                Ok(making.work.step(&making.next, NextStep::Registered(registered)).await?)
            }
            Err(error) => {
                making.work.step(&making.next, NextStep::KeySealed).await?;
                Err(failed(MAKING)(error).into())
            }
        }
    }

    pub(super) async fn look_for_account(&self, work: &mut Work<'_>, next: Next) -> Result<(), RotateError> {
        let session = self.administrator(MAKING)?;
        let mut making = Making {
            job: self,
            work,
            next,
            days: None,
        };
        Ok(account::look(session, &mut making).await?)
    }

    /// The account with the next key, if Dfns has one.
    pub(super) async fn own_account(
        &self,
        work: &Work<'_>,
        next: &Next,
    ) -> Result<Option<(&UserSession<'_>, RemoteAccount)>, RotateError> {
        let (session, accounts) = self.accounts(work).await?;
        Ok(with_key(accounts, &next.public_key.pem).map(|account| (session, account)))
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
                Err(error) => return Err(failed(doing)(error).into()),
            }
        }
        let (_, accounts) = self.accounts(work).await?;
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

    /// All accounts of the credential's kind, and who sees them.
    async fn accounts(&self, work: &Work<'_>) -> Result<(&UserSession<'_>, Vec<RemoteAccount>), RotateError> {
        let session = self.administrator("looking for the account")?;
        let listed = session.accounts(work.credential.kind).await;
        Ok((session, listed.map_err(failed(Making::LOOKING))?))
    }
}
