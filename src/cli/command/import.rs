use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use jiff::Timestamp;

use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::input::Input;
use crate::cli::record::document;
use crate::cli::slips;
use crate::keys::pem::read_any_private_key;
use crate::keys::{Algorithm, PrivateKey};
use crate::model::credential::{Credential, Kind, State, UserGeneration};
use crate::model::ids::{ApplicationId, CredentialId, CredentialName, OrganisationId, Username};
use crate::model::quoted;
use crate::model::record::PublicRecord;
use crate::model::url::{ApiUrl, Origin};
use crate::model::user_action::Signer;
use crate::sys::files;
use crate::vault::{FreeName, Vault, VaultError};
use crate::workflow::administrator;
use crate::workflow::import::{ImportError, Imported, refuse_known, seal_key};
use crate::workflow::onboard::OnboardError;
use crate::workflow::settings::Asked;
use crate::workflow::sources::{self, Subject};

/// Take in a key and token that exist
///
/// The pair is proven before it is sealed: a token by the signed test call, a user's key by logging in. A key without its
/// token is kept as pending. RSA and Ed25519 keys are taken in too; `rotate` replaces them by P-256.
#[derive(Args)]
#[command(
    override_usage = "dfns-keys import [OPTIONS] --private-key FILE NAME\n       \
                      dfns-keys import [OPTIONS] --postman FILE NAME\n       \
                      dfns-keys import [OPTIONS] --dotenv FILE NAME",
    group = ArgGroup::new("source").required(true).args(["private_key", "postman", "dotenv"]),
    after_help = "Examples:\n  dfns-keys import payments-api --private-key prime256v1.pem --token-file token.txt\n  \
                  dfns-keys import payments-api --postman staging.postman_environment.json --delete-source\n  \
                  dfns-keys import ops-admin --kind user --username ops@example.com --org-id or-… --private-key key.pem"
)]
pub(in crate::cli) struct ImportArgs {
    /// The name to keep it under
    name: CredentialName,
    /// The private key: SEC1, PKCS#8 or PKCS#1, encrypted or not
    #[arg(long, value_name = "FILE|-")]
    private_key: Option<Input>,
    /// The token
    #[arg(long, value_name = "FILE|-", requires = "private_key", conflicts_with = "username")]
    token_file: Option<Input>,
    /// A Postman environment, as Postman exports it
    #[arg(long, value_name = "FILE")]
    postman: Option<PathBuf>,
    /// A .env file with the variables of the vendor's SDK examples
    #[arg(long, value_name = "FILE")]
    dotenv: Option<PathBuf>,
    /// What it is
    #[arg(long, default_value = "service-account")]
    kind: Kind,
    /// Who logs in, for a user
    #[arg(long, value_name = "NAME", requires_all = ["org_id", "private_key"])]
    username: Option<Username>,
    /// The credential's id, where it is not in the source, or the user has several keys
    #[arg(long, value_name = "ID")]
    credential_id: Option<CredentialId>,
    /// The organisation
    #[arg(long, value_name = "ID")]
    org_id: Option<OrganisationId>,
    /// Where the API is, if not where the source says [env: DFNS_KEYS_API_URL] [default: the context's, or https://api.dfns.io]
    #[arg(long, value_name = "URL")]
    api_url: Option<ApiUrl>,
    /// The application's origin, if not what the source says [env: DFNS_KEYS_ORIGIN] [default: the context's, or https://app.dfns.io]
    #[arg(long, value_name = "URL")]
    origin: Option<Origin>,
    /// The application's id, where one is configured
    #[arg(long, value_name = "ID")]
    app_id: Option<ApplicationId>,
    /// Ask nobody: the pair is not proven
    #[arg(long, conflicts_with = "username")]
    offline: bool,
    /// Take it in although another name has the key or the token
    #[arg(long)]
    force: bool,
    /// Delete the files in clear once all is sealed
    #[arg(long)]
    delete_source: bool,
}

