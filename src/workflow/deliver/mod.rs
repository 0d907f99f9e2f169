//! Keeping places up to date with a credential: what is behind is put there, read back where that can be done, and leaves a
//! receipt. What a place may hold is sealed before each attempt, so that no kill makes anybody forget it.

mod any;
mod outcome;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::deliver::{self, Form, Found, Holds, Means, Place, PlaceError};
use crate::export::{ExportError, Exportable, Format};
use crate::model::credential::{ActiveGeneration, Credential};
use crate::model::delivery::Delivery;
use crate::model::effect::Effect;
use crate::model::target::Target;
use crate::sys::child;
use crate::sys::clock::Clock;
use crate::vault::{Contents, Edit};

pub use any::{NameError, forget, name};
pub use outcome::{DeliverError, DeliveryState, Outcome, Reason};

/// Brings a credential to its places.
pub struct Courier<'a> {
    /// What places are worked on with.
    pub means: &'a Means,
    /// The clock.
    pub clock: &'a dyn Clock,
}

/// What was seen of a place before anything is put there.
enum Look {
    /// It is there.
    Has,
    /// It is not.
    Lacks,
    /// Whether it is there cannot be read.
    Closed,
    /// It could not be looked at; nothing is put.
    Not(Reason),
    /// Whether it is there could not be found out this time.
    Unsure(PlaceError),
}

struct Looked {
    look: Look,
    /// Where the target leads from here.
    found: Option<Found>,
}

/// How an attempt ended.
enum Attempt {
    /// It is there.
    Arrived {
        read_back: bool,
        /// The attempt may still go on, or was seen to end.
        ended: bool,
    },
    /// It came to nothing.
    Nothing(PlaceError),
    /// It may be there.
    Doubtful { reason: Reason, ended: bool, unknown: bool },
}

