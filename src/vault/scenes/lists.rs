//! What somebody who can write to the vault tries with its list and its documents.

use super::*;

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
