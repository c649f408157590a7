//! The keys that differ, by what the images hold and by what the configurations say.

use std::collections::{HashMap, HashSet};

use geofence_common::country::Country;
use geofence_common::image::class::Class;
use geofence_common::image::{Words as _, header};
use serde::Serialize;

use super::described::{Described, Entry, KeyValue, Value};
use super::destination::Destination;
use super::side::Side;
use crate::checks::sanity::data_built;
use crate::model::policy::Action;
use crate::model::units::UnixSeconds;
use crate::model::word::Word as _;

/// A setting that differs, by its key in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    pub key: String,
    pub before: String,
    pub after: String,
    /// Of a list of entries, those that come and those that go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
}

/// An entry of a table that differs: a tenant, an exception, a protection or a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EntryChange {
    pub table: String,
    pub name: String,
    /// "added", "removed" or "changed".
    pub change: &'static str,
    /// The keys that differ; of an entry that was added or removed, all of them.
    pub keys: Vec<Setting>,
}

/// The settings that differ, first those that the images hold, which are what filters.
pub(super) fn changes(old: Side<'_>, new: Side<'_>) -> Vec<Setting> {
    let described = old.described.zip(new.described);
    let images = in_image(old, described.is_some()).into_iter();
    let mut settings: Vec<_> = images
        .zip(in_image(new, described.is_some()))
        .filter_map(|(before, after)| Setting::between(&before, &after))
        .collect();
    if let Some((old, new)) = described {
        for one in between(&old.keys, &new.keys) {
            if settings.iter().all(|setting| setting.key != one.key) {
                settings.push(one);
            }
        }
    }
    settings
}

/// The entries of tables that differ. There may be a hundred thousand.
pub(super) fn entries(old: &Described, new: &Described) -> Vec<EntryChange> {
    fn named(all: &Described) -> HashMap<(&str, &str), &Entry> {
        let entries = all.entries.iter();
        entries.map(|one| (one.named(), one)).collect()
    }
    let (before, after) = (named(old), named(new));
    let come = new.entries.iter().filter_map(|one| {
        let (change, keys) = match before.get(&one.named()) {
            Some(before) => ("changed", between(&before.keys, &one.keys)),
            None => ("added", between(&[], &one.keys)),
        };
        (!keys.is_empty()).then(|| EntryChange::new(one, change, keys))
    });
    let gone = old.entries.iter();
    let gone = gone.filter(|one| !after.contains_key(&one.named()));
    let gone = gone.map(|one| EntryChange::new(one, "removed", between(&one.keys, &[])));
    come.chain(gone).collect()
}

/// The keys that differ; a key that only one side has differs too.
fn between(old: &[KeyValue], new: &[KeyValue]) -> Vec<Setting> {
    let find = |keys: &[KeyValue], key: &str| {
        let found = keys.iter().find(|(name, _)| name == key);
        found.map_or_else(
            || (key.to_owned(), Value::One(String::new())),
            KeyValue::clone,
        )
    };
    let gone = old
        .iter()
        .filter(|(key, _)| !new.iter().any(|(name, _)| name == key));
    let keys = new.iter().chain(gone).map(|(key, _)| key);
    keys.filter_map(|key| Setting::between(&find(old, key), &find(new, key)))
        .collect()
}

impl Setting {
    /// The change from one value of a key to another, if they differ. The order of entries makes no difference.
    fn between((key, before): &KeyValue, (_, after): &KeyValue) -> Option<Self> {
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        if let (Value::Many(before), Value::Many(after)) = (before, after) {
            let missing = |all: &[String], among: &[String]| -> Vec<String> {
                let among: HashSet<&String> = among.iter().collect();
                let missing = all.iter().filter(|one| !among.contains(one));
                missing.cloned().collect()
            };
            (added, removed) = (missing(after, before), missing(before, after));
            if added.is_empty() && removed.is_empty() {
                return None;
            }
        } else if before == after {
            return None;
        }
        Some(Self {
            key: key.clone(),
            before: before.text(),
            after: after.text(),
            added,
            removed,
        })
    }
}

/// The settings of one destination that differ.
pub(super) fn of_destination(before: Destination<'_>, after: Destination<'_>) -> Vec<Setting> {
    let images = for_destination(before).into_iter();
    images
        .zip(for_destination(after))
        .filter_map(|(before, after)| Setting::between(&before, &after))
        .collect()
}

/// What an image holds of the settings that a tenant may have of its own.
fn for_destination(destination: Destination<'_>) -> Vec<KeyValue> {
    let action = |drops: bool| if drops { Action::Drop } else { Action::Pass };
    let flags = destination.flags();
    let words = [
        ("mode", flags.mode().word()),
        ("special-use", action(flags.blocks_special_use()).word()),
        ("icmp-echo", action(!flags.passes_icmp_echo()).word()),
    ];
    let words = words.into_iter();
    words
        .map(|(key, word)| (key.to_owned(), Value::One(word.to_owned())))
        .collect()
}

impl EntryChange {
    fn new(entry: &Entry, change: &'static str, keys: Vec<Setting>) -> Self {
        Self {
            table: entry.table.clone(),
            name: entry.name.clone(),
            change,
            keys,
        }
    }
}

/// What an image holds of the settings for everyone. The numbers of entries stand for the entries where those are not
/// known.
fn in_image(side: Side<'_>, are_entries_known: bool) -> Vec<KeyValue> {
    let one = |key: &str, value: String| (key.to_owned(), Value::One(value));
    let flags = side.flags();
    let unknown = side
        .classes()
        .find(|class| class.country() == Country::UNKNOWN);
    let unknown = if unknown.is_some_and(Class::is_blocked) {
        Action::Drop
    } else {
        Action::Pass
    };
    let built = match data_built(side.words) {
        UnixSeconds(0) => "unknown".to_owned(),
        built => built.date(),
    };
    let word = |at: usize| side.words.word(at as u32).unwrap_or(0).to_string();
    let mut settings = for_destination(Destination::new(side.words, 0));
    settings.extend([
        one("unknown", unknown.word().to_owned()),
        one("replies", flags.replies().word().to_owned()),
        one("mta-sts", flags.fetches_mta_sts().to_string()),
        one("rate-limit", word(header::RATE_LIMIT)),
        one("data built", built),
    ]);
    if !are_entries_known {
        settings.push(one("tenants", word(header::TENANTS)));
        settings.push(one(
            "exceptions and protections",
            word(header::EXCEPTION_COUNT),
        ));
    }
    settings
}
