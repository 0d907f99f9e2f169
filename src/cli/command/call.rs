use std::path::Path;

use clap::Args;
use clap::builder::{StringValueParser, TypedValueParser};
use serde_json::json;

use crate::api::Access;
use crate::api::raw::{RawAnswer, RawCall};
use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::foreign::ForeignData;
use crate::cli::input::Input;
use crate::keys::pem::unseal;
use crate::model::ids::CredentialName;
use crate::model::operations;
use crate::model::quoted;

/// Make one API call, signed if it must be
///
/// A call that changes state is signed. The body is signed and sent byte for byte, once; the answer goes to stdout as it comes, its status to stderr. Exit code 5 for 401 to
/// 403, 6 for 429 and 5xx, 7 for 202, 1 for other refusals.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  dfns-keys call payments-api GET /wallets --query limit=10\n  \
                  dfns-keys call payments-api POST /wallets --data '{\"network\":\"EthereumSepolia\"}'"
)]
pub(in crate::cli) struct CallArgs {
    /// The credential
    name: CredentialName,
    /// GET, POST, PUT, PATCH or DELETE
    #[arg(value_parser = ["GET", "POST", "PUT", "PATCH", "DELETE"], ignore_case = true)]
    method: String,
    /// The path, such as /wallets
    path: String,
    /// The body: JSON, @FILE, or - for stdin
    #[arg(long, value_name = "JSON|@FILE|-", value_parser = StringValueParser::new().map(Input::text_or_file))]
    data: Option<Input>,
    /// A part of the query; repeat for more
    #[arg(long, value_name = "K=V")]
    query: Vec<String>,
    /// Say what would be sent, without secrets, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the answer's headers in front of its body
    #[arg(short, long)]
    include: bool,
}

impl CallArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let method = self.method.to_ascii_uppercase();
        let body = self.data.as_ref().map(|data| context.input(data)).transpose()?;
        let body = body
            .as_ref()
            .map(|bytes| std::str::from_utf8(bytes))
            .transpose()
            .map_err(|_| Failure::usage("the body is not text (UTF-8), and Dfns signs text only"))?;
        let query = self.query()?;
        let call = RawCall {
            method: &method,
            path: self.path()?,
            query: &query,
            body,
        };
        let vault = context.vault().await?;
        let record = super::usable_record(&vault, &self.name).await?;
        self.check_path(context, &method);
        if self.dry_run {
            return self.show(context, &call, &record.api_url.to_string());
        }
        let unlocked = context.unlock(&vault).await?;
        let (environment, generation) = super::usable(context, &unlocked, &self.name).await?;
        let key = unseal(&generation.private_key)
            .map_err(|error| Failure::key(&format!("the sealed key of {}", self.name), &error))?;
        let access = Access::of(&environment, &generation, &key);
        let client = context.client();
        let fail = |error| Failure::single_call(error, &self.name, &call);
        async {
            let mut answer = client.raw(access, call).await.map_err(fail)?;
            let mut out = ForeignData::through(&context.ui);
            self.head(context, &answer, &mut out)?;
            while let Some(part) = answer.chunk().await.map_err(|error| fail(error.into()))? {
                out.write(&part)?;
            }
            out.finish()?;
            if answer.status() != 202
                && let Some(doubt) = Failure::doubtful_answer(answer.effect(), &self.name, &call)
            {
                context.ui.warn(&doubt);
            }
            Ok(exit(answer.status()))
        }
        .await
    }

    /// A word on a path that is no known operation: most likely a slip, and if not, the API has grown.
    fn check_path(&self, context: &Context, method: &str) {
        if operations::find(method, &self.path).is_some() {
            return;
        }
        let nearest = operations::nearest(method, &self.path);
        let meant: Vec<String> = nearest
            .iter()
            .map(|operation| format!("{} {}", operation.method, operation.path))
            .collect();
        context.ui.warn(&format!(
            "{method} {} is no operation that this version knows",
            quoted::path(Path::new(&self.path))
        ));
        if !meant.is_empty() {
            context.ui.say(&format!("  did you mean  {}", meant.join(", ")));
        }
    }

    fn path(&self) -> Result<&str, Failure> {
        if !self.path.starts_with('/') {
            return Err(Failure::usage("the path must start with `/`").hint("such as /wallets"));
        }
        if self.path.contains(['?', '#']) || self.path.contains(char::is_whitespace) {
            return Err(Failure::usage("the path has a query or a space in it").hint("give the query with --query K=V"));
        }
        Ok(&self.path)
    }

    fn query(&self) -> Result<String, Failure> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for part in &self.query {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| Failure::usage("--query takes K=V"))?;
            query.append_pair(key, value);
        }
        Ok(query.finish())
    }

    fn show(&self, context: &Context, call: &RawCall<'_>, api_url: &str) -> Result<Exit, Failure> {
        // What would be sent, but for what may be a secret.
        let mut target = quoted::path(Path::new(call.path));
        let pairs = url::form_urlencoded::parse(call.query.as_bytes());
        for (position, (key, value)) in pairs.enumerate() {
            let encoded = url::form_urlencoded::Serializer::new(String::new())
                .append_pair(&key, &value)
                .finish();
            let doubtful = quoted::suspicion(&key).or_else(|| quoted::suspicion(&value));
            // An address: what stands behind the `=` of its own query may be a password.
            let is_address = key.contains("://") || value.contains("://") && value.contains('?');
            let doubtful = doubtful.or_else(|| is_address.then_some(quoted::Suspicion::Unknown));
            target.push(if position == 0 { '?' } else { '&' });
            target.push_str(&doubtful.map_or(encoded, |secret| secret.to_string()));
        }
        let body = call.body.map(quoted::without_secrets);
        if context.ui.json() {
            context.ui.document(&json!({
                "method": call.method,
                "url": format!("{api_url}{target}"),
                "signed": call.is_signed(),
                "body": body,
            }))?;
            return Ok(Exit::Done);
        }
        context.ui.answer(&format!("{} {api_url}{target}", call.method))?;
        context.ui.answer("authorization: Bearer [token]")?;
        if call.is_signed() {
            context.ui.answer("x-dfns-useraction: [signed for this very body]")?;
        }
        if let Some(body) = body {
            context.ui.answer("content-type: application/json\n")?;
            context.ui.answer(body.strip_suffix('\n').unwrap_or(&body))?;
        }
        Ok(Exit::Done)
    }

    fn head(&self, context: &Context, answer: &RawAnswer, out: &mut ForeignData<'_>) -> Result<(), Failure> {
        context.ui.say(&format!("status {}", answer.status()));
        if !self.include {
            return Ok(());
        }
        let mut head = String::new();
        for (name, value) in answer.headers() {
            let value = String::from_utf8_lossy(value.as_bytes());
            for part in [name.as_str(), ": ", &value, "\n"] {
                head.push_str(part);
            }
        }
        out.write(format!("{head}\n").as_bytes())
    }
}

fn exit(status: u16) -> Exit {
    match status {
        202 => Exit::Waiting,
        200..=299 => Exit::Done,
        401..=403 => Exit::Refused,
        429 | 500..=599 => Exit::Unreachable,
        _ => Exit::Other,
    }
}
