//! What every command needs: the vault, the keys to it, the client, and the ways in and out.

use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use super::Globals;
use super::beginning;
use super::contexts::{Flags, Surroundings, variable};
use super::error::{Exit, Failure};
use super::folders;
use super::input;
use super::origin::Origin;
use super::passphrase::{Asker, Supplier};
use super::places;
use super::terminal;
use super::ui::Ui;
use crate::api::{ApiError, Client, ClientConfig, Progress};
use crate::deliver::Means;
use crate::model::ids::CredentialName;
use crate::model::quoted;
use crate::sys::child;
use crate::sys::clock::SystemClock;
use crate::sys::descriptors::{self, STDIN, named_by};
use crate::sys::files;
use crate::sys::session;
use crate::vault::{IdentityError, Machine, RecipientText, Unlocked, Vault, VaultError, Witness, log};
use crate::workflow::settings::Defaults;

/// Key files, tokens and environments are far smaller.
const INPUT_LIMIT: u64 = 16 * 1024 * 1024;
/// How often a person may mistype a passphrase.
const TRIES: usize = 3;

pub(super) struct Context {
    pub(super) ui: Ui,
    pub(super) supplier: Supplier,
    pub(super) yes: bool,
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
    pub(super) fn new(globals: Globals, environment: Option<Origin>, surroundings: Surroundings) -> Self {
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
    pub(super) fn leave_session(&self, opens_a_vault: bool) -> Result<(), Failure> {
        if opens_a_vault
            && self.surroundings.identities.is_empty()
            && let Ok(directory) = self.new_vault_directory()
        {
            self.supplier.set_kept(session::take(&Vault::name_of_place(&directory)));
        }
        Ok(session::leave()?)
    }

    /// How long one request may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether there is somebody to ask.
    pub(super) fn may_ask(&self) -> bool {
        !self.no_input && terminal::is_there()
    }

    /// Whether nothing may be asked, by a flag.
    pub(super) fn no_input(&self) -> bool {
        self.no_input
    }

    /// Whether somebody reads along on a terminal, at their own pace.
    #[cfg(feature = "sandbox")]
    pub(super) fn is_read_along(&self) -> bool {
        let asks = self.may_ask() && !self.yes && !self.ui.quiet();
        asks && input::is_terminal() && self.ui.stdout_is_terminal() && self.ui.stderr_is_terminal()
    }

    /// Refuses two readers of stdin before either has read anything.
    pub(super) fn check_stdin_readers(&self, readers: &[&'static str]) -> Result<(), Failure> {
        let mut readers = readers.to_vec();
        if let Some(reader) = self.passphrase_from_stdin {
            readers.insert(0, reader);
        }
        if readers.len() > 1 {
            return Err(Failure::usage(format!(
                "{} cannot both read from stdin",
                readers.join(" and ")
            )));
        }
        Ok(())
    }

    /// Keeps what this process was started with from the programs that it starts: everything, or, for one that is to have the
    /// rest, that with which the vault is opened.
    pub(super) fn keep_descriptors(&self, passes_the_rest_on: bool) {
        descriptors::keep_from_children(passes_the_rest_on.then_some(&self.descriptors));
    }

    /// Whatever opened the vault and came by stdin cannot be read there again.
    pub(super) fn end_stdin_if_used(&self) -> Result<(), Failure> {
        if !self.descriptors.contains(&STDIN) {
            return Ok(());
        }
        descriptors::end_stdin()
            .map_err(|error| Failure::new(Exit::Other, "stdin", format!("cannot open /dev/null: {error}")))
    }

    /// Where a new vault is to be.
    pub(super) fn new_vault_directory(&self) -> Result<PathBuf, Failure> {
        vault_directory(self.surroundings.vault.as_deref())
    }

    /// The vault, which must exist.
    pub(super) async fn vault(&self) -> Result<Vault, Failure> {
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
    pub(super) async fn vault_to_repair(&self) -> Result<Vault, Failure> {
        let machine = self.machine()?;
        let vault =
            Vault::open_to_repair(&self.new_vault_directory()?, machine, Box::new(SystemClock), self.wait).await?;
        Ok(vault.with_witness(self.witness()))
    }

    fn witness(&self) -> Box<dyn Witness> {
        Box::new(Teller { ui: self.ui.clone() })
    }

    /// What this machine remembers of vaults, and was told of this one.
    pub(super) fn machine(&self) -> Result<Machine, Failure> {
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

    /// Unlocks the vault with the identities named, or with its own.
    pub(super) async fn unlock<'v>(&self, vault: &'v Vault) -> Result<Unlocked<'v>, Failure> {
        let unlocked = self
            .ask_until_right(vault, async |asker| {
                vault.unlock(&self.surroundings.identities, asker).await
            })
            .await?;
        self.meet(&unlocked);
        Ok(unlocked)
    }

    /// Runs what needs the passphrase, three times where a person mistypes it.
    pub(super) async fn ask_until_right<T>(
        &self,
        vault: &Vault,
        open: impl AsyncFn(&Asker<'_>) -> Result<T, VaultError>,
    ) -> Result<T, Failure> {
        let mut tries = 1;
        loop {
            self.ask_first(vault).await?;
            let spinner = self.ui.spinner("unlocking the vault");
            let opened = open(&self.asker()).await;
            spinner.finish_and_clear();
            match opened {
                Err(VaultError::Identity(error @ IdentityError::WrongPassphrase { .. }))
                    if tries < TRIES && self.supplier.forget_asked() =>
                {
                    tries += 1;
                    self.ui.warn(&format!("{error}; once more"));
                }
                opened => return opened.map_err(|error| self.locked(error)),
            }
        }
    }

    /// Says what this machine learns of a vault that was opened.
    pub(super) fn meet(&self, unlocked: &Unlocked<'_>) {
        if unlocked.first_seen()
            && let Some(id) = unlocked.id()
        {
            self.ui.say(&format!(
                "  this machine meets the vault {id} for the first time, and will know it again"
            ));
        }
    }

    /// What a wrong passphrase of the vault's own leaves to be tried.
    fn locked(&self, error: VaultError) -> Failure {
        let own_passphrase = self.surroundings.identities.is_empty()
            && matches!(&error, VaultError::Identity(IdentityError::WrongPassphrase { .. }));
        let failure = Failure::from(error);
        if !own_passphrase {
            return failure;
        }
        failure.hint(
            "try again; a `rekey` that was cut short has set the new one already; if it is lost, another recipient's identity opens the vault (--identity)",
        )
    }

    /// Asks for the passphrase before a spinner turns; the answer is kept.
    async fn ask_first(&self, vault: &Vault) -> Result<(), Failure> {
        use crate::vault::{Keyholder, PassphrasePurpose};
        if self.surroundings.identities.is_empty() && !self.supplier.is_unlocked() && vault.has_identity().await? {
            self.asker().passphrase(&PassphrasePurpose::Vault)?;
        }
        Ok(())
    }

    /// Whether this run can only seal: it was told the list to seal to, or the vault has no identity and none was named.
    pub(super) async fn seals_only(&self, vault: &Vault) -> Result<bool, Failure> {
        Ok(self.surroundings.identities.is_empty()
            && (variable("DFNS_KEYS_RECIPIENTS").is_some() || !vault.has_identity().await?))
    }

    /// What the flags say of vault, identities and context, and nobody else.
    pub(super) fn flags(&self) -> &Flags {
        &self.flags
    }

    /// What a credential that is begun has where nobody says otherwise for it.
    pub(super) fn defaults(&self) -> Defaults {
        self.surroundings.defaults.clone()
    }

    /// Whom to act as, where a command's flag does not say.
    pub(super) fn admin(&self) -> Option<&CredentialName> {
        self.surroundings.admin.as_ref()
    }

    /// The context that counts, where there is one.
    pub(super) fn name(&self) -> Option<&CredentialName> {
        self.surroundings.name.as_ref()
    }

    /// The identity files that were named.
    pub(super) fn identities(&self) -> &[PathBuf] {
        &self.surroundings.identities
    }

    pub(super) fn asker(&self) -> Asker<'_> {
        Asker {
            supplier: &self.supplier,
        }
    }

    /// The client for all requests of this command.
    pub(super) fn client(&self) -> Client {
        Client::new(ClientConfig {
            timeout: self.timeout,
            per_minute: self.per_minute,
            progress: Box::new(Teller { ui: self.ui.clone() }),
        })
    }

    /// What places are worked on with.
    pub(super) fn means(&self) -> Means {
        Means {
            host: child::host(),
            limit: self.timeout,
            vault: places::vault(),
            cluster: places::cluster(),
        }
    }

    /// Runs the asynchronous part of a command.
    pub(super) fn block_on<T>(&self, future: impl Future<Output = T>) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(Exit::Other, "runtime", format!("cannot start: {error}")))?;
        Ok(runtime.block_on(future))
    }

