//! A PKCS#11 token, by a process of its own: a module is a library of somebody else's, which can hang, crash, or read what is in
//! memory. That process is this very program; it holds the session with the token, and nothing else of ours. One that does not
//! answer is killed, and the next signature starts another.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use base64ct::{Base64, Encoding};
use p256::ecdsa::Signature;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::{KeyPlaces, PKCS11_ARGUMENT, Provider, public_key};
use crate::keys::PublicKey;
use crate::model::held_key::HeldKeyError;
use crate::model::key_uri::{KeyUri, Pkcs11Uri};
use crate::model::quoted;
use crate::model::secret::{Pin, passphrase_from_text};
use crate::sys::child::OURS;
use crate::sys::{files, instants};

/// No PIN is longer.
const LONGEST_PIN: u64 = 4096;
/// No answer is longer.
const LONGEST_ANSWER: u64 = 64 * 1024;

/// What the process is asked, one line of JSON each.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Request<T> {
    /// Logs in, and finds the key.
    Open { uri: String, pin: Option<T> },
    /// Logs in, and makes the key.
    Make { uri: String, pin: Option<T> },
    /// Signs a digest, in base64, with the key that was opened.
    Sign { digest: String },
}

/// What it answers, one line of JSON each.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// The public half (SPKI DER, base64), where the token tells it.
    Opened { public_key: Option<String> },
    /// r and s, 32 bytes each, in base64.
    Signed { signature: String },
    /// What went wrong.
    Failed(HeldKeyError),
}

pub(super) struct Pkcs11 {
    uri: KeyUri,
    token: String,
    module: String,
    pin: Option<Pin>,
    program: PathBuf,
    limit: Duration,
    state: Mutex<State>,
}

enum State {
    Closed,
    Opened(Box<Process>),
    /// The token took no PIN: it is not asked again with the same, which would lock it.
    Refused(HeldKeyError),
}

