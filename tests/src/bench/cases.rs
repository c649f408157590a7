//! The cases of the whole program: what kind of packet, and in what clothes.
//!
//! Each case is a frame to put source addresses into, where they go, which sources it is about, and the reason that
//! every one of these packets must end in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use geofence_common::action::Reason;
use geofence_common::address::Address;
use geofence_common::flow::{Flow, FlowKey, State, Table, lifetime};
use geofence_common::wire::protocol;
use geofence_tests::frames::{Frame, between};
use geofence_user::explain::simulated_tables::PacketHistory;
use nix::time::{ClockId, clock_gettime};

use crate::rig::FRAME_MIN;
use crate::sets::Family;

const EDGE_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const EDGE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const PEER_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const PEER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

/// An ordinary client's port, a port that the default policy does not exempt, and one that it does.
const CLIENT: u16 = 40_000;
pub(crate) const CLOSED: u16 = 22;
const MAIL: u16 = 25;

/// Which sources a case is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sources {
    Open,
    Blocked,
    /// Blocked ones, each of which a host of ours has a mail connection to.
    Flows,
}

impl Sources {
    pub(crate) const ALL: [Self; 3] = [Self::Open, Self::Blocked, Self::Flows];
}

/// What happens to the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    PassUnblocked,
    DropTcp,
    DropUdp,
    PassService,
    PassFlow,
    /// From the sources of those answers, without a flow: what an answer's flow is measured against.
    DropAlike,
    Malformed,
}

impl Fate {
    pub(crate) const ALL: [Self; 7] = [
        Self::PassUnblocked,
        Self::DropTcp,
        Self::DropUdp,
        Self::PassService,
        Self::PassFlow,
        Self::DropAlike,
        Self::Malformed,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::PassUnblocked => "pass, country not blocked",
            Self::DropTcp => "drop by country, TCP",
            Self::DropUdp => "drop by country, UDP",
            Self::PassService => "pass by service (mail)",
            Self::PassFlow => "pass by flow (answer to mail)",
            Self::DropAlike => "drop by country, TCP, sources of these answers",
            Self::Malformed => "drop, malformed header",
        }
    }

    pub(crate) const fn sources(self) -> Sources {
        match self {
            Self::PassUnblocked => Sources::Open,
            Self::PassFlow | Self::DropAlike => Sources::Flows,
            Self::DropTcp | Self::DropUdp | Self::PassService | Self::Malformed => Sources::Blocked,
        }
    }

    const fn reason(self, family: Family) -> Reason {
        match (self, family) {
            (Self::PassUnblocked, _) => Reason::CountryAllowed,
            (Self::DropTcp | Self::DropAlike | Self::DropUdp, _) => Reason::CountryBlocked,
            (Self::PassService, _) => Reason::Mail,
            (Self::PassFlow, _) => Reason::Reply,
            (Self::Malformed, Family::V4) => Reason::MalformedIpv4,
            (Self::Malformed, Family::V6) => Reason::MalformedIpv6,
        }
    }
}

/// What stands around the packet's headers or between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clothes {
    Plain,
    OneTag,
    TwoTags,
    /// IPv6 only: destination options and a fragment header that says "whole".
    Extensions,
}

impl Clothes {
    pub(crate) const ALL: [Self; 4] = [Self::Plain, Self::OneTag, Self::TwoTags, Self::Extensions];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::OneTag => "one VLAN tag",
            Self::TwoTags => "two VLAN tags",
            Self::Extensions => "two extension headers",
        }
    }

    const fn tags(self) -> usize {
        match self {
            Self::Plain | Self::Extensions => 0,
            Self::OneTag => 1,
            Self::TwoTags => 2,
        }
    }
}

/// A case to measure.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) family: Family,
    pub(crate) fate: Fate,
    pub(crate) clothes: Clothes,
    pub(crate) frame: Vec<u8>,
    /// Where in the frame the source address stands.
    pub(crate) source: usize,
    pub(crate) reason: Reason,
}

