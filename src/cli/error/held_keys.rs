//! What goes wrong with keys that are held elsewhere.

use super::{Exit, Failure};
use crate::model::held_key::HeldKeyError;
use crate::model::key_uri::KeyUriError;

impl From<HeldKeyError> for Failure {
    fn from(error: HeldKeyError) -> Self {
        let (code, hint) = diagnosis(&error);
        let exit = match &error {
            HeldKeyError::Exists { .. } => Exit::State,
            error if error.may_pass() => Exit::Unreachable,
            _ => Exit::Vault,
        };
        Self::new(exit, code, error.to_string()).hint(hint)
    }
}

impl From<KeyUriError> for Failure {
    fn from(error: KeyUriError) -> Self {
        Self::usage(error.to_string())
    }
}

/// One word for scripts, and what to do.
fn diagnosis(error: &HeldKeyError) -> (&'static str, &'static str) {
    match error {
        HeldKeyError::WrongPin { .. } => (
            "wrong_pin",
            "it was tried once, and is not tried again by itself, for a few wrong PINs lock a token",
        ),
        HeldKeyError::LastTry { .. } => (
            "pin_last_try",
            "use the right PIN once with the token's own tool, which sets the counter back",
        ),
        HeldKeyError::Locked { .. } => (
            "token_locked",
            "unlock it with the token's own tool, by its PUK or its security officer's PIN",
        ),
        HeldKeyError::NoPin { .. } => (
            "no_pin",
            "put it into a file for pin-source=file:/PATH or DFNS_KEYS_PIN_FILE, or run this on a terminal",
        ),
        HeldKeyError::UnreadablePin(_) => ("pin_unreadable", "look at the file that the PIN is to be in"),
        HeldKeyError::NotBuilt => (
            "no_pkcs11",
            "take a build that is linked dynamically, with the feature pkcs11",
        ),
        HeldKeyError::Module { .. } => (
            "module_missing",
            "module-path= is to name the PKCS#11 library of the token's maker, built for this machine",
        ),
        HeldKeyError::NoToken { .. } => (
            "no_token",
            "is it plugged in, and are its label and the settings of its module right?",
        ),
        HeldKeyError::Gone { .. } => (
            "key_gone",
            "look in the place itself: under another name, in another region or namespace, or destroyed?",
        ),
        HeldKeyError::Exists { .. } => (
            "key_exists",
            "name another, or use this one: `dfns-keys public-key --key URI` shows its public half",
        ),
        HeldKeyError::Several { .. } => ("key_ambiguous", "say which: id=%… for an object, serial=… for a token"),
        HeldKeyError::OtherKind { .. } => (
            "key_of_another_kind",
            "a key for Dfns is on P-256 (secp256r1), for signing, and cannot be taken out; let dfns-keys make one",
        ),
        HeldKeyError::OtherKey { .. } => (
            "another_key",
            "somebody has put another key in its place; what it signs would be refused, and was not sent",
        ),
        HeldKeyError::Denied { .. } => ("denied", "sign in again, with rights to this key"),
        HeldKeyError::Refused { .. } => ("key_refused", "what it says is its own; look in the place itself"),
        HeldKeyError::NotSetUp(_) => ("not_set_up", "set that up, and run the same command again"),
        HeldKeyError::Throttled { .. } => ("key_place_failing", "try again in a while"),
        HeldKeyError::Unreachable { .. } => ("key_place_unreachable", "look at the network, and try again"),
        HeldKeyError::Hung { .. } => (
            "key_place_hangs",
            "try again; --timeout says how long an answer is waited for",
        ),
        HeldKeyError::Crashed { .. } => (
            "module_crashed",
            "it ran in a process of its own, and nothing else is lost; try again, or ask its maker",
        ),
        HeldKeyError::SessionEnded { .. } => ("session_ended", "is the token plugged in? try again"),
        HeldKeyError::Rubbish { .. } => ("key_place_rubbish", "try again, or ask whoever runs it"),
    }
}
