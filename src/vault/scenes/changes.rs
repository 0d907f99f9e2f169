//! Changes of the list that meet what cannot be sealed again, and lists that are put back.

use super::strangers::{doctored, planted};
use super::*;
use crate::model::secret::Passphrase;

/// Runs to the end what must have one.
fn ends<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    for _ in 0..20_000 {
        if let Poll::Ready(output) = poll(future.as_mut()) {
            return output;
        }
    }
    panic!("it does not end");
}

/// What is sealed to the old identity alone would be lost with it.
#[tokio::test]
async fn a_new_identity_is_not_put_in_the_place_of_the_old_one_while_anything_is_left_to_that() {
    let scene = Scene::new().await;
    let vault = scene.vault(scene.machine("m"));
    let mut alice = unlock(&vault, &scene.alice).await.unwrap();
    let old = Person::new(&scene.folder, "old");
    let own = Member {
        own: true,
        ..old.member()
    };
    alice.add_recipient(own, &unwatched()).await.unwrap();
    put(&alice, "a", "1").await.unwrap();
    scene.store.world().overwrite(identity::FILE, b"the old one");
    let at_work = vault.lease(&name("a"), "rotate a").await.unwrap();
    let refused = alice
        .rekey(&Passphrase::from("new"), &Nobody, &unwatched())
        .await
        .err()
        .unwrap();
    assert!(
        matches!(&refused, VaultError::IdentityKept(left) if left[0].0 == name("a")),
        "{refused}"
    );
    assert_eq!(scene.store.world().bytes(identity::FILE), Some(&b"the old one"[..]));
    drop(at_work);
    let elsewhere = scene.vault(Machine::default());
    let old = unlock(&elsewhere, &old).await.unwrap();
    assert_eq!(get(&old, "a").await.unwrap(), "1");
}

#[tokio::test]
async fn an_older_vault_that_was_accepted_can_be_used() {
    let scene = Scene::new().await;
    let vault = scene.vault(scene.machine("m"));
    let alice = unlock(&vault, &scene.alice).await.unwrap();
    put(&alice, "a", "1").await.unwrap();
    let before = (scene.list(), scene.document("a"));
    for name in ["carol", "dave"] {
        let member = Person::new(&scene.folder, name).member();
        alice.add_recipient(member, &unwatched()).await.unwrap();
    }
    scene.store.world().overwrite(list::FILE, before.0.as_bytes());
    scene.store.world().overwrite("credentials/a.json", &before.1);
    let accepting = scene.vault(Machine {
        accept_rollback: true,
        ..scene.machine("m")
    });
    let alice = unlock(&accepting, &scene.alice).await.unwrap();
    assert_eq!(get(&alice, "a").await.unwrap(), "1");
    let alice = unlock(&vault, &scene.alice).await.unwrap();
    put(&alice, "a", "2").await.unwrap();
    assert_eq!(get(&alice, "a").await.unwrap(), "2");
}

/// What is looked at in two ways must not be outdated in the one and done in the other.
#[tokio::test]
async fn no_planted_file_keeps_a_change_from_its_end() {
    let scene = Scene::new().await;
    let vault = scene.vault(scene.machine("m"));
    let alice = unlock(&vault, &scene.alice).await.unwrap();
    for name_text in ["a", "removed", "twice"] {
        put(&alice, name_text, "1").await.unwrap();
    }
    let public: serde_json::Value = serde_json::from_slice(&scene.document("removed")).unwrap();
    let lease = vault.lease(&name("removed"), "removing").await.unwrap();
    alice.edit(lease).await.unwrap().remove().await.unwrap();
    let removed: serde_json::Value = serde_json::from_slice(&scene.document("removed")).unwrap();
    let both = doctored(&scene.document("removed"), |value| {
        value["public"] = public["public"].clone();
    });
    let twice = String::from_utf8(scene.document("twice")).unwrap();
    let twice = twice.replace("\"name\": \"twice\",", "\"name\": \"twice\", \"name\": \"twice\",");
    let without_code = doctored(&planted(&scene, "planted", 1), |value| {
        value["removed"] = removed["removed"].clone();
    });
    for (name_text, bytes) in [
        ("removed", &both[..]),
        ("twice", twice.as_bytes()),
        ("planted", &without_code),
        ("array", b"[\"dfns-keys/credential\", 2]"),
        ("scalar", b"2"),
    ] {
        let document = format!("credentials/{name_text}.json");
        scene.store.world().overwrite(&document, bytes);
        assert!(matches!(get(&alice, name_text).await, Err(VaultError::Damaged { .. })));
    }
    assert_eq!(vault.list().await.unwrap().len(), 6);
    let carol = Person::new(&scene.folder, "carol").member();
    let resealed = ends(alice.add_recipient(carol, &unwatched())).unwrap();
    let left: Vec<&str> = resealed.left.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(left, ["array", "planted", "removed", "scalar", "twice"]);
    assert_eq!(get(&alice, "a").await.unwrap(), "1");
}

/// Whoever writes faster than we do is told of, and not worked against for ever.
#[tokio::test]
async fn a_file_that_is_planted_again_and_again_is_left() {
    let scene = Scene::new().await;
    let vault = scene.vault(scene.machine("m"));
    let alice = unlock(&vault, &scene.alice).await.unwrap();
    let theirs = planted(&scene, "planted", 1);
    let again = |_: usize, _: usize| scene.store.world().overwrite("credentials/planted.json", &theirs);
    again(0, 0);
    let carol = Person::new(&scene.folder, "carol").member();
    let resealed = ends(alice.add_recipient(carol, &again)).unwrap();
    assert_eq!(resealed.left.len(), 1);
}

