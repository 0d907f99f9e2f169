//! A credential for a systemd service, in a file that `systemd-creds` encrypts for this machine. A service loads it with
//! `LoadCredentialEncrypted=`, under the name of the file.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use super::said::refused;
use super::{Contents, Holds, Place, PlaceError};
use crate::model::target::Target;
use crate::sys::child::{self, Ended};
use crate::sys::files::{self, IfExists, Readable};

const PROGRAM: &str = "systemd-creds";
/// Nothing that we put anywhere is larger.
const LIMIT: u64 = 1024 * 1024;

pub(super) struct SystemdCreds<'t> {
    path: &'t str,
    limit: Duration,
}

impl<'t> SystemdCreds<'t> {
    pub(super) fn new(target: &'t Target, limit: Duration) -> Self {
        Self {
            path: target.rest(),
            limit,
        }
    }

    /// The name that is sealed with it, and that a service has to ask for.
    fn name(&self) -> String {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        format!("--name={name}")
    }

    async fn run(&self, arguments: &[&str], input: &str) -> Result<Ended, PlaceError> {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        child::run(PROGRAM, &arguments, input.as_bytes(), self.limit)
            .await
            .map_err(|error| PlaceError::Program {
                program: PROGRAM.to_owned(),
                error,
            })
    }
}

#[async_trait]
impl Place for SystemdCreds<'_> {
    async fn resolve(&self) -> Result<Option<String>, PlaceError> {
        Ok(None)
    }

    async fn put(&self, contents: &Contents) -> Result<(), PlaceError> {
        let path = Path::new(self.path);
        files::check_target(path, IfExists::Replace).map_err(|error| PlaceError::NoFile { error })?;
        let text = contents.text.as_ref().map_or("", |text| text.as_str());
        let ended = self.run(&["encrypt", &self.name(), "-", "-"], text).await?;
        if !ended.status.success() {
            return Err(refused(PROGRAM, &ended, contents));
        }
        if ended.stdout.is_empty() {
            return Err(PlaceError::Rubbish {
                program: PROGRAM.to_owned(),
                what: "nothing",
            });
        }
        files::write(path, &ended.stdout, IfExists::Replace, Readable::ByOwner)
            .map_err(|error| PlaceError::File { error })
    }

    async fn holds(&self, contents: &Contents) -> Result<Option<Holds>, PlaceError> {
        // Whatever is no plain file would keep it waiting.
        match files::read_plain(Path::new(self.path), LIMIT) {
            Ok(_) => {}
            Err(error) if error.is_not_found() => return Ok(Some(Holds::Nothing)),
            Err(error) => return Err(PlaceError::NoFile { error }),
        }
        let ended = self.run(&["decrypt", &self.name(), self.path, "-"], "").await?;
        let text = contents.text.as_ref().map_or("", |text| text.as_str());
        // What it does not decrypt is of another machine, or spoilt.
        Ok(Some(if ended.status.success() && *ended.stdout == text.as_bytes() {
            Holds::These
        } else {
            Holds::Others
        }))
    }
}
