//! Blame, hint and exit code: decided here, once, by exhaustive matches. The library's errors say what failed; here is
//! added what to do next.

use serde_json::{Map, Value};

use crate::api::{ApiError, CallError, SigningError, Stage};
use crate::keys::{KeyError, RandomnessError};
use crate::sys::files::FileError;
use crate::vault::{IdentityError, RecipientError, VaultError};
use crate::workflow::administrator::AdministratorError;
use crate::workflow::onboard::OnboardError;
use crate::workflow::provision::{ProvisionError, ResolveError};
use crate::workflow::refusal::Refusal;
use crate::workflow::remove::RemoveError;
use crate::workflow::rotate::RotateError;

/// The exit codes, as docs/exit-codes.md lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Done,
    Other,
    Usage,
    State,
    Vault,
    Refused,
    Unreachable,
    Waiting,
    Bug,
    Interrupted,
}

impl Exit {
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Other => 1,
            Self::Usage => 2,
            Self::State => 3,
            Self::Vault => 4,
            Self::Refused => 5,
            Self::Unreachable => 6,
            Self::Waiting => 7,
            Self::Bug => 70,
            Self::Interrupted => 130,
        }
    }
}

/// A command failed. Everything in it may be shown.
pub(super) struct Failure {
    pub(super) exit: Exit,
    /// One word for scripts.
    pub(super) code: &'static str,
    pub(super) message: String,
    /// Further lines for people.
    pub(super) details: Vec<String>,
    pub(super) hint: Option<String>,
    /// What a command adds to its JSON document on failure.
    pub(super) extra: Map<String, Value>,
}

impl Failure {
    pub(super) fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            exit,
            code,
            message: message.into(),
            details: Vec::new(),
            hint: None,
            extra: Map::new(),
        }
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn details(mut self, details: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(details);
        self
    }

    /// The `error` object of a JSON document.
    pub(super) fn document(&self) -> Value {
        serde_json::json!({
            "code": self.code,
            "exit": self.exit.code(),
            "message": self.message,
            "hint": self.hint,
        })
    }

    pub(super) fn is_broken_pipe(&self) -> bool {
        self.code == "broken_pipe"
    }

    /// What is wrong with a key file, with its name in front.
    pub(super) fn key(file: &str, error: &KeyError) -> Self {
        let exit = match error {
            KeyError::WrongPassphrase | KeyError::PassphraseNeeded => Exit::Vault,
            _ => Exit::Other,
        };
        let failure = Self::new(exit, "unusable_key", format!("{file} {error}"));
        match key_hint(error) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        use std::io::ErrorKind;
        let reason = plain(&error.source);
        let message = format!("{error}: {reason}");
        match error.source.kind() {
            ErrorKind::AlreadyExists => Self::new(
                Exit::State,
                "already_exists",
                format!("{} exists already", error.path.display()),
            )
            .hint("choose another name, or replace it with --force"),
            ErrorKind::PermissionDenied => Self::new(Exit::Other, "permission_denied", message)
                .hint("look at the owner and mode of the file and of the directories above it"),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::new(Exit::Other, "disk_full", message)
                .hint("nothing was changed; make room and run the same command again"),
            ErrorKind::ReadOnlyFilesystem => Self::new(Exit::Other, "read_only", message)
                .hint("the file system is mounted read-only; nothing was changed"),
            ErrorKind::NotFound => Self::new(Exit::Other, "not_found", message),
            _ => Self::new(Exit::Other, "file", message),
        }
    }
}

/// The operating system's words without Rust's "(os error 13)".
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_ascii_lowercase(),
        None => text,
    }
}

