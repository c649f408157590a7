//! The stream of decisions of CrowdSec's local API: all of them at first, and then what is new and what is gone.
//!
//! The API remembers what each key has read, so a change is given once. What is stored is a list of decisions, each
//! with the time when it ends instead of how long it lasts.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::obtained::{Failure, Obtained, Progress, request};
use crate::data::fetch::{Fetched, Request, Secrets, fetch};
use crate::data::lists::store::StoredList;
use crate::model::duration;
use crate::model::units::UnixSeconds;

/// An answer of the API. Either part may be absent or null.
#[derive(Default, Deserialize)]
struct Stream {
    new: Option<Vec<Value>>,
    deleted: Option<Vec<Value>>,
}

/// What is stored.
#[derive(Default, Deserialize, Serialize)]
struct Decisions {
    decisions: Vec<Value>,
}

pub(super) fn obtain(
    url: &str,
    secrets: &Secrets,
    base: Option<&StoredList>,
    now: UnixSeconds,
    progress: Progress<'_>,
) -> Result<Option<Obtained>, Failure> {
    let before = base.and_then(|stored| {
        let decisions: Decisions = serde_json::from_slice(&stored.text).ok()?;
        Some((stored.header.synced, decisions.decisions))
    });
    let startup = before.is_none();
    let url = format!(
        "{}/v1/decisions/stream?startup={startup}",
        url.trim_end_matches('/')
    );
    let request = Request {
        accept: Some("application/json"),
        ..request(&url, secrets)
    };
    let text = match fetch(&request, progress)? {
        Fetched::Text(text) => text,
        Fetched::Unchanged => {
            return Err(Failure::from(format!(
                "{url}: the server says that nothing has changed, which CrowdSec never does; check the URL"
            )));
        }
    };
    let Some(stream) = read(&text.bytes) else {
        return Err(Failure::from(format!(
            "{url}: this is not a stream of decisions; `url` is the address of the local API, such as \
             http://127.0.0.1:8080"
        )));
    };
    let (synced, decisions) = match before {
        None => (Some(now), added(Vec::new(), stream, now)),
        Some((synced, before)) => {
            let count = |part: &Option<Vec<Value>>| part.as_ref().map_or(0, Vec::len);
            if count(&stream.new) + count(&stream.deleted) == 0 {
                return Ok(None);
            }
            (synced, added(before, stream, now))
        }
    };
    let text = serde_json::to_vec(&Decisions { decisions }).unwrap_or_default();
    Ok(Some(Obtained {
        text,
        since: now,
        synced,
        ..Obtained::default()
    }))
}

/// Reads an answer. An object without either part is about something else, an error for instance.
fn read(bytes: &[u8]) -> Option<Stream> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let object = value.as_object()?;
    if !object.contains_key("new") && !object.contains_key("deleted") {
        return None;
    }
    serde_json::from_value(value).ok()
}

/// The decisions after a change. What is gone goes first, because a decision that was replaced is gone and new.
fn added(before: Vec<Value>, stream: Stream, now: UnixSeconds) -> Vec<Value> {
    let new = stream.new.unwrap_or_default();
    let deleted = stream.deleted.unwrap_or_default();
    let gone: HashSet<_> = deleted.iter().chain(&new).map(identity).collect();
    let is_live = |decision: &Value| {
        let until = decision["until"].as_str();
        let until = until.and_then(|until| until.parse::<Timestamp>().ok());
        until.is_none_or(|until| until.as_second() > now.0.cast_signed())
    };
    let mut decisions: Vec<Value> = before
        .into_iter()
        .filter(|decision| !gone.contains(&identity(decision)) && is_live(decision))
        .collect();
    decisions.extend(new.into_iter().map(|decision| dated(decision, now)));
    decisions
}

/// What a decision is about; two of the same replace each other.
fn identity(decision: &Value) -> (String, String, String) {
    let part = |key: &str| decision[key].as_str().unwrap_or_default().to_lowercase();
    (part("scope"), part("value"), part("type"))
}

/// A decision with the time when it ends. A duration that cannot be read stays, and the reader of the format reports
/// it.
fn dated(mut decision: Value, now: UnixSeconds) -> Value {
    let Some(object) = decision.as_object_mut() else {
        return decision;
    };
    object.retain(|key, _| {
        matches!(
            key.as_str(),
            "scope" | "value" | "type" | "duration" | "until" | "simulated" | "scenario" | "origin"
        )
    });
    if object.contains_key("until") {
        return decision;
    }
    let left = object.get("duration").and_then(Value::as_str);
    if let Some(left) = left.and_then(duration::parse) {
        object.insert("until".to_owned(), now.plus(left).to_string().into());
        object.remove("duration");
    }
    decision
}
