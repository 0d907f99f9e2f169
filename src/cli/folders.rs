//! Where a user's things are by custom: `$XDG_…_HOME`, which no home directory is needed for, or below that.

use std::path::PathBuf;

const OURS: &str = "dfns-keys";

/// Where settings are.
pub(super) fn config() -> Option<PathBuf> {
    by_custom("XDG_CONFIG_HOME", ".config")
}

/// Where the vault is, if nobody says otherwise.
pub(super) fn data() -> Option<PathBuf> {
    by_custom("XDG_DATA_HOME", ".local/share")
}

/// What this machine remembers.
pub(super) fn state() -> Option<PathBuf> {
    by_custom("XDG_STATE_HOME", ".local/state")
}

/// The home directory.
pub(super) fn home() -> Option<PathBuf> {
    std::env::home_dir().filter(|home| home.is_absolute())
}

/// A relative path in the variable counts as none, as the custom has it.
fn by_custom(variable: &str, below_home: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let folder = named.filter(|path| path.is_absolute());
    Some(folder.or_else(|| Some(home()?.join(below_home)))?.join(OURS))
}
