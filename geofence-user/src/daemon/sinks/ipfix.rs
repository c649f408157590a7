//! Events as flow records of one packet, by IPFIX (RFC 7011) over UDP.
//!
//! What is needed is small: two templates, for IPv4 and IPv6, which stand in front of the records in each message,
//! because over UDP a message may be lost. The maintained crate for IPFIX (`netgauze-flow-pkt`) is not used: its build
//! generates a type for each of IANA's elements, and an element of our own would have to be generated there too.
//! Elements without an enterprise number are those of IANA's registry; reason, country and list have the enterprise
//! number for examples (RFC 5612).

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use geofence_common::wire::transport::tcp;
use jiff::Timestamp;
use serde_json::Value;

use super::sink::Sink;
use super::sockets::udp;
use crate::model::frame_conditions::parse_protocol;

const VERSION: u16 = 10;
const TEMPLATE_SET: u16 = 2;
/// The templates of IPv4 and IPv6, by number.
const TEMPLATES: [u16; 2] = [256, 257];
/// The enterprise number for examples.
const ENTERPRISE: u32 = 32_473;
const ENTERPRISE_BIT: u16 = 1 << 15;
/// The lengths of the texts; shorter ones end with zeros.
const REASON_BYTES: u16 = 24;
const COUNTRY_BYTES: u16 = 8;
const LIST_BYTES: u16 = 24;
/// How many records a message holds, so that it is shorter than the usual MTU.
const RECORDS_MAX: usize = 8;
/// Values of forwardingStatus (RFC 7270): forwarded, and dropped by an access list.
const FORWARDED: u8 = 64;
const DROPPED: u8 = 130;
/// Values of firewallEvent: a packet that lists concern, and a sample of what is dropped. A packet that a list drops
/// may have a record of each.
const ALERT: u8 = 4;
const DENIED: u8 = 3;
const NO_FIREWALL_EVENT: u8 = 0;

/// The elements of a template and their lengths: addresses first, then what both have.
const ADDRESSES: [[(u16, u16); 2]; 2] = [[(8, 4), (12, 4)], [(27, 16), (28, 16)]];
const COMMON: [(u16, u16); 13] = [
    (152, 8), // flowStartMilliseconds
    (153, 8), // flowEndMilliseconds
    (1, 8),   // octetDeltaCount
    (2, 8),   // packetDeltaCount
    (7, 2),   // sourceTransportPort
    (11, 2),  // destinationTransportPort
    (4, 1),   // protocolIdentifier
    (6, 1),   // tcpControlBits
    (10, 4),  // ingressInterface
    (14, 4),  // egressInterface
    (61, 1),  // flowDirection
    (89, 1),  // forwardingStatus
    (233, 1), // firewallEvent
];
/// Reason, country, and list or exception, under the enterprise number.
const OWN: [(u16, u16); 3] = [(1, REASON_BYTES), (2, COUNTRY_BYTES), (3, LIST_BYTES)];

/// The connection to a collector.
pub(super) struct Exporter {
    collector: SocketAddr,
    socket: Option<UdpSocket>,
    /// How many records were sent.
    sequence: u32,
}

impl Exporter {
    pub(super) const fn new(collector: SocketAddr) -> Self {
        Self {
            collector,
            socket: None,
            sequence: 0,
        }
    }
}

impl Sink for Exporter {
    fn deliver(&mut self, events: &[Arc<Value>]) -> std::io::Result<()> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => udp(self.collector)?,
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs() as u32);
        let records: Vec<_> = events.iter().filter_map(|event| record(event)).collect();
        for records in records.chunks(RECORDS_MAX) {
            socket.send(&message(records, self.sequence, now))?;
            self.sequence = self.sequence.wrapping_add(records.len() as u32);
        }
        self.socket = Some(socket);
        Ok(())
    }
}

/// A record, and whether it is of IPv6.
type Record = (bool, Vec<u8>);

