//! What becomes of the log, by us and by others.
#![expect(
    clippy::disallowed_methods,
    reason = "what others do to the log is done around the one door to the disk"
)]

use std::path::PathBuf;

use jiff::Timestamp;
use proptest::prelude::*;

use super::append::{Voucher, append};
use super::check::{Checked, Fault, Place, check};
use super::{Event, FILE, head, segments};
use crate::sys::files;
use crate::vault::codes::{Secret, VaultId};

/// A log in a directory of its own.
struct Scene {
    directory: tempfile::TempDir,
    voucher: Voucher,
}

/// What happens to a log in the ordinary course.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Somebody logs something who does not have the vault open.
    Logged,
    /// Somebody who has.
    Vouched,
    /// A writer is stopped.
    Torn,
    /// A version of before logs something.
    Old,
}

impl Scene {
    fn new() -> Self {
        let secret = Secret::generate().unwrap();
        let voucher = Voucher {
            id: VaultId::of(&secret),
            epoch: 1,
            secret,
        };
        let directory = tempfile::tempdir().unwrap();
        Self { directory, voucher }
    }

    fn log(&self, word: &str, vouched: bool, full: u64) {
        let event = Event {
            actor: None,
            action: "exported",
            name: Some("a".parse().unwrap()),
            fingerprint: None,
            detail: Some(word.to_owned()),
            format: None,
        };
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        append(
            self.directory.path(),
            at,
            &[event],
            vouched.then_some(&self.voucher),
            full,
        )
        .unwrap();
    }

    fn step(&self, number: usize, step: Step, full: u64) {
        let word = format!("number {number}");
        let add = |text: &str| {
            let path = self.directory.path().join(FILE);
            let before = if path.exists() {
                std::fs::read(&path).unwrap()
            } else {
                Vec::new()
            };
            std::fs::write(&path, [&before, text.as_bytes()].concat()).unwrap();
        };
        match step {
            Step::Logged => self.log(&word, false, full),
            Step::Vouched => self.log(&word, true, full),
            // The next one ends it.
            Step::Torn => {
                add(&format!("{{\"at\":\"2026-11-{number}"));
                self.log(&word, false, full);
            }
            Step::Old => add(&format!(
                "{{\"at\":\"2026-11-24T12:00:00Z\",\"action\":\"exported\",\"detail\":\"{word}\"}}\n"
            )),
        }
    }

    fn check(&self, known: Option<(&str, Timestamp)>) -> Checked {
        let Voucher { id, secret, .. } = &self.voucher;
        check(
            self.directory.path(),
            Some(id),
            |epoch| (epoch == 1).then_some(secret),
            known,
        )
        .unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let files = segments::all(self.directory.path()).unwrap();
        files.into_iter().map(|segment| segment.path).collect()
    }

    /// All lines, with the number of the file in which each stands.
    fn lines(&self) -> Vec<(usize, String)> {
        let mut lines = Vec::new();
        for (number, file) in self.files().iter().enumerate() {
            let text = std::fs::read_to_string(file).unwrap();
            lines.extend(text.lines().map(|line| (number, line.to_owned())));
        }
        lines
    }

    fn write(&self, lines: &[(usize, String)]) {
        for (number, file) in self.files().iter().enumerate() {
            let of_it = lines.iter().filter(|(of, _)| *of == number);
            let text: Vec<&str> = of_it.flat_map(|(_, line)| [line.as_str(), "\n"]).collect();
            std::fs::write(file, text.concat()).unwrap();
        }
    }

    /// The number of a line among all.
    fn number(&self, lines: &[(usize, String)], place: &Place) -> usize {
        let of = self
            .files()
            .iter()
            .position(|file| file.ends_with(&place.file))
            .unwrap();
        let before = lines.iter().position(|(file, _)| *file == of).unwrap();
        before + usize::try_from(place.line).unwrap() - 1
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Logged),
        4 => Just(Step::Vouched),
        1 => Just(Step::Torn),
        1 => Just(Step::Old),
    ];
    (0..3_usize, proptest::collection::vec(step, 1..12)).prop_map(|(old, steps)| {
        // Logs begin with lines of before.
        std::iter::repeat_n(Step::Old, old).chain(steps).collect()
    })
}

/// What somebody does to a line by hand.
#[derive(Debug, Clone, Copy)]
enum Tampering {
    Edit { byte: prop::sample::Index, with: char },
    Cut,
    Swap { with: prop::sample::Index },
    Insert { copy: Option<prop::sample::Index> },
}

fn tampering() -> impl Strategy<Value = Tampering> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        (index(), prop::sample::select(vec!['0', 'a', '"', ' ', '}']))
            .prop_map(|(byte, with)| Tampering::Edit { byte, with }),
        Just(Tampering::Cut),
        index().prop_map(|with| Tampering::Swap { with }),
        proptest::option::of(index()).prop_map(|copy| Tampering::Insert { copy }),
    ]
}

