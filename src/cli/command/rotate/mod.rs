mod asking;
pub(super) mod holders;
mod report;
mod telling;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, ValueEnum};
use futures_util::StreamExt;
use futures_util::stream;
use jiff::Timestamp;
use serde_json::json;

use self::holders::Exports;
use self::telling::warn_of_dependents;
use crate::api::{Client, UserSession};
use crate::cli::command::dashboard::read_token;
use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::ui::fields;
use crate::keys::pem::algorithm_of;
use crate::model::credential::{Kind, State};
use crate::model::duration::{DurationError, Span};
use crate::model::ids::CredentialName;
use crate::model::record::PublicRecord;
use crate::model::rotation::{Grace, Strategy};
use crate::vault::{Unlocked, Vault};
use crate::workflow::administrator::Administrator;
use crate::workflow::deliver::Courier;
use crate::workflow::rotate::{DAYS_OTHERWISE, Job, Outlook, Plan, Renewal, RotateError, Standing};
use crate::workflow::sharing::Neighbours;

/// How many credentials are worked on at once; the client's rate limit stands above it.
const AT_ONCE: usize = 16;

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
    token_file: Option<PathBuf>,
    /// Retire the old key now
    #[arg(long, conflicts_with_all = ["rollback", "status", "dry_run"])]
    finish: bool,
    /// Retire it although a place may still have it
    #[arg(long, requires = "finish")]
    undelivered: bool,
    /// Undo: the old key is active again, the new one deactivated
    #[arg(long, conflicts_with_all = ["status", "dry_run", "finish"])]
    rollback: bool,
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

type Outcome = (CredentialName, Result<Standing, Failure>);

