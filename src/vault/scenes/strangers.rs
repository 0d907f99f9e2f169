//! Further attempts: by somebody who can write to the vault, by a former member, and on machines that remember nothing.

use std::collections::BTreeMap;

use super::document::{self, Turn};
use super::unlocked::Ring;
use super::*;

pub(super) fn doctored(bytes: &[u8], change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let mut value = serde_json::from_slice(bytes).unwrap();
    change(&mut value);
    serde_json::to_vec(&value).unwrap()
}

/// A document as anybody can make one who knows the recipients.
pub(super) fn planted(scene: &Scene, name_text: &str, revision: u64) -> Vec<u8> {
    let recipients = [scene.alice.member().recipient, scene.bob.member().recipient];
    let turn = Turn {
        revision,
        writes: vec!["0".repeat(32)],
    };
    document::seal_unauthenticated(&(&credential(name_text, "theirs")).into(), &turn, 1, &recipients).unwrap()
}

#[tokio::test]
async fn a_writer_that_only_seals_takes_no_list_of_version_1_where_the_vault_is_known() {
    let scene = Scene::new().await;
    let vault = scene.vault(scene.machine("m"));
    let id = unlock(&vault, &scene.alice).await.unwrap().id().unwrap();
    let mallory = Person::new(&scene.folder, "mallory");
    let text = list::render_version_1(&[scene.alice.member(), mallory.member()]);
    scene.store.world().overwrite(list::FILE, text.as_bytes());
    let told = Machine {
        expected: Some((id, None)),
        ..Machine::default()
    };
    for machine in [scene.machine("m"), told] {
        let vault = scene.vault(machine);
        assert!(matches!(
            vault.seal_only().await,
            Err(VaultError::ListChanged(ListChange::Downgraded))
        ));
    }
}

/// The own identity of a vault of version 1 does not say which vault it is for, and whoever is at work cannot be asked.
#[tokio::test]
async fn a_list_that_appears_while_a_vault_of_version_1_is_open_is_not_remembered_for_its_own_identity() {
    let (scene, strangers) = (Scene::new().await, Scene::new().await);
    let theirs = strangers.vault(Machine::default());
    let stranger = unlock(&theirs, &strangers.alice).await.unwrap();
    stranger
        .add_recipient(scene.alice.member(), &unwatched())
        .await
        .unwrap();
    let genuine = list::render_version_1(&[scene.alice.member()]);
    scene.store.world().overwrite(list::FILE, genuine.as_bytes());
    let vault = scene.vault(scene.machine("m"));
    let own: Vec<AgeIdentity> = vec![Box::new(scene.alice.identity.clone())];
    let owner = vault.unlock_with(own, None, true).await.unwrap();
    let names = strangers.store.world().names();
    for name in names {
        let bytes = strangers.store.world().bytes(&name).unwrap().to_vec();
        scene.store.world().overwrite(&name, &bytes);
    }
    assert!(matches!(put(&owner, "a", "1").await, Err(VaultError::Unknown { .. })));
    assert!(scene.store.world().bytes("credentials/a.json").is_none());
    let again: Vec<AgeIdentity> = vec![Box::new(scene.alice.identity.clone())];
    assert!(matches!(
        vault.unlock_with(again, None, true).await,
        Err(VaultError::Unknown { .. })
    ));
}

#[tokio::test]
async fn a_strangers_revision_counts_for_nothing() {
    let scene = Scene::new().await;
    let vault = scene.vault(scene.machine("m"));
    let alice = unlock(&vault, &scene.alice).await.unwrap();
    let theirs = planted(&scene, "a", u64::MAX - 1);
    scene.store.world().overwrite("credentials/a.json", &theirs);
    let lease = vault.lease(&name("a"), "discarding").await.unwrap();
    alice.discard(lease).await.unwrap();
    for value in ["1", "2"] {
        put(&alice, "a", value).await.unwrap();
        assert_eq!(get(&alice, "a").await.unwrap(), value);
    }
    let theirs = planted(&scene, "b", u64::MAX - 1);
    scene.store.world().overwrite("credentials/b.json", &theirs);
    let lease = vault.lease(&name("b"), "adopting").await.unwrap();
    alice.adopt(lease, |_| true).await.unwrap();
    for value in ["1", "2"] {
        put(&alice, "b", value).await.unwrap();
        assert_eq!(get(&alice, "b").await.unwrap(), value);
    }
}

