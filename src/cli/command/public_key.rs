use clap::Args;
use clap::builder::ArgPredicate;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::input::Input;
use crate::keys::pem::read_private_key;
use crate::keys::{KeyError, provider};
use crate::model::credential::PublicKeyText;
use crate::model::key_uri::KeyUri;
use crate::model::user_action::Signer;
use crate::vault::age_file;

/// Print the public key of a private key
///
/// As `openssl ec -pubout` does. Reads SEC1 and PKCS#8 PEM, PKCS#8 under a passphrase, and any of these encrypted with age.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  dfns-keys public-key prime256v1.pem\n  dfns-keys public-key prime256v1.pem.age > public.pem\n  dfns-keys public-key --key hashivault://payments"
)]
pub(in crate::cli) struct PublicKeyArgs {
    /// The private key's file, or stdin
    #[arg(
        value_name = "FILE",
        default_value = "-",
        default_value_if("key", ArgPredicate::IsPresent, None)
    )]
    file: Option<Input>,
    /// Of the key at this address instead, where it is held
    #[arg(long, value_name = "URI", conflicts_with = "file")]
    key: Option<KeyUri>,
}

impl PublicKeyArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        if let Some(key) = &self.key {
            let public = provider::find(key).await?.public_key();
            return print(context, &public);
        }
        let file = self.file.as_ref().expect("clap has a default where there is no --key");
        let shown = file.shown();
        let mut contents = context.input(file)?;
        if age_file::is_one(&contents) {
            contents = age_file::open(&contents, file.path(), context.identities(), &context.asker())?;
        }
        let passphrase = context.supplier.of_key(&contents, &shown)?;
        let pair =
            read_private_key(&contents, passphrase.as_ref()).map_err(|error: KeyError| Failure::key(&shown, &error))?;
        print(context, &Signer::public_key(&pair))
    }
}

fn print(context: &Context, public: &PublicKeyText) -> Result<Exit, Failure> {
    let printed = Printed {
        public_key: &public.pem,
        fingerprint: &public.fingerprint,
    };
    context.ui.emit(&printed, |ui| ui.data(public.pem.as_bytes()))
}

#[derive(Serialize)]
struct Printed<'a> {
    public_key: &'a str,
    fingerprint: &'a str,
}
