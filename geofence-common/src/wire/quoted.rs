//! The packet that an ICMP error quotes (RFC 792, RFC 4443): the start of one that our side sent.
//!
//! An error quotes at least eight bytes of the transport header, which are enough. Our side sends neither IPv4 options
//! nor IPv6 extension headers except a fragment header, so a quotation with others is not of its packets.

use crate::address::Address;
use crate::frame::{Bytes, Frame};
use crate::packet::{Fragment, Quoted, Upper};
use crate::wire::{dns, protocol};

/// Quoted bytes of the transport header.
const TRANSPORT: usize = 8;
const ECHO_REQUEST: u8 = 8;
const ECHO_REQUEST_V6: u8 = 128;

/// Reads an IPv4 packet quoted at this offset, by a packet that ends at `end`.
#[inline(always)]
pub fn read_v4<F: Frame>(frame: &F, at: usize, end: usize) -> Option<Quoted> {
    /// A header without options, and its first byte.
    const HEADER: usize = 20;
    const VERSION_AND_LENGTH: u8 = 0x45;

    if at + HEADER + TRANSPORT > end {
        return None;
    }
    let Bytes::<HEADER>(header) = frame.bytes_in_loop(at)?;
    let ([first, second, third, source, destination], []) = header.as_chunks() else {
        return None;
    };
    let ([version, _, _, _], [_, _, f0, f1], [_, protocol, _, _]) = (*first, *second, *third);
    // In a later fragment the quoted bytes are not ports.
    if version != VERSION_AND_LENGTH || u16::from_be_bytes([f0, f1]) & 0x1fff != 0 {
        return None;
    }
    with_ports(
        frame,
        at + HEADER,
        Address::v4(u32::from_be_bytes(*source)),
        Address::v4(u32::from_be_bytes(*destination)),
        protocol,
        end,
    )
}

/// Reads an IPv6 packet quoted at this offset, by a packet that ends at `end`.
#[inline(always)]
pub fn read_v6<F: Frame>(frame: &F, at: usize, end: usize) -> Option<Quoted> {
    const HEADER: usize = 40;
    const FRAGMENT_HEADER: usize = 8;

    let Bytes([version, _, _, _, _, _, next, _]) = frame.bytes_in_loop(at)?;
    if version >> 4 != 6 {
        return None;
    }
    let Bytes(source) = frame.bytes_in_loop(at + 8)?;
    let Bytes(destination) = frame.bytes_in_loop(at + 24)?;
    let (mut protocol, mut transport) = (next, at + HEADER);
    if protocol == protocol::FRAGMENT {
        let Bytes([next, _, o0, o1]) = frame.bytes_in_loop(transport)?;
        if u16::from_be_bytes([o0, o1]) & !7 != 0 {
            return None;
        }
        (protocol, transport) = (next, transport + FRAGMENT_HEADER);
    }
    if transport + TRANSPORT > end {
        return None;
    }
    with_ports(
        frame,
        transport,
        Address::v6(u128::from_be_bytes(source)),
        Address::v6(u128::from_be_bytes(destination)),
        protocol,
        end,
    )
}

#[inline(always)]
fn with_ports<F: Frame>(
    frame: &F,
    at: usize,
    source: Address,
    destination: Address,
    protocol: u8,
    end: usize,
) -> Option<Quoted> {
    let Bytes([a, b, c, d, i0, i1]) = frame.bytes_in_loop(at)?;
    let (source_port, destination_port) = match (protocol, a) {
        (protocol::TCP | protocol::UDP, _) => {
            (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
        }
        (protocol::ICMP, ECHO_REQUEST) | (protocol::ICMPV6, ECHO_REQUEST_V6) => {
            (u16::from_be_bytes([i0, i1]), 0)
        }
        _ => return None,
    };
    // Of a quoted query with no more than eight bytes, nothing shows which one it was.
    let identifier = if protocol == protocol::UDP && destination_port == dns::PORT {
        let upper = Upper {
            protocol,
            at,
            fragment: Fragment::Whole,
            identification: 0,
            datagram_protocol: protocol,
            boundary: 0,
        };
        dns::read(frame, &upper, end)?.identifier
    } else {
        0
    };
    Some(Quoted {
        source,
        destination,
        protocol,
        source_port,
        destination_port,
        identifier,
    })
}
