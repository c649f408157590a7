//! CrowdSec decisions as JSON: what `cscli decisions list` prints, what the local API answers, what is imported.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::address::shown;
use super::reading::Reading;
use crate::model::duration;

/// The shapes in which decisions come.
#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    decisions: Option<Vec<&'a RawValue>>,
    /// A stream's news; what is deleted was never here.
    new: Option<Vec<&'a RawValue>>,
}

/// A decision, or an alert that holds some.
#[derive(Deserialize)]
struct Decision<'a> {
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    scope: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    duration: Option<String>,
    until: Option<String>,
    simulated: Option<bool>,
    decisions: Option<Vec<&'a RawValue>>,
}

pub(super) fn read(reading: &mut Reading<'_>) {
    let expected = "a list of decisions";
    let items = if reading.text().trim_start().starts_with('[') {
        reading.json::<Vec<&RawValue>>(expected)
    } else {
        // An API without decisions answers `null`.
        let document = reading.json::<Option<Document<'_>>>(expected).flatten();
        document.map(|document| {
            let parts = [document.decisions, document.new];
            parts.into_iter().flatten().flatten().collect()
        })
    };
    for item in items.unwrap_or_default() {
        decision(reading, item, true);
    }
}

fn decision<'a>(reading: &mut Reading<'a>, item: &'a RawValue, may_nest: bool) {
    if reading.is_over() {
        return;
    }
    let Some(read) = reading.item::<Decision<'_>>(item, "a decision") else {
        return;
    };
    if let Some(inner) = read.decisions {
        // An alert holds decisions, and a decision holds none.
        for inner in inner.into_iter().filter(|_| may_nest) {
            decision(reading, inner, false);
        }
        return;
    }
    let scope = read.scope.unwrap_or_default().to_ascii_lowercase();
    if !matches!(scope.as_str(), "" | "ip" | "range") {
        reading.pass_over("decisions about something else than addresses");
        return;
    }
    if read
        .kind
        .is_some_and(|kind| !kind.eq_ignore_ascii_case("ban"))
    {
        reading.pass_over("decisions other than bans");
        return;
    }
    if read.simulated == Some(true) {
        reading.pass_over("simulated decisions");
        return;
    }
    let Some(value) = read.value else {
        reading.fault(
            item.get(),
            "this decision has no `value`",
            "name the format the list has",
        );
        return;
    };
    let expires = match (read.until, read.duration) {
        (Some(until), _) => until.parse::<Timestamp>().map(seconds).map_err(|_| until),
        (None, Some(time)) => match time.strip_prefix('-') {
            // It was over when it was written down.
            Some(rest) if duration::parse(rest).is_some() => Ok(Some(1)),
            _ => duration::parse(&time)
                .map(|left| Some(reading.now.saturating_add(left.as_secs())))
                .ok_or(time),
        },
        (None, None) => Ok(None),
    };
    let expires = match expires {
        Ok(expires) => expires,
        Err(text) => {
            reading.fault(
                item.get(),
                format!("{} says nothing about when the ban ends", shown(&text)),
                "write a time such as 2026-01-31T12:00:00Z, or a duration such as 3h59m",
            );
            return;
        }
    };
    if let Some(word) = reading.item::<String>(value, "an address in quotes") {
        let place = reading.place(value.get());
        reading.add_at(place, &word, expires);
    }
}

/// Seconds since 1970; nothing before that is kept apart.
pub(super) fn seconds(time: Timestamp) -> Option<u64> {
    Some(u64::try_from(time.as_second()).unwrap_or(0))
}
