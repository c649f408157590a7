//! The lists of a configuration as the filter uses them: the file of each, or what was fetched last, or the last good
//! text where the present one is refused.
//!
//! Nothing is fetched, and nothing is written until `Loaded::keep`, so that looking at a policy changes nothing.

use std::fs::File;
use std::io::{self, Read as _};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde_json::{Value, json};

use super::sanity::{Surroundings, doubts};
use super::store::{Head, Kept, Refused, Status, Store, StoreError};
use super::{Action, Contents, Definition, Direction, Entries, Entry, Format, LIST_BYTES_MAX};
use super::{Listing, Source, read};
use crate::model::word::Word as _;

/// Why a policy with this list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("the list {list} cannot be used, and there is no good one from before:\n{why}")]
    Unusable { list: String, why: String },
    #[error("the list {list}: {cause}")]
    Store { list: String, cause: StoreError },
}

/// Where what is on a list comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// What its source gives, or gave when it was last fetched.
    Current,
    /// What was good before, because what its source gives is refused.
    LastGood,
    /// Nowhere: it has a URL and was never fetched.
    Absent,
}

impl Standing {
    /// The spelling in JSON and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::LastGood => "last good",
            Self::Absent => "never fetched",
        }
    }
}

/// What there is to tell about a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub name: String,
    pub source: String,
    pub action: Action,
    pub direction: Direction,
    pub standing: Standing,
    /// How many have not lapsed, and how many have.
    pub entries: usize,
    pub lapsed: usize,
    /// What the text holds that is about something else than addresses.
    pub passed_over: usize,
    /// When its source last gave or confirmed it, seconds since 1970.
    pub since: Option<u64>,
    pub refused: Option<Refused>,
}

impl Report {
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "source": self.source,
            "action": self.action.word(),
            "direction": self.direction.word(),
            "standing": self.standing.name(),
            "entries": self.entries,
            "lapsed": self.lapsed,
            "passed_over": self.passed_over,
            "since": self.since,
            "refused": self.refused,
        })
    }
}

/// All lists of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    pub listings: Vec<Listing>,
    pub reports: Vec<Report>,
    /// What the operator should know, in sentences.
    pub warnings: Vec<String>,
    pending: Vec<Pending>,
}

/// What is yet to be written.
#[derive(Clone, Debug)]
struct Pending {
    list: String,
    kept: Option<Kept>,
    status: Status,
}

/// Reads every list.
pub fn load(
    definitions: &[Definition],
    around: &Surroundings,
    store: &Store,
    now: u64,
) -> Result<Loaded, LoadError> {
    let mut loaded = Loaded::default();
    for definition in definitions {
        let one = match &definition.source {
            Source::File(path) => of_file(definition, path, around, store, now),
            Source::Url(_) => of_store(definition, around, store),
        }?;
        loaded.add(definition, one, now);
    }
    Ok(loaded)
}

/// The files whose change changes what `load` reads.
#[must_use]
pub fn files(definitions: &[Definition], store: &Store) -> Vec<PathBuf> {
    let files = definitions
        .iter()
        .map(|definition| match &definition.source {
            Source::File(path) => path.clone(),
            Source::Url(_) => store.path(&definition.name),
        });
    files.collect()
}

/// One list, read.
struct One {
    contents: Contents,
    standing: Standing,
    since: Option<u64>,
    status: Status,
    warning: Option<String>,
    pending: Option<Pending>,
}

impl Loaded {
    fn add(&mut self, definition: &Definition, one: One, now: u64) {
        let name = &definition.name;
        let all = one.contents.entries.len();
        let entries = living(&one.contents.entries, definition, one.since, now);
        self.reports.push(Report {
            name: name.clone(),
            source: definition.source.to_string(),
            action: definition.action,
            direction: definition.direction,
            standing: one.standing,
            entries: entries.len(),
            lapsed: all - entries.len(),
            passed_over: one.contents.passed_over.values().sum(),
            since: one.since,
            refused: one.status.refused,
        });
        if all > 0 && entries.is_empty() {
            self.warnings.push(format!(
                "the list {name}: every entry has lapsed; fetch it again with `geofence update {name}`, or give \
                 `expires` more time"
            ));
        }
        self.listings.push(Listing::new(
            name,
            definition.action,
            definition.direction,
            entries,
        ));
        self.warnings.extend(one.warning);
        self.pending.extend(one.pending);
    }

