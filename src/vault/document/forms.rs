//! What is sealed, as it is written: the forms between serde and our own types.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::key_form::KeyForm;
use crate::model::attempt::Attempt;
use crate::model::credential::{ActiveGeneration, Enrolling, PublicKeyText, Registering};
use crate::model::delivery::Delivery;
use crate::model::ids::{
    CredentialId, CredentialName, CredentialUuid, IdentityId, PermissionId, TokenId, Username, where_known,
};
use crate::model::rotation::{Journal, Next, NextStep, Outgoing, Registered};
use crate::vault::recipients::RecipientText;
use crate::vault::sealed_text::SealedText;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PendingForm {
    /// From version 2 on: since when it is in this role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Timestamp>,
    pub(super) private_key: KeyForm,
    pub(super) stage: StageForm,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum StageForm {
    AwaitingToken,
    Registering(Registering),
    Created(CreatedForm),
    Enrolling(Enrolling),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreatedForm {
    pub(super) token: SealedText,
    pub(super) identity_id: IdentityId,
    pub(super) token_id: TokenId,
    #[serde(default, deserialize_with = "where_known")]
    pub(super) credential_id: Option<CredentialId>,
    pub(super) missing_permissions: Vec<PermissionId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) attempts: Vec<Attempt>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserForm {
    /// From version 2 on: since when it is in this role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Timestamp>,
    pub(super) private_key: KeyForm,
    pub(super) username: Username,
    #[serde(default, deserialize_with = "where_known")]
    pub(super) credential_id: Option<CredentialId>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ActiveForm {
    /// From version 2 on: since when it is in this role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Timestamp>,
    pub(super) private_key: KeyForm,
    pub(super) token: SealedText,
    #[serde(default, deserialize_with = "where_known")]
    pub(super) credential_id: Option<CredentialId>,
    pub(super) identity_id: Option<IdentityId>,
    pub(super) token_id: Option<TokenId>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RotationForm {
    pub(super) journal: Journal,
    pub(super) next: Option<NextForm>,
    pub(super) outgoing: Option<OutgoingForm>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NextForm {
    /// From version 2 on: since when it is in this role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Timestamp>,
    pub(super) private_key: KeyForm,
    pub(super) public_key: String,
    pub(super) fingerprint: String,
    pub(super) step: NextStepForm,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum NextStepForm {
    KeySealed,
    Registering,
    Registered(RegisteredForm),
    Proven(RegisteredForm),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RegisteredForm {
    pub(super) token: Option<SealedText>,
    #[serde(default, deserialize_with = "where_known")]
    pub(super) credential_id: Option<CredentialId>,
    /// In older files; nobody reads it.
    pub(super) credential_uuid: Option<CredentialUuid>,
    pub(super) identity_id: Option<IdentityId>,
    pub(super) token_id: Option<TokenId>,
    pub(super) missing_permissions: Vec<PermissionId>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OutgoingForm {
    pub(super) public_key: String,
    pub(super) fingerprint: String,
    pub(super) generation: ActiveForm,
    pub(super) promoted_at: Timestamp,
    /// Its `since`, where it had replaced another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rotated_before: Option<Timestamp>,
    pub(super) retiring: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) regardless: bool,
}

/// A name on its way to another one. The two halves of a move know each other by a random id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(in crate::vault) enum Moves {
    /// This one counts until that one is there.
    To { name: CredentialName, id: String },
    /// That one counts no more.
    From { name: CredentialName, id: String },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SealedForm {
    pub(super) public: Value,
    /// In version 1: to whom it was sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) recipients: Option<Vec<RecipientText>>,
    /// From version 2 on, as the three that follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) epoch: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) revision: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) moves: Option<Moves>,
    pub(super) active: Option<ActiveForm>,
    pub(super) user: Option<UserForm>,
    pub(super) pending: Option<PendingForm>,
    pub(super) rotation: Option<RotationForm>,
    /// From version 2 on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) deliveries: Vec<Delivery>,
}

pub(super) fn text(secret: &str) -> SealedText {
    SealedText(Zeroizing::new(secret.to_owned()))
}

impl SealedForm {
    /// The same as version 1 has it.
    pub(super) fn into_version_1(mut self, recipients: Vec<RecipientText>) -> Self {
        self.recipients = Some(recipients);
        if let Some(pending) = &mut self.pending {
            pending.since = None;
        }
        if let Some(user) = &mut self.user {
            user.since = None;
        }
        if let Some(active) = &mut self.active {
            active.since = None;
        }
        if let Some(RotationForm { next, outgoing, .. }) = &mut self.rotation {
            if let Some(next) = next {
                next.since = None;
            }
            if let Some(outgoing) = outgoing {
                outgoing.generation.since = None;
            }
        }
        self
    }
}

impl ActiveForm {
    pub(super) fn new(generation: &ActiveGeneration, since: Timestamp) -> Self {
        let ActiveGeneration {
            private_key,
            public_key: _,
            token,
            credential_id,
            identity_id,
            token_id,
        } = generation;
        Self {
            since: Some(since),
            private_key: KeyForm(private_key.clone()),
            token: text(token.expose_secret()),
            credential_id: credential_id.clone(),
            identity_id: identity_id.clone(),
            token_id: token_id.clone(),
        }
    }
}

impl NextForm {
    pub(super) fn new(next: &Next, since: Timestamp) -> Self {
        let Next {
            private_key,
            public_key: PublicKeyText { pem, fingerprint },
            step,
        } = next;
        Self {
            since: Some(since),
            private_key: KeyForm(private_key.clone()),
            public_key: pem.clone(),
            fingerprint: fingerprint.clone(),
            step: match step {
                NextStep::KeySealed => NextStepForm::KeySealed,
                NextStep::Registering => NextStepForm::Registering,
                NextStep::Registered(registered) => NextStepForm::Registered(RegisteredForm::from(registered)),
                NextStep::Proven(registered) => NextStepForm::Proven(RegisteredForm::from(registered)),
            },
        }
    }
}

impl From<&Registered> for RegisteredForm {
    fn from(registered: &Registered) -> Self {
        let Registered { credential_id, account } = registered;
        let account = account.as_ref();
        Self {
            token: account.map(|account| text(account.token.expose_secret())),
            credential_id: credential_id.clone(),
            credential_uuid: None,
            identity_id: account.and_then(|account| account.identity_id.clone()),
            token_id: account.and_then(|account| account.token_id.clone()),
            missing_permissions: account.map_or_else(Vec::new, |account| account.missing_permissions.clone()),
        }
    }
}

impl OutgoingForm {
    pub(super) fn new(outgoing: &Outgoing, created_at: Timestamp) -> Self {
        let Outgoing {
            previous,
            promoted_at,
            rotated_before,
            retiring,
            regardless,
        } = outgoing;
        Self {
            public_key: previous.public_key.pem.clone(),
            fingerprint: previous.public_key.fingerprint.clone(),
            generation: ActiveForm::new(previous, rotated_before.unwrap_or(created_at)),
            promoted_at: *promoted_at,
            rotated_before: *rotated_before,
            retiring: *retiring,
            regardless: *regardless,
        }
    }
}