impl From<RandomnessError> for Failure {
    fn from(error: RandomnessError) -> Self {
        Self::new(Exit::Other, "randomness", error.to_string())
    }
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        let message = error.to_string();
        match error {
            VaultError::Missing(_) => Self::new(Exit::State, "no_vault", message)
                .hint("make one with `dfns-keys init`, or name another with --vault DIR"),
            VaultError::Exists(_) => Self::new(Exit::State, "vault_exists", message)
                .hint("use it as it is, or make another with --vault DIR"),
            VaultError::Newer { .. } => {
                Self::new(Exit::Vault, "newer_format", message).hint("update dfns-keys; nothing was changed")
            }
            VaultError::Damaged { .. } => {
                Self::new(Exit::Vault, "damaged", message).hint("restore the file from a backup; nothing was changed")
            }
            VaultError::Tampered { .. } => Self::new(Exit::Vault, "tampered", message).hint(
                "somebody edited the file or put another in its place: restore it from a backup, and find out who can write to the vault",
            ),
            VaultError::UnexpectedRecipient { recipient, .. } => Self::new(Exit::Vault, "unexpected_recipient", message)
                .hint(format!(
                    "if you added it, say so with `dfns-keys recipients add \"{recipient}\"`; if not, take it out of recipients.txt and find out who can write to the vault"
                )),
            VaultError::NoSuchCredential(_) => Self::new(Exit::State, "no_such_credential", message)
                .hint("`dfns-keys list` shows those there are"),
            VaultError::CredentialExists(_) => Self::new(Exit::State, "already_exists", message),
            VaultError::Changed(_) => {
                Self::new(Exit::State, "changed", message).hint("nothing was overwritten; run the same command again")
            }
            VaultError::Locked { .. } => {
                Self::new(Exit::State, "locked", message).hint("wait for it, or try again with --wait 30s")
            }
            VaultError::Lock(error) => match error {
                crate::sys::lock::LockError::Io { path, source } => FileError {
                    operation: "lock",
                    path,
                    source,
                }
                .into(),
                crate::sys::lock::LockError::Held { .. } => Self::new(Exit::State, "locked", message),
            },
            VaultError::Identity(error) => error.into(),
            VaultError::Recipient(error) => error.into(),
            VaultError::NoMatchingIdentity { .. } => Self::new(Exit::Vault, "no_matching_identity", message)
                .hint("give the identity of one of the recipients with --identity FILE"),
            VaultError::File(error) => error.into(),
        }
    }
}

impl From<IdentityError> for Failure {
    fn from(error: IdentityError) -> Self {
        let message = error.to_string();
        match error {
            IdentityError::SealOnly => Self::new(Exit::Vault, "seal_only", message)
                .hint("give the identity of one of its recipients with --identity FILE"),
            IdentityError::NobodyToAsk => Self::new(Exit::Vault, "no_terminal", message)
                .hint("give --passphrase-file FILE, or an age identity with --identity FILE"),
            IdentityError::Interrupted => Self::new(Exit::Interrupted, "interrupted", message),
            IdentityError::PassphraseUnreadable { source, .. } => Self::new(
                Exit::Vault,
                "passphrase_unreadable",
                format!("{message}: {}", plain(&source)),
            ),
            IdentityError::WrongPassphrase { .. } => Self::new(Exit::Vault, "wrong_passphrase", message)
                .hint("nothing was changed; if it is lost, another recipient's identity opens the vault (--identity)"),
            IdentityError::Unusable { .. } => Self::new(Exit::Vault, "unusable_identity", message)
                .hint("an identity file has lines that start with AGE-SECRET-KEY-, or is an SSH private key"),
            IdentityError::File(error) => Self {
                exit: Exit::Vault,
                ..error.into()
            },
        }
    }
}

impl From<RecipientError> for Failure {
    fn from(error: RecipientError) -> Self {
        let message = error.to_string();
        match error {
            RecipientError::Invalid { .. } => Self::new(Exit::Usage, "invalid_recipient", message)
                .hint("a recipient starts with age1, ssh-ed25519 or ssh-rsa"),
            RecipientError::IsIdentity => Self::new(Exit::Usage, "invalid_recipient", message)
                .hint("it was seen on a command line, so make a new one; `age-keygen -y FILE` prints the recipient"),
            RecipientError::UnsupportedSsh { .. } => Self::new(Exit::Usage, "invalid_recipient", message),
            RecipientError::None => Self::new(Exit::State, "no_recipient", message)
                .hint("a credential sealed to nobody would be lost; add another recipient first"),
            RecipientError::NotListed(_) => Self::new(Exit::State, "no_such_recipient", message)
                .hint("`dfns-keys recipients list` shows those there are"),
            RecipientError::Unusable { .. } => Self::new(Exit::Other, "unusable_recipient", message)
                .hint("is the plugin installed? post-quantum recipients cannot be mixed with others"),
        }
    }
}