    /// Keeps what was read and is good, as what to fall back on.
    pub fn keep(&mut self, store: &Store) -> Result<(), StoreError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let _lock = store.lock()?;
        for Pending { list, kept, status } in self.pending.drain(..) {
            if let Some(kept) = kept {
                store.keep(&list, kept)?;
            }
            store.note(&list, &status)?;
        }
        Ok(())
    }
}

/// The entries that have not lapsed, each with the time when it will.
fn living(entries: &Entries, definition: &Definition, since: Option<u64>, now: u64) -> Entries {
    let general = match (definition.expires, since) {
        (Some(expires), Some(since)) => {
            let end = since.saturating_add(expires.as_secs());
            u32::try_from(end).ok().and_then(NonZeroU32::new)
        }
        _ => None,
    };
    let lapses = |entry: &Entry| match (entry.expires, general) {
        (Some(own), Some(general)) => Some(own.min(general)),
        (own, general) => own.or(general),
    };
    let is_untouched = |entry: &Entry| lapses(entry) == entry.expires && !entry.is_over(now);
    if entries.iter().all(is_untouched) {
        return entries.clone();
    }
    let living = entries.iter().filter_map(|entry| {
        let expires = lapses(entry);
        let entry = Entry { expires, ..*entry };
        (!entry.is_over(now)).then_some(entry)
    });
    Entries::new(living.collect())
}

fn of_file(
    definition: &Definition,
    path: &Path,
    around: &Surroundings,
    store: &Store,
    now: u64,
) -> Result<One, LoadError> {
    let list = &definition.name;
    let failed = |cause| LoadError::Store {
        list: list.clone(),
        cause,
    };
    let kept = match store.load(list) {
        // What cannot be fallen back on is missed when there is something to fall back from.
        Err(StoreError::Damaged { .. }) => None,
        loaded => loaded.map_err(failed)?,
    };
    let status = store.status(list).map_err(failed)?;
    match candidate(definition, path, kept.as_ref(), around) {
        Ok((text, contents, written)) => {
            let head = head_of(definition, &contents, written);
            let is_known = kept.as_ref().is_some_and(|kept| kept.text == text);
            let told = Status {
                confirmed: Some(written),
                refused: None,
            };
            let pending = (!is_known || status != told).then(|| Pending {
                list: list.clone(),
                kept: (!is_known).then_some(Kept { head, text }),
                status: told.clone(),
            });
            Ok(One {
                contents,
                standing: Standing::Current,
                since: Some(written),
                status: told,
                warning: None,
                pending,
            })
        }
        Err(why) => {
            let Some(kept) = kept else {
                let list = list.clone();
                return Err(LoadError::Unusable { list, why });
            };
            let told = Status {
                refused: Some(Refused {
                    when: now,
                    why: why.clone(),
                }),
                ..status.clone()
            };
            let is_told = status.refused.as_ref().is_some_and(|told| told.why == why);
            let contents = contents_of(list, &kept)?;
            Ok(One {
                contents,
                standing: Standing::LastGood,
                since: Some(kept.head.since),
                warning: Some(format!(
                    "the list {list} is refused, and the last good one is used instead:\n{why}\nIf it is right all \
                     the same, say so: geofence update {list} --force"
                )),
                pending: (!is_told).then(|| Pending {
                    list: list.clone(),
                    kept: None,
                    status: told.clone(),
                }),
                status: told,
            })
        }
    }
}

fn of_store(
    definition: &Definition,
    around: &Surroundings,
    store: &Store,
) -> Result<One, LoadError> {
    let list = &definition.name;
    let failed = |cause| LoadError::Store {
        list: list.clone(),
        cause,
    };
    let status = store.status(list).map_err(failed)?;
    let (kept, damage) = match store.load(list) {
        Err(damage @ StoreError::Damaged { .. }) => (None, Some(damage)),
        loaded => (loaded.map_err(failed)?, None),
    };
    let Some(kept) = kept else {
        let why = damage.map_or_else(
            || "was never fetched".to_owned(),
            |damage| format!("is lost: {damage}"),
        );
        return Ok(One {
            contents: Contents::default(),
            standing: Standing::Absent,
            since: None,
            status,
            warning: Some(format!(
                "the list {list} {why}; until `geofence update {list}` nothing is on it"
            )),
            pending: None,
        });
    };
    let contents = contents_of(list, &kept)?;
    let source = definition.source.to_string();
    let doubts = || doubts(&contents.entries, None, around).into_iter();
    let warning = if let Some(refused) = &status.refused {
        Some(format!(
            "the list {list} was refused or not to be had when it was last fetched, and the last good one is used \
             instead:\n{}",
            refused.why
        ))
    } else if kept.head.source != source {
        Some(format!(
            "the list {list} was fetched from {} and is to come from {source}: what was fetched is used until \
             `geofence update {list}`",
            kept.head.source
        ))
    } else if kept.head.forced {
        None
    } else {
        // It was good when it was fetched; what has changed since is the machine or its configuration.
        doubts().next().map(|doubt| {
            format!("the list {list} would be refused today: {doubt}; it is used until `geofence update {list}`")
        })
    };
    let standing = if status.refused.is_some() {
        Standing::LastGood
    } else {
        Standing::Current
    };
    Ok(One {
        contents,
        standing,
        since: status.confirmed.or(Some(kept.head.since)),
        status,
        warning,
        pending: None,
    })
}