    /// Reads a file that a user named, or stdin for `-`.
    pub(super) fn input(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
        if path == Path::new("-") {
            if input::is_terminal() {
                self.ui.say("reading from the terminal; end with Ctrl-D");
            }
            return input::read(INPUT_LIMIT)
                .map_err(|error| Failure::new(Exit::Other, "stdin", format!("cannot read stdin: {error}")));
        }
        Ok(files::read(path, INPUT_LIMIT)?)
    }

    /// Writes to the audit log. A log that cannot be written is told of, but undoes nothing.
    pub(super) fn log(
        &self,
        vault: &Vault,
        action: &'static str,
        name: Option<&CredentialName>,
        fingerprint: Option<&str>,
        detail: Option<String>,
    ) {
        self.record(
            vault,
            log::Event {
                actor: None,
                action,
                name: name.cloned(),
                fingerprint: fingerprint.map(str::to_owned),
                detail,
                format: None,
            },
        );
    }

    /// The same of any event, with who does it.
    pub(super) fn record(&self, vault: &Vault, event: log::Event) {
        record(&self.ui, vault, event);
    }

    /// The same of several, written at once.
    pub(super) fn record_all(&self, vault: &Vault, events: Vec<log::Event>) {
        record_all(&self.ui, vault, events);
    }

