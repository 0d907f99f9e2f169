//! The process that a PKCS#11 module is loaded in: it is asked by stdin and answers on stdout, a line of JSON each, and ends with
//! whoever started it.

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use base64ct::{Base64, Encoding};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use secrecy::SecretString;
use spki::EncodePublicKey;
use zeroize::{Zeroize, Zeroizing};

use super::pkcs11::{Answer, Request};
use crate::model::held_key::HeldKeyError;
use crate::model::key_uri::{KeyUri, Pkcs11Uri};
use crate::model::quoted::{self, shown};

/// No question is longer.
const LONGEST: u64 = 64 * 1024;
/// How long a module may take to come to an end with whoever asked it.
const LAST_MOMENTS: Duration = Duration::from_secs(2);
/// The object identifier of P-256, as DER.
const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// Answers questions until there are no more.
pub fn serve(input: impl Read + Send + 'static, mut output: impl Write) {
    let (sender, questions) = mpsc::channel();
    thread::spawn(move || {
        read(input, &sender);
        drop(sender);
        // Whoever asked is gone. A module that hangs does not outlive it.
        thread::sleep(LAST_MOMENTS);
        std::process::abort();
    });
    let mut opened = None;
    for question in questions {
        let answer = answer(&question, &mut opened).unwrap_or_else(Answer::Failed);
        let mut line = serde_json::to_vec(&answer).expect("texts serialise into memory");
        line.push(b'\n');
        if output.write_all(&line).and_then(|()| output.flush()).is_err() {
            return;
        }
    }
}

fn read(input: impl Read, sender: &mpsc::Sender<Zeroizing<Vec<u8>>>) {
    let mut input = BufReader::new(input);
    loop {
        let mut line = Zeroizing::new(Vec::with_capacity(16 * 1024));
        let count = (&mut input).take(LONGEST).read_until(b'\n', &mut line);
        if !matches!(count, Ok(1..)) || sender.send(line).is_err() {
            return;
        }
    }
}

/// A key with the session that it is used in.
struct Opened {
    session: Session,
    key: ObjectHandle,
    token: String,
    what: String,
}

fn answer(question: &[u8], opened: &mut Option<Opened>) -> Result<Answer, HeldKeyError> {
    let nonsense = || HeldKeyError::NotSetUp("the process for PKCS#11 modules is asked by dfns-keys alone".to_owned());
    match serde_json::from_slice::<Request<String>>(question).map_err(|_| nonsense())? {
        Request::Open { uri, pin } => open(opened, &uri, pin, false),
        Request::Make { uri, pin } => open(opened, &uri, pin, true),
        Request::Sign { digest } => {
            let digest = Base64::decode_vec(&digest).map_err(|_| nonsense())?;
            let opened = opened.as_ref().ok_or_else(nonsense)?;
            let signature = opened
                .session
                .sign(&Mechanism::Ecdsa, opened.key, &digest)
                .map_err(|error| told(&error, &opened.token, &opened.what))?;
            Ok(Answer::Signed {
                signature: Base64::encode_string(&signature),
            })
        }
    }
}

fn open(opened: &mut Option<Opened>, uri: &str, pin: Option<String>, make: bool) -> Result<Answer, HeldKeyError> {
    let pin = pin.map(|mut pin| {
        let secret = SecretString::from(pin.as_str());
        pin.zeroize();
        secret
    });
    let uri: KeyUri = uri
        .parse()
        .map_err(|error| HeldKeyError::NotSetUp(format!("{error}")))?;
    let KeyUri::Pkcs11(key) = &uri else {
        return Err(HeldKeyError::NotSetUp("another kind of key".to_owned()));
    };
    let what = uri.in_words();
    let session = log_in(key, pin.as_ref(), make)?;
    let place = Place {
        session: &session,
        key,
        what: &what,
    };
    if make {
        place.make()?;
    }
    let found = place.find()?;
    let public_key = place.public_key(found)?;
    *opened = Some(Opened {
        session,
        key: found,
        token: key.token.clone(),
        what,
    });
    Ok(Answer::Opened {
        public_key: public_key.map(|der| Base64::encode_string(&der)),
    })
}

