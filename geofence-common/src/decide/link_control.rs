//! Link control: packets that keep the link alive, if their headers prove that they were sent on this link.
//!
//! This comes before the country, for every packet, so it reads the two or four bytes it needs and no whole `L4`.

use crate::frame::{Bytes, Frame};
use crate::packet::{Fragment, Packet};
use crate::wire::protocol;

/// Whether the packet keeps the link alive.
///
/// A filter that blocks every country must not cost the host its address, its routers or its neighbours. These prove
/// that a packet was not forwarded: a hop limit of 255 (RFC 4861 section 7.1), a link-local source, a hop limit of one,
/// or the ports of a DHCP answer.
#[inline(always)]
pub(crate) fn is_link_control<F: Frame>(frame: &F, packet: &Packet) -> bool {
    if packet.source.is_v6() {
        is_link_control_v6(frame, packet)
    } else {
        is_link_control_v4(frame, packet)
    }
}

#[inline(always)]
fn is_link_control_v4<F: Frame>(frame: &F, packet: &Packet) -> bool {
    match packet.protocol {
        protocol::UDP => {
            packet.fragment != Fragment::Later
                && ports(frame, packet, packet.payload) == Some((67, 68))
        }
        protocol::IGMP | protocol::OSPF => {
            let [to, _] = packet.destination.words();
            to >> 60 == 0xe && packet.hop_limit == 1
        }
        // RFC 9568 section 5.1.1.3: a router discards VRRP with any other TTL.
        protocol::VRRP => packet.hop_limit == 255,
        _ => false,
    }
}

#[inline(always)]
fn is_link_control_v6<F: Frame>(frame: &F, packet: &Packet) -> bool {
    let on_link = packet.source.is_on_link_v6();
    if !on_link && packet.hop_limit != 255 {
        return false;
    }
    match packet.protocol {
        protocol::ICMPV6 => is_link_control_icmpv6(frame, packet, packet.payload, on_link),
        // Multicast listener discovery comes with a router alert option in front (RFC 3810 section 5).
        protocol::HOP_BY_HOP => {
            frame.bytes(packet.payload) == Some(Bytes([protocol::ICMPV6, 0]))
                && is_link_control_icmpv6(frame, packet, packet.payload + 8, on_link)
        }
        protocol::UDP => on_link && ports(frame, packet, packet.payload) == Some((547, 546)),
        protocol::OSPF => on_link,
        protocol::VRRP => packet.hop_limit == 255,
        _ => false,
    }
}

/// Whether the ICMPv6 message at this offset belongs to neighbour discovery or listener discovery. Such messages are
/// never fragmented (RFC 6980), so fragment headers are not walked.
#[inline(always)]
fn is_link_control_icmpv6<F: Frame>(frame: &F, packet: &Packet, at: usize, on_link: bool) -> bool {
    if at + 8 > packet.end {
        return false;
    }
    let Some(Bytes([kind, _])) = frame.bytes(at) else {
        return false;
    };
    match kind {
        // Router solicitations and neighbour discovery may come from any address on the link.
        133 | 135 | 136 => packet.hop_limit == 255,
        // Router advertisements and redirects come from a link-local address (RFC 4861 sections 6.1.2 and 8.1).
        134 | 137 => packet.hop_limit == 255 && on_link,
        // Multicast listener discovery has a hop limit of one.
        130..=132 | 143 => packet.hop_limit == 1 && on_link,
        _ => false,
    }
}

/// The ports of a datagram that starts at this offset.
#[inline(always)]
fn ports<F: Frame>(frame: &F, packet: &Packet, at: usize) -> Option<(u16, u16)> {
    if at + 8 > packet.end {
        return None;
    }
    let Bytes([s0, s1, d0, d1]) = frame.bytes(at)?;
    Some((u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])))
}
