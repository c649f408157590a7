//! MISP: an event as feeds and exports have it, or the attributes that a search finds, as JSON.
//!
//! Attributes of type `ip-src` and `ip-dst` that are meant for detection count, in the event and in its objects.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::reading::Reading;

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(rename = "Event", borrow)]
    event: Option<Event<'a>>,
    /// What a search answers: a list of events, or an object with attributes.
    response: Option<&'a RawValue>,
    #[serde(rename = "Attribute")]
    attributes: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "Attribute", borrow, default)]
    attributes: Vec<&'a RawValue>,
    #[serde(rename = "Object", borrow, default)]
    objects: Vec<Object<'a>>,
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(rename = "Attribute", borrow, default)]
    attributes: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Found<'a> {
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
    /// Whether it is meant for detection; left out, it is.
    to_ids: Option<bool>,
    deleted: Option<bool>,
}

pub(super) fn read(reading: &mut Reading<'_>) {
    let expected = "an event or a list of attributes";
    let attributes = if is_list(reading.text()) {
        reading.json(expected).map(of_events)
    } else {
        reading.json::<Document<'_>>(expected).map(|document| {
            let mut all = document.attributes.unwrap_or_default();
            all.extend(document.event.into_iter().flat_map(Event::all));
            match document.response {
                Some(events) if is_list(events.get()) => {
                    all.extend(
                        reading
                            .item(events, expected)
                            .map(of_events)
                            .unwrap_or_default(),
                    );
                }
                Some(found) => {
                    let found = reading.item::<Found<'_>>(found, expected);
                    all.extend(found.into_iter().flat_map(|found| found.attributes));
                }
                None => {}
            }
            all
        })
    };
    let attributes = attributes.unwrap_or_default();
    for item in attributes {
        if reading.is_over() {
            return;
        }
        attribute(reading, item);
    }
}

fn attribute<'a>(reading: &mut Reading<'a>, item: &'a RawValue) {
    let Some(read) = reading.item::<Attribute<'_>>(item, "an attribute") else {
        return;
    };
    match read.kind.as_str() {
        "ip-src" | "ip-dst" => {}
        "ip-src|port" | "ip-dst|port" => {
            reading.pass_over("attributes about an address and a port together");
            return;
        }
        _ => {
            reading.pass_over("attributes of other types");
            return;
        }
    }
    if read.deleted == Some(true) {
        reading.pass_over("deleted attributes");
    } else if read.to_ids == Some(false) {
        reading.pass_over("attributes not meant for detection");
    } else if let Some(word) = reading.item::<String>(read.value, "an address in quotes") {
        let place = reading.place(read.value.get());
        reading.add_at(place, &word, None);
    }
}

impl<'a> Event<'a> {
    fn all(self) -> Vec<&'a RawValue> {
        let objects = self.objects.into_iter();
        let inner = objects.flat_map(|object| object.attributes);
        self.attributes.into_iter().chain(inner).collect()
    }
}

fn is_list(json: &str) -> bool {
    json.trim_start().starts_with('[')
}

fn of_events<'a>(events: Vec<Wrapped<'a>>) -> Vec<&'a RawValue> {
    events
        .into_iter()
        .flat_map(|wrapped| wrapped.event.all())
        .collect()
}
