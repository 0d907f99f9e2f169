//! Other names of the vault that a rotation of this one would cut off: they have the same key or the same account.

use std::fmt;

use super::{Job, Opened, RotateError};
use crate::model::credential::{ActiveGeneration, Credential};
use crate::model::ids::CredentialName;
use crate::model::rotation::{Rotating, RotationStage, Strategy};
use crate::workflow::sharing::Doomed;

/// Those that stop working when the old or the new generation is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependents {
    /// The other names.
    pub names: Vec<CredentialName>,
    /// What they sign with, such as `the old key of a`.
    pub with: Shared,
}

/// What two names have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    which: &'static str,
    what: &'static str,
    of: CredentialName,
}

impl Shared {
    /// The name whose rotation it is.
    #[must_use]
    pub fn of(&self) -> &CredentialName {
        &self.of
    }
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} {} of {}", self.which, self.what, self.of)
    }
}

impl Job<'_> {
    /// Who is cut off when the old key is retired.
    ///
    /// # Errors
    /// When the credential cannot be opened.
    pub async fn cut_off_by_retirement(&self) -> Result<Dependents, RotateError> {
        Ok(match self.find().await? {
            Opened::Active(_) => self.dependents("old", Strategy::Credential, Vec::new()),
            Opened::Rotating(credential) => self.dependents_on_old(&credential).await,
        })
    }

    /// Who is cut off when the new key is withdrawn again.
    ///
    /// # Errors
    /// When the credential cannot be opened.
    pub async fn cut_off_by_rollback(&self) -> Result<Dependents, RotateError> {
        let Opened::Rotating(credential) = self.find().await? else {
            return Ok(self.dependents("new", Strategy::Credential, Vec::new()));
        };
        let (active, strategy) = (&credential.current.active, credential.current.journal.strategy);
        let names = match &credential.current.stage {
            RotationStage::Retiring(_) => self.cut_off(&credential, active).await,
            RotationStage::Preparing(next) => match next.generation(active) {
                Some(new) => self.cut_off(&credential, &new).await,
                // Nobody can have taken what is not there yet.
                None => Vec::new(),
            },
        };
        Ok(self.dependents("new", strategy, names))
    }

    pub(super) async fn dependents_on_old(&self, credential: &Credential<Rotating>) -> Dependents {
        let names = match &credential.current.stage {
            RotationStage::Retiring(outgoing) => self.cut_off(credential, &outgoing.previous).await,
            RotationStage::Preparing(_) => Vec::new(),
        };
        self.dependents("old", credential.current.journal.strategy, names)
    }

    async fn cut_off(&self, credential: &Credential<Rotating>, generation: &ActiveGeneration) -> Vec<CredentialName> {
        let doomed = Doomed {
            api_url: &credential.environment.api_url,
            fingerprint: &generation.public_key.fingerprint,
            token: &generation.token,
            whole_account: credential.current.journal.strategy != Strategy::Credential,
        };
        self.neighbours.cut_off_by(self.name, doomed).await
    }

    fn dependents(&self, which: &'static str, strategy: Strategy, names: Vec<CredentialName>) -> Dependents {
        Dependents {
            names,
            with: Shared {
                which,
                what: if strategy == Strategy::Credential {
                    "key"
                } else {
                    "account"
                },
                of: self.name.clone(),
            },
        }
    }
}