/// The record of an event; none without addresses.
fn record(event: &Value) -> Option<Record> {
    let text = |key: &str| event[key].as_str().unwrap_or_default();
    let number = |key: &str| event[key].as_u64().unwrap_or_default();
    let [source, destination] = [text("src").parse().ok()?, text("dst").parse().ok()?];
    let mut bytes = Vec::new();
    for address in [source, destination] {
        match address {
            IpAddr::V4(ip) => bytes.extend(ip.octets()),
            IpAddr::V6(ip) => bytes.extend(ip.octets()),
        }
    }
    let time = text("time").parse::<Timestamp>().ok()?.as_millisecond();
    for _ in 0..2 {
        bytes.extend(time.to_be_bytes());
    }
    bytes.extend(number("length").to_be_bytes());
    bytes.extend(1_u64.to_be_bytes());
    for port in ["src_port", "dst_port"] {
        bytes.extend((number(port) as u16).to_be_bytes());
    }
    bytes.push(parse_protocol(text("protocol")).unwrap_or(0));
    bytes.push(flags(text("tcp_flags")));
    let is_out = text("direction") == "out";
    let interface = number("interface_index") as u32;
    for index in if is_out {
        [0, interface]
    } else {
        [interface, 0]
    } {
        bytes.extend(index.to_be_bytes());
    }
    bytes.push(u8::from(is_out));
    let is_dropped = text("action") == "drop";
    bytes.push(if is_dropped { DROPPED } else { FORWARDED });
    bytes.push(match text("event") {
        "list" => ALERT,
        _ if is_dropped => DENIED,
        _ => NO_FIREWALL_EVENT,
    });
    let exception = event["exception"].as_str();
    let fields = [
        (text("reason"), REASON_BYTES),
        (text("country"), COUNTRY_BYTES),
        (exception.unwrap_or_else(|| text("list")), LIST_BYTES),
    ];
    for (text, length) in fields {
        let length = usize::from(length);
        let mut field = text.as_bytes().to_vec();
        field.resize(length, 0);
        bytes.extend(field);
    }
    Some((source.is_ipv6(), bytes))
}

/// The TCP flags of a text such as `SYN ACK`.
fn flags(text: &str) -> u8 {
    const NAMES: [(&str, u8); 6] = [
        ("FIN", 1),
        ("SYN", tcp::SYN),
        ("RST", 4),
        ("PSH", 8),
        ("ACK", tcp::ACK),
        ("URG", 32),
    ];
    let named = |(name, _): &&(&str, u8)| text.contains(name);
    NAMES
        .iter()
        .filter(named)
        .fold(0, |all, (_, one)| all | one)
}

/// A set with its number and length.
fn set(number: u16, content: &[u8]) -> Vec<u8> {
    let length = content.len() as u16 + 4;
    [&number.to_be_bytes()[..], &length.to_be_bytes(), content].concat()
}