/// Our end of every frame here.
fn own(is_v6: bool) -> IpAddr {
    if is_v6 {
        EDGE_V6.into()
    } else {
        EDGE_V4.into()
    }
}

/// What opens connections of our end to mail servers at these addresses, as it leaves.
pub(crate) fn openings(servers: &[Address]) -> impl Iterator<Item = Vec<u8>> {
    servers.iter().flat_map(|server| {
        let frame = between(own(server.is_v6()), server.ip()).tcp(CLIENT, MAIL);
        [frame.clone().syn().build(), frame.ack().build()]
    })
}

/// The connections that those open, and which make answers from there pass.
pub(crate) fn flows(sources: &[Address]) -> Result<PacketHistory> {
    let clock = clock_gettime(ClockId::CLOCK_BOOTTIME).context("reading the clock since boot")?;
    let now = u64::try_from(Duration::from(clock).as_nanos())?;
    let flow = Flow::new(State::Established, lifetime::ESTABLISHED, now);
    let flows = sources.iter().map(|source| {
        let own = Address::from(own(source.is_v6()));
        let key = FlowKey::new(&own, source, protocol::TCP, CLIENT, MAIL);
        ((Table::Mail, key), flow)
    });
    Ok(PacketHistory {
        now,
        flows: flows.collect(),
        ..PacketHistory::default()
    })
}

/// Every case there is.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for family in Family::BOTH {
        for fate in Fate::ALL {
            for clothes in Clothes::ALL {
                if family == Family::V6 || clothes != Clothes::Extensions {
                    cases.push(case(family, fate, clothes));
                }
            }
        }
    }
    cases
}

/// The ordinary packet that is dropped for its country: the smallest UDP datagram.
pub(crate) fn blocked_datagram(family: Family) -> Case {
    plain(family, Fate::DropUdp)
}

/// The ordinary packet of a fate.
pub(crate) fn plain(family: Family, fate: Fate) -> Case {
    case(family, fate, Clothes::Plain)
}

fn case(family: Family, fate: Fate, clothes: Clothes) -> Case {
    let (from, to): (IpAddr, IpAddr) = match family {
        Family::V4 => (PEER_V4.into(), EDGE_V4.into()),
        Family::V6 => (PEER_V6.into(), EDGE_V6.into()),
    };
    let mut frame = match clothes {
        Clothes::Plain | Clothes::Extensions => between(from, to),
        Clothes::OneTag => Frame::ethernet().vlan(0x8100, 5).ip(from, to),
        Clothes::TwoTags => Frame::ethernet()
            .vlan(0x88a8, 7)
            .vlan(0x8100, 5)
            .ip(from, to),
    };
    if fate == Fate::Malformed {
        // Longer than the frame is: the header is malformed.
        frame = match family {
            Family::V4 => frame.total_length(1400),
            Family::V6 => frame.payload_length(1400),
        };
    }
    if clothes == Clothes::Extensions {
        frame = frame.destination_options(&[]).fragment(0, false, 1);
    }
    let frame = match fate {
        Fate::DropUdp => frame.udp(CLIENT, CLOSED),
        Fate::PassService => frame.tcp(CLIENT, MAIL).syn(),
        Fate::PassFlow => frame.tcp(MAIL, CLIENT).ack(),
        Fate::PassUnblocked | Fate::DropTcp | Fate::DropAlike | Fate::Malformed => {
            frame.tcp(CLIENT, CLOSED).syn()
        }
    };
    let mut frame = frame.build();
    frame.resize(frame.len().max(FRAME_MIN), 0);
    let network = 14 + 4 * clothes.tags();
    let source = network + if family == Family::V4 { 12 } else { 8 };
    Case {
        family,
        fate,
        clothes,
        frame,
        source,
        reason: fate.reason(family),
    }
}