/// Bob was removed long ago. Whoever made a list since remembers that everything was sealed again, or not; the list says it.
#[tokio::test]
async fn what_a_former_member_seals_is_nobodys_on_a_machine_without_memory_too() {
    for last_change_remembers in [true, false] {
        let scene = Scene::new().await;
        let vault = scene.vault(scene.machine("m"));
        let alice = unlock(&vault, &scene.alice).await.unwrap();
        let bobs = scene.vault(scene.machine("m2"));
        let bob = unlock(&bobs, &scene.bob).await.unwrap();
        let Ring::Two(former) = &*bob.ring() else {
            panic!("of version 2")
        };
        alice
            .remove_recipient(&scene.bob.member().recipient, &unwatched())
            .await
            .unwrap();
        for name in ["carol", "dave"] {
            let member = Person::new(&scene.folder, name).member();
            alice.add_recipient(member, &unwatched()).await.unwrap();
        }
        if !last_change_remembers {
            let stateless = scene.vault(Machine::default());
            let member = Person::new(&scene.folder, "erin").member();
            let alice = unlock(&stateless, &scene.alice).await.unwrap();
            alice.add_recipient(member, &unwatched()).await.unwrap();
        }
        let turn = Turn::after(0, &[]).unwrap();
        let (bytes, _) = document::seal(&(&credential("b", "bobs")).into(), None, &turn, former).unwrap();
        scene.store.world().overwrite("credentials/b.json", &bytes);
        for machine in [Machine::default(), scene.machine("new")] {
            let vault = scene.vault(machine);
            let alice = unlock(&vault, &scene.alice).await.unwrap();
            let found = get(&alice, "b").await;
            assert!(matches!(found, Err(VaultError::Unauthenticated(_))), "{found:?}");
        }
    }
}

#[tokio::test]
async fn a_run_that_remembers_nothing_for_the_next_does_not_go_back_itself() {
    let scene = Scene::new().await;
    let vault = scene.vault(Machine::default());
    let alice = unlock(&vault, &scene.alice).await.unwrap();
    let before = scene.list();
    alice
        .remove_recipient(&scene.bob.member().recipient, &unwatched())
        .await
        .unwrap();
    scene.store.world().overwrite(list::FILE, before.as_bytes());
    assert!(matches!(put(&alice, "a", "1").await, Err(VaultError::RolledBack(_))));
}

#[tokio::test]
async fn key_objects_that_a_stranger_adds_or_renames_do_not_keep_the_list_from_being_put_back() {
    for is_remembered in [true, false] {
        let scene = Scene::new().await;
        let vault = scene.vault(scene.machine("m"));
        let alice = unlock(&vault, &scene.alice).await.unwrap();
        put(&alice, "a", "1").await.unwrap();
        let genuine = scene.list();
        let names = scene.store.world().names();
        let object = names.iter().find(|name| name.starts_with(keyring::KEYS)).unwrap();
        let bytes = scene.store.world().bytes(object).unwrap().to_vec();
        let renamed = object.replacen("/1-", "/99-", 1);
        scene.store.world().overwrite(&renamed, &bytes);
        if is_remembered {
            for number in 100..140 {
                let theirs = keyring::NewKeyring::first(vec![scene.alice.member()], BTreeMap::new()).unwrap();
                theirs.put_object(&scene.store).await.unwrap();
                let name = theirs.list.keys.clone();
                let bytes = scene.store.world().bytes(&name).unwrap().to_vec();
                let renamed = name.replacen("/1-", &format!("/{number}-"), 1);
                scene.store.world().overwrite(&renamed, &bytes);
            }
        }
        scene.store.world().overwrite(list::FILE, b"# nothing\n");
        let machine = if is_remembered {
            scene.machine("m")
        } else {
            Machine {
                expected: Some((alice.id().unwrap(), None)),
                ..Machine::default()
            }
        };
        let vault = scene.vault(machine);
        let Synced::Broken(repair) = vault
            .examine(std::slice::from_ref(&scene.alice.file), &Nobody)
            .await
            .unwrap()
        else {
            panic!("the list is broken");
        };
        let alice = vault.repair(*repair).await.unwrap();
        assert_eq!(scene.list(), genuine);
        assert_eq!(get(&alice, "a").await.unwrap(), "1");
    }
}

