//! A file on this machine: replaced in one step, and for its owner alone unless the target says otherwise.

use std::path::Path;

use async_trait::async_trait;

use super::{Contents, Holds, Place, PlaceError};
use crate::model::target::Target;
use crate::sys::files::{self, IfExists, Readable};

/// Nothing that we put anywhere is larger.
const LIMIT: u64 = 1024 * 1024;
/// For its owner alone.
const MODE: u32 = 0o600;

pub(super) struct File<'t> {
    path: &'t Path,
    mode: u32,
    owner: Option<&'t str>,
}

/// Sees that a target's own parameters can be followed.
pub(super) fn check(target: &Target) -> Result<(), String> {
    let mode = target.parameter("mode").map_or(Some(MODE), mode);
    if mode.is_none() {
        return Err(
            "its mode is to be octal, such as 0640, with nothing for others than the owner and the group".to_owned(),
        );
    }
    if !cfg!(unix) && (target.parameter("mode").is_some() || target.parameter("owner").is_some()) {
        return Err("files have no mode and owner on this system".to_owned());
    }
    Ok(())
}

/// The permissions that a text asks for; none that give anything to everybody, or run it.
fn mode(text: &str) -> Option<u32> {
    let digits = (3..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let mode = u32::from_str_radix(text, 8).ok().filter(|_| digits)?;
    (mode & !0o660 == 0 && mode & 0o400 != 0).then_some(mode)
}

impl<'t> File<'t> {
    pub(super) fn new(target: &'t Target) -> Self {
        Self {
            path: Path::new(target.rest()),
            mode: target.parameter("mode").and_then(mode).unwrap_or(MODE),
            owner: target.parameter("owner"),
        }
    }

    fn owner(&self) -> Result<Option<(u32, u32)>, PlaceError> {
        let find = |name: &str| files::owner(name).ok_or_else(|| PlaceError::NoSuchUser(name.to_owned()));
        self.owner.map(find).transpose()
    }
}

#[async_trait]
impl Place for File<'_> {
    async fn resolve(&self) -> Result<Option<String>, PlaceError> {
        Ok(None)
    }

    async fn put(&self, contents: &Contents) -> Result<(), PlaceError> {
        let readable = Readable::Exactly {
            mode: self.mode,
            owner: self.owner()?,
        };
        let text = contents.text.as_ref().map_or("", |text| text.as_str());
        files::check_target(self.path, IfExists::Replace).map_err(|error| PlaceError::NoFile { error })?;
        files::write(self.path, text.as_bytes(), IfExists::Replace, readable)
            .map_err(|error| PlaceError::File { error })
    }

    async fn holds(&self, contents: &Contents) -> Result<Option<Holds>, PlaceError> {
        let found = match files::read_plain(self.path, LIMIT) {
            Ok(found) => found,
            Err(error) if error.is_not_found() => return Ok(Some(Holds::Nothing)),
            Err(error) => return Err(PlaceError::NoFile { error }),
        };
        let text = contents.text.as_ref().map_or("", |text| text.as_str());
        let open = files::permissions(self.path)
            .map_err(|error| PlaceError::NoFile { error })?
            .is_some_and(|mode| mode != self.mode);
        let owner = self.owner()?.map(|(user, _)| user);
        let foreign =
            owner.is_some() && files::owner_of(self.path).map_err(|error| PlaceError::NoFile { error })? != owner;
        Ok(Some(if *found == text.as_bytes() && !open && !foreign {
            Holds::These
        } else {
            Holds::Others
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::mode;

    #[test]
    fn a_mode_gives_nothing_to_everybody() {
        assert_eq!(mode("0600"), Some(0o600));
        assert_eq!(mode("640"), Some(0o640));
        for text in ["0644", "0700", "0200", "+600", "600 ", "4600", "0o600", ""] {
            assert_eq!(mode(text), None, "{text}");
        }
    }
}