    /// Refuses, before anybody types a passphrase, what has to be confirmed and cannot be.
    pub(super) fn check_confirmable(&self) -> Result<(), Failure> {
        if self.yes || self.may_ask() {
            return Ok(());
        }
        Err(Failure::usage("no terminal to confirm on").hint("say --yes if you mean it"))
    }

    /// Asks yes or no. Nobody to ask is no answer: somebody has to come.
    pub(super) fn confirm(&self, question: &str, what: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !self.may_ask() {
            return Err(Failure::new(
                Exit::Waiting,
                "not_confirmed",
                format!("somebody has to confirm the {what}, and there is no terminal to ask on"),
            )
            .hint("say --yes if they are as they should be"));
        }
        let answer = terminal::ask(&format!("{}{question} [y/N] ", self.supplier.named()))
            .map_err(|error| Failure::new(Exit::Other, "terminal", format!("cannot ask: {error}")))?;
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Other,
            "not_confirmed",
            "not confirmed; nothing was changed",
        ))
    }

    /// Makes sure that the user means it.
    pub(super) fn confirm_by_typing(&self, name: &str, what: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        self.check_confirmable()?;
        let question = format!(
            "{}Type the name to {what} ({}): ",
            self.supplier.named(),
            quoted::shown(name)
        );
        let answer = terminal::ask(&question)
            .map_err(|error| Failure::new(Exit::Other, "terminal", format!("cannot ask: {error}")))?;
        if answer == name {
            Ok(())
        } else {
            Err(Failure::new(
                Exit::Other,
                "not_confirmed",
                "not confirmed; nothing was changed",
            ))
        }
    }
}

/// Where the vault is: where the flag says, the environment, or the system's custom.
pub(super) fn vault_directory(flag: Option<&Path>) -> Result<PathBuf, Failure> {
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
pub(super) fn choose_instant() {
    let number = std::env::var("DFNS_KEYS_TEST_STOP_AT").ok();
    if let Some(number) = number.and_then(|number| number.parse().ok()) {
        crate::sys::instants::stop_at(number);
    }
}

/// Writes to the audit log who did what.
fn record(ui: &Ui, vault: &Vault, event: log::Event) {
    record_all(ui, vault, vec![event]);
}

fn record_all(ui: &Ui, vault: &Vault, mut events: Vec<log::Event>) {
    if events.is_empty() {
        return;
    }
    let actor = ["USER", "LOGNAME", "USERNAME"]
        .into_iter()
        .find_map(|variable| std::env::var(variable).ok())
        .filter(|name| !name.is_empty())
        .map(|name| quoted::shown(&name));
    for event in &mut events {
        event.actor.clone_from(&actor);
        event.detail = event.detail.take().map(|detail| quoted::without_secrets(&detail));
    }
    if let Err(error) = vault.record_events(&events) {
        let failure = Failure::from(error);
        ui.warn(&format!("the audit log could not be written: {}", failure.message));
    }
}

struct Teller {
    ui: Ui,
}

impl Witness for Teller {
    fn rollback_accepted(&self, vault: &Vault, what: &str) {
        self.ui.warn(&format!("accepted: {what}"));
        self.record(vault, "rollback-accepted", what.to_owned());
    }

    fn recipient_added(&self, vault: &Vault, recipient: &RecipientText) {
        self.record(vault, "recipient-added", recipient.to_string());
    }

    fn recipient_removed(&self, vault: &Vault, recipient: &RecipientText) {
        self.record(vault, "recipient-removed", recipient.to_string());
    }
}

impl Teller {
    fn record(&self, vault: &Vault, action: &'static str, detail: String) {
        let event = log::Event {
            actor: None,
            action,
            name: None,
            fingerprint: None,
            detail: Some(detail),
            format: None,
        };
        record(&self.ui, vault, event);
    }
}

impl Progress for Teller {
    fn waiting(&self, reason: &ApiError, wait: Duration) {
        if wait >= Duration::from_secs(1) || self.ui.verbose() {
            self.ui
                .say(&format!("  {reason}; trying again in {:.1} s", wait.as_secs_f64()));
        }
    }

    fn answered(&self, method: &str, path: &str, status: u16, elapsed: Duration) {
        if self.ui.verbose() {
            let path = quoted::path(Path::new(path.split('?').next().unwrap_or_default()));
            self.ui
                .say(&format!("  {method} {path}: {status}, {} ms", elapsed.as_millis()));
        }
    }
}
