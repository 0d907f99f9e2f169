//! From what is to be and what there is to what is to be done. Nothing is asked and nothing changed here.

use std::fmt::Write as _;

use super::change::{Change, Step};
use super::fleet::{Account, Fleet, Place, Problem};
use super::view::{Local, Remote, View};
use crate::api::accounts::RemoteAccount;
use crate::model::credential::{Kind, State};
use crate::model::duration::Span;
use crate::model::ids::PermissionId;
use crate::model::quoted::Quoted;
use crate::workflow::rotate::{Change as Prospected, Prospect, Why};

/// A slip is nearly the name that was meant.
const ALIKE: f64 = 0.8;
const DAY: u64 = 24 * 60 * 60;

/// How to compare.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// What the fleet has and the file names no more is deactivated.
    pub prune: bool,
}

/// What is to be done, in the order in which it is done: the file's, and in it, for each credential, what the next step needs first.
///
/// # Errors
/// What the file names and Dfns does not have.
pub(super) fn compare(fleet: &Fleet, view: &View, options: Options) -> Result<Vec<Change>, Vec<Problem>> {
    let problems = unknown_permissions(fleet, view);
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut changes = Vec::new();
    let accounts = view.accounts();
    for account in &fleet.accounts {
        let of_one = One {
            fleet,
            view,
            account,
            changes: &mut changes,
        };
        of_one.compare(&accounts);
    }
    changes.extend(pruned(fleet, view, options));
    let in_file = |account: &RemoteAccount| fleet.accounts.iter().any(|one| account.name.is(one.name.as_str()));
    let strangers = accounts.iter().filter(|(account, known)| !known && account.active);
    for (account, _) in strangers.filter(|(account, _)| !in_file(account)) {
        changes.push(Change {
            name: account.name.to_string(),
            step: Step::Unmanaged,
            reason: format!(
                "a {} at Dfns, in neither the file nor this vault; left alone",
                account.kind.in_words()
            ),
            needs: None,
        });
    }
    Ok(changes)
}

/// The permissions that the file names and nobody has made.
fn unknown_permissions(fleet: &Fleet, view: &View) -> Vec<Problem> {
    let Some(remote) = &view.remote else {
        return Vec::new();
    };
    let names: Vec<String> = remote.permissions.iter().map(|(_, name)| name.to_string()).collect();
    let named = fleet
        .accounts
        .iter()
        .filter_map(|account| account.permissions.as_ref())
        .flatten();
    let unknown = named.filter(|named| id_of(remote, &named.text).is_none());
    let problem = |named: &super::fleet::Permission| {
        let alike = names.iter().map(|name| (strsim::jaro_winkler(name, &named.text), name));
        let alike = alike.filter(|(likeness, _)| *likeness >= ALIKE);
        let meant = alike.max_by(|(a, _), (b, _)| a.total_cmp(b));
        let meant = meant.map_or_else(String::new, |(_, name)| format!("; did you mean `{name}`?"));
        Problem {
            at: named.at,
            message: format!("Dfns has no permission {}{meant}", Quoted::of(&named.text)),
        }
    };
    unknown.map(problem).collect()
}

/// A permission by its id or its name.
pub(super) fn id_of(remote: &Remote, named: &str) -> Option<PermissionId> {
    let known = remote.permissions.iter();
    let mut known = known.filter(|(id, name)| id.as_str() == named || name.is(named));
    known.next().map(|(id, _)| id.clone())
}

/// What the fleet has and the file names no more. Nobody's user is ever among them.
fn pruned(fleet: &Fleet, view: &View, options: Options) -> Vec<Change> {
    let Some(own) = &fleet.name else {
        return Vec::new();
    };
    let mut changes = Vec::new();
    for (name, local) in &view.local {
        let Ok(local) = local else { continue };
        let upkeep = local.record.upkeep.as_ref();
        let is_ours = upkeep.is_some_and(|upkeep| upkeep.fleet.as_ref() == Some(own));
        if !is_ours || fleet.has(name) || local.record.kind == Kind::User {
            continue;
        }
        let accounts = view.all_accounts_of(local);
        if view.remote.is_some() && accounts.iter().all(|account| !account.active) {
            continue;
        }
        let places = match local.places.len() {
            0 => String::new(),
            1 => "; 1 place still has it".to_owned(),
            several => format!("; {several} places still have it"),
        };
        if options.prune {
            let reason = format!("fleet {own} made it, and the file names it no more{places}");
            let active = accounts.into_iter().filter(|account| account.active).map(Into::into);
            changes.push(Change::new(name, Step::Deactivate(active.collect()), reason));
        } else {
            let reason = format!("fleet {own} made it, and the file names it no more; --prune deactivates it");
            changes.push(Change::new(name, Step::None, reason));
        }
    }
    changes
}

