//! The counters at one moment, as the daemon gives them, added up for each view.

use std::collections::BTreeMap;

use geofence_common::action::{Action, Reason};
use serde_json::Value;

use crate::model::json::{list, word};
use crate::model::text::printable;

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum View {
    Countries,
    Reasons,
    Interfaces,
    Tenants,
    Lists,
}

impl View {
    pub(super) const ALL: [Self; 5] = [
        Self::Countries,
        Self::Reasons,
        Self::Interfaces,
        Self::Tenants,
        Self::Lists,
    ];

    /// The heading, and the key of the JSON.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Countries => "countries",
            Self::Reasons => "reasons",
            Self::Interfaces => "interfaces",
            Self::Tenants => "tenants",
            Self::Lists => "lists",
        }
    }

    /// The name of one row, in the JSON and above its column.
    pub(super) const fn one(self) -> &'static str {
        match self {
            Self::Countries => "country",
            Self::Reasons => "reason",
            Self::Interfaces => "interface",
            Self::Tenants => "tenant",
            Self::Lists => "list",
        }
    }
}

/// Packets of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Dropped, or in monitor mode what would have been.
    pub(super) blocked: u64,
    pub(super) passed: u64,
    pub(super) bytes: u64,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.blocked += other.blocked;
        self.passed += other.passed;
        self.bytes += other.bytes;
    }
}

/// The counters at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    /// Nanoseconds since boot.
    pub(super) time: u64,
    pub(super) is_monitor: bool,
    pub(super) policy: String,
    /// The codes of the blocked countries.
    pub(super) blocked: Vec<String>,
    pub(super) rows: BTreeMap<(View, String), Count>,
    /// By country and reason, for the explanation of a row.
    pub(super) pairs: BTreeMap<(String, String), Count>,
    pub(super) all: Count,
    /// What is known of each interface, in words.
    pub(super) interfaces: BTreeMap<String, String>,
}

impl Sample {
    pub(super) fn read(answer: &Value) -> Self {
        let mut sample = Self {
            time: answer["time"].as_u64().unwrap_or_default(),
            is_monitor: answer["mode"] == "monitor",
            policy: name(&answer["policy"]),
            blocked: list(&answer["blocked"]).map(name).collect(),
            ..Self::default()
        };
        for interface in list(&answer["interfaces"]) {
            let own = name(&interface["interface"]);
            let state = if interface["protected"] == true {
                "protected"
            } else {
                "NOT PROTECTED"
            };
            let state = format!("{state}, {} mode", name(&interface["mode"]));
            sample.interfaces.insert(own.clone(), state);
            sample
                .rows
                .entry((View::Interfaces, own.clone()))
                .or_default();
            for packets in list(&interface["packets"]) {
                let (country, reason) = (name(&packets["country"]), name(&packets["reason"]));
                let count = count(packets);
                sample.all.add(count);
                for key in [
                    (View::Interfaces, own.clone()),
                    (View::Countries, country.clone()),
                    (View::Reasons, reason.clone()),
                ] {
                    sample.rows.entry(key).or_default().add(count);
                }
                sample
                    .pairs
                    .entry((country, reason))
                    .or_default()
                    .add(count);
            }
        }
        for tenant in list(&answer["tenants"]) {
            let row = sample.rows.entry((View::Tenants, name(&tenant["tenant"])));
            let row = row.or_default();
            for packets in list(&tenant["packets"]) {
                row.add(count(packets));
            }
        }
        for one in list(&answer["lists"]) {
            let row = sample.rows.entry((View::Lists, name(&one["list"])));
            row.or_default().add(Count {
                blocked: one["dropped"].as_u64().unwrap_or_default(),
                passed: one["passed"].as_u64().unwrap_or_default(),
                bytes: 0,
            });
        }
        sample
    }
}

/// A name of the answer, which may come from a file.
fn name(value: &Value) -> String {
    printable(&word(value))
}

/// A reason decides on which side its packets count, so that monitor mode shows what it would drop.
fn count(packets: &Value) -> Count {
    let number = packets["packets"].as_u64().unwrap_or_default();
    let bytes = packets["bytes"].as_u64().unwrap_or_default();
    let is_blocked =
        reason(&word(&packets["reason"])).is_some_and(|one| one.action() == Action::Drop);
    let (blocked, passed) = if is_blocked { (number, 0) } else { (0, number) };
    Count {
        blocked,
        passed,
        bytes,
    }
}

/// The reason of this name.
pub(super) fn reason(name: &str) -> Option<Reason> {
    Reason::ALL.iter().copied().find(|one| one.name() == name)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// An answer at this time, with this many packets dropped and passed.
    pub(in super::super) fn answer(time: u64, dropped: u64, passed: u64) -> Value {
        json!({
            "time": time,
            "mode": "enforce",
            "policy": "enforce mode: packets from RU are dropped; mail passes",
            "blocked": ["RU"],
            "interfaces": [{
                "interface": "eth0",
                "mode": "native",
                "protected": true,
                "packets": [
                    {
                        "country": "RU", "action": "drop", "reason": "country_blocked",
                        "packets": dropped, "bytes": 60 * dropped,
                    },
                    {
                        "country": "DE", "action": "pass", "reason": "country_allowed",
                        "packets": passed, "bytes": 60 * passed,
                    },
                ],
            }],
            "tenants": [{
                "tenant": "shop\u{1b}",
                "packets": [{
                    "country": "", "action": "drop", "reason": "country_blocked",
                    "packets": dropped, "bytes": 60 * dropped,
                }],
            }],
            "lists": [{ "list": "feodo", "passed": 0, "dropped": 3 }],
        })
    }

    #[test]
    fn each_view_adds_up_the_same_packets() {
        let sample = Sample::read(&answer(1, 10, 4));
        let row = |view, name: &str| sample.rows[&(view, name.to_owned())];
        for (view, name, expected) in [
            (View::Countries, "RU", [10, 0]),
            (View::Reasons, "country_allowed", [0, 4]),
            (View::Interfaces, "eth0", [10, 4]),
            (View::Tenants, "shop\\u001b", [10, 0]),
            (View::Lists, "feodo", [3, 0]),
        ] {
            let count = row(view, name);
            assert_eq!([count.blocked, count.passed], expected, "{name}");
        }
    }

    #[test]
    fn monitor_mode_counts_what_it_would_drop() {
        let mut answer = answer(1, 10, 4);
        answer["mode"] = json!("monitor");
        answer["interfaces"][0]["packets"][0]["action"] = json!("pass");
        let sample = Sample::read(&answer);
        assert!(sample.is_monitor);
        assert_eq!(sample.all.blocked, 10);
    }
}
