//! A decision in words: the frame an operator asks about, the steps the filter took, and its verdict.
//!
//! The steps come from the function that the kernel runs, watched while it runs; nothing here decides.

mod names;
pub mod pcap;
pub mod simulated_tables;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use etherparse::PacketBuilder;
use geofence_common::action::Direction;
use geofence_common::address::{Address, Embedding};
use geofence_common::country::Country;
use geofence_common::decide::{EgressVerdict, Verdict, egress};
use geofence_common::explain::{Observer, Step};
use geofence_common::flow::{Flow, State};
use geofence_common::packet::Transport;

use crate::explain::simulated_tables::{Host, Seen};
use crate::model::countries;

pub use names::{Names, system_to_json};

/// Collects the steps of a decision.
#[derive(Clone, Debug, Default)]
pub struct Recorder(pub Vec<Step>);

impl Observer for Recorder {
    fn step(&mut self, step: Step) {
        self.0.push(step);
    }
}

/// Decides about a frame as the kernel would, over an image in memory, and records how.
#[must_use]
pub fn explain(frame: &[u8], words: &[u32]) -> (Verdict, Vec<Step>) {
    let mut recorder = Recorder::default();
    let verdict = geofence_common::decide::filter(&frame, &words, &mut recorder);
    (verdict, recorder.0)
}

/// The same, after our side sent the packet that this one would answer; what egress made of that comes first.
#[must_use]
pub fn explain_reply(frame: &[u8], sent: &[u8], words: &[u32]) -> (Verdict, Vec<Step>) {
    let mut recorder = Recorder::default();
    let host = Host::new(words, Seen::default());
    egress(&sent, || false, &host, &mut recorder);
    let verdict = geofence_common::decide::filter(&frame, &host, &mut recorder);
    (verdict, recorder.0)
}

/// What becomes of a frame that leaves, decided as the kernel would.
#[must_use]
pub fn explain_leaving(frame: &[u8], words: &[u32]) -> (EgressVerdict, Vec<Step>) {
    let mut recorder = Recorder::default();
    let host = Host::new(words, Seen::default());
    let departure = egress(&frame, || false, &host, &mut recorder);
    (departure, recorder.0)
}

/// The addresses a decision was about, if it got so far.
#[must_use]
pub fn addresses(steps: &[Step]) -> Option<(IpAddr, IpAddr)> {
    steps.iter().find_map(|step| match step {
        Step::Network {
            source,
            destination,
            ..
        } => Some((source.ip(), destination.ip())),
        Step::Ethernet { .. }
        | Step::Extension { .. }
        | Step::Transport(_)
        | Step::Class { .. }
        | Step::Embedded { .. }
        | Step::Quoted(_)
        | Step::Flow { .. }
        | Step::Datagram { .. }
        | Step::DestinationPolicy { .. }
        | Step::Exception { .. }
        | Step::Protected { .. }
        | Step::RateLimit { .. }
        | Step::Decided(_) => None,
    })
}

/// The address that a step has found the class of.
#[must_use]
pub fn class_of(step: &Step) -> Option<IpAddr> {
    if let Step::Class { address, .. } = step {
        Some(address.ip())
    } else {
        None
    }
}

/// One step in words.
#[must_use]
pub fn describe(step: &Step, names: Names<'_>) -> String {
    match step {
        Step::Ethernet {
            tags: 0,
            ether_type,
        } => format!("EtherType 0x{ether_type:04x}"),
        Step::Ethernet { tags, ether_type } => {
            format!("{tags} VLAN tag(s), then EtherType 0x{ether_type:04x}")
        }
        Step::Network {
            source,
            destination,
            protocol,
        } => {
            format!(
                "from {} to {}, protocol {protocol}",
                source.ip(),
                destination.ip()
            )
        }
        Step::Extension { header } => format!("IPv6 extension header {header}"),
        Step::Transport(Transport::Tcp {
            source,
            destination,
            flags,
        }) => {
            format!(
                "TCP from port {source} to port {destination}, flags {}",
                tcp_flags(*flags)
            )
        }
        Step::Transport(Transport::Udp {
            source,
            destination,
        }) => {
            format!("UDP from port {source} to port {destination}")
        }
        Step::Transport(Transport::Icmp { kind, code, .. }) => {
            format!("ICMP type {kind} code {code}")
        }
        Step::Transport(Transport::Icmpv6 { kind, code, .. }) => {
            format!("ICMPv6 type {kind} code {code}")
        }
        Step::Transport(Transport::Other { protocol }) => {
            format!("protocol {protocol}, which has no ports here")
        }
        Step::Class { address, class } => {
            let mut facts = vec![countries::described(class.country())];
            let blocked = if class.country() == Country::SPECIAL {
                None
            } else {
                Some(class.is_blocked())
            };
            facts.extend(
                blocked.map(|blocked| if blocked { "blocked" } else { "not blocked" }.to_owned()),
            );
            for (is, list) in [
                (class.is_management(), "on the management list"),
                (class.is_allowed(), "on the allow list"),
                (class.is_denied(), "denied"),
                (
                    class.is_listed(Direction::In),
                    "on a list about what comes in",
                ),
                (
                    class.is_listed(Direction::Out),
                    "on a list about what goes out",
                ),
            ] {
                facts.extend(is.then(|| list.to_owned()));
            }
            format!("{}: {}", address.ip(), facts.join(", "))
        }
        Step::Embedded { how, inner } => {
            let how = match how {
                Embedding::SixToFour => "6to4",
                Embedding::Teredo => "Teredo",
                Embedding::Nat64 => "NAT64",
            };
            format!("{how}: judged as {}", inner.ip())
        }
        Step::Quoted(quoted) => format!(
            "quotes a packet from {} to {}, protocol {}, port {} to {}",
            quoted.source.ip(),
            quoted.destination.ip(),
            quoted.protocol,
            quoted.source_port,
            quoted.destination_port
        ),
        Step::Flow {
            table,
            key,
            found,
            now,
        } => format!(
            "{} flow from {} to {}: {}",
            table.name(),
            end(key.local(), key.local_port),
            end(key.remote(), key.remote_port),
            flow(found.as_ref(), *now)
        ),
        Step::Datagram { is_known: true } => {
            "the datagram's first fragment passed before".to_owned()
        }
        Step::Datagram { is_known: false } => {
            "no first fragment of this datagram passed before".to_owned()
        }
        Step::DestinationPolicy { address, tenant: 0 } => {
            format!("{} is no tenant's", address.ip())
        }
        Step::DestinationPolicy { address, tenant } => {
            format!(
                "{} belongs to tenant {}",
                address.ip(),
                names.tenant(*tenant)
            )
        }
        Step::Exception { slot, is_live } => {
            let exception = names.exception(*slot);
            if *is_live {
                format!("{exception} is for this packet")
            } else {
                format!("{exception} was for this packet and has lapsed")
            }
        }
        Step::Protected {
            tenant,
            transport: Some(transport),
            port: Some(port),
        } => format!(
            "the port is protected{}, and the source is not one of those who may reach it",
            names.protections(*tenant, *transport, *port)
        ),
        Step::Protected { .. } => {
            "some ports are protected, and the packet hides which port it is for".to_owned()
        }
        Step::RateLimit { is_within: true } => {
            "the source may send more to exempted services".to_owned()
        }
        Step::RateLimit { is_within: false } => {
            "the source has sent more to exempted services than one may".to_owned()
        }
        Step::Decided(reason) => format!("{}: {}", reason.name(), reason.meaning()),
    }
}

