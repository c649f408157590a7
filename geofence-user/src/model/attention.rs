//! What an operator should look at: trouble, and what is easily forgotten, found in the status as JSON. The command
//! `status` and the page show the same.

use serde_json::{Value, json};

use super::json::list;

/// GeoIP data that is older is worth a note.
const OLD_DAYS: u64 = 45;

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
    let unanswered = &status["unanswered"];
    for (table, packets) in unanswered["no_flow"].as_object().into_iter().flatten() {
        if let Some(packets) = packets.as_u64().filter(|packets| *packets > 0) {
            let what = match table.as_str() {
                "dns" => "DNS",
                "other" => "traffic",
                table => table,
            };
            items.push(Item::trouble(format!(
                "our own {what} to blocked countries goes unanswered: {packets} packets of the last minute found no \
                 place in the table of {table} flows"
            )));
        }
    }
    if unanswered["replies_off"] == true {
        items.push(Item::note(
            "replies are off: what this machine asks blocked countries goes unanswered, mail as well",
        ));
    }
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
    if let Some(days) = ages.max().filter(|days| *days > OLD_DAYS) {
        items.push(Item::note(format!("the GeoIP data is {days} days old")));
    }
    items
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
            "unanswered": { "replies_off": true, "no_flow": { "dns": 0, "mail": 12, "other": 0 } },
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
                    "our own mail to blocked countries goes unanswered: 12 packets of the last minute found no place \
                     in the table of mail flows",
                    true
                ),
                (
                    "replies are off: what this machine asks blocked countries goes unanswered, mail as well",
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
    }
}
