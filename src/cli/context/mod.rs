//! What every command needs: the vault, the keys to it, the client, and the ways in and out.

mod audit;
mod confirm;
mod reporter;
mod stdio;
mod unlock;

use std::path::{Path, PathBuf};
use std::time::Duration;

use self::reporter::Reporter;
use super::Globals;
use super::beginning;
use super::contexts::{Flags, Surroundings, variable};
use super::error::{Exit, Failure};
use super::folders;
use super::origin::Origin;
use super::passphrase::Supplier;
use super::places;
use super::terminal;
use super::ui::Ui;
use crate::api::{Client, ClientConfig};
use crate::deliver::Means;
use crate::model::ids::CredentialName;
use crate::model::quoted;
use crate::sys::child;
use crate::sys::clock::SystemClock;
use crate::sys::descriptors::{STDIN, named_by};
use crate::sys::session;
use crate::vault::{Machine, Vault, Witness};
use crate::workflow::settings::Defaults;

pub(in crate::cli) struct Context {
    pub(in crate::cli) ui: Ui,
    pub(in crate::cli) supplier: Supplier,
    pub(in crate::cli) yes: bool,
    no_input: bool,
    flags: Flags,
    surroundings: Surroundings,
    /// What reads the passphrase from stdin.
    passphrase_from_stdin: Option<&'static str>,
    /// The descriptors with which the vault is opened.
    descriptors: Vec<u32>,
    wait: Duration,
    accept_rollback: bool,
    timeout: Duration,
    per_minute: std::num::NonZeroU32,
}

impl Context {
    /// `environment` is where the environment has the passphrase.
    pub(in crate::cli) fn new(globals: Globals, environment: Option<Origin>, surroundings: Surroundings) -> Self {
        let flags = globals.flags();
        let Globals {
            context: _,
            vault: _,
            identity: _,
            passphrase_file,
            passphrase_fd,
            json,
            no_input,
            yes,
            quiet,
            verbose,
            wide,
            color,
            wait,
            timeout,
            rate_limit,
            accept_rollback,
        } = globals;
        // Before anything is opened here, so that a number can only be of what was given.
        let flag = match (&passphrase_file, passphrase_fd) {
            (Some(path), _) => Some(("--passphrase-file", Origin::file(path))),
            (None, Some(number)) => Some(("--passphrase-fd", Origin::descriptor(number))),
            (None, None) => None,
        };
        let environment = environment.map(|origin| (beginning::FILE, origin));
        let passphrase_from_stdin = flag
            .as_ref()
            .or(environment.as_ref())
            .and_then(|(name, origin)| origin.is_stdin().then_some(*name));
        let mut descriptors: Vec<u32> = surroundings
            .identities
            .iter()
            .filter_map(|path| named_by(path))
            .collect();
        if passphrase_from_stdin.is_some() {
            descriptors.push(STDIN);
        }
        let (flag, environment) = (flag.map(|(_, origin)| origin), environment.map(|(_, origin)| origin));
        let ui = Ui::new(json, quiet, verbose, color).with_tables(wide);
        let may_ask = !no_input && terminal::is_there();
        Self {
            supplier: Supplier::new(ui.clone(), flag, environment, may_ask, surroundings.name.as_ref()),
            ui,
            yes,
            no_input,
            flags,
            surroundings,
            passphrase_from_stdin,
            descriptors,
            wait: wait.duration(),
            accept_rollback,
            timeout: timeout.duration().max(Duration::from_millis(1)),
            per_minute: rate_limit,
        }
    }

    /// Takes over what `unlock` keeps for the vault, where one may be opened, and leaves the session in which it is kept, so that nothing that is started
    /// from here finds it.
    pub(in crate::cli) fn leave_session(&self, opens_a_vault: bool) -> Result<(), Failure> {
        if opens_a_vault
            && self.surroundings.identities.is_empty()
            && let Ok(directory) = self.new_vault_directory()
        {
            self.supplier.set_kept(session::take(&Vault::name_of_place(&directory)));
        }
        Ok(session::leave()?)
    }

    /// How long one request may take.
    pub(in crate::cli) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether there is somebody to ask.
    pub(in crate::cli) fn may_ask(&self) -> bool {
        !self.no_input && terminal::is_there()
    }

    /// Whether nothing may be asked, by a flag.
    pub(in crate::cli) fn no_input(&self) -> bool {
        self.no_input
    }

    /// Whether somebody reads along on a terminal, at their own pace.
    #[cfg(feature = "sandbox")]
    pub(in crate::cli) fn is_read_along(&self) -> bool {
        let asks = self.may_ask() && !self.yes && !self.ui.quiet();
        asks && crate::cli::input::is_terminal() && self.ui.stdout_is_terminal() && self.ui.stderr_is_terminal()
    }

    /// Where a new vault is to be.
    pub(in crate::cli) fn new_vault_directory(&self) -> Result<PathBuf, Failure> {
        vault_directory(self.surroundings.vault.as_deref())
    }

