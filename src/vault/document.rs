//! A credential's file: versioned JSON with a public part and a sealed one, which repeats the public part in full.
//! The two must agree, and only the sealed copy is believed.

use std::fmt;

use jiff::Timestamp;
use serde::de::{self, IgnoredAny, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use zeroize::Zeroizing;

use super::recipients::{self, RecipientError, RecipientText};
use super::{VaultError, sealed};
use crate::model::credential::{
    ActiveGeneration, AnyCredential, Created, Credential, Enrolling, Environment, PendingGeneration, PublicKeyText,
    PublicRecord, Registering, Stage, State, UserGeneration,
};
use crate::model::ids::{CredentialId, CredentialName, CredentialUuid, IdentityId, PermissionId, TokenId, Username};
use crate::model::rotation::{Journal, Next, NextStep, Outgoing, Registered, Rotating, RotationStage};
use crate::model::secret::PrivateKeyPem;
use crate::model::token::AuthToken;

const FORMAT: &str = "dfns-keys/credential";
const VERSION: u64 = 1;

#[derive(Serialize)]
struct FileForm<'a> {
    format: &'static str,
    version: u64,
    public: &'a PublicRecord,
    sealed: String,
}

#[derive(Deserialize)]
struct Header {
    format: String,
    version: u64,
}

