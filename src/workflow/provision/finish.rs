//! What follows the account: its permissions, the proof, and the credential becoming active.

use super::{ProvisionError, Provisioned, Sealed};
use crate::api::{Access, Action, UserSession};
use crate::model::credential::{ActiveGeneration, Created, Stage};
use crate::model::record::PublicRecord;
use crate::workflow::account::{ABANDONING, Asking, assign_missing, sweep};
use crate::workflow::job::{THE_KEY, failed, open_key};
use crate::workflow::refusal::diagnose;

/// Assigns what is missing, proves the pair, and seals it as active.
pub(super) async fn finish(
    session: &UserSession<'_>,
    mut sealed: Sealed<'_>,
    mut created: Created,
    fresh: bool,
) -> Result<Provisioned, ProvisionError> {
    let kind = sealed.credential.kind;
    let missing = &mut created.missing_permissions;
    if !fresh && !missing.is_empty() {
        let account = session.account(kind, &created.identity_id).await;
        let has = account
            .map_err(failed("reading the account's permissions"))?
            .permissions;
        missing.retain(|wanted| !has.contains(wanted));
    }
    let assigned = assign_missing(session, kind, &created.identity_id, missing, "assigning a permission").await;
    if let Err(error) = assigned {
        sealed.seal(Stage::Created(created)).await?;
        return Err(error.into());
    }
    activate(session, sealed, created).await
}

async fn activate(
    session: &UserSession<'_>,
    sealed: Sealed<'_>,
    created: Created,
) -> Result<Provisioned, ProvisionError> {
    let Sealed {
        mut credential,
        mut edit,
    } = sealed;
    let key = open_key(THE_KEY, &credential.name, &credential.current.private_key)?;
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
    let signed = session
        .client()
        .sign(access, Action::TEST_CALL)
        .await
        .map_err(|error| ProvisionError::Refused(diagnose(error, token.claims(), &credential.environment)))?;
    let open: Vec<_> = attempts.iter().collect();
    sweep(
        session,
        credential.kind,
        &open,
        (super::create::Account::LOOKING, ABANDONING),
    )
    .await?;
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
