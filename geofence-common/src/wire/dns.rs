//! The header of a DNS message over UDP (RFC 1035 section 4.1.1), as far as it shows which query an answer answers.

use crate::frame::{Bytes, Frame};
use crate::packet::Upper;

/// The port of DNS over UDP and TCP.
pub const PORT: u16 = 53;

/// The start of a DNS message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dns {
    pub identifier: u16,
    /// Whether it is a response rather than a query.
    pub is_response: bool,
}

/// Reads the message in the UDP datagram that `upper` points at; the packet ends at `end`.
#[inline(always)]
pub fn read<F: Frame>(frame: &F, upper: &Upper, end: usize) -> Option<Dns> {
    const UDP_HEADER: usize = 8;
    const HEADER: usize = 12;
    const RESPONSE: u8 = 0x80;

    let at = upper.at + UDP_HEADER;
    if at + HEADER > end {
        return None;
    }
    let Bytes([i0, i1, flags, _]) = frame.bytes_in_loop(at)?;
    Some(Dns {
        identifier: u16::from_be_bytes([i0, i1]),
        is_response: flags & RESPONSE != 0,
    })
}