impl Courier<'_> {
    /// Puts whatever is behind among the places that are chosen. Each attempt is sealed before, and its end after.
    ///
    /// # Errors
    /// When the credential cannot be handed over, or the vault refuses. A place that fails is an outcome, and stops no other.
    pub async fn deliver<G>(
        &self,
        credential: &mut Credential<G>,
        generation: &ActiveGeneration,
        edit: &mut Edit<'_>,
        choose: impl Fn(&Delivery) -> bool,
    ) -> Result<Vec<Outcome>, DeliverError>
    where
        for<'c> Contents<'c>: From<&'c Credential<G>>,
    {
        let chosen: Vec<usize> = (0..credential.deliveries.len())
            .filter(|index| choose(&credential.deliveries[*index]))
            .collect();
        let contents = self.contents(credential, generation, &chosen)?;
        let fingerprint = generation.public_key.fingerprint.as_str();
        let looks = self.look(&credential.deliveries, &chosen, &contents).await;
        let mut reasons: Vec<Option<(Reason, bool)>> = chosen.iter().map(|_| None).collect();
        let mut arrived = vec![false; chosen.len()];
        let mut to_put = Vec::new();
        let mut changed = false;
        for (position, looked) in looks.into_iter().enumerate() {
            let delivery = &mut credential.deliveries[chosen[position]];
            let now = self.clock.now();
            if let Some(found) = looked.found
                && !matches!(looked.look, Look::Not(_))
                && delivery.place_digest.is_none()
            {
                (delivery.place, delivery.place_digest) = (Some(found.shown), Some(found.digest));
                changed = true;
            }
            match looked.look {
                Look::Has => {
                    let known = delivery.has(fingerprint)
                        && delivery.intents.is_empty()
                        && delivery.receipt.as_ref().is_some_and(|receipt| receipt.read_back);
                    if !known {
                        arrived[position] = !delivery.has(fingerprint);
                        delivery.confirm(fingerprint, true, now);
                        changed = true;
                    }
                }
                Look::Closed if delivery.has(fingerprint) => {}
                Look::Unsure(error) if delivery.has(fingerprint) => {
                    reasons[position] = Some((Reason::Place(error), true));
                }
                // The other machine has delivered it.
                Look::Not(Reason::Elsewhere { .. }) if delivery.in_sync(fingerprint) => {}
                Look::Not(reason) => reasons[position] = Some((reason, false)),
                look @ (Look::Lacks | Look::Closed | Look::Unsure(_)) => {
                    delivery.lost |= matches!(look, Look::Lacks);
                    delivery.intend(fingerprint, now);
                    to_put.push(position);
                    changed = true;
                }
            }
        }
        if changed {
            edit.put(&*credential).await?;
        }
        let targets: Vec<Target> = chosen
            .iter()
            .map(|index| credential.deliveries[*index].target.clone())
            .collect();
        let to_put = to_put
            .into_iter()
            .filter_map(|position| Some((position, contents[position].as_ref()?)));
        let mut attempts: FuturesUnordered<_> = to_put
            .map(|(position, contents)| {
                let target = &targets[position];
                async move {
                    let place = self.means.open(target);
                    (position, attempt(&*place, contents).await)
                }
            })
            .collect();
        while let Some((position, outcome)) = attempts.next().await {
            let delivery = &mut credential.deliveries[chosen[position]];
            match outcome {
                Attempt::Arrived { read_back, ended } => {
                    if ended {
                        delivery.ended();
                    }
                    delivery.confirm(fingerprint, read_back, self.clock.now());
                    arrived[position] = true;
                }
                Attempt::Nothing(error) => {
                    delivery.nothing_was_put();
                    reasons[position] = Some((Reason::Place(error), false));
                }
                Attempt::Doubtful { reason, ended, unknown } => {
                    if ended {
                        delivery.ended();
                    }
                    reasons[position] = Some((reason, unknown));
                }
            }
            edit.put(&*credential).await?;
        }
        drop(attempts);
        for (position, index) in chosen.iter().enumerate() {
            let delivery = &credential.deliveries[*index];
            if reasons[position].is_some() || !delivery.has(fingerprint) || !delivery.then_pending {
                continue;
            }
            let Some(contents) = &contents[position] else { continue };
            match self.run_then(&delivery.then, contents).await {
                Ok(()) => {
                    credential.deliveries[*index].then_pending = false;
                    edit.put(&*credential).await?;
                }
                Err(error) => reasons[position] = Some((Reason::Then(error), false)),
            }
        }
        let outcomes = chosen.iter().zip(reasons).zip(arrived);
        let outcomes = outcomes
            .map(|((index, reason), arrived)| Outcome {
                arrived,
                ..Outcome::of(&credential.deliveries[*index], fingerprint, reason)
            })
            .collect();
        if drop_replaced(&mut credential.deliveries, fingerprint) {
            edit.put(&*credential).await?;
        }
        Ok(outcomes)
    }

    /// Looks whether the places have it, and puts nothing.
    ///
    /// # Errors
    /// When the credential cannot be handed over.
    pub async fn check<G>(
        &self,
        credential: &Credential<G>,
        generation: &ActiveGeneration,
        choose: impl Fn(&Delivery) -> bool,
    ) -> Result<Vec<Outcome>, DeliverError> {
        let chosen: Vec<usize> = (0..credential.deliveries.len())
            .filter(|index| choose(&credential.deliveries[*index]))
            .collect();
        let contents = self.contents(credential, generation, &chosen)?;
        let fingerprint = generation.public_key.fingerprint.as_str();
        let looks = self.look(&credential.deliveries, &chosen, &contents).await;
        let outcomes = chosen.iter().zip(looks);
        Ok(outcomes
            .map(|(index, looked)| Outcome::seen(&credential.deliveries[*index], fingerprint, looked.look))
            .collect())
    }

    fn contents<G>(
        &self,
        credential: &Credential<G>,
        generation: &ActiveGeneration,
        chosen: &[usize],
    ) -> Result<Vec<Option<deliver::Contents>>, DeliverError> {
        let exportable = Exportable {
            name: &credential.name,
            environment: &credential.environment,
            generation,
        };
        chosen
            .iter()
            .map(|index| {
                // One that cannot be delivered to stops no other.
                let form = deliver::form(&credential.deliveries[*index].target).ok();
                Ok(form.map(|form| contents(&exportable, form)).transpose()?)
            })
            .collect()
    }

    async fn look(
        &self,
        deliveries: &[Delivery],
        chosen: &[usize],
        contents: &[Option<deliver::Contents>],
    ) -> Vec<Looked> {
        let looks = chosen
            .iter()
            .zip(contents)
            .map(|(index, contents)| self.look_at(&deliveries[*index], contents.as_ref()));
        futures_util::future::join_all(looks).await
    }

    async fn look_at(&self, delivery: &Delivery, contents: Option<&deliver::Contents>) -> Looked {
        let not = |reason| Looked {
            look: Look::Not(reason),
            found: None,
        };
        let Some(contents) = contents else {
            let reason = deliver::form(&delivery.target).err().unwrap_or_default();
            return not(Reason::Unusable(reason));
        };
        if let Some(host) = self.means.elsewhere(&delivery.target) {
            return not(Reason::Elsewhere { host: host.to_owned() });
        }
        let place = self.means.open(&delivery.target);
        let found = match place.resolve().await {
            Ok(found) => found.and_then(|found| Found::of(&*place, &found)),
            Err(error) => return not(Reason::Place(error)),
        };
        let same = |found: &Found| match &delivery.place_digest {
            Some(sealed) => found.digest == *sealed,
            None => Some(&found.shown) == delivery.place.as_ref(),
        };
        if let Some(sealed) = &delivery.place
            && !found.as_ref().is_some_and(same)
        {
            return not(Reason::AnotherPlace {
                sealed: sealed.clone(),
                found: found.map(|found| found.shown),
            });
        }
        let was_read = delivery.receipt.as_ref().is_some_and(|receipt| receipt.read_back);
        let look = match place.holds(contents).await {
            Ok(Some(Holds::These)) => Look::Has,
            Ok(Some(Holds::Others | Holds::Nothing)) => Look::Lacks,
            Ok(None) => Look::Closed,
            // Who may put and may not read is told so by every reading; who could read it before is held up by something else.
            Err(PlaceError::Refused { .. }) if !was_read => Look::Closed,
            Err(error) if error.effect() == Effect::None => Look::Not(Reason::Place(error)),
            Err(error) => Look::Unsure(error),
        };
        Looked { look, found }
    }

    async fn run_then(&self, words: &[String], contents: &deliver::Contents) -> Result<(), PlaceError> {
        let Some((program, arguments)) = words.split_first() else {
            return Ok(());
        };
        let ended = child::run_and_leave(program, arguments, self.means.limit)
            .await
            .map_err(|error| PlaceError::Program {
                program: program.clone(),
                error,
            })?;
        deliver::succeeded(program, &ended, contents)
    }
}

