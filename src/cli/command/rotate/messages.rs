//! What a person is told of a rotation: where it stands, what a run would do, who still has the old key.

use jiff::Timestamp;

use super::{GraceArg, RotateArgs, Scene, StrategyArg};
use crate::cli::changes::{self, Line};
use crate::cli::error::Failure;
use crate::cli::ui::Tone;
use crate::model::credential::State;
use crate::model::ids::CredentialName;
use crate::model::record::PublicRecord;
use crate::model::rotation::{Grace, Strategy};
use crate::workflow::rotate::{Change, DELIVERED, DELIVERING, Job, PROMOTED, RETIRED, ROLLED_BACK, Standing, Why};

/// What may be destroyed by hand, in the place itself.
fn tell_unneeded(scene: &Scene<'_>, standing: &Standing) {
    if let Some(uri) = &standing.unneeded_key {
        let ui = &scene.context.ui;
        ui.say(&format!(
            "  {} may be destroyed now, which is left to you:",
            uri.in_words()
        ));
        ui.say(&format!("    {uri}"));
    }
}

impl RotateArgs {
    /// What a run would do, in the words of `plan`; of one credential, also how.
    pub(super) fn tell_changes(&self, scene: &Scene<'_>, planned: &[(&Standing, Change, Why)]) -> Result<(), Failure> {
        let ui = &scene.context.ui;
        let line = |(standing, change, why): &(&Standing, Change, Why)| Line {
            name: standing.record.name.to_string(),
            word: changes::word(change.as_str()),
            tone: match change {
                Change::Blocked => Tone::Bad,
                Change::Retire => Tone::Doubtful,
                Change::None => Tone::Plain,
                Change::Rotate | Change::Renew => Tone::Good,
            },
            reason: why.to_string(),
            needs: (*change == Change::Blocked).then(|| "--as ADMIN, or a run without --no-input".to_owned()),
        };
        for line in changes::lines(planned.iter().map(line), ui.window()) {
            ui.answer(&line)?;
        }
        if let [(standing, change, _)] = planned
            && *change != Change::Blocked
        {
            let renews = *change == Change::Renew;
            for line in self.planned(scene.session.is_some(), renews, &standing.record.name, standing) {
                ui.answer(&line)?;
            }
        }
        Ok(())
    }

    pub(super) fn tell(&self, scene: &Scene<'_>, name: &CredentialName, standing: &Standing) -> Result<(), Failure> {
        let ui = &scene.context.ui;
        let step = match standing.step {
            "none" => "never rotated",
            step => step,
        };
        let line = format!(
            "{name}  {}  generation {}  {step}",
            standing.record.state, standing.record.generation
        );
        if self.status || self.all {
            ui.answer(&line)?;
            if self.status {
                ui.answer(&format!(
                    "  next run: {}",
                    next_run(standing, scene.vault.clock().now())
                ))?;
                for line in where_the_old_key_is(scene, name, standing) {
                    ui.answer(&line)?;
                }
            }
            return Ok(());
        }
        match standing.record.state {
            State::Retiring => {
                ui.say(&format!(
                    "{name} now signs with the new key ({}); the old one works too{}.",
                    standing.record.fingerprint,
                    if standing.retires_at.is_none() {
                        ", until you say otherwise"
                    } else {
                        ""
                    }
                ));
                for delivery in standing.record.deliveries.iter().filter(|delivery| delivery.in_sync) {
                    ui.say(&format!("  {} has the new one", delivery.target));
                }
                ui.say("  hand the new one over to what runs with the old one");
                let places = where_the_old_key_is(scene, name, standing);
                if places.is_empty() && standing.record.deliveries.is_empty() {
                    ui.say(&format!(
                        "    dfns-keys export {name} --format FORMAT --output FILE --force"
                    ));
                }
                for line in places {
                    ui.say(&line);
                }
                ui.say(&format!("  and start again what `dfns-keys exec {name}` had started"));
                match standing.retires_at {
                    Some(at) => ui.say(&format!("  a run after {at} retires the old key")),
                    None => ui.say(&format!("  then retire the old key:  dfns-keys rotate {name} --finish")),
                }
            }
            // Also where a plain run went on with a rollback.
            State::Active if standing.step == ROLLED_BACK => {
                ui.say(&format!("{name} signs with the old key again; the new one is refused."));
                tell_unneeded(scene, standing);
            }
            State::Pending | State::Active | State::Rotating => {
                let gone = match standing.unneeded_key {
                    None => "its secret is gone",
                    Some(_) => "is needed no more",
                };
                ui.say(&format!(
                    "{name} signs with {}; the old key is refused, and {gone}.",
                    standing.record.fingerprint
                ));
                tell_unneeded(scene, standing);
                for line in where_the_old_key_is(scene, name, standing) {
                    ui.say(&line);
                }
            }
        }
        Ok(())
    }

    /// Says, before the old key is retired, what still has it.
    pub(super) async fn warn_of_holders(
        &self,
        scene: &Scene<'_>,
        job: &Job<'_>,
        record: &PublicRecord,
    ) -> Result<(), Failure> {
        if self.rollback {
            return Ok(());
        }
        let at_once = matches!(self.grace, Some(GraceArg(Grace::Seconds(0))));
        let old = if record.state == State::Retiring {
            let standing = job.status().await?;
            let due = at_once || standing.retires_at.is_some_and(|at| at <= scene.vault.clock().now());
            let asked = self.finish || standing.step == "retiring";
            let going = asked || (due && standing.dependents.is_none());
            standing.old_fingerprint.filter(|_| going)
        } else {
            Some(record.fingerprint.clone()).filter(|_| at_once)
        };
        let Some(old) = old else { return Ok(()) };
        let ui = &scene.context.ui;
        for holder in scene.exports.of(scene.vault, ui, &old) {
            ui.warn(&format!(
                "{holder} {} the old key of {}, which is about to be retired",
                holder.verb(),
                record.name
            ));
        }
        Ok(())
    }