fn log_in(key: &Pkcs11Uri, pin: Option<&SecretString>, write: bool) -> Result<Session, HeldKeyError> {
    let path = quoted::path(key.module_path.as_ref());
    let module = |error: &Error| HeldKeyError::Module {
        path: path.clone(),
        reason: reason(error, &key.module_path),
    };
    let context = Pkcs11::new(&key.module_path).map_err(|error| module(&error))?;
    context
        .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
        .map_err(|error| module(&error))?;
    let token = key.token.clone();
    let failed = |error: &Error| told(error, &token, &format!("the token `{}`", shown(&token)));
    let (slot, info) = slot(&context, key)?;
    if info.user_pin_locked() {
        return Err(HeldKeyError::Locked { token });
    }
    let session = if write {
        context.open_rw_session(slot)
    } else {
        context.open_ro_session(slot)
    }
    .map_err(|error| failed(&error))?;
    if info.login_required() {
        if pin.is_none() && !info.protected_authentication_path() {
            return Err(HeldKeyError::NoPin { token });
        }
        // A mistake here would cost more than it is worth to find out.
        if pin.is_some() && info.user_pin_final_try() {
            return Err(HeldKeyError::LastTry { token });
        }
        match session.login(UserType::User, pin) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    Ok(session)
}

fn slot(context: &Pkcs11, key: &Pkcs11Uri) -> Result<(Slot, TokenInfo), HeldKeyError> {
    let failed = |error: &Error| told(error, &key.token, &format!("the token `{}`", shown(&key.token)));
    let mut labels = Vec::new();
    let mut found = Vec::new();
    for slot in context.get_slots_with_token().map_err(|error| failed(&error))? {
        // One that cannot be asked is not the one that is looked for.
        let Ok(info) = context.get_token_info(slot) else {
            continue;
        };
        if !info.token_initialized() {
            continue;
        }
        let label = info.label().trim_end().to_owned();
        let serial = info.serial_number().trim_end();
        if label == key.token && key.serial.as_ref().is_none_or(|wanted| wanted == serial) {
            found.push((slot, info));
        } else {
            labels.push(format!("`{}`", shown(&label)));
        }
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(HeldKeyError::NoToken {
            token: shown(&key.token),
            found: if labels.is_empty() {
                "the module shows none at all".to_owned()
            } else {
                format!("the module shows {}", labels.join(", "))
            },
        }),
        count => Err(HeldKeyError::Several {
            what: format!("the token `{}`", shown(&key.token)),
            count,
        }),
    }
}

/// Where a key is, or is to be.
struct Place<'a> {
    session: &'a Session,
    key: &'a Pkcs11Uri,
    what: &'a str,
}

