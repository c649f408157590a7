//! CrowdSec decisions as JSON: what `cscli decisions list` prints, what the local API answers, what is imported.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::time::unix_seconds;
use crate::data::lists::parser::{Parser, is_json_list};
use crate::data::lists::problem::quoted;
use crate::model::duration;

/// A document with decisions.
#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    decisions: Option<Vec<&'a RawValue>>,
    /// The additions of a stream; its deletions do not matter to a list that is read whole.
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

pub(super) fn read(parser: &mut Parser<'_>) {
    let expected = "a list of decisions";
    let items = if is_json_list(parser.text()) {
        parser.json::<Vec<&RawValue>>(expected)
    } else {
        // An API without decisions answers `null`.
        let document = parser.json::<Option<Document<'_>>>(expected);
        document.and_then(|document| {
            let Some(document) = document else {
                return Some(Vec::new());
            };
            let parts = [document.decisions, document.new];
            // A document without either is about something else, an error for instance.
            let has_parts = parts.iter().any(Option::is_some);
            has_parts.then(|| parts.into_iter().flatten().flatten().collect())
        })
    };
    parser.is_whole = items.is_some();
    for item in items.unwrap_or_default() {
        decision(parser, item, true);
    }
}

fn decision<'a>(parser: &mut Parser<'a>, item: &'a RawValue, may_nest: bool) {
    if parser.is_over() {
        return;
    }
    let Some(read) = parser.item::<Decision<'_>>(item, "a decision") else {
        return;
    };
    if let Some(inner) = read.decisions {
        // An alert holds decisions, and a decision holds none.
        for inner in inner.into_iter().filter(|_| may_nest) {
            decision(parser, inner, false);
        }
        return;
    }
    let scope = read.scope.unwrap_or_default().to_ascii_lowercase();
    if !matches!(scope.as_str(), "" | "ip" | "range") {
        parser.skip("decisions about something other than addresses");
        return;
    }
    if read
        .kind
        .is_some_and(|kind| !kind.eq_ignore_ascii_case("ban"))
    {
        parser.skip("decisions other than bans");
        return;
    }
    if read.simulated == Some(true) {
        parser.skip("simulated decisions");
        return;
    }
    let Some(value) = read.value else {
        parser.fault(
            item.get(),
            "this decision has no `value`",
            "name the format the list has",
        );
        return;
    };
    let expires = match (read.until, read.duration) {
        (Some(until), _) => unix_seconds(&until).map(Some).ok_or(until),
        (None, Some(time)) => match time.strip_prefix('-') {
            // It had expired when it was written.
            Some(rest) if duration::parse(rest).is_some() => Ok(Some(1)),
            _ => duration::parse(&time)
                .map(|left| Some(parser.now().saturating_add(left.as_secs())))
                .ok_or(time),
        },
        (None, None) => Ok(None),
    };
    let expires = match expires {
        Ok(expires) => expires,
        Err(text) => {
            parser.fault(
                item.get(),
                format!("{} does not say when the ban ends", quoted(&text)),
                "write a time such as 2026-01-31T12:00:00Z, or a duration such as 3h59m",
            );
            return;
        }
    };
    parser.add_item(value, expires);
}
