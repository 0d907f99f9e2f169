//! A credential's places, whichever state it is in: named, forgotten, delivered to.

use thiserror::Error;

use super::{Courier, DeliverError, Outcome};
use crate::export::ExportError;
use crate::model::credential::{AnyCredential, Unusable};
use crate::model::delivery::Delivery;
use crate::model::target::Target;
use crate::vault::Edit;

/// The places of a credential that can be delivered.
///
/// # Errors
/// When programs cannot use it, so that it is delivered nowhere.
fn places(credential: &mut AnyCredential) -> Result<&mut Vec<Delivery>, Unusable> {
    match credential {
        AnyCredential::Active(credential) => Ok(&mut credential.deliveries),
        AnyCredential::Rotating(credential) => Ok(&mut credential.deliveries),
        AnyCredential::Pending(_) => Err(Unusable::NoToken),
        AnyCredential::User(_) => Err(Unusable::User),
    }
}

/// A place is not named.
#[derive(Debug, Error)]
pub enum NameError {
    /// Programs cannot use the credential.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// Its key never leaves where it is held.
    #[error(transparent)]
    Held(#[from] ExportError),
    /// It is delivered there already, in another form.
    #[error("it is delivered to {0} already")]
    Taken(Target),
}

/// Names a place, or says anew which program is to be run there.
///
/// # Errors
/// When programs cannot use the credential, its key is held elsewhere, or it has the same place by another name.
pub fn name(credential: &mut AnyCredential, target: &Target, then: Option<&[String]>) -> Result<(), NameError> {
    must_be_sealed(credential)?;
    let places = places(credential)?;
    let other = |place: &&Delivery| !place.forgotten && place.target != *target && place.target.same_place(target);
    if let Some(other) = places.iter().find(other) {
        return Err(NameError::Taken(other.target.clone()));
    }
    // One that was forgotten may have led somewhere else, and may have a key there that is to be refused.
    let is_it = |place: &Delivery| place.target == *target && !(place.forgotten && place.place.is_some());
    let place = if let Some(at) = places.iter().position(is_it) {
        &mut places[at]
    } else {
        places.push(Delivery::new(target.clone(), Vec::new()));
        places.last_mut().expect("one was put there just now")
    };
    place.forgotten = false;
    if let Some(then) = then
        && place.then != then
    {
        place.then = then.to_vec();
        // It was not run there yet.
        place.then_pending = place.receipt.is_some();
    }
    Ok(())
}

fn must_be_sealed(credential: &AnyCredential) -> Result<(), ExportError> {
    let (name, generation) = match credential {
        AnyCredential::Active(credential) => (&credential.name, &credential.current),
        AnyCredential::Rotating(credential) => (&credential.name, &credential.current.active),
        AnyCredential::Pending(_) | AnyCredential::User(_) => return Ok(()),
    };
    let sealed = generation.private_key.sealed().map(drop);
    sealed.map_err(|error| ExportError::Held {
        name: name.clone(),
        error,
    })
}

/// Forgets a place. While a rotation is under way it is remembered that it may have the key that is to be refused.
///
/// # Errors
/// When programs cannot use the credential. Says whether there was such a place.
pub fn forget(credential: &mut AnyCredential, target: &Target) -> Result<bool, Unusable> {
    let under_way = matches!(credential, AnyCredential::Rotating(_));
    let places = places(credential)?;
    let Some(at) = places
        .iter()
        .position(|place| place.target == *target && !place.forgotten)
    else {
        return Ok(false);
    };
    if under_way {
        places[at].forgotten = true;
    } else {
        places.remove(at);
    }
    Ok(true)
}

impl Courier<'_> {
    /// As [`Courier::deliver`], of what programs use now.
    ///
    /// # Errors
    /// As there.
    pub async fn deliver_any(
        &self,
        credential: &mut AnyCredential,
        edit: &mut Edit<'_>,
        choose: impl Fn(&Delivery) -> bool,
    ) -> Result<Vec<Outcome>, DeliverError> {
        match credential {
            AnyCredential::Active(credential) => {
                let generation = credential.current.clone();
                self.deliver(credential, &generation, edit, choose).await
            }
            AnyCredential::Rotating(credential) => {
                let generation = credential.current.active.clone();
                self.deliver(credential, &generation, edit, choose).await
            }
            AnyCredential::Pending(_) | AnyCredential::User(_) => Ok(Vec::new()),
        }
    }

    /// As [`Courier::check`], of what programs use now.
    ///
    /// # Errors
    /// As there.
    pub async fn check_any(&self, credential: &AnyCredential) -> Result<Vec<Outcome>, DeliverError> {
        let choose = |place: &Delivery| !place.forgotten;
        match credential {
            AnyCredential::Active(credential) => self.check(credential, &credential.current, choose).await,
            AnyCredential::Rotating(credential) => self.check(credential, &credential.current.active, choose).await,
            AnyCredential::Pending(_) | AnyCredential::User(_) => Ok(Vec::new()),
        }
    }
}
