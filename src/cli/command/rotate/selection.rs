//! Which credentials a run works on, by what their public records say and by what lies ahead of their tokens.

use jiff::Timestamp;
use serde_json::json;

use super::{RotateArgs, Scene};
use crate::cli::error::Failure;
use crate::cli::many::Outcomes;
use crate::cli::ui::fields;
use crate::model::credential::{Kind, State};
use crate::model::ids::CredentialName;
use crate::model::record::PublicRecord;
use crate::vault::Vault;
use crate::workflow::rotate::{Outlook, Renewal, RotateError, Standing};

/// A credential that is to be worked on.
pub(super) struct Selected {
    pub(super) name: CredentialName,
    /// Because its token may be due, and for nothing else.
    pub(super) by_token_alone: bool,
    pub(super) rotated_at: Option<Timestamp>,
}

/// What lies ahead of a token.
pub(super) struct Ahead {
    pub(super) outlook: Outlook,
    /// It is due, its key was replaced since, and nobody is there who could bring another token.
    pub(super) blocked: bool,
}

impl RotateArgs {
    /// Refuses one name alone for what its public record says, before anybody types a passphrase.
    pub(super) fn check_alone(&self, record: &PublicRecord) -> Result<(), Failure> {
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

    /// The credentials that are to be worked on by what their public records say, the records of all that were asked for, and those
    /// of all that cannot even be looked at, which stop no other.
    pub(super) async fn select(
        &self,
        vault: &Vault,
    ) -> Result<(Vec<Selected>, Vec<PublicRecord>, Outcomes<Standing>), Failure> {
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
    pub(super) async fn look_ahead(&self, scene: &mut Scene<'_>, selected: Vec<Selected>) -> Vec<CredentialName> {
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
}
