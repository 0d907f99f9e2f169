use clap::{Args, ValueEnum};

use super::dashboard;
use super::manifest::{self, Entry};
use super::provision;
use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::input::Input;
use crate::cli::record::document;
use crate::cli::slips;
use crate::model::credential::{Kind, State};
use crate::model::ids::{ApplicationId, CredentialName, ExternalId, OrganisationId};
use crate::model::key_uri::KeyUri;
use crate::model::record::PublicRecord;
use crate::model::token::AuthToken;
use crate::model::url::{ApiUrl, Origin};
use crate::vault::{Edit, NameLease, Vault, VaultError};
use crate::workflow::onboard::{self, OnboardError, Onboarded, Pending};
use crate::workflow::settings::Asked;

/// Make a key, get its token, prove the pair
///
/// The token comes from the dashboard, or from the API. The key is sealed before its public half is shown. Stop whenever you like: the same command goes on with the same
/// key. In scripts, run it with --prepare first and with --token-file once a person has the token. With --as all of it
/// goes through the API, for any number of names at once.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  dfns-keys onboard payments-api\n  dfns-keys onboard payments-api --prepare > public.pem\n  \
                  dfns-keys onboard payments-api --token-file token.txt\n  dfns-keys onboard billing reports --as ops-admin \
                  --permission pm-…\n  dfns-keys onboard --from accounts.csv --as ops-admin"
)]
pub(in crate::cli) struct OnboardArgs {
    /// The credential's name, here and best in the dashboard too; several with --as
    #[arg(required_unless_present = "from")]
    names: Vec<CredentialName>,
    /// What to make [default: service-account]
    #[arg(long)]
    kind: Option<KindArg>,
    /// Where the API is [env: DFNS_KEYS_API_URL] [default: the administrator's, the context's, or https://api.dfns.io]
    #[arg(long, value_name = "URL")]
    api_url: Option<ApiUrl>,
    /// The application's id, where one is configured
    #[arg(long, value_name = "ID")]
    app_id: Option<ApplicationId>,
    /// The application's origin [env: DFNS_KEYS_ORIGIN] [default: the administrator's, the context's, or https://app.dfns.io]
    #[arg(long, value_name = "URL")]
    origin: Option<Origin>,
    /// The organisation that the token must belong to
    #[arg(long, value_name = "ID")]
    org_id: Option<OrganisationId>,
    /// Make the key at this address, where it is held and never leaves; or take the one that is there
    #[arg(long, value_name = "URI", conflicts_with = "from")]
    key: Option<KeyUri>,
    /// Do the first half only: print the public key
    #[arg(long, conflicts_with_all = ["token_file", "admin"])]
    prepare: bool,
    /// Do the second half only: read the token from a file, or from stdin
    #[arg(long, value_name = "FILE|-", conflicts_with = "admin")]
    token_file: Option<Input>,
    /// Make the accounts through the API, as this enrolled user
    #[arg(long = "as", id = "admin", value_name = "ADMIN", conflicts_with_all = ["org_id", "api_url"])]
    admin: Option<CredentialName>,
    /// How many days the tokens live, 1 to 730
    #[arg(long, value_name = "N", requires = "admin", value_parser = clap::value_parser!(u32).range(1..=730))]
    days: Option<u32>,
    /// A permission to assign, by id or name; repeat for more
    #[arg(long, value_name = "ID|NAME", requires = "admin")]
    permission: Vec<String>,
    /// The account's external id; a random one otherwise
    #[arg(long, value_name = "ID", requires = "admin")]
    external_id: Option<ExternalId>,
    /// Names and options of many accounts, as CSV or TOML
    #[arg(long, value_name = "FILE", requires = "admin", conflicts_with = "names")]
    from: Option<Input>,
}

#[derive(Clone, Copy, ValueEnum)]
enum KindArg {
    ServiceAccount,
    Pat,
}

impl From<KindArg> for Kind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::ServiceAccount => Self::ServiceAccount,
            KindArg::Pat => Self::Pat,
        }
    }
}

