//! The status as text: a name in a column of its own, and a value.

use std::fmt::{Display, Write as _};

use serde_json::Value;

use crate::model::attention::Item;
use crate::model::json::{database, list, word};
use crate::model::private_pins::PRIVATE_PINS;
use crate::model::units::UnixSeconds;
use crate::os::privilege;

/// The lines of the text: a name in a column of its own, and a value.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: impl Display) {
        // Writing to a string cannot fail.
        _ = writeln!(self.0, "{name:<11}{value}");
    }
}

/// The status on one screen.
pub(super) fn text(status: &Value, attention: &[Item]) -> String {
    let mut lines = Lines::default();
    lines.add("instance", word(&status["instance"]));
    let is_attached = list(&status["interfaces"]).next().is_some();
    if status["process"].is_u64() {
        let (process, version) = (&status["process"], word(&status["program_version"]));
        lines.add(
            "daemon",
            format_args!("process {process}, version {version}"),
        );
        add_policy(status, &mut lines);
        add_exceptions(&status["exceptions"], &mut lines);
        if let Some(open) = status["mail_dns"].as_str() {
            lines.add("mail-dns", open);
        }
        // Without it the address is not bound yet, which is among the shortfalls.
        if let Some(url) = status["metrics_url"].as_str() {
            lines.add("metrics", url);
        }
        add_rates(status, &mut lines);
        add_changes(status, &mut lines);
        add_privilege(&status["privilege"], &mut lines);
    } else if list(&status["interfaces"]).any(|one| one["protected"] == true) {
        lines.add("daemon", "not running; the filter stays attached");
    } else {
        lines.add("daemon", "not running");
    }
    for one in list(&status["interfaces"]) {
        let state = if one["protected"] == true {
            let link_type = match one["link_type"].as_u64() {
                None | Some(1 | 772) => String::new(),
                Some(number) => format!(", IP packets without a link header (link type {number})"),
            };
            let inner = if one["inner"] == true { ", inner" } else { "" };
            format!("protected, {} mode{inner}{link_type}", word(&one["mode"]))
        } else {
            format!("NOT PROTECTED, {}", word(&one["standing"]))
        };
        let detail = one["detail"].as_str();
        let detail = detail.map_or_else(String::new, |detail| format!(" ({detail})"));
        let name = word(&one["interface"]);
        lines.add("interface", format_args!("{name}: {state}{detail}"));
        for missed in list(&one["misses"]) {
            let (text, line) = (word(&missed["text"]), word(&missed["line"]));
            lines.add("NOTE", format_args!("{text}. Advice: {line}"));
        }
        let encapsulated = one["encapsulated"].as_u64().unwrap_or(0);
        if encapsulated != 0 {
            lines.add(
                "NOTE",
                format_args!(
                    "{name} received {encapsulated} packets in encapsulations that are not read (MPLS, MACsec and \
                     others); `geofence doctor {name}` says whether this machine decapsulates them"
                ),
            );
        }
    }
    if status["private_pins"] == true {
        lines.add("NOTE", PRIVATE_PINS);
    }
    if !is_attached {
        lines.add("filter", "not attached to any interface");
        let others: Vec<_> = list(&status["other_instances"]).map(word).collect();
        if !others.is_empty() {
            let others = others.join(", ");
            lines.add(
                "NOTE",
                format_args!("other instances have a filter: {others}; name one with --instance"),
            );
        }
    }
    for item in attention {
        let name = if item.is_trouble {
            "ATTENTION"
        } else {
            "attention"
        };
        lines.add(name, &item.text);
    }
    if attention.is_empty() {
        lines.add("attention", "none needed");
    }
    lines.0
}

fn add_policy(status: &Value, lines: &mut Lines) {
    let (mode, generation) = (word(&status["mode"]), &status["generation"]);
    let source = if status["generation_confirmed"] == false {
        " as far as the daemon knows"
    } else {
        ""
    };
    lines.add("policy", format_args!("{mode}, image {generation}{source}"));
    if let Some(sentence) = status["policy"].as_str() {
        lines.add("", sentence);
    }
    if let Some(file) = status["configuration"].as_str() {
        lines.add("config", file);
    }
    for one in list(&status["databases"]) {
        lines.add("data", database(one));
    }
    let lists = list(&status["lists"]).count();
    if lists > 0 {
        let current = list(&status["lists"]).filter(|one| one["standing"] == "current");
        let current = current.count();
        lines.add("lists", format_args!("{current} of {lists} up to date"));
    }
}

