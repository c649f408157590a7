//! A collection of a TAXII 2.1 server: its indicators page by page, and later those that were added since.
//!
//! A server does not say what it has removed, so everything is asked for anew once a day. What is stored is a STIX
//! bundle.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::obtained::{Failure, Obtained, Progress, request};
use super::pages::Pages;
use crate::data::fetch::{Fetched, Request, Secrets, encoded, fetch};
use crate::data::lists::store::StoredList;
use crate::model::units::UnixSeconds;

const ACCEPT: &str = "application/taxii+json;version=2.1";
/// The header that says when the last object of a page was added.
const ADDED_LAST: &str = "x-taxii-date-added-last";
/// Filters that every server knows, and the size of a page, which it may make smaller.
const QUERY: &str = "match%5Btype%5D=indicator&limit=1000";

/// An answer of the server (TAXII 2.1, section 3.7). One without objects is an empty object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    #[serde(default)]
    more: bool,
    next: Option<String>,
    #[serde(default)]
    objects: Vec<Box<RawValue>>,
}

/// What is stored.
#[derive(Deserialize, Serialize)]
struct Bundle {
    #[serde(rename = "type")]
    kind: String,
    objects: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Identity {
    id: String,
}

pub(super) fn obtain(
    url: &str,
    secrets: &Secrets,
    base: Option<&StoredList>,
    now: UnixSeconds,
    progress: Progress<'_>,
) -> Result<Option<Obtained>, Failure> {
    let before = base.and_then(|stored| {
        let cursor = stored.header.cursor.clone()?;
        let bundle: Bundle = serde_json::from_slice(&stored.text).ok()?;
        Some((stored.header.synced, cursor, bundle.objects))
    });
    let (synced, mut cursor, before) = match before {
        Some((synced, cursor, objects)) => (synced, Some(cursor), objects),
        None => (Some(now), None, Vec::new()),
    };
    let is_change = cursor.is_some();
    let objects = format!(
        "{}/objects/?{QUERY}",
        url.trim_end_matches('/').trim_end_matches("/objects")
    );
    let mut pages = Pages::new(url);
    let mut new = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let mut url = objects.clone();
        if let Some(since) = &cursor {
            url += &format!("&added_after={}", encoded(since));
        }
        if let Some(next) = &next {
            url += &format!("&next={}", encoded(next));
        }
        let request = Request {
            accept: Some(ACCEPT),
            bytes_max: pages.room(),
            ..request(&url, secrets)
        };
        let done = pages.bytes();
        let Fetched::Text(text) = fetch(&request, &mut |bytes, _| progress(done + bytes, None))?
        else {
            return Err(pages.unreadable("answer of a TAXII 2.1 server"));
        };
        pages.add(&text.bytes)?;
        let Ok(envelope) = serde_json::from_slice::<Envelope>(&text.bytes) else {
            return Err(pages.unreadable("answer of a TAXII 2.1 server"));
        };
        let last = text.headers.get(ADDED_LAST);
        let last = last.and_then(|last| last.to_str().ok());
        let last = last.map(ToOwned::to_owned);
        let is_empty = envelope.objects.is_empty();
        new.extend(envelope.objects);
        if !envelope.more {
            cursor = last.or(cursor);
            break;
        }
        // A page that leads nowhere would be asked for again and again.
        let leads_on = match &envelope.next {
            Some(token) => next.as_ref() != Some(token),
            None => !is_empty && last.is_some() && last != cursor,
        };
        if !leads_on {
            return Err(Failure::from(format!(
                "{url}: the server has more, and does not say how to ask for it; ask its operator"
            )));
        }
        if envelope.next.is_none() {
            cursor = last;
        }
        next = envelope.next;
    }
    if is_change && new.is_empty() {
        return Ok(None);
    }
    let id = |object: &RawValue| {
        let identity = serde_json::from_str::<Identity>(object.get());
        identity.ok().map(|identity| identity.id)
    };
    let replaced: HashSet<String> = new.iter().filter_map(|object| id(object)).collect();
    let mut objects = before;
    objects.retain(|object| id(object).is_none_or(|id| !replaced.contains(&id)));
    objects.extend(new);
    let bundle = Bundle {
        kind: "bundle".to_owned(),
        objects,
    };
    Ok(Some(Obtained {
        text: serde_json::to_vec(&bundle).unwrap_or_default(),
        since: now,
        cursor,
        synced,
        ..Obtained::default()
    }))
}
