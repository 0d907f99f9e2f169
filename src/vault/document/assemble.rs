//! From what was unsealed to a credential in one of its states.

use super::file::damaged;
use super::forms::{
    ActiveForm, CreatedForm, NextStepForm, PendingForm, RegisteredForm, RotationForm, SealedForm, StageForm, UserForm,
};
use crate::model::credential::{
    ActiveGeneration, AnyCredential, Created, Credential, Environment, PendingGeneration, PublicKeyText, Stage, State,
    UserGeneration,
};
use crate::model::ids::CredentialName;
use crate::model::record::PublicRecord;
use crate::model::rotation::{NewIdentity, Next, NextStep, Outgoing, Registered, Rotating, RotationStage};
use crate::model::token::AuthToken;
use crate::vault::VaultError;
use crate::vault::sealed_text::SealedText;

pub(super) fn assemble(
    name: &CredentialName,
    record: PublicRecord,
    form: SealedForm,
) -> Result<AnyCredential, VaultError> {
    let SealedForm {
        public: _,
        recipients: _,
        epoch: _,
        revision: _,
        moves: _,
        active,
        user,
        pending,
        rotation,
        deliveries,
    } = form;
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
        earlier_fingerprints,
        token_fingerprint: _,
        deliveries: _,
        rotation: _,
        upkeep,
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
        earlier_keys: earlier_fingerprints,
        deliveries,
        upkeep,
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
            since: _,
            private_key,
            token,
            credential_id,
            identity_id,
            token_id,
        } = form;
        Ok::<_, VaultError>(ActiveGeneration {
            private_key: private_key.0,
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
            credential_uuid: _,
            identity_id,
            token_id,
            missing_permissions,
        } = form;
        let token = token.as_ref().map(read_token).transpose()?;
        Ok::<_, VaultError>(Registered {
            credential_id,
            account: token.map(|token| NewIdentity {
                token,
                identity_id,
                token_id,
                missing_permissions,
            }),
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
                    private_key: next.private_key.0,
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
                    // Files that were written before it always stood there have `since` alone.
                    rotated_before: outgoing
                        .rotated_before
                        .or(outgoing.generation.since.filter(|since| *since != created_at)),
                    previous: read_active(
                        outgoing.generation,
                        PublicKeyText {
                            pem: outgoing.public_key,
                            fingerprint: outgoing.fingerprint,
                        },
                    )?,
                    promoted_at: outgoing.promoted_at,
                    retiring: outgoing.retiring,
                    regardless: outgoing.regardless,
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
        (
            State::Pending,
            None,
            None,
            Some(PendingForm {
                since: _,
                private_key,
                stage,
            }),
            None,
        ) => {
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
                    attempts,
                }) => Stage::Created(Created {
                    token: read_token(&token)?,
                    identity_id,
                    token_id,
                    credential_id,
                    missing_permissions,
                    attempts,
                }),
            };
            let generation = PendingGeneration {
                private_key: private_key.0,
                public_key,
                stage,
            };
            Ok(AnyCredential::Pending(shell.with_generation(|()| generation)))
        }
        (State::Active, None, Some(form), None, None) => {
            let UserForm {
                since: _,
                private_key,
                username,
                credential_id,
            } = form;
            let generation = UserGeneration {
                private_key: private_key.0,
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

#[cfg(test)]
mod tests {
    use crate::model::credential::KeyMaterial;
    use crate::model::secret::PrivateKeyPem;
    use jiff::Timestamp;
    use zeroize::Zeroizing;

    use super::*;
    use crate::model::credential::Kind;
    use crate::model::rotation::{Grace, Journal, Strategy};
    use crate::vault::document::Contents;

    fn generation(key: &str) -> ActiveGeneration {
        ActiveGeneration {
            private_key: KeyMaterial::Sealed(PrivateKeyPem::new(Zeroizing::new(key.to_owned()))),
            public_key: PublicKeyText {
                pem: format!("public half of {key}"),
                fingerprint: format!("SHA256:{key}"),
            },
            token: AuthToken::parse("e30.e30.c2ln").ok().unwrap(),
            credential_id: None,
            identity_id: None,
            token_id: None,
        }
    }

    /// What a rollback goes back to is as old as it was, be that no older than the credential.
    #[test]
    fn since_when_the_old_key_was_there_comes_back_as_it_was() {
        let created_at = Timestamp::UNIX_EPOCH;
        let later = created_at + std::time::Duration::from_secs(1);
        for (rotated_before, version_1) in [None, Some(created_at), Some(later)]
            .into_iter()
            .flat_map(|at| [(at, false), (at, true)])
        {
            let credential = Credential {
                name: "a".parse().unwrap(),
                kind: Kind::ServiceAccount,
                environment: Environment {
                    api_url: "https://api.dfns.io".parse().unwrap(),
                    origin: "https://app.dfns.io".parse().unwrap(),
                    application_id: None,
                    organisation_id: None,
                },
                created_at,
                rotated_at: Some(later),
                generation: 2,
                earlier_keys: Vec::new(),
                deliveries: Vec::new(),
                upkeep: None,
                current: Rotating {
                    active: generation("new"),
                    journal: Journal {
                        id: "rotation-1".parse().unwrap(),
                        strategy: Strategy::Dashboard,
                        grace: Grace::Manual,
                        started_at: later,
                        account_name: "a".to_owned(),
                        rolling_back: false,
                        credential_id: None,
                        awaiting_approval: false,
                        attempts: Vec::new(),
                        switch: None,
                    },
                    stage: RotationStage::Retiring(Outgoing {
                        previous: generation("old"),
                        promoted_at: later,
                        rotated_before,
                        retiring: false,
                        regardless: false,
                    }),
                },
            };
            let record = PublicRecord::from(&credential);
            let mut form = Contents::from(&credential).form(&record);
            if version_1 {
                form = form.into_version_1(Vec::new());
            }
            let written = serde_json::to_string(&form).unwrap();
            let form = serde_json::from_str(&written).unwrap();
            let Ok(AnyCredential::Rotating(read)) = assemble(&credential.name, record, form) else {
                panic!("it is one that is rotating");
            };
            let RotationStage::Retiring(outgoing) = read.current.stage else {
                panic!("its old key is on its way out");
            };
            assert_eq!(outgoing.rotated_before, rotated_before, "version 1: {version_1}");
        }
    }
}