#[tokio::test]
async fn a_removed_member_does_not_put_back_the_list_that_they_were_on() {
    let scene = Scene::new().await;
    let vault = scene.vault(scene.machine("m"));
    let alice = unlock(&vault, &scene.alice).await.unwrap();
    put(&alice, "a", "1").await.unwrap();
    let before = scene.list();
    let bobs = scene.vault(scene.machine("m2"));
    unlock(&bobs, &scene.bob).await.unwrap();
    alice
        .remove_recipient(&scene.bob.member().recipient, &unwatched())
        .await
        .unwrap();
    let after = scene.list();
    let refused = bobs
        .examine(std::slice::from_ref(&scene.bob.file), &Nobody)
        .await
        .err()
        .expect("it is not broken");
    assert!(
        matches!(refused, VaultError::NotOnTheList { found: 2, known: 1 }),
        "{refused}"
    );

    // Put back by somebody all the same, it is put right by who knows the newer one.
    scene.store.world().overwrite(list::FILE, before.as_bytes());
    let Synced::Broken(repair) = vault
        .examine(std::slice::from_ref(&scene.alice.file), &Nobody)
        .await
        .unwrap()
    else {
        panic!("the list is an old one");
    };
    assert!(repair.undoes_a_rollback, "members may have meant it: they are asked");
    vault.repair(*repair).await.unwrap();
    assert_eq!(scene.list(), after);
}

/// Another member puts it right, and changes it, while this one looks for what it has to be.
#[tokio::test]
async fn a_list_that_was_put_right_meanwhile_is_not_put_back() {
    for steps in 0.. {
        let scene = Scene::new().await;
        let vaults = [scene.vault(scene.machine("m1")), scene.vault(scene.machine("m2"))];
        let alice = unlock(&vaults[0], &scene.alice).await.unwrap();
        put(&alice, "a", "1").await.unwrap();
        let bob = unlock(&vaults[1], &scene.bob).await.unwrap();
        let genuine = scene.list();
        scene.store.world().overwrite(list::FILE, b"# nothing\n");
        let files = [scene.alice.file.clone()];
        let mut examining = Box::pin(vaults[0].examine(&files, &Nobody));
        let ended = (0..steps).any(|_| poll(examining.as_mut()).is_ready());
        if ended {
            break;
        }
        scene.store.world().overwrite(list::FILE, genuine.as_bytes());
        let carol = Person::new(&scene.folder, "carol").member();
        bob.add_recipient(carol, &unwatched()).await.unwrap();
        let after = scene.list();
        if let Ok(Synced::Broken(repair)) = examining.await {
            let refused = vaults[0].repair(*repair).await.err();
            assert!(
                matches!(refused, Some(VaultError::ListMoved)),
                "after {steps} steps: {refused:?}"
            );
        }
        assert_eq!(scene.list(), after, "after {steps} steps");
    }
}

/// Whoever waits for the move from version 1 goes by what is there after it.
#[tokio::test]
async fn who_waited_for_the_move_takes_no_file_of_version_1_any_more() {
    let scene = Scene::new().await;
    let genuine = scene.list();
    let members = [scene.alice.member(), scene.bob.member()];
    let before = list::render_version_1(&members);
    scene.store.world().overwrite(list::FILE, before.as_bytes());
    let vault = scene.vault(Machine::default());
    let bob = unlock(&vault, &scene.bob).await.unwrap();
    let moving = bob.lease_list("moving", Duration::ZERO).await.unwrap();
    let lease = vault.lease(&name("a"), "putting").await.unwrap();
    let mut editing = Box::pin(bob.edit(lease));
    for _ in 0..50 {
        assert!(poll(editing.as_mut()).is_pending());
    }
    scene.store.world().overwrite(list::FILE, genuine.as_bytes());
    let recipients = keyring::recipients_of(&members);
    let theirs = document::seal_version_1(&(&credential("a", "theirs")).into(), &recipients).unwrap();
    scene.store.world().overwrite("credentials/a.json", &theirs);
    drop(moving);
    let edit = editing.await.err();
    assert!(matches!(edit, Some(VaultError::Unauthenticated(_))), "{edit:?}");
}

/// What is in force is told of at once, and what finishes it is no change.
#[tokio::test]
async fn a_change_of_recipients_is_told_of_once_wherever_it_is_cut_short() {
    let scene = Scene::new().await;
    let told = Told::default();
    let vault = scene.vault(scene.machine("m")).with_witness(Box::new(told.clone()));
    let alice = unlock(&vault, &scene.alice).await.unwrap();
    put(&alice, "a", "1").await.unwrap();
    let (carol, watch) = (Person::new(&scene.folder, "carol").member(), unwatched());
    let recipient = carol.recipient.clone();
    {
        let mut adding = Box::pin(alice.add_recipient(carol.clone(), &watch));
        while told.0.lock().unwrap().is_empty() {
            assert!(
                poll(adding.as_mut()).is_pending(),
                "it is told before everything is sealed"
            );
        }
    }
    let finished = alice.add_recipient(carol, &watch).await.unwrap();
    assert_eq!((finished.changed, finished.count), (false, 1));
    assert!(alice.remove_recipient(&recipient, &watch).await.unwrap().changed);
    assert_eq!(
        *told.0.lock().unwrap(),
        [format!("added {recipient}"), format!("removed {recipient}")]
    );
}
