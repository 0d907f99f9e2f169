//! A credential's file: versioned JSON with a public part and a sealed one, which repeats the public part in full.
//! The two must agree, and only the sealed copy is believed.

mod assemble;
mod forms;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::recipients::{self, RecipientError, RecipientText};
use super::{VaultError, sealed};
use crate::model::credential::{
    ActiveGeneration, AnyCredential, Created, Credential, PendingGeneration, Stage, UserGeneration,
};
use crate::model::ids::CredentialName;
use crate::model::record::{PublicRecord, refused_in};
use crate::model::rotation::{Rotating, RotationStage};
use assemble::assemble;
use forms::{
    ActiveForm, CreatedForm, NextForm, OutgoingForm, PendingForm, RotationForm, SealedForm, StageForm, UserForm, text,
};

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

pub(in crate::vault) fn seal_pending(
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

pub(in crate::vault) fn seal_user(
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

pub(in crate::vault) fn seal_rotating(
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

pub(in crate::vault) fn seal_active(
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

pub(in crate::vault) fn read_public(name: &CredentialName, bytes: &[u8]) -> Result<PublicRecord, VaultError> {
    let Ok(form) = serde_json::from_slice::<PublicForm>(bytes) else {
        // What is wrong is found out on the slow path.
        let header: Header = serde_json::from_slice(bytes)
            .map_err(|_| damaged(name, "it is not JSON, or says neither format nor version"))?;
        check_header(name, &header.format, header.version)?;
        let public = serde_json::from_slice::<Value>(bytes).unwrap_or_default()["public"].take();
        if let Some((field, reason)) = refused_in(&public) {
            return Err(VaultError::Refused {
                name: name.clone(),
                field,
                reason,
            });
        }
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

pub(in crate::vault) fn open(
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