/// One account of the file.
struct One<'a> {
    fleet: &'a Fleet,
    view: &'a View,
    account: &'a Account,
    changes: &'a mut Vec<Change>,
}

impl One<'_> {
    fn push(&mut self, step: Step, reason: impl Into<String>) {
        self.changes.push(Change::new(&self.account.name, step, reason));
    }

    fn blocked(&mut self, reason: impl Into<String>, needs: impl Into<String>) {
        let change = Change::new(&self.account.name, Step::Blocked, reason).needs(needs);
        self.changes.push(change);
    }

    fn compare(mut self, accounts: &[(&RemoteAccount, bool)]) {
        let name = &self.account.name;
        match self.view.local.get(name) {
            None => {
                let namesake = accounts
                    .iter()
                    .find(|(account, known)| !known && account.name.is(name.as_str()));
                if let Some((account, _)) = namesake {
                    let state = if account.active { "" } else { ", deactivated" };
                    let needs = format!("import it (`dfns-keys import {name} …`), or choose another name");
                    self.blocked(
                        format!("Dfns has an account of this name{state}, and this vault has no key of it"),
                        needs,
                    );
                } else {
                    let reason = self.in_words();
                    self.push(Step::Create, reason);
                    self.deliver_all();
                }
            }
            Some(Err(error)) => {
                let reason = error.to_string();
                self.blocked(
                    reason,
                    format!("`dfns-keys show {name}` and `dfns-keys status {name}` say more"),
                );
            }
            Some(Ok(local)) => self.compare_with(local),
        }
    }

    /// What is made, in a few words.
    fn in_words(&self) -> String {
        let mut words = format!("a new {}", self.account.kind.in_words());
        if let Some(days) = self.account.days {
            let _ = write!(words, ", its token for {days} days");
        }
        match self.account.permissions.as_deref() {
            None | Some([]) => words.push_str(", without permissions"),
            Some(permissions) => {
                let names: Vec<String> = permissions.iter().map(|named| shown(&named.text)).collect();
                let _ = write!(words, ", permissions: {}", names.join(", "));
            }
        }
        words
    }

    fn deliver_all(&mut self) {
        for place in self.account.deliver.iter().flatten() {
            if !self.is_taken(place) {
                self.push(Step::Deliver(place.clone()), format!("to {}", place.target));
            }
        }
    }

    fn compare_with(mut self, local: &Local) {
        let (name, record) = (&self.account.name, &local.record);
        if let Some(reason) = self.not_this_one(local) {
            return self.blocked(reason.0, reason.1);
        }
        if record.state == State::Pending {
            if local.for_dashboard {
                return self.blocked(
                    "it was begun for the dashboard, and waits for its token",
                    format!("finish it: `dfns-keys onboard {name}`"),
                );
            }
            self.push(Step::Resume, "the account was begun and not finished");
            return self.deliver_all();
        }
        if self.view.remote.is_some() {
            let Some(remote) = self.view.account_of(local) else {
                let needs = format!("`dfns-keys remove {name}`, and the next run makes another");
                return self.blocked("its account is gone from Dfns: somebody deleted it", needs);
            };
            self.compare_accounts(local, remote);
        }
        self.note_upkeep(local);
        let rotation = self.rotation(local);
        self.forget(local);
        if let Some((step, reason)) = rotation {
            let is_retiring = matches!(step, Step::Retire | Step::None);
            if !is_retiring {
                self.push(step, reason);
                return self.deliver(local);
            }
            self.deliver(local);
            return self.push(step, reason);
        }
        self.deliver(local);
    }

    /// Why the credential of this name is not what the file means, and what then.
    fn not_this_one(&self, local: &Local) -> Option<(String, String)> {
        let (account, record) = (self.account, &local.record);
        let other = "choose another name in the file".to_owned();
        if record.kind != account.kind {
            let (is, wanted) = (record.kind.in_words(), account.kind.in_words());
            let needs = "say so in the file, or choose another name there".to_owned();
            return Some((format!("it is a {is}, and the file wants a {wanted}"), needs));
        }
        let whose = record.upkeep.as_ref().and_then(|upkeep| upkeep.fleet.as_ref());
        if let Some(whose) = whose.filter(|whose| Some(*whose) != self.fleet.name.as_ref()) {
            return Some((format!("it is the fleet {whose}'s"), other));
        }
        let remote = self.view.remote.as_ref()?;
        let there = &remote.environment;
        if record.api_url != there.api_url {
            let reason = format!(
                "it is used at {}, not at {}",
                record.api_url.host(),
                there.api_url.host()
            );
            return Some((reason, other));
        }
        let organisations = (&record.org_id, &there.organisation_id);
        if let (Some(one), Some(another)) = organisations
            && one != another
        {
            return Some((format!("it belongs to the organisation {one}, not to {another}"), other));
        }
        None
    }

    fn compare_accounts(&mut self, local: &Local, remote: &RemoteAccount) {
        let name = &self.account.name;
        if !remote.active {
            self.push(
                Step::Activate(remote.into()),
                "somebody deactivated it at Dfns: its token is accepted again",
            );
        }
        let made_by_us = remote.name.is(name.as_str()) || remote.name.begins_with(&format!("{name}-"));
        if !made_by_us {
            self.push(
                Step::None,
                format!("its account is called {} at Dfns; it is known by its id", remote.name),
            );
        }
        for key in &local.strange_keys {
            let needs = format!("find out whose it is, and deactivate it; or `dfns-keys rotate {name} --compromised`");
            self.blocked(
                format!("Dfns accepts another key for it, not of this vault: {key}"),
                needs,
            );
        }
        self.compare_permissions(remote);
    }

    fn compare_permissions(&mut self, account: &RemoteAccount) {
        let (Some(wanted), Some(remote)) = (&self.account.permissions, &self.view.remote) else {
            return;
        };
        let wanted: Vec<PermissionId> = wanted.iter().filter_map(|named| id_of(remote, &named.text)).collect();
        for id in wanted.iter().filter(|id| !account.permissions.contains(id)) {
            let reason = format!(
                "gets permission {}: in the file, not at Dfns",
                remote.permission_name(id)
            );
            self.push(Step::Grant(account.into(), id.clone()), reason);
        }
        for id in account.permissions.iter().filter(|id| !wanted.contains(id)) {
            let reason = format!(
                "loses permission {}: at Dfns, not in the file",
                remote.permission_name(id)
            );
            let assignments: Vec<_> = account.assignments.iter().filter(|(of, _)| of == id).collect();
            for (_, assignment) in &assignments {
                self.push(Step::Revoke(id.clone(), assignment.clone()), reason.clone());
            }
            if assignments.is_empty() {
                self.blocked(
                    reason,
                    "Dfns does not say by what it is taken away: do it in the dashboard",
                );
            }
        }
    }

    /// What the vault will remember of it from now on.
    fn note_upkeep(&mut self, local: &Local) {
        let wanted = self.fleet.upkeep(self.account);
        let had = local.record.upkeep.clone().unwrap_or_default();
        if had == wanted {
            return;
        }
        let mut words = Vec::new();
        if let Some(fleet) = wanted.fleet.as_ref().filter(|_| had.fleet.is_none()) {
            words.push(format!("it belongs to fleet {fleet} from now on"));
        }
        let due = |word, had, wanted: Option<_>| match wanted {
            _ if had == wanted => None,
            Some(span) => Some(format!("{word} is {span}")),
            None => Some(format!("{word} is gone")),
        };
        words.extend(due("rotate_every", had.rotate_every, wanted.rotate_every));
        words.extend(due("renew_before", had.renew_before, wanted.renew_before));
        self.push(Step::Note(wanted), format!("noted in the vault: {}", words.join(", ")));
    }

    /// What is to become of its key, as `rotate --dry-run` says it.
    fn rotation(&self, local: &Local) -> Option<(Step, String)> {
        let (account, record, now) = (self.account, &local.record, self.view.now);
        if record.state == State::Retiring && local.under_way {
            let reason = "what becomes of its two keys was begun and not finished";
            return Some((Step::GoOn, reason.to_owned()));
        }
        let age = now.duration_since(record.rotated_at.unwrap_or(record.created_at));
        let is_old = |every: &Span| !age.is_negative() && age.unsigned_abs() >= every.duration();
        let older_than = account.rotate_every.filter(is_old);
        if record.state == State::Active && !local.is_due && older_than.is_none() {
            return None;
        }
        let prospect = Prospect {
            record,
            retires_at: local.retires_at,
            token_due: local.is_due,
            renewable: true,
            blocked: false,
            compromised: false,
            older_than,
        };
        let (change, why) = prospect.change(now);
        let step = match change {
            Prospected::Renew => Step::Renew(record.fingerprint.clone()),
            Prospected::Rotate if record.state == State::Rotating => Step::GoOn,
            Prospected::Rotate => Step::Rotate(record.fingerprint.clone()),
            Prospected::Retire => Step::Retire,
            Prospected::None | Prospected::Blocked => Step::None,
        };
        let reason = match (why, local.retires_at, account.renew_before) {
            (Why::InGrace, Some(at), _) => format!("its old key works until {}", at.strftime("%Y-%m-%d %H:%M UTC")),
            (Why::InGrace, None, _) => format!("its old key works until `dfns-keys rotate {} --finish`", record.name),
            (Why::KeyOlderThan(every), ..) => {
                format!(
                    "its key is {} days old (rotate_every {every})",
                    age.unsigned_abs().as_secs() / DAY
                )
            }
            (Why::TokenEnds(_), _, Some(before)) => format!("{why} (renew_before {before})"),
            _ => why.to_string(),
        };
        Some((step, reason))
    }

    fn forget(&mut self, local: &Local) {
        let Some(wanted) = &self.account.deliver else { return };
        for place in &local.places {
            if !wanted.iter().any(|one| one.is(&place.target)) {
                let target = place.target.clone();
                let reason =
                    format!("no more to {target}: not in the file; what it has stays until you remove it there");
                self.push(Step::Forget(target), reason);
            }
        }
    }

    fn deliver(&mut self, local: &Local) {
        let fingerprint = &local.record.fingerprint;
        for place in self.account.deliver.iter().flatten() {
            let known = local.places.iter().find(|known| place.is(&known.target));
            let why = match known {
                None => {
                    if self.is_taken(place) {
                        continue;
                    }
                    "not put there yet"
                }
                Some(known) if known.then != place.then => "another program is to be run there",
                Some(known) if !known.has(fingerprint) => "it has another key",
                Some(known) if !known.in_sync(fingerprint) => "the program is still to be run there",
                Some(_) => continue,
            };
            self.push(Step::Deliver(place.clone()), format!("to {}: {why}", place.target));
        }
    }

    /// Whether another credential is delivered there, which is then said.
    fn is_taken(&mut self, place: &Place) -> bool {
        let Some(other) = self.other_at(place) else {
            return false;
        };
        let needs = format!("`dfns-keys deliver {other} --forget '{}'`", place.target);
        self.blocked(format!("{} has {other} already", place.target), needs);
        true
    }

    /// Who else is delivered there.
    fn other_at(&self, place: &Place) -> Option<String> {
        let others = self.view.local.iter().filter(|(name, _)| **name != self.account.name);
        let mut others = others.filter_map(|(name, local)| Some((name, local.as_ref().ok()?)));
        let has = |local: &Local| local.places.iter().any(|known| place.collides(&known.target));
        others.find(|(_, local)| has(local)).map(|(name, _)| name.to_string())
    }
}

fn shown(text: &str) -> String {
    crate::model::quoted::shown(text)
}
