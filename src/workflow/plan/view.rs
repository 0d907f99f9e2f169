//! What there is: the credentials of the vault, and the accounts and permissions at Dfns, each listed once for all.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream;
use futures_util::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use thiserror::Error;

use super::fleet::{Account, Fleet};
use crate::api::accounts::RemoteAccount;
use crate::api::{Access, ApiError, CallError, Client, UserSession};
use crate::keys::pem::{self, public_fingerprint};
use crate::model::credential::{ActiveGeneration, AnyCredential, Environment, Kind, Stage, State};
use crate::model::delivery::Delivery;
use crate::model::ids::{CredentialName, PermissionId};
use crate::model::quoted::Foreign;
use crate::model::record::PublicRecord;
use crate::model::rotation::RotationStage;
use crate::vault::{Unlocked, VaultError};
use crate::workflow::rotate::{Renewal, retires_at};

/// How many accounts are asked for their keys at once; the client's rate limit stands above it.
const AT_ONCE: usize = 16;

/// What there is could not be looked at.
#[derive(Debug, Error)]
pub enum ViewError {
    /// The vault cannot be read.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A list cannot be had.
    #[error("{doing}: {error}")]
    Call {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        error: CallError,
    },
}

/// All there is.
pub(super) struct View {
    pub(super) now: Timestamp,
    /// Those of the vault by name; one that cannot be opened says why.
    pub(super) local: BTreeMap<CredentialName, Result<Local, VaultError>>,
    pub(super) remote: Option<Remote>,
}

/// A credential of the vault, as far as it matters here.
pub(super) struct Local {
    pub(super) record: PublicRecord,
    pub(super) places: Vec<Delivery>,
    /// It was begun by way of the dashboard, and waits for its token.
    pub(super) for_dashboard: bool,
    /// Its token is due, by what the file wants.
    pub(super) is_due: bool,
    /// When its old key goes, if one is on its way out and a time is set.
    pub(super) retires_at: Option<Timestamp>,
    /// Its rotation is being undone, or its old key is being refused: it goes on whatever the time.
    pub(super) under_way: bool,
    /// Fingerprints of keys that Dfns accepts for it and that nobody here knows.
    pub(super) strange_keys: Vec<String>,
    usable: Option<(Environment, ActiveGeneration)>,
}

/// What Dfns has.
pub(super) struct Remote {
    pub(super) environment: Environment,
    pub(super) accounts: Vec<RemoteAccount>,
    /// The fingerprints of each account's keys.
    fingerprints: Vec<Vec<String>>,
    /// Empty where nobody needs them.
    pub(super) permissions: Vec<(PermissionId, Foreign)>,
}

impl Local {
    fn of(opened: AnyCredential, account: Option<&Account>, now: Timestamp) -> Self {
        let record = PublicRecord::from(&opened);
        let renewal = account
            .and_then(|account| account.renew_before)
            .map_or(Renewal::No, |span| Renewal::EndingWithin(span.duration().as_secs()));
        let retires_at = match &opened {
            AnyCredential::Rotating(credential) => retires_at(credential, account.and_then(|account| account.grace)),
            _ => None,
        };
        let under_way = match &opened {
            AnyCredential::Rotating(credential) => {
                let begun = matches!(&credential.current.stage, RotationStage::Retiring(outgoing) if outgoing.retiring);
                begun || credential.current.journal.rolling_back
            }
            _ => false,
        };
        let for_dashboard = match &opened {
            AnyCredential::Pending(credential) => {
                matches!(credential.current.stage, Stage::AwaitingToken | Stage::Enrolling(_))
            }
            _ => false,
        };
        let places = opened.deliveries().iter().filter(|place| !place.forgotten);
        let places = places.cloned().collect();
        let usable = opened.into_usable().ok();
        let token = usable.as_ref().map(|(_, generation)| &generation.token);
        let is_due = token
            .and_then(|token| renewal.due_from(token))
            .is_some_and(|from| from <= now);
        Self {
            record,
            places,
            for_dashboard,
            is_due,
            retires_at,
            under_way,
            strange_keys: Vec::new(),
            usable,
        }
    }

