//! What goes wrong between us and Dfns.

use super::{Exit, Failure};
use crate::api::{ApiError, CallError, SigningError, Stage};
use crate::workflow::refusal::Refusal;

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let message = error.to_string();
        match error {
            ApiError::Unreachable { stage, reason, .. } => {
                let failure = Self::new(Exit::Unreachable, "unreachable", message);
                let failure = if reason.is_empty() {
                    failure
                } else {
                    failure.details([reason])
                };
                failure.hint(match stage {
                    Stage::Dns => "is the api url spelled right, and is there a network?",
                    Stage::Connect => {
                        "is the api url right? a firewall or a missing proxy setting (HTTPS_PROXY) looks like this"
                    }
                    Stage::Tls => "somebody may be in between: look at the certificate before you trust it",
                    Stage::Timeout => "try again; --timeout gives a slow answer more time",
                    Stage::Broken => "nothing was changed; try again",
                })
            }
            ApiError::RateLimited { .. } => Self::new(Exit::Unreachable, "rate_limited", message)
                .hint("the limit is the organisation's: try again later, or lower --rate-limit"),
            ApiError::Failing { .. } => {
                Self::new(Exit::Unreachable, "failing", message).hint("nothing was changed; try again later")
            }
            ApiError::Refused { status, .. } => {
                let exit = match status {
                    401..=403 => Exit::Refused,
                    _ => Exit::Other,
                };
                Self::new(exit, "refused", message)
            }
            ApiError::AwaitingApproval => Self::new(Exit::Waiting, "awaiting_approval", message)
                .hint("run the same command again once it is approved in the dashboard"),
            ApiError::Redirected { .. } => Self::new(Exit::Unreachable, "redirected", message)
                .hint("the token was not carried along; is the api url right?"),
            ApiError::NotDfns { .. } => Self::new(Exit::Unreachable, "not_dfns", message)
                .hint("a proxy or a captive portal may be in between, or the api url is another service's"),
            ApiError::Setup { .. } => Self::new(Exit::Other, "http_client", message),
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let message = error.to_string();
        match error {
            CallError::Login(error) => Self::signing(error).with_message(message).hint_if_none(
                "is the user still active, and the key still registered? `dfns-keys enroll` registers a new one",
            ),
            CallError::Signing(error) => Self::signing(error).with_message(message),
            CallError::Call(error) => Self::call(error),
        }
    }
}

impl Failure {
    pub(super) fn with_message(mut self, message: String) -> Self {
        self.message = message;
        self
    }

    pub(super) fn hint_if_none(mut self, hint: &str) -> Self {
        self.hint.get_or_insert_with(|| hint.to_owned());
        self
    }

    pub(super) fn signing(error: SigningError) -> Self {
        let message = error.to_string();
        match error {
            SigningError::Challenge(error) | SigningError::Signature(error) => Self::call(error),
            SigningError::NoKeys | SigningError::KeyNotAmong { .. } | SigningError::NoneFits { .. } => {
                Self::new(Exit::Refused, "refused", message)
            }
        }
    }

    /// A call as a user: a refusal mostly names the permission that is missing.
    pub(super) fn call(error: ApiError) -> Self {
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
        let failure = Self::from(error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// The diagnosis of a refusal.
    pub(super) fn refused(refusal: Refusal, fingerprint: &str, organisation: Option<&str>) -> Self {
        let of = organisation
            .map(|id| format!(" and belongs to {id}"))
            .unwrap_or_default();
        let said = |message: &Option<String>| message.as_ref().map(|text| format!("Dfns says: \"{text}\""));
        let unchanged = "nothing was changed";
        let message = refusal.to_string();
        let refused = |code| Self::new(Exit::Refused, code, message);
        match refusal {
            Refusal::TokenExpired { .. } => {
                refused("token_expired").hint(format!("make a new token in the dashboard; {unchanged}"))
            }
            Refusal::OtherOrganisation { .. } => refused("other_organisation").hint(format!(
                "paste the token of the right organisation, or leave --org-id out; {unchanged}"
            )),
            Refusal::OtherRegion { issuer, .. } => refused("other_region").hint(format!(
                "begin with --api-url https://{issuer} if that is where the account lives; {unchanged}"
            )),
            Refusal::TokenRefused { message } => refused("token_refused")
                .details(said(&message))
                .details(["It may be revoked or deactivated, of another region, or cut short when it was pasted.".to_owned()])
                .hint(format!("look at the account in the dashboard, and at the api url; {unchanged}")),
            Refusal::NotAllowed { message } => refused("not_allowed")
                .details(said(&message))
                .hint(format!("grant it what it needs in the dashboard; {unchanged}")),
            Refusal::NoKeyRegistered => refused("no_key_registered").hint(format!(
                "was the public key pasted when the account was made? {unchanged}"
            )),
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
                .hint(format!("compare with `dfns-keys show NAME --public-key`; {unchanged}")),
            Refusal::KeyGone { .. } => refused("key_gone").hint("it was deleted or deactivated at Dfns: onboard again"),
            Refusal::OriginRefused { message, .. } => refused("origin_refused")
                .details(said(&Some(message)))
                .hint(format!("give the application's own origin with --origin; {unchanged}")),
            Refusal::Call(error) => error.into(),
        }
    }
}

/// The operation that a refusal names: "… is not authorized to perform operation (Wallets:Create)".
fn operation_in(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("operation (")?;
    let (operation, _) = rest.split_once(')')?;
    Some(operation)
}