/// Drops what is remembered of places that were forgotten, and then named and delivered to anew. Says whether there were any.
fn drop_replaced(deliveries: &mut Vec<Delivery>, fingerprint: &str) -> bool {
    let (forgotten, mut live): (Vec<Delivery>, Vec<Delivery>) = std::mem::take(deliveries)
        .into_iter()
        .partition(|place| place.forgotten);
    let count = forgotten.len();
    let mut left = forgotten;
    left.retain(|forgotten| !live.iter_mut().any(|place| place.replaces(forgotten, fingerprint)));
    let dropped = left.len() < count;
    *deliveries = live;
    deliveries.append(&mut left);
    dropped
}

/// Puts it, and sees what became of it.
async fn attempt(place: &dyn Place, contents: &deliver::Contents) -> Attempt {
    let error = match place.put(contents).await {
        Ok(()) => {
            return match place.holds(contents).await {
                Ok(Some(Holds::Others | Holds::Nothing)) => Attempt::Doubtful {
                    reason: Reason::NotSeen,
                    ended: true,
                    unknown: false,
                },
                seen => Attempt::Arrived {
                    read_back: matches!(seen, Ok(Some(Holds::These))),
                    ended: true,
                },
            };
        }
        Err(error) if error.effect() == Effect::None => return Attempt::Nothing(error),
        Err(error) => error,
    };
    let ended = !error.goes_on();
    match place.holds(contents).await {
        // The answer was lost, and the secret was not.
        Ok(Some(Holds::These)) => Attempt::Arrived { read_back: true, ended },
        Ok(Some(Holds::Others | Holds::Nothing)) if ended => Attempt::Nothing(error),
        seen => Attempt::Doubtful {
            reason: Reason::Place(error),
            ended,
            unknown: !ended && !matches!(seen, Ok(Some(_))),
        },
    }
}

fn contents(exportable: &Exportable<'_>, form: Option<Form>) -> Result<deliver::Contents, ExportError> {
    let format = form.map(|form| match form {
        Form::Dotenv => Format::Dotenv,
        Form::DockerEnv => Format::DockerEnv,
        Form::Json => Format::Json,
        Form::PemPrivate => Format::PemPrivate,
    });
    Ok(deliver::Contents {
        variables: exportable.variables()?,
        text: format.map(|format| exportable.render(&format)).transpose()?,
    })
}
