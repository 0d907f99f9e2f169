//! What goes wrong with the jobs that users come for.

use super::{Exit, Failure};
use crate::export::{CredentialIdUnknown, ExportError};
use crate::model::effect::Effect;
use crate::model::ids::OrganisationId;
use crate::workflow::administrator::AdministratorError;
use crate::workflow::import::ImportError;
use crate::workflow::job::JobError;
use crate::workflow::onboard::OnboardError;
use crate::workflow::provision::{ProvisionError, ResolveError};
use crate::workflow::remove::RemoveError;
use crate::workflow::rotate::RotateError;
use crate::workflow::settings::OtherSettings;

/// Where an account that we made may have changed.
const LOOK_AT_DFNS: &str = "`dfns-keys account list --as ADMIN` shows what is there";

impl From<JobError> for Failure {
    fn from(error: JobError) -> Self {
        Self::job(
            error,
            "run the same command again: it finds out, and goes on from there",
        )
    }
}

impl Failure {
    /// What any job may meet; `again` says how to find out what became of a call.
    fn job(error: JobError, again: &str) -> Self {
        let message = error.to_string();
        match error {
            JobError::OtherSettings(error) => error.into(),
            JobError::AwaitingApproval(_) => Self::new(Exit::Waiting, "awaiting_approval", message)
                .hint("run the same command again once it is approved in the dashboard"),
            JobError::Call { error, .. } => Self::call(error, again).with_message(message),
            JobError::TooManyOrphans(_) => Self::new(Exit::Unreachable, "answers_lost", message)
                .with_effect(Effect::Done)
                .hint("each of them was deactivated; look at the connection, and run the same command again"),
            JobError::Key { .. } => Self::new(Exit::Vault, "damaged", message),
            JobError::Held(error) => error.into(),
            JobError::Randomness(error) => error.into(),
            JobError::Url(_) => Self::usage(message),
            JobError::Vault(error) => error.into(),
        }
    }
}

impl From<OnboardError> for Failure {
    fn from(error: OnboardError) -> Self {
        let message = error.to_string();
        match error {
            OnboardError::AlreadyActive(name) => Self::new(Exit::State, "already_active", message)
                .hint(format!("choose another name, or look with `dfns-keys show {name}`")),
            OnboardError::NotPrepared(name) => {
                let failure = Self::new(Exit::State, "not_prepared", message).hint(format!(
                    "a token fits only the key it was made for: begin with `dfns-keys onboard {name} --prepare`"
                ));
                Self {
                    missing: Some(name),
                    ..failure
                }
            }
            OnboardError::BegunThroughApi(name) => Self::new(Exit::State, "begun_through_api", message)
                .hint(format!("go on with `dfns-keys onboard {name} --as ADMIN`")),
            OnboardError::Job(error) => error.into(),
            OnboardError::Refused {
                name,
                refusal,
                fingerprint,
                organisation_id,
            } => Self::refused(
                refusal,
                &fingerprint,
                organisation_id.as_ref().map(OrganisationId::as_str),
                &format!(
                    "run the same command again with the token of the account that has this key (`dfns-keys show {name} --public-key`)"
                ),
                true,
            ),
        }
    }
}

impl From<OtherSettings> for Failure {
    fn from(error: OtherSettings) -> Self {
        Self::new(Exit::State, "other_settings", error.to_string()).hint(format!(
            "leave the option out to go on, or start anew after `dfns-keys remove {}`",
            error.name
        ))
    }
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        let message = error.to_string();
        match error {
            ExportError::CredentialId(CredentialIdUnknown(name)) => {
                Self::new(Exit::State, "credential_id_unknown", message).hint(format!(
                    "`dfns-keys rotate {name}` makes a key whose id is known; `call` and `proxy` do without"
                ))
            }
            ExportError::Held { name, .. } => Self::new(Exit::State, "key_is_held", message).hint(format!(
                "a program signs through the proxy instead: `dfns-keys proxy {name}`"
            )),
        }
    }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        let message = error.to_string();
        match error {
            ImportError::Unreadable(unreadable) => {
                Self::new(Exit::Other, "source_unreadable", message).hint(unreadable.hint)
            }
            ImportError::Missing { .. } => Self::new(Exit::Refused, "source_incomplete", message)
                .hint("copy the environment again, whole; a disabled Postman variable counts as missing"),
            ImportError::Key { label, variable, error } => Self::key(&format!("{variable} in {label}"), &error),
            ImportError::Token { .. } => Self::new(Exit::Refused, "token_shape", message)
                .hint("copy it again, whole; it has three parts between dots and starts with `eyJ`"),
            ImportError::Id { .. } => {
                Self::usage(message).hint("say the right one with --app-id, --org-id or --credential-id")
            }
            ImportError::Address { .. } => Self::usage(message).hint("say the right one with --api-url or --origin"),
            ImportError::CredentialIdUnknown => {
                Self::usage(message).hint("give it with --credential-id, or leave --offline out")
            }
            ImportError::KnownAlready(_) => Self::new(Exit::State, "known_already", message).hint(
                "use it under that name; --force takes it in once more, and what is retired under one name stops under both",
            ),
            // Nothing of it is in the vault that could be shown.
            ImportError::Onboard(OnboardError::Refused {
                name: _,
                refusal,
                fingerprint,
                organisation_id,
            }) => Self::refused(
                refusal,
                &fingerprint,
                organisation_id.as_ref().map(OrganisationId::as_str),
                "bring the token and the key of one account",
                true,
            ),
            ImportError::Onboard(error) => error.into(),
        }
    }
}

