//! What was seen, for people and for programs.
//!
//! Plain text whether at a terminal or in a pipe: no colour, no width taken from a terminal.

use std::io::{self, Write};

use comfy_table::{Table, presets};
use geofence_tests::counters::Labels;
use serde_json::json;

use crate::scenario::{Fate, Packet};

/// What became of a packet.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) packet: Packet,
    /// Whether it arrived behind the filter, as it was sent.
    pub(crate) arrived: bool,
    /// What was counted for it: labels, packets, bytes. One entry of one packet, if all is well.
    pub(crate) counted: Vec<(Labels, u64, u64)>,
}

impl Seen {
    /// Whether it met the fate it should and was counted once, whole, under the right labels.
    pub(crate) fn is_right(&self) -> bool {
        let expected = &self.packet.expected;
        let [(labels, 1, bytes)] = &self.counted[..] else {
            return false;
        };
        self.arrived == expected.passes
            && labels.country == expected.country
            && labels.action == action(expected.passes)
            && labels.reason == expected.reason
            && usize::try_from(*bytes) == Ok(self.packet.frame.len())
    }

    /// The reason it was counted under.
    fn reason(&self) -> String {
        let reasons: Vec<&str> = self
            .counted
            .iter()
            .map(|(labels, ..)| labels.reason.as_str())
            .collect();
        if reasons.is_empty() {
            "not counted".to_owned()
        } else {
            reasons.join(" + ")
        }
    }

    fn verdict(&self) -> String {
        if self.is_right() {
            return "ok".to_owned();
        }
        let counted: Vec<String> = self
            .counted
            .iter()
            .map(|(labels, packets, bytes)| {
                let Labels {
                    country,
                    action,
                    reason,
                } = labels;
                format!("{country} {action} {reason}, packets {packets}, bytes {bytes}")
            })
            .collect();
        let Fate {
            passes,
            country,
            reason,
        } = &self.packet.expected;
        format!(
            "NO: the policy says {country} {} {reason}, of 1 packet and {} bytes; counted: {}",
            action(*passes),
            self.packet.frame.len(),
            if counted.is_empty() {
                "nothing".to_owned()
            } else {
                counted.join("; ")
            }
        )
    }

    /// What its line of the table says, apart from what it was.
    fn cells(&self) -> [String; 6] {
        let expected = &self.packet.expected;
        [
            self.packet.from.clone(),
            expected.country.to_owned(),
            fate(expected.passes).to_owned(),
            fate(self.arrived).to_owned(),
            self.reason(),
            self.verdict(),
        ]
    }
}

/// Prints a table in which packets of one source that met one fate share a line.
pub(crate) fn table(out: &mut dyn Write, seen: &[Seen]) -> io::Result<()> {
    let mut lines: Vec<([String; 6], Vec<&str>)> = Vec::new();
    for one in seen {
        let cells = one.cells();
        let packet = &one.packet;
        // A telling packet keeps a line of its own.
        match lines
            .iter_mut()
            .find(|(other, _)| packet.is_ordinary && *other == cells)
        {
            Some((_, whats)) => whats.push(&packet.what),
            None => lines.push((cells, vec![&packet.what])),
        }
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header([
        "from", "country", "what", "expected", "seen", "reason", "ok?",
    ]);
    for ([from, country, expected, seen, reason, ok], whats) in lines {
        table.add_row([from, country, join(&whats), expected, seen, reason, ok]);
    }
    writeln!(out, "{table}")
}

/// Joins what was sent, ports of one protocol behind one name: `TCP 22 443, UDP 53`.
fn join(whats: &[&str]) -> String {
    let mut joined = String::new();
    let mut last = None;
    for what in whats {
        let parts = what.split_once(' ');
        match parts {
            Some((protocol, port)) if last == Some(protocol) => {
                joined.push(' ');
                joined.push_str(port);
            }
            Some(_) | None => {
                if !joined.is_empty() {
                    joined.push_str(", ");
                }
                joined.push_str(what);
            }
        }
        last = parts.map(|(protocol, _)| protocol);
    }
    joined
}

/// Prints one JSON object a packet.
pub(crate) fn json(out: &mut dyn Write, seen: &[Seen]) -> io::Result<()> {
    for one in seen {
        let expected = &one.packet.expected;
        let counted: Vec<_> = one
            .counted
            .iter()
            .map(|(labels, packets, bytes)| {
                json!({
                    "country": labels.country,
                    "action": labels.action,
                    "reason": labels.reason,
                    "packets": packets,
                    "bytes": bytes,
                })
            })
            .collect();
        let line = json!({
            "from": one.packet.from,
            "what": one.packet.what,
            "expected": {
                "country": expected.country,
                "action": action(expected.passes),
                "reason": expected.reason,
            },
            "seen": action(one.arrived),
            "counted": counted,
            "ok": one.is_right(),
        });
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn action(passes: bool) -> &'static str {
    if passes { "pass" } else { "drop" }
}

fn fate(passes: bool) -> &'static str {
    if passes { "passed" } else { "dropped" }
}