/// What is in a kept text, in the format it was kept in.
fn contents_of(list: &str, kept: &Kept) -> Result<Contents, LoadError> {
    let words = Format::WORDS.iter();
    let format = words
        .filter(|(word, _, _)| *word == kept.head.format)
        .map(|(_, format, _)| *format)
        .next();
    let format = format.unwrap_or(Format::Auto);
    read(&kept.text, format, &kept.head.source, kept.head.since).map_err(|error| {
        LoadError::Unusable {
            list: list.to_owned(),
            why: error.to_string(),
        }
    })
}

/// What is known about a text that is good.
pub(super) fn head_of(definition: &Definition, contents: &Contents, since: u64) -> Head {
    Head {
        source: definition.source.to_string(),
        format: contents
            .format
            .unwrap_or(definition.format)
            .word()
            .to_owned(),
        since,
        entries: contents.entries.len(),
        ..Head::default()
    }
}

/// Reads a list's file and holds it against what is known: its text, what is in it, and when it was written; or why it
/// is refused.
fn candidate(
    definition: &Definition,
    path: &Path,
    kept: Option<&Kept>,
    around: &Surroundings,
) -> Result<(Vec<u8>, Contents, u64), String> {
    let (text, written) = bytes_of(path)?;
    let name = path.display().to_string();
    let contents =
        read(&text, definition.format, &name, written).map_err(|error| error.to_string())?;
    let is_forced = kept.is_some_and(|kept| kept.head.forced && kept.text == text);
    if !is_forced {
        judge(definition, &name, &contents, kept, around)?;
    }
    Ok((text, contents, written))
}

/// Everything that speaks against a list, in lines.
pub(super) fn judge(
    definition: &Definition,
    name: &str,
    contents: &Contents,
    kept: Option<&Kept>,
    around: &Surroundings,
) -> Result<(), String> {
    // A list that comes from elsewhere is another list, and its size says nothing.
    let source = definition.source.to_string();
    let former = kept.filter(|kept| kept.head.source == source);
    let former = former.map(|kept| kept.head.entries);
    let doubts = doubts(&contents.entries, former, around);
    if doubts.is_empty() {
        return Ok(());
    }
    let lines: Vec<_> = doubts
        .iter()
        .map(|doubt| format!("{name}: {doubt}"))
        .collect();
    Err(lines.join("\n"))
}

/// A file's bytes, and when it was written.
pub(super) fn bytes_of(path: &Path) -> Result<(Vec<u8>, u64), String> {
    let name = path.display();
    let failed = |error: io::Error| {
        if error.kind() == io::ErrorKind::NotFound {
            format!("{name}: there is no such file; check the path in the configuration")
        } else {
            format!("{name}: {error}")
        }
    };
    // Before it is opened: a pipe would keep us waiting.
    let facts = std::fs::metadata(path).map_err(failed)?;
    if !facts.is_file() {
        return Err(format!(
            "{name}: this is no regular file; name the file that has the list"
        ));
    }
    let file = File::open(path).map_err(failed)?;
    let written = facts.modified().ok();
    let written = written.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let mut bytes = Vec::new();
    file.take(LIST_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > LIST_BYTES_MAX {
        return Err(format!(
            "{name}: it has more than {} MiB; split it, or use one that is aggregated",
            LIST_BYTES_MAX >> 20
        ));
    }
    Ok((bytes, written.map_or(0, |time| time.as_secs())))
}
