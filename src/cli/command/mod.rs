//! The commands: one file each, one struct of arguments and one function that runs it.

mod account;
mod apply;
mod call;
mod completions;
mod context;
mod dashboard;
mod deliver;
#[cfg(feature = "sandbox")]
mod demo;
mod enroll;
mod exec;
mod export;
mod generate;
mod import;
mod init;
mod list;
mod log;
mod man;
pub(super) mod manifest;
mod onboard;
mod plan;
mod provision;
mod proxy;
mod public_key;
mod recipients;
mod rekey;
mod remove;
mod rename;
mod rotate;
#[cfg(feature = "sandbox")]
mod sandbox;
mod show;
mod status;
mod unlock;
mod vault;
mod verify;

use clap::Subcommand;

use super::context::Context;
use super::error::{Exit, Failure};
use super::slips;
use crate::model::credential::{ActiveGeneration, Environment, Kind, State, Unusable};
use crate::model::ids::CredentialName;
use crate::model::record::PublicRecord;
use crate::vault::{Unlocked, Vault, VaultError};
use crate::workflow::administrator::AdministratorError;

#[derive(Subcommand)]
pub(super) enum Command {
    Init(init::InitArgs),
    Onboard(onboard::OnboardArgs),
    Rotate(rotate::RotateArgs),
    Deliver(deliver::DeliverArgs),
    Plan(plan::PlanArgs),
    Apply(apply::ApplyArgs),
    Export(export::ExportArgs),
    Exec(exec::ExecArgs),
    Call(call::CallArgs),
    Proxy(proxy::ProxyArgs),
    Enroll(enroll::EnrollArgs),
    Import(import::ImportArgs),
    Account(account::AccountArgs),
    Status(status::StatusArgs),
    Verify(verify::VerifyArgs),
    List(list::ListArgs),
    Show(show::ShowArgs),
    Remove(remove::RemoveArgs),
    Log(log::LogArgs),
    Recipients(recipients::RecipientsArgs),
    Rekey(rekey::RekeyArgs),
    Rename(rename::RenameArgs),
    Context(context::ContextArgs),
    Unlock(unlock::UnlockArgs),
    Lock(unlock::LockArgs),
    Vault(vault::VaultArgs),
    Generate(generate::GenerateArgs),
    PublicKey(public_key::PublicKeyArgs),
    #[cfg(feature = "sandbox")]
    Sandbox(sandbox::SandboxArgs),
    #[cfg(feature = "sandbox")]
    Demo(demo::DemoArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

impl Command {
    /// Whether a program is run that is to have the descriptors that this process was started with.
    pub(super) fn passes_descriptors_on(&self) -> bool {
        matches!(self, Self::Exec(_))
    }

    /// Whether it goes by a context at all, so that one which cannot be had stops it.
    pub(super) fn goes_by_a_context(&self) -> bool {
        match self {
            Self::Context(_) | Self::Lock(_) | Self::Completions(_) | Self::Man(_) | Self::Generate(_) => false,
            #[cfg(feature = "sandbox")]
            Self::Sandbox(_) | Self::Demo(_) => false,
            _ => true,
        }
    }

    /// Whether it keeps something in the login session, or forgets it.
    pub(super) fn works_on_the_session(&self) -> bool {
        matches!(self, Self::Unlock(_) | Self::Lock(_))
    }

    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Init(args) => args.run(context).await,
            Self::Onboard(args) => args.run(context).await,
            Self::Rotate(args) => args.run(context).await,
            Self::Deliver(args) => args.run(context).await,
            Self::Plan(args) => args.run(context).await,
            Self::Apply(args) => args.run(context).await,
            Self::Export(args) => args.run(context).await,
            Self::Exec(args) => args.run(context).await,
            Self::Call(args) => args.run(context).await,
            Self::Proxy(args) => args.run(context).await,
            Self::Enroll(args) => args.run(context).await,
            Self::Import(args) => args.run(context).await,
            Self::Account(args) => args.run(context).await,
            Self::Status(args) => args.run(context).await,
            Self::Verify(args) => args.run(context).await,
            Self::List(args) => args.run(context).await,
            Self::Show(args) => args.run(context).await,
            Self::Remove(args) => args.run(context).await,
            Self::Log(args) => args.run(context).await,
            Self::Recipients(args) => args.run(context).await,
            Self::Rekey(args) => args.run(context).await,
            Self::Rename(args) => args.run(context).await,
            Self::Context(args) => args.run(context),
            Self::Unlock(args) => args.run(context).await,
            Self::Lock(args) => args.run(context),
            Self::Vault(args) => args.run(context).await,
            Self::Generate(args) => args.run(context).await,
            Self::PublicKey(args) => args.run(context).await,
            #[cfg(feature = "sandbox")]
            Self::Sandbox(args) => args.run(context).await,
            #[cfg(feature = "sandbox")]
            Self::Demo(args) => args.run(context),
            Self::Completions(args) => args.run(context),
            Self::Man(args) => args.run(context),
        }
    }
}