impl OnboardArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        if let Some(admin) = &self.admin {
            return provision::run(context, admin, self.entries(context)?).await;
        }
        let [name] = &self.names[..] else {
            return Err(Failure::usage("several names need --as ADMIN")
                .hint("by way of the dashboard, onboard them one after the other"));
        };
        let job = DashboardJob { args: self, name };
        let vault = context.vault().await?;
        let lease = vault.lease(name, &format!("onboard {name}")).await?;
        slips::warn_of_twin(context, &vault, name).await;
        if context.seals_only(&vault).await? {
            return job.seal_only(context, &vault, &lease).await;
        }
        if let Some(failure) = job.not_waiting(&vault).await? {
            return Err(failure);
        }
        // Read before the slow unlocking, so that a wrong file is told of at once.
        let token = match &self.token_file {
            Some(path) => Some(dashboard::read_token(context, path)?),
            None => None,
        };
        let unlocked = context.unlock(&vault).await?;
        let edit = unlocked.edit(lease).await?;
        if edit.has_vanished() {
            context.ui.warn(&format!(
                "this machine has seen a credential named {name} whose file is gone; it was not removed by a member"
            ));
        }
        match token {
            Some(token) => job.second_half(context, edit, token).await,
            None if self.prepare => job.first_half(context, edit).await,
            None => job.both_halves(context, edit).await,
        }
    }

    /// What is to be made through the API: from the manifest, or from the names, with the flags for whatever an entry
    /// leaves out.
    fn entries(&self, context: &Context) -> Result<Vec<Entry>, Failure> {
        let mut entries = match &self.from {
            Some(path) => manifest::read(context, path)?,
            None => self.names.iter().cloned().map(Entry::named).collect(),
        };
        if self.external_id.is_some() && entries.len() > 1 {
            return Err(Failure::usage("--external-id is for one account: it is unique at Dfns"));
        }
        if self.key.is_some() && entries.len() > 1 {
            return Err(Failure::usage(
                "an address is of one key: name just one account beside --key",
            ));
        }
        for entry in &mut entries {
            entry.key.clone_from(&self.key);
            entry.kind = entry.kind.or(self.kind.map(Kind::from));
            entry.days = entry.days.or(self.days);
            if entry.permissions.is_empty() {
                entry.permissions.clone_from(&self.permission);
            }
            entry.external_id = entry.external_id.take().or_else(|| self.external_id.clone());
            entry.origin.clone_from(&self.origin);
            entry.app_id.clone_from(&self.app_id);
        }
        Ok(entries)
    }
}

/// One name by way of the dashboard.
struct DashboardJob<'a> {
    args: &'a OnboardArgs,
    name: &'a CredentialName,
}