/// For listings: the sealed part is skipped without being copied.
#[derive(Deserialize)]
struct PublicForm {
    format: String,
    version: u64,
    public: PublicRecord,
    #[serde(rename = "sealed")]
    _sealed: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WholeForm {
    #[serde(rename = "format")]
    _format: IgnoredAny,
    #[serde(rename = "version")]
    _version: IgnoredAny,
    public: Value,
    sealed: String,
}

/// A secret inside the sealed plaintext, which is itself wiped. It exists between serde and our own types only.
struct SealedText(Zeroizing<String>);

impl Serialize for SealedText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SealedText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl Visitor<'_> for TextVisitor {
            type Value = SealedText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<SealedText, E> {
                Ok(SealedText(Zeroizing::new(text.to_owned())))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<SealedText, E> {
                Ok(SealedText(Zeroizing::new(text)))
            }
        }
        deserializer.deserialize_string(TextVisitor)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PendingForm {
    private_key: SealedText,
    stage: StageForm,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StageForm {
    AwaitingToken,
    Registering(Registering),
    Created(CreatedForm),
    Enrolling(Enrolling),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CreatedForm {
    token: SealedText,
    identity_id: IdentityId,
    token_id: TokenId,
    credential_id: Option<CredentialId>,
    missing_permissions: Vec<PermissionId>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserForm {
    private_key: SealedText,
    username: Username,
    credential_id: CredentialId,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ActiveForm {
    private_key: SealedText,
    token: SealedText,
    credential_id: CredentialId,
    identity_id: Option<IdentityId>,
    token_id: Option<TokenId>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RotationForm {
    journal: Journal,
    next: Option<NextForm>,
    outgoing: Option<OutgoingForm>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NextForm {
    private_key: SealedText,
    public_key: String,
    fingerprint: String,
    step: NextStepForm,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum NextStepForm {
    KeySealed,
    Registering,
    Registered(RegisteredForm),
    Proven(RegisteredForm),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegisteredForm {
    token: Option<SealedText>,
    credential_id: Option<CredentialId>,
    credential_uuid: Option<CredentialUuid>,
    identity_id: Option<IdentityId>,
    token_id: Option<TokenId>,
    missing_permissions: Vec<PermissionId>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutgoingForm {
    public_key: String,
    fingerprint: String,
    generation: ActiveForm,
    promoted_at: Timestamp,
    retiring: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedForm {
    public: Value,
    recipients: Vec<RecipientText>,
    active: Option<ActiveForm>,
    user: Option<UserForm>,
    pending: Option<PendingForm>,
    rotation: Option<RotationForm>,
}

fn text(secret: &str) -> SealedText {
    SealedText(Zeroizing::new(secret.to_owned()))
}

pub(super) fn seal_pending(
    record: &PublicRecord,
    credential: &Credential<PendingGeneration>,
    recipients: &[RecipientText],
) -> Result<Vec<u8>, VaultError> {
    let PendingGeneration {
        private_key,
        public_key: _,
        stage,
    } = &credential.current;
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
        }) => StageForm::Created(CreatedForm {
            token: text(token.expose_secret()),
            identity_id: identity_id.clone(),
            token_id: token_id.clone(),
            credential_id: credential_id.clone(),
            missing_permissions: missing_permissions.clone(),
        }),
    };
    let form = SealedForm {
        pending: Some(PendingForm {
            private_key: text(private_key.expose_secret()),
            stage,
        }),
        ..SealedForm::empty(record, recipients)
    };
    seal(record, &form)
}

pub(super) fn seal_user(
    record: &PublicRecord,
    credential: &Credential<UserGeneration>,
    recipients: &[RecipientText],
) -> Result<Vec<u8>, VaultError> {
    let UserGeneration {
        private_key,
        public_key: _,
        username,
        credential_id,
    } = &credential.current;
    let form = SealedForm {
        user: Some(UserForm {
            private_key: text(private_key.expose_secret()),
            username: username.clone(),
            credential_id: credential_id.clone(),
        }),
        ..SealedForm::empty(record, recipients)
    };
    seal(record, &form)
}

impl SealedForm {
    fn empty(record: &PublicRecord, recipients: &[RecipientText]) -> Self {
        Self {
            public: public_value(record),
            recipients: recipients.to_vec(),
            active: None,
            user: None,
            pending: None,
            rotation: None,
        }
    }
}

pub(super) fn seal_rotating(
    record: &PublicRecord,
    credential: &Credential<Rotating>,
    recipients: &[RecipientText],
) -> Result<Vec<u8>, VaultError> {
    let Rotating { active, journal, stage } = &credential.current;
    let (next, outgoing) = match stage {
        RotationStage::Preparing(next) => (Some(NextForm::from(next)), None),
        RotationStage::Retiring(outgoing) => (None, Some(OutgoingForm::from(outgoing))),
    };
    let form = SealedForm {
        active: Some(ActiveForm::from(active)),
        rotation: Some(RotationForm {
            journal: journal.clone(),
            next,
            outgoing,
        }),
        ..SealedForm::empty(record, recipients)
    };
    seal(record, &form)
}

impl From<&ActiveGeneration> for ActiveForm {
    fn from(generation: &ActiveGeneration) -> Self {
        let ActiveGeneration {
            private_key,
            public_key: _,
            token,
            credential_id,
            identity_id,
            token_id,
        } = generation;
        Self {
            private_key: text(private_key.expose_secret()),
            token: text(token.expose_secret()),
            credential_id: credential_id.clone(),
            identity_id: identity_id.clone(),
            token_id: token_id.clone(),
        }
    }
}

impl From<&Next> for NextForm {
    fn from(next: &Next) -> Self {
        let Next {
            private_key,
            public_key: PublicKeyText { pem, fingerprint },
            step,
        } = next;
        Self {
            private_key: text(private_key.expose_secret()),
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
        let Registered {
            token,
            credential_id,
            credential_uuid,
            identity_id,
            token_id,
            missing_permissions,
        } = registered;
        Self {
            token: token.as_ref().map(|token| text(token.expose_secret())),
            credential_id: credential_id.clone(),
            credential_uuid: credential_uuid.clone(),
            identity_id: identity_id.clone(),
            token_id: token_id.clone(),
            missing_permissions: missing_permissions.clone(),
        }
    }
}

impl From<&Outgoing> for OutgoingForm {
    fn from(outgoing: &Outgoing) -> Self {
        let Outgoing {
            previous,
            promoted_at,
            retiring,
        } = outgoing;
        Self {
            public_key: previous.public_key.pem.clone(),
            fingerprint: previous.public_key.fingerprint.clone(),
            generation: ActiveForm::from(previous),
            promoted_at: *promoted_at,
            retiring: *retiring,
        }
    }
}

pub(super) fn seal_active(
    record: &PublicRecord,
    credential: &Credential<ActiveGeneration>,
    recipients: &[RecipientText],
) -> Result<Vec<u8>, VaultError> {
    let form = SealedForm {
        active: Some(ActiveForm::from(&credential.current)),
        ..SealedForm::empty(record, recipients)
    };
    seal(record, &form)
}

fn public_value(record: &PublicRecord) -> Value {
    serde_json::to_value(record).expect("a record of texts and numbers serialises")
}

fn seal(record: &PublicRecord, form: &SealedForm) -> Result<Vec<u8>, VaultError> {
    // Far more than any credential takes, so that the text never moves and leaves a copy behind.
    let mut plaintext = Zeroizing::new(Vec::with_capacity(256 * 1024));
    serde_json::to_writer(&mut *plaintext, form).expect("a struct of texts serialises into memory");
    let sealed =
        sealed::seal(&plaintext, &recipients::to_age(&form.recipients)?).map_err(|error| RecipientError::Unusable {
            reason: error.to_string(),
        })?;
    let file = FileForm {
        format: FORMAT,
        version: VERSION,
        public: record,
        sealed,
    };
    let mut bytes = serde_json::to_vec_pretty(&file).expect("a struct of texts serialises into memory");
    bytes.push(b'\n');
    Ok(bytes)
}

fn damaged(name: &CredentialName, reason: &str) -> VaultError {
    VaultError::Damaged {
        what: format!("the file of {name}"),
        reason: reason.to_owned(),
    }
}

fn tampered(name: &CredentialName, difference: impl Into<String>) -> VaultError {
    VaultError::Tampered {
        name: name.clone(),
        difference: difference.into(),
    }
}

fn check_header(name: &CredentialName, format: &str, version: u64) -> Result<(), VaultError> {
    if format != FORMAT {
        return Err(damaged(name, "it does not say that it is a credential of dfns-keys"));
    }
    match version {
        VERSION => Ok(()),
        0 => Err(damaged(name, "its format version is 0")),
        found => Err(VaultError::Newer {
            what: format!("the file of {name}"),
            found,
            known: VERSION,
        }),
    }
}

pub(super) fn read_public(name: &CredentialName, bytes: &[u8]) -> Result<PublicRecord, VaultError> {
    let Ok(form) = serde_json::from_slice::<PublicForm>(bytes) else {
        // What is wrong is found out on the slow path.
        let header: Header = serde_json::from_slice(bytes)
            .map_err(|_| damaged(name, "it is not JSON, or says neither format nor version"))?;
        check_header(name, &header.format, header.version)?;
        return Err(damaged(
            name,
            "a field of its public part is missing, unknown or of the wrong type",
        ));
    };
    check_header(name, &form.format, form.version)?;
    if form.public.name != *name {
        return Err(tampered(
            name,
            format!("it is the file of {} under another name", form.public.name),
        ));
    }
    Ok(form.public)
}

pub(super) fn open(
    name: &CredentialName,
    bytes: &[u8],
    identities: &[Box<dyn age::Identity + Send + Sync>],
) -> Result<(AnyCredential, Vec<RecipientText>), VaultError> {
    read_public(name, bytes)?;
    let file: WholeForm =
        serde_json::from_slice(bytes).map_err(|_| damaged(name, "it has a field that does not belong there"))?;
    let plaintext = sealed::open(file.sealed.as_bytes(), identities).map_err(|error| match error {
        age::DecryptError::NoMatchingKeys => VaultError::NoMatchingIdentity { name: name.clone() },
        other => damaged(name, &format!("its sealed part does not open ({other})")),
    })?;
    let sealed: SealedForm = serde_json::from_slice(&plaintext)
        .map_err(|_| damaged(name, "its sealed part opens, but does not hold what it should"))?;
    compare(name, &file.public, &sealed.public)?;
    let record: PublicRecord = serde_json::from_value(sealed.public.clone())
        .map_err(|_| damaged(name, "the record in its sealed part does not hold what it should"))?;
    let credential = assemble(
        name,
        record,
        sealed.active,
        sealed.user,
        sealed.pending,
        sealed.rotation,
    )?;
    Ok((credential, sealed.recipients))
}

fn compare(name: &CredentialName, public: &Value, sealed: &Value) -> Result<(), VaultError> {
    if public == sealed {
        return Ok(());
    }
    let empty = serde_json::Map::new();
    let (public, sealed) = (
        public.as_object().unwrap_or(&empty),
        sealed.as_object().unwrap_or(&empty),
    );
    let field = public
        .keys()
        .chain(sealed.keys())
        .find(|key| public.get(*key) != sealed.get(*key));
    Err(tampered(
        name,
        match field {
            Some(field) => format!(
                "its public part has another `{}` than the sealed one",
                field.escape_debug()
            ),
            None => "its public part is not the sealed one".to_owned(),
        },
    ))
}

fn assemble(
    name: &CredentialName,
    record: PublicRecord,
    active: Option<ActiveForm>,
    user: Option<UserForm>,
    pending: Option<PendingForm>,
    rotation: Option<RotationForm>,
) -> Result<AnyCredential, VaultError> {
    let PublicRecord {
        name: sealed_name,
        kind,
        state,
        api_url,
        origin,
        app_id,
        org_id,
        identity_id: _,
        token_id: _,
        username: _,
        credential_id: _,
        fingerprint,
        public_key,
        created_at,
        rotated_at,
        token_expires_at: _,
        generation,
    } = record;
    let shell = Credential {
        name: sealed_name,
        kind,
        environment: Environment {
            api_url,
            origin,
            application_id: app_id,
            organisation_id: org_id,
        },
        created_at,
        rotated_at,
        generation,
        current: (),
    };
    let public_key = PublicKeyText {
        pem: public_key,
        fingerprint,
    };
    let read_token = |token: &SealedText| {
        AuthToken::parse_exactly(&token.0).map_err(|error| damaged(name, &format!("in its sealed part, {error}")))
    };
    let read_active = |form: ActiveForm, public_key: PublicKeyText| {
        let ActiveForm {
            private_key,
            token,
            credential_id,
            identity_id,
            token_id,
        } = form;
        Ok::<_, VaultError>(ActiveGeneration {
            private_key: PrivateKeyPem::new(private_key.0),
            public_key,
            token: read_token(&token)?,
            credential_id,
            identity_id,
            token_id,
        })
    };
    let read_registered = |form: RegisteredForm| {
        let RegisteredForm {
            token,
            credential_id,
            credential_uuid,
            identity_id,
            token_id,
            missing_permissions,
        } = form;
        Ok::<_, VaultError>(Registered {
            token: token.as_ref().map(read_token).transpose()?,
            credential_id,
            credential_uuid,
            identity_id,
            token_id,
            missing_permissions,
        })
    };
    match (state, active, user, pending, rotation) {
        (State::Rotating | State::Retiring, Some(active), None, None, Some(rotation)) => {
            let RotationForm {
                journal,
                next,
                outgoing,
            } = rotation;
            let stage = match (state, next, outgoing) {
                (State::Rotating, Some(next), None) => RotationStage::Preparing(Next {
                    private_key: PrivateKeyPem::new(next.private_key.0),
                    public_key: PublicKeyText {
                        pem: next.public_key,
                        fingerprint: next.fingerprint,
                    },
                    step: match next.step {
                        NextStepForm::KeySealed => NextStep::KeySealed,
                        NextStepForm::Registering => NextStep::Registering,
                        NextStepForm::Registered(form) => NextStep::Registered(read_registered(form)?),
                        NextStepForm::Proven(form) => NextStep::Proven(read_registered(form)?),
                    },
                }),
                (State::Retiring, None, Some(outgoing)) => RotationStage::Retiring(Outgoing {
                    previous: read_active(
                        outgoing.generation,
                        PublicKeyText {
                            pem: outgoing.public_key,
                            fingerprint: outgoing.fingerprint,
                        },
                    )?,
                    promoted_at: outgoing.promoted_at,
                    retiring: outgoing.retiring,
                }),
                _ => return Err(damaged(name, "its rotation does not hold what its state says")),
            };
            let generation = Rotating {
                active: read_active(active, public_key)?,
                journal,
                stage,
            };
            Ok(AnyCredential::Rotating(shell.with_generation(|()| generation)))
        }
        (State::Pending, None, None, Some(PendingForm { private_key, stage }), None) => {
            let stage = match stage {
                StageForm::AwaitingToken => Stage::AwaitingToken,
                StageForm::Registering(registering) => Stage::Registering(registering),
                StageForm::Enrolling(enrolling) => Stage::Enrolling(enrolling),
                StageForm::Created(CreatedForm {
                    token,
                    identity_id,
                    token_id,
                    credential_id,
                    missing_permissions,
                }) => Stage::Created(Created {
                    token: read_token(&token)?,
                    identity_id,
                    token_id,
                    credential_id,
                    missing_permissions,
                }),
            };
            let generation = PendingGeneration {
                private_key: PrivateKeyPem::new(private_key.0),
                public_key,
                stage,
            };
            Ok(AnyCredential::Pending(shell.with_generation(|()| generation)))
        }
        (State::Active, None, Some(form), None, None) => {
            let UserForm {
                private_key,
                username,
                credential_id,
            } = form;
            let generation = UserGeneration {
                private_key: PrivateKeyPem::new(private_key.0),
                public_key,
                username,
                credential_id,
            };
            Ok(AnyCredential::User(shell.with_generation(|()| generation)))
        }
        (State::Active, Some(form), None, None, None) => {
            let generation = read_active(form, public_key)?;
            Ok(AnyCredential::Active(shell.with_generation(|()| generation)))
        }
        _ => Err(damaged(name, "its sealed part does not hold what its state says")),
    }
}
