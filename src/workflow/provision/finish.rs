//! What follows the account: its permissions, the proof, and the credential becoming active.

use super::{Job, ProvisionError, Provisioned, Sealed};
use crate::api::{Access, Action, ApiError, CallError};
use crate::keys::pem;
use crate::model::credential::{ActiveGeneration, Created};
use crate::model::ids::PermissionId;
use crate::model::record::PublicRecord;
use crate::workflow::refusal::diagnose;

impl Job<'_> {
    /// Assigns what is missing, proves the pair, and seals it as active.
    pub(super) async fn finish(
        &self,
        mut sealed: Sealed<'_>,
        mut created: Created,
        fresh: bool,
    ) -> Result<Provisioned, ProvisionError> {
        if !fresh && !created.missing_permissions.is_empty() {
            let has = self.permissions_of(&created).await?;
            created.missing_permissions.retain(|wanted| !has.contains(wanted));
        }
        while let Some(permission) = created.missing_permissions.first().cloned() {
            if let Err(error) = self.assign(&permission, &created).await {
                self.seal_created(&mut sealed, created).await?;
                return Err(error);
            }
            created.missing_permissions.remove(0);
        }
        self.activate(sealed, created).await
    }

    async fn assign(&self, permission: &PermissionId, created: &Created) -> Result<(), ProvisionError> {
        let doing = "assigning a permission";
        match self.session.assign(permission, &created.identity_id).await {
            Ok(()) => Ok(()),
            Err(CallError::Call(ApiError::AwaitingApproval)) => Err(ProvisionError::AwaitingApproval {
                what: "the assignment of a permission",
            }),
            // Lost, or done by somebody else in the meantime.
            Err(error) if error.may_have_happened() || is_conflict(&error) => {
                let Ok(has) = self.permissions_of(created).await else {
                    return Err(ProvisionError::Call { doing, error });
                };
                if has.contains(permission) {
                    return Ok(());
                }
                let again = self.session.assign(permission, &created.identity_id).await;
                again.map_err(|error| ProvisionError::Call { doing, error })
            }
            Err(error) => Err(ProvisionError::Call { doing, error }),
        }
    }

    async fn permissions_of(&self, created: &Created) -> Result<Vec<PermissionId>, ProvisionError> {
        self.session
            .account(self.order.kind, &created.identity_id)
            .await
            .map(|account| account.permissions)
            .map_err(|error| ProvisionError::Call {
                doing: "reading the account's permissions",
                error,
            })
    }

    async fn activate(&self, sealed: Sealed<'_>, created: Created) -> Result<Provisioned, ProvisionError> {
        let Sealed {
            mut credential,
            mut edit,
        } = sealed;
        let key = pem::unseal(&credential.current.private_key).map_err(|error| ProvisionError::Key {
            name: credential.name.clone(),
            error,
        })?;
        let Created {
            token,
            identity_id,
            token_id,
            credential_id,
            missing_permissions: _,
            attempts,
        } = created;
        let access = Access {
            environment: &credential.environment,
            token: &token,
            signer: &key,
            credential_id: credential_id.as_ref(),
        };
        let signed = self
            .session
            .client()
            .sign(access, Action::TEST_CALL)
            .await
            .map_err(|error| ProvisionError::Refused(diagnose(error, token.claims(), &credential.environment)))?;
        self.sweep(&attempts).await?;
        credential.environment.organisation_id = credential
            .environment
            .organisation_id
            .or_else(|| token.claims().organisation_id.clone());
        // Whatever of them arrives after all is known as this account's.
        let fingerprints = attempts.into_iter().map(|attempt| attempt.fingerprint);
        credential.earlier_keys.extend(fingerprints);
        let credential = credential.with_generation(|pending| ActiveGeneration {
            private_key: pending.private_key,
            public_key: pending.public_key,
            token,
            credential_id: Some(signed.credential_id),
            identity_id: Some(identity_id),
            token_id: Some(token_id),
        });
        edit.put(&credential).await?;
        Ok(Provisioned::Now(PublicRecord::from(&credential)))
    }
}

fn is_conflict(error: &CallError) -> bool {
    matches!(error, CallError::Call(ApiError::Refused { status: 409, .. }))
}
