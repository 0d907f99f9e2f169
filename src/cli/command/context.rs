use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::contexts::{self, Contexts, Entry};
use crate::cli::error::{Exit, Failure};
use crate::cli::table::{Column, Table};
use crate::cli::ui::Ui;
use crate::model::ids::{ApplicationId, CredentialName, OrganisationId};
use crate::model::quoted;
use crate::model::url::{ApiUrl, Origin};
use crate::sys::files;

/// Keep sets of settings by name
///
/// A context says which vault to use, how it is opened, and what `onboard`, `enroll` and `import` take for granted. In `config.toml` of
/// `$XDG_CONFIG_HOME/dfns-keys`. A flag goes before the environment, and that before a context, unless `--context` names it.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  dfns-keys context set staging --vault ~/vaults/staging --api-url https://api.dfns.io\n  \
                  dfns-keys context use staging\n  dfns-keys context list"
)]
pub(in crate::cli) struct ContextArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List the contexts
    List,
    /// Make a context, or change what is named of it
    Set(SetArgs),
    /// Make a context the one that counts where none is named
    Use {
        /// The context
        context_name: CredentialName,
    },
    /// Forget a context; its vault stays
    Remove {
        /// The context
        context_name: CredentialName,
    },
}

#[derive(Args)]
struct SetArgs {
    /// The context
    context_name: CredentialName,
    /// Where the API is, for credentials that are begun
    #[arg(long, value_name = "URL")]
    api_url: Option<ApiUrl>,
    /// The origin of the application
    #[arg(long, value_name = "URL")]
    origin: Option<Origin>,
    /// The application
    #[arg(long, value_name = "ID")]
    app_id: Option<ApplicationId>,
    /// The organisation that tokens must belong to
    #[arg(long, value_name = "ID")]
    org_id: Option<OrganisationId>,
    /// Whom `rotate` and `account` act as
    #[arg(long = "as", id = "admin", value_name = "ADMIN")]
    admin: Option<CredentialName>,
}

impl ContextArgs {
    pub(super) fn run(&self, context: &Context) -> Result<Exit, Failure> {
        match &self.action {
            Action::List => list(context),
            Action::Set(args) => args.run(context),
            Action::Use { context_name: name } => {
                contexts::change(|contexts, document| {
                    contexts.get(name)?;
                    contexts::set_default(document, name);
                    Ok(())
                })?;
                done(context, name, &format!("{name} counts where no context is named."))
            }
            Action::Remove { context_name: name } => {
                contexts::change(|contexts, document| {
                    contexts.get(name)?;
                    contexts::remove(document, name);
                    Ok(())
                })?;
                done(
                    context,
                    name,
                    &format!("{name} is forgotten; its vault is where it was."),
                )
            }
        }
    }
}

fn done(context: &Context, name: &CredentialName, told: &str) -> Result<Exit, Failure> {
    context.ui.emit_said(&Changed { context: name }, told)
}

#[derive(Serialize)]
struct Changed<'a> {
    context: &'a CredentialName,
}

#[derive(Serialize)]
struct Listed<'a> {
    contexts: Vec<ListedContext<'a>>,
}

#[derive(Serialize)]
struct ListedContext<'a> {
    name: &'a CredentialName,
    default: bool,
    vault: Option<String>,
    identity: Option<String>,
    api_url: Option<&'a ApiUrl>,
    origin: Option<&'a Origin>,
    app_id: Option<&'a ApplicationId>,
    org_id: Option<&'a OrganisationId>,
    #[serde(rename = "as")]
    admin: Option<&'a CredentialName>,
}

impl SetArgs {
    fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let path = |flag: &str, given: &PathBuf| {
            // What may be a secret is not kept; a folder that is there may be called whatever it likes.
            let is_place = given.is_absolute() && given.parent().is_some_and(files::exists);
            let is_harmless =
                |text: &str| is_place || quoted::path(given) == given.to_string_lossy() && !text.is_empty();
            let path = std::path::absolute(given)
                .map_err(|error| Failure::usage(format!("{flag}: {}", quoted::cleared(&error.to_string()))))?;
            match path.to_str().filter(|text| is_harmless(text)) {
                Some(path) => Ok(path.to_owned()),
                None => Err(Failure::usage(format!(
                    "{flag} {} is no path for a file of settings",
                    quoted::path(&path)
                ))),
            }
        };
        let flags = context.flags();
        let identity = match &flags.identities[..] {
            [] => None,
            [identity] => Some(path("--identity", identity)?),
            _ => return Err(Failure::usage("a context has one identity")),
        };
        let vault = flags.vault.as_ref().map(|vault| path("--vault", vault)).transpose()?;
        self.put(context, vault, identity)
    }

    fn put(&self, context: &Context, vault: Option<String>, identity: Option<String>) -> Result<Exit, Failure> {
        let Self {
            context_name: name,
            api_url,
            origin,
            app_id,
            org_id,
            admin,
        } = self;
        let fields: Vec<(&str, String)> = [
            ("vault", vault),
            ("identity", identity),
            ("api_url", api_url.as_ref().map(ToString::to_string)),
            ("origin", origin.as_ref().map(ToString::to_string)),
            ("app_id", app_id.as_ref().map(ToString::to_string)),
            ("org_id", org_id.as_ref().map(ToString::to_string)),
            ("as", admin.as_ref().map(ToString::to_string)),
        ]
        .into_iter()
        .filter_map(|(field, value)| value.map(|value| (field, value)))
        .collect();
        if fields.is_empty() {
            return Err(Failure::usage("nothing to set")
                .hint("say --vault, --identity, --api-url, --origin, --app-id, --org-id or --as"));
        }
        contexts::change(|_, document| {
            contexts::set(document, name, &fields);
            Ok(())
        })?;
        done(
            context,
            name,
            &format!(
                "{name} is set.\n  use it:  dfns-keys --context {name} …, or from now on  dfns-keys context use {name}"
            ),
        )
    }
}

fn list(context: &Context) -> Result<Exit, Failure> {
    let contexts = Contexts::read()?;
    let text = |path: &Option<PathBuf>| path.as_deref().map(quoted::path);
    let rows = contexts.entries.iter().map(|(name, entry)| {
        let Entry {
            vault,
            identity,
            api_url,
            origin,
            app_id,
            org_id,
            admin,
        } = entry;
        ListedContext {
            name,
            default: contexts.default.as_ref() == Some(name),
            vault: text(vault),
            identity: text(identity),
            api_url: api_url.as_ref(),
            origin: origin.as_ref(),
            app_id: app_id.as_ref(),
            org_id: org_id.as_ref(),
            admin: admin.as_ref(),
        }
    });
    let listed = Listed {
        contexts: rows.collect(),
    };
    context.ui.emit(&listed, |ui| table(ui, &listed.contexts))
}

fn table(ui: &Ui, contexts: &[ListedContext<'_>]) -> Result<(), Failure> {
    if contexts.is_empty() {
        ui.say("There are no contexts. Make one:  dfns-keys context set staging --vault DIR");
        return Ok(());
    }
    let mut table = Table::new([
        Column::word("CONTEXT"),
        Column::word("DEFAULT"),
        Column::word("VAULT"),
        Column::word("API"),
        Column::word("AS"),
    ]);
    for context in contexts {
        let default = if context.default { "yes" } else { "" };
        let vault = context.vault.as_deref().unwrap_or("–");
        let api = context.api_url.map_or("–", |url| url.host());
        let admin = context.admin.map_or("–", |admin| admin.as_str());
        table.row([context.name.as_str(), default, vault, api, admin]);
    }
    ui.table(table, &[])
}
