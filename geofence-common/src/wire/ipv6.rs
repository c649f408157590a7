//! The IPv6 header and its extension headers (RFC 8200).
//!
//! ```text
//!  0         4        6           7          8           24          40
//! +---------+--------+-----------+----------+-----------+-----------+-- - - -
//! |v class  |length  |next header|hop limit | from      | to        | extension headers
//! +---------+--------+-----------+----------+-----------+-----------+-- - - -
//! ```

use crate::action::Reason;
use crate::address::Address;
use crate::explain::{Observer, Step};
use crate::frame::{Bytes, Frame};
use crate::packet::{Fragment, Packet, Upper};
use crate::wire::protocol;

const HEADER: usize = 40;

/// Extension headers that are walked. RFC 8200 describes seven in one packet; a packet with more is not exempt.
pub const EXTENSION_HEADERS_MAX: usize = 8;

/// Reads the header at this offset. `walk` reads extension headers.
#[inline(always)]
pub fn read<F: Frame>(frame: &F, at: usize) -> Result<Packet, Reason> {
    let Bytes(
        [
            version,
            _,
            _,
            _,
            length_high,
            length_low,
            protocol,
            hop_limit,
        ],
    ) = frame.bytes(at).ok_or(Reason::MalformedIpv6)?;
    if version >> 4 != 6 {
        return Err(Reason::MalformedIpv6);
    }
    let Bytes(source) = frame.bytes(at + 8).ok_or(Reason::MalformedIpv6)?;
    let Bytes(destination) = frame.bytes(at + 24).ok_or(Reason::MalformedIpv6)?;
    let mut length = usize::from(u16::from_be_bytes([length_high, length_low]));
    // A jumbogram (RFC 2675) has length zero here and its length in a hop-by-hop option.
    if length == 0 && protocol == protocol::HOP_BY_HOP {
        length = frame.length() - at - HEADER;
    }
    if !frame.reaches(at + HEADER + length) {
        return Err(Reason::MalformedIpv6);
    }
    Ok(Packet {
        source: Address::v6(u128::from_be_bytes(source)),
        destination: Address::v6(u128::from_be_bytes(destination)),
        protocol,
        hop_limit,
        network: at,
        payload: at + HEADER,
        end: at + HEADER + length,
        fragment: Fragment::Whole,
    })
}

/// Walks the extension headers to the upper-layer header, or to the data of a later fragment.
///
/// Unknown headers are not walked: their sender would choose where the ports are read.
#[inline(always)]
pub fn walk<F: Frame, O: Observer>(
    frame: &F,
    packet: &Packet,
    observer: &mut O,
) -> Result<Upper, Reason> {
    let mut upper = Upper {
        protocol: packet.protocol,
        at: packet.payload,
        fragment: Fragment::Whole,
        identification: 0,
        datagram_protocol: packet.protocol,
        boundary: 0,
    };
    let mut fragmented = false;
    for position in 0..=EXTENSION_HEADERS_MAX {
        let header = upper.protocol;
        if !is_extension(header) {
            return Ok(upper);
        }
        let cut_short = if upper.fragment == Fragment::First {
            Reason::ShortFirstFragment
        } else {
            Reason::ExtensionHeaders
        };
        // RFC 8200 section 4.1: hop-by-hop options come first or not at all.
        if position == EXTENSION_HEADERS_MAX || (header == protocol::HOP_BY_HOP && position != 0) {
            return Err(Reason::ExtensionHeaders);
        }
        let Bytes([next, length, high, low]) = frame.bytes_in_loop(upper.at).ok_or(cut_short)?;
        observer.step(Step::Extension { header });
        let size = match header {
            protocol::FRAGMENT => {
                // Two fragment headers evade filters that read one (CVE-2023-4809).
                if fragmented {
                    return Err(Reason::DoubleFragment);
                }
                fragmented = true;
                let offset = u16::from_be_bytes([high, low]);
                let Bytes([i0, i1, i2, i3]) = frame.bytes_in_loop(upper.at + 4).ok_or(cut_short)?;
                upper.identification = u32::from_be_bytes([i0, i1, i2, i3]);
                upper.datagram_protocol = next;
                // Offset zero without more fragments: an atomic fragment (RFC 6946).
                upper.fragment = match (offset >> 3, offset & 1) {
                    (0, 0) => Fragment::Whole,
                    (0, _) => Fragment::First,
                    _ => Fragment::Later,
                };
                // The datagram starts behind the fragment header. Options in front of the transport header are part of
                // it, so a first fragment covers them.
                upper.boundary = match upper.fragment {
                    Fragment::Later => u32::from(offset & !7),
                    Fragment::Whole | Fragment::First => {
                        packet.end.saturating_sub(upper.at + 8) as u32
                    }
                };
                8
            }
            // RFC 4302 section 2.2: this one counts in units of four bytes.
            protocol::AUTHENTICATION => (usize::from(length) + 2) << 2,
            // Segments left: the sender chose the route. RFC 5095 deprecates type 0.
            protocol::ROUTING if low != 0 => return Err(Reason::SourceRoute),
            _ => (usize::from(length) + 1) << 3,
        };
        upper.protocol = next;
        upper.at += size;
        if upper.at > packet.end {
            return Err(cut_short);
        }
        if upper.fragment == Fragment::Later {
            return Ok(upper);
        }
    }
    Err(Reason::ExtensionHeaders)
}

/// Whether this next-header number is an extension header (IANA ipv6-parameters).
#[inline(always)]
pub(crate) const fn is_extension(header: u8) -> bool {
    matches!(
        header,
        protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::FRAGMENT
            | protocol::AUTHENTICATION
            | protocol::DESTINATION_OPTIONS
            | protocol::MOBILITY
            | protocol::HIP
            | protocol::SHIM6
    )
}
