mod report;
mod to;

use clap::Args;

use self::to::To;
use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::many::{self, Outcomes};
use crate::model::credential::{AnyCredential, Kind, State};
use crate::model::delivery::Delivery;
use crate::model::ids::CredentialName;
use crate::model::target::Target;
use crate::sys::child;
use crate::vault::{Unlocked, Vault, VaultError};
use crate::workflow::deliver::{self as job, Courier, NameError, Outcome};

/// How many credentials are worked on at once.
const AT_ONCE: usize = 8;

/// Bring a credential to the places that use it
///
/// Puts the key and token that are active wherever the credential's places are behind, reads them back where that can be done, and
/// leaves a receipt; nothing is promoted or retired. A place is named once with --to and sealed with the credential; `rotate` delivers to
/// it too, and retires no key that a place still has. Exit code 7 while a place is behind.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  dfns-keys deliver payments-api --to 'file:/etc/payments/dfns.env?owner=payments' --then 'systemctl reload payments'\n  \
                  dfns-keys deliver payments-api --check\n  dfns-keys deliver --all   (from cron, on every machine that has such files)"
)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["names", "all"])))]
pub(in crate::cli) struct DeliverArgs {
    /// The credentials
    names: Vec<CredentialName>,
    /// Every credential of the vault that has places
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    to: To,
    /// Look whether the places have what is active, and put nothing; exit code 8 where one has not
    #[arg(long, conflicts_with_all = ["to", "forget"])]
    check: bool,
    /// Deliver to this place no more; what it has is left there
    #[arg(long, value_name = "TARGET", value_parser = to::target, conflicts_with = "to")]
    forget: Vec<Target>,
}

type Results = Outcomes<Vec<Outcome>>;

impl DeliverArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        if (!self.to.places.is_empty() || !self.forget.is_empty()) && (self.all || self.names.len() != 1) {
            return Err(Failure::usage(
                "a place is one credential's: name just that one with --to or --forget",
            ));
        }
        let vault = context.vault().await?;
        let mut results = Results::new();
        let names = if self.all {
            self.due(&vault, &mut results).await?
        } else {
            for name in &self.names {
                super::usable_record(&vault, name).await?;
            }
            self.names.clone()
        };
        if let [name] = &names[..]
            && !self.to.places.is_empty()
        {
            self.check_free(&vault, name).await?;
        }
        let unlocked = context.unlock(&vault).await?;
        let means = context.means();
        let courier = Courier {
            means: &means,
            clock: vault.clock(),
        };
        let items = names.iter().map(|name| (name, name));
        let done = many::each(&context.ui, "delivering", AT_ONCE, items, async |name| {
            self.one(context, &unlocked, &courier, name).await
        })
        .await;
        results.extend(done);
        self.report(context, results)
    }

    /// Those of all that have places, and those that cannot even be looked at, which stop no other.
    async fn due(&self, vault: &Vault, results: &mut Results) -> Result<Vec<CredentialName>, Failure> {
        let mut due = Vec::new();
        for name in vault.names().await? {
            match vault.record(&name).await {
                Ok(record) if record.kind == Kind::User || record.state == State::Pending => {}
                Ok(record) if record.deliveries.is_empty() => {}
                Ok(_) => due.push(name),
                Err(error) => results.push((name, Err(error.into()))),
            }
        }
        Ok(due)
    }

    /// Refuses a place that another credential is delivered to: each would put the other's in its way.
    async fn check_free(&self, vault: &Vault, name: &CredentialName) -> Result<(), Failure> {
        let host = child::host();
        for listed in vault.list().await? {
            let Ok(record) = listed.record else { continue };
            for (target, _) in &self.to.places {
                let target = target.clone().on(&host);
                let taken = record
                    .deliveries
                    .iter()
                    .find(|delivery| delivery.target.same_place(&target));
                if record.name != *name
                    && let Some(taken) = taken
                {
                    return Err(place_taken(&record.name, &taken.target));
                }
            }
        }
        Ok(())
    }

    async fn one(
        &self,
        context: &Context,
        unlocked: &Unlocked<'_>,
        courier: &Courier<'_>,
        name: &CredentialName,
    ) -> Result<Vec<Outcome>, Failure> {
        if self.check {
            let credential = unlocked.get(name).await?;
            return Ok(courier.check_any(&credential).await?);
        }
        let vault = unlocked.vault();
        let lease = vault.lease(name, &format!("deliver {name}")).await?;
        let mut edit = unlocked.edit(lease).await?;
        let mut credential = edit
            .take()
            .ok_or_else(|| Failure::from(VaultError::NoSuchCredential(name.clone())))?;
        if unlocked.id().is_none() && (!self.to.places.is_empty() || !credential.deliveries().is_empty()) {
            return Err(VaultError::VersionOne.into());
        }
        let host = &courier.means.host;
        if !self.forget.is_empty() {
            for target in &self.forget {
                let target = target.clone().on(host);
                if !job::forget(&mut credential, &target).map_err(|error| super::unusable(name, error))? {
                    return Err(
                        Failure::new(Exit::State, "no_such_place", format!("{name} has no place {target}"))
                            .hint(format!("`dfns-keys show {name} --json` lists its places")),
                    );
                }
                context
                    .ui
                    .say(&format!("  {target} is forgotten; what it has is still there"));
                context.log(vault, "forgot-place", Some(name), None, Some(target.to_string()));
            }
            edit.put(&credential).await?;
            return Ok(recorded(&credential));
        }
        let mut named = Vec::new();
        for (target, then) in &self.to.places {
            let target = target.clone().on(host);
            job::name(&mut credential, &target, then.as_deref()).map_err(|error| match error {
                NameError::Unusable(error) => super::unusable(name, error),
                NameError::Held(error) => error.into(),
                NameError::Taken(taken) => place_taken(name, &taken),
            })?;
            if target.kind().is_write_only() {
                context.ui.say(&format!(
                    "  {target} cannot be read back: that it was taken is all that is known"
                ));
            }
            named.push(target);
        }
        if !named.is_empty() {
            edit.put(&credential).await?;
        }
        let choose = |place: &Delivery| !place.forgotten && (named.is_empty() || named.contains(&place.target));
        let outcomes = courier.deliver_any(&mut credential, &mut edit, choose).await?;
        tell_log(context, vault, name, &outcomes);
        Ok(outcomes)
    }
}

/// Whatever is delivered there already, two would each put theirs in the other's way.
fn place_taken(name: &CredentialName, taken: &Target) -> Failure {
    Failure::new(
        Exit::State,
        "place_taken",
        format!("{name} is delivered to {taken} already"),
    )
    .hint(format!(
        "choose another place, or `dfns-keys deliver {name} --forget '{taken}'` first"
    ))
}

/// Writes down what arrived.
fn tell_log(context: &Context, vault: &Vault, name: &CredentialName, outcomes: &[Outcome]) {
    for outcome in outcomes.iter().filter(|outcome| outcome.arrived) {
        let fingerprint = outcome.fingerprint.as_deref();
        let place = Some(outcome.target.to_string());
        context.log(vault, "delivered", Some(name), fingerprint, place);
    }
}

fn recorded(credential: &AnyCredential) -> Vec<Outcome> {
    let fingerprint = match credential {
        AnyCredential::Active(credential) => &credential.current.public_key.fingerprint,
        AnyCredential::Rotating(credential) => &credential.current.active.public_key.fingerprint,
        AnyCredential::Pending(_) | AnyCredential::User(_) => return Vec::new(),
    };
    let places = credential.deliveries().iter().filter(|place| !place.forgotten);
    places.map(|place| Outcome::recorded(place, fingerprint)).collect()
}
