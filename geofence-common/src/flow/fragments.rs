//! Fragmented datagrams: the first fragment decides, and later fragments pass behind it.
//!
//! A source has a fixed number of places, so that many datagrams of one source displace no mark of another.

use crate::address::Address;
use crate::packet::{Packet, Upper};

/// Datagrams of one source that are remembered at once. They are under way for as long as their fragments are.
pub const PLACES: u32 = 64;

/// The part of an address's first word that tells sources apart: all of an IPv4 address, and the first 48 bits of an
/// IPv6 address, which is the most that one site gets (RFC 6177). A /64 as the source would give one site 65,536
/// shares.
const SOURCE: u64 = !0xffff;

/// The place of a fragmented datagram: its source (an IPv4 address or an IPv6 /48), and one of the source's places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct DatagramKey {
    network: u64,
    place: u32,
    /// 1 for IPv6, 0 for IPv4.
    is_v6: u32,
}

/// What fragments of one datagram have in common, mixed into two words: identification and protocol as they are, the
/// addresses as their mixture. Two datagrams that meet in it are of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct DatagramId([u64; 2]);

/// The odd number by which words are mixed: 2^64 over the golden ratio.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

impl DatagramId {
    /// The datagram that a fragment belongs to. Its protocol is that of IPv4, or the next header of the fragment header
    /// of IPv6 (RFC 8200 section 4.5).
    #[must_use]
    #[inline(always)]
    pub(crate) fn of(packet: &Packet, upper: &Upper) -> Self {
        let ([_, source], [high, low]) = (packet.source.words(), packet.destination.words());
        let addresses = (source.wrapping_mul(MIX) ^ high).wrapping_mul(MIX) ^ low;
        Self([
            u64::from(upper.identification) << 32 | u64::from(upper.datagram_protocol),
            addresses,
        ])
    }

    /// Where the datagram is remembered.
    #[must_use]
    #[inline(always)]
    pub(crate) fn key(&self, source: &Address) -> DatagramKey {
        let ([datagram, addresses], [network, _]) = (self.0, source.words());
        // Any mixture will do: a source that makes its own datagrams meet displaces its own.
        let mixed = (addresses ^ datagram ^ datagram >> 32).wrapping_mul(MIX);
        DatagramKey {
            network: network & SOURCE,
            place: (mixed >> 32) as u32 & (PLACES - 1),
            is_v6: source.is_v6().into(),
        }
    }
}

/// A datagram whose first fragment was accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Datagram {
    pub id: DatagramId,
    /// When later fragments stop passing.
    pub deadline: u64,
    /// Bytes of the datagram in the first fragment. Later fragments start behind them.
    pub first: u32,
    pub padding: u32,
}