    /// Says who stops working before it is done, to those who asked for it.
    pub(super) async fn warn_of_cutting_off(&self, scene: &Scene<'_>, job: &Job<'_>) -> Result<(), Failure> {
        let dependents = match (self.finish, self.rollback) {
            (true, _) => job.cut_off_by_retirement().await?,
            (_, true) => job.cut_off_by_rollback().await?,
            (false, false) => return Ok(()),
        };
        for name in &dependents.names {
            let with = &dependents.with;
            scene
                .context
                .ui
                .warn(&format!("{name} signs with {with}, and stops working with it"));
        }
        Ok(())
    }

    /// The calls that a run would make, in their order.
    fn planned(&self, administrator: bool, renews: bool, name: &CredentialName, standing: &Standing) -> Vec<String> {
        let mut lines = vec![format!("{name}  would:")];
        let mut add = |line: &str| lines.push(format!("  {line}"));
        if standing.record.state != State::Retiring {
            let first = match self.strategy {
                StrategyArg::Auto if renews && administrator => StrategyArg::Replace,
                StrategyArg::Auto if renews => StrategyArg::Dashboard,
                asked => asked,
            };
            let strategy = standing.strategy.map_or(first, |strategy| match strategy {
                Strategy::Credential => StrategyArg::Credential,
                Strategy::Replace => StrategyArg::Replace,
                Strategy::Dashboard => StrategyArg::Dashboard,
            });
            if matches!(strategy, StrategyArg::Auto | StrategyArg::Credential) {
                add("seal a new key");
                add("POST /auth/credentials/init, POST /auth/credentials (signed with the old key)");
            }
            let mut within = "";
            if strategy == StrategyArg::Auto {
                add("where that is answered with 401 or 403:");
                within = "  ";
            }
            if matches!(strategy, StrategyArg::Auto | StrategyArg::Replace) && administrator {
                add(&format!(
                    "{within}GET the accounts, POST a new one (signed as the administrator), POST its permissions"
                ));
            } else if matches!(strategy, StrategyArg::Auto | StrategyArg::Dashboard) {
                add(&format!(
                    "{within}show the public key, and wait for the token of a new account (exit code 7)"
                ));
            }
            add("POST /auth/action/init, POST /auth/action (signed test call with the new key)");
            add("make the new key active; the old one works too");
        }
        for delivery in &standing.record.deliveries {
            add(&format!("put it to {}, and read it back", delivery.target));
        }
        match self.grace.map(|grace| grace.0) {
            Some(Grace::Seconds(0)) => add("deactivate the old key, and see that it is refused"),
            Some(Grace::Seconds(seconds)) => add(&format!("after {seconds} s, in a later run: deactivate the old key")),
            Some(Grace::Manual) | None => add("on --finish: deactivate the old key, and see that it is refused"),
        }
        lines
    }
}

/// Names who is to get a key of its own before the old one goes.
pub(super) fn warn_of_dependents(scene: &Scene<'_>, standing: &Standing) {
    let Some(dependents) = &standing.dependents else { return };
    for name in &dependents.names {
        scene.context.ui.warn(&format!(
            "{name} still signs with {}: `dfns-keys rotate {name}` gives it a key of its own",
            dependents.with
        ));
    }
}

/// The places that the old key was handed over to, as far as the log knows, each with the command that hands over the new one.
fn where_the_old_key_is(scene: &Scene<'_>, name: &CredentialName, standing: &Standing) -> Vec<String> {
    let Some(old) = &standing.old_fingerprint else {
        return Vec::new();
    };
    let delivered = standing.record.deliveries.iter();
    let delivered = delivered.filter(|delivery| delivery.fingerprint.as_ref() == Some(old));
    let delivered = delivered.map(|delivery| format!("  still has the old key:  {}", delivery.target));
    let holders = scene.exports.of(scene.vault, &scene.context.ui, old);
    let lines = holders.iter().flat_map(|holder| {
        [
            format!("  {} the old key:  {holder}", holder.verb()),
            format!("    {}", holder.again(name)),
        ]
    });
    delivered.chain(lines).collect()
}

fn next_run(standing: &Standing, now: Timestamp) -> String {
    if let (Some(at), Some(dependents)) = (standing.retires_at, &standing.dependents)
        && at <= now
    {
        let names: Vec<&str> = dependents.names.iter().map(CredentialName::as_str).collect();
        return format!("waits for {} to get a key of its own", names.join(", "));
    }
    match (standing.step, standing.retires_at) {
        (RETIRED | "none", _) => "begins a rotation".to_owned(),
        ("rolling_back", _) => "goes on undoing".to_owned(),
        (DELIVERING, _) => "delivers the new key to the places that are behind".to_owned(),
        (PROMOTED | DELIVERED, Some(at)) if at <= now => "retires the old key".to_owned(),
        (PROMOTED | DELIVERED, Some(at)) => format!("waits until {at}, then retires the old key"),
        (PROMOTED | DELIVERED, None) => "waits for --finish".to_owned(),
        ("retiring", _) => "sees that the old key is refused, and drops its secret".to_owned(),
        _ => "goes on bringing the new key in".to_owned(),
    }
}
