//! The places that a credential is kept up to date in: how something is put there, and seen to be there.
//!
//! A secret goes to a program by its stdin alone. What a program says is cut, escaped and cleared before it is repeated.

mod cluster;
mod file;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod hashivault;
mod http;
mod plugin;
mod recipe;
mod said;
mod systemd_creds;
mod wiped;

use std::time::Duration;

use async_trait::async_trait;
use base64ct::{Base64Unpadded, Encoding};
pub use cluster::InCluster;
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::model::effect::Effect;
use crate::model::target::{Target, TargetKind};
pub use crate::remote::VaultAccess;
use crate::sys::child::{ChildError, Ended};
use crate::sys::files::FileError;

/// Something could not be put, or seen.
#[derive(Debug, Error)]
pub enum PlaceError {
    /// The program that does it is not there, or did not come to an end.
    #[error("{program}: {error}")]
    Program {
        /// Its name.
        program: String,
        /// In which way.
        error: ChildError,
    },
    /// The program ended, and says no.
    #[error("{program} refuses ({how}){}", said(.words.as_ref()))]
    Refused {
        /// Its name.
        program: String,
        /// How it ended.
        how: String,
        /// What it said, as it may be repeated.
        words: Option<String>,
        /// What to do, where what it said is known.
        advice: Option<&'static str>,
    },
    /// The program ended well, and what it printed is not what it prints.
    #[error("{program} answers with {what}")]
    Rubbish {
        /// Its name.
        program: String,
        /// In which way.
        what: &'static str,
    },
    /// A file; whether it was replaced is not known.
    #[error("{error}: {}", .error.source)]
    File {
        /// In which way.
        error: FileError,
    },
    /// A file that could not be begun with.
    #[error("{error}: {}", .error.source)]
    NoFile {
        /// In which way.
        error: FileError,
    },
    /// A user that a file is to belong to is not on this machine.
    #[error("there is no user {0} on this machine")]
    NoSuchUser(String),
    /// What has to be known of this machine's surroundings is not there, or cannot be.
    #[error("{0}")]
    NotSetUp(String),
    /// A server was not reached, or its answer was lost.
    #[error("{server} cannot be reached: {reason}")]
    Unreachable {
        /// What it is called.
        server: &'static str,
        /// Why.
        reason: String,
        /// What the request has done.
        effect: Effect,
    },
    /// What stands there is somebody else's.
    #[error("something else than a credential stands there, which is left alone")]
    Foreign,
}

impl PlaceError {
    /// What the attempt has done, where it was one to put something.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match self {
            Self::Program { error, .. } if error.never_ran() => Effect::None,
            Self::NoSuchUser(_) | Self::NoFile { .. } | Self::NotSetUp(_) | Self::Foreign => Effect::None,
            Self::Unreachable { effect, .. } => *effect,
            Self::Program { .. } | Self::Refused { .. } | Self::Rubbish { .. } | Self::File { .. } => Effect::Unknown,
        }
    }

    /// Whether what was begun may still go on.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        match self {
            Self::Program { error, .. } => !error.never_ran(),
            Self::Unreachable { effect, .. } => *effect == Effect::Unknown,
            _ => false,
        }
    }
}

fn said(words: Option<&String>) -> String {
    words.map(|words| format!(": it says: \"{words}\"")).unwrap_or_default()
}

/// Sees that a program that ended has done its work. What it says is not repeated where it has some of these contents.
///
/// # Errors
/// When it says that it has not.
pub fn succeeded(program: &str, ended: &Ended, contents: &Contents) -> Result<(), PlaceError> {
    if ended.status.success() {
        return Ok(());
    }
    Err(said::refused(program, ended, contents))
}

/// Where a target leads to from here.
pub struct Found {
    /// As it may be shown.
    pub shown: String,
    /// What tells it from other places, whatever of it may not be shown.
    pub digest: String,
}

impl Found {
    /// Of what a place leads to; `None` where that is nothing.
    #[must_use]
    pub fn of(place: &dyn Place, text: &str) -> Option<Self> {
        Some(Self {
            shown: place.shown(text)?,
            digest: Base64Unpadded::encode_string(&Sha256::digest(text.trim().as_bytes())),
        })
    }
}

/// What is put somewhere.
pub struct Contents {
    /// The variables that programs read.
    pub variables: Vec<(&'static str, Zeroizing<String>)>,
    /// The same in the form that the target names, where it names one.
    pub text: Option<Zeroizing<String>>,
}

impl Contents {
    /// For what is asked without handing anything over.
    fn nothing() -> Self {
        Self {
            variables: Vec::new(),
            text: None,
        }
    }

    fn text(&self) -> &str {
        self.text.as_ref().map_or("", |text| text.as_str())
    }
}

/// What a place has, beside what it should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Just that.
    These,
    /// Something else.
    Others,
    /// Nothing.
    Nothing,
}

