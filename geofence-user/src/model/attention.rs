//! What an operator should look at: trouble, and what is easily forgotten, found in the status as JSON. The command
//! `status` and the page show the same.

use serde_json::{Value, json};

use super::json::list;

/// Older GeoIP data is worth a note: within two months, registries move a noticeable number of prefixes.
pub const DATA_AGE_MAX_DAYS: u64 = 45;

/// One thing to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub text: String,
    /// Whether it is not as it was asked for. Otherwise it was asked for, or is not yet trouble.
    pub is_trouble: bool,
}

impl Item {
    fn trouble(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            is_trouble: true,
        }
    }

    fn note(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            is_trouble: false,
        }
    }

    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({ "text": self.text, "trouble": self.is_trouble })
    }
}

/// What needs attention, the worst first. Each is a few words; the other lines have the details.
#[must_use]
pub fn items(status: &Value) -> Vec<Item> {
    let mut items = Vec::new();
    if !status["process"].is_u64() {
        items.push(Item::trouble("no daemon runs"));
    }
    for one in list(&status["interfaces"]).filter(|one| one["protected"] != true) {
        let name = one["interface"].as_str().unwrap_or("an interface");
        items.push(Item::trouble(format!("{name} is not protected")));
    }
    if !status["reloads"]["trouble"].is_null() {
        items.push(Item::trouble(
            "the active policy is not the last one requested",
        ));
    }
    for one in list(&status["shortfalls"]) {
        let part = one["part"].as_str().unwrap_or("part").replace('_', " ");
        let name = one["name"].as_str().filter(|name| !name.is_empty());
        let name = name.map_or_else(String::new, |name| format!(" {name}"));
        items.push(Item::trouble(format!("missing: {part}{name}")));
    }
    if status["generation_confirmed"] == false {
        items.push(Item::trouble(
            "the kernel does not say which image is active",
        ));
    }
    items.extend(unanswered(status));
    items.extend(forwarded(&status["unanswered"]));
    if status["mode"] == "monitor" {
        items.push(Item::note("monitor mode drops nothing"));
    }
    if !status["trial"].is_null() {
        items.push(Item::note("a policy is on trial"));
    }
    let expiring = list(&status["exceptions"]["lapsing"]).count();
    if expiring > 0 {
        let s = if expiring == 1 { "" } else { "s" };
        items.push(Item::note(format!(
            "{expiring} exception{s} about to expire"
        )));
    }
    let ages = list(&status["databases"]).filter_map(|one| one["age_days"].as_u64());
    if let Some(days) = ages.max().filter(|days| *days > DATA_AGE_MAX_DAYS) {
        items.push(Item::note(format!("the GeoIP data is {days} days old")));
    }
    items
}

/// What this machine asks blocked countries and is not answered. In monitor mode, nothing is dropped.
fn unanswered(status: &Value) -> Vec<Item> {
    let unanswered = &status["unanswered"];
    let mut items = Vec::new();
    let (goes, item): (&str, fn(String) -> Item) = if status["mode"] == "monitor" {
        ("would go unanswered in enforce mode", Item::note)
    } else {
        ("goes unanswered", Item::trouble)
    };
    for (table, what, packets) in counted(&unanswered["no_flow"]) {
        items.push(item(format!(
            "our own {what} to blocked countries {goes}: {packets} packets of the last minute found no place in the \
             table of {table} flows"
        )));
    }
    if unanswered["replies_off"] == true {
        items.push(Item::note(format!(
            "replies are off: what this machine asks blocked countries {goes}, mail as well"
        )));
        // It was asked for, and may be a surprise all the same.
        for (_, what, packets) in counted(&unanswered["no_replies"]) {
            items.push(Item::note(format!(
                "our own {what} to blocked countries {goes}: {packets} packets of the last minute, because replies are \
                 off"
            )));
        }
    }
    items
}

/// Packets that this machine forwards to blocked countries, and that open no flow. Strangers can send such packets, so
/// they are no trouble.
fn forwarded(unanswered: &Value) -> Vec<Item> {
    let mut items = Vec::new();
    for (cause, by) in [
        ("foreign", "a protected interface"),
        (
            "unattributed",
            "a device above a protected one, or one that geofence does not know",
        ),
    ] {
        for (_, what, packets) in counted(&unanswered[cause]) {
            items.push(Item::note(format!(
                "forwarded {what} to blocked countries goes unanswered, because it came in by {by} (packets of the \
                 last minute: {packets}). If machines of yours send it, name the interface that leads to them in \
                 inner-interfaces"
            )));
        }
    }
    items
}

