//! The lists of a configuration as the filter uses them: the file of each, the text that was fetched last, or the last
//! good text if the present one is rejected.
//!
//! Nothing is fetched, and nothing is written before `Loaded::save`, so inspecting a policy changes nothing.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use super::check::{entries_in_memory, header_of, no_room, read_checked};
use super::extent;
use super::local_addresses::LocalAddresses;
use super::read::{Contents, ListError, read_at_most, read_blank};
use super::report::{ListReport, ListState};
use super::sanity::{SanityProblem, problems};
use super::source_file::read_file;
use super::special_use::without_special_use;
use super::store::{Rejection, SourceStatus, Store, StoreError, StoredList};
use crate::model::list::{Definition, Format, Source};
use crate::model::listing::{Entries, Entry, Listing};
use crate::model::server_url::hide_secrets;
use crate::model::shortfall::{Part, Shortfall, Tolerance};
use crate::model::units::UnixSeconds;
use crate::model::word::Word as _;

/// Why a policy with this list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("the list {list} cannot be used, and no earlier good text of it is stored:\n{why}")]
    Unusable { list: String, why: String },
    #[error("the list {list}: {cause}")]
    Store { list: String, cause: StoreError },
}

/// All lists of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    pub listings: Vec<Listing>,
    pub reports: Vec<ListReport>,
    /// What the operator should know, in sentences.
    pub warnings: Vec<String>,
    /// The lists that are empty because they cannot be used.
    pub shortfalls: Vec<Shortfall>,
    unsaved: Vec<Unsaved>,
}

/// What is to be written for one list.
#[derive(Clone, Debug)]
struct Unsaved {
    list: String,
    text: Option<StoredList>,
    status: SourceStatus,
}

/// Reads every list. One that cannot be used and is tolerated is empty.
pub fn load(
    definitions: &[Definition],
    local: &LocalAddresses,
    store: &Store,
    now: UnixSeconds,
    tolerance: Tolerance<'_>,
) -> Result<Loaded, LoadError> {
    let mut loaded = Loaded::default();
    for definition in definitions {
        let read = match &definition.source {
            Source::File(path) => from_file(definition, path, local, store, now),
            Source::Url(_) => from_store(definition, local, store),
        };
        let list = match read {
            Err(error) if tolerance.allows(Part::List, &definition.name) => {
                unusable(definition, &error, store, now)
            }
            read => read?,
        };
        loaded.add(definition, list, now);
    }
    Ok(loaded)
}

/// The files that `load` reads.
#[must_use]
pub fn files(definitions: &[Definition], store: &Store) -> Vec<PathBuf> {
    let file = |definition: &Definition| match &definition.source {
        Source::File(path) => path.clone(),
        Source::Url(_) => store.path(&definition.name),
    };
    definitions.iter().map(file).collect()
}

/// One list, read.
struct LoadedList {
    contents: Contents,
    state: ListState,
    since: Option<UnixSeconds>,
    status: SourceStatus,
    warning: Option<String>,
    unsaved: Option<Unsaved>,
}

impl Loaded {
    fn add(&mut self, definition: &Definition, list: LoadedList, now: UnixSeconds) {
        let name = &definition.name;
        let contents = without_special_use(definition, list.contents);
        let all = contents.entries.len();
        let entries = unexpired(contents.entries, definition, list.since, now);
        let report = ListReport {
            name: name.clone(),
            source: hide_secrets(&definition.source.to_string()),
            action: definition.action,
            direction: definition.direction,
            state: list.state,
            entries: entries.len(),
            expired: all - entries.len(),
            skipped: contents.skipped.clone(),
            since: list.since,
            rejection: list.status.refused,
            is_fetched: matches!(definition.source, Source::Url(_)),
            read: now,
        };
        self.warnings.extend(list.warning);
        match report.shortfall() {
            Some(shortfall) if report.state == ListState::Unusable => {
                self.shortfalls.push(shortfall);
            }
            Some(shortfall) => self.warnings.push(shortfall.text),
            None => {}
        }
        self.reports.push(report);
        if all > 0 && entries.is_empty() {
            self.warnings.push(format!(
                "the list {name}: every entry has expired; fetch it again with `geofence update {name}`, or set a \
                 longer `expires`"
            ));
        }
        self.listings.push(Listing::new(
            name,
            definition.action,
            definition.direction,
            entries,
        ));
        self.unsaved.extend(list.unsaved);
    }

