//! The work on one credential or many, and what of it goes to the audit log.

use super::messages::warn_of_dependents;
use super::{RotateArgs, Scene};
use crate::cli::context::Context;
use crate::cli::error::{Exit, Failure};
use crate::cli::many::{self, Outcomes};
use crate::keys::pem::algorithm_of;
use crate::model::credential::State;
use crate::model::ids::CredentialName;
use crate::model::record::PublicRecord;
use crate::model::rotation::Strategy;
use crate::vault::Vault;
use crate::workflow::rotate::{DAYS_OTHERWISE, Plan, Standing};

/// How many credentials are worked on at once; the client's rate limit stands above it.
const AT_ONCE: usize = 16;

impl RotateArgs {
    pub(super) async fn work(&self, scene: &Scene<'_>, names: &[CredentialName], plan: &Plan) -> Outcomes<Standing> {
        let items = names.iter().map(|name| (name, name));
        many::each(&scene.context.ui, "rotating", AT_ONCE, items, async |name| {
            self.one(scene, name, plan).await
        })
        .await
    }

    /// Where a new token was asked for, what was done is not all until it is there.
    pub(super) async fn one(&self, scene: &Scene<'_>, name: &CredentialName, plan: &Plan) -> Result<Standing, Failure> {
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
            log_deliveries(scene.context, scene.vault, &before, &after);
            log_steps(scene.context, scene.vault, &before, &after);
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
pub(in crate::cli::command) fn log_steps(
    context: &Context,
    vault: &Vault,
    before: &PublicRecord,
    after: &PublicRecord,
) {
    let log = |action, fingerprint: &str| {
        context.log(vault, action, Some(&before.name), Some(fingerprint), None);
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
pub(in crate::cli::command) fn log_deliveries(
    context: &Context,
    vault: &Vault,
    before: &PublicRecord,
    after: &PublicRecord,
) {
    for delivery in after
        .deliveries
        .iter()
        .filter(|delivery| delivery.delivered_at.is_some())
    {
        let had = before.deliveries.iter().find(|had| had.target == delivery.target);
        if had.is_none_or(|had| had.fingerprint != delivery.fingerprint) {
            let fingerprint = delivery.fingerprint.as_deref();
            let place = Some(delivery.target.to_string());
            context.log(vault, "delivered", Some(&before.name), fingerprint, place);
        }
    }
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
