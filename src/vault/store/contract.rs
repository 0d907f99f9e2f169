//! What every store must do, as one test that it passes or not.

use std::time::Duration;

use super::{Expected, Store, StoreError};

/// Holds an empty store to the contract. Panics where it breaks it.
pub(in crate::vault) async fn holds(store: &dyn Store) {
    const NAME: &str = "credentials/a.json";
    assert!(matches!(store.get(NAME).await, Err(StoreError::NotFound)));
    assert!(store.list("credentials").await.unwrap().is_empty());

    // A document is created once.
    let first = store.put(NAME, b"1", &Expected::Absent).await.unwrap();
    assert_eq!(
        store.get(NAME).await.unwrap().1,
        first,
        "put and get give the same version"
    );
    assert!(matches!(
        store.put(NAME, b"x", &Expected::Absent).await,
        Err(StoreError::AlreadyExists)
    ));

    // It is replaced only over the version that was read, also by bytes that are the same.
    let second = store.put(NAME, b"1", &Expected::Version(first.clone())).await.unwrap();
    assert_ne!(first, second, "each write is a version of its own");
    for outdated in [&first] {
        let refused = store.put(NAME, b"x", &Expected::Version(outdated.clone())).await;
        assert!(matches!(refused, Err(StoreError::Changed)));
        assert!(matches!(store.delete(NAME, outdated).await, Err(StoreError::Changed)));
    }
    assert_eq!(*store.get(NAME).await.unwrap().0, b"1");

    // A listing has the names below a folder, sorted, with the versions that get gives.
    store.put("credentials/b.json", b"b", &Expected::Absent).await.unwrap();
    store.put("recipients.txt", b"r", &Expected::Absent).await.unwrap();
    let listed = store.list("credentials").await.unwrap();
    let names: Vec<&str> = listed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, [NAME, "credentials/b.json"]);
    assert_eq!(listed[0].1, second);

    // What was deleted is gone, and its version does not write again.
    store.delete(NAME, &second).await.unwrap();
    assert!(matches!(store.delete(NAME, &second).await, Err(StoreError::NotFound)));
    assert!(matches!(
        store.put(NAME, b"x", &Expected::Version(second)).await,
        Err(StoreError::Changed)
    ));
    store.put(NAME, b"again", &Expected::Absent).await.unwrap();

    // A lease keeps others out until it is dropped, and no other document's.
    let lease = store.lease(NAME, "rotate a", Duration::ZERO).await.unwrap();
    let refused = store.lease(NAME, "remove a", Duration::ZERO).await.err().unwrap();
    assert!(refused.to_string().contains("rotate a"), "{refused}");
    drop(
        store
            .lease("credentials/b.json", "rotate b", Duration::ZERO)
            .await
            .unwrap(),
    );
    drop(store.lease("recipients.txt", "rekey", Duration::ZERO).await.unwrap());
    drop(lease);
    store.lease(NAME, "remove a", Duration::ZERO).await.unwrap();
}
