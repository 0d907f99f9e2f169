//! Doing what was planned, a credential at a time, by the same jobs as the commands'. Each looks again what there is before it begins,
//! for another run may have done it meanwhile; cut short at any instant, the next run goes on.

use std::time::Duration;

use thiserror::Error;

use super::Plan;
use super::change::{AccountId, Change, Step};
use super::compare::id_of;
use super::fleet::{Account, Fleet, Place};
use crate::api::accounts::AccountVerb;
use crate::api::{ApiError, CallError, Client, UserSession};
use crate::model::credential::{AnyCredential, Environment, Unusable};
use crate::model::ids::{CredentialName, PermissionId};
use crate::model::target::Target;
use crate::model::upkeep::Upkeep;
use crate::vault::{Edit, Unlocked, VaultError};
use crate::workflow::deliver::{self, Courier, DeliverError, DeliveryState, NameError, Outcome};
use crate::workflow::provision::{Order, ProvisionError, Provisioned, provision};
use crate::workflow::rotate::{Job, Plan as Rotation, Renewal, RotateError};
use crate::workflow::settings::{Asked, Defaults};
use crate::workflow::sharing::Neighbours;

/// How long to wait for another run that works on the same credential.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a change ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It was done.
    Done,
    /// Another run had done it meanwhile.
    Before,
    /// There was nothing to be done.
    Nothing,
}