impl From<RemoveError> for Failure {
    fn from(error: RemoveError) -> Self {
        let message = error.to_string();
        match error {
            RemoveError::StillHonoured { name, account_of } => {
                let failure = Self::new(Exit::State, "still_honoured", message);
                match account_of.first() {
                    None => failure.hint(
                        "deactivate it in the dashboard first; --force removes it all the same, and with it the only copy of its key",
                    ),
                    Some(other) => failure.hint(format!(
                        "{other} uses the same account, so leave that active: deactivate the one key, or remove {name} with --force, and with it the only copy of its key"
                    )),
                }
            }
            RemoveError::HalfMade(name) => Self::new(Exit::State, "half_made", message).hint(format!(
                "finish it with `dfns-keys onboard {name} --as ADMIN` (or `enroll`), or remove it unseen with --force"
            )),
            RemoveError::HalfRotated(name) => Self::new(Exit::State, "half_rotated", message).hint(format!(
                "end it with `dfns-keys rotate {name} --finish` or --rollback first"
            )),
            RemoveError::Administrator(error) => error.into(),
            RemoveError::Unknown { error, .. } => Self {
                message,
                hint: Some("try again later, or remove it unseen with --force".to_owned()),
                ..error.into()
            },
            RemoveError::Job(error) => error.into(),
        }
    }
}

impl From<AdministratorError> for Failure {
    fn from(error: AdministratorError) -> Self {
        let message = error.to_string();
        match error {
            AdministratorError::NotAUser { .. } => Self::new(Exit::State, "not_a_user", message)
                .hint("enroll a user with `dfns-keys enroll ADMIN`, and name that one"),
            AdministratorError::NotEnrolled(name) => Self::new(Exit::State, "not_enrolled", message)
                .hint(format!("finish it with `dfns-keys enroll {name}` and a new code")),
            AdministratorError::AlreadyEnrolled(_) => Self::new(Exit::State, "already_enrolled", message),
            AdministratorError::OrganisationUnknown { .. } => {
                Self::usage(message).hint("say it with --org-id; the dashboard shows it under Settings")
            }
            AdministratorError::OtherUser { .. } => Self::new(Exit::Refused, "other_user", message)
                .hint("make the code while signed in as that user; nothing was registered"),
            AdministratorError::Code(error) => Self::call(
                error,
                "run the same command again: it finds out by logging in, and asks for another code only where it must",
            )
            .with_message(message)
            .hint_if_none("a code lives one minute and is good once: make a new one and run the same command again"),
            AdministratorError::Login(error) => error.into(),
            AdministratorError::Job(error) => error.into(),
        }
    }
}

impl From<ProvisionError> for Failure {
    fn from(error: ProvisionError) -> Self {
        let message = error.to_string();
        match error {
            ProvisionError::BegunForDashboard(name) => Self::new(Exit::State, "begun_for_dashboard", message).hint(
                format!("bring its token with `dfns-keys onboard {name} --token-file FILE`, or `dfns-keys remove {name}` first"),
            ),
            ProvisionError::OtherKind { .. } => {
                Self::new(Exit::State, "other_kind", message).hint("choose another name")
            }
            ProvisionError::NameTaken { .. } => Self::new(Exit::State, "name_taken", message)
                .with_effect(Effect::None)
                .hint("`dfns-keys account list` shows who has it; choose another name"),
            ProvisionError::Refused(refusal) => Self::refused(refusal, "its own", None, LOOK_AT_DFNS, false).with_message(message),
            ProvisionError::Job(error) => Self::job(
                error,
                "run the same command again: it looks for what is there before it makes anything",
            ),
        }
    }
}

