//! Names that are given up or changed: whole at every step, whatever a stranger adds.

use super::document::{self, Turn};
use super::strangers::doctored;
use super::unlocked::Ring;
use super::*;

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

/// Renames `old` to `new` up to the moment at which `reached` holds.
async fn rename_until(scene: &Scene, alice: &Unlocked<'_>, reached: impl Fn(&Scene) -> bool) {
    let from = alice.vault().lease(&name("old"), "renaming").await.unwrap();
    let to = alice.vault().lease(&name("new"), "renaming").await.unwrap();
    let mut renaming = Box::pin(alice.rename(from, to));
    while !reached(scene) {
        assert!(poll(renaming.as_mut()).is_pending(), "it went by");
    }
}

fn says_moves(scene: &Scene, name_text: &str) -> bool {
    let document = format!("credentials/{name_text}.json");
    let world = scene.store.world();
    world
        .bytes(&document)
        .is_some_and(|bytes| String::from_utf8_lossy(bytes).contains("\"moves\""))
}

/// The second half of the move of `old`, as anybody can make it: what it must say is there to be read, and a vault of the
/// stranger's own, which alice can open, seals it.
async fn second_half_by_a_stranger(scene: &Scene) -> Vec<u8> {
    let old: serde_json::Value = serde_json::from_slice(&scene.document("old")).unwrap();
    let strangers = Scene::new().await;
    let theirs = strangers.vault(Machine::default());
    let stranger = unlock(&theirs, &strangers.alice).await.unwrap();
    stranger
        .add_recipient(scene.alice.member(), &unwatched())
        .await
        .unwrap();
    let Ring::Two(ring) = &*stranger.ring() else {
        panic!("of version 2")
    };
    let half = document::Moves::From {
        name: name("old"),
        id: old["moves"]["to"]["id"].as_str().unwrap().to_owned(),
    };
    let turn = Turn::after(0, &[]).unwrap();
    let (sealed, _) = document::seal(&(&credential("new", "theirs")).into(), Some(&half), &turn, ring).unwrap();
    doctored(&sealed, |value| value["code"] = serde_json::Value::Null)
}

#[tokio::test]
async fn half_a_move_that_a_stranger_completes_loses_nothing() {
    let scene = Scene::new().await;
    let vault = scene.vault(scene.machine("m"));
    let alice = unlock(&vault, &scene.alice).await.unwrap();
    put(&alice, "old", "1").await.unwrap();
    rename_until(&scene, &alice, |scene| says_moves(scene, "old")).await;
    let theirs = second_half_by_a_stranger(&scene).await;
    scene.store.world().overwrite("credentials/new.json", &theirs);

    assert_eq!(get(&alice, "old").await.unwrap(), "1");
    let lease = vault.lease(&name("old"), "looking").await.unwrap();
    assert!(alice.edit(lease).await.unwrap().is_there());
    put(&alice, "old", "2").await.unwrap();
    assert_eq!(get(&alice, "old").await.unwrap(), "2");
    assert!(get(&alice, "new").await.is_err());
}

/// What was renamed is gone under its old name, whatever becomes of the new one.
#[tokio::test]
async fn a_move_cut_short_brings_nothing_back_when_the_new_name_goes() {
    for removes in [true, false] {
        let scene = Scene::new().await;
        let vault = scene.vault(scene.machine("m"));
        let alice = unlock(&vault, &scene.alice).await.unwrap();
        put(&alice, "old", "1").await.unwrap();
        rename_until(&scene, &alice, |scene| says_moves(scene, "new")).await;
        assert_eq!(get(&alice, "new").await.unwrap(), "1");

        let lease = vault.lease(&name("new"), "going on").await.unwrap();
        if removes {
            alice.edit(lease).await.unwrap().remove().await.unwrap();
        } else {
            let to = vault.lease(&name("newer"), "going on").await.unwrap();
            alice.rename(lease, to).await.unwrap();
            assert_eq!(get(&alice, "newer").await.unwrap(), "1");
        }
        let gone = get(&alice, "old").await;
        assert!(
            matches!(gone, Err(VaultError::Renamed { .. } | VaultError::NoSuchCredential(_))),
            "removed: {removes}: {gone:?}"
        );
        assert_eq!(vault.list().await.unwrap().len(), usize::from(!removes));
        put(&alice, "old", "3").await.unwrap();
        assert_eq!(get(&alice, "old").await.unwrap(), "3");
    }
}

/// Whoever takes a planted file away, or adopts it, must not believe what it says of another name.
#[tokio::test]
async fn half_a_move_that_a_stranger_completes_buries_nothing_whatever_becomes_of_it() {
    for adopts in [false, true] {
        let scene = Scene::new().await;
        let vault = scene.vault(scene.machine("m"));
        let alice = unlock(&vault, &scene.alice).await.unwrap();
        put(&alice, "old", "1").await.unwrap();
        rename_until(&scene, &alice, |scene| says_moves(scene, "old")).await;
        let theirs = second_half_by_a_stranger(&scene).await;
        scene.store.world().overwrite("credentials/new.json", &theirs);

        let lease = vault.lease(&name("new"), "going on").await.unwrap();
        if adopts {
            alice.adopt(lease, |_| true).await.unwrap();
        } else {
            alice.discard(lease).await.unwrap();
        }
        assert_eq!(get(&alice, "old").await.unwrap(), "1", "adopted: {adopts}");
        assert_eq!(get(&alice, "new").await.is_ok(), adopts);
    }
}
