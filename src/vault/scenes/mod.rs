//! What somebody who can write to the vault tries, what a kill leaves, and what random interleavings of members do, on a store in
//! memory.

mod changes;
mod strangers;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use age::secrecy::ExposeSecret;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::change::Resealed;
use super::list::{self, Member};
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

#[tokio::test]
async fn a_recipient_added_to_the_list_by_hand_stops_everything_and_is_put_right() {
    let scene = Scene::new().await;
    let vault = scene.vault(scene.machine("m"));
    let alice = unlock(&vault, &scene.alice).await.unwrap();
    put(&alice, "a", "1").await.unwrap();
    let genuine = scene.list();
    let mallory = Person::new(&scene.folder, "mallory");
    let forged = format!("{genuine}{}\n", mallory.member().recipient);
    scene.store.world().overwrite(list::FILE, forged.as_bytes());

    assert!(put(&alice, "b", "2").await.is_err(), "one that was open already");
    let refused = unlock(&vault, &scene.alice).await.err().unwrap();
    assert!(
        matches!(refused, VaultError::Damaged { .. } | VaultError::ListChanged(_)),
        "{refused}"
    );
    assert!(scene.store.world().bytes("credentials/b.json").is_none());

    // Whatever stands around the lines.
    let reworded = genuine.replacen("# Who can open", "# Who may open", 1);
    scene.store.world().overwrite(list::FILE, reworded.as_bytes());
    assert!(matches!(
        unlock(&vault, &scene.alice).await,
        Err(VaultError::ListChanged(ListChange::Code))
    ));

    // In the middle, under a code that was genuine for the lines before.
    let line = format!("{}\n# code: ", mallory.member().recipient);
    scene
        .store
        .world()
        .overwrite(list::FILE, genuine.replace("# code: ", &line).as_bytes());
    let refused = unlock(&vault, &scene.alice).await.err().unwrap();
    assert!(
        refused
            .to_string()
            .contains(&format!("added: {}", mallory.member().recipient)),
        "{refused}"
    );

    let Synced::Broken(repair) = vault
        .examine(std::slice::from_ref(&scene.alice.file), &Nobody)
        .await
        .unwrap()
    else {
        panic!("the list is broken");
    };
    assert!(repair.is_known);
    let alice = vault.repair(*repair).await.unwrap();
    assert_eq!(scene.list(), genuine, "put back to the byte, so that its digest stays");
    assert_eq!(get(&alice, "a").await.unwrap(), "1");
}

#[tokio::test]
async fn a_list_and_secrets_of_a_strangers_own_are_another_vault() {
    let (scene, strangers) = (Scene::new().await, Scene::new().await);
    let vault = scene.vault(scene.machine("m"));
    let id = unlock(&vault, &scene.alice).await.unwrap().id().unwrap();
    // A vault of the stranger's, sealed to alice too.
    let theirs = strangers.vault(Machine::default());
    let stranger = unlock(&theirs, &strangers.alice).await.unwrap();
    stranger
        .add_recipient(scene.alice.member(), &unwatched())
        .await
        .unwrap();
    let names = strangers.store.world().names();
    for name in names {
        let bytes = strangers.store.world().bytes(&name).unwrap().to_vec();
        scene.store.world().overwrite(&name, &bytes);
    }
    let refused = unlock(&vault, &scene.alice).await.err().unwrap();
    assert!(
        matches!(&refused, VaultError::WrongVault(WrongVault { expected, .. }) if *expected == id),
        "{refused}"
    );
    // A machine without memory believes it, unless somebody says which vault it must be.
    let stateless = scene.vault(Machine::default());
    assert!(unlock(&stateless, &scene.alice).await.is_ok());
    let told = scene.vault(Machine {
        expected: Some((id, None)),
        ..Machine::default()
    });
    assert!(matches!(
        unlock(&told, &scene.alice).await,
        Err(VaultError::WrongVault(_))
    ));
}

