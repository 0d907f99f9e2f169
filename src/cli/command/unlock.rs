use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::model::duration::Span;
use crate::sys::session::{self, Reach, SessionError};
use crate::vault::Vault;

/// A working day, and the night for those who forget.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Ask for the passphrase once, for a while
///
/// Keeps the vault's identity (not the passphrase) in the Linux kernel's session keyring, which forgets it by itself. Until then any program of this login
/// session can open the vault. `rekey`, `recipients` and `export --reveal` ask for the passphrase all the same.
#[derive(Args)]
#[command(after_help = "Examples:\n  dfns-keys unlock\n  dfns-keys unlock --for 8h")]
pub(in crate::cli) struct UnlockArgs {
    /// For how long
    #[arg(long = "for", value_name = "DURATION", default_value = "15m")]
    time: Span,
}

/// Forget what `unlock` keeps, of every vault
#[derive(Args)]
#[command(after_help = "Example:\n  dfns-keys lock")]
pub(in crate::cli) struct LockArgs {}

impl UnlockArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        if !context.identities().is_empty() {
            return Err(Failure::usage(
                "an identity file opens the vault without a passphrase already",
            ));
        }
        let time = self.time.duration();
        if time.as_secs() == 0 {
            return Err(Failure::usage("--for 0 keeps nothing").hint("`dfns-keys lock` forgets what is kept"));
        }
        if time > LONGEST {
            return Err(Failure::usage("a vault is not left open for more than 24h"));
        }
        let vault = context.vault().await?;
        // Before anybody types a passphrase for nothing.
        session::check()?;
        let (unlocked, text) = context
            .ask_until_right(&vault, async |asker| vault.unlock_to_keep(asker).await)
            .await?;
        context.meet(&unlocked);
        let name = Vault::name_of_place(vault.directory());
        let reach = session::keep(&name, text.as_bytes(), time)?;
        let until = vault.clock().now() + jiff::SignedDuration::from_secs(time.as_secs().cast_signed());
        let (reach, told) = match reach {
            Reach::Session => (
                "session",
                format!(
                    "The vault is open to the programs of this login session for {}.",
                    self.time
                ),
            ),
            Reach::User => (
                "user",
                format!(
                    "The vault is open for {} to all programs that you run outside a login session: this one has no keyring of its own.",
                    self.time
                ),
            ),
        };
        let open = Open {
            unlocked_until: until,
            reach,
        };
        context
            .ui
            .emit_said(&open, &format!("{told}\n  shut it:  dfns-keys lock"))
    }
}

#[derive(Serialize)]
struct Open {
    unlocked_until: jiff::Timestamp,
    reach: &'static str,
}

#[derive(Serialize)]
struct Shut {
    locked: bool,
}

impl LockArgs {
    pub(super) fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let Self {} = self;
        let was_kept = match session::forget_all() {
            Ok(was_kept) => was_kept,
            // Where nothing can be kept, nothing is.
            Err(SessionError::Unavailable(_)) => false,
            Err(error) => return Err(error.into()),
        };
        let told = if was_kept {
            "Nothing is kept open any more: the passphrase is asked for again."
        } else {
            "Nothing was kept open in this session."
        };
        context.ui.emit_said(&Shut { locked: true }, told)
    }
}