    /// The vault, which must exist.
    pub(in crate::cli) async fn vault(&self) -> Result<Vault, Failure> {
        let machine = self.machine()?;
        if self.ui.verbose() {
            let directory = quoted::path(&self.new_vault_directory()?);
            let Surroundings { name, apart, .. } = &self.surroundings;
            if let Some(name) = name {
                self.ui.say(&format!("  context {name}, vault {directory}"));
            } else if let Some(apart) = apart {
                self.ui.say(&format!(
                    "  vault {directory}, which is not that of context {apart}: of the context the addresses alone count"
                ));
            }
        }
        let vault = Vault::open(&self.new_vault_directory()?, machine, Box::new(SystemClock), self.wait).await?;
        Ok(vault.with_witness(self.witness()))
    }

    /// The vault, which must have been one; its list may be gone.
    pub(in crate::cli) async fn vault_to_repair(&self) -> Result<Vault, Failure> {
        let machine = self.machine()?;
        let vault =
            Vault::open_to_repair(&self.new_vault_directory()?, machine, Box::new(SystemClock), self.wait).await?;
        Ok(vault.with_witness(self.witness()))
    }

    fn witness(&self) -> Box<dyn Witness> {
        Box::new(Reporter { ui: self.ui.clone() })
    }

    /// What this machine remembers of vaults, and was told of this one.
    pub(in crate::cli) fn machine(&self) -> Result<Machine, Failure> {
        let text = |name: &str| variable(name).map(|value| value.to_string_lossy().into_owned());
        let expected = text("DFNS_KEYS_VAULT_ID").map(|text| {
            let (id, epoch) = match text.split_once(':') {
                Some((id, epoch)) => (id, Some(epoch.parse().ok())),
                None => (text.as_str(), None),
            };
            match (id.parse(), epoch) {
                (Ok(id), None) => Ok((id, None)),
                (Ok(id), Some(Some(epoch))) => Ok((id, Some(epoch))),
                _ => Err(Failure::usage("DFNS_KEYS_VAULT_ID is not ID or ID:EPOCH")
                    .hint("`dfns-keys recipients list --digest --json` has both, on a machine that knows the vault")),
            }
        });
        Ok(Machine {
            state: folders::state(),
            expected: expected.transpose()?,
            recipients_digest: text("DFNS_KEYS_RECIPIENTS"),
            accept_rollback: self.accept_rollback,
        })
    }

    /// What the flags say of vault, identities and context, and nobody else.
    pub(in crate::cli) fn flags(&self) -> &Flags {
        &self.flags
    }

    /// What a credential that is begun has where nobody says otherwise for it.
    pub(in crate::cli) fn defaults(&self) -> Defaults {
        self.surroundings.defaults.clone()
    }

    /// Whom to act as, where a command's flag does not say.
    pub(in crate::cli) fn admin(&self) -> Option<&CredentialName> {
        self.surroundings.admin.as_ref()
    }

    /// The context that counts, where there is one.
    pub(in crate::cli) fn name(&self) -> Option<&CredentialName> {
        self.surroundings.name.as_ref()
    }

    /// The identity files that were named.
    pub(in crate::cli) fn identities(&self) -> &[PathBuf] {
        &self.surroundings.identities
    }

    /// The client for all requests of this command.
    pub(in crate::cli) fn client(&self) -> Client {
        Client::new(ClientConfig {
            timeout: self.timeout,
            per_minute: self.per_minute,
            progress: Box::new(Reporter { ui: self.ui.clone() }),
        })
    }

    /// What places are worked on with.
    pub(in crate::cli) fn means(&self) -> Means {
        Means {
            host: child::host(),
            limit: self.timeout,
            vault: places::vault(),
            cluster: places::cluster(),
        }
    }

    /// Runs the asynchronous part of a command.
    pub(in crate::cli) fn block_on<T>(&self, future: impl Future<Output = T>) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(Exit::Other, "runtime", format!("cannot start: {error}")))?;
        Ok(runtime.block_on(future))
    }
}

/// Where the vault is: where the flag says, the environment, or the system's custom.
pub(in crate::cli) fn vault_directory(flag: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(directory) = flag {
        return Ok(directory.to_owned());
    }
    #[cfg(windows)]
    if let Some(local) = std::env::var_os("LOCALAPPDATA") {
        return Ok(PathBuf::from(local).join("dfns-keys"));
    }
    folders::data().ok_or_else(|| {
        Failure::usage("there is no home directory to look for the vault in").hint("name it with --vault DIR")
    })
}

/// In debug builds, the tests' way to stop the process at a chosen instant.
#[cfg(debug_assertions)]
pub(in crate::cli) fn choose_instant() {
    let number = std::env::var("DFNS_KEYS_TEST_STOP_AT").ok();
    if let Some(number) = number.and_then(|number| number.parse().ok()) {
        crate::sys::instants::stop_at(number);
    }
}