#[tokio::test]
async fn a_removed_member_cannot_go_back_or_make_the_next_list() {
    let scene = Scene::new().await;
    let vault = scene.vault(scene.machine("m"));
    let alice = unlock(&vault, &scene.alice).await.unwrap();
    put(&alice, "a", "1").await.unwrap();
    let before = (scene.list(), scene.document("a"));

    // Bob forks the vault while he can: a list without alice's machine knowing, of the next epoch.
    let bobs = scene.vault(scene.machine("m2"));
    let bob = unlock(&bobs, &scene.bob).await.unwrap();
    let accomplice = Person::new(&scene.folder, "accomplice");
    bob.add_recipient(accomplice.member(), &unwatched()).await.unwrap();
    let forked = scene.list();
    let another = Person::new(&scene.folder, "another accomplice");
    bob.add_recipient(another.member(), &unwatched()).await.unwrap();
    let higher = scene.list();
    scene.store.world().overwrite(list::FILE, before.0.as_bytes());
    scene.store.world().overwrite("credentials/a.json", &before.1);

    alice
        .remove_recipient(&scene.bob.member().recipient, &unwatched())
        .await
        .unwrap()
        .complete()
        .unwrap();
    assert_eq!(get(&alice, "a").await.unwrap(), "1");
    let after = scene.list();
    for old in [&before.0, &forked, &higher] {
        scene.store.world().overwrite(list::FILE, old.as_bytes());
        let refused = unlock(&vault, &scene.alice).await.err().unwrap();
        assert!(matches!(refused, VaultError::RolledBack(_)), "{refused}");
        assert!(put(&alice, "a", "2").await.is_err(), "one that was open already");
    }
    scene.store.world().overwrite(list::FILE, after.as_bytes());
    // What bob seals under a secret that he knew is nobody's any more.
    scene.store.world().overwrite("credentials/a.json", &before.1);
    assert!(matches!(get(&alice, "a").await, Err(VaultError::RolledBack(_))));
    let planted = String::from_utf8(before.1)
        .unwrap()
        .replace("credentials/a", "credentials/b");
    scene.store.world().overwrite("credentials/b.json", planted.as_bytes());
    assert!(get(&alice, "b").await.is_err());
    assert!(unlock(&vault, &scene.bob).await.is_err(), "bob is out");
}

#[tokio::test]
async fn a_list_of_version_1_put_in_place_is_no_way_around() {
    let scene = Scene::new().await;
    let vault = scene.vault(scene.machine("m"));
    let alice = unlock(&vault, &scene.alice).await.unwrap();
    let mallory = Person::new(&scene.folder, "mallory");
    let text = list::render_version_1(&[scene.alice.member(), mallory.member()]);
    scene.store.world().overwrite(list::FILE, text.as_bytes());
    assert!(matches!(
        unlock(&vault, &scene.alice).await,
        Err(VaultError::ListChanged(ListChange::Downgraded))
    ));
    assert!(matches!(
        put(&alice, "a", "1").await,
        Err(VaultError::ListChanged(ListChange::Downgraded))
    ));
}

