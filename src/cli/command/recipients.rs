use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::vault::{Member, RecipientError, RecipientText, Repair, Resealed, Synced, Unlocked, Vault, check_label};

/// Say who may open the vault
#[derive(Args)]
#[command(
    after_help = "Examples:\n  dfns-keys recipients list\n  dfns-keys recipients add age1… --label 'alice, laptop'\n  \
                  dfns-keys recipients sync"
)]
pub(in crate::cli) struct RecipientsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List those who may open the vault, as recipients.txt has them
    List {
        /// Check the list, and print its digest, for a machine that only seals (DFNS_KEYS_RECIPIENTS); with --json the vault's id
        /// and epoch, too (DFNS_KEYS_VAULT_ID)
        #[arg(long)]
        digest: bool,
    },
    /// Add a recipient and seal everything again
    Add {
        /// An age recipient or an SSH public key
        recipient: String,
        /// What people call it
        #[arg(long, value_name = "TEXT")]
        label: Option<String>,
    },
    /// Remove a recipient and seal everything again
    ///
    /// Withdraw its write access to the vault first. It may have kept what it could read: rotate the credentials it could open.
    Remove {
        /// As `recipients list` shows it
        recipient: String,
    },
    /// Finish a change that was cut short, put back a list that was tampered with, move a vault of version 1
    Sync,
}

impl RecipientsArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        context.supplier.insist();
        let vault = match &self.action {
            Action::Sync => context.vault_to_repair().await?,
            _ => context.vault().await?,
        };
        match &self.action {
            Action::List { digest: false } => list(context, &vault).await,
            Action::List { digest: true } => {
                let unlocked = context.unlock(&vault).await?;
                let digest = unlocked.list_digest().await?;
                if context.ui.json() {
                    let mut document = outcome(&unlocked).await?;
                    document["digest"] = json!(digest);
                    context.ui.document(&document)?;
                } else {
                    context.ui.answer(&digest)?;
                }
                Ok(Exit::Done)
            }
            Action::Add { recipient, label } => {
                if let Some(label) = label {
                    check_label(label)?;
                }
                let member = Member {
                    label: label.clone(),
                    ..Member::new(recipient.parse()?)
                };
                add(context, &vault, member).await
            }
            Action::Remove { recipient } => remove(context, &vault, &recipient.parse()?).await,
            Action::Sync => sync(context, &vault).await,
        }
    }
}

pub(super) fn recipients_of(members: &[Member]) -> Vec<RecipientText> {
    members.iter().map(|member| member.recipient.clone()).collect()
}

async fn list(context: &Context, vault: &Vault) -> Result<Exit, Failure> {
    let members = vault.listed_members().await?;
    let listed = Listed {
        recipients: recipients_of(&members),
        labels: members.iter().map(|member| member.label.as_deref()).collect(),
        authenticated: "unchecked",
    };
    context.ui.emit(&listed, |ui| {
        ui.say(
            "Whoever has the key to one of these can open the vault; the passphrase opens the vault's own. So says recipients.txt; `--digest` checks it.",
        );
        // A script reads the recipient alone where there is nothing to say of it.
        let read_by_a_person = ui.stdout_is_terminal();
        for member in &members {
            let unnamed = read_by_a_person && member.label.is_none() && !member.own;
            let rest = if unnamed { "  (no label)" } else { "" };
            ui.answer(&format!("{}{rest}", line(member)))?;
        }
        Ok(())
    })
}

#[derive(Serialize)]
struct Listed<'a> {
    recipients: Vec<RecipientText>,
    labels: Vec<Option<&'a str>>,
    authenticated: &'static str,
}

fn line(member: &Member) -> String {
    match (&member.label, member.own) {
        (Some(label), _) => format!("{}  {label}", member.recipient),
        (None, true) => format!("{}  the vault's own", member.recipient),
        (None, false) => member.recipient.to_string(),
    }
}

async fn add(context: &Context, vault: &Vault, member: Member) -> Result<Exit, Failure> {
    let unlocked = context.unlock(vault).await?;
    let recipient = member.recipient.clone();
    if let Some(resealed) = move_to_version_2(context, &unlocked, Some(&member)).await? {
        // One that was on the list of version 1, its adding cut short perhaps, has come along.
        if unlocked
            .members()
            .await?
            .iter()
            .any(|known| known.recipient == recipient)
        {
            return conclude(context, &unlocked, resealed).await;
        }
        resealed.complete()?;
    }
    let resealed = with_progress(context, async |watch| unlocked.add_recipient(member, watch).await).await?;
    if !resealed.changed {
        say_unchanged(context, "it is a recipient already");
    }
    conclude(context, &unlocked, resealed).await
}

/// What was asked for had been done, by a run that was cut short perhaps.
fn say_unchanged(context: &Context, why: &str) {
    context.ui.say(&format!(
        "The list of recipients is as it was: {why}. What an earlier change left is sealed again."
    ));
}

