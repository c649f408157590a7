//! One list brought up to date: fetched or read, held against the guard, and kept or refused.

use super::fetch::{Fetched, Validators, fetch};
use super::load::{bytes_of, head_of, judge};
use super::sanity::Surroundings;
use super::store::{Head, Kept, Refused, Status, Store, StoreError};
use super::{Contents, Definition, Source, read};

/// What became of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has other entries than before, or is new.
    Updated {
        entries: usize,
        before: Option<usize>,
    },
    /// It is what it was.
    Unchanged { entries: usize },
    /// What its source gives is not believed or is no list; the last good one stays, if there is one.
    Refused { why: String, entries: Option<usize> },
    /// Its source gives nothing; the last good one stays, if there is one.
    Failed { why: String, entries: Option<usize> },
}

/// Brings a list up to date. With `force`, the guard is not asked.
///
/// # Errors
/// When nothing can be kept; the list's own troubles are its outcome.
pub fn update(
    definition: &Definition,
    around: &Surroundings,
    store: &Store,
    force: bool,
    now: u64,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Outcome, StoreError> {
    let list = &definition.name;
    let kept = match store.load(list) {
        Err(StoreError::Damaged { .. }) => None,
        loaded => loaded?,
    };
    let entries = kept.as_ref().map(|kept| kept.head.entries);
    let before = store.status(list)?;
    let refuse = |why: String| {
        let _lock = store.lock()?;
        let refused = Some(Refused {
            when: now,
            why: why.clone(),
        });
        store.note(
            list,
            &Status {
                refused,
                ..before.clone()
            },
        )?;
        Ok(why)
    };
    let brought = match bring(definition, kept.as_ref(), force, now, progress) {
        Ok(brought) => brought,
        Err(why) => {
            return Ok(Outcome::Failed {
                why: refuse(why)?,
                entries,
            });
        }
    };
    let Some(Brought {
        text,
        validators,
        since,
    }) = brought
    else {
        let _lock = store.lock()?;
        store.note(list, &confirmed(now))?;
        let entries = entries.unwrap_or(0);
        return Ok(Outcome::Unchanged { entries });
    };
    let contents = match examine(definition, &text, since, kept.as_ref(), around, force) {
        Ok(contents) => contents,
        Err(why) => {
            return Ok(Outcome::Refused {
                why: refuse(why)?,
                entries,
            });
        }
    };
    let is_same = kept.is_some_and(|kept| kept.text == text && kept.head.forced == force);
    let head = Head {
        forced: force,
        etag: validators.etag,
        last_modified: validators.last_modified,
        ..head_of(definition, &contents, since)
    };
    let found = head.entries;
    let _lock = store.lock()?;
    store.keep(list, Kept { head, text })?;
    store.note(list, &confirmed(since))?;
    Ok(if is_same {
        Outcome::Unchanged { entries: found }
    } else {
        Outcome::Updated {
            entries: found,
            before: entries,
        }
    })
}

fn confirmed(when: u64) -> Status {
    Status {
        confirmed: Some(when),
        refused: None,
    }
}

/// What a source gives.
struct Brought {
    text: Vec<u8>,
    /// By what to know it again.
    validators: Validators,
    /// When it gave it.
    since: u64,
}

/// Asks the source; nothing if it gives what is kept.
fn bring(
    definition: &Definition,
    kept: Option<&Kept>,
    force: bool,
    now: u64,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Option<Brought>, String> {
    match &definition.source {
        Source::File(path) => {
            let (text, since) = bytes_of(path)?;
            Ok(Some(Brought {
                text,
                validators: Validators::default(),
                since,
            }))
        }
        Source::Url(url) => {
            // Whoever forces wants the text read anew, and a text from elsewhere says nothing about this one.
            let known = kept.filter(|kept| !force && kept.head.source == *url);
            let known = known.map(|kept| Validators {
                etag: kept.head.etag.clone(),
                last_modified: kept.head.last_modified.clone(),
            });
            match fetch(url, &known.unwrap_or_default(), progress) {
                Ok(Fetched::Unchanged) if kept.is_some() => Ok(None),
                Ok(Fetched::Unchanged) => Err(format!(
                    "{url}: the server says that nothing has changed, and nothing was fetched before; ask whoever \
                     runs it"
                )),
                Ok(Fetched::Text { bytes, validators }) => Ok(Some(Brought {
                    text: bytes,
                    validators,
                    since: now,
                })),
                Err(error) => Err(error.to_string()),
            }
        }
    }
}

/// What is in a text, or why it is refused.
fn examine(
    definition: &Definition,
    text: &[u8],
    since: u64,
    kept: Option<&Kept>,
    around: &Surroundings,
    force: bool,
) -> Result<Contents, String> {
    let name = definition.source.to_string();
    let contents =
        read(text, definition.format, &name, since).map_err(|error| error.to_string())?;
    if !force {
        judge(definition, &name, &contents, kept, around)?;
    }
    Ok(contents)
}