    /// Stores the good texts that were read, to fall back on later.
    pub fn save(&mut self, store: &Store) -> Result<(), StoreError> {
        if self.unsaved.is_empty() {
            return Ok(());
        }
        let _lock = store.lock()?;
        for Unsaved { list, text, status } in self.unsaved.drain(..) {
            if let Some(text) = text {
                store.save(&list, text)?;
            }
            store.save_status(&list, &status)?;
        }
        Ok(())
    }
}

/// The entries that have not expired, each with the time when it will.
fn unexpired(
    entries: Entries,
    definition: &Definition,
    since: Option<UnixSeconds>,
    now: UnixSeconds,
) -> Entries {
    let general = definition.expires.zip(since).and_then(|(expires, since)| {
        let end = u32::try_from(since.plus(expires).0).ok()?;
        NonZeroU32::new(end)
    });
    let expiry = |entry: &Entry| match (entry.expires, general) {
        (Some(own), Some(general)) => Some(own.min(general)),
        (own, general) => own.or(general),
    };
    let is_unchanged = |entry: &Entry| expiry(entry) == entry.expires && !entry.is_over(now);
    if entries.iter().all(is_unchanged) {
        return entries;
    }
    entries.retain_mut(|entry| {
        entry.expires = expiry(entry);
        !entry.is_over(now)
    })
}

fn from_file(
    definition: &Definition,
    path: &Path,
    local: &LocalAddresses,
    store: &Store,
    now: UnixSeconds,
) -> Result<LoadedList, LoadError> {
    let list = &definition.name;
    // The stored text is what there is to fall back on. A text that can be used needs none.
    let (stored, mut unread) = match store.load_intact(list) {
        Ok(stored) => (stored, None),
        Err(cause) => (None, Some(store_error(list, cause))),
    };
    let before = store.status(list).unwrap_or_default();
    let read = read_file(path).and_then(|(text, written)| {
        let is_stored = stored.as_ref().is_some_and(|stored| stored.text == text);
        let is_forced = is_stored && stored.as_ref().is_some_and(|stored| stored.header.forced);
        let stored = stored.as_ref();
        let contents = read_checked(definition, &text, written, stored, local, is_forced)?;
        Ok((text, contents, written, is_stored))
    });
    let unsaved = |text, status| Unsaved {
        list: list.clone(),
        text,
        status,
    };
    match read {
        Ok((text, contents, written, is_stored)) => {
            let status = SourceStatus::confirmed(written);
            let header = header_of(definition, &contents, written, stored.as_ref());
            let text = (!is_stored).then_some(StoredList { header, text });
            let is_new = text.is_some() || before != status;
            Ok(LoadedList {
                contents,
                state: ListState::Current,
                since: Some(written),
                warning: unread.take().map(|error| error.to_string()),
                unsaved: is_new.then(|| unsaved(text, status.clone())),
                status,
            })
        }
        Err(why) => {
            let Some(stored) = stored else {
                let list = list.clone();
                let why = match unread {
                    Some(error) => format!("{why}\n{error}"),
                    None => why,
                };
                return Err(LoadError::Unusable { list, why });
            };
            let is_new = before
                .refused
                .as_ref()
                .is_none_or(|before| before.why != why);
            let status = before.rejected(Rejection { when: now, why });
            Ok(LoadedList {
                contents: stored_contents(list, &stored)?,
                state: ListState::LastGood,
                since: Some(stored.header.since),
                warning: None,
                unsaved: is_new.then(|| unsaved(None, status.clone())),
                status,
            })
        }
    }
}

