//! Provisioning through the API: an account is made, its token sealed the moment it arrives, its permissions assigned,
//! the pair proven, and only then is it active.
//!
//! Each stage is sealed before the call that leads out of it. After a lost answer or a kill the account is looked for by
//! our public key: one whose token nobody has is deactivated, and another is made. Never two.

use base64ct::{Base64UrlUnpadded, Encoding};
use thiserror::Error;

use super::refusal::{Refusal, diagnose};
use crate::api::accounts::{AccountVerb, CreatedAccount, NewAccount, RemoteAccount};
use crate::api::{Access, Action, ApiError, CallError, UserSession};
use crate::keys::pem::{self, read_public_key};
use crate::keys::{KeyError, KeyPair, RandomnessError};
use crate::model::credential::{
    ActiveGeneration, AnyCredential, Created, Credential, Environment, Kind, PendingGeneration, PublicRecord,
    Registering, Stage,
};
use crate::model::ids::{CredentialName, ExternalId, PermissionId};
use crate::vault::{Expected, Unlocked, Vault, VaultError, Version};

/// How often an account is made anew after an orphan, within one run.
const MOST_ORPHANS: usize = 4;

/// What one name is to become.
#[derive(Debug, Clone)]
pub struct Order {
    /// The name here, and at Dfns.
    pub name: CredentialName,
    /// Service account or personal access token.
    pub kind: Kind,
    /// Where it is used.
    pub environment: Environment,
    /// How long its token lives.
    pub days_valid: Option<u32>,
    /// The permissions it is to have.
    pub permissions: Vec<PermissionId>,
    /// The external id it is to have, where the user chose one.
    pub external_id: Option<ExternalId>,
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
    /// Somebody has to approve it.
    #[error("{what} waits for a policy approval at Dfns")]
    AwaitingApproval {
        /// What waits.
        what: &'static str,
    },
    /// A call as the administrator failed.
    #[error("{doing}: {error}")]
    Call {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        error: CallError,
    },
    /// New accounts keep becoming orphans.
    #[error("the answers to {0} creations were lost one after the other")]
    TooManyOrphans(usize),
    /// Token and key were not accepted together.
    #[error("the new account: {0}")]
    Refused(Refusal),
    /// The sealed key is unusable.
    #[error("the sealed key of {name} {error}")]
    Key {
        /// The credential.
        name: CredentialName,
        /// In which way.
        error: KeyError,
    },
    /// The operating system gave no randomness.
    #[error(transparent)]
    Randomness(#[from] RandomnessError),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// A pending credential and its version in the vault.
struct Sealed {
    credential: Credential<PendingGeneration>,
    version: Version,
}

/// What is being worked on.
struct Job<'a> {
    vault: &'a Vault,
    session: &'a UserSession<'a>,
    order: &'a Order,
}

/// Provisions one name, from wherever an earlier run left it.
///
/// # Errors
/// Why it did not become active. Run again, it goes on.
pub async fn provision(
    vault: &Vault,
    unlocked: &Unlocked<'_>,
    session: &UserSession<'_>,
    order: &Order,
) -> Result<Provisioned, ProvisionError> {
    let job = Job { vault, session, order };
    let found = match unlocked.get(&order.name) {
        Ok(opened) => Some(opened),
        Err(VaultError::NoSuchCredential(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let Some(opened) = found else {
        let sealed = job.seal_new(&Expected::Absent, 1)?;
        return job.create(sealed, true).await;
    };
    let record = PublicRecord::from(&opened.credential);
    if record.kind != order.kind {
        return Err(ProvisionError::OtherKind {
            name: order.name.clone(),
            found: record.kind.in_words(),
            wished: order.kind.in_words(),
        });
    }
    let AnyCredential::Pending(credential) = opened.credential else {
        return Ok(Provisioned::Before(record));
    };
    let sealed = Sealed {
        credential,
        version: opened.version,
    };
    match sealed.credential.current.stage.clone() {
        Stage::AwaitingToken | Stage::Enrolling(_) => Err(ProvisionError::BegunForDashboard(order.name.clone())),
        Stage::Registering(registering) => job.look(sealed, &registering).await,
        Stage::Created(created) => job.finish(sealed, created, false).await,
    }
}

impl Job<'_> {
    /// Seals a new key with what is about to be asked of Dfns.
    fn seal_new(&self, expected: &Expected, attempt: usize) -> Result<Sealed, ProvisionError> {
        let Order {
            name,
            kind,
            environment,
            days_valid: _,
            permissions,
            external_id,
        } = self.order;
        let pair = KeyPair::generate()?;
        // An orphan keeps its name and external id, which are unique at Dfns.
        let account_name = match attempt {
            1 => name.to_string(),
            number => format!("{name}-{number}"),
        };
        let external_id = match external_id {
            Some(chosen) if attempt == 1 => chosen.clone(),
            Some(chosen) => ExternalId::new(format!("{chosen}-{attempt}")),
            None => new_external_id()?,
        };
        let credential = Credential {
            name: name.clone(),
            kind: *kind,
            environment: environment.clone(),
            created_at: self.vault.clock().now(),
            rotated_at: None,
            generation: 1,
            current: PendingGeneration {
                private_key: pair.to_sealable(),
                public_key: pair.public_key().to_text(),
                stage: Stage::Registering(Registering {
                    external_id,
                    account_name,
                    permissions: permissions.clone(),
                    awaiting_approval: false,
                }),
            },
        };
        let version = self.vault.put_pending(&credential, expected)?;
        Ok(Sealed { credential, version })
    }

    /// Finds out whether a creation had happened, and goes on from there.
    async fn look(&self, sealed: Sealed, registering: &Registering) -> Result<Provisioned, ProvisionError> {
        match self.find(&sealed).await? {
            Some(orphan) => self.replace(sealed, orphan, registering).await,
            None if registering.awaiting_approval => Err(ProvisionError::AwaitingApproval {
                what: "the new account",
            }),
            None => self.create(sealed, false).await,
        }
    }

    async fn find(&self, sealed: &Sealed) -> Result<Option<RemoteAccount>, ProvisionError> {
        let accounts = self
            .session
            .accounts(self.order.kind)
            .await
            .map_err(|error| ProvisionError::Call {
                doing: "looking for an account made before",
                error,
            })?;
        let own = read_public_key(sealed.credential.current.public_key.pem.as_bytes()).map_err(|error| {
            ProvisionError::Key {
                name: self.order.name.clone(),
                error,
            }
        })?;
        Ok(accounts.into_iter().find(|account| {
            account
                .public_keys
                .iter()
                .any(|key| read_public_key(key.as_bytes()).is_ok_and(|key| key == own))
        }))
    }

    /// An account whose token nobody has: it is deactivated, and another one made.
    async fn replace(
        &self,
        mut sealed: Sealed,
        mut orphan: RemoteAccount,
        registering: &Registering,
    ) -> Result<Provisioned, ProvisionError> {
        let first = attempt_of(&self.order.name, &registering.account_name) + 1;
        for attempt in first..first + MOST_ORPHANS {
            if orphan.active {
                self.session
                    .change(self.order.kind, &orphan.identity_id, AccountVerb::Deactivate)
                    .await
                    .map_err(|error| ProvisionError::Call {
                        doing: "deactivating an account whose token was lost",
                        error,
                    })?;
            }
            sealed = self.seal_new(&Expected::Version(sealed.version), attempt)?;
            match self.try_create(&mut sealed).await? {
                Some(created) => return self.finish(sealed, created, true).await,
                None => match self.find(&sealed).await? {
                    Some(another) => orphan = another,
                    None => return Err(self.lost()),
                },
            }
        }
        Err(ProvisionError::TooManyOrphans(MOST_ORPHANS))
    }

    fn lost(&self) -> ProvisionError {
        ProvisionError::Call {
            doing: "creating the account",
            error: CallError::Call(ApiError::Unreachable {
                host: self.session.environment().api_url.host().to_owned(),
                stage: crate::api::Stage::Broken,
                reason: "the answer was lost, and the account was not made".to_owned(),
            }),
        }
    }

    async fn create(&self, mut sealed: Sealed, fresh: bool) -> Result<Provisioned, ProvisionError> {
        let registering = match &sealed.credential.current.stage {
            Stage::Registering(registering) => registering.clone(),
            _ => return Err(ProvisionError::BegunForDashboard(self.order.name.clone())),
        };
        match self.try_create(&mut sealed).await {
            Ok(Some(created)) => self.finish(sealed, created, true).await,
            // The answer was lost: what is there decides.
            Ok(None) => match self.find(&sealed).await? {
                Some(orphan) => self.replace(sealed, orphan, &registering).await,
                None => match self.try_create(&mut sealed).await? {
                    Some(created) => self.finish(sealed, created, true).await,
                    None => Err(self.lost()),
                },
            },
            Err(error) => {
                // A clear refusal leaves the vault as it was.
                if fresh
                    && !matches!(
                        error,
                        ProvisionError::AwaitingApproval { .. } | ProvisionError::Vault(_)
                    )
                {
                    self.vault.delete(&self.order.name)?;
                }
                Err(error)
            }
        }
    }

    /// Asks for the account. `None` when it may have been made and its answer is lost.
    async fn try_create(&self, sealed: &mut Sealed) -> Result<Option<Created>, ProvisionError> {
        let Stage::Registering(registering) = sealed.credential.current.stage.clone() else {
            return Err(ProvisionError::BegunForDashboard(self.order.name.clone()));
        };
        let answer = self
            .session
            .create(NewAccount {
                kind: self.order.kind,
                name: &registering.account_name,
                public_key: &sealed.credential.current.public_key.pem,
                days_valid: self.order.days_valid,
                external_id: &registering.external_id,
            })
            .await;
        let CreatedAccount {
            token,
            identity_id,
            token_id,
            credential_id,
        } = match answer {
            Ok(created) => created,
            Err(error) if error.may_have_happened() => return Ok(None),
            Err(error) => return Err(self.not_created(sealed, registering, error)?),
        };
        let created = Created {
            token,
            identity_id,
            token_id,
            credential_id,
            missing_permissions: registering.permissions,
        };
        // The token exists nowhere else: before anything else is done with it, it is sealed.
        self.seal_created(sealed, created.clone())?;
        Ok(Some(created))
    }

    fn not_created(
        &self,
        sealed: &mut Sealed,
        registering: Registering,
        error: CallError,
    ) -> Result<ProvisionError, ProvisionError> {
        match error {
            CallError::Call(ApiError::AwaitingApproval) => {
                sealed.credential.current.stage = Stage::Registering(Registering {
                    awaiting_approval: true,
                    ..registering
                });
                sealed.version = self
                    .vault
                    .put_pending(&sealed.credential, &Expected::Version(sealed.version.clone()))?;
                Ok(ProvisionError::AwaitingApproval {
                    what: "the new account",
                })
            }
            CallError::Call(ApiError::Refused {
                status: 400 | 409,
                message,
                ..
            }) if is_taken(message.as_deref()) => Ok(ProvisionError::NameTaken {
                account_name: registering.account_name,
                message,
            }),
            error => Ok(ProvisionError::Call {
                doing: "creating the account",
                error,
            }),
        }
    }

    fn seal_created(&self, sealed: &mut Sealed, created: Created) -> Result<(), ProvisionError> {
        sealed.credential.current.stage = Stage::Created(created);
        sealed.version = self
            .vault
            .put_pending(&sealed.credential, &Expected::Version(sealed.version.clone()))?;
        Ok(())
    }

    /// Assigns what is missing, proves the pair, and seals it as active.
    async fn finish(
        &self,
        mut sealed: Sealed,
        mut created: Created,
        fresh: bool,
    ) -> Result<Provisioned, ProvisionError> {
        if !fresh && !created.missing_permissions.is_empty() {
            let has = self.permissions_of(&created).await?;
            created.missing_permissions.retain(|wanted| !has.contains(wanted));
        }
        while let Some(permission) = created.missing_permissions.first().cloned() {
            if let Err(error) = self.assign(&permission, &created).await {
                self.seal_created(&mut sealed, created)?;
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
                if self.permissions_of(created).await?.contains(permission) {
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

    async fn activate(&self, sealed: Sealed, created: Created) -> Result<Provisioned, ProvisionError> {
        let Sealed {
            mut credential,
            version,
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
        credential.environment.organisation_id = credential
            .environment
            .organisation_id
            .or_else(|| token.claims().organisation_id.clone());
        let credential = credential.with_generation(|pending| ActiveGeneration {
            private_key: pending.private_key,
            public_key: pending.public_key,
            token,
            credential_id: signed.credential_id,
            identity_id: Some(identity_id),
            token_id: Some(token_id),
        });
        self.vault.put_active(&credential, &Expected::Version(version))?;
        Ok(Provisioned::Now(PublicRecord::from(&credential)))
    }
}

/// Turns permissions as the user named them into ids: an id stands for itself, a name is looked up once for all.
///
/// # Errors
/// When there is none of that name, or the list cannot be had.
pub async fn resolve_permissions(
    session: &UserSession<'_>,
    wanted: &[String],
) -> Result<Vec<PermissionId>, ResolveError> {
    if wanted.iter().all(|name| name.starts_with("pm-")) {
        return Ok(wanted.iter().map(PermissionId::new).collect());
    }
    let known = session.permissions().await.map_err(ResolveError::Call)?;
    wanted
        .iter()
        .map(|wanted| {
            known
                .iter()
                .find(|(id, name)| id.as_str() == wanted || name == wanted)
                .map(|(id, _)| id.clone())
                .ok_or_else(|| ResolveError::Unknown(wanted.clone()))
        })
        .collect()
}

/// A permission could not be found.
#[derive(Debug, Error)]
pub enum ResolveError {
    /// There is none of that name or id.
    #[error("there is no permission `{}`", .0.escape_debug())]
    Unknown(String),
    /// The list cannot be had.
    #[error("listing permissions: {0}")]
    Call(CallError),
}

fn is_taken(message: Option<&str>) -> bool {
    message.is_none_or(|message| {
        let message = message.to_ascii_lowercase();
        ["taken", "unique", "exist", "duplicate", "conflict", "already"]
            .iter()
            .any(|word| message.contains(word))
    })
}

fn is_conflict(error: &CallError) -> bool {
    matches!(error, CallError::Call(ApiError::Refused { status: 409, .. }))
}

fn attempt_of(name: &CredentialName, account_name: &str) -> usize {
    account_name
        .strip_prefix(name.as_str())
        .and_then(|rest| rest.strip_prefix('-'))
        .and_then(|number| number.parse().ok())
        .unwrap_or(1)
}

fn new_external_id() -> Result<ExternalId, RandomnessError> {
    let mut bytes = [0_u8; 18];
    getrandom::fill(&mut bytes).map_err(|_| RandomnessError)?;
    Ok(ExternalId::new(format!(
        "dfns-keys-{}",
        Base64UrlUnpadded::encode_string(&bytes)
    )))
}