impl ImportArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        if (self.kind == Kind::User) != self.username.is_some() {
            return Err(Failure::usage(
                "a user is imported with --kind user, --username, --org-id and --private-key",
            ));
        }
        let vault = context.vault().await?;
        let lease = vault.lease(&self.name, &format!("import {}", self.name)).await?;
        if vault.names().await?.contains(&self.name) {
            return Err(VaultError::CredentialExists(self.name.clone()).into());
        }
        slips::warn_of_twin(context, &vault, &self.name).await;
        let source = self.source()?;
        self.may_delete(source.as_ref())?;
        let taken = match (&source, &self.username) {
            (Some(subject), _) => Taken::Pair(Imported::in_source(
                subject,
                &self.asked(context),
                self.credential_id.clone(),
            )?),
            (None, Some(username)) => Taken::User(self.user(context, username, vault.clock().now())?),
            (None, None) => self.key_and_token(context)?,
        };
        self.refuse_known(&vault, &taken).await?;
        let (unlocked, writer);
        let free = if context.seals_only(&vault).await? {
            writer = vault.seal_only().await?;
            FreeName::SealOnly(&writer, lease)
        } else {
            unlocked = context.unlock(&vault).await?;
            FreeName::Member(unlocked.edit(lease).await?)
        };
        let record = match taken {
            Taken::Pair(found) => self.pair(context, free, found).await?,
            Taken::Key(key) => {
                let environment = self.asked(context).environment().map_err(OnboardError::from)?;
                seal_key(free, self.kind, environment, &key).await?
            }
            Taken::User(user) => administrator::prove_and_seal(free, &context.client(), user).await?,
        };
        context.log(&vault, "imported", Some(&self.name), Some(&record.fingerprint), None);
        context.warn_of_ends(vault.clock().now(), [&record]);
        if context.ui.json() {
            // One document, and after all that can fail.
            self.leave_nothing_behind(context, source.as_ref())?;
            context.ui.document(&document(&record))?;
        } else {
            self.tell(context, &record);
            self.leave_nothing_behind(context, source.as_ref())?;
        }
        Ok(Exit::Done)
    }

    /// What is not ours to delete is told before anything is done.
    fn may_delete(&self, source: Option<&Subject>) -> Result<(), Failure> {
        if !self.delete_source {
            return Ok(());
        }
        if let Some(subject) = source.filter(|subject| !subject.others.is_empty()) {
            let message = format!(
                "{} holds other variables too: {}",
                subject.label,
                quoted::listed(&subject.others)
            );
            return Err(Failure::new(Exit::Other, "source_shared", message)
                .hint("leave --delete-source out, and take the lines with the key and the token out of it yourself"));
        }
        // Of a link only the link would go, and the key would stay.
        match self.in_clear().find(|path| !files::is_plain(path)) {
            Some(path) => Err(Failure::new(
                Exit::Other,
                "source_not_plain",
                format!("{} is not a plain file, and is not deleted", quoted::path(path)),
            )
            .hint("name the file itself, or leave --delete-source out")),
            None => Ok(()),
        }
    }

    /// The files in clear.
    fn in_clear(&self) -> impl Iterator<Item = &Path> {
        let inputs = [&self.private_key, &self.token_file].into_iter().flatten();
        let sources = [&self.postman, &self.dotenv].into_iter().flatten();
        inputs.filter_map(Input::file).chain(sources.map(PathBuf::as_path))
    }

    fn tell(&self, context: &Context, record: &PublicRecord) {
        if record.state == State::Pending {
            context.ui.say(&format!("{} waits for its token.", self.name));
            context.ui.say(&format!(
                "  bring it with:  dfns-keys onboard {} --token-file FILE",
                self.name
            ));
        } else if self.offline {
            context.ui.say(&format!("{} is active, and unproven.", self.name));
            context
                .ui
                .say(&format!("  prove it with:  dfns-keys verify {}", self.name));
        } else {
            context.ui.say(&format!("{} is active.", self.name));
        }
    }

    /// The files in clear that the vault has now taken over: deleted, or named.
    fn leave_nothing_behind(&self, context: &Context, source: Option<&Subject>) -> Result<(), Failure> {
        for path in self.in_clear() {
            let shown = quoted::path(path);
            if self.delete_source {
                files::remove(path).map_err(|error| {
                    let failure: Failure = error.into();
                    failure.hint(format!("{} is sealed; delete the file yourself", self.name))
                })?;
                context.ui.say(&format!("  deleted  {shown}"));
            } else if source.is_some_and(|subject| !subject.others.is_empty()) {
                context.ui.say(&format!(
                    "  no longer needed in clear, safe to take out of {shown}: the key and the token"
                ));
            } else {
                context
                    .ui
                    .say(&format!("  no longer needed in clear, safe to delete:  {shown}"));
            }
        }
        if self.in_clear().next().is_some() && self.kind != Kind::User {
            context.ui.say(&format!(
                "  It lay in clear until now, perhaps in backups too; a new key never does:  dfns-keys rotate {}",
                self.name
            ));
        }
        Ok(())
    }

    fn source(&self) -> Result<Option<Subject>, Failure> {
        let found = match (&self.postman, &self.dotenv) {
            (Some(path), _) => sources::postman(path),
            (None, Some(path)) => sources::dotenv(path),
            (None, None) => return Ok(None),
        };
        Ok(Some(found.map_err(ImportError::Unreadable)?))
    }

    fn asked(&self, context: &Context) -> Asked {
        Asked {
            kind: None,
            api_url: self.api_url.clone(),
            origin: self.origin.clone(),
            application_id: self.app_id.clone(),
            organisation_id: self.org_id.clone(),
            key: None,
            otherwise: context.defaults(),
        }
    }

    fn key(&self, context: &Context, input: &Input) -> Result<PrivateKey, Failure> {
        let shown = quoted::path(input.path());
        let contents = context.input(input)?;
        let passphrase = context.supplier.of_key(&contents, &shown)?;
        let key = read_any_private_key(&contents, passphrase.as_ref()).map_err(|error| Failure::key(&shown, &error))?;
        self.tell_of(context, &key);
        Ok(key)
    }

    fn tell_of(&self, context: &Context, key: &PrivateKey) {
        let algorithm = key.algorithm();
        if algorithm != Algorithm::P256 {
            context.ui.say(&format!(
                "  the key is {algorithm}, which Dfns takes; `rotate {}` replaces it by one on P-256",
                self.name
            ));
        }
    }

    fn key_and_token(&self, context: &Context) -> Result<Taken, Failure> {
        let input = self
            .private_key
            .as_ref()
            .expect("clap wants one source, and it is not the others");
        let key = self.key(context, input)?;
        let asked = self.asked(context);
        let Some(token_file) = &self.token_file else {
            return Ok(Taken::Key(key));
        };
        Ok(Taken::Pair(Imported {
            environment: asked.environment().map_err(OnboardError::from)?,
            key,
            wound: None,
            token: super::dashboard::read_token(context, token_file)?,
            credential_id: self.credential_id.clone(),
        }))
    }

    async fn pair(&self, context: &Context, free: FreeName<'_>, found: Imported) -> Result<PublicRecord, Failure> {
        if let Some(wound) = &found.wound {
            context.ui.say(&format!("  the private key {wound}; it was mended"));
        }
        if self.private_key.is_none() {
            self.tell_of(context, &found.key);
        }
        if self.offline {
            return Ok(found.seal_unproven(free, self.kind).await?);
        }
        let client = context.client();
        let stated = found.credential_id.clone();
        let proven = found.prove_and_seal(free, &client, self.kind).await?;
        let record = proven.record;
        if let (Some(stated), Some(proven)) = (stated, &record.credential_id)
            && stated != *proven
        {
            context.ui.warn(&format!(
                "the source calls the credential {stated}; for Dfns this key is {proven}"
            ));
        }
        Ok(record)
    }

    /// A key or token that another name has is not taken in unasked.
    async fn refuse_known(&self, vault: &Vault, taken: &Taken) -> Result<(), Failure> {
        if self.force {
            return Ok(());
        }
        let (fingerprint, token) = match taken {
            Taken::Pair(found) => (found.key.public_key().fingerprint, Some(&found.token)),
            Taken::Key(key) => (key.public_key().fingerprint, None),
            Taken::User(user) => (user.current.public_key.fingerprint.clone(), None),
        };
        Ok(refuse_known(vault, &self.name, &fingerprint, token).await?)
    }

    fn user(
        &self,
        context: &Context,
        username: &Username,
        now: Timestamp,
    ) -> Result<Credential<UserGeneration>, Failure> {
        let input = self.private_key.as_ref().expect("clap wants it beside --username");
        let key = self.key(context, input)?;
        Ok(Credential {
            name: self.name.clone(),
            kind: Kind::User,
            environment: self.asked(context).environment().map_err(OnboardError::from)?,
            created_at: now,
            rotated_at: None,
            generation: 1,
            earlier_keys: Vec::new(),
            deliveries: Vec::new(),
            upkeep: None,
            current: UserGeneration {
                private_key: key.to_sealable(),
                public_key: key.public_key(),
                username: username.clone(),
                credential_id: self.credential_id.clone(),
            },
        })
    }
}

/// What was taken in, before it is sealed.
enum Taken {
    /// A key and its token.
    Pair(Imported),
    /// A key that has no token yet.
    Key(PrivateKey),
    /// A user's key.
    User(Credential<UserGeneration>),
}