    /// The record with the ids that its token says, where it was sealed before they were kept.
    fn identified(&self) -> PublicRecord {
        let mut record = self.record.clone();
        if let (None, Some((_, generation))) = (&record.identity_id, &self.usable) {
            let (identity_id, token_id) = record.kind.account_ids(generation.token.claims());
            record.identity_id = identity_id;
            record.token_id = record.token_id.or(token_id);
        }
        record
    }
}

impl Remote {
    async fn list(session: &UserSession<'_>, with_permissions: bool) -> Result<Self, ViewError> {
        let failed = |doing| move |error| ViewError::Call { doing, error };
        let accounts = session.accounts(Kind::ServiceAccount).await;
        let mut accounts = accounts.map_err(failed("listing the service accounts"))?;
        let tokens = session.accounts(Kind::Pat).await;
        accounts.extend(tokens.map_err(failed("listing the personal access tokens"))?);
        let permissions = if with_permissions {
            let listed = session.permissions().await;
            listed.map_err(failed("listing the permissions"))?
        } else {
            Vec::new()
        };
        let fingerprints = |account: &RemoteAccount| {
            let keys = account.public_keys.iter();
            keys.filter_map(|key| public_fingerprint(key.as_bytes()).ok()).collect()
        };
        Ok(Self {
            environment: session.environment().clone(),
            fingerprints: accounts.iter().map(fingerprints).collect(),
            accounts,
            permissions,
        })
    }

    /// The account of a credential: by its ids, by its key, or, as long as nobody knows its id, by a key that it had before, the
    /// latest first.
    fn position_of(&self, record: &PublicRecord) -> Option<usize> {
        let position = |is: &dyn Fn(&RemoteAccount) -> bool| self.accounts.iter().position(is);
        let with_key = |wanted: &String| self.fingerprints.iter().position(|keys| keys.contains(wanted));
        position(&|account| record.identity_id.as_ref() == Some(&account.identity_id))
            .or_else(|| position(&|account| record.token_id.is_some() && record.token_id == account.token_id))
            .or_else(|| with_key(&record.fingerprint).filter(|_| record.identity_id.is_none()))
            .or_else(|| {
                let mut earlier = record.earlier_fingerprints.iter().rev();
                let unknown = record.identity_id.is_none();
                earlier.find_map(|one| with_key(one).filter(|_| unknown))
            })
    }

    /// The name of a permission, or its id where nobody tells.
    pub(super) fn permission_name(&self, id: &PermissionId) -> String {
        let known = self.permissions.iter().find(|(known, _)| known == id);
        known.map_or_else(|| id.to_string(), |(_, name)| name.to_string())
    }
}

impl View {
    /// Looks at the vault, and at Dfns where there is a session.
    pub(super) async fn look(
        fleet: &Fleet,
        unlocked: &Unlocked<'_>,
        client: &Client,
        session: Option<&UserSession<'_>>,
    ) -> Result<Self, ViewError> {
        let now = unlocked.vault().clock().now();
        let mut local = BTreeMap::new();
        for name in unlocked.vault().names().await? {
            let account = fleet.accounts.iter().find(|account| account.name == name);
            let opened = unlocked.get(&name).await;
            // Removed since the names were listed, or moved: nothing that matters here.
            if matches!(
                opened,
                Err(VaultError::NoSuchCredential(_) | VaultError::Renamed { .. })
            ) {
                continue;
            }
            local.insert(name, opened.map(|opened| Local::of(opened, account, now)));
        }
        let with_permissions = fleet.accounts.iter().any(|account| account.permissions.is_some());
        let remote = match session {
            Some(session) => Some(Remote::list(session, with_permissions).await?),
            None => None,
        };
        let mut view = Self { now, local, remote };
        if session.is_some() {
            view.look_for_keys(fleet, client).await?;
        }
        Ok(view)
    }

