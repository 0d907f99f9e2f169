//! What goes wrong between us and Dfns.

use super::{Exit, Failure};
use crate::api::raw::RawCall;
use crate::api::{ApiError, CallError, Phase, SigningError};
use crate::model::effect::Effect;
use crate::model::ids::CredentialName;
use crate::model::operations;
use crate::model::user_action::SignerError;
use crate::workflow::refusal::Refusal;

/// How to find out what became of a call, where there is nothing better.
const IN_THE_DASHBOARD: &str = "look in the dashboard before you do it again";

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::request(error, IN_THE_DASHBOARD)
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::call(error, IN_THE_DASHBOARD)
    }
}

/// What to say where Dfns may have done what the answer does not tell: how to find out.
fn doubt(effect: Effect, how_to_find_out: &str) -> Option<String> {
    match effect {
        Effect::None => None,
        Effect::Unknown => Some(format!("Dfns may have done it: {how_to_find_out}")),
        Effect::Done => Some(format!(
            "Dfns has done it, and only its answer is not whole: {how_to_find_out}"
        )),
    }
}

/// How to find out what became of a single call.
fn where_to_look(name: &CredentialName, call: &RawCall<'_>) -> String {
    match operations::reading_what_changes(call.method, call.path) {
        Some(operation) => format!(
            "look with `dfns-keys call {name} GET {}` before you make it again",
            operation.path
        ),
        None => "look in the dashboard before you make it again".to_owned(),
    }
}

impl Failure {
    pub(in crate::cli) fn with_message(mut self, message: String) -> Self {
        self.message = message;
        self
    }

    pub(super) fn with_effect(mut self, effect: Effect) -> Self {
        self.effect = Some(effect);
        self
    }

    pub(super) fn hint_if_none(mut self, hint: &str) -> Self {
        self.hint.get_or_insert_with(|| hint.to_owned());
        self
    }

    /// `dfns-keys call` failed.
    pub(in crate::cli) fn single_call(error: CallError, name: &CredentialName, call: &RawCall<'_>) -> Self {
        Self::call(error, &where_to_look(name, call))
    }

    /// What to say beside an answer to `dfns-keys call` that leaves it open whether the call was done.
    pub(in crate::cli) fn doubtful_answer(effect: Effect, name: &CredentialName, call: &RawCall<'_>) -> Option<String> {
        match effect {
            Effect::None | Effect::Done => None,
            Effect::Unknown => doubt(effect, &where_to_look(name, call)),
        }
    }

    /// The change of an account at Dfns failed; `command` shows it.
    pub(in crate::cli) fn account(error: CallError, command: &str) -> Self {
        Self::call(error, &format!("`{command}` says how it stands"))
    }

    /// A call failed, or what comes before it.
    pub(super) fn call(error: CallError, how_to_find_out: &str) -> Self {
        let message = error.to_string();
        match error {
            CallError::Login(error) => Self::signing(error).with_message(message).hint_if_none(
                "is the user still active, and the key still registered? `dfns-keys enroll` registers a new one",
            ),
            CallError::Signing(error) => Self::signing(error).with_message(message),
            CallError::Call(error) => Self::as_user(error, how_to_find_out),
        }
    }

    pub(super) fn signing(error: SigningError) -> Self {
        let message = error.to_string();
        match error {
            SigningError::Challenge(error) | SigningError::Signature(error) => Self::as_user(error, IN_THE_DASHBOARD),
            SigningError::Signer(SignerError::Held(error)) => Self::from(error).with_effect(Effect::None),
            SigningError::Signer(SignerError::Failed(_)) => {
                Self::new(Exit::State, "signer", message).with_effect(Effect::None)
            }
            SigningError::NoKeys | SigningError::KeyNotAmong { .. } | SigningError::NoneFits { .. } => {
                Self::new(Exit::Refused, "refused", message).with_effect(Effect::None)
            }
        }
    }

