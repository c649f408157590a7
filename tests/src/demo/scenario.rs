//! What the demo sends, and what the default policy says about it.
//!
//! The expectations are written out from the policy's description, packet by packet. They ask the filter's code
//! nothing, or the demo would only show that the filter agrees with itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use geofence_tests::frames::{Frame, between, number};
use geofence_user::data::geoip::Database;

use geofence_tests::sources;

/// The countries that the default policy blocks.
const BLOCKED: [&str; 5] = ["RU", "UA", "BY", "CN", "KP"];
/// Some of those that it does not.
const OPEN: [&str; 4] = ["DE", "US", "JP", "BR"];

/// The edge's addresses: documentation space (RFC 5737, RFC 3849), as these packets go nowhere else.
const EDGE_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const EDGE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// What becomes of a packet, and under which labels it is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) passes: bool,
    pub(crate) country: &'static str,
    pub(crate) reason: &'static str,
}

/// A packet to send.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    /// Who sends it: an address, except for what has none.
    pub(crate) from: String,
    pub(crate) what: String,
    /// Whether every source sends such a packet.
    pub(crate) is_ordinary: bool,
    pub(crate) expected: Fate,
    pub(crate) frame: Vec<u8>,
}

/// Everything the demo sends, and what it would have sent but for lack of an address.
#[derive(Debug, Default)]
pub(crate) struct Scenario {
    pub(crate) packets: Vec<Packet>,
    pub(crate) notes: Vec<String>,
}

/// The packets of the demo, in order. The last one passes whatever the sources' countries.
pub(crate) fn scenario(database: &Database) -> Result<Scenario> {
    let mut scenario = Scenario::default();
    for country in BLOCKED.into_iter().chain(OPEN) {
        scenario.ordinary(sources::v4(database, country)?.into(), country);
        match sources::v6(database, country)? {
            Some(address) => scenario.ordinary(address.into(), country),
            None => scenario.notes.push(format!(
                "{country} has no IPv6 prefix in this database, so nothing is sent from one."
            )),
        }
    }
    scenario.telling(sources::v4(database, "RU")?, sources::v4(database, "CN")?);
    Ok(scenario)
}

impl Scenario {
    /// What every source sends: connections, datagrams, a ping.
    fn ordinary(&mut self, source: IpAddr, country: &'static str) {
        let is_blocked = BLOCKED.contains(&country);
        let general = if is_blocked {
            drops(country, "country_blocked")
        } else {
            passes(country, "country_allowed")
        };
        let mail = if is_blocked {
            passes(country, "mail")
        } else {
            general.clone()
        };
        let first = self.packets.len();
        for (port, expected) in [(22, &general), (25, &mail), (443, &general)] {
            let frame = self.to_edge(source).tcp(self.port(), port).syn();
            self.push(source, format!("TCP {port}"), expected, &frame);
        }
        for port in [53, 5000] {
            let frame = self.to_edge(source).udp(self.port(), port).payload(b"demo");
            self.push(source, format!("UDP {port}"), &general, &frame);
        }
        let frame = self.ping(source);
        self.push(source, "ping", &general, &frame);
        for packet in self.packets.iter_mut().skip(first) {
            packet.is_ordinary = true;
        }
    }

    /// Where the policy has more to say than "blocked" and "not blocked".
    fn telling(&mut self, russian: Ipv4Addr, chinese: Ipv4Addr) {
        let (ru, cn) = (IpAddr::from(russian), IpAddr::from(chinese));
        let blocked = drops("RU", "country_blocked");

        let frame = self.to_edge(ru).tcp(self.port(), 465).syn();
        self.push(ru, "TCP 465", &passes("RU", "mail"), &frame);

        let frame = self.to_edge(ru).udp(self.port(), 25).payload(b"demo");
        self.push(ru, "UDP 25, which is not mail", &blocked, &frame);

        let frame = self.to_edge(ru).tcp(25, self.port()).syn().ack();
        let expected = drops("RU", "unproven_reply");
        self.push(ru, "TCP from 25, as if in reply", &expected, &frame);

        let frame = tagged(2).ipv4(russian, EDGE_V4).tcp(self.port(), 443).syn();
        self.push(ru, "TCP 443 behind 2 VLAN tags", &blocked, &frame);

        let frame = tagged(3).ipv4(russian, EDGE_V4).tcp(self.port(), 443).syn();
        let expected = drops("none", "too_many_tags");
        self.push(ru, "TCP 443 behind 3 VLAN tags", &expected, &frame);

        // Offset 185 in eights is where the second fragment of a full Ethernet frame starts.
        let frame = self
            .to_edge(cn)
            .fragment_field(185)
            .next(number::TCP)
            .payload([0x55; 64]);
        let expected = drops("CN", "later_fragment");
        self.push(cn, "a later fragment", &expected, &frame);

        let embedded = sources::six_to_four(russian);
        let frame = self.to_edge(embedded).tcp(self.port(), 443).syn();
        self.push(embedded, "TCP 443, 6to4 of RU", &blocked, &frame);

        let mapped = IpAddr::from(russian.to_ipv6_mapped());
        let frame = self.to_edge(mapped).tcp(self.port(), 25).syn();
        let expected = drops("special", "mapped");
        self.push(mapped, "TCP 25, IPv4-mapped", &expected, &frame);

        let private = IpAddr::from([10, 0, 0, 7]);
        let frame = self.to_edge(private).tcp(self.port(), 22).syn();
        let expected = passes("special", "special_use");
        self.push(private, "TCP 22, private", &expected, &frame);

        let neighbour = IpAddr::from(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2));
        let frame = self
            .to_edge(neighbour)
            .ttl(255)
            .icmp(135, 0)
            .payload(EDGE_V6.octets());
        let expected = passes("special", "link_control");
        self.push(neighbour, "neighbour solicitation", &expected, &frame);

        let frame = Frame::ethernet().arp(1, [192, 0, 2, 2], EDGE_V4);
        self.push("192.0.2.2", "ARP", &passes("none", "non_ip"), &frame);
    }

    fn to_edge(&self, source: IpAddr) -> Frame {
        match source {
            IpAddr::V4(_) => between(source, EDGE_V4.into()),
            IpAddr::V6(_) => between(source, EDGE_V6.into()),
        }
    }

    fn ping(&self, source: IpAddr) -> Frame {
        let kind = if source.is_ipv4() { 8 } else { 128 };
        let [high, low] = self.port().to_be_bytes();
        let echo = self.to_edge(source).icmp(kind, 0).rest([0, 1, high, low]);
        echo.payload(b"demo")
    }

    /// A port that only the next packet has, so that no two frames are equal.
    fn port(&self) -> u16 {
        40_000 + self.packets.len() as u16
    }

    fn push(
        &mut self,
        from: impl ToString,
        what: impl Into<String>,
        expected: &Fate,
        frame: &Frame,
    ) {
        self.packets.push(Packet {
            from: from.to_string(),
            what: what.into(),
            is_ordinary: false,
            expected: expected.clone(),
            frame: frame.build(),
        });
    }
}

fn passes(country: &'static str, reason: &'static str) -> Fate {
    Fate {
        passes: true,
        country,
        reason,
    }
}

fn drops(country: &'static str, reason: &'static str) -> Fate {
    Fate {
        passes: false,
        country,
        reason,
    }
}

fn tagged(tags: u16) -> Frame {
    (1..=tags).fold(Frame::ethernet(), |frame, number| {
        frame.vlan(number::ETHERTYPE_VLAN, number)
    })
}