impl RotateArgs {
    pub(super) fn stdin_readers(&self) -> Vec<&'static str> {
        if self.token_file.as_deref() == Some(Path::new("-")) {
            vec!["--token-file"]
        } else {
            Vec::new()
        }
    }

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

    /// Refuses one name alone for what its public record says, before anybody types a passphrase.
    fn check_alone(&self, record: &PublicRecord) -> Result<(), Failure> {
        let name = record.name.clone();
        let refusal = if record.kind == Kind::User || record.state == State::Pending {
            RotateError::NotRotatable {
                name,
                state: format!("a {} and {}", record.kind.in_words(), record.state),
            }
        } else if (self.finish || self.rollback) && record.state == State::Active {
            RotateError::NotRotating(name)
        } else {
            return Ok(());
        };
        let mut failure = Failure::from(refusal);
        let row = json!({"name": record.name, "state": record.state, "error": failure.document()});
        failure.extra = fields(json!({ "credentials": [row] }));
        Err(failure)
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

    /// The credentials that are to be worked on by what their public records say, the records of all that were asked for, and those
    /// of all that cannot even be looked at, which stop no other.
    async fn select(&self, vault: &Vault) -> Result<(Vec<Selected>, Vec<PublicRecord>, Vec<Outcome>), Failure> {
        let now = vault.clock().now();
        let names = if self.all {
            vault.names().await?
        } else {
            self.names.clone()
        };
        let (mut chosen, mut records, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
        for name in names {
            let record = match vault.record(&name).await {
                Ok(record) => record,
                Err(error) if self.all => {
                    unreadable.push((name, Err(error.into())));
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let can = record.kind != Kind::User && record.state != State::Pending;
            let under_way = matches!(record.state, State::Rotating | State::Retiring);
            let age = now.as_second() - record.rotated_at.unwrap_or(record.created_at).as_second();
            let old = self
                .older_than
                .is_some_and(|span| u64::try_from(age).is_ok_and(|age| age >= span.duration().as_secs()));
            let ends = self.expiring.is_some_and(|span| {
                Renewal::EndingWithin(span.duration().as_secs()).may_be_due(record.token_expires_at, now)
            });
            let whole = old || (self.older_than.is_none() && self.expiring.is_none()) || under_way;
            if (!self.all || can) && (whole || ends) {
                chosen.push(Selected {
                    name,
                    by_token_alone: !whole,
                    rotated_at: record.rotated_at,
                });
            }
            records.push(record);
        }
        Ok((chosen, records, unreadable))
    }

    /// Looks what is to become of the tokens, and leaves out what was chosen for a token alone that is not due. Where nobody could
    /// bring another one, a new key is made once for it, and not by each run.
    async fn look_ahead(&self, scene: &mut Scene<'_>, selected: Vec<Selected>) -> Vec<CredentialName> {
        let mut names = Vec::new();
        for Selected {
            name,
            by_token_alone,
            rotated_at,
        } in selected
        {
            if self.renewal() != Renewal::No || scene.session.is_some() {
                // What cannot be opened is told of by the work on it.
                let outlook = scene.job(&name).outlook(self.renewal()).await;
                if let Ok(outlook) = outlook {
                    if by_token_alone && outlook.due_from.is_none() {
                        continue;
                    }
                    let rotated_since = outlook.due_from.is_some_and(|from| rotated_at >= Some(from));
                    let blocked = by_token_alone && rotated_since && self.keeps_token(scene.context);
                    scene.outlooks.insert(name.clone(), Ahead { outlook, blocked });
                }
            }
            names.push(name);
        }
        names
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

    async fn work(&self, scene: &Scene<'_>, names: &[CredentialName], plan: &Plan) -> Vec<Outcome> {
        let progress = scene.context.ui.progress(names.len(), "rotating");
        let progress_ref = &progress;
        let outcomes = stream::iter(names)
            .map(|name| async move {
                let outcome = self.one(scene, name, plan).await;
                progress_ref.inc(1);
                (name.clone(), outcome)
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        progress.finish_and_clear();
        outcomes
    }

    /// Where a new token was asked for, what was done is not all until it is there.
    async fn one(&self, scene: &Scene<'_>, name: &CredentialName, plan: &Plan) -> Result<Standing, Failure> {
        if self.status || self.dry_run {
            let standing = scene.job(name).status().await?;
            warn_of_dependents(scene, &standing);
            return Ok(standing);
        }
        let ahead = scene.outlooks.get(name);
        if ahead.is_some_and(|ahead| ahead.blocked) {
            return Err(not_renewed(&scene.vault.record(name).await?, false));
        }
        let (before, mut standing) = self.once(scene, name, plan).await?;
        if self.finish || self.rollback {
            return Ok(standing);
        }
        // A rotation that was under way goes on with what it began with, and a leak needs one more.
        let same = |standing: &Standing| standing.record.token_fingerprint == before.token_fingerprint;
        if self.compromised && same(&standing) && before.state != State::Active && !self.keeps_token(scene.context) {
            (_, standing) = self.once(scene, name, plan).await?;
        }
        let record = &standing.record;
        let is_due = ahead.is_some_and(|ahead| ahead.outlook.due_from.is_some());
        let says_life = ahead.is_none_or(|ahead| ahead.outlook.says_its_life);
        if self.keeps_token(scene.context) && is_due && same(&standing) {
            return Err(not_renewed(record, record.fingerprint != before.fingerprint));
        }
        if !same(&standing) && self.days.is_none() && !says_life && standing.strategy != Some(Strategy::Dashboard) {
            scene.context.ui.say(&format!(
                "  {name}'s old token does not say how long it was made for; the new one lives {DAYS_OTHERWISE} days (--days N for another time)"
            ));
        }
        Ok(standing)
    }

    /// One rotation, as far as it goes; and how things stood before it.
    async fn once(
        &self,
        scene: &Scene<'_>,
        name: &CredentialName,
        plan: &Plan,
    ) -> Result<(PublicRecord, Standing), Failure> {
        let job = scene.job(name);
        let lease = scene.vault.lease(name, &format!("rotate {name}")).await?;
        let edit = scene.unlocked.edit(lease).await?;
        let before = scene.vault.record(name).await?;
        self.check_restarts(scene, &before)?;
        self.warn_of_cutting_off(scene, &job).await?;
        self.warn_of_holders(scene, &job, &before).await?;
        let outcome = if self.rollback {
            job.rollback(edit).await
        } else {
            job.advance(edit, plan).await
        };
        if let Ok(after) = scene.vault.record(name).await {
            log_deliveries(scene, &before, &after);
            log_steps(scene, &before, &after);
        }
        let standing = outcome?;
        let after = &standing.record;
        warn_of_dependents(scene, &standing);
        let (old, new) = (algorithm_of(&before.public_key), algorithm_of(&after.public_key));
        if let (Some(old), Some(new)) = (old, new)
            && old != new
        {
            scene
                .context
                .ui
                .say(&format!("  {name}'s key was {old}; it is {new} now"));
        }
        Ok((before, standing))
    }
}

/// Writes down which key is active and which is refused since, whether or not the run went on to its end.
fn log_steps(scene: &Scene<'_>, before: &PublicRecord, after: &PublicRecord) {
    let log = |action, fingerprint: &str| {
        let context = scene.context;
        context.log(scene.vault, action, Some(&before.name), Some(fingerprint), None);
    };
    let same = before.fingerprint == after.fingerprint;
    match (before.state, after.state) {
        (State::Active | State::Rotating, State::Retiring) => log("promoted", &after.fingerprint),
        (State::Active | State::Rotating, State::Active) if !same => {
            log("rotated", &after.fingerprint);
            // Each key has a line of its own: this one says which is refused from now on.
            log("retired", &before.fingerprint);
        }
        (State::Retiring, State::Active) if same => {
            if let Some(old) = before.earlier_fingerprints.last() {
                log("retired", old);
            }
        }
        (State::Rotating | State::Retiring, State::Active) => log("rolled-back", &after.fingerprint),
        _ => {}
    }
}

/// Writes down what was delivered since, as the receipts have it.
fn log_deliveries(scene: &Scene<'_>, before: &PublicRecord, after: &PublicRecord) {
    for delivery in after
        .deliveries
        .iter()
        .filter(|delivery| delivery.delivered_at.is_some())
    {
        let had = before.deliveries.iter().find(|had| had.target == delivery.target);
        if had.is_none_or(|had| had.fingerprint != delivery.fingerprint) {
            let fingerprint = delivery.fingerprint.as_deref();
            let place = Some(delivery.target.to_string());
            scene
                .context
                .log(scene.vault, "delivered", Some(&before.name), fingerprint, place);
        }
    }
}

/// A new key renews no token, so that whatever tokens are left near their end are told of: of all that were asked for, due or
/// not.
async fn warn_of_ends(scene: &Scene<'_>, mut records: Vec<PublicRecord>, outcomes: &[Outcome]) {
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

/// The token runs into its end, whether or not the key is a new one.
fn not_renewed(record: &PublicRecord, new_key: bool) -> Failure {
    let name = &record.name;
    let ends = record.token_expires_at.map(|at| at.strftime("%Y-%m-%d"));
    let what = match (new_key, ends) {
        (true, Some(ends)) => format!("{name} has a new key, and its token is the old one and ends on {ends}"),
        (true, None) => format!("{name} has a new key, and its token is the old one"),
        (false, Some(ends)) => format!("the token of {name} ends on {ends}"),
        (false, None) => format!("the token of {name} is the old one"),
    };
    Failure::new(
        Exit::Waiting,
        "token_not_renewed",
        format!("{what}: nobody is named who could make another"),
    )
    .hint(format!(
        "`dfns-keys rotate {name} --renew --as ADMIN` replaces it, or without --no-input by the dashboard"
    ))
}

/// A credential that is to be worked on.
struct Selected {
    name: CredentialName,
    /// Because its token may be due, and for nothing else.
    by_token_alone: bool,
    rotated_at: Option<Timestamp>,
}

/// What lies ahead of a token.
struct Ahead {
    outlook: Outlook,
    /// It is due, its key was replaced since, and nobody is there who could bring another token.
    blocked: bool,
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