impl DashboardJob<'_> {
    fn asked(&self, context: &Context) -> Asked {
        Asked {
            kind: self.args.kind.map(Kind::from),
            api_url: self.args.api_url.clone(),
            origin: self.args.origin.clone(),
            application_id: self.args.app_id.clone(),
            organisation_id: self.args.org_id.clone(),
            key: self.args.key.clone(),
            otherwise: context.defaults(),
        }
    }

    /// Why there is nothing to be done, if there is not: told before anybody types a passphrase.
    async fn not_waiting(&self, vault: &Vault) -> Result<Option<Failure>, Failure> {
        let name = self.name.clone();
        match vault.record(self.name).await {
            Ok(record) if record.state == State::Pending => Ok(None),
            Ok(_) => Ok(Some(OnboardError::AlreadyActive(name).into())),
            Err(VaultError::NoSuchCredential(_)) if self.args.token_file.is_some() => {
                Ok(Some(OnboardError::NotPrepared(name).into()))
            }
            Err(VaultError::NoSuchCredential(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The first half by somebody who can only seal; the second is a member's.
    async fn seal_only(&self, context: &Context, vault: &Vault, lease: &NameLease) -> Result<Exit, Failure> {
        if self.args.token_file.is_some() {
            return Err(VaultError::SealsOnly(self.name.clone()).into());
        }
        let writer = vault.seal_only().await?;
        let (record, fresh) = onboard::prepare_sealed(&writer, lease, &self.asked(context)).await?;
        self.say_key(context, vault, &record, fresh);
        self.show_key(context, &record)?;
        if !context.ui.json() {
            context.ui.say(&format!(
                "Then a member of the vault:  dfns-keys vault adopt {} --fingerprint {}",
                self.name, record.fingerprint
            ));
        }
        Ok(if self.args.prepare { Exit::Done } else { Exit::Waiting })
    }

    fn say_key(&self, context: &Context, vault: &Vault, record: &PublicRecord, fresh: bool) {
        let fingerprint = &record.fingerprint;
        if fresh {
            context.log(vault, "prepared", Some(self.name), Some(fingerprint), None);
            context.ui.say(&match &self.args.key {
                None => format!("  made a key and sealed it   {fingerprint}"),
                Some(key) => format!("  the key is {}   {fingerprint}", key.in_words()),
            });
        } else {
            context.ui.say(&format!("  going on with the key   {fingerprint}"));
        }
    }

    fn show_key(&self, context: &Context, record: &PublicRecord) -> Result<(), Failure> {
        if context.ui.json() {
            return context.ui.document(&document(record));
        }
        context.ui.data(record.public_key.as_bytes())?;
        context.ui.say(&dashboard::instructions(
            record.kind,
            &record.api_url,
            record.name.as_str(),
        ));
        Ok(())
    }

    async fn first_half(&self, context: &Context, edit: Edit<'_>) -> Result<Exit, Failure> {
        let vault = edit.vault();
        let pending = onboard::prepare(edit, &self.asked(context)).await?;
        let record = pending.record();
        self.say_key(context, vault, &record, pending.is_fresh());
        self.show_key(context, &record)?;
        if !context.ui.json() {
            context
                .ui
                .say(&format!("Then: dfns-keys onboard {} --token-file FILE", self.name));
        }
        Ok(Exit::Done)
    }

    async fn second_half(&self, context: &Context, edit: Edit<'_>, token: AuthToken) -> Result<Exit, Failure> {
        let vault = edit.vault();
        if let Some(credential) = edit.credential() {
            self.asked(context)
                .agree_with(&PublicRecord::from(credential))
                .map_err(OnboardError::from)?;
        }
        self.complete(context, vault, onboard::resume(edit)?, token).await
    }

    async fn both_halves(&self, context: &Context, edit: Edit<'_>) -> Result<Exit, Failure> {
        let vault = edit.vault();
        let pending = onboard::prepare(edit, &self.asked(context)).await?;
        let record = pending.record();
        self.say_key(context, vault, &record, pending.is_fresh());
        if !context.may_ask() {
            context.ui.say(&record.public_key);
            context.ui.say(&dashboard::instructions(
                record.kind,
                &record.api_url,
                record.name.as_str(),
            ));
            return Err(Failure::new(
                Exit::Waiting,
                "token_needed",
                format!("{} waits for its token, and there is no terminal to ask on", self.name),
            )
            .hint(format!("dfns-keys onboard {} --token-file FILE", self.name)));
        }
        context.ui.say("  The public key, to paste into the dashboard:\n");
        context.ui.say(&record.public_key);
        context.ui.say(&dashboard::instructions(
            record.kind,
            &record.api_url,
            record.name.as_str(),
        ));
        let token = dashboard::ask_for_token(context, &dashboard::Errand::of(&record))?;
        self.complete(context, vault, pending, token).await
    }

    async fn complete(
        &self,
        context: &Context,
        vault: &Vault,
        pending: Pending<'_>,
        token: AuthToken,
    ) -> Result<Exit, Failure> {
        let kind_and_validity = describe(&token);
        let client = context.client();
        let spinner = context.ui.spinner("making the signed test call");
        let onboarded = onboard::complete(&client, pending, token).await;
        spinner.finish_and_clear();
        let onboarded = onboarded.inspect_err(|error| {
            if let onboard::OnboardError::Refused { refusal, .. } = error {
                context.log(vault, "refused", Some(self.name), None, Some(refusal.to_string()));
            }
        })?;
        let Onboarded {
            record,
            requests,
            elapsed,
        } = onboarded;
        context.log(vault, "onboarded", Some(self.name), Some(&record.fingerprint), None);
        context.warn_of_ends(vault.clock().now(), [&record]);
        if context.ui.json() {
            context.ui.document(&document(&record))?;
            return Ok(Exit::Done);
        }
        let credential = record.credential_id.as_ref().map_or("", |id| id.as_str());
        context.ui.say(&kind_and_validity);
        context.ui.say(&format!(
            "  the signed test call was accepted   {requests} requests, {:.1} s\n  credential   {credential}",
            elapsed.as_secs_f64()
        ));
        context.ui.say(&format!("{} is active.", self.name));
        context
            .ui
            .say(&format!("  check it any time:  dfns-keys verify {}", self.name));
        Ok(Exit::Done)
    }
}

fn describe(token: &AuthToken) -> String {
    let claims = token.claims();
    let of = claims.organisation_id.as_ref().map_or_else(
        || "does not name its organisation".to_owned(),
        |id| format!("belongs to {id}"),
    );
    let until = claims
        .expires_at
        .map_or_else(String::new, |at| format!(", valid until {}", at.strftime("%Y-%m-%d")));
    format!("  the token {of}{until}")
}