    /// A call as a user: a refusal mostly names the permission that is missing.
    pub(super) fn as_user(error: ApiError, how_to_find_out: &str) -> Self {
        let hint = match &error {
            ApiError::Refused { status, message, .. } => match (status, message.as_deref().and_then(operation_in)) {
                (_, Some(operation)) => Some(format!("give the user a permission with the operation {operation}")),
                (402, _) => Some("the organisation's plan does not have this: ask Dfns".to_owned()),
                (403, _) => Some("only some kinds of identity may do this: act as an organisation's user".to_owned()),
                (404, _) => Some("it does not exist, or belongs to another organisation".to_owned()),
                (409, _) => Some("a name or external id is taken: `dfns-keys account list` shows whose".to_owned()),
                _ => None,
            },
            _ => None,
        };
        let failure = Self::request(error, how_to_find_out);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// A request failed.
    fn request(error: ApiError, how_to_find_out: &str) -> Self {
        let message = error.to_string();
        let effect = error.effect();
        let doubt = doubt(effect, how_to_find_out);
        // The cause goes behind what is in doubt, and advice to repeat the call is for those that had no effect.
        let hints = |again: Option<&str>, cause: Option<&str>| {
            let first = doubt.or(again.map(str::to_owned));
            let all: Vec<String> = first.into_iter().chain(cause.map(str::to_owned)).collect();
            all.join("; ")
        };
        let failure = match error {
            ApiError::Unreachable { stage, reason, .. } => {
                let failure = Self::new(Exit::Unreachable, "unreachable", message);
                let failure = if reason.is_empty() {
                    failure
                } else {
                    failure.details([reason])
                };
                failure.hint(match stage {
                    Phase::Dns => hints(None, Some("is the api url spelled right, and is there a network?")),
                    Phase::Connect => hints(
                        None,
                        Some(
                            "is the api url right? a firewall or a missing proxy setting (HTTPS_PROXY) looks like this",
                        ),
                    ),
                    Phase::Tls => hints(
                        None,
                        Some("somebody may be in between: look at the certificate before you trust it"),
                    ),
                    Phase::Timeout => hints(Some("try again"), Some("--timeout gives a slow answer more time")),
                    Phase::Broken => hints(Some("try again"), None),
                })
            }
            ApiError::RateLimited { .. } => Self::new(Exit::Unreachable, "rate_limited", message)
                .hint("the limit is the organisation's: try again later, or lower --rate-limit"),
            ApiError::Failing { .. } => {
                Self::new(Exit::Unreachable, "failing", message).hint(hints(Some("try again later"), None))
            }
            ApiError::Refused { status, .. } => {
                let exit = match status {
                    401..=403 => Exit::Refused,
                    _ => Exit::Other,
                };
                Self::new(exit, "refused", message)
            }
            // Neither done nor undone: its code says how it stands.
            ApiError::AwaitingApproval => {
                return Self::new(Exit::Waiting, "awaiting_approval", message)
                    .hint("run the same command again once it is approved in the dashboard");
            }
            ApiError::Redirected { .. } => Self::new(Exit::Unreachable, "redirected", message).hint(hints(
                None,
                Some("the token was not carried along; is the api url right?"),
            )),
            ApiError::NotDfns { .. } => Self::new(Exit::Unreachable, "not_dfns", message).hint(hints(
                None,
                Some("a proxy or a captive portal may be in between, or the api url is another service's"),
            )),
            ApiError::Setup { .. } => Self::new(Exit::Other, "http_client", message),
        };
        failure.with_effect(effect)
    }

    /// The diagnosis of a refusal. `compare` says what to do where another key is registered, `unchanged` that nothing was changed before it, here or at Dfns.
    pub(super) fn refused(
        refusal: Refusal,
        fingerprint: &str,
        organisation: Option<&str>,
        compare: &str,
        unchanged: bool,
    ) -> Self {
        let of = organisation
            .map(|id| format!(" and belongs to {id}"))
            .unwrap_or_default();
        let said = |message: &Option<String>| message.as_ref().map(|text| format!("Dfns says: \"{text}\""));
        let message = refusal.to_string();
        let refused = |code| Self::new(Exit::Refused, code, message).with_effect(Effect::None);
        let failure = match refusal {
            Refusal::TokenExpired { .. } => refused("token_expired").hint("make a new token in the dashboard"),
            Refusal::OtherOrganisation { .. } => refused("other_organisation")
                .hint("paste the token of the right organisation, or leave --org-id out"),
            Refusal::OtherRegion { issuer, .. } => refused("other_region").hint(format!(
                "begin with --api-url https://{issuer} if that is where the account lives"
            )),
            Refusal::TokenRefused { message } => refused("token_refused")
                .details(said(&message))
                .details(["It may be revoked or deactivated, of another region, or cut short when it was pasted.".to_owned()])
                .hint("look at the account in the dashboard, and at the api url"),
            Refusal::NotAllowed { message } => refused("not_allowed")
                .details(said(&message))
                .hint("grant it what it needs in the dashboard"),
            Refusal::NoKeyRegistered => {
                refused("no_key_registered").hint("was the public key pasted when the account was made?")
            }
            Refusal::OtherKey { registered, message } => refused("other_key")
                .details([
                    format!(
                        "The token is valid{of}, but the credential{} registered for it {} another key than the one sealed here ({fingerprint}).",
                        if registered == 1 { "" } else { "s" },
                        if registered == 1 { "is" } else { "are" },
                    ),
                    "Most likely the token of another service account was pasted, or the dashboard was given another public key."
                        .to_owned(),
                ])
                .details(said(&message))
                .hint(compare),
            Refusal::KeyGone { .. } => refused("key_gone").hint("it was deleted or deactivated at Dfns: onboard again"),
            Refusal::OriginRefused { message, .. } => refused("origin_refused")
                .details(said(&Some(message)))
                .hint("give the application's own origin with --origin"),
            Refusal::Signer(SignerError::Held(error)) => Self::from(error).with_effect(Effect::None),
            Refusal::Signer(SignerError::Failed(_)) => refused("signer"),
            Refusal::Call(error) => error.into(),
        };
        match failure.hint.clone() {
            Some(hint) if unchanged => {
                let mark = if hint.ends_with('?') { "" } else { ";" };
                failure.hint(format!("{hint}{mark} nothing was changed"))
            }
            _ => failure,
        }
    }
}

/// The operation that a refusal names: "… is not authorized to perform operation (Wallets:Create)".
fn operation_in(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("operation (")?;
    let (operation, _) = rest.split_once(')')?;
    Some(operation)
}
