//! The dashboard's part, which is a person's: told, helped along, and asked for the token that it shows.

use zeroize::Zeroizing;

use crate::cli::context::Context;
use crate::cli::desktop;
use crate::cli::error::{Exit, Failure};
use crate::cli::input::Input;
use crate::cli::terminal;
use crate::model::credential::Kind;
use crate::model::record::PublicRecord;
use crate::model::token::{AuthToken, TokenShapeError};
use crate::model::url::ApiUrl;

/// What a person brings to which page of the dashboard.
pub(super) struct Errand<'a> {
    pub(super) page: String,
    pub(super) public_key: &'a str,
}

impl<'a> Errand<'a> {
    pub(super) fn of(record: &'a PublicRecord) -> Self {
        Self {
            page: page(record.kind, &record.api_url),
            public_key: &record.public_key,
        }
    }

    /// What Enter alone does here, if anything.
    fn offer() -> Option<&'static str> {
        match (terminal::can_copy(), desktop::is_there()) {
            (true, true) => Some("  Enter copies the key and opens the page; neither is needed."),
            (true, false) => Some("  Enter copies the key, where the terminal allows it; that is not needed."),
            (false, true) => Some("  Enter opens the page; that is not needed."),
            (false, false) => None,
        }
    }

    /// Copies the key and opens the page, each where that can be done. Neither is worth failing for.
    fn run(&self, context: &Context) {
        if terminal::can_copy() {
            context.ui.say(&match terminal::copy(self.public_key) {
                Ok(()) => "  the key is on the clipboard, if the terminal allows it (OSC 52)".to_owned(),
                Err(error) => format!("  the key cannot be copied: {error}"),
            });
        }
        if desktop::is_there() {
            context.ui.say(&match desktop::open(&self.page) {
                Ok(()) => format!("  opened {}", self.page),
                Err(error) => format!("  the page cannot be opened: {error}"),
            });
        }
    }
}

/// How often a token may be pasted that can be none.
const PASTES: usize = 3;

/// Asks for a token, hidden, and again where what was pasted can be none. Enter alone runs the errand.
pub(super) fn ask_for_token(context: &Context, errand: &Errand<'_>) -> Result<AuthToken, Failure> {
    let prompt = format!(
        "{}Token (hidden; or stop here with Ctrl-C and run the same command again): ",
        context.supplier.named()
    );
    let offer = Errand::offer();
    if let Some(offer) = offer {
        context.ui.say(offer);
    }
    let mut tries = 1;
    loop {
        let answer = terminal::ask_hidden(&prompt).map_err(|error| match error.kind() {
            std::io::ErrorKind::Interrupted | std::io::ErrorKind::UnexpectedEof => Failure::new(
                Exit::Interrupted,
                "interrupted",
                "stopped before the token; the key stays sealed",
            )
            .hint("run the same command again when you have the token"),
            _ => Failure::new(Exit::Other, "terminal", format!("cannot read the token: {error}")),
        })?;
        let text = Zeroizing::new(secrecy::ExposeSecret::expose_secret(&answer).to_owned());
        if text.is_empty() && offer.is_some() {
            errand.run(context);
            continue;
        }
        match AuthToken::parse(&text) {
            Ok(token) => return Ok(token),
            Err(error) if tries < PASTES => {
                tries += 1;
                let told = format!("what was pasted: {error}; {}", remedy(&error));
                context.ui.warn(&told);
            }
            Err(error) => return Err(token_shape("what was pasted", &error, "the key stays sealed")),
        }
    }
}

/// Reads a token.
pub(super) fn read_token(context: &Context, input: &Input) -> Result<AuthToken, Failure> {
    let bytes = context.input(input)?;
    let shown = input.shown();
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Failure::new(Exit::Refused, "token_shape", format!("{shown} is not text")))?;
    AuthToken::parse(text).map_err(|error| token_shape(&shown, &error, "nothing was changed"))
}

/// What to do about a token that can be none.
fn remedy(error: &TokenShapeError) -> &'static str {
    match error {
        TokenShapeError::Pem => "the token is the long text with two dots in it that the dashboard shows once",
        TokenShapeError::Quoted => "take the quotes away",
        TokenShapeError::TooLong => "copy the token alone; it is one word with two dots in it",
        TokenShapeError::BearerPrefix => "leave the word `Bearer` out",
        TokenShapeError::LineBreak | TokenShapeError::WhiteSpace => {
            "copy it again as one piece; a file avoids what a terminal does to long lines (--token-file)"
        }
        TokenShapeError::Empty | TokenShapeError::Parts { .. } | TokenShapeError::NoClaims => {
            "copy it again, whole; it has three parts between dots and starts with `eyJ`"
        }
    }
}

fn token_shape(source: &str, error: &TokenShapeError, as_it_was: &str) -> Failure {
    let hint = remedy(error);
    Failure::new(Exit::Refused, "token_shape", format!("{source}: {error}"))
        .hint(format!("{hint}; it was not sent anywhere, and {as_it_was}"))
}

/// What a person does in the dashboard to make an account of this name.
pub(super) fn instructions(kind: Kind, api_url: &ApiUrl, name: &str) -> String {
    let what = match kind {
        Kind::ServiceAccount => "a service account",
        Kind::Pat => "a personal access token",
        Kind::User => "a user",
    };
    let page = page(kind, api_url);
    format!(
        "  1  open   {page}\n  2  create {what} named {name} and paste the key\n  3  copy the token; it is shown once\n"
    )
}

/// Where in the dashboard accounts of a kind are made; the sandbox has one page.
pub(super) fn page(kind: Kind, api_url: &ApiUrl) -> String {
    if api_url.is_plain_http() {
        return format!("{api_url}/");
    }
    let page = match kind {
        Kind::ServiceAccount => "settings/service-accounts",
        Kind::Pat => "settings/personal-access-tokens",
        Kind::User => "settings",
    };
    format!("https://app.dfns.io/{page}")
}