/// A former member knows the secrets of their time: what stays of a name can be theirs, with any revision.
#[tokio::test]
async fn a_former_members_tombstone_counts_for_nothing() {
    let scene = Scene::new().await;
    let vault = scene.vault(scene.machine("m"));
    let alice = unlock(&vault, &scene.alice).await.unwrap();
    let bobs = scene.vault(scene.machine("m2"));
    let bob = unlock(&bobs, &scene.bob).await.unwrap();
    let Ring::Two(former) = &*bob.ring() else {
        panic!("of version 2")
    };
    put(&alice, "seen", "1").await.unwrap();
    let theirs = |name_text: &str, revision: u64| {
        let removed = document::Removed {
            at: SystemClock.now(),
            moved_to: Some(name("b")),
        };
        let turn = Turn {
            revision,
            writes: vec!["0".repeat(32)],
        };
        document::bury(&name(name_text), &removed, &turn, former).0
    };
    alice
        .remove_recipient(&scene.bob.member().recipient, &unwatched())
        .await
        .unwrap();
    // One change behind, it could be what a kill left; but nothing counts that far.
    let far = theirs("far", u64::MAX - 1);
    scene.store.world().overwrite("credentials/far.json", &far);
    let found = get(&alice, "far").await;
    assert!(matches!(found, Err(VaultError::Tampered { .. })), "{found:?}");
    assert!(put(&alice, "far", "1").await.is_err());
    let lease = vault.lease(&name("far"), "discarding").await.unwrap();
    alice.discard(lease).await.unwrap();

    for name in ["carol", "dave"] {
        let member = Person::new(&scene.folder, name).member();
        alice.add_recipient(member, &unwatched()).await.unwrap();
    }
    for (name_text, revision) in [("a", 1), ("seen", 5)] {
        let document = format!("credentials/{name_text}.json");
        scene.store.world().overwrite(&document, &theirs(name_text, 1_000_000));
        let found = get(&alice, name_text).await;
        assert!(
            matches!(found, Err(VaultError::NoSuchCredential(_))),
            "{name_text}: {found:?}"
        );
        let lease = vault.lease(&name(name_text), "looking").await.unwrap();
        assert_eq!(alice.edit(lease).await.unwrap().has_vanished(), name_text == "seen");
        put(&alice, name_text, "2").await.unwrap();
        let written: serde_json::Value = serde_json::from_slice(&scene.document(name_text)).unwrap();
        assert_eq!(written["revision"], revision, "{name_text}");
    }
    // Nor does a member vouch for it who seals everything again: the name is free, and on this machine it is missed.
    let theirs = theirs("seen", 1_000_000);
    scene.store.world().overwrite("credentials/seen.json", &theirs);
    let erin = Person::new(&scene.folder, "erin").member();
    alice
        .add_recipient(erin, &unwatched())
        .await
        .unwrap()
        .complete()
        .unwrap();
    assert_eq!(scene.store.world().bytes("credentials/seen.json"), None);
    let lease = vault.lease(&name("seen"), "looking").await.unwrap();
    assert!(alice.edit(lease).await.unwrap().has_vanished());
}

#[tokio::test]
async fn a_label_that_a_key_object_brings_moves_no_terminal() {
    let scene = Scene::new().await;
    let identities: Vec<AgeIdentity> = vec![Box::new(scene.alice.identity.clone())];
    for (label, opens) in [("alice, laptop", true), ("a\u{1b}[2J", false), ("a\nage1", false)] {
        let member = Member {
            label: Some(label.to_owned()),
            ..scene.alice.member()
        };
        let theirs = keyring::NewKeyring::first(vec![member], BTreeMap::new()).unwrap();
        theirs.put_object(&scene.store).await.unwrap();
        let bytes = scene.store.world().bytes(&theirs.list.keys).unwrap().to_vec();
        let opened = keyring::open_object(&theirs.list.keys, &bytes, &identities);
        assert_eq!(opened.is_ok(), opens, "{label:?}");
    }
}

#[tokio::test]
async fn a_writer_that_is_killed_behind_its_put_knows_its_own_again() {
    for steps in 0.. {
        let scene = Scene::new().await;
        let digest = list::list_digest(scene.list().as_bytes());
        let ci = scene.vault(Machine {
            recipients_digest: Some(digest),
            ..scene.machine("ci")
        });
        let writer = ci.seal_only().await.unwrap();
        let lease = ci.lease(&name("a"), "preparing").await.unwrap();
        let sealed = credential("a", "1");
        let ended = {
            let mut creating = Box::pin(writer.create(&lease, &sealed));
            (0..steps).any(|_| poll(creating.as_mut()).is_ready())
        };
        let is_there = scene.store.world().bytes("credentials/a.json").is_some();
        let known = writer.own_record(&name("a")).await.unwrap();
        assert_eq!(known.is_some(), is_there, "after {steps} steps");
        if ended {
            break;
        }
    }
}
