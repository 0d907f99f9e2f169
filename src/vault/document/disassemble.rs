//! From a credential in one of its states to what is sealed of it.

use jiff::Timestamp;

use super::forms::{
    ActiveForm, CreatedForm, NextForm, OutgoingForm, PendingForm, RotationForm, SealedForm, StageForm, UserForm, text,
};
use super::key_form::KeyForm;
use crate::model::credential::{
    ActiveGeneration, AnyCredential, Created, Credential, PendingGeneration, Stage, UserGeneration,
};
use crate::model::delivery::Delivery;
use crate::model::ids::CredentialName;
use crate::model::record::PublicRecord;
use crate::model::rotation::{Rotating, RotationStage};

/// A credential in whichever state it is to be put.
#[derive(Clone, Copy)]
pub enum Contents<'a> {
    /// A key without a token.
    Pending(&'a Credential<PendingGeneration>),
    /// A proven pair.
    Active(&'a Credential<ActiveGeneration>),
    /// A proven pair with a rotation under way.
    Rotating(&'a Credential<Rotating>),
    /// A user who logs in.
    User(&'a Credential<UserGeneration>),
}

impl<'a> From<&'a Credential<PendingGeneration>> for Contents<'a> {
    fn from(credential: &'a Credential<PendingGeneration>) -> Self {
        Self::Pending(credential)
    }
}

impl<'a> From<&'a Credential<ActiveGeneration>> for Contents<'a> {
    fn from(credential: &'a Credential<ActiveGeneration>) -> Self {
        Self::Active(credential)
    }
}

impl<'a> From<&'a Credential<Rotating>> for Contents<'a> {
    fn from(credential: &'a Credential<Rotating>) -> Self {
        Self::Rotating(credential)
    }
}

impl<'a> From<&'a Credential<UserGeneration>> for Contents<'a> {
    fn from(credential: &'a Credential<UserGeneration>) -> Self {
        Self::User(credential)
    }
}

impl<'a> From<&'a AnyCredential> for Contents<'a> {
    fn from(credential: &'a AnyCredential) -> Self {
        match credential {
            AnyCredential::Pending(credential) => Self::Pending(credential),
            AnyCredential::Active(credential) => Self::Active(credential),
            AnyCredential::Rotating(credential) => Self::Rotating(credential),
            AnyCredential::User(credential) => Self::User(credential),
        }
    }
}

impl Contents<'_> {
    pub(in crate::vault) fn name(&self) -> &CredentialName {
        match self {
            Self::Pending(credential) => &credential.name,
            Self::Active(credential) => &credential.name,
            Self::Rotating(credential) => &credential.name,
            Self::User(credential) => &credential.name,
        }
    }

    pub(super) fn deliveries(&self) -> &[Delivery] {
        match self {
            Self::Pending(credential) => &credential.deliveries,
            Self::Active(credential) => &credential.deliveries,
            Self::Rotating(credential) => &credential.deliveries,
            Self::User(credential) => &credential.deliveries,
        }
    }

    pub(in crate::vault) fn record(&self) -> PublicRecord {
        match *self {
            Self::Pending(credential) => credential.into(),
            Self::Active(credential) => credential.into(),
            Self::Rotating(credential) => credential.into(),
            Self::User(credential) => credential.into(),
        }
    }

    /// What is sealed, apart from what says which write it is.
    pub(super) fn form(&self, public: &PublicRecord) -> SealedForm {
        let empty = SealedForm {
            public: serde_json::to_value(public).expect("a record of texts and numbers serialises"),
            recipients: None,
            epoch: None,
            revision: None,
            moves: None,
            active: None,
            user: None,
            pending: None,
            rotation: None,
            deliveries: self.deliveries().to_vec(),
        };
        match *self {
            Self::Pending(credential) => SealedForm {
                pending: Some(pending(&credential.current, credential.created_at)),
                ..empty
            },
            Self::Active(credential) => SealedForm {
                active: Some(ActiveForm::new(&credential.current, since(credential))),
                ..empty
            },
            Self::User(credential) => SealedForm {
                user: Some(user(&credential.current, since(credential))),
                ..empty
            },
            Self::Rotating(credential) => {
                let Rotating { active, journal, stage } = &credential.current;
                let (next, outgoing) = match stage {
                    RotationStage::Preparing(next) => (Some(NextForm::new(next, journal.started_at)), None),
                    RotationStage::Retiring(outgoing) => {
                        (None, Some(OutgoingForm::new(outgoing, credential.created_at)))
                    }
                };
                SealedForm {
                    active: Some(ActiveForm::new(active, since(credential))),
                    rotation: Some(RotationForm {
                        journal: journal.clone(),
                        next,
                        outgoing,
                    }),
                    ..empty
                }
            }
        }
    }
}

/// Since when the active generation is the active one.
fn since<G>(credential: &Credential<G>) -> Timestamp {
    credential.rotated_at.unwrap_or(credential.created_at)
}

fn pending(generation: &PendingGeneration, since: Timestamp) -> PendingForm {
    let PendingGeneration {
        private_key,
        public_key: _,
        stage,
    } = generation;
    let stage = match stage {
        Stage::AwaitingToken => StageForm::AwaitingToken,
        Stage::Registering(registering) => StageForm::Registering(registering.clone()),
        Stage::Enrolling(enrolling) => StageForm::Enrolling(enrolling.clone()),
        Stage::Created(Created {
            token,
            identity_id,
            token_id,
            credential_id,
            missing_permissions,
            attempts,
        }) => StageForm::Created(CreatedForm {
            token: text(token.expose_secret()),
            identity_id: identity_id.clone(),
            token_id: token_id.clone(),
            credential_id: credential_id.clone(),
            missing_permissions: missing_permissions.clone(),
            attempts: attempts.clone(),
        }),
    };
    PendingForm {
        since: Some(since),
        private_key: KeyForm(private_key.clone()),
        stage,
    }
}

fn user(generation: &UserGeneration, since: Timestamp) -> UserForm {
    let UserGeneration {
        private_key,
        public_key: _,
        username,
        credential_id,
    } = generation;
    UserForm {
        since: Some(since),
        private_key: KeyForm(private_key.clone()),
        username: username.clone(),
        credential_id: credential_id.clone(),
    }
}