struct Process {
    /// Dropping it kills it.
    _child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Pkcs11 {
    pub(super) fn new(places: &KeyPlaces, uri: &KeyUri, key: &Pkcs11Uri) -> Result<Self, HeldKeyError> {
        let pin = match &key.pin_source {
            Some(path) => {
                let text = files::read(path.as_ref(), LONGEST_PIN)
                    .map_err(|error| HeldKeyError::UnreadablePin(format!("{error}: {}", error.source)))?;
                let text = std::str::from_utf8(&text)
                    .map_err(|_| HeldKeyError::UnreadablePin("what pin-source names is no text".to_owned()))?;
                Some(passphrase_from_text(text))
            }
            None => places.pins.pin(&key.token)?,
        };
        Ok(Self {
            uri: uri.clone(),
            token: key.token.clone(),
            module: format!("the PKCS#11 module {}", quoted::path(key.module_path.as_ref())),
            pin,
            program: places.program.clone(),
            limit: places.limit,
            state: Mutex::new(State::Closed),
        })
    }

    fn start(&self) -> Result<Process, HeldKeyError> {
        let mut command = Command::new(&self.program);
        command
            .arg(PKCS11_ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .process_group(0);
        for variable in OURS {
            command.env_remove(variable);
        }
        let not = |error: &str| HeldKeyError::NotSetUp(format!("the process for the PKCS#11 module: {error}"));
        let mut child = command.spawn().map_err(|error| not(&error.to_string()))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (Some(input), Some(output)) = (input, output) else {
            return Err(not("it has no pipes"));
        };
        Ok(Process {
            _child: child,
            input,
            output: BufReader::new(output),
        })
    }

    /// One question and its answer. Whatever goes wrong, the process is not to be asked again.
    async fn ask(&self, process: &mut Process, request: &Request<&str>) -> Result<Answer, HeldKeyError> {
        let mut line = Zeroizing::new(Vec::with_capacity(16 * 1024));
        serde_json::to_writer(&mut *line, request).expect("texts serialise into memory");
        line.push(b'\n');
        let crashed = || HeldKeyError::Crashed {
            who: self.module.clone(),
        };
        let mut answer = Vec::new();
        instants::pass();
        let work = async {
            process.input.write_all(&line).await?;
            process.input.flush().await?;
            let mut limited = (&mut process.output).take(LONGEST_ANSWER);
            limited.read_until(b'\n', &mut answer).await
        };
        let ended = tokio::time::timeout(self.limit, work).await;
        ended
            .map_err(|_| HeldKeyError::Hung {
                who: self.module.clone(),
                seconds: self.limit.as_secs(),
            })?
            .map_err(|_| crashed())?;
        instants::pass();
        if !answer.ends_with(b"\n") {
            return Err(crashed());
        }
        match serde_json::from_slice(&answer).map_err(|_| self.rubbish("something that is not ours"))? {
            Answer::Failed(error) => Err(error),
            answer => Ok(answer),
        }
    }

    async fn open(&self, make: bool) -> Result<(Process, Option<PublicKey>), HeldKeyError> {
        let mut process = self.start()?;
        let uri = self.uri.to_string();
        let pin = self.pin.as_ref().map(ExposeSecret::expose_secret);
        let request = if make {
            Request::Make { uri, pin }
        } else {
            Request::Open { uri, pin }
        };
        match self.ask(&mut process, &request).await? {
            Answer::Opened { public_key: found } => {
                let found = found.map(|text| {
                    let der = Base64::decode_vec(&text).map_err(|_| self.rubbish("a public key that is not base64"))?;
                    public_key(&der, &self.uri.in_words())
                });
                Ok((process, found.transpose()?))
            }
            _ => Err(self.rubbish("an answer to another question")),
        }
    }

    async fn opened(&self, make: bool) -> Result<PublicKey, HeldKeyError> {
        let mut state = self.state.lock().await;
        let (process, public) = self.open(make).await?;
        *state = State::Opened(Box::new(process));
        public.ok_or_else(|| HeldKeyError::OtherKind {
            what: self.uri.in_words(),
            kind: "a key whose public half the token does not have".to_owned(),
        })
    }

    async fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, HeldKeyError> {
        let digest = Base64::encode_string(digest);
        let mut state = self.state.lock().await;
        // Taken out: a caller that goes away in between leaves no process behind with half an answer.
        let (mut process, is_new) = match std::mem::replace(&mut *state, State::Closed) {
            State::Opened(process) => (process, false),
            State::Closed => (self.reopened(&mut state).await?, true),
            State::Refused(error) => {
                *state = State::Refused(error.clone());
                return Err(error);
            }
        };
        let question = Request::Sign { digest };
        let mut outcome = self.ask(&mut process, &question).await;
        // A session may have ended since: the token was put in again, or its module's daemon started again.
        if !is_new
            && matches!(
                outcome,
                Err(HeldKeyError::SessionEnded { .. } | HeldKeyError::Crashed { .. })
            )
        {
            drop(process);
            process = self.reopened(&mut state).await?;
            outcome = self.ask(&mut process, &question).await;
        }
        let answer = outcome?;
        *state = State::Opened(process);
        match answer {
            Answer::Signed { signature } => {
                Base64::decode_vec(&signature).map_err(|_| self.rubbish("a signature that is not base64"))
            }
            _ => Err(self.rubbish("an answer to another question")),
        }
    }

    async fn reopened(&self, state: &mut State) -> Result<Box<Process>, HeldKeyError> {
        match self.open(false).await {
            Ok((process, _)) => Ok(Box::new(process)),
            Err(error) => {
                use HeldKeyError::{LastTry, Locked, WrongPin};
                if matches!(error, WrongPin { .. } | LastTry { .. } | Locked { .. }) {
                    *state = State::Refused(error.clone());
                }
                Err(match error {
                    HeldKeyError::SessionEnded { reason, .. } => HeldKeyError::SessionEnded {
                        token: self.token.clone(),
                        reason,
                    },
                    error => error,
                })
            }
        }
    }

    fn rubbish(&self, what: &str) -> HeldKeyError {
        HeldKeyError::Rubbish {
            who: self.module.clone(),
            what: what.to_owned(),
        }
    }
}

#[async_trait]
impl Provider for Pkcs11 {
    async fn make(&self) -> Result<PublicKey, HeldKeyError> {
        self.opened(true).await
    }

    async fn find(&self) -> Result<PublicKey, HeldKeyError> {
        self.opened(false).await
    }

    async fn sign(&self, message: &[u8], _: &PublicKey) -> Result<Vec<u8>, HeldKeyError> {
        let raw = self.sign_digest(&Sha256::digest(message)).await?;
        // Both numbers in range, or it is none.
        let signature = Signature::from_slice(&raw).map_err(|_| self.rubbish("something that is no signature"))?;
        Ok(signature.to_der().as_bytes().to_vec())
    }
}
