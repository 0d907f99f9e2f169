use std::path::Path;

use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::input::Output;
use crate::cli::ui::Ui;
use crate::keys::pem::PrivateKeyFormat;
use crate::keys::{KeyPair, provider};
use crate::model::key_uri::KeyUri;
use crate::model::quoted;
use crate::model::user_action::Signer;
use crate::sys::files::{self, IfExists, Prepared, Readable};
use crate::vault::{RecipientText, age_file};

/// Make a key pair in files
///
/// As the two openssl commands do. The private key is encrypted with age, under a passphrase or to recipients, unless --plaintext says otherwise. The
/// public key goes to stdout where no file is named.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  dfns-keys generate --public-key public.pem\n  dfns-keys generate --plaintext \
                        --private-key prime256v1.pem --public-key prime256v1.public.pem"
)]
pub(in crate::cli) struct GenerateArgs {
    /// Where the private key goes [default: prime256v1.pem, with .age behind it when encrypted]
    #[arg(long, value_name = "FILE|-")]
    private_key: Option<Output>,
    /// Where the public key goes [default: stdout]
    #[arg(long, value_name = "FILE|-")]
    public_key: Option<Output>,
    /// How the private key is written
    #[arg(long, default_value = "sec1")]
    format: PrivateKeyFormat,
    /// Leave the private key unencrypted
    #[arg(long)]
    plaintext: bool,
    /// Encrypt to this age recipient instead of a passphrase; repeat for more
    #[arg(long, value_name = "RECIPIENT", conflicts_with = "plaintext")]
    recipient: Vec<String>,
    /// Make the key at this address, where it is held and never leaves; the public half alone is written
    #[arg(long, value_name = "URI", conflicts_with_all = ["private_key", "format", "plaintext", "recipient"])]
    key: Option<KeyUri>,
    /// Replace files that exist
    #[arg(long)]
    force: bool,
}

