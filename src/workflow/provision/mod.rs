//! Provisioning through the API: an account is made, its token sealed the moment it arrives, its permissions assigned,
//! the pair proven, and only then is it active.
//!
//! Each stage is sealed before the call that leads out of it. After a lost answer or a kill the account is looked for by
//! our public key: one whose token nobody has is deactivated, and another is made. Never two.

mod create;
mod finish;
mod permissions;

use thiserror::Error;

use super::account;
use super::job::JobError;
use super::refusal::Refusal;
use super::settings::{Asked, OtherSettings, same};
use crate::api::UserSession;
use crate::model::credential::{AnyCredential, Credential, Environment, Kind, PendingGeneration, Registering, Stage};
use crate::model::ids::{CredentialName, ExternalId, PermissionId};
use crate::model::record::PublicRecord;
use crate::model::upkeep::Upkeep;
use crate::vault::{Edit, VaultError};

use create::Account;
pub use permissions::{ResolveError, resolve_permissions};

/// What one name is to become.
#[derive(Debug, Clone)]
pub struct Order {
    /// The name here, and at Dfns.
    pub name: CredentialName,
    /// Service account or personal access token.
    pub kind: Kind,
    /// Where it is used.
    pub environment: Environment,
    /// What of that was asked for, and must be so for an account begun before.
    pub asked: Asked,
    /// How long its token lives.
    pub days_valid: Option<u32>,
    /// The permissions it is to have.
    pub permissions: Vec<PermissionId>,
    /// The external id it is to have, where the user chose one.
    pub external_id: Option<ExternalId>,
    /// What a reviewed file wants of it.
    pub upkeep: Option<Upkeep>,
}

impl Order {
    /// Whether the account that was asked for has the external id that this order has. One that followed an orphan has a
    /// number behind it.
    fn agrees_with(&self, begun: &Registering) -> Result<(), OtherSettings> {
        let wished = self.external_id.as_ref();
        let follows = wished.is_some_and(|id| begun.external_id.as_str().starts_with(&format!("{id}-")));
        same(
            &self.name,
            "the external id",
            Some(&begun.external_id),
            wished.filter(|_| !follows),
        )
    }

    /// Adds the permissions of this order to those of an earlier one.
    fn add_to(&self, permissions: &mut Vec<PermissionId>) {
        for permission in &self.permissions {
            if !permissions.contains(permission) {
                permissions.push(permission.clone());
            }
        }
    }
}

/// How one name ended well.
#[derive(Debug)]
pub enum Provisioned {
    /// It is active now.
    Now(PublicRecord),
    /// It was active before.
    Before(PublicRecord),
}

/// One name could not be provisioned.
#[derive(Debug, Error)]
pub enum ProvisionError {
    /// It was begun by way of the dashboard.
    #[error("{0} was begun for the dashboard and waits for its token")]
    BegunForDashboard(CredentialName),
    /// Another kind of credential has the name.
    #[error("{name} is a {found} already, not a {wished}")]
    OtherKind {
        /// The credential.
        name: CredentialName,
        /// What it is.
        found: &'static str,
        /// What it should become.
        wished: &'static str,
    },
    /// The name or external id is taken at Dfns.
    #[error("the name {account_name} is taken at Dfns{}", .message.as_ref().map(|text| format!(" (it says: \"{text}\")")).unwrap_or_default())]
    NameTaken {
        /// The name.
        account_name: String,
        /// What Dfns said.
        message: Option<String>,
    },
    /// Token and key were not accepted together.
    #[error("the new account: {0}")]
    Refused(Refusal),
    /// What any job may meet.
    #[error(transparent)]
    Job(JobError),
}

impl<E> From<E> for ProvisionError
where
    JobError: From<E>,
{
    fn from(error: E) -> Self {
        Self::Job(error.into())
    }
}

/// A pending credential, as it is in the vault.
struct Sealed<'e> {
    credential: Credential<PendingGeneration>,
    edit: Edit<'e>,
}

impl Sealed<'_> {
    async fn seal(&mut self, stage: Stage) -> Result<(), VaultError> {
        self.credential.current.stage = stage;
        self.save().await
    }

    async fn save(&mut self) -> Result<(), VaultError> {
        self.edit.put(&self.credential).await
    }
}

/// Provisions one name, from wherever an earlier run left it.
///
/// # Errors
/// Why it did not become active. Run again, it goes on.
pub async fn provision(
    mut edit: Edit<'_>,
    session: &UserSession<'_>,
    order: &Order,
) -> Result<Provisioned, ProvisionError> {
    let Some(found) = edit.take() else {
        let account = Account::seal_new(order, edit).await?;
        return create(session, account, true).await;
    };
    let record = PublicRecord::from(&found);
    if record.kind != order.kind {
        return Err(ProvisionError::OtherKind {
            name: order.name.clone(),
            found: record.kind.in_words(),
            wished: order.kind.in_words(),
        });
    }
    let AnyCredential::Pending(credential) = found else {
        return Ok(Provisioned::Before(record));
    };
    let stage = credential.current.stage.clone();
    let sealed = Sealed { credential, edit };
    match stage {
        Stage::AwaitingToken | Stage::Enrolling(_) => Err(ProvisionError::BegunForDashboard(order.name.clone())),
        Stage::Registering(mut registering) => {
            order.asked.agree_with(&record)?;
            order.agrees_with(&registering)?;
            order.add_to(&mut registering.permissions);
            let mut account = Account::begun(order, sealed, registering);
            account::look(session, &mut account).await?;
            create(session, account, false).await
        }
        Stage::Created(mut created) => {
            order.asked.agree_with(&record)?;
            order.add_to(&mut created.missing_permissions);
            finish::finish(session, sealed, created, false).await
        }
    }
}

async fn create(
    session: &UserSession<'_>,
    mut account: Account<'_, '_>,
    is_fresh: bool,
) -> Result<Provisioned, ProvisionError> {
    match account::make(session, &mut account, 1).await? {
        Ok(created) => {
            let (sealed, created) = account.created(created).await?;
            finish::finish(session, sealed, created, true).await
        }
        Err(error) => Err(account.refused(error, is_fresh).await),
    }
}