impl From<OnboardError> for Failure {
    fn from(error: OnboardError) -> Self {
        let message = error.to_string();
        match error {
            OnboardError::AlreadyActive(name) => Self::new(Exit::State, "already_active", message)
                .hint(format!("choose another name, or look with `dfns-keys show {name}`")),
            OnboardError::NotPrepared(name) => Self::new(Exit::State, "not_prepared", message).hint(format!(
                "a token fits only the key it was made for: begin with `dfns-keys onboard {name} --prepare`"
            )),
            OnboardError::BegunThroughApi(name) => Self::new(Exit::State, "begun_through_api", message)
                .hint(format!("go on with `dfns-keys onboard {name} --as ADMIN`")),
            OnboardError::OtherSettings { name, .. } => Self::new(Exit::State, "other_settings", message).hint(
                format!("leave the option out to go on, or start anew after `dfns-keys remove {name}`"),
            ),
            OnboardError::Randomness(error) => error.into(),
            OnboardError::Key { .. } => Self::new(Exit::Vault, "damaged", message),
            OnboardError::Url(_) => Self::usage(message),
            OnboardError::Vault(error) => error.into(),
            OnboardError::Refused {
                refusal,
                fingerprint,
                organisation_id,
            } => Self::refused(
                refusal,
                &fingerprint,
                organisation_id
                    .as_ref()
                    .map(super::super::model::ids::OrganisationId::as_str),
            ),
        }
    }
}

impl From<RemoveError> for Failure {
    fn from(error: RemoveError) -> Self {
        let message = error.to_string();
        match error {
            RemoveError::StillHonoured(_) => Self::new(Exit::State, "still_honoured", message).hint(
                "deactivate it in the dashboard first; --force removes it all the same, and with it the only copy of its key",
            ),
            RemoveError::HalfMade(name) => Self::new(Exit::State, "half_made", message).hint(format!(
                "finish it with `dfns-keys onboard {name} --as ADMIN` (or `enroll`), or remove it unseen with --force"
            )),
            RemoveError::HalfRotated(name) => Self::new(Exit::State, "half_rotated", message)
                .hint(format!("end it with `dfns-keys rotate {name} --finish` or --rollback first")),
            RemoveError::Administrator(error) => error.into(),
            RemoveError::Unknown { error, .. } => Self {
                message,
                hint: Some("try again later, or remove it unseen with --force".to_owned()),
                ..error.into()
            },
            RemoveError::Key { .. } => Self::new(Exit::Vault, "damaged", message),
            RemoveError::Vault(error) => error.into(),
        }
    }
}

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
            AdministratorError::Code(error) => Self::call(error).with_message(message).hint_if_none(
                "a code lives one minute and is good once: make a new one and run the same command again",
            ),
            AdministratorError::Login(error) => error.into(),
            AdministratorError::Key { .. } => Self::new(Exit::Vault, "damaged", message),
            AdministratorError::Randomness(error) => error.into(),
            AdministratorError::Url(_) => Self::usage(message),
            AdministratorError::Vault(error) => error.into(),
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
                .hint("`dfns-keys account list` shows who has it; choose another name"),
            ProvisionError::AwaitingApproval { .. } => Self::new(Exit::Waiting, "awaiting_approval", message)
                .hint("run the same command again once it is approved in the dashboard"),
            ProvisionError::Call { error, .. } => Self::from(error).with_message(message),
            ProvisionError::TooManyOrphans(_) => Self::new(Exit::Unreachable, "answers_lost", message)
                .hint("each of them was deactivated; look at the connection, and run the same command again"),
            ProvisionError::Refused(refusal) => Self::refused(refusal, "its own", None).with_message(message),
            ProvisionError::Key { .. } => Self::new(Exit::Vault, "damaged", message),
            ProvisionError::Randomness(error) => error.into(),
            ProvisionError::Vault(error) => error.into(),
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
            RotateError::NotOffered { .. } => Self::new(Exit::Refused, "not_offered", message).hint(
                "leave --strategy out, or say --strategy replace --as ADMIN; `--rollback` ends what was begun",
            ),
            RotateError::NeedsAdministrator(_) => Self::new(Exit::Usage, "needs_administrator", message)
                .hint("name an enrolled user with --as ADMIN"),
            RotateError::AccountUnknown(_) => Self::new(Exit::State, "account_unknown", message)
                .hint("may the administrator see it? `dfns-keys account list --as ADMIN` shows what it sees"),
            RotateError::AwaitingToken { name, .. } => Self::new(Exit::Waiting, "token_needed", message).hint(format!(
                "make a new account with this key in the dashboard, then `dfns-keys rotate {name} --token-file FILE`; or name an enrolled user with --as ADMIN"
            )),
            RotateError::AwaitingApproval(_) => Self::new(Exit::Waiting, "awaiting_approval", message)
                .hint("run the same command again once it is approved in the dashboard"),
            RotateError::Call { error, .. } => Self::from(error).with_message(message),
            RotateError::Refused { refusal, .. } => Self::refused(refusal, "the next one", None).with_message(message),
            RotateError::FewerPermissions(_) => Self::new(Exit::Refused, "fewer_permissions", message)
                .hint("assign them to the new account in the dashboard, and run the same command again"),
            RotateError::StillHonoured(_) => Self::new(Exit::Waiting, "still_honoured", message).hint(
                "deactivate the account in the dashboard and run the same command again, or name an enrolled user with --as ADMIN",
            ),
            RotateError::TooManyOrphans(_) => Self::new(Exit::Unreachable, "answers_lost", message)
                .hint("each of them was deactivated; look at the connection, and run the same command again"),
            RotateError::Key { .. } => Self::new(Exit::Vault, "damaged", message),
            RotateError::Randomness(error) => error.into(),
            RotateError::Vault(error) => error.into(),
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

