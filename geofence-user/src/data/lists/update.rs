//! One list brought up to date: fetched or read, checked, and stored or rejected.

use super::check::{header_of, read_checked};
use super::local_addresses::LocalAddresses;
use super::obtain::{Failure, Obtained, base, obtain};
use super::store::{Rejection, SourceStatus, Store, StoreError, StoredHeader, StoredList};
use crate::data::fetch::Secrets;
use crate::model::list::{Api, Definition};
use crate::model::server_url::hide_secrets;
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
    /// Its server asked to be left alone until then, and the update did not name the list.
    Postponed {
        until: UnixSeconds,
        entries: Option<usize>,
    },
    /// What its source gives is not a list or fails the sanity check; the last good text stays, if there is one.
    Rejected { why: String, entries: Option<usize> },
    /// Its source gives nothing; the last good text stays, if there is one.
    Failed { why: String, entries: Option<usize> },
}

/// How a list is brought up to date.
#[derive(Clone, Copy, Debug, Default)]
pub struct UpdateOptions {
    /// Skip the sanity check.
    pub force: bool,
    /// Ask a server that wants to be left alone all the same.
    pub is_named: bool,
}

/// Brings a list up to date.
///
/// # Errors
/// If the store cannot be read or written. A problem with the list itself is an outcome.
pub fn update(
    definition: &Definition,
    local: &LocalAddresses,
    store: &Store,
    options: UpdateOptions,
    now: UnixSeconds,
    progress: &mut dyn FnMut(u64, Option<u64>),
) -> Result<UpdateOutcome, StoreError> {
    let list = &definition.name;
    let force = options.force;
    let stored = store.load_intact(list)?;
    let entries = stored.as_ref().map(|stored| stored.header.entries);
    let status = store.status(list)?;
    if let Some(until) = status.retry.filter(|until| *until > now)
        && !options.is_named
    {
        return Ok(UpdateOutcome::Postponed { until, entries });
    }
    let save_status = |status: SourceStatus| {
        let _lock = store.lock()?;
        store.save_status(list, &status)
    };
    let reject = |why: &str, retry: Option<UnixSeconds>| {
        let why = why.to_owned();
        let status = store.status(list)?.rejected(Rejection { when: now, why });
        save_status(SourceStatus { retry, ..status })
    };
    let secrets = match Secrets::of(&definition.access) {
        Ok(secrets) => secrets,
        Err(error) => {
            let why = format!("{}: {error}", definition.source);
            let why = hide_secrets(&why);
            reject(&why, None)?;
            return Ok(UpdateOutcome::Failed { why, entries });
        }
    };
    // Changes that were rejected or lost on the way are not given again, so everything is asked for.
    let fresh = force || status.refused.is_some() || status.is_asking;
    if definition.api != Api::None && !fresh && base(definition, stored.as_ref(), now).is_some() {
        save_status(SourceStatus {
            is_asking: true,
            ..status
        })?;
    }
    let obtained = obtain(definition, &secrets, stored.as_ref(), fresh, now, progress);
    let obtained = match obtained {
        Ok(Some(obtained)) => obtained,
        Ok(None) => {
            save_status(SourceStatus::confirmed(now))?;
            let entries = entries.unwrap_or(0);
            return Ok(UpdateOutcome::Unchanged { entries });
        }
        Err(Failure { why, retry_after }) => {
            let why = secrets.hide_in(&why);
            reject(&why, retry_after.map(|wait| now.plus(wait)))?;
            return Ok(UpdateOutcome::Failed { why, entries });
        }
    };
    let Obtained {
        text,
        validators,
        since,
        cursor,
        synced,
    } = obtained;
    let contents = match read_checked(definition, &text, since, stored.as_ref(), local, force) {
        Ok(contents) => contents,
        Err(why) => {
            let why = secrets.hide_in(&why);
            reject(&why, None)?;
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
        cursor,
        synced,
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
