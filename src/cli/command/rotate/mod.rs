mod asking;
pub(super) mod holders;
mod messages;
mod report;
mod selection;
mod work;

use std::collections::BTreeMap;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use self::holders::Exports;
use self::selection::Ahead;
pub(super) use self::work::{log_deliveries, log_steps};
use crate::api::{Client, UserSession};
use crate::cli::command::dashboard::read_token;
use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::input::Input;
use crate::model::duration::{DurationError, Span};
use crate::model::ids::CredentialName;
use crate::model::key_uri::KeyUri;
use crate::model::record::PublicRecord;
use crate::model::rotation::{Grace, Strategy};
use crate::vault::{Unlocked, Vault};
use crate::workflow::administrator::Administrator;
use crate::workflow::deliver::Courier;
use crate::workflow::rotate::{Job, Plan, Renewal, Standing};
use crate::workflow::sharing::Neighbours;

/// Replace keys, without downtime or loss
///
/// The new key is proven before it becomes active; the old one works on until it is retired. Cut short at any instant, the
/// same command goes on. First choice is a second key for the same account; where Dfns does not offer that, a new account
/// with the same permissions (--as ADMIN), or one that a person makes in the dashboard. --status and --dry-run change nothing and call nobody, and need the
/// passphrase all the same: how far a rotation is, is sealed.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  dfns-keys rotate payments-api\n  dfns-keys rotate payments-api --finish\n  \
                  dfns-keys rotate payments-api --renew --as ops-admin\n  \
                  dfns-keys rotate --all --older-than 90d --expiring 30d --grace 24h --as ops-admin   (from cron, every hour)"
)]
#[command(group(clap::ArgGroup::new("what").required(true).args(["names", "all"])))]
pub(in crate::cli) struct RotateArgs {
    /// The credentials
    names: Vec<CredentialName>,
    /// Every service account and personal access token of the vault
    #[arg(long)]
    all: bool,
    /// Begin only where the key is older than this; what was begun goes on in any case
    #[arg(long, value_name = "DURATION")]
    older_than: Option<Span>,
    /// Begin also, or only, where the token ends within this time, and replace it too
    #[arg(long, value_name = "DURATION")]
    expiring: Option<Span>,
    /// Replace the token too, by a new account
    #[arg(long, conflicts_with_all = ["finish", "rollback", "status"])]
    renew: bool,
    /// How many days a new token lives, 1 to 730 [default: as many as the old one was made for]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=730))]
    days: Option<u32>,
    /// It leaked: replace key and token, and have Dfns refuse the old ones at once
    #[arg(long, conflicts_with_all = ["all", "finish", "rollback", "status", "grace"])]
    compromised: bool,
    /// Act as this enrolled user where a new account is needed [env: DFNS_KEYS_AS] [default: the context's]
    #[arg(long = "as", id = "admin", value_name = "ADMIN")]
    admin: Option<CredentialName>,
    /// How the new key comes to Dfns
    #[arg(long, default_value = "auto")]
    strategy: StrategyArg,
    /// How long the old key stays: a time, 0, or manual for until --finish [default: as begun, or manual]
    #[arg(long, value_name = "DURATION|manual")]
    grace: Option<GraceArg>,
    /// The token of a new account from the dashboard, in a file or on stdin
    #[arg(long, value_name = "FILE|-", conflicts_with = "all")]
    token_file: Option<Input>,
    /// Retire the old key now
    #[arg(long, conflicts_with_all = ["rollback", "status", "dry_run"])]
    finish: bool,
    /// Retire it although a place may still have it
    #[arg(long, requires = "finish")]
    undelivered: bool,
    /// Undo: the old key is active again, the new one deactivated
    #[arg(long, conflicts_with_all = ["status", "dry_run", "finish"])]
    rollback: bool,
    /// Hold the new key at this address, which it never leaves [default: where the old one is held]
    #[arg(long, value_name = "URI", conflicts_with_all = ["all", "finish", "rollback", "status", "dry_run"])]
    key: Option<KeyUri>,
    /// Say where things stand and what the next run does
    #[arg(long, conflicts_with = "dry_run")]
    status: bool,
    /// Say what would be called, and call nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StrategyArg {
    /// The first of the others that Dfns offers
    Auto,
    /// A second key for the same account; the token stays
    Credential,
    /// A new account with the same permissions
    Replace,
    /// A new account that a person makes in the dashboard
    Dashboard,
}

#[derive(Clone, Copy)]
struct GraceArg(Grace);

impl FromStr for GraceArg {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        Ok(Self(match text {
            "manual" => Grace::Manual,
            "0" => Grace::Seconds(0),
            other => Grace::Seconds(other.parse::<Span>()?.duration().as_secs()),
        }))
    }
}