#[tokio::test]
async fn a_document_is_for_its_name_its_revision_and_its_writers() {
    let scene = Scene::new().await;
    let vault = scene.vault(scene.machine("m"));
    let alice = unlock(&vault, &scene.alice).await.unwrap();
    put(&alice, "a", "1").await.unwrap();
    let first = scene.document("a");
    put(&alice, "a", "2").await.unwrap();
    let second = scene.document("a");

    let swap = |bytes: &[u8], field: &str, from: &[u8]| -> Vec<u8> {
        let mut value: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        let other: serde_json::Value = serde_json::from_slice(from).unwrap();
        value[field] = other[field].clone();
        serde_json::to_vec(&value).unwrap()
    };
    // The sealed part, the code or the writes of another revision.
    for field in ["sealed", "code", "writes", "revision", "public"] {
        let mixed = swap(&second, field, &first);
        scene.store.world().overwrite("credentials/a.json", &mixed);
        assert!(get(&alice, "a").await.is_err(), "{field}");
    }
    // An old one, whole.
    scene.store.world().overwrite("credentials/a.json", &first);
    assert!(matches!(get(&alice, "a").await, Err(VaultError::RolledBack(_))));
    assert!(put(&alice, "a", "3").await.is_err());
    // Under another name.
    let text = String::from_utf8(second.clone()).unwrap();
    scene.store.world().overwrite(
        "credentials/b.json",
        text.replace("\"name\": \"a\"", "\"name\": \"b\"").as_bytes(),
    );
    assert!(matches!(get(&alice, "b").await, Err(VaultError::Tampered { .. })));
    // Without a code: sealed by whoever.
    let mut value: serde_json::Value = serde_json::from_slice(&second).unwrap();
    value["code"] = serde_json::Value::Null;
    scene.store.world().overwrite("credentials/c.json", text.as_bytes());
    scene
        .store
        .world()
        .overwrite("credentials/a.json", &serde_json::to_vec(&value).unwrap());
    assert!(matches!(get(&alice, "a").await, Err(VaultError::Unauthenticated(_))));
    assert!(matches!(
        put(&alice, "a", "3").await,
        Err(VaultError::Unauthenticated(_))
    ));

    // Who means it may go back.
    scene.store.world().overwrite("credentials/a.json", &first);
    let told = Told::default();
    let accepting = scene
        .vault(Machine {
            accept_rollback: true,
            ..scene.machine("m")
        })
        .with_witness(Box::new(told.clone()));
    let alice = unlock(&accepting, &scene.alice).await.unwrap();
    assert_eq!(get(&alice, "a").await.unwrap(), "1");
    assert_eq!(told.0.lock().unwrap().len(), 1);
    put(&alice, "a", "4").await.unwrap();
}

#[tokio::test]
async fn a_removed_name_continues_where_it_was() {
    let scene = Scene::new().await;
    let vault = scene.vault(scene.machine("m"));
    let alice = unlock(&vault, &scene.alice).await.unwrap();
    put(&alice, "a", "1").await.unwrap();
    let old = scene.document("a");
    let lease = vault.lease(&name("a"), "removing").await.unwrap();
    alice.edit(lease).await.unwrap().remove().await.unwrap();
    assert!(matches!(get(&alice, "a").await, Err(VaultError::NoSuchCredential(_))));
    assert!(vault.list().await.unwrap().is_empty());
    scene.store.world().overwrite("credentials/a.json", &old);
    assert!(matches!(get(&alice, "a").await, Err(VaultError::RolledBack(_))));
    // One whose file is gone altogether continues too.
    let bytes = scene.store.world().bytes("credentials/a.json").unwrap().to_vec();
    assert_eq!(bytes, old);
}

#[tokio::test]
async fn a_move_to_another_name_is_whole_at_every_step() {
    for steps in 0.. {
        let scene = Scene::new().await;
        let vault = scene.vault(scene.machine("m"));
        let alice = unlock(&vault, &scene.alice).await.unwrap();
        put(&alice, "old", "1").await.unwrap();
        let from = vault.lease(&name("old"), "renaming").await.unwrap();
        let to = vault.lease(&name("new"), "renaming").await.unwrap();
        let ended = {
            let mut renaming = Box::pin(alice.rename(from, to));
            (0..steps).any(|_| poll(renaming.as_mut()).is_ready())
        };
        // Whatever was left: one of the two names is there, for readers and in the list.
        let found = [get(&alice, "old").await.is_ok(), get(&alice, "new").await.is_ok()];
        assert_eq!(
            found.iter().filter(|there| **there).count(),
            1,
            "after {steps} steps: {found:?}"
        );
        assert_eq!(vault.list().await.unwrap().len(), 1, "after {steps} steps");
        if ended {
            assert!(matches!(get(&alice, "old").await, Err(VaultError::Renamed { .. })));
            break;
        }
        // The next one who works on either finds what counts, and can go on.
        let counts = if found[0] { "old" } else { "new" };
        put(&alice, counts, "2").await.unwrap();
        if found[1] {
            let lease = vault.lease(&name("old"), "looking").await.unwrap();
            assert!(!alice.edit(lease).await.unwrap().is_there());
            put(&alice, "old", "3").await.unwrap();
            assert_eq!(get(&alice, "new").await.unwrap(), "2");
        }
    }
}

