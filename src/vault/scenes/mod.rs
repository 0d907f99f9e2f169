//! What somebody who can write to the vault tries, what a kill leaves, and what random interleavings of members do, on a store in
//! memory.

mod changes;
mod interleavings;
mod lists;
mod moves;
mod strangers;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use age::secrecy::ExposeSecret;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::list::{self, Member};
use super::reseal::Resealed;
use super::store::memory::Memory as MemoryStore;
use super::*;
use crate::model::credential::{
    AnyCredential, Credential, Environment, KeyMaterial, Kind, PendingGeneration, PublicKeyText, Stage,
};
use crate::model::secret::PrivateKeyPem;
use crate::sys::clock::SystemClock;
use crate::sys::files::{IfExists, Readable};

/// Somebody with an age identity in a file.
struct Person {
    identity: age::x25519::Identity,
    file: PathBuf,
}

impl Person {
    fn new(folder: &TempDir, name: &str) -> Self {
        let identity = age::x25519::Identity::generate();
        let file = folder.path().join(name);
        files::write(
            &file,
            identity.to_string().expose_secret().as_bytes(),
            IfExists::Refuse,
            Readable::ByOwner,
        )
        .unwrap();
        Self { identity, file }
    }

    fn member(&self) -> Member {
        Member::new(self.identity.to_public().to_string().parse().unwrap())
    }
}

struct Nobody;

impl Keyholder for Nobody {
    fn passphrase(&self, _: &PassphrasePurpose) -> Result<crate::model::secret::Passphrase, IdentityError> {
        Err(IdentityError::NobodyToAsk)
    }

    fn callbacks(&self) -> Box<dyn PluginDialogue> {
        Box::new(Silent)
    }
}

/// Remembers what it was told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Witness for Told {
    fn rollback_accepted(&self, _: &Vault, what: &str) {
        self.0.lock().unwrap().push(what.to_owned());
    }

    fn recipient_added(&self, _: &Vault, recipient: &RecipientText) {
        self.0.lock().unwrap().push(format!("added {recipient}"));
    }

    fn recipient_removed(&self, _: &Vault, recipient: &RecipientText) {
        self.0.lock().unwrap().push(format!("removed {recipient}"));
    }
}

struct Silent;

impl PluginDialogue for Silent {
    fn show(&self, _: &str) {}

    fn secret(&self, _: &str) -> Option<crate::model::secret::Passphrase> {
        None
    }

    fn text(&self, _: &str) -> Option<String> {
        None
    }

    fn confirm(&self, _: &str, _: &str, _: Option<&str>) -> Option<bool> {
        None
    }
}

/// A vault in memory that alice and bob can open.
struct Scene {
    folder: TempDir,
    store: MemoryStore,
    alice: Person,
    bob: Person,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (alice, bob) = (Person::new(&folder, "alice"), Person::new(&folder, "bob"));
        let directory = folder.path().join("vault");
        Vault::create(
            &directory,
            &Opening::SealOnly,
            &[alice.member(), bob.member()],
            Machine::default(),
            Box::new(SystemClock),
        )
        .await
        .unwrap();
        let store = MemoryStore::default();
        for folder in ["", keyring::KEYS] {
            for name in files::list(&directory.join(folder)).unwrap() {
                let path = directory.join(folder).join(&name);
                if let Ok(bytes) = files::read(&path, 1 << 20) {
                    let name = if folder.is_empty() {
                        name
                    } else {
                        format!("{folder}/{name}")
                    };
                    store.world().overwrite(&name, &bytes);
                }
            }
        }
        Self {
            folder,
            store,
            alice,
            bob,
        }
    }

    /// A machine that remembers.
    fn machine(&self, name: &str) -> Machine {
        Machine {
            state: Some(self.folder.path().join(name)),
            ..Machine::default()
        }
    }

    fn vault(&self, machine: Machine) -> Vault {
        Vault {
            directory: self.folder.path().join("vault"),
            store: Box::new(self.store.clone()),
            machine,
            clock: Box::new(SystemClock),
            wait: Duration::ZERO,
            witness: None,
            log_voucher: Mutex::new(None),
        }
    }

    fn list(&self) -> String {
        String::from_utf8(self.store.world().bytes(list::FILE).unwrap().to_vec()).unwrap()
    }

    fn document(&self, name: &str) -> Vec<u8> {
        let name = format!("credentials/{name}.json");
        self.store.world().bytes(&name).unwrap().to_vec()
    }
}

fn name(text: &str) -> CredentialName {
    text.parse().unwrap()
}

/// A pending credential; `key` stands for its private key.
fn credential(name_text: &str, key: &str) -> Credential<PendingGeneration> {
    Credential {
        name: name(name_text),
        kind: Kind::ServiceAccount,
        environment: Environment {
            api_url: "https://api.dfns.io".parse().unwrap(),
            origin: "https://app.dfns.io".parse().unwrap(),
            application_id: None,
            organisation_id: None,
        },
        created_at: SystemClock.now(),
        rotated_at: None,
        generation: 1,
        earlier_keys: Vec::new(),
        deliveries: Vec::new(),
        upkeep: None,
        current: PendingGeneration {
            private_key: KeyMaterial::Sealed(PrivateKeyPem::new(Zeroizing::new(key.to_owned()))),
            public_key: PublicKeyText {
                pem: format!("public half of {key}"),
                fingerprint: format!("SHA256:{key}"),
            },
            stage: Stage::AwaitingToken,
        },
    }
}

fn key_of(credential: &AnyCredential) -> String {
    match credential {
        AnyCredential::Pending(credential) => credential
            .current
            .private_key
            .sealed()
            .unwrap()
            .expose_secret()
            .to_owned(),
        _ => panic!("only pending ones are made here"),
    }
}

fn unwatched() -> impl Fn(usize, usize) + Sync {
    |_, _| {}
}

async fn put(unlocked: &Unlocked<'_>, name_text: &str, key: &str) -> Result<(), VaultError> {
    let lease = unlocked.vault().lease(&name(name_text), "putting").await?;
    let mut edit = unlocked.edit(lease).await?;
    edit.put(&credential(name_text, key)).await
}

async fn get(unlocked: &Unlocked<'_>, name_text: &str) -> Result<String, VaultError> {
    unlocked
        .get(&name(name_text))
        .await
        .map(|credential| key_of(&credential))
}

async fn unlock<'v>(vault: &'v Vault, person: &Person) -> Result<Unlocked<'v>, VaultError> {
    vault.unlock(std::slice::from_ref(&person.file), &Nobody).await
}

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