fn template(number: u16, addresses: [(u16, u16); 2]) -> Vec<u8> {
    let count = addresses.len() + COMMON.len() + OWN.len();
    let mut bytes = [number.to_be_bytes(), (count as u16).to_be_bytes()].concat();
    for (element, length) in addresses.into_iter().chain(COMMON) {
        bytes.extend([element.to_be_bytes(), length.to_be_bytes()].concat());
    }
    for (element, length) in OWN {
        bytes.extend((element | ENTERPRISE_BIT).to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes.extend(ENTERPRISE.to_be_bytes());
    }
    bytes
}

fn message(records: &[Record], sequence: u32, now: u32) -> Vec<u8> {
    let [v4, v6] = [0, 1].map(|at: usize| template(TEMPLATES[at], ADDRESSES[at]));
    let mut sets = set(TEMPLATE_SET, &[v4, v6].concat());
    for (at, number) in TEMPLATES.into_iter().enumerate() {
        let of_family = records
            .iter()
            .filter(|(is_v6, _)| usize::from(*is_v6) == at);
        let content: Vec<u8> = of_family.flat_map(|(_, bytes)| bytes.clone()).collect();
        if !content.is_empty() {
            sets.extend(set(number, &content));
        }
    }
    let length = sets.len() as u16 + 16;
    let mut bytes = [VERSION.to_be_bytes(), length.to_be_bytes()].concat();
    for word in [now, sequence, 0] {
        bytes.extend(word.to_be_bytes());
    }
    bytes.extend(sets);
    bytes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(source: &str, destination: &str) -> Value {
        json!({
            "event": "drop", "time": "2026-06-01T00:00:00.25Z", "direction": "in", "action": "drop",
            "reason": "country_blocked", "country": "RU", "protocol": "tcp", "src": source, "src_port": 40_000,
            "dst": destination, "dst_port": 22, "tcp_flags": "SYN,ACK", "length": 60, "interface_index": 7,
        })
    }

    /// The lengths of a record of each family.
    fn record_bytes(at: usize) -> usize {
        let all = ADDRESSES[at].iter().chain(&COMMON).chain(&OWN);
        all.map(|(_, length)| usize::from(*length)).sum()
    }

    #[test]
    fn records_have_the_lengths_that_their_templates_name() {
        let records = [("77.88.8.8", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")];
        for (at, (source, destination)) in records.into_iter().enumerate() {
            let (is_v6, bytes) = record(&event(source, destination)).unwrap();
            assert_eq!((usize::from(is_v6), bytes.len()), (at, record_bytes(at)));
        }
        assert_eq!(record(&json!({ "src": null, "dst": null })), None);
    }

    #[test]
    fn packet_that_leaves_has_its_interface_and_list_and_no_reason() {
        let event = json!({
            "event": "list", "time": "2026-06-01T00:00:00.25Z", "direction": "out", "action": "pass", "reason": null,
            "list": "c2", "country": "DE", "protocol": "tcp", "src": "192.0.2.2", "dst": "77.88.8.8", "length": 54,
            "interface_index": 7,
        });
        let (_, bytes) = record(&event).unwrap();
        assert_eq!(bytes[46..57], [0, 0, 0, 0, 0, 0, 0, 7, 1, FORWARDED, ALERT]);
        assert_eq!(bytes[57..81], [0; REASON_BYTES as usize]);
        assert_eq!(&bytes[89..92], b"c2\0");
    }

    #[test]
    fn message_is_read_back_by_its_templates() {
        let record = record(&event("77.88.8.8", "192.0.2.2")).unwrap();
        let bytes = message(&[record], 5, 9);
        let half = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        assert_eq!((half(0), usize::from(half(2))), (VERSION, bytes.len()));
        assert_eq!(&bytes[4..16], [0, 0, 0, 9, 0, 0, 0, 5, 0, 0, 0, 0]);
        assert_eq!(half(16), TEMPLATE_SET);
        // Behind the templates, the records of IPv4; there is none of IPv6.
        let data = 16 + usize::from(half(18));
        assert_eq!(half(data), TEMPLATES[0]);
        assert_eq!(usize::from(half(data + 2)), 4 + record_bytes(0));
        assert_eq!(data + usize::from(half(data + 2)), bytes.len());
        let fields = &bytes[data + 4..];
        assert_eq!(fields[..8], [77, 88, 8, 8, 192, 0, 2, 2]);
        assert_eq!(
            fields[24..40],
            [[0, 0, 0, 0, 0, 0, 0, 60], [0, 0, 0, 0, 0, 0, 0, 1]].concat()
        );
        // Ports, protocol, flags, interfaces, direction, status, event.
        assert_eq!(
            fields[40..57],
            [
                0x9c, 0x40, 0, 22, 6, 0x12, 0, 0, 0, 7, 0, 0, 0, 0, 0, DROPPED, DENIED
            ]
        );
        assert_eq!(&fields[57..72], b"country_blocked");
        assert_eq!(&fields[81..83], b"RU");
        assert_eq!(fields[89..], [0; LIST_BYTES as usize]);
        let longest = message(&vec![(true, vec![0; record_bytes(1)]); RECORDS_MAX], 0, 0);
        assert!(longest.len() < 1400, "{}", longest.len());
    }
}
