//! The IPv4 header (RFC 791).
//!
//! ```text
//!  0   1   2       4     6                8   9        10  12      16      20
//! +---+---+-------+-----+----------------+---+--------+---+-------+-------+-- - - -
//! |v i|tos| total | id  |flags offset    |ttl|protocol|sum| from  | to    | options
//! +---+---+-------+-----+----------------+---+--------+---+-------+-------+-- - - -
//! ```

use crate::address::Address;
use crate::frame::Frame;
use crate::packet::{Fragment, Packet};
use crate::verdict::Reason;

const HEADER_MIN: usize = 20;
/// A total length of zero means "as long as the frame" only where the frame is longer than the field can say
/// (kernel's IPv4 BIG TCP, seen in generic mode).
const LENGTH_FIELD_MAX: usize = 0xffff;

/// Reads the header at this offset; checks what must hold for its addresses to be believed.
#[inline(always)]
pub fn read<F: Frame>(frame: &F, at: usize) -> Result<Packet, Reason> {
    let header: [u8; HEADER_MIN] = frame.bytes(at).ok_or(Reason::MalformedIpv4)?;
    let [
        version,
        _,
        total_high,
        total_low,
        _,
        _,
        fragment_high,
        fragment_low,
        hop_limit,
        protocol,
        _,
        _,
        s0,
        s1,
        s2,
        s3,
        d0,
        d1,
        d2,
        d3,
    ] = header;
    let header_length = usize::from(version & 0x0f) << 2;
    if version >> 4 != 4 || header_length < HEADER_MIN {
        return Err(Reason::MalformedIpv4);
    }
    let room = frame.length() - at;
    let mut total = usize::from(u16::from_be_bytes([total_high, total_low]));
    if total == 0 && room > LENGTH_FIELD_MAX {
        total = room;
    }
    if total < header_length || total > room {
        return Err(Reason::MalformedIpv4);
    }
    let fragment = u16::from_be_bytes([fragment_high, fragment_low]);
    Ok(Packet {
        source: Address::V4([s0, s1, s2, s3]),
        destination: Address::V4([d0, d1, d2, d3]),
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

/// Whether the header carries an option that routes or records the route, or options that cannot be read.
///
/// Such a packet is never proven to be a service's: RFC 7126 (sections 4.3 to 4.5) has them dropped.
#[inline(always)]
pub fn has_route_option<F: Frame>(frame: &F, packet: &Packet) -> bool {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const RECORD_ROUTE: u8 = 7;
    const LOOSE_SOURCE_ROUTE: u8 = 131;
    const STRICT_SOURCE_ROUTE: u8 = 137;
    /// Forty bytes of options hold at most this many.
    const OPTIONS_MAX: usize = 40;

    let mut at = packet.network + HEADER_MIN;
    for _ in 0..OPTIONS_MAX {
        if at >= packet.payload {
            return false;
        }
        // Where no two bytes are left there is no transport header either, which says more than an option would.
        let Some([kind, length]) = frame.bytes_in_loop(at) else {
            return false;
        };
        match kind {
            END => return false,
            NO_OPERATION => at += 1,
            RECORD_ROUTE | LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE => return true,
            _ if length < 2 => return true,
            _ => at += usize::from(length),
        }
    }
    at != packet.payload
}
