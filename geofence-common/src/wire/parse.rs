//! From a frame to a `Packet`, and from a packet to its `L4`.
//!
//! A verdict by country needs the network header only, so that is all `parse` reads. The headers behind it are read
//! when something depends on them; a packet whose L4 cannot be read is not exempt.

use crate::action::Reason;
use crate::explain::{Observer, Step};
use crate::frame::{Bytes, Frame, Link};
use crate::l4::{Kind, L4, PROTOCOL_KNOWN, dns_bits, quoted_word, words};
use crate::opaque::Opaque as _;
use crate::packet::{FiveTuple, Fragment, Packet, Quoted, Transport, Upper};
use crate::wire::{dns, ethernet, ipv4, ipv6, protocol, quoted, transport};

/// Reads a frame up to its network header. An error is the reason of the verdict.
#[inline(always)]
pub fn parse<F: Frame, O: Observer>(frame: &F, observer: &mut O) -> Result<Packet, Reason> {
    let (ether_type, at) = match F::LINK {
        Link::Ethernet => {
            let ethernet = ethernet::read(frame)?;
            observer.step(Step::Ethernet {
                tags: ethernet.tags,
                ether_type: ethernet.ether_type,
            });
            (ethernet.ether_type, ethernet.payload)
        }
        Link::Ip => {
            // Opaque, because the compiler would shift the pointer to the start of the packet, which the verifier
            // refuses.
            let start = 0_usize.opaque(frame) & ethernet::OFFSET_MASK;
            (ip_version(frame, start)?, start)
        }
    };
    let packet = match ether_type {
        ethernet::IPV4 => ipv4::read(frame, at)?,
        ethernet::IPV6 => ipv6::read(frame, at)?,
        other => return Err(ethernet::unjudged(other)),
    };
    observer.step(Step::Network {
        source: packet.source,
        destination: packet.destination,
        protocol: packet.protocol,
    });
    Ok(packet)
}

/// The EtherType of the IP version that a frame without an Ethernet header starts with.
#[inline(always)]
fn ip_version<F: Frame>(frame: &F, at: usize) -> Result<u16, Reason> {
    let Bytes([version, _]) = frame.bytes(at).ok_or(Reason::NonIp)?;
    match version >> 4 {
        4 => Ok(ethernet::IPV4),
        6 => Ok(ethernet::IPV6),
        _ => Err(Reason::NonIp),
    }
}

/// Finds the upper-layer header. An error is the reason why the packet is not exempt.
#[inline(always)]
pub(crate) fn find_upper<F: Frame, O: Observer>(
    frame: &F,
    packet: &Packet,
    observer: &mut O,
) -> Result<Upper, Reason> {
    if packet.source.is_v6() {
        ipv6::walk(frame, packet, observer)
    } else if ipv4::has_route_option(frame, packet) {
        Err(Reason::SourceRoute)
    } else {
        ipv4::upper(frame, packet)
    }
}

/// Reads the headers behind the network header, but not the packet that an ICMP error quotes.
#[inline(always)]
pub(crate) fn read_l4<F: Frame, O: Observer>(frame: &F, packet: &Packet, observer: &mut O) -> L4 {
    let l4 = find_l4(frame, packet, observer).opaque(frame);
    if let Some(transport) = l4.transport() {
        observer.step(Step::Transport(transport));
    }
    l4
}

/// Adds the packet that an ICMP error quotes, if our side sent it.
#[inline(always)]
pub(crate) fn read_quoted<F: Frame, O: Observer>(
    frame: &F,
    packet: &Packet,
    l4: L4,
    observer: &mut O,
) -> L4 {
    if !l4.is_icmp_error() {
        return l4;
    }
    let Some(quoted) = quoted_packet(frame, packet, &l4.upper()) else {
        return l4;
    };
    observer.step(Step::Quoted(quoted));
    if quoted.source != packet.destination {
        return l4;
    }
    L4 {
        quoted: quoted_word(&quoted),
        quoted_to: quoted.destination.words(),
        ..l4
    }
}