/// The lines after it, or none where that changed nothing.
fn tampered(lines: &[(usize, String)], at: usize, how: Tampering) -> Option<Vec<(usize, String)>> {
    let mut after = lines.to_vec();
    match how {
        Tampering::Edit { byte, with } => {
            let line = &mut after[at].1;
            let byte = byte.index(line.len());
            line.replace_range(byte..=byte, &with.to_string());
        }
        Tampering::Cut => drop(after.remove(at)),
        Tampering::Swap { with } => {
            let other = with.index(lines.len());
            let (one, two) = (lines[at].1.clone(), lines[other].1.clone());
            (after[at].1, after[other].1) = (two, one);
        }
        Tampering::Insert { copy } => {
            let line = copy.map_or_else(
                || r#"{"at":"2026-11-24T12:00:00Z","action":"removed"}"#.to_owned(),
                |copy| lines[copy.index(lines.len())].1.clone(),
            );
            after.insert(at, (lines[at].0, line));
        }
    }
    (after != lines).then_some(after)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_done_by_hand_to_a_line_before_a_checkpoint_is_named_and_after_it_is_unconfirmed(
        steps in steps(),
        full in prop::sample::select(vec![500_u64, 1_000_000]),
        line in any::<prop::sample::Index>(),
        how in tampering(),
    ) {
        let scene = Scene::new();
        for (number, step) in steps.iter().enumerate() {
            scene.step(number, *step, full);
        }
        let good = scene.check(None);
        prop_assert_eq!(&good.faults, &[], "{:?}", scene.lines());
        prop_assert_eq!(&good.head, &head(scene.directory.path()).unwrap());
        let lines = scene.lines();
        let last = good.confirmed.as_ref().map(|(place, ..)| scene.number(&lines, place));
        let at = line.index(lines.len());
        let Some(after) = tampered(&lines, at, how) else {
            return Ok(());
        };
        // The first line of which something was made.
        let first = lines.iter().zip(&after).position(|(one, other)| one != other).unwrap_or(lines.len().min(after.len()));
        scene.write(&after);
        let found = scene.check(None);
        match last {
            Some(last) if first < last => {
                let named = found.faults.first().map(|fault| match fault {
                    Fault::DoesNotFollow { at, after: before } => (
                        before.as_ref().map_or(0, |before| scene.number(&after, before)),
                        scene.number(&after, at),
                    ),
                    Fault::Forged { at } => (scene.number(&after, at), scene.number(&after, at)),
                    Fault::CutOff { .. } => unreachable!("nothing was known"),
                });
                let (from, to) = named.unwrap_or((usize::MAX, 0));
                prop_assert!(from <= first && first <= to, "{first} is not in {from}..={to}: {found:?}");
            }
            // The checkpoint itself may have been what was cut out.
            _ => prop_assert!(
                found.unconfirmed > 0 || found.fault_count > 0 || after.len() < lines.len(),
                "{first}: {found:?}"
            ),
        }
    }
}

#[test]
fn what_was_found_good_cannot_be_cut_off_later() {
    let scene = Scene::new();
    for number in 0..4 {
        scene.step(number, Step::Vouched, u64::MAX);
    }
    let Some((_, at, hash)) = scene.check(None).confirmed else {
        panic!("somebody vouched for it");
    };
    let known = Some((hash.as_str(), at));
    assert_eq!(scene.check(known).fault_count, 0);
    let lines = scene.lines();
    scene.write(&lines[..4]);
    assert_eq!(
        scene.check(None).fault_count,
        0,
        "nobody can tell who did not look before"
    );
    assert_eq!(scene.check(known).faults, [Fault::CutOff { checkpoint_at: at }]);
    // Whatever is logged since.
    scene.step(9, Step::Vouched, u64::MAX);
    assert_eq!(scene.check(known).faults, [Fault::CutOff { checkpoint_at: at }]);
}

#[test]
fn nobody_who_is_no_member_vouches() {
    let scene = Scene::new();
    let stranger = Scene {
        directory: tempfile::tempdir().unwrap(),
        voucher: Voucher {
            id: scene.voucher.id.clone(),
            ..Scene::new().voucher
        },
    };
    stranger.step(1, Step::Vouched, u64::MAX);
    let text = std::fs::read(&stranger.files()[0]).unwrap();
    std::fs::write(scene.directory.path().join(FILE), text).unwrap();
    let found = scene.check(None);
    assert!(
        matches!(&found.faults[..], [Fault::Forged { at }] if at.line == 2),
        "{found:?}"
    );
    assert_eq!((found.confirmed, found.unconfirmed), (None, 2));
}

#[test]
fn a_log_is_files_of_bounded_size_and_goes_on_from_one_to_the_next() {
    let scene = Scene::new();
    for number in 0..20 {
        scene.step(number, Step::Vouched, 1500);
    }
    let files = scene.files();
    assert!(files.len() > 3, "{files:?}");
    for file in &files {
        assert!(std::fs::metadata(file).unwrap().len() < 3000);
        #[cfg(unix)]
        assert_eq!(files::permissions(file).unwrap(), Some(0o600));
    }
    let found = scene.check(None);
    assert_eq!(
        (found.fault_count, found.lines, found.unconfirmed),
        (0, 40, 0),
        "{found:?}"
    );
    // Without one in the middle, and without the first, that is seen.
    for (gone, line) in [(1, &files[2]), (0, &files[1])] {
        let text = std::fs::read(&files[gone]).unwrap();
        std::fs::remove_file(&files[gone]).unwrap();
        let found = scene.check(None);
        assert!(
            matches!(&found.faults[..], [Fault::DoesNotFollow { at, .. }] if at.line == 1 && line.ends_with(&at.file)),
            "{found:?}"
        );
        std::fs::write(&files[gone], text).unwrap();
    }
}

#[test]
fn many_that_log_at_once_make_one_chain_through_all_its_files() {
    let scene = Scene::new();
    std::thread::scope(|threads| {
        for _ in 0..6 {
            threads.spawn(|| {
                for number in 0..15 {
                    scene.step(number, Step::Vouched, 4000);
                }
            });
        }
    });
    let found = scene.check(None);
    assert_eq!((found.fault_count, found.lines), (0, 180), "{found:?}");
    assert!(scene.files().len() > 5);
}
