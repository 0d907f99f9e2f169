//! What keys that are held elsewhere are reached with, from the environment and the terminal.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use secrecy::{ExposeSecret, SecretString};

use super::error::Exit;
use super::places::{self, variable};
use super::terminal;
use super::ui::Ui;
use crate::keys::provider::{AwsAccess, KeyPlaces, PinSupplier};
#[cfg(all(unix, feature = "pkcs11"))]
use crate::keys::provider::{PKCS11_ARGUMENT, serve_pkcs11};
use crate::model::held_key::HeldKeyError;
use crate::model::quoted::shown;
use crate::model::secret::{Pin, passphrase_from_text};
use crate::sys::files;
#[cfg(all(unix, feature = "pkcs11"))]
use crate::sys::{descriptors, memory};

const PIN_FILE: &str = "DFNS_KEYS_PIN_FILE";
/// No PIN is longer.
const LONGEST_PIN: u64 = 4096;

/// PINs: from the file that the environment names, or from the terminal, where each token is asked for once.
struct Pins {
    ui: Ui,
    may_ask: bool,
    /// Stands before each question: the context, where there is one.
    named: String,
    asked: Mutex<HashMap<String, Option<Pin>>>,
}

impl PinSupplier for Pins {
    fn pin(&self, token: &str) -> Result<Option<Pin>, HeldKeyError> {
        let unreadable = |text: String| HeldKeyError::UnreadablePin(format!("{PIN_FILE}: {text}"));
        if let Some(path) = variable(PIN_FILE) {
            let text = files::read(Path::new(&path), LONGEST_PIN)
                .map_err(|error| unreadable(format!("{error}: {}", error.source)))?;
            let text = std::str::from_utf8(&text).map_err(|_| unreadable("it is no text".to_owned()))?;
            return Ok(Some(passphrase_from_text(text)));
        }
        if !self.may_ask {
            return Ok(None);
        }
        let mut asked = self.asked.lock().expect("nothing panics while it is held");
        if let Some(pin) = asked.get(token) {
            return Ok(pin.clone());
        }
        let prompt = format!("{}PIN of the token {}: ", self.named, shown(token));
        let pin: SecretString = self
            .ui
            .with_the_screen(|| terminal::ask_hidden(&prompt))
            .map_err(|error| HeldKeyError::UnreadablePin(format!("the terminal: {error}")))?;
        // Left empty for a token that is asked on its own keys.
        let pin = Some(pin).filter(|pin| !pin.expose_secret().is_empty());
        asked.insert(token.to_owned(), pin.clone());
        Ok(pin)
    }
}

impl super::context::Context {
    /// Says how this process reaches keys that are held elsewhere.
    pub(super) fn install_key_places(&self) {
        let places = KeyPlaces {
            limit: self.timeout(),
            program: program(),
            pins: Box::new(Pins {
                ui: self.ui.clone(),
                may_ask: self.may_ask(),
                named: self.supplier.named().to_owned(),
                asked: Mutex::new(HashMap::new()),
            }),
            vault: places::vault(),
            aws: aws(),
        };
        places.install();
    }
}

fn aws() -> AwsAccess {
    AwsAccess {
        access_key: variable("AWS_ACCESS_KEY_ID"),
        secret_key: variable("AWS_SECRET_ACCESS_KEY").map(SecretString::from),
        session_token: variable("AWS_SESSION_TOKEN").map(SecretString::from),
        region: variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION")),
        endpoint: variable("AWS_ENDPOINT_URL_KMS").or_else(|| variable("AWS_ENDPOINT_URL")),
    }
}

/// Does the one thing that this program does where it was started by itself for a PKCS#11 module.
#[cfg(all(unix, feature = "pkcs11"))]
pub(super) fn serve(mut arguments: impl Iterator<Item = OsString>) -> Option<Exit> {
    if arguments.nth(1)? != PKCS11_ARGUMENT || arguments.next().is_some() {
        return None;
    }
    memory::forbid_core_dumps();
    Some(match descriptors::take_standard_streams() {
        Ok((input, output)) => {
            serve_pkcs11(input, output);
            Exit::Done
        }
        Err(_) => Exit::Other,
    })
}

/// Without such modules there is nothing to be done.
#[cfg(not(all(unix, feature = "pkcs11")))]
pub(super) fn serve(_: impl Iterator<Item = OsString>) -> Option<Exit> {
    None
}

/// This very program, though another may have been put in its place since it was started.
fn program() -> PathBuf {
    if cfg!(target_os = "linux") {
        return PathBuf::from("/proc/self/exe");
    }
    // Without it, the process cannot be started, which is then said.
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("dfns-keys"))
}
