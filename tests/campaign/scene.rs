//! A vault, what it must hold, and the looks at it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::support::{Run, Sandbox, TestEnv};
use super::{Figures, Known, Numbers};

/// What must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    LockedOut,
    Lost,
    InClear,
    Stray,
    Stuck,
}

pub(crate) struct Violation {
    pub(crate) kind: Kind,
    pub(crate) what: String,
}

pub(crate) type Outcome = Result<(), Violation>;

pub(crate) fn violation<T>(kind: Kind, what: impl Into<String>) -> Result<T, Violation> {
    Err(Violation {
        kind,
        what: what.into(),
    })
}

/// What is known of a name. A key is told by its fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fact {
    /// A key that waits for its account.
    Pending(String),
    /// A key that works at the sandbox.
    Working(String),
}

/// A person with an age identity in a file.
pub(crate) struct Person {
    identity: age::x25519::Identity,
    pub(crate) file: PathBuf,
}

impl Person {
    pub(crate) fn new(file: PathBuf) -> Self {
        let identity = age::x25519::Identity::generate();
        let text = secrecy::ExposeSecret::expose_secret(&identity.to_string()).to_owned();
        std::fs::write(&file, format!("{text}\n")).unwrap();
        Self { identity, file }
    }

    pub(crate) fn recipient(&self) -> String {
        self.identity.to_public().to_string()
    }

    /// Opens what is sealed with the age crate alone, with no code of ours.
    pub(crate) fn open(&self, sealed: &str) -> Option<Value> {
        let decryptor = age::Decryptor::new_buffered(age::armor::ArmoredReader::new(sealed.as_bytes())).ok()?;
        let identity: &dyn age::Identity = &self.identity;
        let mut text = String::new();
        decryptor
            .decrypt(std::iter::once(identity))
            .ok()?
            .read_to_string(&mut text)
            .ok()?;
        serde_json::from_str(&text).ok()
    }
}

/// Who comes.
#[derive(Clone, Copy)]
pub(crate) enum By<'a> {
    Identity(&'a Path),
    Passphrase(&'a str),
}

pub(crate) struct Scene<'c> {
    pub(crate) env: TestEnv,
    /// What must not be found in clear elsewhere stands here.
    pub(crate) outside: TempDir,
    pub(crate) sandbox: Sandbox,
    pub(crate) alice: Person,
    pub(crate) carol: Person,
    pub(crate) numbers: Numbers,
    pub(crate) facts: BTreeMap<String, Fact>,
    pub(crate) carol_is_in: bool,
    /// The file that has the passphrase; the next one has the next number.
    pub(crate) passphrase: usize,
    pub(crate) names: usize,
    /// Either passphrase may be in force.
    pub(crate) rekeying: bool,
    secrets: BTreeSet<String>,
    /// With which list and identity which passphrase was last seen to open.
    seen: (Vec<u8>, usize),
    killed: &'c AtomicU64,
    most: u64,
}

impl<'c> Scene<'c> {
    pub(crate) fn new(numbers: Numbers, killed: &'c AtomicU64, most: u64) -> Result<Self, Violation> {
        let outside = tempfile::tempdir().unwrap();
        let scene = Self {
            env: TestEnv::new(),
            sandbox: Sandbox::start_with(&["--rotation", "guide", "--limit", "1000000"]),
            alice: Person::new(outside.path().join("alice")),
            carol: Person::new(outside.path().join("carol")),
            outside,
            numbers,
            facts: BTreeMap::new(),
            carol_is_in: false,
            passphrase: 0,
            names: 0,
            rekeying: false,
            secrets: BTreeSet::new(),
            seen: (Vec::new(), 0),
            killed,
            most,
        };
        std::fs::create_dir(scene.env.path("tmp")).unwrap();
        let passphrase = scene.passphrase_file(0);
        scene.ok(&[
            "init",
            "--recipient",
            &scene.alice.recipient(),
            "--passphrase-file",
            &passphrase,
        ])?;
        let code = scene.sandbox.code("ops@example.com");
        scene.ok(&[
            "enroll",
            "ops",
            "--code",
            &code,
            "--api-url",
            &scene.sandbox.url.clone(),
        ])?;
        Ok(scene)
    }

