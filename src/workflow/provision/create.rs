//! The account: its name, key and external id sealed before it is asked for, and its token the moment it is there.

use super::{Order, ProvisionError, Sealed};
use crate::api::accounts::{CreatedAccount, NewAccount};
use crate::api::{ApiError, CallError};
use crate::keys::RandomnessError;
use crate::model::attempt::Attempt;
use crate::model::credential::{Created, Credential, PublicKeyText, Registering, Stage};
use crate::model::ids::{CredentialName, ExternalId, PermissionId};
use crate::vault::Edit;
use crate::workflow::account::Asking;
use crate::workflow::job::{JobError, failed, new_key, new_key_beside, random};

/// An account that is asked for as it is sealed.
pub(super) struct Account<'s, 'e> {
    order: &'s Order,
    sealed: Sealed<'e>,
    registering: Registering,
}

impl<'s, 'e> Account<'s, 'e> {
    /// One that an earlier run asked for.
    pub(super) fn begun(order: &'s Order, sealed: Sealed<'e>, registering: Registering) -> Self {
        Self {
            order,
            sealed,
            registering,
        }
    }

    /// Seals a new key with what is about to be asked of Dfns.
    pub(super) async fn seal_new(order: &'s Order, edit: Edit<'e>) -> Result<Self, ProvisionError> {
        let registering = registering(order, 1, order.permissions.clone(), Vec::new())?;
        let credential = Credential {
            upkeep: order.upkeep.clone(),
            ..Credential::new(
                order.name.clone(),
                order.kind,
                order.environment.clone(),
                edit.vault().clock().now(),
                new_key(Stage::Registering(registering.clone()), order.asked.key.as_ref()).await?,
            )
        };
        let mut sealed = Sealed { credential, edit };
        sealed.save().await?;
        Ok(Self::begun(order, sealed, registering))
    }

    /// Seals what was made. The token exists nowhere else: before anything else is done with it, it is sealed.
    pub(super) async fn created(self, account: CreatedAccount) -> Result<(Sealed<'e>, Created), ProvisionError> {
        let CreatedAccount {
            token,
            identity_id,
            token_id,
            credential_id,
        } = account;
        let mut sealed = self.sealed;
        let created = Created {
            token,
            identity_id,
            token_id,
            credential_id,
            missing_permissions: self.registering.permissions,
            attempts: self.registering.attempts,
        };
        sealed.seal(Stage::Created(created.clone())).await?;
        Ok((sealed, created))
    }

    /// Dfns refused to make it. One that no earlier run had begun leaves the vault as it was.
    pub(super) async fn refused(self, error: CallError, is_fresh: bool) -> ProvisionError {
        if is_fresh && let Err(error) = self.sealed.edit.remove().await {
            return error.into();
        }
        match error {
            CallError::Call(ApiError::Refused {
                status: 400 | 409,
                message,
                ..
            }) if is_taken(message.as_deref()) => ProvisionError::NameTaken {
                account_name: self.registering.account_name,
                message,
            },
            error => failed(Self::MAKING)(error).into(),
        }
    }

    async fn seal(&mut self) -> Result<(), JobError> {
        let stage = Stage::Registering(self.registering.clone());
        Ok(self.sealed.seal(stage).await?)
    }
}

impl Asking for Account<'_, '_> {
    const MAKING: &'static str = "creating the account";
    const LOOKING: &'static str = "looking for an account made before";

    fn wanted(&self) -> NewAccount<'_> {
        NewAccount {
            kind: self.order.kind,
            name: &self.registering.account_name,
            public_key: &self.sealed.credential.current.public_key.pem,
            days_valid: self.order.days_valid,
            external_id: &self.registering.external_id,
        }
    }

    fn awaits_approval(&self) -> bool {
        self.registering.awaiting_approval
    }

    async fn begin(&mut self) -> Result<(), JobError> {
        // An attempt is sealed as one that is asked for.
        Ok(())
    }

    async fn await_approval(&mut self) -> Result<(), JobError> {
        self.registering.awaiting_approval = true;
        self.seal().await
    }

    async fn next_attempt(&mut self, is_open: bool) -> Result<(), JobError> {
        let mut attempts = std::mem::take(&mut self.registering.attempts);
        let current = &mut self.sealed.credential.current;
        if is_open {
            let PublicKeyText { pem, fingerprint } = current.public_key.clone();
            attempts.push(Attempt {
                public_key: pem,
                fingerprint,
                credential_id: None,
            });
        }
        let number = attempt_of(&self.order.name, &self.registering.account_name) + 1;
        let permissions = self.registering.permissions.clone();
        self.registering = registering(self.order, number, permissions, attempts)?;
        let stage = Stage::Registering(self.registering.clone());
        *current = new_key_beside(&current.private_key, stage, &self.order.name, 1).await?;
        // An attempt is a credential anew, as it is ordered now.
        let credential = &mut self.sealed.credential;
        credential.created_at = self.sealed.edit.vault().clock().now();
        credential.environment.clone_from(&self.order.environment);
        credential.upkeep.clone_from(&self.order.upkeep);
        Ok(self.sealed.save().await?)
    }
}

/// An attempt keeps its name and external id, which are unique at Dfns, whatever becomes of it.
fn registering(
    order: &Order,
    attempt: usize,
    permissions: Vec<PermissionId>,
    attempts: Vec<Attempt>,
) -> Result<Registering, RandomnessError> {
    let name = &order.name;
    Ok(Registering {
        external_id: match &order.external_id {
            Some(chosen) if attempt == 1 => chosen.clone(),
            Some(chosen) => chosen.numbered(attempt),
            None => ExternalId::of_bytes("dfns-keys", &random::<18>()?),
        },
        account_name: match attempt {
            1 => name.to_string(),
            number => format!("{name}-{number}"),
        },
        permissions,
        awaiting_approval: false,
        attempts,
    })
}

fn is_taken(message: Option<&str>) -> bool {
    message.is_none_or(|message| {
        let message = message.to_ascii_lowercase();
        ["taken", "unique", "exist", "duplicate", "conflict", "already"]
            .iter()
            .any(|word| message.contains(word))
    })
}

fn attempt_of(name: &CredentialName, account_name: &str) -> usize {
    account_name
        .strip_prefix(name.as_str())
        .and_then(|rest| rest.strip_prefix('-'))
        .and_then(|number| number.parse().ok())
        .unwrap_or(1)
}
