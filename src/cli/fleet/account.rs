//! What the tables of the file mean.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::MOST_ACCOUNTS;
use super::fields::{Table, names};
use super::reader::{Reader, Value, did_you_mean};
use crate::deliver;
use crate::model::credential::Kind;
use crate::model::duration::Span;
use crate::model::ids::{CredentialName, ExternalId};
use crate::model::quoted::{Quoted, suspicion};
use crate::model::rotation::Grace;
use crate::model::target::{Target, TargetKind};
use crate::workflow::plan::{Account, Fleet, Permission, Place};

/// Of one account.
const MOST_OF_ONE: usize = 100;
/// What is due more often is due at each run.
const SHORTEST: Duration = Duration::from_secs(60 * 60);

/// What `[defaults]` says, and what an account says over it.
#[derive(Default, Clone)]
struct Settings {
    kind: Option<Kind>,
    days: Option<u32>,
    rotate_every: Option<Span>,
    renew_before: Option<Span>,
    grace: Option<Grace>,
    permissions: Option<Vec<Permission>>,
    deliver: Option<Vec<Place>>,
    external_id: Option<ExternalId>,
}

pub(super) fn fleet(reader: &mut Reader<'_>, top: &DeTable<'_>) -> Fleet {
    let mut fleet = Fleet {
        name: None,
        accounts: Vec::new(),
    };
    let mut defaults = Settings::default();
    let mut accounts = None;
    let otherwise = |given: &str| {
        let meant_inside = names(|table| table == Table::Both).contains(&given);
        meant_inside.then(|| format!("`{given}` goes into [defaults] or [account.NAME]"))
    };
    for (field, _, value) in reader.fields(top, &names(|table| table == Table::Top), otherwise) {
        match field {
            "fleet" => fleet.name = reader.parsed(value),
            "defaults" => {
                if let Some(table) = reader.table(value) {
                    let only_accounts = |given: &str| {
                        let is_one = names(|table| table == Table::Account).contains(&given);
                        is_one.then(|| format!("`{given}` is each account's own: it goes into [account.NAME]"))
                    };
                    settings(
                        reader,
                        table,
                        &names(|table| table == Table::Both),
                        only_accounts,
                        &mut defaults,
                        &mut Vec::new(),
                    );
                }
            }
            _ => accounts = reader.table(value),
        }
    }
    let mut named: Vec<_> = accounts.into_iter().flatten().collect();
    named.sort_by_key(|(key, _)| key.span().start);
    if named.len() > MOST_ACCOUNTS {
        reader.problem(
            0,
            format!("more than {MOST_ACCOUNTS} accounts are too many for one file"),
        );
        return fleet;
    }
    let mut taken = Taken::default();
    for (key, value) in named {
        let name = match key.get_ref().parse::<CredentialName>() {
            Ok(name) => Some(name),
            Err(error) => {
                reader.problem(key.span().start, error.to_string());
                None
            }
        };
        let Some(table) = reader.table(value) else { continue };
        let mut settings_of_one = defaults.clone();
        let mut places = Vec::new();
        let known = names(|table| matches!(table, Table::Both | Table::Account));
        settings(
            reader,
            table,
            &known,
            otherwise_in_account(table),
            &mut settings_of_one,
            &mut places,
        );
        let Some(name) = name else { continue };
        taken.check(reader, &name, &places);
        let Settings {
            kind,
            days,
            rotate_every,
            renew_before,
            grace,
            permissions,
            deliver,
            external_id,
        } = settings_of_one;
        fleet.accounts.push(Account {
            name,
            kind: kind.unwrap_or(Kind::ServiceAccount),
            days,
            rotate_every,
            renew_before,
            grace,
            permissions,
            deliver,
            external_id,
        });
    }
    if fleet.accounts.is_empty() && reader.problems.is_empty() {
        reader.problem(0, "it names no account: each has a table [account.NAME]");
    }
    fleet
}

/// What else somebody may have meant in an account.
fn otherwise_in_account<'t>(table: &'t DeTable<'t>) -> impl Fn(&str) -> Option<String> + 't {
    move |given| {
        if given == "key" {
            return Some(
                "`key` is not taken here: what this file makes are keys that are sealed in the vault".to_owned(),
            );
        }
        let (_, value) = table.iter().find(|(key, _)| key.get_ref() == given)?;
        let part_of_a_name = matches!(value.get_ref(), DeValue::Table(_)) && suspicion(given).is_none();
        part_of_a_name.then(|| format!("a name with a dot is quoted: [account.\"….{}\"]", given.escape_debug()))
    }
}

/// What was seen in the accounts before.
#[derive(Default)]
struct Taken {
    places: Vec<(CredentialName, Place)>,
    /// By what no host can change, so that not all are compared with all.
    by_rest: BTreeMap<String, Vec<usize>>,
}

impl Taken {
    /// Two credentials in one place would each be put in the other's way.
    fn check(&mut self, reader: &mut Reader<'_>, name: &CredentialName, places: &[(usize, Place)]) {
        for (at, place) in places {
            let before = self.by_rest.entry(place.target.rest().to_owned()).or_default();
            let other = before.iter().map(|index| &self.places[*index]);
            let other = other.into_iter().find(|(_, other)| other.collides(&place.target));
            match other {
                Some((other, _)) if other == name => {
                    reader.problem(*at, format!("{} stands there twice", place.target));
                }
                Some((other, _)) => reader.problem(*at, format!("{other} delivers there already")),
                None => {
                    before.push(self.places.len());
                    self.places.push((name.clone(), place.clone()));
                }
            }
        }
    }
}