    /// Whether there were as many kills as there should be.
    pub(crate) fn is_over(&self) -> bool {
        self.killed.load(Ordering::SeqCst) >= self.most
    }

    pub(crate) fn passphrase_file(&self, number: usize) -> String {
        let path = self.outside.path().join(format!("passphrase-{number}"));
        if !path.exists() {
            std::fs::write(&path, format!("seven wet owls under blue roof {number}")).unwrap();
        }
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn command(&self, arguments: &[&str], by: By<'_>) -> Command {
        let mut command = self.env.asking(arguments);
        command.args(["--no-input", "--rate-limit", "100000"]);
        command.env("TMPDIR", self.env.path("tmp"));
        match by {
            By::Identity(file) => command.env("DFNS_KEYS_IDENTITY", file),
            By::Passphrase(file) => command.env("DFNS_KEYS_PASSPHRASE_FILE", file),
        };
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        Run::of(&mut self.command(arguments, By::Identity(&self.alice.file)))
    }

    pub(crate) fn ok(&self, arguments: &[&str]) -> Result<String, Violation> {
        let run = self.run(arguments);
        if run.code == 0 {
            return Ok(run.stdout);
        }
        violation(Kind::Stuck, format!("{arguments:?}: {run:?}"))
    }

    /// Runs a command that is killed at a random instant. Says whether the kill was in time.
    pub(crate) fn killed(
        &mut self,
        job: &'static str,
        mut command: Command,
        known: &mut Known,
        figures: &mut Figures,
    ) -> Result<bool, Violation> {
        let instant = self.numbers.one_in(2).then(|| {
            let most = known.instants.get(job).copied().unwrap_or(16);
            1 + self.numbers.below(most)
        });
        if let Some(instant) = instant {
            command.env("DFNS_KEYS_TEST_STOP_AT", instant.to_string());
        }
        let share = u32::try_from(self.numbers.below(1000)).unwrap();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let began = Instant::now();
        let mut child = command.spawn().unwrap();
        if instant.is_none() {
            let usual = known.durations.get(job).copied().unwrap_or(Duration::from_millis(100));
            // Any instant will do; these are spread over the whole of a run.
            std::thread::sleep(usual * share / 900);
            let _ = child.kill();
        }
        let output = child.wait_with_output().unwrap();
        figures.runs += 1;
        let text = [&output.stdout[..], &output.stderr[..]].concat();
        self.is_clean("what it said", &text)?;
        let in_time = output.status.signal().is_some();
        if in_time {
            self.killed.fetch_add(1, Ordering::SeqCst);
            *figures.kills.entry(job).or_default() += 1;
        } else {
            known.durations.insert(job, began.elapsed());
            if let Some(instant) = instant {
                let most = known.instants.entry(job).or_insert(16);
                *most = (*most).min(instant).max(3);
            }
        }
        if instant.is_some_and(|instant| in_time && known.instants.get(job).is_none_or(|most| instant + 2 > *most)) {
            known.instants.insert(job, instant.unwrap() + 4);
        }
        Ok(in_time)
    }

    /// What the vault lists.
    pub(crate) fn listed(&self) -> Result<BTreeMap<String, Fact>, Violation> {
        let document = self.run(&["list", "--json"]);
        if document.code != 0 {
            return violation(Kind::Stuck, format!("list: {document:?}"));
        }
        let mut facts = BTreeMap::new();
        for row in document.json()["credentials"].as_array().unwrap() {
            if row["kind"] == "user" {
                continue;
            }
            let fingerprint = row["fingerprint"].as_str().unwrap_or_default().to_owned();
            let fact = if row["state"] == "pending" {
                Fact::Pending(fingerprint)
            } else {
                Fact::Working(fingerprint)
            };
            facts.insert(row["name"].as_str().unwrap_or_default().to_owned(), fact);
        }
        Ok(facts)
    }

    /// Looks at everything. Each name must be as one of the possible states has it: what is there now is returned.
    pub(crate) fn check(&mut self, possible: &[BTreeMap<String, Fact>]) -> Result<BTreeMap<String, Fact>, Violation> {
        let found = self.listed()?;
        if !possible.iter().any(|facts| agree(facts, &found)) {
            return violation(Kind::Lost, format!("there is {found:?}, and there may be {possible:?}"));
        }
        for name in found.keys() {
            self.open(name)?;
        }
        // What is another than before works; the others have the key that worked.
        let changed: Vec<&str> = found
            .iter()
            .filter(|(name, fact)| matches!(fact, Fact::Working(_)) && self.facts.get(*name) != Some(*fact))
            .map(|(name, _)| name.as_str())
            .collect();
        if self.numbers.one_in(8) {
            self.works(&["--all"], &found)?;
        } else if !changed.is_empty() {
            self.works(&changed, &found)?;
        }
        self.passphrase_opens()?;
        self.nothing_is_in_clear()?;
        Ok(found)
    }

    /// The sandbox accepts the keys, and their files open for the program.
    pub(crate) fn works(&self, which: &[&str], found: &BTreeMap<String, Fact>) -> Outcome {
        let run = self.run(&[&["verify", "--json"], which].concat());
        let verified = parsed(&run)?;
        let Some(subjects) = verified["subjects"].as_array() else {
            return violation(Kind::LockedOut, format!("verify: {run:?}"));
        };
        for subject in subjects {
            let name = subject["subject"].as_str().unwrap();
            if subject["ok"] != true && !matches!(found.get(name), Some(Fact::Pending(_))) {
                return violation(Kind::Lost, format!("{name} does not work: {subject}"));
            }
        }
        Ok(())
    }

    fn opens(&self, by: By<'_>) -> Result<bool, Violation> {
        let mut command = self.command(&["verify", "--all", "--offline", "--json"], by);
        let run = Run::of(&mut command);
        let document = parsed(&run)?;
        if document["error"]["code"] == "wrong_passphrase" || document["error"]["code"] == "no_matching_identity" {
            return Ok(false);
        }
        let Some(subjects) = document["subjects"].as_array() else {
            return violation(Kind::LockedOut, format!("{run:?}"));
        };
        // A pending one is refused because it is pending, and not because it does not open.
        let closed = subjects.iter().find(|subject| {
            let name = subject["subject"].as_str().unwrap();
            subject["ok"] != true && !subject.to_string().contains("pending") && name != "ops"
        });
        match closed {
            None => Ok(true),
            Some(subject) => violation(Kind::LockedOut, format!("{subject}")),
        }
    }

    /// The passphrase opens everything, the one before a change or the one after it. Returns which. It is slow on purpose, so each
    /// state of list and identity is tried once.
    pub(crate) fn passphrase_opens(&mut self) -> Result<usize, Violation> {
        let read = |name: &str| std::fs::read(self.env.vault().join(name)).unwrap_or_default();
        let identity = read("identity.age");
        let state = [&identity[..], &read("recipients.txt")].concat();
        let has_same_identity = !identity.is_empty() && self.seen.0.starts_with(&identity);
        if self.seen.0 == state || has_same_identity && !self.rekeying && !self.numbers.one_in(20) {
            return Ok(self.seen.1);
        }
        let candidates = if self.rekeying {
            vec![self.passphrase + 1, self.passphrase]
        } else {
            vec![self.passphrase]
        };
        for number in candidates {
            if self.opens(By::Passphrase(&self.passphrase_file(number)))? {
                self.seen = (state, number);
                return Ok(number);
            }
        }
        violation(Kind::LockedOut, "no passphrase opens the vault")
    }

    /// Without anything remembered of an earlier look.
    pub(crate) fn forget_looks(&mut self) {
        self.seen = (Vec::new(), 0);
    }

    /// Whether carol is in must be as it is known.
    pub(crate) fn check_carol(&self) -> Outcome {
        let opens = self.opens(By::Identity(&self.carol.file))?;
        if opens != self.carol_is_in {
            return violation(Kind::LockedOut, format!("carol opens: {opens}"));
        }
        if !opens {
            for name in self.facts.keys() {
                if self.carol.open(&self.sealed(name)).is_some() {
                    return violation(Kind::InClear, format!("{name} opens for somebody who was removed"));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn sealed(&self, name: &str) -> String {
        let bytes = std::fs::read(self.env.credential_file(name)).unwrap();
        let file: Value = serde_json::from_slice(&bytes).unwrap();
        file["sealed"].as_str().unwrap_or_default().to_owned()
    }

    /// Opens a file, and learns the secrets in it, which nothing else may show.
    fn open(&mut self, name: &str) -> Outcome {
        let Some(opened) = self.alice.open(&self.sealed(name)) else {
            return violation(Kind::LockedOut, format!("{name} does not open"));
        };
        self.learn(&opened);
        Ok(())
    }

    fn learn(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (field, value) in fields {
                    match value.as_str() {
                        Some(text) if field == "token" && text.len() > 60 => {
                            self.secrets.insert(text[20..60].to_owned());
                        }
                        Some(text) if field == "private_key" => {
                            if let Some(line) = text.lines().nth(1) {
                                self.secrets.insert(line[24..].to_owned());
                            }
                        }
                        _ => self.learn(value),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.learn(value)),
            _ => {}
        }
    }

    fn is_clean(&self, what: &str, bytes: &[u8]) -> Outcome {
        let text = String::from_utf8_lossy(bytes);
        let general = ["AGE-SECRET-KEY-", "PRIVATE KEY-----", "wet owls"];
        let found = general
            .into_iter()
            .chain(self.secrets.iter().map(String::as_str))
            .any(|secret| text.contains(secret));
        if found {
            return violation(Kind::InClear, format!("a secret stands in {what}"));
        }
        Ok(())
    }

    /// All files of this user: the vault, what the machine remembers, temporary ones.
    fn files(&self) -> Vec<PathBuf> {
        let (mut files, mut folders) = (Vec::new(), vec![self.env.home.path().to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push(path);
                }
            }
        }
        files
    }

    fn nothing_is_in_clear(&self) -> Outcome {
        for path in self.files() {
            self.is_clean(&path.display().to_string(), &std::fs::read(&path).unwrap())?;
        }
        Ok(())
    }

    /// No temporary file is left, once there was a run that writes in its folder.
    pub(crate) fn nothing_is_left_over(&self) -> Outcome {
        if self.left_over(".local").is_some() {
            self.ok(&["recipients", "sync"])?;
        }
        match self.left_over("") {
            Some(path) => violation(Kind::Stray, path.display().to_string()),
            None => Ok(()),
        }
    }

    fn left_over(&self, below: &str) -> Option<PathBuf> {
        let (temporary, below) = (self.env.path("tmp"), self.env.path(below));
        self.files().into_iter().find(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            path.starts_with(&below) && (name.starts_with(".dfns-keys-") || path.starts_with(&temporary))
        })
    }

    /// Everything is sealed to the newest list.
    pub(crate) fn everything_is_sealed_again(&self) -> Outcome {
        let list = std::fs::read_to_string(self.env.vault().join("recipients.txt")).unwrap();
        let epoch: u64 = list
            .lines()
            .find_map(|line| line.strip_prefix("# epoch: "))
            .unwrap()
            .parse()
            .unwrap();
        for entry in std::fs::read_dir(self.env.vault().join("credentials")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
                if file["epoch"] != epoch {
                    return violation(Kind::Stuck, format!("{} is not sealed again", path.display()));
                }
            }
        }
        Ok(())
    }
}

pub(crate) fn parsed(run: &Run) -> Result<Value, Violation> {
    serde_json::from_str(&run.stdout).or_else(|_| violation(Kind::Stuck, format!("no JSON document: {run:?}")))
}

/// Whether what was found is what may be; an empty fingerprint stands for any.
fn agree(facts: &BTreeMap<String, Fact>, found: &BTreeMap<String, Fact>) -> bool {
    facts.len() == found.len()
        && facts
            .iter()
            .zip(found)
            .all(|((name, fact), (there, found))| name == there && is_like(fact, found))
}

fn is_like(fact: &Fact, found: &Fact) -> bool {
    match (fact, found) {
        (Fact::Pending(fact), Fact::Pending(found)) | (Fact::Working(fact), Fact::Working(found)) => {
            fact.is_empty() || fact == found
        }
        _ => false,
    }
}