    /// Where the accounts that the file names have keys that nobody here knows. Only an account itself may list its keys, and not each
    /// may.
    async fn look_for_keys(&mut self, fleet: &Fleet, client: &Client) -> Result<(), ViewError> {
        let Some(remote) = &self.remote else { return Ok(()) };
        let asked = fleet.accounts.iter().filter_map(|account| {
            let local = self.local.get(&account.name)?.as_ref().ok()?;
            let is_settled = local.record.state == State::Active && local.record.api_url == remote.environment.api_url;
            let is_active = remote
                .position_of(&local.identified())
                .map(|at| remote.accounts[at].active);
            (is_settled && is_active == Some(true)).then_some((&account.name, local))
        });
        let found: Vec<(CredentialName, Vec<String>)> = stream::iter(asked)
            .map(|(name, local)| async move { Ok::<_, ViewError>((name.clone(), strange_keys(client, local).await?)) })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        for (name, keys) in found {
            if let Some(Ok(local)) = self.local.get_mut(&name) {
                local.strange_keys = keys;
            }
        }
        Ok(())
    }

    /// The account of a credential at Dfns.
    pub(super) fn account_of(&self, local: &Local) -> Option<&RemoteAccount> {
        let remote = self.remote.as_ref()?;
        let at = remote.position_of(&local.identified())?;
        Some(&remote.accounts[at])
    }

    /// Whose accounts there are: each of Dfns's with whether it is a credential's of the vault, now or on its way out.
    pub(super) fn accounts(&self) -> Vec<(&RemoteAccount, bool)> {
        let Some(remote) = &self.remote else {
            return Vec::new();
        };
        let mut known = vec![false; remote.accounts.len()];
        let mut fingerprints: BTreeSet<&String> = BTreeSet::new();
        for local in self.local.values().flatten() {
            if let Some(at) = remote.position_of(&local.identified()) {
                known[at] = true;
            }
            fingerprints.insert(&local.record.fingerprint);
            fingerprints.extend(&local.record.earlier_fingerprints);
        }
        for (known, keys) in known.iter_mut().zip(&remote.fingerprints) {
            *known |= keys.iter().any(|key| fingerprints.contains(key));
        }
        remote.accounts.iter().zip(known).collect()
    }

    /// All accounts that accept a credential's keys: its own, and the one on its way out.
    pub(super) fn all_accounts_of(&self, local: &Local) -> Vec<&RemoteAccount> {
        let Some(remote) = &self.remote else {
            return Vec::new();
        };
        let own = remote.position_of(&local.identified());
        let has = |keys: &[String]| keys.iter().any(|key| local.record.has_key(key));
        let accounts = remote.accounts.iter().zip(&remote.fingerprints).enumerate();
        accounts
            .filter(|(at, (_, keys))| Some(*at) == own || has(keys))
            .map(|(_, (account, _))| account)
            .collect()
    }
}

/// The keys that Dfns accepts for an account and that are none of the credential's, where it says so.
async fn strange_keys(client: &Client, local: &Local) -> Result<Vec<String>, ViewError> {
    let Some((environment, generation)) = local.usable.as_ref() else {
        return Ok(Vec::new());
    };
    let Ok(key) = pem::unseal(&generation.private_key) else {
        return Ok(Vec::new());
    };
    let access = Access {
        environment,
        token: &generation.token,
        signer: &key,
        credential_id: generation.credential_id.as_ref(),
    };
    let keys = match client.keys(access).await {
        Ok(keys) => keys,
        // Who may not ask is no finding, and what is wrong with a token is `verify`'s to say.
        Err(CallError::Call(ApiError::Refused { .. })) => return Ok(Vec::new()),
        Err(error) => {
            let doing = "listing an account's own keys";
            return Err(ViewError::Call { doing, error });
        }
    };
    let known = |fingerprint: &String| {
        *fingerprint == local.record.fingerprint || local.record.earlier_fingerprints.contains(fingerprint)
    };
    let active = keys.iter().filter(|key| key.active);
    let fingerprints = active.filter_map(|key| public_fingerprint(key.public_key.as_bytes()).ok());
    Ok(fingerprints.filter(|fingerprint| !known(fingerprint)).collect())
}