/// What passes and is dropped now.
fn add_rates(status: &Value, lines: &mut Lines) {
    let rates = &status["rates"];
    if rates.is_null() {
        return;
    }
    let flow = |name: &str| {
        let [packets, bits] = ["packets", "bits"].map(|key| rates[name][key].as_f64());
        let (packets, bits) = (packets.unwrap_or_default(), bits.unwrap_or_default());
        format!("{packets:.0} packets/s ({:.2} Mbit/s)", bits / 1e6)
    };
    let passed = flow("passed");
    let seconds = rates["seconds"].as_f64().unwrap_or_default();
    let (blocked, verb) = if status["mode"] == "monitor" {
        (flow("blocked"), "would be dropped, of which")
    } else {
        (flow("dropped"), "dropped, and")
    };
    lines.add(
        "now",
        format_args!("{blocked} {verb} {passed} passed, in the last {seconds:.0} s"),
    );
    for (name, label) in [("countries", "country"), ("reasons", "reason")] {
        let top = list(&rates[name]).map(|one| {
            let packets = one["packets"].as_f64().unwrap_or_default();
            format!("{} {packets:.0}/s", word(&one[label]))
        });
        let top: Vec<_> = top.collect();
        if !top.is_empty() {
            lines.add(name, top.join(", "));
        }
    }
}

fn add_exceptions(exceptions: &Value, lines: &mut Lines) {
    lines.add(
        "exceptions",
        format_args!("{} in force", word(&exceptions["live"])),
    );
    let bans = exceptions["bans"].as_u64().unwrap_or_default();
    if bans != 0 {
        lines.add("bans", format_args!("{bans} in force"));
    }
    for one in list(&exceptions["lapsing"]) {
        let (id, until, owner) = (word(&one["id"]), word(&one["until"]), word(&one["owner"]));
        lines.add("expiring", format_args!("{id} on {until}, owner {owner}"));
    }
    for one in list(&exceptions["noted"]) {
        let how = if one["holds"] == true {
            "is in force only in part"
        } else {
            "is not in force"
        };
        let (id, note) = (word(&one["id"]), word(&one["note"]));
        lines.add("NOTE", format_args!("exception {id} {how}: {note}"));
    }
}

fn add_changes(status: &Value, lines: &mut Lines) {
    let trial = &status["trial"];
    if !trial.is_null() {
        let (left, before) = (&trial["seconds_left"], &trial["generation_before"]);
        lines.add(
            "ON TRIAL",
            format_args!(
                "{left} s left; without `geofence confirm`, image {before} becomes active again"
            ),
        );
    }
    let reloads = &status["reloads"];
    lines.add(
        "reloads",
        format_args!(
            "{} succeeded, {} failed{}",
            word(&reloads["succeeded"]),
            word(&reloads["failed"]),
            last_success(reloads)
        ),
    );
    let failure = &reloads["trouble"];
    if !failure.is_null() {
        let (cause, text) = (word(&failure["cause"]), word(&failure["text"]));
        lines.add("DEGRADED", format_args!("{cause}: {text}"));
    }
    for one in list(&status["shortfalls"]) {
        let (part, text) = (word(&one["part"]), word(&one["text"]));
        lines.add("DEGRADED", format_args!("{part}: {text}"));
    }
}

/// When the requested policy last became active.
fn last_success(reloads: &Value) -> String {
    let last = reloads["last_success"].as_u64();
    last.map_or_else(String::new, |last| {
        format!(
            "; the requested policy became active at {}",
            UnixSeconds(last)
        )
    })
}