/// A rename that was cut short behind its second half leaves the old file whole; it must stay out of the way for good.
#[tokio::test]
async fn a_name_that_was_moved_away_does_not_come_back_when_the_new_one_goes() {
    for way in ["removed", "discarded", "renamed"] {
        for steps in 0.. {
            let (scene, ended) = cut_rename(steps).await;
            let vault = scene.vault(scene.machine("m"));
            let alice = unlock(&vault, &scene.alice).await.unwrap();
            if get(&alice, "new").await.is_ok() {
                let lease = vault.lease(&name("new"), way).await.unwrap();
                let mut expected = Vec::new();
                match way {
                    "removed" => alice.edit(lease).await.unwrap().remove().await.unwrap(),
                    "discarded" => alice.discard(lease).await.unwrap(),
                    _ => {
                        let to = vault.lease(&name("third"), way).await.unwrap();
                        alice.rename(lease, to).await.unwrap();
                        expected.push(name("third"));
                    }
                }
                assert!(get(&alice, "old").await.is_err(), "{way} after {steps} steps");
                assert_eq!(vault.names().await.unwrap(), expected, "{way} after {steps} steps");
            }
            if ended {
                break;
            }
        }
    }
}

/// A rename of `old` to `new`, stopped after so many steps; and whether it had ended by then.
async fn cut_rename(steps: usize) -> (Scene, bool) {
    let scene = Scene::new().await;
    let ended = {
        let vault = scene.vault(scene.machine("m"));
        let alice = unlock(&vault, &scene.alice).await.unwrap();
        put(&alice, "old", "1").await.unwrap();
        let from = vault.lease(&name("old"), "renaming").await.unwrap();
        let to = vault.lease(&name("new"), "renaming").await.unwrap();
        let mut renaming = Box::pin(alice.rename(from, to));
        (0..steps).any(|_| poll(renaming.as_mut()).is_ready())
    };
    (scene, ended)
}

#[tokio::test]
async fn a_writer_that_only_seals_makes_what_a_member_adopts() {
    let scene = Scene::new().await;
    let vault = scene.vault(scene.machine("m"));
    let alice = unlock(&vault, &scene.alice).await.unwrap();
    let digest = alice.list_digest().await.unwrap();
    let untold = scene.vault(Machine::default());
    assert!(matches!(
        untold.seal_only().await,
        Err(VaultError::ListNotPinned { .. })
    ));
    let ci = scene.vault(Machine {
        recipients_digest: Some(digest),
        ..scene.machine("ci")
    });
    let writer = ci.seal_only().await.unwrap();
    let lease = ci.lease(&name("a"), "preparing").await.unwrap();
    writer.create(&lease, &credential("a", "1")).await.unwrap();
    drop(lease);
    assert!(writer.own_record(&name("a")).await.unwrap().is_some());
    assert!(matches!(get(&alice, "a").await, Err(VaultError::Unauthenticated(_))));
    assert!(vault.list().await.unwrap()[0].unauthenticated);
    // Nothing that is there is replaced.
    let lease = ci.lease(&name("a"), "preparing").await.unwrap();
    assert!(matches!(
        writer.create(&lease, &credential("a", "2")).await,
        Err(VaultError::CredentialExists(_))
    ));
    drop(lease);
    // A change of the list takes it along, and the writer has to be told of the new list.
    alice
        .add_recipient(Person::new(&scene.folder, "carol").member(), &unwatched())
        .await
        .unwrap()
        .complete()
        .unwrap();
    assert!(matches!(ci.seal_only().await, Err(VaultError::OtherList { .. })));
    assert!(matches!(
        writer.own_record(&name("a")).await,
        Err(VaultError::Unauthenticated(_))
    ));

    let adopt = async |key: &str| {
        let lease = vault.lease(&name("a"), "adopting").await.unwrap();
        alice.adopt(lease, |credential| key_of(credential) == key).await
    };
    assert!(matches!(adopt("2").await, Err(VaultError::OtherFingerprint(_))));
    adopt("1").await.unwrap();
    assert_eq!(get(&alice, "a").await.unwrap(), "1");
    assert!(matches!(adopt("1").await, Err(VaultError::Authenticated(_))));
}