#[inline(always)]
fn find_l4<F: Frame, O: Observer>(frame: &F, packet: &Packet, observer: &mut O) -> L4 {
    // If the walk over extension headers fails, the protocol is unknown.
    let unreadable = |reason, protocol: Option<u8>| {
        let known = match protocol {
            Some(protocol) => u64::from(protocol) << 8 | PROTOCOL_KNOWN,
            None => 0,
        };
        L4::of([Kind::Unreadable as u64 | known, 0, reason as u64])
    };
    let upper = match find_upper(frame, packet, observer) {
        Err(reason) => {
            let protocol = (!packet.source.is_v6()).then_some(packet.protocol);
            return unreadable(reason, protocol);
        }
        Ok(upper) => upper,
    };
    L4::of(if upper.fragment == Fragment::Later {
        words(Kind::Later, &upper, [0, 0], [0, 0])
    } else {
        match transport::read(frame, &upper, packet.end) {
            Err(reason) => return unreadable(reason, Some(upper.protocol)),
            Ok(Transport::Tcp {
                source,
                destination,
                flags,
            }) => words(Kind::Tcp, &upper, [source, destination], [flags, 0]),
            Ok(Transport::Udp {
                source,
                destination,
            }) => {
                let mut words = words(Kind::Udp, &upper, [source, destination], [0, 0]);
                if source == dns::PORT
                    && let Some(dns) = dns::read(frame, &upper, packet.end)
                {
                    words[2] |= dns_bits(dns);
                }
                words
            }
            Ok(Transport::Icmp {
                kind,
                code,
                identifier,
            }) => words(Kind::Icmp, &upper, [identifier, 0], [kind, code]),
            Ok(Transport::Icmpv6 {
                kind,
                code,
                identifier,
            }) => words(Kind::Icmpv6, &upper, [identifier, 0], [kind, code]),
            Ok(Transport::Other { .. }) => words(Kind::Other, &upper, [0, 0], [0, 0]),
        }
    })
}

/// The packet that an ICMP error quotes. An error is accepted unfragmented and without options only.
#[inline(always)]
fn quoted_packet<F: Frame>(frame: &F, packet: &Packet, upper: &Upper) -> Option<Quoted> {
    const ICMP_HEADER: usize = 8;
    const IPV4_HEADER: usize = 20;
    const IPV6_HEADER: usize = 40;

    let headers = if packet.source.is_v6() {
        IPV6_HEADER
    } else {
        IPV4_HEADER
    };
    if upper.fragment != Fragment::Whole || upper.at != packet.network + headers {
        return None;
    }
    // At the offset that these checks imply, rather than where the walk ended: the verifier need not distinguish walks.
    let at = packet.network + headers + ICMP_HEADER;
    if packet.source.is_v6() {
        quoted::read_v6(frame, at, packet.end)
    } else {
        quoted::read_v4(frame, at, packet.end)
    }
}

/// Reads the five-tuple of a frame, for an event.
///
/// The frame is parsed again, because a packet carried from the decision past the counters multiplies the verifier's
/// states (580,000 instructions instead of 326,000). Packets on no list do not come here.
#[inline(always)]
pub fn read_five_tuple<F: Frame>(frame: &F) -> Option<FiveTuple> {
    let packet = parse(frame, &mut ()).ok()?.opaque(frame);
    let upper = if packet.source.is_v6() {
        ipv6::walk(frame, &packet, &mut ()).unwrap_or(next(&packet))
    } else {
        next(&packet)
    };
    let upper = upper.opaque(frame);
    let (ports, flags) = ports_at(frame, &upper, packet.end);
    Some(FiveTuple {
        source: packet.source,
        destination: packet.destination,
        ports,
        protocol: upper.protocol,
        flags,
    })
}

/// The ports and TCP flags directly behind the network header.
#[inline(always)]
pub(crate) fn ports<F: Frame>(frame: &F, packet: &Packet) -> ([u16; 2], u8) {
    ports_at(frame, &next(packet), packet.end)
}

/// The header directly behind the network header, as if it were the upper layer.
#[inline(always)]
const fn next(packet: &Packet) -> Upper {
    Upper {
        protocol: packet.protocol,
        at: packet.payload,
        fragment: packet.fragment,
        identification: 0,
        datagram_protocol: packet.protocol,
        boundary: 0,
    }
}

/// The ports and TCP flags, if the protocol has ports.
#[inline(always)]
fn ports_at<F: Frame>(frame: &F, upper: &Upper, end: usize) -> ([u16; 2], u8) {
    const NONE: ([u16; 2], u8) = ([0; 2], 0);
    if upper.fragment == Fragment::Later || !matches!(upper.protocol, protocol::TCP | protocol::UDP)
    {
        return NONE;
    }
    match transport::read(frame, upper, end) {
        Ok(Transport::Tcp {
            source,
            destination,
            flags,
        }) => ([source, destination], flags),
        Ok(Transport::Udp {
            source,
            destination,
        }) => ([source, destination], 0),
        Ok(Transport::Icmp { .. } | Transport::Icmpv6 { .. } | Transport::Other { .. })
        | Err(_) => NONE,
    }
}

#[cfg(test)]
mod tests;