fn add_privilege(privilege: &Value, lines: &mut Lines) {
    lines.add("privilege", privilege::sentence(privilege));
    for one in list(&privilege["kept"]) {
        let (capability, reason) = (word(&one["capability"]), word(&one["reason"]));
        lines.add("kept", format_args!("{capability}: {reason}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::attention;

    #[test]
    fn problems_are_in_capitals() {
        let status = json!({
            "instance": "geofence",
            "process": 7,
            "program_version": "0.1.0",
            "mode": "enforce",
            "generation": 3,
            "listen": "127.0.0.1:10317",
            "metrics_url": "http://127.0.0.1:10317/metrics",
            "databases": [{ "name": "a.mmdb", "built": 1_780_272_000_u64, "age_days": 4 }],
            "exceptions": {
                "live": 2,
                "lapsing": [{ "id": "x-1", "until": "2026-12-01T00:00:00Z", "owner": "noc" }],
                "noted": [{ "id": "x-2", "holds": false, "note": "there is no tenant a any more" }],
            },
            "interfaces": [
                {
                    "interface": "eth0", "mode": "native", "protected": true, "standing": "protected",
                    "encapsulated": 3,
                },
                {
                    "interface": "eth1", "mode": "native", "protected": false, "standing": "gone",
                    "encapsulated": 0,
                },
            ],
            "reloads": {
                "succeeded": 1,
                "failed": 2,
                "trouble": { "cause": "database", "text": "a.mmdb is a web page", "since": 1 },
                "last_success": 1_780_272_000_u64,
            },
            "shortfalls": [{ "part": "list", "name": "own", "text": "THE LIST own IS EMPTY", "since": 1 }],
            "policy": "enforce mode: packets from RU are dropped; mail passes",
            "configuration": "/etc/geofence/geofence.toml",
            "lists": [{ "standing": "current" }, { "standing": "last good" }],
            "rates": {
                "seconds": 12.0,
                "passed": { "packets": 1000.4, "bits": 8_000_000.0 },
                "dropped": { "packets": 20.0, "bits": 9600.0 },
                "countries": [{ "country": "RU", "packets": 15.0 }, { "country": "CN", "packets": 5.0 }],
                "reasons": [{ "reason": "country_blocked", "packets": 20.0 }],
            },
        });
        let said = text(&status, &attention::items(&status));
        for line in [
            "           enforce mode: packets from RU are dropped; mail passes\n",
            "config     /etc/geofence/geofence.toml\n",
            "lists      1 of 2 up to date\n",
            "now        20 packets/s (0.01 Mbit/s) dropped, and 1000 packets/s (8.00 Mbit/s) passed, in the last ",
            "countries  RU 15/s, CN 5/s\n",
            "reasons    country_blocked 20/s\n",
            "2 failed; the requested policy became active at 2026-06-01T00:00:00Z\n",
            "ATTENTION  eth1 is not protected\n",
            "attention  1 exception about to expire\n",
        ] {
            assert!(said.contains(line), "{line}{said}");
        }
        assert!(
            said.contains("DEGRADED   database: a.mmdb is a web page\n"),
            "{said}"
        );
        assert!(
            said.contains("DEGRADED   list: THE LIST own IS EMPTY\n"),
            "{said}"
        );
        assert!(
            said.contains("expiring   x-1 on 2026-12-01T00:00:00Z, owner noc\n"),
            "{said}"
        );
        assert!(
            said.contains("NOTE       exception x-2 is not in force: there is"),
            "{said}"
        );
        assert!(said.contains("eth0: protected, native mode\n"), "{said}");
        assert!(said.contains("eth1: NOT PROTECTED, gone\n"), "{said}");
        assert!(
            said.contains("NOTE       eth0 received 3 packets in encapsulations that are not read"),
            "{said}"
        );
        assert!(!said.contains("eth1 received"), "{said}");
        assert!(!said.contains("b.mmdb"), "{said}");
        let status = json!({
            "instance": "typo", "process": null, "interfaces": [], "other_instances": ["geofence-lan"],
        });
        let said = text(&status, &attention::items(&status));
        assert!(
            said.contains(
                "NOTE       other instances have a filter: geofence-lan; name one with --instance"
            ),
            "{said}"
        );
        assert!(
            said.contains("daemon     not running\n")
                && said.contains("filter     not attached to any interface\n"),
            "{said}"
        );
    }
}