fn from_store(
    definition: &Definition,
    local: &LocalAddresses,
    store: &Store,
) -> Result<LoadedList, LoadError> {
    let list = &definition.name;
    let failed = |cause| store_error(list, cause);
    let status = store.status(list).unwrap_or_default();
    let stored = match store.load(list) {
        Ok(Some(stored)) => Ok(stored),
        Ok(None) => Err(None),
        Err(damage @ StoreError::Damaged { .. }) => {
            Err(Some(format!("the list {list} is lost: {damage}")))
        }
        Err(cause) => return Err(failed(cause)),
    };
    let stored = match stored {
        Ok(stored) => stored,
        Err(warning) => {
            return Ok(LoadedList {
                contents: Contents::default(),
                state: ListState::Absent,
                since: None,
                status,
                warning,
                unsaved: None,
            });
        }
    };
    let contents = without_special_use(definition, stored_contents(list, &stored)?);
    let source = definition.source.to_string();
    let warning = if status.refused.is_some() {
        None
    } else if stored.header.source != source {
        Some(format!(
            "the list {list} was fetched from {}, and its source is now {}: the fetched text is used until \
             `geofence update {list}`",
            hide_secrets(&stored.header.source),
            hide_secrets(&source)
        ))
    } else if stored.header.forced || contents.entries.is_empty() {
        None
    } else {
        // It was accepted when it was fetched; the machine or its configuration has changed since.
        first_problem(definition, &contents, local).map(|problem| {
            format!("the list {list} would be rejected today: {problem}; it is used until `geofence update {list}`")
        })
    };
    let state = if status.refused.is_some() {
        ListState::LastGood
    } else {
        ListState::Current
    };
    Ok(LoadedList {
        contents,
        state,
        since: status.confirmed.or(Some(stored.header.since)),
        status,
        warning,
        unsaved: None,
    })
}

/// Why a stored text would be rejected today.
fn first_problem(
    definition: &Definition,
    contents: &Contents,
    local: &LocalAddresses,
) -> Option<SanityProblem> {
    let mut problems = problems(&contents.entries, None, local);
    problems.extend(extent::problems(definition, &contents.entries));
    problems.into_iter().next()
}

/// A list without a text: empty, with the reason in its status.
fn unusable(
    definition: &Definition,
    error: &LoadError,
    store: &Store,
    now: UnixSeconds,
) -> LoadedList {
    let status = store.status(&definition.name).unwrap_or_default();
    let status = status.rejected(Rejection {
        when: now,
        why: error.to_string(),
    });
    LoadedList {
        contents: Contents::default(),
        state: ListState::Unusable,
        since: None,
        warning: None,
        unsaved: Some(Unsaved {
            list: definition.name.clone(),
            text: None,
            status: status.clone(),
        }),
        status,
    }
}

fn store_error(list: &str, cause: StoreError) -> LoadError {
    LoadError::Store {
        list: list.to_owned(),
        cause,
    }
}

/// The content of a stored text, in the format it was stored in.
fn stored_contents(list: &str, stored: &StoredList) -> Result<Contents, LoadError> {
    let header = &stored.header;
    let mut words = Format::WORDS.iter();
    let format = words.find(|(word, _, _)| *word == header.format);
    let format = format.map_or(Format::Auto, |(_, format, _)| *format);
    // The text was accepted as it is.
    if let Some(contents) = read_blank(&stored.text, format) {
        return Ok(contents);
    }
    let room = Some(entries_in_memory());
    let source = hide_secrets(&header.source);
    let read = read_at_most(&stored.text, format, &source, header.since, room);
    read.map_err(|error| LoadError::Unusable {
        list: list.to_owned(),
        why: if matches!(error, ListError::TooMany { .. }) {
            no_room(&error)
        } else {
            error.to_string()
        },
    })
}