impl Failure {
    fn with_message(mut self, message: String) -> Self {
        self.message = message;
        self
    }

    fn hint_if_none(mut self, hint: &str) -> Self {
        self.hint.get_or_insert_with(|| hint.to_owned());
        self
    }

    fn signing(error: SigningError) -> Self {
        let message = error.to_string();
        match error {
            SigningError::Challenge(error) | SigningError::Signature(error) => Self::call(error),
            SigningError::NoKeys | SigningError::KeyNotAmong { .. } | SigningError::NoneFits { .. } => {
                Self::new(Exit::Refused, "refused", message)
            }
        }
    }

    /// A call as a user: a refusal mostly names the permission that is missing.
    fn call(error: ApiError) -> Self {
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
    fn refused(refusal: Refusal, fingerprint: &str, organisation: Option<&str>) -> Self {
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

pub(super) fn key_hint(error: &KeyError) -> Option<&'static str> {
    Some(match error {
        KeyError::PublicKey => {
            "the private key is the file that starts with \"BEGIN EC PRIVATE KEY\" or \"BEGIN PRIVATE KEY\""
        }
        KeyError::PrivateKeyForPublic => "the public key is the file that starts with \"BEGIN PUBLIC KEY\"",
        KeyError::Certificate => "a certificate holds a public key only; the private key is a file of its own",
        KeyError::Empty | KeyError::Truncated => "copy the file again, whole",
        KeyError::Binary => "if it is DER: openssl pkey -inform DER -in FILE -out FILE.pem",
        KeyError::NotPem => {
            "a private key starts with \"-----BEGIN EC PRIVATE KEY-----\" or \"-----BEGIN PRIVATE KEY-----\""
        }
        KeyError::NewLinesLost => "paste it again with its line breaks: 64 characters a line between BEGIN and END",
        KeyError::NewLinesEscaped => "turn each \\n into a real line break: printf '%b' \"$KEY\"",
        KeyError::Quoted => "take the quotes away",
        KeyError::Base64OfPem => "decode it first: base64 -d FILE",
        KeyError::Rsa | KeyError::Ed25519 | KeyError::OtherCurve { .. } | KeyError::OtherAlgorithm { .. } => {
            "dfns-keys works with prime256v1; make such a key with `dfns-keys generate`"
        }
        KeyError::OpenSsh => "make a key with `dfns-keys generate`; SSH keys are for another purpose",
        KeyError::ParametersOnly => "the key is a second block, which openssl writes after the parameters",
        KeyError::AgeEncrypted => "decrypt it first: age -d FILE",
        KeyError::EncryptedSec1 | KeyError::OldEncryption => {
            "let openssl write it as PKCS#8: openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out FILE.p8"
        }
        KeyError::PassphraseNeeded => "give --passphrase-file FILE",
        KeyError::SeveralKeys => "keep the one that is wanted in a file of its own",
        KeyError::WrongPassphrase | KeyError::OtherLabel { .. } | KeyError::Damaged | KeyError::HalvesDiffer => {
            return None;
        }
    })
}