/// A put that began under one list and ends under the next does not leave its credential sealed to the first.
#[tokio::test]
async fn who_puts_while_the_list_is_replaced_seals_to_the_new_one() {
    for steps in 0.. {
        let scene = Scene::new().await;
        let vaults = [scene.vault(scene.machine("m1")), scene.vault(scene.machine("m2"))];
        let alice = unlock(&vaults[0], &scene.alice).await.unwrap();
        let bob = unlock(&vaults[1], &scene.bob).await.unwrap();
        let (before, watch) = (scene.list(), unwatched());
        let mut putting = Box::pin(put(&alice, "a", "1"));
        if (0..steps).any(|_| poll(putting.as_mut()).is_ready()) {
            break;
        }
        let carol = Person::new(&scene.folder, "carol").member();
        let mut changing = Box::pin(bob.add_recipient(carol, &watch));
        // To where the list is there, and everything was looked at that is to be sealed again.
        let mut after = 0;
        while after < 30 && poll(changing.as_mut()).is_pending() {
            after += usize::from(scene.list() != before);
        }
        putting.await.unwrap();
        let document: serde_json::Value = serde_json::from_slice(&scene.document("a")).unwrap();
        assert_eq!(document["epoch"], 2, "after {steps} steps");
    }
}

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A generator of numbers that look random, and are the same for the same seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        // xorshift64* (Vigna 2016).
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap() % limit
    }
}

/// What was acknowledged of each name, and what may have been written besides.
#[derive(Default, Clone)]
struct Ledger {
    /// The values that a reader may find: the last acknowledged one, and those of whoever is under way or was killed.
    possible: BTreeMap<String, Vec<Option<String>>>,
}

impl Ledger {
    fn begin(&mut self, name: &str, value: Option<&str>) {
        self.possible
            .entry(name.to_owned())
            .or_insert_with(|| vec![None])
            .push(value.map(str::to_owned));
    }

    fn allows(&self, name: &str, value: Option<&str>) -> bool {
        match self.possible.get(name) {
            None => value.is_none(),
            Some(possible) => possible.iter().any(|known| known.as_deref() == value),
        }
    }
}

/// One step of whoever has their turn; then everybody who is a member throughout can open everything, and finds what was written.
#[tokio::test]
async fn whatever_members_do_at_once_and_wherever_they_are_killed_nothing_is_lost() {
    for seed in 1..=SEEDS {
        interleave(seed).await;
    }
}

/// How many interleavings are tried.
const SEEDS: u64 = 60;

