use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::keys::KeyError;
use crate::keys::pem::{is_encrypted, read_private_key};
use crate::model::quoted;
use crate::vault::age_file;

/// Print the public key of a private key
///
/// As `openssl ec -pubout` does. Reads SEC1 and PKCS#8 PEM, PKCS#8 under a passphrase, and any of these encrypted with age.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  dfns-keys public-key prime256v1.pem\n  dfns-keys public-key prime256v1.pem.age > public.pem"
)]
pub(in crate::cli) struct PublicKeyArgs {
    /// The private key's file, or stdin
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
}

impl PublicKeyArgs {
    pub(super) fn stdin_readers(&self) -> Vec<&'static str> {
        if self.file == Path::new("-") {
            vec!["FILE"]
        } else {
            Vec::new()
        }
    }

    pub(super) fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let shown = if self.file == Path::new("-") {
            "stdin".to_owned()
        } else {
            quoted::path(&self.file)
        };
        let mut contents = context.input(&self.file)?;
        if age_file::is_one(&contents) {
            contents = age_file::open(&contents, &self.file, context.identities(), &context.asker())?;
        }
        let passphrase = if is_encrypted(&contents) {
            let question = format!("Passphrase of {shown}");
            Some(context.supplier.existing(shown.clone(), &question)?)
        } else {
            None
        };
        let pair =
            read_private_key(&contents, passphrase.as_ref()).map_err(|error: KeyError| Failure::key(&shown, &error))?;
        let public = pair.public_key();
        if context.ui.json() {
            context.ui.document(&json!({
                "public_key": public.to_pem(),
                "fingerprint": public.fingerprint(),
            }))?;
        } else {
            context.ui.data(public.to_pem().as_bytes())?;
        }
        Ok(Exit::Done)
    }
}
