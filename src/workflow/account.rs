//! Making an account: sealed before it is asked for, looked for by its key after a lost answer, never made twice. An account whose
//! token nobody has is deactivated, and another is made with a key, a name and an external id of its own.

use super::job::{JobError, failed};
use crate::api::accounts::{AccountVerb, CreatedAccount, NewAccount, RemoteAccount};
use crate::api::{Access, ApiError, CallError, Client, UserSession};
use crate::keys::pem::same_public_key;
use crate::model::attempt::Attempt;
use crate::model::credential::Kind;
use crate::model::ids::{CredentialId, IdentityId, PermissionId, TokenId};

/// How often an account is made anew after an orphan, within one run.
const MOST_ORPHANS: usize = 4;

/// What is done with an account whose token nobody has.
pub(super) const ABANDONING: &str = "deactivating an account whose token was lost";

/// Who asks for an account, and seals what it is asked for with.
pub(super) trait Asking {
    /// How the making is told of.
    const MAKING: &'static str;
    /// How looking for what was made is told of.
    const LOOKING: &'static str;

    /// What is asked for.
    fn wanted(&self) -> NewAccount<'_>;

    /// Whether Dfns said that somebody has to approve it.
    fn awaits_approval(&self) -> bool;

    /// Seals that it is about to be asked for.
    async fn begin(&mut self) -> Result<(), JobError>;

    /// Seals that somebody has to approve it.
    async fn await_approval(&mut self) -> Result<(), JobError>;

    /// Seals another attempt. Where `is_open`, the one before may take effect yet.
    async fn next_attempt(&mut self, is_open: bool) -> Result<(), JobError>;
}

/// Makes the account. Where nothing is found after a lost answer, it is asked for `again` so many times within this run. A clear
/// refusal is the inner error: there is no account.
pub(super) async fn make<A: Asking>(
    session: &UserSession<'_>,
    asking: &mut A,
    mut again: usize,
) -> Result<Result<CreatedAccount, CallError>, JobError> {
    for left in (0..MOST_ORPHANS).rev() {
        asking.begin().await?;
        let error = match session.create(asking.wanted()).await {
            Ok(created) => return Ok(Ok(created)),
            Err(CallError::Call(ApiError::AwaitingApproval)) => {
                asking.await_approval().await?;
                return Err(JobError::AwaitingApproval("the new account"));
            }
            Err(error) => error,
        };
        let is_lost = error.may_have_happened();
        // It was sent twice on the way, or one of an earlier run has arrived.
        if !is_lost && !is_taken(&error) {
            return Ok(Err(error));
        }
        match own(session, asking).await {
            Ok(Some(orphan)) if left > 0 => abandon(session, asking, &orphan).await?,
            Ok(Some(orphan)) => deactivate(session, &orphan, ABANDONING).await?,
            Ok(None) if !is_lost => return Ok(Err(error)),
            Err(unknown) if !is_lost => return Err(unknown),
            Ok(None) if again > 0 => {
                again -= 1;
                asking.next_attempt(true).await?;
            }
            // Where it cannot be found out, the creation is what is in doubt.
            Ok(None) | Err(_) => return Err(failed(A::MAKING)(error)),
        }
    }
    Err(JobError::TooManyOrphans(MOST_ORPHANS))
}

/// Finds out whether a creation of an earlier run had happened. After it, another one may be asked for.
pub(super) async fn look<A: Asking>(session: &UserSession<'_>, asking: &mut A) -> Result<(), JobError> {
    match own(session, asking).await? {
        Some(orphan) => abandon(session, asking, &orphan).await,
        None if asking.awaits_approval() => Err(JobError::AwaitingApproval("the new account")),
        None => asking.next_attempt(true).await,
    }
}

async fn own<A: Asking>(session: &UserSession<'_>, asking: &A) -> Result<Option<RemoteAccount>, JobError> {
    let NewAccount { kind, public_key, .. } = asking.wanted();
    let accounts = session.accounts(kind).await.map_err(failed(A::LOOKING))?;
    Ok(with_key(accounts, public_key))
}

async fn abandon<A: Asking>(session: &UserSession<'_>, asking: &mut A, orphan: &RemoteAccount) -> Result<(), JobError> {
    deactivate(session, orphan, ABANDONING).await?;
    asking.next_attempt(false).await
}

/// The account that has this public key.
pub(super) fn with_key(accounts: Vec<RemoteAccount>, public_key: &str) -> Option<RemoteAccount> {
    accounts.into_iter().find(|account| has_key(account, public_key))
}

/// Whether an account has this public key.
pub(super) fn has_key(account: &RemoteAccount, public_key: &str) -> bool {
    account.public_keys.iter().any(|key| same_public_key(key, public_key))
}

/// Deactivates an account, if it is not so already.
pub(super) async fn deactivate(
    session: &UserSession<'_>,
    account: &RemoteAccount,
    doing: &'static str,
) -> Result<(), JobError> {
    if !account.active {
        return Ok(());
    }
    let change = session.change(account.kind, &account.identity_id, AccountVerb::Deactivate);
    change.await.map_err(failed(doing))
}

/// Deactivates what has come of earlier attempts since they were looked for.
pub(super) async fn sweep(
    session: &UserSession<'_>,
    kind: Kind,
    attempts: &[&Attempt],
    (looking, doing): (&'static str, &'static str),
) -> Result<(), JobError> {
    if attempts.is_empty() {
        return Ok(());
    }
    for account in session.accounts(kind).await.map_err(failed(looking))? {
        if attempts.iter().any(|attempt| has_key(&account, &attempt.public_key)) {
            deactivate(session, &account, doing).await?;
        }
    }
    Ok(())
}

/// Gives an account what it lacks; what is left in `missing` was not given.
pub(super) async fn assign_missing(
    session: &UserSession<'_>,
    kind: Kind,
    identity: &IdentityId,
    missing: &mut Vec<PermissionId>,
    doing: &'static str,
) -> Result<(), JobError> {
    while let Some(permission) = missing.first() {
        match session.assign(permission, identity).await {
            Ok(()) => {}
            Err(CallError::Call(ApiError::AwaitingApproval)) => {
                return Err(JobError::AwaitingApproval("the assignment of a permission"));
            }
            // Lost, or done by somebody else in the meantime.
            Err(error) if error.may_have_happened() || is_taken(&error) => {
                let Ok(now) = session.account(kind, identity).await else {
                    return Err(failed(doing)(error));
                };
                if !now.permissions.contains(permission) {
                    session.assign(permission, identity).await.map_err(failed(doing))?;
                }
            }
            Err(error) => return Err(failed(doing)(error)),
        }
        missing.remove(0);
    }
    Ok(())
}

/// Whether a refusal says that it is there already, or may mean that.
fn is_taken(error: &CallError) -> bool {
    matches!(error, CallError::Call(ApiError::Refused { status: 400 | 409, .. }))
}

/// What the account is addressed by, and its token's id. Not every token says it, and not every account may look itself
/// up: what nobody tells stays unknown.
pub(super) async fn account_ids(
    client: &Client,
    access: Access<'_>,
    kind: Kind,
    credential_id: &CredentialId,
) -> (Option<IdentityId>, Option<TokenId>) {
    match kind.account_ids(access.token.claims()) {
        (None, said) => match client.own_ids(access, kind, credential_id).await {
            Ok(Some((identity_id, token_id))) => (Some(identity_id), Some(token_id)),
            Ok(None) | Err(_) => (None, said),
        },
        said => said,
    }
}
