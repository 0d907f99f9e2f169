//! How a recipe is run where it is not simply pasted into a shell beside an active credential, and which are not run, and why.

use crate::scene::Start;

/// A question on the terminal, by its first words, and what is typed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    Passphrase(&'static str),
    /// The token of the account that the sandbox's page makes with the public key of this name: the page of the sandbox
    /// that the line names, where it names one.
    Token(&'static str),
    /// A one-time code of the sandbox's page.
    Code,
    Typed(&'static str, &'static str),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    /// Pasted into a shell, which must succeed. With a start it gets a scene of its own, else that of the line before.
    Shell(Option<Start>),
    /// As [`Way::Shell`], once a person has made an account with the key in `public.pem` and put its token into `token.txt`.
    Brought,
    /// Typed on a terminal that asks this.
    Terminal(Option<Start>, &'static [Answer]),
    /// It serves until it is stopped; the lines below it are run beside it.
    Server,
    /// A line of a crontab: its command is run as cron does it.
    Cron,
    /// Inside a container that was started with `--env-file`.
    Container,
    /// make says what it would do: the target itself is run elsewhere.
    MakeTarget,
    /// No recipe but the name of something.
    Name,
    /// Run by this instead.
    Elsewhere(&'static str),
}

pub(crate) struct Exception {
    pub(crate) document: &'static str,
    /// How the line begins.
    pub(crate) line: &'static str,
    pub(crate) way: Way,
}

const fn exception(document: &'static str, line: &'static str, way: Way) -> Exception {
    Exception { document, line, way }
}

const IMPORTING: Way = Way::Shell(Some(Start::Importing));
const NEW_PASSPHRASE: &[Answer] = &[
    Answer::Passphrase("New passphrase for the vault"),
    Answer::Passphrase("The same again"),
];
const CREATION: &[Answer] = &[
    Answer::Passphrase("Passphrase for the new vault"),
    Answer::Passphrase("The same again"),
];
const UNLOCKING: Answer = Answer::Passphrase("Vault passphrase");

#[rustfmt::skip]
pub(crate) static EXCEPTIONS: &[Exception] = &[
    exception("README.md", "make ", Way::MakeTarget),
    exception("README.md", "dfns-keys init", Way::Terminal(Some(Start::Fresh), CREATION)),
    exception("README.md", "dfns-keys unlock", Way::Terminal(None, &[UNLOCKING])),
    exception("README.md", "dfns-keys sandbox --listen", Way::Server),
    exception("README.md", "dfns-keys onboard trial --api-url", Way::Terminal(None, &[Answer::Token("trial")])),
    exception("README.md", "dfns-keys remove trial --force", Way::Terminal(None, &[Answer::Typed("Type the name", "trial")])),
    exception("README.md", "dfns-keys account deactivate payments-api", Way::Terminal(Some(Start::Active), &[Answer::Typed("Type the name", "payments-api")])),
    exception("README.md", "dfns-keys remove payments-api", Way::Terminal(None, &[Answer::Typed("Type the name", "payments-api")])),
    exception("README.md", "dfns-keys onboard payments-api ", Way::Terminal(None, &[Answer::Token("payments-api")])),
    exception("README.md", "dfns-keys onboard payments-api --prepare", IMPORTING),
    exception("README.md", "dfns-keys onboard payments-api --token-file", Way::Brought),
    exception("README.md", "dfns-keys enroll ops-admin", Way::Terminal(Some(Start::Importing), &[Answer::Code])),
    exception("README.md", "dfns-keys proxy payments-api --read-only", Way::Server),
    exception("README.md", "dfns-keys import payments-api --postman old.json", IMPORTING),
    exception("README.md", "cargo deny", Way::Name),
    exception("README.md", "age -d", Way::Elsewhere("tests/vault.rs: the_stock_age_tool_opens_everything")),
    exception("docs/changelog.md", "make", Way::MakeTarget),
    exception("docs/contributing.md", "make", Way::MakeTarget),
    exception("docs/reliability.md", "make campaign", Way::MakeTarget),
    exception("docs/changelog.md", "kubectl apply --server-side", Way::Name),
    exception("docs/guide.md", "dfns-keys unlock", Way::Elsewhere("tests/unlock.rs: an_unlocked_vault_opens_without_its_passphrase_until_it_is_locked")),
    exception("docs/ci.md", "dfns-keys recipients list --digest", Way::Shell(Some(Start::Empty))),
    exception("docs/ci.md", "dfns-keys recipients list --digest --json", Way::Shell(None)),
    exception("docs/ci.md", "dfns-keys onboard payments-api --token-file", Way::Brought),
    exception("docs/guide.md", "dfns-keys rename payments-api payments-eu", Way::Shell(Some(Start::Active))),
    exception("docs/guide.md", "dfns-keys --context staging list", Way::Elsewhere("tests/contexts.rs: a_flag_goes_before_the_environment_and_that_before_a_context_unless_a_flag_names_it")),
    exception("docs/guide.md", "dfns-keys init --recipient", Way::Shell(Some(Start::Fresh))),
    exception("docs/guide.md", "dfns-keys rekey", Way::Terminal(None, NEW_PASSPHRASE)),
    exception("docs/guide.md", "dfns-keys enroll ops-admin", Way::Terminal(Some(Start::Importing), &[Answer::Code])),
    exception("docs/guide.md", "dfns-keys account list", Way::Shell(Some(Start::Billing))),
    exception("docs/guide.md", "dfns-keys account deactivate billing", Way::Terminal(None, &[Answer::Typed("Type the name", "billing")])),
    exception("docs/guide.md", "dfns-keys import ", IMPORTING),
    exception("docs/guide.md", "dfns-keys export payments-api --format dotenv", Way::Shell(Some(Start::Unexported))),
    exception("docs/guide.md", "dfns-keys proxy payments-api --listen", Way::Server),
    exception("docs/guide.md", "openssl ec -pubout", Way::Elsewhere("tests/keys.rs compares with openssl")),
    exception("docs/handing-over.md", "dfns-keys proxy payments-api --listen", Way::Server),
    exception("docs/handing-over.md", "node --env-file=", Way::Shell(Some(Start::Exported))),
    exception("docs/handing-over.md", "node --env-file", Way::Name),
    exception("docs/handing-over.md", "docker run --env-file payments.docker-env IMAGE", Way::Shell(Some(Start::Exported))),
    exception("docs/handing-over.md", "docker run --env-file", Way::Name),
    exception("docs/handing-over.md", "kubectl apply --server-side -f", Way::Name),
    exception("docs/handing-over.md", "gh secret set -f", Way::Name),
    exception("docs/handing-over.md", "sh -c 'DFNS_PRIVATE_KEY=", Way::Container),
    exception("docs/rotation.md", "dfns-keys rotate payments-api --token-file token.txt", Way::Shell(Some(Start::AwaitingToken))),
    exception("docs/rotation.md", "dfns-keys rotate payments-api --finish", Way::Shell(Some(Start::Promoted))),
    exception("docs/rotation.md", "dfns-keys rotate payments-api --rollback", Way::Shell(Some(Start::Promoted))),
    exception("docs/rotation.md", "0 * * * *", Way::Cron),
    exception("docs/fleet.md", "0 * * * *", Way::Cron),
    exception("docs/held-keys.md", "dfns-keys generate", Way::Elsewhere("tests/engines/held_keys.rs: a_key_is_made_in_a_transit_engine_and_cannot_be_taken_out")),
    exception("docs/held-keys.md", "dfns-keys onboard", Way::Elsewhere("tests/engines/held_keys.rs: a_key_in_a_transit_engine_signs_whatever_is_signed_and_is_never_handed_over")),
    exception("docs/held-keys.md", "dfns-keys rotate", Way::Elsewhere("tests/held_keys/life.rs: a_sealed_key_moves_into_a_token")),
    exception("docs/held-keys.md", "dfns-keys public-key", Way::Elsewhere("tests/engines/held_keys.rs: a_key_is_made_in_a_transit_engine_and_cannot_be_taken_out")),
    exception("docs/install.md", "minisign", Way::Elsewhere("tests/dist.sh, by `make dist-used`")),
    exception("docs/install.md", "sha256sum", Way::Elsewhere("tests/dist.sh, by `make dist-used`")),
    exception("docs/install.md", "apt-get install", Way::Elsewhere("tests/dist.sh, by `make dist-used`")),
    exception("docs/install.md", "dnf install", Way::Elsewhere("tests/dist.sh, by `make dist-used`")),
    exception("docs/install.md", "apk add", Way::Elsewhere("tests/dist.sh, by `make dist-used`")),
    exception("docs/install.md", "tar -xzf", Way::Elsewhere("tests/dist.sh, by `make dist-used`")),
    exception("docs/install.md", "install -m", Way::Elsewhere("tests/dist.sh, by `make dist-used`")),
    exception("docs/install.md", "skopeo copy", Way::Elsewhere("tests/dist.sh, by `make dist-used`")),
    exception("docs/install.md", "cargo install", Way::Elsewhere("make install")),
    exception("docs/releasing.md", "make", Way::MakeTarget),
    exception("docs/supply-chain.md", "make", Way::MakeTarget),
    exception("docs/supply-chain.md", "cargo", Way::Name),
    exception("docs/supply-chain.md", "age", Way::Name),
    exception("docs/security.md", "cargo deny", Way::Elsewhere("make deny, in CI")),
];

/// The exception for a line, the one that says most of it.
pub(crate) fn exception_for(document: &str, line: &str) -> Option<&'static Exception> {
    let fits = |one: &&Exception| one.document == document && format!("{line} ").starts_with(one.line);
    EXCEPTIONS.iter().filter(fits).max_by_key(|one| one.line.len())
}
