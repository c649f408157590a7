//! The steps of a decision in words.

use std::net::SocketAddr;
use std::time::Duration;

use geofence_common::action::Direction;
use geofence_common::address::{Address, Embedding};
use geofence_common::country::Country;
use geofence_common::explain::Step;
use geofence_common::flow::{Flow, State};
use geofence_common::packet::Transport;

use super::names::Names;
use crate::model::countries;

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
            let is_special = class.country() == Country::SPECIAL;
            for (is_so, fact) in [
                (!is_special && class.is_blocked(), "blocked"),
                (!is_special && !class.is_blocked(), "not blocked"),
                (class.is_management(), "on the management list"),
                (class.is_allowed(), "on the allow list"),
                (class.is_denied(), "denied"),
                (class.is_listed(Direction::In), "on an inbound list"),
                (class.is_listed(Direction::Out), "on an outbound list"),
            ] {
                facts.extend(is_so.then(|| fact.to_owned()));
            }
            format!("{}: {}", address.ip(), facts.join(", "))
        }
        Step::Embedded { how, inner } => {
            let how = match how {
                Embedding::SixToFour => "6to4",
                Embedding::Teredo => "Teredo",
                Embedding::Nat64 => "NAT64",
            };
            format!("{how}: decided by the embedded address {}", inner.ip())
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
            endpoint(key.local(), key.local_port),
            endpoint(key.remote(), key.remote_port),
            flow(found.as_ref(), *now)
        ),
        Step::Datagram { is_known: true } => {
            "the first fragment of this datagram passed before".to_owned()
        }
        Step::Datagram { is_known: false } => {
            "no first fragment of this datagram passed before".to_owned()
        }
        Step::DestinationPolicy { address, tenant: 0 } => {
            format!("{} belongs to no tenant", address.ip())
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
                format!("{exception} matches this packet")
            } else {
                format!("{exception} would match this packet, and has expired")
            }
        }
        Step::Protected {
            tenant,
            transport: Some(transport),
            port: Some(port),
        } => format!(
            "the port is protected{}, and the source may not reach it",
            names.protections(*tenant, *transport, *port)
        ),
        Step::Protected { .. } => {
            "some ports are protected, and the packet hides its port".to_owned()
        }
        Step::RateLimit { is_within: true } => {
            "the source is within the rate limit of exempted services".to_owned()
        }
        Step::RateLimit { is_within: false } => {
            "the source exceeds the rate limit of exempted services".to_owned()
        }
        Step::Decided(reason) => format!("{}: {}", reason.name(), reason.meaning()),
    }
}

/// An address and a port: `192.0.2.1:443`.
#[must_use]
pub fn endpoint(address: Address, port: u16) -> String {
    SocketAddr::new(address.ip(), port).to_string()
}

fn flow(found: Option<&Flow>, now: u64) -> String {
    match found {
        None => "not opened by this side".to_owned(),
        Some(flow) if !flow.is_live(now) => format!(
            "expired {} s ago",
            Duration::from_nanos(now.saturating_sub(flow.deadline)).as_secs()
        ),
        Some(flow) => format!(
            "{}, expires in {} s",
            State::from_number(flow.state).map_or("unknown", State::name),
            Duration::from_nanos(flow.deadline.saturating_sub(now)).as_secs()
        ),
    }
}

/// The names of TCP flags.
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