impl Place<'_> {
    fn failed(&self, error: &Error) -> HeldKeyError {
        told(error, &self.key.token, self.what)
    }

    fn other(&self, kind: impl Into<String>) -> HeldKeyError {
        HeldKeyError::OtherKind {
            what: self.what.to_owned(),
            kind: kind.into(),
        }
    }

    fn all(&self, class: ObjectClass) -> Result<Vec<ObjectHandle>, HeldKeyError> {
        let mut template = vec![Attribute::Class(class)];
        template.extend(
            self.key
                .object
                .as_ref()
                .map(|label| Attribute::Label(label.as_bytes().to_vec())),
        );
        template.extend(self.key.id.as_ref().map(|id| Attribute::Id(id.clone())));
        self.session
            .find_objects(&template)
            .map_err(|error| self.failed(&error))
    }

    fn make(&self) -> Result<(), HeldKeyError> {
        let Some(label) = &self.key.object else {
            return Err(HeldKeyError::NotSetUp(
                "a new key is to be named: object=LABEL".to_owned(),
            ));
        };
        if !self.all(ObjectClass::PRIVATE_KEY)?.is_empty() {
            return Err(HeldKeyError::Exists {
                what: self.what.to_owned(),
            });
        }
        let mut id = self.key.id.clone().unwrap_or_else(|| vec![0; 16]);
        if self.key.id.is_none() {
            getrandom::fill(&mut id)
                .map_err(|_| HeldKeyError::NotSetUp("the operating system gives no randomness".to_owned()))?;
        }
        let (label, id) = (Attribute::Label(label.as_bytes().to_vec()), Attribute::Id(id));
        let public = [
            Attribute::Token(true),
            Attribute::Private(false),
            Attribute::Verify(true),
            Attribute::EcParams(P256.to_vec()),
            label.clone(),
            id.clone(),
        ];
        let private = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
            label,
            id,
        ];
        self.session
            .generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)
            .map_err(|error| self.failed(&error))?;
        Ok(())
    }

    /// The one private key, which is on P-256, signs, and cannot be taken out.
    fn find(&self) -> Result<ObjectHandle, HeldKeyError> {
        let found = self.all(ObjectClass::PRIVATE_KEY)?;
        let key = match found[..] {
            [key] => key,
            [] => {
                return Err(HeldKeyError::Gone {
                    what: self.what.to_owned(),
                });
            }
            _ => {
                return Err(HeldKeyError::Several {
                    what: self.what.to_owned(),
                    count: found.len(),
                });
            }
        };
        for attribute in self.attributes(key, &[AttributeType::KeyType, AttributeType::Sign])? {
            match attribute {
                Attribute::KeyType(KeyType::EC) | Attribute::Sign(true) => {}
                Attribute::KeyType(KeyType::RSA) => return Err(self.other("an RSA key")),
                Attribute::KeyType(_) => return Err(self.other("a key of another type")),
                _ => return Err(self.other("a key that does not sign")),
            }
        }
        let wanted = [
            AttributeType::EcParams,
            AttributeType::Sensitive,
            AttributeType::Extractable,
        ];
        for attribute in self.attributes(key, &wanted)? {
            match attribute {
                Attribute::EcParams(curve) if curve != P256 => return Err(self.other("on another curve")),
                Attribute::Sensitive(false) | Attribute::Extractable(true) => {
                    return Err(self.other("one that can be taken out of the token"));
                }
                _ => {}
            }
        }
        Ok(key)
    }

    /// As SPKI DER, if the token has it.
    fn public_key(&self, private: ObjectHandle) -> Result<Option<Vec<u8>>, HeldKeyError> {
        let mut objects = self.all(ObjectClass::PUBLIC_KEY)?;
        objects.push(private);
        for object in objects {
            for attribute in self.attributes(object, &[AttributeType::EcPoint])? {
                let Attribute::EcPoint(point) = attribute else { continue };
                // An OCTET STRING, though some modules leave that off.
                let bare = point.strip_prefix(&[0x04, 0x41]).filter(|bare| bare.len() == 65);
                if let Ok(key) = p256::PublicKey::from_sec1_bytes(bare.unwrap_or(&point)) {
                    let der = key.to_public_key_der().expect("a point of P-256 has an SPKI form");
                    return Ok(Some(der.into_vec()));
                }
            }
        }
        Ok(None)
    }

    fn attributes(&self, object: ObjectHandle, wanted: &[AttributeType]) -> Result<Vec<Attribute>, HeldKeyError> {
        self.session
            .get_attributes(object, wanted)
            .map_err(|error| self.failed(&error))
    }
}

/// What an error of a module means.
fn told(error: &Error, token: &str, what: &str) -> HeldKeyError {
    let token = shown(token);
    let Error::Pkcs11(value, _) = error else {
        return HeldKeyError::Rubbish {
            who: "the PKCS#11 module".to_owned(),
            what: quoted::cleared(&error.to_string()),
        };
    };
    match value {
        RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange => HeldKeyError::WrongPin { token },
        RvError::PinLocked => HeldKeyError::Locked { token },
        RvError::SessionClosed
        | RvError::SessionHandleInvalid
        | RvError::DeviceRemoved
        | RvError::DeviceError
        | RvError::GeneralError
        | RvError::TokenNotPresent
        | RvError::UserNotLoggedIn
        | RvError::OperationActive
        | RvError::KeyHandleInvalid
        | RvError::ObjectHandleInvalid => HeldKeyError::SessionEnded {
            token,
            reason: format!("{value:?}"),
        },
        RvError::KeyFunctionNotPermitted | RvError::KeyTypeInconsistent => HeldKeyError::OtherKind {
            what: what.to_owned(),
            kind: "for another use".to_owned(),
        },
        _ => HeldKeyError::Refused {
            who: format!("the token `{token}`"),
            words: Some(format!("{value:?}")),
        },
    }
}

/// Why a module is not loaded, without its path, which is told beside.
fn reason(error: &Error, path: &str) -> String {
    match error {
        Error::Pkcs11(value, function) => format!("{function:?}: {value:?}"),
        Error::LibraryLoading(cause) => {
            // The system's own words stand below ours.
            let words = std::error::Error::source(cause).map_or_else(|| cause.to_string(), ToString::to_string);
            let words = words.replace(&format!("{path}: "), "");
            quoted::cleared(&words)
        }
        other => quoted::cleared(&other.to_string()),
    }
}
