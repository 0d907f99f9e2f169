//! What is done in a vault, and killed.

use std::collections::BTreeMap;

use super::scene::{By, Fact, Kind, Outcome, Scene, Violation, violation};
use super::support::Run;
use super::{Figures, Known};

type Facts = BTreeMap<String, Fact>;

/// What is being done in a round.
struct Job<'j> {
    name: &'static str,
    arguments: Vec<&'j str>,
    /// What may be found while it is under way.
    possible: Vec<Facts>,
    /// What may be found when it has ended well.
    done: Vec<Facts>,
    /// What the next run may say where there is nothing left to do.
    done_before: &'static [&'static str],
}

impl Scene<'_> {
    /// Does random jobs until there were enough.
    pub(crate) fn work(&mut self, known: &mut Known, figures: &mut Figures, jobs: usize) -> Outcome {
        for _ in 0..jobs {
            if self.is_over() {
                break;
            }
            let working = self.working();
            match self.numbers.below(100) {
                0..13 if working.len() < 7 => self.onboard(known, figures)?,
                13..22 if working.len() < 7 => self.onboard_by_hand(known, figures)?,
                22..36 if working.len() < 7 => self.import(known, figures)?,
                36..50 if !working.is_empty() => self.rotate(known, figures)?,
                50..62 if !working.is_empty() => self.rename(known, figures)?,
                62..72 if working.len() > 1 => self.remove(known, figures)?,
                72..85 => self.change_recipients(known, figures)?,
                85..87 => self.rekey(known, figures, "rekey")?,
                87..89 => self.rekey(known, figures, "rekey by an identity file")?,
                89..91 => self.init(known, figures, true)?,
                91.. => self.init(known, figures, false)?,
                _ => {}
            }
        }
        let facts = self.facts.clone();
        self.forget_looks();
        self.check(std::slice::from_ref(&facts))?;
        self.works(&["--all"], &facts)?;
        self.nothing_is_left_over()
    }

    fn working(&self) -> Vec<String> {
        self.facts
            .iter()
            .filter(|(_, fact)| matches!(fact, Fact::Working(_)))
            .map(|(name, _)| name.clone())
            .collect()
    }

    fn one_working(&mut self) -> String {
        let mut working = self.working();
        let chosen = self.numbers.below(working.len());
        working.swap_remove(chosen)
    }

    fn new_name(&mut self) -> String {
        self.names += 1;
        format!("n{}", self.names)
    }

    fn with(&self, name: &str, fact: Option<Fact>) -> Facts {
        let mut facts = self.facts.clone();
        match fact {
            Some(fact) => facts.insert(name.to_owned(), fact),
            None => facts.remove(name),
        };
        facts
    }

    /// Kills a command, up to three times, looks at what each kill left, and lets the next run go on.
    fn round(&mut self, known: &mut Known, figures: &mut Figures, job: &Job<'_>) -> Outcome {
        let alice = self.alice.file.clone();
        let mut was_killed = false;
        for _ in 0..3 {
            let command = self.command(&job.arguments, By::Identity(&alice));
            let in_time = self.killed(job.name, command, known, figures)?;
            was_killed |= in_time;
            figures.runs += 4;
            self.check(&job.possible).map_err(about(job))?;
            if !in_time || self.numbers.below(3) > 0 {
                break;
            }
        }
        let run = self.run(&job.arguments);
        self.settle(job, &run, was_killed)
    }

    fn settle(&mut self, job: &Job<'_>, run: &Run, was_killed: bool) -> Outcome {
        let said = job.done_before.iter().any(|words| run.stderr.contains(words));
        if run.code != 0 && !said {
            return violation(Kind::Stuck, format!("{:?}: {run:?}", job.arguments));
        }
        self.facts = self.check(&job.done).map_err(about(job))?;
        if was_killed {
            self.nothing_is_left_over().map_err(about(job))?;
        }
        Ok(())
    }

    fn onboard(&mut self, known: &mut Known, figures: &mut Figures) -> Outcome {
        let name = self.new_name();
        let any = String::new;
        let done = self.with(&name, Some(Fact::Working(any())));
        let job = Job {
            name: "onboard",
            arguments: vec!["onboard", &name, "--as", "ops", "--timeout", "5s"],
            possible: vec![
                self.facts.clone(),
                self.with(&name, Some(Fact::Pending(any()))),
                done.clone(),
            ],
            done: vec![done],
            done_before: &["already"],
        };
        self.round(known, figures, &job)
    }

    fn onboard_by_hand(&mut self, known: &mut Known, figures: &mut Figures) -> Outcome {
        let name = self.new_name();
        let pending = self.with(&name, Some(Fact::Pending(String::new())));
        let url = self.sandbox.url.clone();
        let job = Job {
            name: "onboard --prepare",
            arguments: vec!["onboard", &name, "--prepare", "--api-url", &url],
            possible: vec![self.facts.clone(), pending.clone()],
            done: vec![pending],
            done_before: &[],
        };
        self.round(known, figures, &job)?;
        let Some(Fact::Pending(fingerprint)) = self.facts.get(&name).cloned() else {
            return violation(Kind::Lost, format!("{name} is not pending"));
        };
        let key = self.ok(&["onboard", &name, "--prepare"])?;
        let token = self.sandbox.create(&name, &key);
        let file = self.outside.path().join("token").to_str().unwrap().to_owned();
        std::fs::write(&file, token).unwrap();
        let done = self.with(&name, Some(Fact::Working(fingerprint)));
        let job = Job {
            name: "onboard --token-file",
            arguments: vec!["onboard", &name, "--token-file", &file],
            possible: vec![self.facts.clone(), done.clone()],
            done: vec![done],
            done_before: &["already"],
        };
        self.round(known, figures, &job)
    }

    fn import(&mut self, known: &mut Known, figures: &mut Figures) -> Outcome {
        // Now and then under a name that was there before.
        let name = if self.names > 0 && self.numbers.one_in(2) {
            let old = format!("n{}", 1 + self.numbers.below(self.names));
            if self.facts.contains_key(&old) {
                self.new_name()
            } else {
                old
            }
        } else {
            self.new_name()
        };
        self.names += 1;
        let account = format!("imported-{}", self.names);
        let file = |what: &str| self.outside.path().join(what).to_str().unwrap().to_owned();
        let (key, public, token) = (file("key.pem"), file("public.pem"), file("token"));
        self.ok(&[
            "generate",
            "--plaintext",
            "--private-key",
            &key,
            "--public-key",
            &public,
            "--force",
        ])?;
        std::fs::write(
            &token,
            self.sandbox
                .create(&account, &std::fs::read_to_string(&public).unwrap()),
        )
        .unwrap();
        let url = self.sandbox.url.clone();
        let done = self.with(&name, Some(Fact::Working(String::new())));
        let job = Job {
            name: "import",
            arguments: vec![
                "import",
                &name,
                "--private-key",
                &key,
                "--token-file",
                &token,
                "--api-url",
                &url,
            ],
            possible: vec![self.facts.clone(), done.clone()],
            done: vec![done],
            done_before: &["already"],
        };
        self.round(known, figures, &job)
    }

    fn rotate(&mut self, known: &mut Known, figures: &mut Figures) -> Outcome {
        let name = self.one_working();
        let any = self.with(&name, Some(Fact::Working(String::new())));
        let job = Job {
            name: "rotate",
            arguments: vec!["rotate", &name, "--grace", "0", "--timeout", "5s"],
            possible: vec![any.clone()],
            done: vec![any],
            done_before: &[],
        };
        self.round(known, figures, &job)
    }

    fn rename(&mut self, known: &mut Known, figures: &mut Figures) -> Outcome {
        let (old, new) = (self.one_working(), self.new_name());
        let fact = self.facts.get(&old).cloned();
        let mut done = self.with(&old, None);
        done.insert(new.clone(), fact.unwrap());
        let job = Job {
            name: "rename",
            arguments: vec!["rename", &old, &new],
            possible: vec![self.facts.clone(), done.clone()],
            done: vec![done],
            done_before: &["was renamed to"],
        };
        self.round(known, figures, &job)
    }

    fn remove(&mut self, known: &mut Known, figures: &mut Figures) -> Outcome {
        let name = self.one_working();
        let done = self.with(&name, None);
        let job = Job {
            name: "remove",
            arguments: vec!["remove", &name, "--force", "--yes"],
            possible: vec![self.facts.clone(), done.clone()],
            done: vec![done],
            done_before: &["there is no credential named"],
        };
        self.round(known, figures, &job)
    }

    fn change_recipients(&mut self, known: &mut Known, figures: &mut Figures) -> Outcome {
        let carol = self.carol.recipient();
        let adding = !self.carol_is_in;
        let mut job = Job {
            name: if adding { "recipients add" } else { "recipients remove" },
            arguments: vec!["recipients", if adding { "add" } else { "remove" }, &carol],
            possible: vec![self.facts.clone()],
            done: vec![self.facts.clone()],
            done_before: if adding {
                &["is among the recipients already", "already"]
            } else {
                &["is not among the recipients", "not"]
            },
        };
        self.round(known, figures, &job)?;
        if self.numbers.one_in(4) {
            // Whatever was left, this finishes; it can be killed, too.
            job.arguments = vec!["recipients", "sync"];
            job.name = "recipients sync";
            self.round(known, figures, &job)?;
        }
        self.carol_is_in = adding;
        self.everything_is_sealed_again()?;
        self.check_carol()
    }

    fn rekey(&mut self, known: &mut Known, figures: &mut Figures, job: &'static str) -> Outcome {
        let next = self.passphrase_file(self.passphrase + 1);
        let (facts, alice) = ([self.facts.clone()], self.alice.file.clone());
        let arguments = ["rekey", "--new-passphrase-file", &next];
        let command = |scene: &Self, now: usize| match job {
            "rekey" => scene.command(&arguments, By::Passphrase(&scene.passphrase_file(now))),
            _ => scene.command(&arguments, By::Identity(&alice)),
        };
        let mut now = self.passphrase;
        self.rekeying = true;
        for _ in 0..2 {
            let killed = command(self, now);
            let in_time = self.killed(job, killed, known, figures)?;
            figures.runs += 4;
            self.check(&facts)?;
            now = self.passphrase_opens()?;
            if !in_time {
                break;
            }
        }
        let run = Run::of(&mut command(self, now));
        if run.code != 0 {
            return violation(Kind::Stuck, format!("{job}: {run:?}"));
        }
        if self.passphrase_opens()? != self.passphrase + 1 {
            return violation(Kind::LockedOut, "the new passphrase does not open the vault");
        }
        self.passphrase += 1;
        self.rekeying = false;
        self.everything_is_sealed_again()?;
        self.check(&facts)?;
        self.nothing_is_left_over()
    }

    /// A vault of its own, at a place where one may have been before.
    fn init(&mut self, known: &mut Known, figures: &mut Figures, by_passphrase: bool) -> Outcome {
        let vault = self.env.path("second").to_str().unwrap().to_owned();
        let _ = std::fs::remove_dir_all(&vault);
        let (alice, passphrase) = (self.alice.recipient(), self.passphrase_file(0));
        let mut arguments = vec!["init", "--recipient", &alice, "--vault", &vault];
        if by_passphrase {
            arguments.extend(["--passphrase-file", &passphrase]);
        }
        let file = self.alice.file.clone();
        let job = if by_passphrase { "init" } else { "init --recipient" };
        for _ in 0..3 {
            let command = self.command(&arguments, By::Identity(&file));
            if !self.killed(job, command, known, figures)? {
                break;
            }
            let run = self.run(&["list", "--vault", &vault]);
            let says = ["no vault at", "is unfinished"]
                .iter()
                .any(|words| run.stderr.contains(words));
            if run.code != 0 && !says {
                return violation(Kind::Stuck, format!("after {job}: {run:?}"));
            }
        }
        let run = self.run(&arguments);
        if run.code != 0 && !run.stderr.contains("there is a vault at") {
            return violation(Kind::Stuck, format!("{job}: {run:?}"));
        }
        let arguments = ["recipients", "list", "--digest", "--vault", &vault];
        self.ok(&arguments)?;
        if by_passphrase {
            let run = Run::of(&mut self.command(&arguments, By::Passphrase(&passphrase)));
            if run.code != 0 {
                return violation(Kind::LockedOut, format!("after {job}: {run:?}"));
            }
        }
        self.nothing_is_left_over()
    }
}

/// Says during what it was seen.
fn about<'j>(job: &'j Job<'_>) -> impl Fn(Violation) -> Violation + 'j {
    |error| Violation {
        what: format!("{:?}: {}", job.arguments, error.what),
        ..error
    }
}
