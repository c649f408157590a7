//! One list brought up to date: fetched or read, checked, and stored or rejected.

use super::check::{header_of, read_checked};
use super::fetch::{Fetched, Validators, fetch};
use super::local_addresses::LocalAddresses;
use super::source_file::read_file;
use super::store::{Rejection, SourceStatus, Store, StoreError, StoredHeader, StoredList};
use crate::model::list::{Definition, Source};
use crate::model::units::UnixSeconds;

/// The result of an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateOutcome {
    /// The list has a new text, or is new.
    Updated {
        entries: usize,
        before: Option<usize>,
    },
    /// Its source gives the stored text.
    Unchanged { entries: usize },
    /// What its source gives is not a list or fails the sanity check; the last good text stays, if there is one.
    Rejected { why: String, entries: Option<usize> },
    /// Its source gives nothing; the last good text stays, if there is one.
    Failed { why: String, entries: Option<usize> },
}

/// Brings a list up to date. With `force`, the sanity check is skipped.
///
/// # Errors
/// If the store cannot be read or written. A problem with the list itself is an outcome.
pub fn update(
    definition: &Definition,
    local: &LocalAddresses,
    store: &Store,
    force: bool,
    now: UnixSeconds,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<UpdateOutcome, StoreError> {
    let list = &definition.name;
    let stored = store.load_intact(list)?;
    let entries = stored.as_ref().map(|stored| stored.header.entries);
    let save_status = |status: SourceStatus| {
        let _lock = store.lock()?;
        store.save_status(list, &status)
    };
    let reject = |why: &str| {
        let why = why.to_owned();
        save_status(store.status(list)?.rejected(Rejection { when: now, why }))
    };
    let obtained = match obtain(definition, stored.as_ref(), force, now, progress) {
        Ok(Some(obtained)) => obtained,
        Ok(None) => {
            save_status(SourceStatus::confirmed(now))?;
            let entries = entries.unwrap_or(0);
            return Ok(UpdateOutcome::Unchanged { entries });
        }
        Err(why) => {
            reject(&why)?;
            return Ok(UpdateOutcome::Failed { why, entries });
        }
    };
    let Obtained {
        text,
        validators,
        since,
    } = obtained;
    let contents = match read_checked(definition, &text, since, stored.as_ref(), local, force) {
        Ok(contents) => contents,
        Err(why) => {
            reject(&why)?;
            return Ok(UpdateOutcome::Rejected { why, entries });
        }
    };
    let is_same = stored
        .as_ref()
        .is_some_and(|stored| stored.text == text && stored.header.forced == force);
    let header = StoredHeader {
        forced: force,
        etag: validators.etag,
        last_modified: validators.last_modified,
        ..header_of(definition, &contents, since, stored.as_ref())
    };
    let found = header.entries;
    let _lock = store.lock()?;
    store.save(list, StoredList { header, text })?;
    store.save_status(list, &SourceStatus::confirmed(since))?;
    Ok(if is_same {
        UpdateOutcome::Unchanged { entries: found }
    } else {
        UpdateOutcome::Updated {
            entries: found,
            before: entries,
        }
    })
}

/// A text from a source.
struct Obtained {
    text: Vec<u8>,
    /// What the server recognises the text by.
    validators: Validators,
    /// When the source gave it.
    since: UnixSeconds,
}

/// Asks the source; `None` if it still gives the stored text.
fn obtain(
    definition: &Definition,
    stored: Option<&StoredList>,
    force: bool,
    now: UnixSeconds,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Option<Obtained>, String> {
    let url = match &definition.source {
        Source::File(path) => {
            let (text, since) = read_file(path)?;
            return Ok(Some(Obtained {
                text,
                validators: Validators::default(),
                since,
            }));
        }
        Source::Url(url) => url,
    };
    // With `force` the text is read anew, and a text from another URL says nothing about this one.
    let known = stored.filter(|stored| !force && stored.header.source == *url);
    let known = known.map(|stored| Validators {
        etag: stored.header.etag.clone(),
        last_modified: stored.header.last_modified.clone(),
    });
    match fetch(url, &known.unwrap_or_default(), progress) {
        Ok(Fetched::Unchanged) if stored.is_some() => Ok(None),
        Ok(Fetched::Unchanged) => Err(format!(
            "{url}: the server says that nothing has changed, but nothing was fetched before; ask its operator"
        )),
        Ok(Fetched::Text { bytes, validators }) => Ok(Some(Obtained {
            text: bytes,
            validators,
            since: now,
        })),
        Err(error) => Err(error.to_string()),
    }
}