async fn interleave(seed: u64) {
    const NAMES: [&str; 3] = ["a", "b", "c"];
    let scene = Scene::new().await;
    let carol = Person::new(&scene.folder, "carol");
    let vaults = [scene.vault(scene.machine("m1")), scene.vault(scene.machine("m2"))];
    let reader = scene.vault(scene.machine("m3"));
    let unlocked = [
        unlock(&vaults[0], &scene.alice).await.unwrap(),
        unlock(&vaults[1], &scene.bob).await.unwrap(),
    ];
    let reading = unlock(&reader, &scene.alice).await.unwrap();
    let ledger = RefCell::new(Ledger::default());
    let mut numbers = Numbers(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let watch = unwatched();
    let mut under_way: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = Vec::new();
    let mut begun = 0;
    while begun < 24 || !under_way.is_empty() {
        if under_way.len() < 3 && begun < 24 {
            begun += 1;
            let who = &unlocked[numbers.below(2)];
            let name_text = NAMES[numbers.below(NAMES.len())];
            let value = format!("{seed}.{begun}");
            let (ledger, carol, watch) = (&ledger, &carol, &watch);
            under_way.push(match numbers.below(6) {
                0 => Box::pin(async move {
                    tolerate(who.add_recipient(carol.member(), watch).await.map(Resealed::complete));
                }),
                1 => Box::pin(async move {
                    tolerate(
                        who.remove_recipient(&carol.member().recipient, watch)
                            .await
                            .map(Resealed::complete),
                    );
                }),
                2 => Box::pin(async move {
                    if let Ok(lease) = who.vault().lease(&name(name_text), "removing").await
                        && let Ok(edit) = who.edit(lease).await
                        && edit.is_there()
                    {
                        ledger.borrow_mut().begin(name_text, None);
                        tolerate(edit.remove().await);
                    }
                }),
                _ => Box::pin(async move {
                    let Ok(lease) = who.vault().lease(&name(name_text), "putting").await else {
                        return;
                    };
                    let mut edit = who.edit(lease).await.unwrap();
                    ledger.borrow_mut().begin(name_text, Some(&value));
                    edit.put(&credential(name_text, &value)).await.unwrap();
                    // From here on nothing older may be found.
                    let mut ledger = ledger.borrow_mut();
                    let possible = ledger.possible.get_mut(name_text).unwrap();
                    possible.retain(|known| known.as_deref() == Some(&value));
                }),
            });
        }
        let index = numbers.below(under_way.len());
        let killed = numbers.below(40) == 0;
        if killed || poll(under_way[index].as_mut()).is_ready() {
            drop(under_way.swap_remove(index));
        }
        if numbers.below(4) == 0 {
            let known = ledger.borrow().clone();
            check(&reading, &known, &NAMES, seed).await;
        }
    }
    // The next run of anybody finishes what was left.
    unlocked[0].sync(&watch).await.unwrap().complete().unwrap();
    assert!(unlocked[0].is_complete().await.unwrap());
    let known = ledger.borrow().clone();
    check(&reading, &known, &NAMES, seed).await;
    let outsider = unlock(&reader, &carol).await;
    let is_member = unlocked[0]
        .members()
        .await
        .unwrap()
        .iter()
        .any(|member| member.recipient == carol.member().recipient);
    assert_eq!(outsider.is_ok(), is_member, "seed {seed}");
}

async fn check(reader: &Unlocked<'_>, ledger: &Ledger, names: &[&str], seed: u64) {
    for name_text in names {
        let found = match get(reader, name_text).await {
            Ok(value) => Some(value),
            Err(VaultError::NoSuchCredential(_)) => None,
            Err(error) => panic!("seed {seed}: {name_text}: {error}"),
        };
        assert!(
            ledger.allows(name_text, found.as_deref()),
            "seed {seed}: {name_text} is {found:?}, and may be {:?}",
            ledger.possible.get(*name_text)
        );
    }
}

/// Those who come second are told so; nothing else may go wrong.
fn tolerate<T>(outcome: Result<T, VaultError>) {
    match outcome {
        Ok(_)
        | Err(
            VaultError::Locked { .. }
            | VaultError::ListMoved
            | VaultError::Recipient(RecipientError::Listed(_) | RecipientError::NotListed(_))
            | VaultError::LeftBehind(_),
        ) => {}
        Err(error) => panic!("{error}"),
    }
}
