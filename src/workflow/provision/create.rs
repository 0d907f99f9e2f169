//! Making the account: sealed before it is asked for, looked for after a lost answer, never made twice.

use super::{Job, Order, ProvisionError, Provisioned, Sealed};
use crate::api::accounts::{AccountVerb, CreatedAccount, NewAccount, RemoteAccount};
use crate::api::{ApiError, CallError};
use crate::keys::{KeyPair, RandomnessError};
use crate::model::attempt::Attempt;
use crate::model::credential::{Created, Credential, PendingGeneration, PublicKeyText, Registering, Stage};
use crate::model::ids::{CredentialName, ExternalId};
use crate::vault::Edit;
use crate::workflow::identity::has_key;

/// How often an account is made anew after an orphan, within one run.
const MOST_ORPHANS: usize = 4;

/// What came of asking for an account.
enum Asked {
    Created(Created),
    /// It may have been made: its answer was lost, and its token with it.
    Lost(CallError),
}

impl Job<'_> {
    /// Seals a new key with what is about to be asked of Dfns.
    pub(super) async fn seal_new<'e>(
        &self,
        mut edit: Edit<'e>,
        attempt: usize,
        attempts: Vec<Attempt>,
    ) -> Result<Sealed<'e>, ProvisionError> {
        let Order {
            name,
            kind,
            environment,
            days_valid: _,
            permissions,
            external_id,
            upkeep,
            wishes: _,
        } = self.order;
        let pair = KeyPair::generate()?;
        // An attempt keeps its name and external id, which are unique at Dfns, whatever becomes of it.
        let account_name = match attempt {
            1 => name.to_string(),
            number => format!("{name}-{number}"),
        };
        let external_id = match external_id {
            Some(chosen) if attempt == 1 => chosen.clone(),
            Some(chosen) => chosen.numbered(attempt),
            None => new_external_id()?,
        };
        let credential = Credential {
            name: name.clone(),
            kind: *kind,
            environment: environment.clone(),
            created_at: edit.vault().clock().now(),
            rotated_at: None,
            generation: 1,
            earlier_keys: Vec::new(),
            deliveries: Vec::new(),
            upkeep: upkeep.clone(),
            current: PendingGeneration {
                private_key: pair.to_sealable(),
                public_key: pair.public_key().to_text(),
                stage: Stage::Registering(Registering {
                    external_id,
                    account_name,
                    permissions: permissions.clone(),
                    awaiting_approval: false,
                    attempts,
                }),
            },
        };
        edit.put(&credential).await?;
        Ok(Sealed { credential, edit })
    }

    /// Finds out whether a creation had happened, and goes on from there.
    pub(super) async fn look(
        &self,
        sealed: Sealed<'_>,
        registering: &Registering,
    ) -> Result<Provisioned, ProvisionError> {
        match self.find(&sealed).await? {
            Some(orphan) => self.replace(sealed, orphan, registering).await,
            None if registering.awaiting_approval => Err(ProvisionError::AwaitingApproval {
                what: "the new account",
            }),
            None => {
                let sealed = self.next_attempt(sealed, registering, true).await?;
                self.create(sealed, false).await
            }
        }
    }

    /// Another attempt, with a key, a name and an external id of its own. What became of the one before may be open.
    async fn next_attempt<'e>(
        &self,
        sealed: Sealed<'e>,
        before: &Registering,
        is_open: bool,
    ) -> Result<Sealed<'e>, ProvisionError> {
        let mut attempts = before.attempts.clone();
        if is_open {
            let PublicKeyText { pem, fingerprint } = sealed.credential.current.public_key;
            attempts.push(Attempt {
                public_key: pem,
                fingerprint,
                credential_id: None,
            });
        }
        let number = attempt_of(&self.order.name, &before.account_name) + 1;
        self.seal_new(sealed.edit, number, attempts).await
    }

    /// Deactivates what has come of earlier attempts since they were looked for.
    pub(super) async fn sweep(&self, attempts: &[Attempt]) -> Result<(), ProvisionError> {
        if attempts.is_empty() {
            return Ok(());
        }
        for account in self.accounts().await? {
            if attempts.iter().any(|attempt| has_key(&account, &attempt.public_key)) {
                self.deactivate(&account).await?;
            }
        }
        Ok(())
    }

    async fn accounts(&self) -> Result<Vec<RemoteAccount>, ProvisionError> {
        self.session
            .accounts(self.order.kind)
            .await
            .map_err(|error| ProvisionError::Call {
                doing: "looking for an account made before",
                error,
            })
    }

    async fn find(&self, sealed: &Sealed<'_>) -> Result<Option<RemoteAccount>, ProvisionError> {
        let own = &sealed.credential.current.public_key.pem;
        Ok(self.accounts().await?.into_iter().find(|account| has_key(account, own)))
    }

    /// What there is after a creation whose answer was lost. Where that cannot be found out, the creation is in doubt.
    async fn find_after(&self, sealed: &Sealed<'_>, lost: CallError) -> Result<Option<RemoteAccount>, ProvisionError> {
        self.find(sealed).await.map_err(|_| not_created(lost))
    }

    /// An account whose token nobody has: it is deactivated, and another one made.
    async fn replace(
        &self,
        mut sealed: Sealed<'_>,
        mut orphan: RemoteAccount,
        registering: &Registering,
    ) -> Result<Provisioned, ProvisionError> {
        let mut registering = registering.clone();
        for _ in 0..MOST_ORPHANS {
            self.deactivate(&orphan).await?;
            sealed = self.next_attempt(sealed, &registering, false).await?;
            registering = self.registering(&sealed)?;
            orphan = match self.try_create(&mut sealed).await? {
                Asked::Created(created) => return self.finish(sealed, created, true).await,
                Asked::Lost(lost) => match self.find(&sealed).await {
                    Ok(Some(another)) => another,
                    _ => return Err(not_created(lost)),
                },
            };
        }
        self.deactivate(&orphan).await?;
        Err(ProvisionError::TooManyOrphans(MOST_ORPHANS))
    }

    async fn deactivate(&self, orphan: &RemoteAccount) -> Result<(), ProvisionError> {
        if !orphan.active {
            return Ok(());
        }
        self.session
            .change(self.order.kind, &orphan.identity_id, AccountVerb::Deactivate)
            .await
            .map_err(|error| ProvisionError::Call {
                doing: "deactivating an account whose token was lost",
                error,
            })
    }

    pub(super) async fn create(&self, mut sealed: Sealed<'_>, fresh: bool) -> Result<Provisioned, ProvisionError> {
        let registering = self.registering(&sealed)?;
        match self.try_create(&mut sealed).await {
            Ok(Asked::Created(created)) => self.finish(sealed, created, true).await,
            // What is there decides.
            Ok(Asked::Lost(lost)) => {
                if let Some(orphan) = self.find_after(&sealed, lost).await? {
                    return self.replace(sealed, orphan, &registering).await;
                }
                sealed = self.next_attempt(sealed, &registering, true).await?;
                match self.try_create(&mut sealed).await? {
                    Asked::Created(created) => self.finish(sealed, created, true).await,
                    Asked::Lost(lost) => Err(not_created(lost)),
                }
            }
            Err(error) => {
                // A clear refusal leaves the vault as it was.
                if fresh
                    && !matches!(
                        error,
                        ProvisionError::AwaitingApproval { .. } | ProvisionError::Vault(_)
                    )
                {
                    sealed.edit.remove().await?;
                }
                Err(error)
            }
        }
    }

    fn registering(&self, sealed: &Sealed<'_>) -> Result<Registering, ProvisionError> {
        match &sealed.credential.current.stage {
            Stage::Registering(registering) => Ok(registering.clone()),
            _ => Err(ProvisionError::BegunForDashboard(self.order.name.clone())),
        }
    }

    /// Asks for the account.
    async fn try_create(&self, sealed: &mut Sealed<'_>) -> Result<Asked, ProvisionError> {
        let registering = self.registering(sealed)?;
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
            Err(error) if error.may_have_happened() => return Ok(Asked::Lost(error)),
            // A creation of an earlier run may have landed since it was looked for.
            Err(error) if is_refused_as_taken(&error) && self.find(sealed).await?.is_some() => {
                return Ok(Asked::Lost(error));
            }
            Err(error) => return Err(self.refused(sealed, registering, error).await?),
        };
        let created = Created {
            token,
            identity_id,
            token_id,
            credential_id,
            missing_permissions: registering.permissions,
            attempts: registering.attempts,
        };
        // The token exists nowhere else: before anything else is done with it, it is sealed.
        self.seal_created(sealed, created.clone()).await?;
        Ok(Asked::Created(created))
    }

    async fn refused(
        &self,
        sealed: &mut Sealed<'_>,
        registering: Registering,
        error: CallError,
    ) -> Result<ProvisionError, ProvisionError> {
        match error {
            CallError::Call(ApiError::AwaitingApproval) => {
                sealed.credential.current.stage = Stage::Registering(Registering {
                    awaiting_approval: true,
                    ..registering
                });
                sealed.save().await?;
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
            error => Ok(not_created(error)),
        }
    }

    pub(super) async fn seal_created(&self, sealed: &mut Sealed<'_>, created: Created) -> Result<(), ProvisionError> {
        sealed.credential.current.stage = Stage::Created(created);
        sealed.save().await?;
        Ok(())
    }
}

fn is_refused_as_taken(error: &CallError) -> bool {
    matches!(
        error,
        CallError::Call(ApiError::Refused { status: 400 | 409, message, .. }) if is_taken(message.as_deref())
    )
}

fn not_created(error: CallError) -> ProvisionError {
    ProvisionError::Call {
        doing: "creating the account",
        error,
    }
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

fn new_external_id() -> Result<ExternalId, RandomnessError> {
    let mut bytes = [0_u8; 18];
    getrandom::fill(&mut bytes).map_err(|_| RandomnessError)?;
    Ok(ExternalId::of_bytes("dfns-keys", &bytes))
}
