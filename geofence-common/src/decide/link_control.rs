//! Link control: packets that keep the link alive, if their headers prove that they were sent on this link.
//!
//! This comes before the country, for every packet, so it reads the two or four bytes it needs and no whole `L4`.

use crate::country::Country;
use crate::decide::tables::Tables;
use crate::flow::rate_limit::{RateLimit, RateLimitKey};
use crate::frame::{Bytes, Frame, Link};
use crate::image::class::Class;
use crate::packet::{Fragment, Packet};
use crate::wire::protocol;

/// Whether the packet, from a source of this class, keeps the link alive.
///
/// A filter that blocks every country must not cost the host its address, its routers or its neighbours. These prove
/// that a packet was not forwarded: a hop limit of 255 (RFC 4861 section 7.1), a link-local source, or a hop limit of
/// one. DHCP proves less, so what comes from public space is rate limited as well.
#[inline(always)]
pub(crate) fn is_link_control<F: Frame, T: Tables>(
    frame: &F,
    packet: &Packet,
    class: Class,
    tables: &T,
) -> bool {
    if packet.source.is_v6() {
        is_link_control_v6(frame, packet)
    } else {
        is_link_control_v4(frame, packet, class, tables)
    }
}

#[inline(always)]
fn is_link_control_v4<F: Frame, T: Tables>(
    frame: &F,
    packet: &Packet,
    class: Class,
    tables: &T,
) -> bool {
    const HEADER: usize = 20;
    /// Copied, control, number 20, of four bytes, "routers shall examine" (RFC 2113).
    const ROUTER_ALERT: [u8; 4] = [0x94, 4, 0, 0];

    let options = packet.payload - packet.network - HEADER;
    let [to, _] = packet.destination.words();
    let is_multicast = to >> 60 == 0xe;
    match packet.protocol {
        protocol::UDP => {
            options == 0
                && packet.fragment == Fragment::Whole
                && ports(frame, packet, packet.payload) == DHCP
                && !is_multicast
                && (class.country() == Country::SPECIAL
                    || is_for_this_station(frame, packet) && is_within_dhcp_limit(tables))
        }
        // Membership reports carry the option (RFC 3376 section 4).
        protocol::IGMP => {
            is_multicast
                && packet.hop_limit == 1
                && (options == 0
                    || options == 4
                        && frame
                            .bytes(packet.network + HEADER)
                            .is_some_and(|option| option == Bytes(ROUTER_ALERT)))
        }
        protocol::OSPF => options == 0 && is_multicast && packet.hop_limit == 1,
        // RFC 9568 section 5.1.1.3: a router discards VRRP with any other TTL.
        protocol::VRRP => options == 0 && packet.hop_limit == 255,
        _ => false,
    }
}

/// Whether a DHCP answer is for the station that the frame is for: by broadcast, which no router forwards, or about the
/// address that it is sent to, at the hardware address that it is sent to (RFC 2131 section 4.1). An address that is
/// being leased is not the host's yet, so a table of its addresses would not help.
#[inline(always)]
fn is_for_this_station<F: Frame>(frame: &F, packet: &Packet) -> bool {
    /// Behind the header of UDP: an answer, about Ethernet addresses of six bytes.
    const MESSAGE: usize = 8;
    const ANSWER: Bytes<4> = Bytes([2, 1, 6, 0]);

    let [to, _] = packet.destination.words();
    let to = to >> 32;
    if to == 0xffff_ffff {
        return true;
    }
    let at = packet.payload + MESSAGE;
    if matches!(F::LINK, Link::Ip)
        || at + 34 > packet.end
        || frame
            .bytes(at)
            .is_none_or(|start: Bytes<4>| start != ANSWER)
    {
        return false;
    }
    // `ciaddr` and `yiaddr`; the addresses behind them are for servers and relays.
    let (Some(client), Some(yours)) = (frame.bytes::<4>(at + 12), frame.bytes::<4>(at + 16)) else {
        return false;
    };
    let number = |bytes: Bytes<4>| u64::from(u32::from_be_bytes(bytes.0));
    let about = match number(yours) {
        0 => number(client),
        yours => yours,
    };
    // Four bytes from the first and four from the third, because a comparison of six would be a call.
    let station = [0, 2].map(|offset| frame.bytes::<4>(offset).map(number));
    let hardware = [28, 30].map(|offset| frame.bytes::<4>(at + offset).map(number));
    about == to && station[0].is_some() && station == hardware
}

/// Takes one packet from the limit of DHCP answers from public space.
#[inline(always)]
fn is_within_dhcp_limit<T: Tables>(tables: &T) -> bool {
    let now = tables.now();
    tables.try_acquire(&RateLimitKey::DHCP, |full_at| {
        RateLimit::DHCP.try_acquire(full_at, now)
    })
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
        protocol::UDP => on_link && ports(frame, packet, packet.payload) == DHCPV6,
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

/// From the server's port to the client's.
const DHCP: u32 = 67 << 16 | 68;
const DHCPV6: u32 = 547 << 16 | 546;

/// The ports of a datagram that starts at this offset, the source's in the upper half; 0 if it has none.
#[inline(always)]
fn ports<F: Frame>(frame: &F, packet: &Packet, at: usize) -> u32 {
    if at + 8 > packet.end {
        return 0;
    }
    match frame.bytes(at) {
        Some(Bytes(ports)) => u32::from_be_bytes(ports),
        None => 0,
    }
}