async fn remove(context: &Context, vault: &Vault, recipient: &RecipientText) -> Result<Exit, Failure> {
    let listed = vault.listed_members().await?;
    match listed.iter().find(|member| member.recipient == *recipient) {
        // One that a run which was cut short took out is gone for good when everything is sealed again.
        None if !vault.list().await?.iter().any(|listed| listed.outdated) => {
            return Err(RecipientError::NotListed(recipient.clone()).into());
        }
        Some(member) if member.own => {
            return Err(crate::vault::VaultError::OwnRecipient(recipient.clone()).into());
        }
        None | Some(_) => {}
    }
    let unlocked = current(context, vault).await?;
    let resealed = with_progress(context, async |watch| unlocked.remove_recipient(recipient, watch).await).await?;
    if !resealed.changed {
        say_unchanged(
            context,
            "it is no recipient. If it was one, it may have kept what it could open: rotate those credentials",
        );
        return conclude(context, &unlocked, resealed).await;
    }
    if !context.ui.json() {
        context.ui.say(
            "What it could open before, it may have kept: rotate those credentials. While it can still write to the vault, \
             it can mislead machines that have not seen this change: withdraw that first.",
        );
    }
    conclude(context, &unlocked, resealed).await
}

async fn sync(context: &Context, vault: &Vault) -> Result<Exit, Failure> {
    let examined = context
        .ask_until_right(vault, async |asker| vault.examine(context.identities(), asker).await)
        .await?;
    let unlocked = match examined {
        Synced::Sound(unlocked) => unlocked,
        Synced::Broken(repair) => put_back(context, vault, *repair).await?,
    };
    context.meet(&unlocked);
    let moved = move_to_version_2(context, &unlocked, None).await?;
    let resealed = if let Some(resealed) = moved {
        resealed
    } else {
        unlocked.finish_identity(&context.asker()).await?;
        with_progress(context, async |watch| unlocked.sync(watch).await).await?
    };
    conclude(context, &unlocked, resealed).await
}

async fn put_back<'v>(context: &Context, vault: &'v Vault, repair: Repair) -> Result<Unlocked<'v>, Failure> {
    context
        .ui
        .say(&format!("recipients.txt is not as members left it: {}", repair.change));
    if repair.undoes_a_rollback {
        context
            .ui
            .say("Somebody put an older list back; a member, perhaps, who meant it. This is the newer one:");
    } else if !repair.is_known {
        context
            .ui
            .say("This machine has not seen the list that it goes back to:");
    }
    if repair.undoes_a_rollback || !repair.is_known {
        for member in repair.members() {
            context.ui.say(&format!("  {}", line(member)));
        }
        context.confirm("Put it back?", "recipients")?;
    }
    let unlocked = vault.repair(repair).await?;
    context.log(vault, "recipients-put-back", None, None, None);
    context.ui.say("It is as members left it again.");
    Ok(unlocked)
}

/// The vault, moved to version 2 where it is of version 1.
pub(super) async fn current<'v>(context: &Context, vault: &'v Vault) -> Result<Unlocked<'v>, Failure> {
    let unlocked = context.unlock(vault).await?;
    if let Some(resealed) = move_to_version_2(context, &unlocked, None).await? {
        resealed.complete()?;
    }
    Ok(unlocked)
}

async fn move_to_version_2(
    context: &Context,
    unlocked: &Unlocked<'_>,
    added: Option<&Member>,
) -> Result<Option<Resealed>, Failure> {
    let Some(members) = unlocked.unconfirmed_members().await? else {
        return Ok(None);
    };
    context.ui.say(
        "This vault is of version 1, in which nobody vouched for the list of recipients. It is moved to version 2 once. These can \
         open it, and will:",
    );
    for member in &members {
        context.ui.say(&format!("  {}", line(member)));
    }
    context.confirm("Is every one of them meant to?", "recipients")?;
    let resealed = with_progress(context, async |watch| {
        unlocked
            .move_to_version_2(&members, added, &context.asker(), watch)
            .await
    })
    .await?;
    context.log(unlocked.vault(), "moved-to-version-2", None, None, None);
    Ok(Some(resealed))
}

/// Runs what seals everything again, with a bar.
pub(super) async fn with_progress<T>(
    context: &Context,
    work: impl AsyncFnOnce(&(dyn Fn(usize, usize) + Sync)) -> Result<T, crate::vault::VaultError>,
) -> Result<T, Failure> {
    let progress = context.ui.progress(0, "sealing again");
    let watch = |done: usize, total: usize| {
        progress.set_length(total as u64);
        progress.set_position(done as u64);
    };
    let outcome = work(&watch).await;
    progress.finish_and_clear();
    Ok(outcome?)
}

/// Says what was sealed again, or fails with what was not.
pub(super) async fn conclude(context: &Context, unlocked: &Unlocked<'_>, resealed: Resealed) -> Result<Exit, Failure> {
    let count = resealed.complete()?;
    if context.ui.json() {
        let mut document = outcome(unlocked).await?;
        document["sealed_again"] = json!(count);
        context.ui.document(&document)?;
    } else {
        context.ui.say(&format!("Sealed {count} credentials again."));
    }
    Ok(Exit::Done)
}

async fn outcome(unlocked: &Unlocked<'_>) -> Result<Value, Failure> {
    let members = unlocked.members().await?;
    Ok(json!({
        "recipients": recipients_of(&members),
        "vault_id": unlocked.id(),
        "epoch": unlocked.epoch(),
    }))
}
