//! MISP: an event as feeds and exports have it, or the attributes that a search finds, as JSON.
//!
//! Attributes about addresses that are meant for detection count, in the event and in its objects: `ip-src`, `ip-dst`,
//! and the address in `ip-src|port`, `ip-dst|port` and `domain|ip`.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::data::lists::parser::{Parser, is_json_list};

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(rename = "Event", borrow)]
    event: Option<Event<'a>>,
    /// The answer to a search: a list of events, or an object with attributes.
    response: Option<&'a RawValue>,
    #[serde(rename = "Attribute")]
    attributes: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "Attribute", borrow, default)]
    attributes: Vec<&'a RawValue>,
    #[serde(rename = "Object", borrow, default)]
    objects: Vec<Attributes<'a>>,
}

/// An object of an event, or the answer to a search for attributes.
#[derive(Deserialize)]
struct Attributes<'a> {
    #[serde(rename = "Attribute", borrow, default)]
    attributes: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Wrapped<'a> {
    #[serde(rename = "Event", borrow)]
    event: Event<'a>,
}

#[derive(Deserialize)]
struct Attribute<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    value: &'a RawValue,
    /// Whether it is meant for detection; if absent, it is.
    to_ids: Option<bool>,
    deleted: Option<bool>,
}

pub(super) fn read(parser: &mut Parser<'_>) {
    let expected = "an event or a list of attributes";
    let attributes = if is_json_list(parser.text()) {
        let events = parser.json(expected).map(of_events);
        parser.is_whole = events.is_some();
        events
    } else {
        parser.json::<Document<'_>>(expected).map(|document| {
            parser.is_whole = document.event.is_some()
                || document.attributes.is_some()
                || document.response.is_some();
            let mut all = document.attributes.unwrap_or_default();
            all.extend(document.event.into_iter().flat_map(Event::all));
            match document.response {
                Some(events) if is_json_list(events.get()) => {
                    let events = parser.item(events, expected);
                    all.extend(events.map(of_events).unwrap_or_default());
                }
                Some(found) => {
                    let found = parser.item::<Attributes<'_>>(found, expected);
                    all.extend(found.into_iter().flat_map(|found| found.attributes));
                }
                None => {}
            }
            all
        })
    };
    let attributes = attributes.unwrap_or_default();
    for item in attributes {
        if parser.is_over() {
            return;
        }
        attribute(parser, item);
    }
}

fn attribute<'a>(parser: &mut Parser<'a>, item: &'a RawValue) {
    let Some(read) = parser.item::<Attribute<'_>>(item, "an attribute") else {
        return;
    };
    let part: fn(&str) -> &str = match read.kind.as_str() {
        "ip-src" | "ip-dst" => |value| value,
        "ip-src|port" | "ip-dst|port" => |value| value.split('|').next().unwrap_or(value),
        "domain|ip" => |value| value.rsplit('|').next().unwrap_or(value),
        _ => {
            parser.skip("attributes of other types");
            return;
        }
    };
    if read.deleted == Some(true) {
        parser.skip("deleted attributes");
    } else if read.to_ids == Some(false) {
        parser.skip("attributes not meant for detection");
    } else {
        if let Some(word) = parser.item::<String>(read.value, "an address in quotes") {
            let place = parser.place(read.value.get());
            parser.add_at(place, part(&word), None);
        }
    }
}

impl<'a> Event<'a> {
    fn all(self) -> Vec<&'a RawValue> {
        let objects = self.objects.into_iter();
        let inner = objects.flat_map(|object| object.attributes);
        self.attributes.into_iter().chain(inner).collect()
    }
}

fn of_events<'a>(events: Vec<Wrapped<'a>>) -> Vec<&'a RawValue> {
    events
        .into_iter()
        .flat_map(|wrapped| wrapped.event.all())
        .collect()
}
