//! What a source gives, or why it gives nothing.

use std::time::Duration;

use crate::data::fetch::{FetchError, Request, Secrets, Validators};
use crate::data::lists::source_file::LIST_BYTES_MAX;
use crate::data::lists::store::{StoredHeader, StoredList};
use crate::model::list::Definition;
use crate::model::units::UnixSeconds;

/// A text from a source.
#[derive(Debug, Default)]
pub(in crate::data::lists) struct Obtained {
    pub text: Vec<u8>,
    /// What the server recognises the text by.
    pub validators: Validators,
    /// When the source gave it.
    pub since: UnixSeconds,
    /// Where the changes go on that an interface gives.
    pub cursor: Option<String>,
    /// When an interface last gave everything.
    pub synced: Option<UnixSeconds>,
}

/// Why a source gives no text.
#[derive(Debug)]
pub(in crate::data::lists) struct Failure {
    pub why: String,
    /// How long the server asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self {
            retry_after: error.retry_after(),
            why: error.to_string(),
        }
    }
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self {
            why,
            retry_after: None,
        }
    }
}

/// What is called with the number of bytes so far and the total.
pub(in crate::data::lists) type Progress<'a> = &'a mut dyn FnMut(u64, Option<u64>);

/// How often an interface is asked for everything, so that what was missed is made up for.
const SYNC_PERIOD: Duration = Duration::from_secs(86_400);

/// A text that was stored, if changes can be added to it.
pub(in crate::data::lists) fn base<'a>(
    definition: &Definition,
    stored: Option<&'a StoredList>,
    now: UnixSeconds,
) -> Option<&'a StoredList> {
    let is_recent = |header: &StoredHeader| {
        let synced = header.synced;
        synced.is_some_and(|synced| synced <= now && now.since(synced) < SYNC_PERIOD)
    };
    stored.filter(|stored| {
        let header = &stored.header;
        header.source == definition.source.to_string() && is_recent(header)
    })
}

/// A request for a list.
pub(super) fn request<'a>(url: &'a str, secrets: &'a Secrets) -> Request<'a> {
    Request {
        url,
        secrets,
        known: Validators::default(),
        accept: None,
        json: None,
        bytes_max: LIST_BYTES_MAX,
        what: "list",
    }
}
