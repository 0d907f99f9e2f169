use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::onboard::document;
use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::keys::pem::{is_encrypted, read_private_key};
use crate::model::credential::{Credential, Environment, Kind, PublicRecord, UserGeneration};
use crate::model::ids::{ApplicationId, CredentialId, CredentialName, OrganisationId, Username};
use crate::model::url::{ApiUrl, Origin};
use crate::vault::{Expected, Vault, VaultError};
use crate::workflow::{administrator, onboard};

/// Take a key and token that exist into the vault
///
/// The pair is proven before it is sealed: a token by the signed test call, a user's key by logging in.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  dfns-keys import payments-api --private-key prime256v1.pem --token-file token.txt\n  \
                  dfns-keys import ops-admin --kind user --username ops@example.com --org-id or-… --private-key key.pem"
)]
pub(in crate::cli) struct ImportArgs {
    /// The name to keep it under
    name: CredentialName,
    /// The private key: SEC1 or PKCS#8, encrypted or not
    #[arg(long, value_name = "FILE|-")]
    private_key: PathBuf,
    /// The token
    #[arg(long, value_name = "FILE|-", required_unless_present = "username")]
    token_file: Option<PathBuf>,
    /// What it is
    #[arg(long, default_value = "service-account")]
    kind: ImportKind,
    /// Who logs in, for a user
    #[arg(long, value_name = "NAME", requires = "org_id")]
    username: Option<String>,
    /// The credential's id, where the user has several keys
    #[arg(long, value_name = "ID", requires = "username")]
    credential_id: Option<String>,
    /// The organisation
    #[arg(long, value_name = "ID")]
    org_id: Option<String>,
    /// Where the API is
    #[arg(long, value_name = "URL", default_value = ApiUrl::PRODUCTION)]
    api_url: ApiUrl,
    /// The application's origin
    #[arg(long, value_name = "URL", default_value = Origin::DASHBOARD)]
    origin: Origin,
    /// The application's id, where one is configured
    #[arg(long, value_name = "ID")]
    app_id: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ImportKind {
    ServiceAccount,
    Pat,
    User,
}

impl ImportArgs {
    pub(super) fn stdin_readers(&self) -> Vec<&'static str> {
        let mut readers = Vec::new();
        if self.private_key == Path::new("-") {
            readers.push("--private-key");
        }
        if self.token_file.as_deref() == Some(Path::new("-")) {
            readers.push("--token-file");
        }
        readers
    }

    pub(super) fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let vault = context.vault()?;
        let _lock = vault.lock(&self.name, &format!("import {}", self.name))?;
        if vault.names()?.contains(&self.name) {
            return Err(VaultError::CredentialExists(self.name.clone()).into());
        }
        let record = match (&self.token_file, &self.username) {
            (Some(path), _) if self.kind != ImportKind::User => self.with_token(context, &vault, path)?,
            (None, Some(username)) if self.kind == ImportKind::User => self.user(context, &vault, username)?,
            _ => {
                return Err(Failure::usage(
                    "a user is imported with --username and --org-id, everything else with --token-file",
                ));
            }
        };
        context.log(&vault, "imported", Some(&self.name), Some(&record.fingerprint), None);
        if context.ui.json() {
            context.ui.document(&document(&record))?;
            return Ok(Exit::Done);
        }
        context.ui.say(&format!("{} is active.", self.name));
        for path in [Some(&self.private_key), self.token_file.as_ref()]
            .into_iter()
            .flatten()
        {
            if path != Path::new("-") {
                context.ui.say(&format!(
                    "  no longer needed in clear, safe to delete:  {}",
                    path.display()
                ));
            }
        }
        Ok(Exit::Done)
    }

    fn environment(&self) -> Environment {
        Environment {
            api_url: self.api_url.clone(),
            origin: self.origin.clone(),
            application_id: self.app_id.as_ref().map(ApplicationId::new),
            organisation_id: self.org_id.as_ref().map(OrganisationId::new),
        }
    }

    fn key(&self, context: &Context) -> Result<crate::keys::KeyPair, Failure> {
        let shown = self.private_key.display().to_string();
        let contents = context.input(&self.private_key)?;
        let passphrase = if is_encrypted(&contents) {
            let question = format!("Passphrase of {shown}");
            Some(context.supplier.existing(shown.clone(), &question)?)
        } else {
            None
        };
        read_private_key(&contents, passphrase.as_ref()).map_err(|error| Failure::key(&shown, &error))
    }

    fn with_token(&self, context: &Context, vault: &Vault, path: &Path) -> Result<PublicRecord, Failure> {
        let key = self.key(context)?;
        let token = super::onboard::read_token(context, path)?;
        let kind = match self.kind {
            ImportKind::Pat => Kind::Pat,
            ImportKind::ServiceAccount | ImportKind::User => Kind::ServiceAccount,
        };
        let client = context.client();
        let proven = onboard::prove_and_seal(vault, &client, &self.name, kind, self.environment(), &key, token);
        Ok(context.block_on(proven)??.record)
    }

    fn user(&self, context: &Context, vault: &Vault, username: &str) -> Result<PublicRecord, Failure> {
        let key = self.key(context)?;
        let user = Credential {
            name: self.name.clone(),
            kind: Kind::User,
            environment: self.environment(),
            created_at: vault.clock().now(),
            rotated_at: None,
            generation: 1,
            current: UserGeneration {
                private_key: key.to_sealable(),
                public_key: key.public_key().to_text(),
                username: Username::new(username),
                // Empty: whichever key the log-in offers, if it is the only one.
                credential_id: CredentialId::new(self.credential_id.clone().unwrap_or_default()),
            },
        };
        let client = context.client();
        Ok(context.block_on(administrator::prove_and_seal(vault, &client, &user, &Expected::Absent))??)
    }
}