/// A change was not made. The next run goes on.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// It is not this program's to do.
    #[error("it waits for somebody")]
    Blocked,
    /// What comes before it was not done.
    #[error("what comes before it was not done")]
    NotReached,
    /// The account could not be made.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// The key could not be replaced.
    #[error(transparent)]
    Rotate(#[from] RotateError),
    /// It could not be delivered at all.
    #[error(transparent)]
    Deliver(#[from] DeliverError),
    /// A place does not have it.
    #[error("a place does not have it")]
    Behind(Box<Outcome>),
    /// A place could not be named.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A call failed.
    #[error("{doing}: {error}")]
    Call {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        error: CallError,
    },
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl From<Unusable> for ApplyError {
    fn from(error: Unusable) -> Self {
        Self::Name(error.into())
    }
}

/// Who and what works on it.
pub struct Apply<'a> {
    /// The file.
    pub fleet: &'a Fleet,
    /// What was planned.
    pub plan: &'a Plan,
    /// The vault's identities.
    pub unlocked: &'a Unlocked<'a>,
    /// The client.
    pub client: &'a Client,
    /// The organisation's user to act as.
    pub session: &'a UserSession<'a>,
    /// Who may share a credential.
    pub neighbours: &'a Neighbours<'a>,
    /// Who brings it to its places.
    pub courier: &'a Courier<'a>,
}

impl Apply<'_> {
    /// Makes the changes of one credential, in their order. What does not need what failed is done all the same.
    pub async fn one(&self, name: &CredentialName, changes: &[&Change]) -> Vec<Result<Applied, ApplyError>> {
        let mut outcomes = Vec::new();
        let mut usable = true;
        for change in changes {
            let outcome = if usable {
                Box::pin(self.change(name, &change.step)).await
            } else {
                Err(ApplyError::NotReached)
            };
            let is_ground = matches!(change.step, Step::Create | Step::Resume | Step::Activate(_));
            usable &= outcome.is_ok() || !is_ground;
            outcomes.push(outcome);
        }
        outcomes
    }

    async fn change(&self, name: &CredentialName, step: &Step) -> Result<Applied, ApplyError> {
        match step {
            Step::None | Step::Unmanaged => Ok(Applied::Nothing),
            Step::Blocked => Err(ApplyError::Blocked),
            Step::Note(upkeep) => self.note(name, upkeep).await,
            Step::Create | Step::Resume => self.provision(name).await,
            Step::Grant(account, permission) => self.grant(account, permission).await,
            Step::Revoke(permission, assignment) => {
                let revoked = self.session.revoke(permission, assignment).await;
                done("taking a permission away", revoked)
            }
            Step::Activate(account) => {
                let activated = self.session.change(account.kind, &account.id, AccountVerb::Activate);
                done("activating the account", activated.await)
            }
            Step::Deactivate(accounts) => {
                for account in accounts {
                    let deactivated = self.session.change(account.kind, &account.id, AccountVerb::Deactivate);
                    done("deactivating the account", deactivated.await)?;
                }
                Ok(Applied::Done)
            }
            Step::Renew(fingerprint) => self.rotate(name, Renewal::Always, Some(fingerprint)).await,
            Step::Rotate(fingerprint) => {
                let renewal = self.renewal(name);
                self.rotate(name, renewal, Some(fingerprint)).await
            }
            Step::GoOn | Step::Retire => self.rotate(name, self.renewal(name), None).await,
            Step::Deliver(place) => self.deliver(name, place).await,
            Step::Forget(target) => self.forget(name, target).await,
        }
    }

    fn account(&self, name: &CredentialName) -> Option<&Account> {
        self.fleet.accounts.iter().find(|account| account.name == *name)
    }

    async fn edit(&self, name: &CredentialName) -> Result<Edit<'_>, VaultError> {
        let vault = self.unlocked.vault();
        let lease = vault.lease_within(name, &format!("apply {name}"), PATIENCE).await?;
        self.unlocked.edit(lease).await
    }

    /// What is there to be worked on; it was there when it was planned.
    async fn found(&self, name: &CredentialName) -> Result<(Edit<'_>, AnyCredential), VaultError> {
        let mut edit = self.edit(name).await?;
        let found = edit.take();
        let credential = found.ok_or_else(|| VaultError::NoSuchCredential(name.clone()))?;
        Ok((edit, credential))
    }

    async fn note(&self, name: &CredentialName, upkeep: &Upkeep) -> Result<Applied, ApplyError> {
        let (mut edit, mut credential) = self.found(name).await?;
        if credential.upkeep() == Some(upkeep) {
            return Ok(Applied::Before);
        }
        credential.keep_up(Some(upkeep.clone()));
        edit.put(&credential).await?;
        Ok(Applied::Done)
    }

    async fn provision(&self, name: &CredentialName) -> Result<Applied, ApplyError> {
        let (Some(account), Some(remote)) = (self.account(name), &self.plan.view.remote) else {
            return Ok(Applied::Nothing);
        };
        let defaults: &Environment = self.session.environment();
        let ids = account.permissions.iter().flatten();
        let mut permissions: Vec<PermissionId> = ids.filter_map(|named| id_of(remote, &named.text)).collect();
        permissions.sort();
        permissions.dedup();
        let order = Order {
            name: name.clone(),
            kind: account.kind,
            environment: defaults.clone(),
            asked: Asked {
                api_url: Some(defaults.api_url.clone()),
                organisation_id: defaults.organisation_id.clone(),
                otherwise: Defaults::default(),
                ..Asked::default()
            },
            days_valid: account.days,
            permissions,
            external_id: account.external_id.clone(),
            upkeep: Some(self.fleet.upkeep(account)),
        };
        let edit = self.edit(name).await?;
        match Box::pin(provision(edit, self.session, &order)).await? {
            Provisioned::Now(_) => Ok(Applied::Done),
            Provisioned::Before(_) => Ok(Applied::Before),
        }
    }

    /// Gives a permission. Where the answer is lost, or somebody else gave it, what there is decides.
    async fn grant(&self, account: &AccountId, permission: &PermissionId) -> Result<Applied, ApplyError> {
        let doing = "giving a permission";
        let error = match self.session.assign(permission, &account.id).await {
            Ok(()) => return Ok(Applied::Done),
            Err(error) => error,
        };
        let taken = matches!(&error, CallError::Call(ApiError::Refused { status: 409, .. }));
        if !taken && !error.may_have_happened() {
            return Err(ApplyError::Call { doing, error });
        }
        match self.session.account(account.kind, &account.id).await {
            Ok(now) if now.permissions.contains(permission) => Ok(Applied::Done),
            Ok(_) => done(doing, self.session.assign(permission, &account.id).await),
            Err(_) => Err(ApplyError::Call { doing, error }),
        }
    }

    fn renewal(&self, name: &CredentialName) -> Renewal {
        let before = self.account(name).and_then(|account| account.renew_before);
        before.map_or(Renewal::No, |span| Renewal::EndingWithin(span.duration().as_secs()))
    }

    /// Begins a rotation of this key, or goes on with the one under way.
    async fn rotate(
        &self,
        name: &CredentialName,
        renewal: Renewal,
        begin: Option<&String>,
    ) -> Result<Applied, ApplyError> {
        let edit = self.edit(name).await?;
        let is_as_planned = match (edit.credential(), begin) {
            (Some(AnyCredential::Active(active)), Some(key)) => active.current.public_key.fingerprint == *key,
            (Some(AnyCredential::Rotating(_)), None) => true,
            _ => false,
        };
        if !is_as_planned {
            return Ok(Applied::Before);
        }
        let account = self.account(name);
        let rotation = Rotation {
            renewal,
            grace: account.and_then(|account| account.grace),
            days: account.and_then(|account| account.days),
            no_dashboard: true,
            ..Rotation::default()
        };
        let job = Job {
            vault: self.unlocked.vault(),
            unlocked: self.unlocked,
            client: self.client,
            administrator: Some(self.session),
            name,
            neighbours: self.neighbours,
            courier: self.courier,
        };
        Box::pin(job.advance(edit, &rotation)).await?;
        Ok(Applied::Done)
    }

    async fn deliver(&self, name: &CredentialName, place: &Place) -> Result<Applied, ApplyError> {
        let (mut edit, mut credential) = self.found(name).await?;
        let known = credential.deliveries().iter().filter(|known| !known.forgotten);
        let known = known.map(|known| &known.target).find(|known| place.is(known));
        let target = known
            .cloned()
            .unwrap_or_else(|| place.target.clone().on(&self.courier.means.host));
        deliver::name(&mut credential, &target, Some(&place.then))?;
        edit.put(&credential).await?;
        let choose = |known: &crate::model::delivery::Delivery| !known.forgotten && known.target == target;
        let outcomes = self.courier.deliver_any(&mut credential, &mut edit, choose).await?;
        let behind = outcomes
            .into_iter()
            .find(|outcome| outcome.state != DeliveryState::InSync);
        behind.map_or(Ok(Applied::Done), |outcome| Err(ApplyError::Behind(Box::new(outcome))))
    }

    async fn forget(&self, name: &CredentialName, target: &Target) -> Result<Applied, ApplyError> {
        let (mut edit, mut credential) = self.found(name).await?;
        if !deliver::forget(&mut credential, target)? {
            return Ok(Applied::Before);
        }
        edit.put(&credential).await?;
        Ok(Applied::Done)
    }
}

fn done(doing: &'static str, outcome: Result<(), CallError>) -> Result<Applied, ApplyError> {
    outcome
        .map(|()| Applied::Done)
        .map_err(|error| ApplyError::Call { doing, error })
}