/// An address and a port as people write them.
#[must_use]
pub fn end(address: Address, port: u16) -> String {
    SocketAddr::new(address.ip(), port).to_string()
}

fn flow(found: Option<&Flow>, now: u64) -> String {
    match found {
        None => "not opened by our side".to_owned(),
        Some(flow) if !flow.is_live(now) => format!(
            "lapsed {} s ago",
            Duration::from_nanos(now.saturating_sub(flow.deadline)).as_secs()
        ),
        Some(flow) => format!(
            "{}, lapses in {} s",
            State::from_number(flow.state).map_or("unknown", State::name),
            Duration::from_nanos(flow.deadline.saturating_sub(now)).as_secs()
        ),
    }
}

/// TCP's flags by name.
#[must_use]
pub fn tcp_flags(flags: u8) -> String {
    let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
    let set: Vec<&str> = names
        .iter()
        .enumerate()
        .filter(|(bit, _)| flags >> bit & 1 == 1)
        .map(|(_, name)| *name)
        .collect();
    if set.is_empty() {
        "none".to_owned()
    } else {
        set.join(" ")
    }
}

/// The protocol of a packet an operator asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// A connection attempt: a TCP segment with SYN set
    Tcp,
    Udp,
    /// An echo request, ICMP or ICMPv6 by the address
    Icmp,
}

/// A packet an operator asks about.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: Protocol,
    pub source_port: u16,
    pub destination_port: u16,
    /// Whether it answers: a TCP segment with ACK instead of SYN, an echo reply instead of a request.
    pub is_reply: bool,
}

/// Why there is no such packet.
#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    #[error(
        "{source_ip} and {destination} are not of one family; give --dst an address of the source's"
    )]
    Families {
        source_ip: IpAddr,
        destination: IpAddr,
    },
    #[error("building the packet: {0}")]
    Build(#[from] etherparse::err::packet::BuildWriteError),
}

impl Question {
    /// The packet of ours that this one would answer.
    #[must_use]
    pub const fn reversed(&self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            protocol: self.protocol,
            source_port: self.destination_port,
            destination_port: self.source_port,
            is_reply: false,
        }
    }

    /// The frame in question.
    pub fn frame(&self) -> Result<Vec<u8>, QuestionError> {
        /// What a host sends with unless told otherwise.
        const HOP_LIMIT: u8 = 64;
        const WINDOW: u16 = 64_240;

        let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let network = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                ethernet.ipv4(source.octets(), destination.octets(), HOP_LIMIT)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                ethernet.ipv6(source.octets(), destination.octets(), HOP_LIMIT)
            }
            (source_ip, destination) => {
                return Err(QuestionError::Families {
                    source_ip,
                    destination,
                });
            }
        };
        let mut frame = Vec::new();
        match (self.protocol, self.source) {
            (Protocol::Tcp, _) => {
                let tcp = network.tcp(self.source_port, self.destination_port, 0, WINDOW);
                if self.is_reply {
                    tcp.ack(1).write(&mut frame, &[])
                } else {
                    tcp.syn().write(&mut frame, &[])
                }
            }
            (Protocol::Udp, _) => network
                .udp(self.source_port, self.destination_port)
                .write(&mut frame, &[]),
            (Protocol::Icmp, IpAddr::V4(_)) if self.is_reply => {
                network.icmpv4_echo_reply(1, 1).write(&mut frame, &[])
            }
            (Protocol::Icmp, IpAddr::V6(_)) if self.is_reply => {
                network.icmpv6_echo_reply(1, 1).write(&mut frame, &[])
            }
            (Protocol::Icmp, IpAddr::V4(_)) => {
                network.icmpv4_echo_request(1, 1).write(&mut frame, &[])
            }
            (Protocol::Icmp, IpAddr::V6(_)) => {
                network.icmpv6_echo_request(1, 1).write(&mut frame, &[])
            }
        }?;
        Ok(frame)
    }
}