impl GenerateArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        if let Some(key) = &self.key {
            return self.make(context, key).await;
        }
        let default = if self.plaintext {
            "prime256v1.pem"
        } else {
            "prime256v1.pem.age"
        };
        let private_path = self.private_key.as_ref().map_or(Some(Path::new(default)), Output::file);
        let public_path = self.public_path();
        if context.ui.json() && private_path.is_none() {
            return Err(Failure::usage(
                "--json prints no secret: name a file with --private-key",
            ));
        }
        if private_path.is_some() && private_path.map(files::from_everywhere) == public_path.map(files::from_everywhere)
        {
            return Err(Failure::usage("--private-key and --public-key name the same file"));
        }
        // Both are looked at before either is written, so that a refusal leaves nothing behind.
        for path in [private_path, public_path].into_iter().flatten() {
            files::check_target(path, self.if_exists())?;
        }
        let recipients = self
            .recipient
            .iter()
            .map(|text| text.parse::<RecipientText>())
            .collect::<Result<Vec<_>, _>>()?;
        let passphrase = if self.plaintext || !recipients.is_empty() {
            None
        } else {
            Some(context.supplier.fresh("Passphrase for the private key")?)
        };
        let pair = KeyPair::generate()?;
        let pem = pair.to_private_pem(self.format);
        let contents = if self.plaintext {
            pem
        } else if let Some(passphrase) = &passphrase {
            let spinner = context.ui.spinner("encrypting the private key");
            let sealed = age_file::seal_with_passphrase(pem.as_bytes(), passphrase);
            spinner.finish_and_clear();
            Zeroizing::new(sealed?)
        } else {
            Zeroizing::new(age_file::seal(pem.as_bytes(), &recipients)?)
        };
        let public = pair.public_key().to_pem();
        self.hand_over(
            context,
            (private_path, contents.as_bytes()),
            (public_path, public.as_bytes()),
        )?;
        let fingerprint = pair.public_key().fingerprint();
        let generated = Generated {
            fingerprint,
            public_key: public,
            private_key_file: private_path.map(quoted::path),
            public_key_file: public_path.map(quoted::path),
            encrypted: !self.plaintext,
        };
        context.ui.emit(&generated, |ui| {
            if let Some(path) = &generated.private_key_file {
                let how = if self.plaintext {
                    "in clear"
                } else {
                    "encrypted with age"
                };
                ui.say(&format!("  private key, {how}:  {path}"));
            }
            say_public(ui, generated.public_key_file.as_deref(), &generated.fingerprint);
            Ok(())
        })
    }

    /// Makes a key where it is held.
    async fn make(&self, context: &Context, key: &KeyUri) -> Result<Exit, Failure> {
        let path = self.public_path();
        if let Some(path) = path {
            files::check_target(path, self.if_exists())?;
        }
        let public = provider::make(key).await?.public_key();
        match self.prepare((path, public.pem.as_bytes()), Readable::ByAll)? {
            Some(prepared) => prepared.publish()?,
            None if context.ui.json() => {}
            None => context.ui.data(public.pem.as_bytes())?,
        }
        let made = Made {
            fingerprint: &public.fingerprint,
            public_key: &public.pem,
            key,
            public_key_file: path.map(quoted::path),
        };
        context.ui.emit(&made, |ui| {
            ui.say(&format!("  made {}, which never leaves there", key.in_words()));
            say_public(ui, made.public_key_file.as_deref(), &public.fingerprint);
            Ok(())
        })
    }

    /// Both halves are on the disk before either can be seen, so that a full disk changes nothing. Then the public one
    /// comes first, after an old private one is gone: there is never a private key without its public half.
    fn hand_over(
        &self,
        context: &Context,
        private: (Option<&Path>, &[u8]),
        public: (Option<&Path>, &[u8]),
    ) -> Result<(), Failure> {
        let new_private = self.prepare(private, Readable::ByOwner)?;
        let new_public = self.prepare(public, Readable::ByAll)?;
        if new_private.is_none() && new_public.is_none() {
            // As the two openssl commands would, one after the other.
            return [private, public]
                .into_iter()
                .try_for_each(|(_, text)| context.ui.data(text));
        }
        if let Some(path) = private.0.filter(|path| self.force && files::exists(path)) {
            files::remove(path)?;
        }
        for (half, contents) in [(new_public, public), (new_private, private)] {
            match half {
                Some(half) => half.publish()?,
                // The document has the public key.
                None if context.ui.json() => {}
                None => context.ui.data(contents.1)?,
            }
        }
        Ok(())
    }

    /// The file that is to be written, or `None` for stdout.
    fn prepare(
        &self,
        (path, contents): (Option<&Path>, &[u8]),
        readable: Readable,
    ) -> Result<Option<Prepared>, Failure> {
        let prepare = |path| files::prepare(path, contents, self.if_exists(), readable);
        Ok(path.map(prepare).transpose()?)
    }

    /// The file for the public key, or `None` for stdout.
    fn public_path(&self) -> Option<&Path> {
        self.public_key.as_ref().and_then(Output::file)
    }

    fn if_exists(&self) -> IfExists {
        if self.force {
            IfExists::Replace
        } else {
            IfExists::Refuse
        }
    }
}

fn say_public(ui: &Ui, file: Option<&str>, fingerprint: &str) {
    if let Some(path) = file {
        ui.say(&format!("  public key:  {path}"));
    }
    ui.say(&format!("  {fingerprint}"));
}

#[derive(Serialize)]
struct Generated {
    fingerprint: String,
    public_key: String,
    private_key_file: Option<String>,
    public_key_file: Option<String>,
    encrypted: bool,
}

#[derive(Serialize)]
struct Made<'a> {
    fingerprint: &'a str,
    public_key: &'a str,
    key: &'a KeyUri,
    public_key_file: Option<String>,
}