impl RotateArgs {
    pub(super) async fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let vault = context.vault().await?;
        let (selected, records, mut outcomes) = self.select(&vault).await?;
        let admin = self.admin.as_ref().or(context.admin());
        if let Some(admin) = admin {
            super::check_administrator(&vault, admin).await?;
        }
        if let ([_], [record]) = (&self.names[..], &records[..]) {
            self.check_alone(record)
                .inspect_err(|_| context.warn_of_ends(vault.clock().now(), &records))?;
        }
        if self.key.is_some() && selected.len() != 1 {
            return Err(Failure::usage("an address is of one key: name just one credential"));
        }
        if self.token_file.is_some() && selected.len() != 1 {
            return Err(Failure::usage("a token is for one credential: name just that one"));
        }
        if self.strategy == StrategyArg::Credential && (self.renew || self.compromised) {
            return Err(Failure::usage(
                "a second key keeps the token: leave --strategy credential out",
            ));
        }
        let plan = Plan {
            no_dashboard: self.keeps_token(context),
            renewal: self.renewal(),
            days: self.days,
            key: self.key.clone(),
            compromised: self.compromised,
            strategy: match self.strategy {
                StrategyArg::Auto => None,
                StrategyArg::Credential => Some(Strategy::Credential),
                StrategyArg::Replace => Some(Strategy::Replace),
                StrategyArg::Dashboard => Some(Strategy::Dashboard),
            },
            grace: if self.compromised {
                Some(Grace::Seconds(0))
            } else {
                self.grace.map(|grace| grace.0)
            },
            finish: self.finish,
            undelivered: self.undelivered,
            token: match &self.token_file {
                Some(path) => Some(read_token(context, path)?),
                None => None,
            },
        };
        let unlocked = context.unlock(&vault).await?;
        let administrator = match admin {
            Some(admin) => Some(Administrator::open(&unlocked, admin).await?),
            None => None,
        };
        let client = context.client();
        let session = administrator
            .as_ref()
            .map(|administrator| administrator.session(&client));
        let neighbours = Neighbours::read(&vault).await?;
        let means = context.means();
        let courier = Courier {
            means: &means,
            clock: vault.clock(),
        };
        let mut scene = Scene {
            context,
            outlooks: BTreeMap::new(),
            vault: &vault,
            neighbours: &neighbours,
            courier: &courier,
            exports: Exports::default(),
            unlocked: &unlocked,
            client: &client,
            session: session.as_ref(),
        };
        let names = self.look_ahead(&mut scene, selected).await;
        outcomes.extend(self.work(&scene, &names, &plan).await);
        self.bring_tokens(&scene, &plan, &mut outcomes).await?;
        warn_of_ends(&scene, records, &outcomes).await;
        self.report(&scene, outcomes).await
    }

    /// What is read back is the place, not what has loaded it: to retire the old key at once, somebody has to say that nothing runs
    /// with it.
    fn check_restarts(&self, scene: &Scene<'_>, record: &PublicRecord) -> Result<(), Failure> {
        let at_once = matches!(self.grace, Some(GraceArg(Grace::Seconds(0))));
        let place = record.deliveries.iter().find(|delivery| !delivery.then);
        let Some(place) = place.filter(|_| at_once && !scene.context.yes && !self.rollback) else {
            return Ok(());
        };
        Err(Failure::usage(format!(
            "{} has what is delivered there, and nobody knows when what runs with it loads it: --grace 0 would stop it",
            place.target
        ))
        .hint("say a grace longer than it takes, such as --grace 1h; or --yes if nothing runs with the old key"))
    }

    /// Which tokens are to be replaced with their keys.
    fn renewal(&self) -> Renewal {
        match self.expiring {
            _ if self.renew || self.compromised => Renewal::Always,
            Some(span) => Renewal::EndingWithin(span.duration().as_secs()),
            None => Renewal::No,
        }
    }

    /// Whether nobody is there who could bring a new token, so that the key alone is replaced.
    fn keeps_token(&self, context: &Context) -> bool {
        self.renewal() != Renewal::No
            && self.strategy == StrategyArg::Auto
            && self.admin.is_none()
            && context.admin().is_none()
            && self.token_file.is_none()
            && context.no_input()
    }
}

/// A new key renews no token, so that whatever tokens are left near their end are told of: of all that were asked for, due or
/// not.
async fn warn_of_ends(
    scene: &Scene<'_>,
    mut records: Vec<PublicRecord>,
    outcomes: &[(CredentialName, Result<Standing, Failure>)],
) {
    for record in &mut records {
        match outcomes.iter().find(|(name, _)| *name == record.name) {
            Some((_, Ok(standing))) => *record = standing.record.clone(),
            // How far it came.
            Some((name, Err(_))) => {
                if let Ok(now) = scene.vault.record(name).await {
                    *record = now;
                }
            }
            None => {}
        }
    }
    scene.context.warn_of_ends(scene.vault.clock().now(), &records);
}

struct Scene<'a> {
    context: &'a Context,
    outlooks: BTreeMap<CredentialName, Ahead>,
    vault: &'a Vault,
    neighbours: &'a Neighbours<'a>,
    courier: &'a Courier<'a>,
    exports: Exports,
    unlocked: &'a Unlocked<'a>,
    client: &'a Client,
    session: Option<&'a UserSession<'a>>,
}

impl Scene<'_> {
    fn job<'s>(&'s self, name: &'s CredentialName) -> Job<'s> {
        Job {
            vault: self.vault,
            unlocked: self.unlocked,
            client: self.client,
            administrator: self.session,
            name,
            neighbours: self.neighbours,
            courier: self.courier,
        }
    }
}