impl From<RotateError> for Failure {
    fn from(error: RotateError) -> Self {
        let message = error.to_string();
        match error {
            RotateError::NotRotatable { .. } => Self::new(Exit::State, "not_rotatable", message)
                .hint("`dfns-keys list` shows what there is"),
            RotateError::NotRotating(name) => Self::new(Exit::State, "not_rotating", message)
                .hint(format!("begin one with `dfns-keys rotate {name}`")),
            RotateError::NotPromoted(name) => Self::new(Exit::State, "not_promoted", message).hint(format!(
                "go on with `dfns-keys rotate {name}`, hand the new key over, and only then --finish"
            )),
            RotateError::NotOffered { asked_for, .. } => Self::new(Exit::Refused, "not_offered", message)
                .with_effect(Effect::None)
                .hint(if asked_for {
                    "leave --strategy out, or say --strategy replace --as ADMIN; `--rollback` ends what was begun"
                } else {
                    "name an enrolled user with --as ADMIN, or leave --no-input out for the dashboard's way; `--rollback` ends what was begun"
                }),
            RotateError::NeedsAdministrator(_) => Self::new(Exit::Usage, "needs_administrator", message)
                .hint("name an enrolled user with --as ADMIN"),
            RotateError::OtherUsers(_) => Self::new(Exit::State, "other_users", message)
                .hint("act as the user whose token it is, or say --strategy dashboard"),
            RotateError::AccountUnknown(_) => Self::new(Exit::State, "account_unknown", message)
                .hint("may the administrator see it? `dfns-keys account list --as ADMIN` shows what it sees"),
            RotateError::AwaitingToken(name) => Self::new(Exit::Waiting, "token_needed", message).hint(format!(
                "make a new account with this key in the dashboard, then `dfns-keys rotate {name} --token-file FILE`; or name an enrolled user with --as ADMIN"
            )),
            RotateError::TokenNotAwaited(name) => Self::new(Exit::State, "token_not_awaited", message)
                .with_effect(Effect::None)
                .hint(format!(
                    "`dfns-keys rotate {name} --status` says where it stands; if a new account was made for it, deactivate the account that it belongs to"
                )),
            RotateError::Refused { refusal, .. } => {
                Self::refused(refusal, "the next one", None, "run the same command again: it shows the key that the account must have", false).with_message(message)
            }
            RotateError::NoWayBack { name, .. } => Self::new(Exit::State, "no_way_back", message)
                .hint(format!("go on with `dfns-keys rotate {name}`")),
            RotateError::StillUsed(dependents) => {
                let of = dependents.with.of();
                let one = |other| {
                    format!("`dfns-keys rotate {other}` gives it a key of its own, `dfns-keys remove {other}` takes it away")
                };
                let ways: Vec<String> = dependents.names.iter().map(one).collect();
                Self::new(Exit::Waiting, "still_used", message).hint(format!(
                    "{}; `dfns-keys rotate {of} --finish` does it all the same",
                    ways.join("; ")
                ))
            }
            RotateError::Undelivered {
                name,
                key,
                refused,
                outcomes,
            } => Self::kept(&name, key, refused, &outcomes).with_message(message),
            RotateError::Deliver(error) => error.into(),
            RotateError::FewerPermissions(_) => Self::new(Exit::Refused, "fewer_permissions", message)
                .hint("assign them to the new account in the dashboard, and run the same command again"),
            RotateError::StillHonoured(_) => Self::new(Exit::Waiting, "still_honoured", message).hint(
                "deactivate the account in the dashboard and run the same command again, or name an enrolled user with --as ADMIN",
            ),
            RotateError::Unsettled { until, .. } => Self::new(Exit::Waiting, "unsettled", message).hint(format!(
                "both keys are kept: run the same command again after {until}, by Dfns's clock"
            )),
            RotateError::IsDelivered(name) => Self::new(Exit::State, "key_is_held", message).hint(format!(
                "`dfns-keys deliver {name} --forget TARGET` first; what runs there signs through `dfns-keys proxy {name}`"
            )),
            RotateError::Job(error) => error.into(),
        }
    }
}

impl From<ResolveError> for Failure {
    fn from(error: ResolveError) -> Self {
        let message = error.to_string();
        match error {
            ResolveError::Unknown(_) => Self::new(Exit::State, "no_such_permission", message)
                .hint("give the id (pm-…) or the exact name that the dashboard shows"),
            ResolveError::Call(error) => Self::from(error).with_message(message),
        }
    }
}
