//! The credential that the proxy signs with, as the vault has it now: after a rotation the new key is used within a second.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::ProxyError;
use crate::api::Access;
use crate::keys::PrivateKey;
use crate::keys::pem::unseal;
use crate::model::credential::{ActiveGeneration, Environment};
use crate::model::ids::CredentialName;
use crate::model::user_action::Signer;
use crate::vault::Unlocked;

const FRESH: Duration = Duration::from_secs(1);

/// A credential ready to sign with.
pub(super) struct Live {
    environment: Environment,
    generation: ActiveGeneration,
    key: PrivateKey,
}

impl Live {
    pub(super) fn access(&self) -> Access<'_> {
        Access::of(&self.environment, &self.generation, &self.key)
    }

    pub(super) fn fingerprint(&self) -> &str {
        &self.generation.public_key.fingerprint
    }
}

/// Keeps the vault's identities for as long as the proxy runs.
pub(super) struct Holder<'v> {
    unlocked: &'v Unlocked<'v>,
    name: CredentialName,
    live: RefCell<(Rc<Live>, Instant)>,
}

impl<'v> Holder<'v> {
    pub(super) async fn open(unlocked: &'v Unlocked<'v>, name: &CredentialName) -> Result<Self, ProxyError> {
        let live = read(unlocked, name).await?;
        // What is wrong with a key that is held elsewhere is told before anybody relies on it, and its PIN asked for while there
        // is somebody to ask.
        if live.key.held().is_some() {
            live.key.sign(b"dfns-keys: does this key sign?").await?;
        }
        Ok(Self {
            unlocked,
            name: name.clone(),
            live: RefCell::new((Rc::new(live), Instant::now())),
        })
    }

    /// The credential, at most a second old.
    pub(super) async fn live(&self) -> Rc<Live> {
        let fresh = self.live.borrow().1.elapsed() < FRESH;
        if fresh {
            return Rc::clone(&self.live.borrow().0);
        }
        self.reload().await
    }

    /// Another credential than this one, if the vault has one by now: Dfns refused this one.
    pub(super) async fn instead_of(&self, refused: &Live) -> Option<Rc<Live>> {
        let live = self.reload().await;
        let changed = live.fingerprint() != refused.fingerprint()
            || live.generation.token.expose_secret() != refused.generation.token.expose_secret();
        changed.then_some(live)
    }

    async fn reload(&self) -> Rc<Live> {
        let read = read(self.unlocked, &self.name).await;
        let mut held = self.live.borrow_mut();
        // A vault that cannot be read at this moment is no reason to stop. A rotation never changes the address: a credential
        // with another one is not followed, since whoever can write to the vault could have sealed it.
        if let Ok(live) = read
            && live.environment.api_url == held.0.environment.api_url
        {
            held.0 = Rc::new(live);
        }
        held.1 = Instant::now();
        Rc::clone(&held.0)
    }
}

async fn read(unlocked: &Unlocked<'_>, name: &CredentialName) -> Result<Live, ProxyError> {
    let (environment, generation) = unlocked.get(name).await?.into_usable()?;
    Ok(Live {
        key: unseal(&generation.private_key)?,
        environment,
        generation,
    })
}
