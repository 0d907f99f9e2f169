use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::terminal;
use crate::model::credential::{Kind, State};
use crate::model::ids::{ApplicationId, CredentialId, CredentialName, OrganisationId, Username};
use crate::model::key_uri::KeyUri;
use crate::model::record::PublicRecord;
use crate::model::url::{ApiUrl, Origin};
use crate::vault::Vault;
use crate::workflow::administrator::{self, AdministratorError, Begun};
use crate::workflow::settings::Asked;

/// Give a user a key, so that --as ADMIN works
///
/// Sign in to the dashboard with your passkey and make a one-time code for a credential. Everything slow is done before
/// the code is asked for, because it lives one minute. The key is proven by logging in.
#[derive(Args)]
#[command(after_help = "Example:\n  dfns-keys enroll ops-admin")]
pub(in crate::cli) struct EnrollArgs {
    /// The name to store the user's key under
    name: CredentialName,
    /// The one-time code; asked for, where it is left out
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// The user's organisation, where Dfns does not say it
    #[arg(long, value_name = "ID")]
    org_id: Option<OrganisationId>,
    /// The user that the code must belong to
    #[arg(long, value_name = "NAME")]
    username: Option<Username>,
    /// Make the key at this address, where it is held and never leaves; or take the one that is there
    #[arg(long, value_name = "URI")]
    key: Option<KeyUri>,
    /// Where the API is [env: DFNS_KEYS_API_URL] [default: the context's, or https://api.dfns.io]
    #[arg(long, value_name = "URL")]
    api_url: Option<ApiUrl>,
    /// The application's origin [env: DFNS_KEYS_ORIGIN] [default: the context's, or https://app.dfns.io]
    #[arg(long, value_name = "URL")]
    origin: Option<Origin>,
    /// The application's id, where one is configured
    #[arg(long, value_name = "ID")]
    app_id: Option<ApplicationId>,
}

impl EnrollArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let vault = context.vault().await?;
        let lease = vault.lease(&self.name, &format!("enroll {}", self.name)).await?;
        // What can be refused before the passphrase is.
        if let Ok(record) = vault.record(&self.name).await {
            if record.kind != Kind::User {
                let kind = record.kind.in_words();
                return Err(AdministratorError::NotAUser {
                    name: self.name.clone(),
                    kind,
                }
                .into());
            }
            if record.state != State::Pending {
                return Err(AdministratorError::AlreadyEnrolled(self.name.clone()).into());
            }
        }
        let unlocked = context.unlock(&vault).await?;
        let edit = unlocked.edit(lease).await?;
        let client = context.client();
        let asked = Asked {
            kind: None,
            api_url: self.api_url.clone(),
            origin: self.origin.clone(),
            application_id: self.app_id.clone(),
            organisation_id: self.org_id.clone(),
            key: self.key.clone(),
            otherwise: context.defaults(),
        };
        let username = self.username.clone();
        let begun = administrator::begin(edit, &client, asked, username.as_ref()).await?;
        let record = match begun {
            Begun::Enrolled(record) => record,
            Begun::NeedsCode(enrolment) => {
                let code = self.code(context)?;
                administrator::enroll(&client, enrolment, &code, username.as_ref()).await?
            }
        };
        self.tell(context, &vault, &record)
    }

    fn code(&self, context: &Context) -> Result<SecretString, Failure> {
        let code = match &self.code {
            Some(code) => SecretString::from(code.clone()),
            None if context.may_ask() => {
                context
                    .ui
                    .say("  in the dashboard: Settings, Credentials, a one-time code; it lives one minute");
                terminal::ask_hidden(&format!("{}One-time code: ", context.supplier.named())).map_err(|_| {
                    Failure::new(
                        Exit::Interrupted,
                        "interrupted",
                        "stopped before the code; the key stays sealed",
                    )
                })?
            }
            None => {
                return Err(Failure::new(
                    Exit::Waiting,
                    "code_needed",
                    format!(
                        "{} waits for a one-time code, and there is no terminal to ask on",
                        self.name
                    ),
                )
                .hint(format!("dfns-keys enroll {} --code CODE", self.name)));
            }
        };
        if code.expose_secret().trim().is_empty() {
            return Err(AdministratorError::NotEnrolled(self.name.clone()).into());
        }
        Ok(SecretString::from(code.expose_secret().trim().to_owned()))
    }

    fn tell(&self, context: &Context, vault: &Vault, record: &PublicRecord) -> Result<Exit, Failure> {
        context.log(vault, "enrolled", Some(&self.name), Some(&record.fingerprint), None);
        let enrolled = Enrolled {
            name: &record.name,
            state: record.state,
            kind: record.kind,
            fingerprint: &record.fingerprint,
            username: record.username.as_ref(),
            org_id: record.org_id.as_ref(),
            credential_id: record.credential_id.as_ref(),
        };
        let username = record.username.as_ref().map_or("", |name| name.as_str());
        context.ui.emit_said(
            &enrolled,
            &format!(
                "{name} can act as {username}: logging in worked.\n  next:  dfns-keys onboard NAME… --as {name}",
                name = self.name
            ),
        )
    }
}

#[derive(Serialize)]
struct Enrolled<'a> {
    name: &'a CredentialName,
    state: State,
    kind: Kind,
    fingerprint: &'a str,
    username: Option<&'a Username>,
    org_id: Option<&'a OrganisationId>,
    credential_id: Option<&'a CredentialId>,
}