fn settings<'t>(
    reader: &mut Reader<'_>,
    table: &'t DeTable<'t>,
    known: &[&'static str],
    otherwise: impl Fn(&str) -> Option<String>,
    settings: &mut Settings,
    places: &mut Vec<(usize, Place)>,
) {
    for (field, _, value) in reader.fields(table, known, otherwise) {
        match field {
            "kind" => settings.kind = kind(reader, value).or(settings.kind),
            "days" => settings.days = days(reader, value).or(settings.days),
            "rotate_every" => settings.rotate_every = span(reader, value),
            "renew_before" => settings.renew_before = span(reader, value),
            "grace" => settings.grace = grace(reader, value),
            "permissions" => settings.permissions = permissions(reader, value),
            "deliver" => {
                *places = deliveries(reader, value);
                settings.deliver = Some(places.iter().map(|(_, place)| place.clone()).collect());
            }
            _ => settings.external_id = reader.parsed(value),
        }
    }
}

fn kind(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Kind> {
    match reader.text(value)? {
        "service-account" => Some(Kind::ServiceAccount),
        "pat" => Some(Kind::Pat),
        other => {
            let meant = did_you_mean(other, ["service-account", "pat"]);
            let given = Quoted::of(other);
            reader.problem(
                value.span().start,
                format!("{given} is no kind: service-account or pat{meant}"),
            );
            None
        }
    }
}

fn days(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<u32> {
    let days = reader.number(value)?;
    let fits = u32::try_from(days).ok().filter(|days| (1..=730).contains(days));
    if fits.is_none() {
        reader.problem(value.span().start, "a token lives from 1 to 730 days");
    }
    fits
}

fn span(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Span> {
    let span: Span = reader.parsed(value)?;
    if span.duration() < SHORTEST {
        reader.problem(value.span().start, "this is to be an hour or longer, such as 90d");
        return None;
    }
    Some(span)
}

fn grace(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Grace> {
    match reader.text(value)? {
        "manual" => Some(Grace::Manual),
        "0" => Some(Grace::Seconds(0)),
        _ => Some(Grace::Seconds(reader.parsed::<Span>(value)?.duration().as_secs())),
    }
}

fn permissions(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Vec<Permission>> {
    let mut permissions: Vec<Permission> = Vec::new();
    let list = reader.list(value)?;
    if list.len() > MOST_OF_ONE {
        reader.problem(
            value.span().start,
            format!("more than {MOST_OF_ONE} permissions are too many"),
        );
    }
    for value in list.into_iter().take(MOST_OF_ONE) {
        let Some(text) = reader.text(value) else { continue };
        if text.trim().is_empty() {
            reader.problem(value.span().start, "a permission has a name or an id");
        } else if permissions.iter().any(|permission| permission.text == text) {
            reader.problem(value.span().start, format!("{} stands there twice", Quoted::of(text)));
        } else {
            permissions.push(Permission {
                text: text.to_owned(),
                at: reader.position(value.span()),
            });
        }
    }
    Some(permissions)
}

fn deliveries(reader: &mut Reader<'_>, value: &Value<'_>) -> Vec<(usize, Place)> {
    let Some(list) = reader.list(value) else {
        return Vec::new();
    };
    if list.len() > MOST_OF_ONE {
        reader.problem(
            value.span().start,
            format!("more than {MOST_OF_ONE} places are too many"),
        );
    }
    let places = list.into_iter().take(MOST_OF_ONE);
    places
        .filter_map(|value| Some((value.span().start, place(reader, value)?)))
        .collect()
}

fn place(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Place> {
    match value.get_ref() {
        DeValue::Table(table) => {
            let (mut to, mut then, mut then_at) = (None, Vec::new(), 0);
            let mut named = false;
            for (field, at, value) in reader.fields(table, &names(|table| table == Table::Place), |_| None) {
                if field == "to" {
                    named = true;
                    to = target(reader, value);
                } else {
                    then_at = at;
                    then = words(reader, value);
                }
            }
            if !named {
                reader.problem(value.span().start, "a place has a `to`");
            }
            let target = to?;
            if !then.is_empty() && !target.kind().has_host() {
                reader.problem(then_at, "`then` goes with a place on one machine, such as file:");
            }
            Some(Place { target, then })
        }
        _ => Some(Place {
            target: target(reader, value)?,
            then: Vec::new(),
        }),
    }
}

fn words(reader: &mut Reader<'_>, value: &Value<'_>) -> Vec<String> {
    let Some(list) = reader.list(value) else {
        return Vec::new();
    };
    let mut words = Vec::new();
    for value in &list {
        words.extend(reader.text(value).map(str::to_owned));
    }
    if list.is_empty() || words.first().is_some_and(String::is_empty) {
        reader.problem(
            value.span().start,
            "a program has a name: [\"systemctl\", \"reload\", \"payments\"]",
        );
    }
    words
}

fn target(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Target> {
    let text = reader.text(value)?;
    let parsed = text.parse::<Target>().map_err(|error| error.to_string());
    let checked = parsed.and_then(|target| deliver::form(&target).map(|_| target));
    match checked {
        Ok(target) => Some(target),
        Err(reason) => {
            let kind = text.split(':').next().unwrap_or_default();
            let known = TargetKind::words().any(|word| word == kind);
            let meant = (!known).then(|| did_you_mean(kind, TargetKind::words()));
            reader.problem(value.span().start, format!("{reason}{}", meant.unwrap_or_default()));
            None
        }
    }
}
