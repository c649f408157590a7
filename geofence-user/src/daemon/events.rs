//! List events: packets from and to listed addresses, as the kernel reports them, with names and in order of arrival.

use std::collections::VecDeque;
use std::net::IpAddr;

use geofence_common::action::Reason;
use geofence_common::country::Country;
use geofence_common::event::Event;
use geofence_common::wire::protocol;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::event_names::EventNames;
use crate::explain::{endpoint, tcp_flags};

/// How many events are kept.
pub const KEPT: usize = 512;

/// An event with its number, its time, and the name of its interface.
#[derive(Clone, Debug)]
struct ListEvent {
    /// Counted from the start of the daemon.
    number: u64,
    /// Milliseconds since 1970.
    time: i64,
    event: Event,
    interface: Option<String>,
}

/// The last events.
#[derive(Debug, Default)]
pub struct RecentEvents {
    events: VecDeque<ListEvent>,
    /// The number of the next event.
    next: u64,
}

impl RecentEvents {
    /// Adds an event that arrived at this moment: nanoseconds since boot, milliseconds since 1970.
    pub fn add(&mut self, event: Event, interface: Option<String>, [boot, clock]: [i64; 2]) {
        if self.events.len() == KEPT {
            self.events.pop_front();
        }
        let ago = boot.saturating_sub(event.time.cast_signed()) / 1_000_000;
        self.events.push_back(ListEvent {
            number: self.next,
            time: clock.saturating_sub(ago),
            event,
            interface,
        });
        self.next += 1;
    }

    /// How many events have arrived.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.next
    }

    /// The kept events from this number on, how many from there on are no longer kept, and the number of the next.
    #[must_use]
    pub fn since(&self, number: u64, names: &EventNames) -> Value {
        let kept = self.events.iter().filter(|one| one.number >= number);
        let first = self.events.front().map_or(self.next, |one| one.number);
        json!({
            "events": kept.map(|one| one.to_json(names)).collect::<Vec<_>>(),
            "left_out": first.saturating_sub(number),
            "next": self.next,
        })
    }

    /// The event that arrived last.
    #[must_use]
    pub fn last(&self, names: &EventNames) -> Option<Value> {
        self.events.back().map(|one| one.to_json(names))
    }
}

impl ListEvent {
    fn to_json(&self, names: &EventNames) -> Value {
        let event = &self.event;
        let has_ports = event.ports != [0; 2];
        json!({
            "event": "list",
            "number": self.number,
            "time": timestamp(self.time),
            "direction": event.direction().name(),
            "action": event.action().name(),
            "reason": event.reason().map(Reason::name),
            "interface": self.interface,
            "interface_index": self.interface.as_ref().map(|_| event.interface),
            "list": names.list(event.list),
            "tenant": names.tenant(event.tenant),
            "country": Country::from_number(event.country).name(),
            "protocol": protocol_name(event.protocol),
            "src": event.source().ip(),
            "src_port": has_ports.then_some(event.ports[0]),
            "dst": event.destination().ip(),
            "dst_port": has_ports.then_some(event.ports[1]),
            "tcp_flags": (event.flags != 0).then(|| tcp_flags(event.flags)),
            "length": (event.length != 0).then_some(event.length),
        })
    }
}

/// An event as a line of text, from its JSON.
#[must_use]
pub fn event_line(event: &Value) -> String {
    let text = |key: &str| event[key].as_str().unwrap_or("-");
    let end =
        |address: &str, port: &str| match (text(address).parse::<IpAddr>(), event[port].as_u64()) {
            (Ok(address), Some(port)) => endpoint(address.into(), port as u16),
            _ => text(address).to_owned(),
        };
    let optional = |before: &str, key: &str| {
        let value = event[key].as_str();
        value.map_or_else(String::new, |value| format!("{before}{value}"))
    };
    let system = match (event["as_number"].as_u64(), event["as_name"].as_str()) {
        (Some(number), Some(name)) if !name.is_empty() => format!(", AS{number} ({name})"),
        (Some(number), _) => format!(", AS{number}"),
        (None, _) => String::new(),
    };
    if event["event"] == "drop" {
        // In monitor mode the packet passes.
        return format!(
            "{} {}: {} -> {}, {}{}, country {}{system}, {}, {} bytes{}{}{}",
            text("action"),
            text("reason"),
            end("src", "src_port"),
            end("dst", "dst_port"),
            text("protocol"),
            optional(" ", "tcp_flags"),
            text("country"),
            text("interface"),
            event["length"],
            optional(", tenant ", "tenant"),
            optional(", exception ", "exception"),
            optional(", list ", "list"),
        );
    }
    // Of a packet that passes to a listed address there is no reason.
    let length = event["length"].as_u64();
    format!(
        "list {}, {}, {}{}: {} -> {}, {}{}, country {}{system}{}{}{}",
        text("list"),
        text("direction"),
        text("action"),
        optional(" ", "reason"),
        end("src", "src_port"),
        end("dst", "dst_port"),
        text("protocol"),
        optional(" ", "tcp_flags"),
        text("country"),
        optional(", ", "interface"),
        length.map_or_else(String::new, |length| format!(", {length} bytes")),
        optional(", tenant ", "tenant"),
    )
}