/// A place, as it can be worked on from here.
#[async_trait]
pub trait Place: Send + Sync {
    /// Where the target leads from here; `None` where it says all of it itself. It is shown as far as it may be repeated, and
    /// told from others by all of it.
    ///
    /// # Errors
    /// When that cannot be found out.
    async fn resolve(&self) -> Result<Option<String>, PlaceError>;

    /// How what it leads to is shown: whole, unless others wrote it. `None` where that is nothing.
    fn shown(&self, found: &str) -> Option<String> {
        Some(found.to_owned())
    }

    /// Puts it there, in place of what was there of ours.
    ///
    /// # Errors
    /// When it was refused, or whether it was put is not known.
    async fn put(&self, contents: &Contents) -> Result<(), PlaceError>;

    /// Whether it is there; `None` where the place cannot be read.
    ///
    /// # Errors
    /// When the place could be read, and was not.
    async fn holds(&self, contents: &Contents) -> Result<Option<Holds>, PlaceError>;
}

/// What a place is worked on with.
pub struct Means {
    /// This machine's name.
    pub host: String,
    /// How long a program, or a request, may take.
    pub limit: Duration,
    /// What is known of Vault.
    pub vault: VaultAccess,
    /// The cluster that this process runs in, where nothing else is said of any.
    pub cluster: Option<InCluster>,
}

impl Means {
    /// A target's place.
    #[must_use]
    pub fn open<'t>(&'t self, target: &'t Target) -> Box<dyn Place + 't> {
        match target.kind() {
            TargetKind::File => Box::new(file::File::new(target)),
            TargetKind::SystemdCreds => Box::new(systemd_creds::SystemdCreds::new(target, self.limit)),
            TargetKind::Kubernetes => match &self.cluster {
                Some(cluster) if target.parameter("context").is_none() => {
                    Box::new(cluster::Cluster::new(target, cluster, self.limit))
                }
                _ => self.follow(target, &recipe::KUBERNETES),
            },
            TargetKind::Hashivault => Box::new(hashivault::Hashivault::new(target, &self.vault, self.limit)),
            TargetKind::AwsSecretsManager => self.follow(target, &recipe::AWS_SECRETS_MANAGER),
            TargetKind::AwsSsm => self.follow(target, &recipe::AWS_SSM),
            TargetKind::Github => match target.parameter("format") {
                None => self.follow(target, &recipe::GITHUB),
                Some(_) => self.follow(target, &recipe::GITHUB_FIELDS),
            },
            TargetKind::Plugin => Box::new(plugin::Plugin::new(target, self.limit)),
        }
    }

    fn follow<'t>(&self, target: &'t Target, recipe: &'static recipe::Recipe) -> Box<dyn Place + 't> {
        Box::new(recipe::Followed::new(recipe, target, self.limit))
    }

    /// The machine that a target is on, where that is another one.
    #[must_use]
    pub fn elsewhere<'t>(&self, target: &'t Target) -> Option<&'t str> {
        target.host().filter(|host| *host != self.host)
    }
}

/// The forms that a target can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A `.env` file.
    Dotenv,
    /// A file for docker's `--env-file`.
    DockerEnv,
    /// One JSON object.
    Json,
    /// The private key alone.
    PemPrivate,
}

/// The form that is put to a target; `None` where its place has fields of its own.
///
/// # Errors
/// The sentence to tell where the target asks for what is not there.
pub fn form(target: &Target) -> Result<Option<Form>, String> {
    match target.kind() {
        TargetKind::Plugin | TargetKind::Kubernetes | TargetKind::Hashivault => Ok(None),
        TargetKind::AwsSecretsManager | TargetKind::AwsSsm if cfg!(windows) => {
            Err("aws reads a secret from /dev/stdin, which this system does not have".to_owned())
        }
        TargetKind::AwsSecretsManager | TargetKind::AwsSsm => Ok(Some(Form::Json)),
        TargetKind::Github => match target.parameter("format") {
            None => Ok(Some(Form::Json)),
            Some("fields") => Ok(Some(Form::Dotenv)),
            Some(_) => Err("its format is to be fields, or none".to_owned()),
        },
        TargetKind::File | TargetKind::SystemdCreds => {
            if target.kind() == TargetKind::File {
                file::check(target)?;
            }
            Ok(Some(match target.parameter("format").unwrap_or("dotenv") {
                "dotenv" => Form::Dotenv,
                "docker-env" => Form::DockerEnv,
                "json" => Form::Json,
                "pem-private" => Form::PemPrivate,
                _ => return Err("its format is to be dotenv, docker-env, json or pem-private".to_owned()),
            }))
        }
    }
}