/// Key and token of a credential that programs can use, with a word on a token that ends soon.
async fn usable(
    context: &Context,
    unlocked: &Unlocked<'_>,
    name: &CredentialName,
) -> Result<(Environment, ActiveGeneration), Failure> {
    let usable = unlocked
        .get(name)
        .await?
        .into_usable()
        .map_err(|error| unusable(name, error))?;
    let ends = usable.1.token.claims().expires_at;
    context.warn_of_end_of(unlocked.vault().clock().now(), ends.map(|at| (name, at)));
    Ok(usable)
}

/// The public record of what programs are to use. What it rules out is told before anybody types a passphrase.
async fn usable_record(vault: &Vault, name: &CredentialName) -> Result<PublicRecord, Failure> {
    let record = vault.record(name).await?;
    if record.kind == Kind::User {
        return Err(unusable(name, Unusable::User));
    }
    if record.state == State::Pending {
        return Err(unusable(name, Unusable::NoToken));
    }
    Ok(record)
}

fn unusable(name: &CredentialName, error: Unusable) -> Failure {
    match error {
        Unusable::NoToken => Failure::new(Exit::State, "pending", format!("{name} has no token yet"))
            .hint(format!("finish it with `dfns-keys onboard {name}`")),
        Unusable::User => Failure::new(
            Exit::State,
            "is_user",
            format!("{name} is a user, who logs in and has no lasting token"),
        )
        .hint("hand over a service account or a personal access token instead"),
    }
}

/// The user to act as: who was named, the context's, or the only one there is.
async fn administrator(
    context: &Context,
    vault: &Vault,
    named: Option<&CredentialName>,
) -> Result<CredentialName, Failure> {
    if let Some(admin) = named.or(context.admin()) {
        check_administrator(vault, admin).await?;
        return Ok(admin.clone());
    }
    let users: Vec<CredentialName> = vault
        .list()
        .await?
        .into_iter()
        .filter(|listed| listed.record.as_ref().is_ok_and(|record| record.kind == Kind::User))
        .map(|listed| listed.name)
        .collect();
    match &users[..] {
        [only] => Ok(only.clone()),
        [] => Err(
            Failure::new(Exit::State, "no_user", "no user is enrolled in this vault")
                .hint("enroll one with `dfns-keys enroll ADMIN`, or do it in the dashboard"),
        ),
        _ => Err(Failure::usage("several users are enrolled: say which with --as ADMIN")),
    }
}

/// Makes sure, before anybody types a passphrase, that `--as` names somebody who may be one.
async fn check_administrator(vault: &Vault, name: &CredentialName) -> Result<(), Failure> {
    let record = match vault.record(name).await {
        Ok(record) => record,
        Err(error) => {
            let unknown = matches!(error, VaultError::NoSuchCredential(_));
            let mut failure = Failure::from(error);
            if unknown {
                failure.missing = None;
                let way = format!("enroll a user with `dfns-keys enroll {name}`");
                let meant = slips::nearest(vault, name, |record| record.kind == Kind::User).await;
                failure.hint = Some(match meant {
                    Some(meant) => format!("did you mean {meant}? if not, {way}"),
                    None => way,
                });
            }
            return Err(failure);
        }
    };
    if record.kind != Kind::User {
        return Err(AdministratorError::NotAUser {
            name: name.clone(),
            kind: record.kind.in_words(),
        }
        .into());
    }
    if record.state == State::Pending {
        return Err(AdministratorError::NotEnrolled(name.clone()).into());
    }
    Ok(())
}