/// Milliseconds since 1970 in RFC 3339.
pub(super) fn timestamp(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds)
        .map_or_else(|_| milliseconds.to_string(), |time| time.to_string())
}

pub(super) fn protocol_name(number: u8) -> String {
    match number {
        protocol::TCP => "tcp".to_owned(),
        protocol::UDP => "udp".to_owned(),
        protocol::ICMP => "icmp".to_owned(),
        protocol::ICMPV6 => "icmpv6".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use geofence_common::action::Direction;
    use geofence_common::event::NO_REASON;
    use geofence_common::image::list_set::identity;
    use geofence_common::wire::transport::tcp;

    use super::*;

    fn event(list: &str, tenant: u32) -> Event {
        Event {
            time: 5_000_000_000,
            source: [0xc000_0201 << 32, 0],
            destination: [0x0509_0001 << 32, 0],
            list: identity(list.as_bytes()),
            tenant,
            ports: [51_234, 443],
            protocol: protocol::TCP,
            flags: tcp::SYN,
            direction: Direction::Out as u8,
            reason: NO_REASON,
            interface: 3,
            length: 54,
            ..Event::default()
        }
    }

    fn names() -> EventNames {
        let mut names = EventNames::default();
        names.lists.insert(identity(b"feodo"), "feodo".into());
        names.tenants.insert(7, "customer-17".into());
        names
    }

    #[test]
    fn an_event_has_names_and_the_time_by_the_clock() {
        let mut recent = RecentEvents::default();
        // Two seconds after the event, by both clocks.
        let clocks = [7_000_000_000, 1_780_272_002_250];
        recent.add(event("feodo", 7), Some("eth0".to_owned()), clocks);
        recent.add(
            Event {
                reason: Reason::ListedDestination as u8,
                is_dropped: 1,
                ..event("lost", 0)
            },
            None,
            clocks,
        );
        let answer = recent.since(0, &names());
        assert_eq!(answer["next"], 2);
        let first = &answer["events"][0];
        assert_eq!(first["time"], "2026-06-01T00:00:00.25Z");
        assert_eq!(
            event_line(first),
            "list feodo, out, pass: 192.0.2.1:51234 -> 5.9.0.1:443, tcp SYN, country none, eth0, 54 bytes, tenant \
             customer-17"
        );
        assert_eq!(
            (
                &first["reason"],
                &first["interface_index"],
                &first["length"]
            ),
            (&Value::Null, &json!(3), &json!(54))
        );
        let other = &answer["events"][1];
        assert_eq!(other["reason"], "listed_destination");
        assert!(other["interface_index"].is_null());
        assert!(other["list"].as_str().unwrap().starts_with("unknown "));
        assert!(other["tenant"].is_null());
    }

    #[test]
    fn line_of_a_drop_names_what_it_rests_on() {
        let event = json!({
            "event": "drop", "action": "drop", "reason": "banned", "src": "84.200.69.80", "src_port": 40_000,
            "dst": "192.0.2.2", "dst_port": 22, "protocol": "tcp", "tcp_flags": "SYN", "country": "DE",
            "interface": "eth0", "length": 54, "tenant": "customer-17", "exception": "ban-84.200.69.80", "list": null,
        });
        assert_eq!(
            event_line(&event),
            "drop banned: 84.200.69.80:40000 -> 192.0.2.2:22, tcp SYN, country DE, eth0, 54 bytes, tenant customer-17, \
             exception ban-84.200.69.80"
        );
    }

    #[test]
    fn the_last_events_are_kept_and_older_ones_counted() {
        let mut recent = RecentEvents::default();
        for _ in 0..KEPT + 10 {
            recent.add(event("feodo", 0), None, [0, 0]);
        }
        let all = recent.since(0, &names());
        assert_eq!(all["events"].as_array().unwrap().len(), KEPT);
        assert_eq!(
            (&all["left_out"], &all["next"]),
            (&json!(10), &json!(KEPT + 10))
        );
        let last = recent.since(KEPT as u64 + 9, &names());
        assert_eq!(last["events"].as_array().unwrap().len(), 1);
        assert_eq!(last["left_out"], 0);
    }
}
