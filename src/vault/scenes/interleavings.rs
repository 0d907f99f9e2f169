//! What random interleavings of members do, and a kill at any step.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::*;

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
