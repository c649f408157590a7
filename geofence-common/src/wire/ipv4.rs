//! The IPv4 header (RFC 791).
//!
//! ```text
//!  0   1   2       4     6                8   9        10  12      16      20
//! +---+---+-------+-----+----------------+---+--------+---+-------+-------+-- - - -
//! |v i|tos| total | id  |flags offset    |ttl|protocol|sum| from  | to    | options
//! +---+---+-------+-----+----------------+---+--------+---+-------+-------+-- - - -
//! ```

use crate::action::Reason;
use crate::address::Address;
use crate::frame::{Bytes, Frame};
use crate::opaque::Opaque as _;
use crate::packet::{Fragment, Packet, Upper};

const HEADER_MIN: usize = 20;
/// A total length of zero means "as long as the frame" only if the frame is longer than the field can say (the kernel's
/// IPv4 BIG TCP, seen in generic mode).
const LENGTH_FIELD_MAX: usize = 0xffff;

/// Reads the header at this offset and checks that its addresses can be trusted.
#[inline(always)]
pub fn read<F: Frame>(frame: &F, at: usize) -> Result<Packet, Reason> {
    let Bytes::<HEADER_MIN>(header) = frame.bytes(at).ok_or(Reason::MalformedIpv4)?;
    let ([first, second, third, source, destination], []) = header.as_chunks() else {
        return Err(Reason::MalformedIpv4);
    };
    let ([version, _, total_high, total_low], [_, _, fragment_high, fragment_low]) =
        (*first, *second);
    let [hop_limit, protocol, _, _] = *third;
    let header_length = usize::from(version & 0x0f) << 2;
    if version >> 4 != 4 || header_length < HEADER_MIN {
        return Err(Reason::MalformedIpv4);
    }
    let mut total = usize::from(u16::from_be_bytes([total_high, total_low]));
    if total == 0 && frame.length() - at > LENGTH_FIELD_MAX {
        total = frame.length() - at;
    }
    if total < header_length || !frame.reaches(at + total) {
        return Err(Reason::MalformedIpv4);
    }
    let fragment = u16::from_be_bytes([fragment_high, fragment_low]);
    Ok(Packet {
        source: Address::v4(u32::from_be_bytes(*source)),
        destination: Address::v4(u32::from_be_bytes(*destination)),
        protocol,
        hop_limit,
        network: at,
        payload: at + header_length,
        end: at + total,
        fragment: match (fragment & 0x1fff, fragment & 0x2000) {
            (0, 0) => Fragment::Whole,
            (0, _) => Fragment::First,
            _ => Fragment::Later,
        },
    })
}

/// The upper-layer header, which follows the options.
#[inline(always)]
pub fn upper<F: Frame>(frame: &F, packet: &Packet) -> Result<Upper, Reason> {
    let (mut identification, mut boundary) = (0, 0);
    if packet.fragment != Fragment::Whole {
        let Bytes([i0, i1, f0, f1]) = frame
            .bytes_in_loop(packet.network + 4)
            .ok_or(Reason::MalformedIpv4)?;
        identification = u32::from(u16::from_be_bytes([i0, i1]));
        boundary = if packet.fragment == Fragment::First {
            (packet.end - packet.payload) as u32
        } else {
            u32::from(u16::from_be_bytes([f0, f1]) & 0x1fff) << 3
        };
    }
    Ok(Upper {
        protocol: packet.protocol,
        at: packet.payload,
        fragment: packet.fragment,
        identification,
        datagram_protocol: packet.protocol,
        boundary,
    })
}

/// Whether the header has an option that routes or records the route, or options that cannot be read.
///
/// Such a packet is never exempt: RFC 7126 sections 4.3 to 4.5 recommend dropping it.
#[inline(always)]
pub fn has_route_option<F: Frame>(frame: &F, packet: &Packet) -> bool {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const RECORD_ROUTE: u8 = 7;
    const LOOSE_SOURCE_ROUTE: u8 = 131;
    const STRICT_SOURCE_ROUTE: u8 = 137;
    /// A header has at most 60 bytes, and the shortest option has one.
    const OPTIONS_MAX: usize = 60 - HEADER_MIN;

    let mut at = packet.network + HEADER_MIN;
    for _ in 0..OPTIONS_MAX {
        if at >= packet.payload {
            break;
        }
        // Two bytes, of which the second is the type: the frame may end behind the last option.
        let Some(Bytes([_, kind])) = frame.bytes_in_loop(at - 1) else {
            return true;
        };
        let size = match kind {
            END => return false,
            NO_OPERATION => 1,
            RECORD_ROUTE | LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE => return true,
            // The length includes the type and itself.
            _ => match frame.bytes_in_loop(at) {
                Some(Bytes([_, length])) if length >= 2 => length,
                _ => return true,
            },
        };
        // The verifier would follow every offset at which the next option can start.
        at = (at + usize::from(size)).opaque(frame);
    }
    at != packet.payload
}