/// The tables with packets: the name of each, what is in it, and how many there were.
fn counted(tables: &Value) -> impl Iterator<Item = (&str, &str, u64)> {
    let tables = tables.as_object().into_iter().flatten();
    tables.filter_map(|(table, packets)| {
        let packets = packets.as_u64().filter(|packets| *packets > 0)?;
        let what = match table.as_str() {
            "dns" => "DNS",
            "other" => "traffic",
            table => table,
        };
        Some((table.as_str(), what, packets))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_comes_before_what_was_asked_for() {
        let items = items(&json!({
            "process": 7,
            "mode": "monitor",
            "interfaces": [{ "interface": "eth1", "protected": false }],
            "reloads": { "trouble": { "cause": "database" } },
            "shortfalls": [{ "part": "list", "name": "own" }, { "part": "session_helper", "name": "" }],
            "exceptions": { "lapsing": [{ "id": "x-1" }] },
            "databases": [{ "age_days": 4 }, { "age_days": 46 }],
            "trial": { "seconds_left": 9 },
            "unanswered": {
                "replies_off": true,
                "no_flow": { "dns": 0, "mail": 12, "other": 0 },
                "no_replies": { "dns": 3, "mail": 0, "other": 0 },
                "foreign": { "dns": 0, "mail": 2, "other": 0 },
                "unattributed": { "dns": 1, "mail": 0, "other": 0 },
            },
        }));
        let said: Vec<_> = items
            .iter()
            .map(|one| (one.text.as_str(), one.is_trouble))
            .collect();
        assert_eq!(
            said,
            [
                ("eth1 is not protected", true),
                ("the active policy is not the last one requested", true),
                ("missing: list own", true),
                ("missing: session helper", true),
                (
                    "our own mail to blocked countries would go unanswered in enforce mode: 12 packets of the last \
                     minute found no place in the table of mail flows",
                    false
                ),
                (
                    "replies are off: what this machine asks blocked countries would go unanswered in enforce mode, \
                     mail as well",
                    false
                ),
                (
                    "our own DNS to blocked countries would go unanswered in enforce mode: 3 packets of the last \
                     minute, because replies are off",
                    false
                ),
                (
                    "forwarded mail to blocked countries goes unanswered, because it came in by a protected interface \
                     (packets of the last minute: 2). If machines of yours send it, name the interface that leads to \
                     them in inner-interfaces",
                    false
                ),
                (
                    "forwarded DNS to blocked countries goes unanswered, because it came in by a device above a \
                     protected one, or one that geofence does not know (packets of the last minute: 1). If machines \
                     of yours send it, name the interface that leads to them in inner-interfaces",
                    false
                ),
                ("monitor mode drops nothing", false),
                ("a policy is on trial", false),
                ("1 exception about to expire", false),
                ("the GeoIP data is 46 days old", false),
            ]
        );
    }

    #[test]
    fn a_full_table_is_trouble_and_replies_that_are_off_are_not() {
        let status = |replies_off: bool, full: u64, off: u64| {
            json!({
                "process": 7,
                "mode": "enforce",
                "unanswered": {
                    "replies_off": replies_off, "no_flow": { "mail": full }, "no_replies": { "mail": off },
                },
            })
        };
        let said = |status: &Value| -> Vec<(String, bool)> {
            let items = items(status).into_iter();
            items.map(|one| (one.text, one.is_trouble)).collect()
        };
        let full = said(&status(false, 12, 0));
        assert!(full[0].0.contains("goes unanswered: 12 packets") && full[0].1);
        assert_eq!(full.len(), 1);
        let off = said(&status(true, 0, 5));
        assert!(off[1].0.contains("goes unanswered: 5 packets"), "{off:?}");
        assert!(off.len() == 2 && off.iter().all(|(_, is_trouble)| !is_trouble));
    }

    #[test]
    fn a_sound_filter_needs_no_attention() {
        let sound = json!({
            "process": 7,
            "mode": "enforce",
            "interfaces": [{ "interface": "eth0", "protected": true }],
            "reloads": { "trouble": null },
            "shortfalls": [],
            "exceptions": { "lapsing": [] },
            "databases": [{ "age_days": 45 }],
            "trial": null,
        });
        assert_eq!(items(&sound), []);
        // What cannot be read back from the kernel is said, and not taken for granted.
        let mut unread = sound;
        unread["generation_confirmed"] = false.into();
        let items = items(&unread);
        assert_eq!(
            items[0].text,
            "the kernel does not say which image is active"
        );
        assert!(items[0].is_trouble);
    }
}
