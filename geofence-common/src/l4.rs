//! L4: what a packet carries behind its network header. Exceptions, protected ports and exemptions depend on it.
//!
//! It is packed into a few integers. The walk over headers ends in very many ways; integers can be made opaque
//! (`crate::opaque`), so that the verifier follows the rest of the decision only once.

use crate::action::Reason;
use crate::address::Address;
use crate::opaque::opaque;
use crate::packet::{Fragment, Packet, Quoted, Transport, Upper};
use crate::wire::dns::Dns;
use crate::wire::{ipv6, protocol};

/// The headers behind the network header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct L4 {
    /// Packed: see `words`.
    pub(crate) words: [u64; 3],
    /// The packet that an ICMP error quotes, packed by `quoted_word`; 0 for none.
    pub(crate) quoted: u64,
    /// The destination of the quoted packet.
    pub(crate) quoted_to: [u64; 2],
}

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// No readable transport header; the reason is stored.
    Unreadable = 0,
    /// A later fragment, which has no transport header.
    Later = 1,
    Tcp = 2,
    Udp = 3,
    Icmp = 4,
    Icmpv6 = 5,
    Other = 6,
}

opaque!(L4 {
    words,
    quoted,
    quoted_to
});

impl L4 {
    #[inline(always)]
    pub(crate) const fn of(words: [u64; 3]) -> Self {
        Self {
            words,
            quoted: 0,
            quoted_to: [0; 2],
        }
    }

    #[inline(always)]
    pub(crate) const fn kind(&self) -> Kind {
        match self.words[0] & 0xff {
            1 => Kind::Later,
            2 => Kind::Tcp,
            3 => Kind::Udp,
            4 => Kind::Icmp,
            5 => Kind::Icmpv6,
            6 => Kind::Other,
            _ => Kind::Unreadable,
        }
    }

    /// The upper-layer header; meaningless for `Unreadable`.
    #[inline(always)]
    pub(crate) const fn upper(&self) -> Upper {
        let [first, second, _] = self.words;
        Upper {
            protocol: (first >> 8) as u8,
            at: (first >> 32) as usize,
            fragment: match first >> 16 & 0xff {
                0 => Fragment::Whole,
                1 => Fragment::First,
                _ => Fragment::Later,
            },
            identification: second as u32,
            datagram_protocol: (first >> 24) as u8,
            boundary: (second >> 32) as u32,
        }
    }

    /// The source port, or the identifier of an echo.
    #[inline(always)]
    pub(crate) const fn source(&self) -> u16 {
        self.words[2] as u16
    }

    #[inline(always)]
    pub(crate) const fn destination(&self) -> u16 {
        (self.words[2] >> 16) as u16
    }

    /// The TCP flags, or the type of an ICMP message.
    #[inline(always)]
    pub(crate) const fn bits(&self) -> u8 {
        (self.words[2] >> 32) as u8
    }

    /// The identifier of the DNS response that a datagram from port 53 holds, if it holds one.
    #[inline(always)]
    pub(crate) const fn dns_response(&self) -> Option<u16> {
        match (self.kind(), self.bits()) {
            (Kind::Udp, 1) => Some((self.words[2] >> 48) as u16),
            _ => None,
        }
    }

    /// The reason why there is no readable transport header.
    #[inline(always)]
    pub(crate) const fn reason(&self) -> Reason {
        match Reason::from_number(self.words[2] as u8) {
            Some(reason) => reason,
            None => Reason::MalformedTransport,
        }
    }

    /// The transport header, if there is one.
    #[inline(always)]
    pub(crate) const fn transport(&self) -> Option<Transport> {
        let (source, destination) = (self.source(), self.destination());
        let (kind, code) = (self.bits(), (self.words[2] >> 40) as u8);
        Some(match self.kind() {
            Kind::Unreadable | Kind::Later => return None,
            Kind::Tcp => Transport::Tcp {
                source,
                destination,
                flags: kind,
            },
            Kind::Udp => Transport::Udp {
                source,
                destination,
            },
            Kind::Icmp => Transport::Icmp {
                kind,
                code,
                identifier: source,
            },
            Kind::Icmpv6 => Transport::Icmpv6 {
                kind,
                code,
                identifier: source,
            },
            Kind::Other => Transport::Other {
                protocol: self.upper().protocol,
            },
        })
    }

    /// Whether it is an ICMP error: unreachable, time exceeded, parameter problem; in ICMPv6 also packet too big.
    #[inline(always)]
    pub(crate) const fn is_icmp_error(&self) -> bool {
        matches!(
            (self.kind(), self.bits()),
            (Kind::Icmp, 3 | 11 | 12) | (Kind::Icmpv6, 1..=4)
        )
    }

    /// The packet that an ICMP error quotes, if the addressee may have sent it.
    #[inline(always)]
    pub(crate) const fn quoted(&self, packet: &Packet) -> Option<Quoted> {
        if self.quoted == 0 {
            return None;
        }
        Some(Quoted {
            source: packet.destination,
            destination: Address::from_words(packet.source.is_v6(), self.quoted_to),
            protocol: (self.quoted >> 8) as u8,
            source_port: (self.quoted >> 16) as u16,
            destination_port: (self.quoted >> 32) as u16,
            identifier: (self.quoted >> 48) as u16,
        })
    }

    /// The transport protocol, if it is known.
    #[inline(always)]
    pub(crate) const fn protocol(&self) -> Option<u8> {
        let is_known = self.words[0] & PROTOCOL_KNOWN != 0;
        match self.kind() {
            Kind::Unreadable if !is_known => None,
            Kind::Unreadable
            | Kind::Later
            | Kind::Tcp
            | Kind::Udp
            | Kind::Icmp
            | Kind::Icmpv6
            | Kind::Other => Some(self.upper().protocol),
        }
    }

    /// The destination port, if there is one.
    #[inline(always)]
    pub(crate) const fn port(&self) -> Option<u16> {
        match self.kind() {
            Kind::Tcp | Kind::Udp => Some(self.destination()),
            Kind::Unreadable | Kind::Later | Kind::Icmp | Kind::Icmpv6 | Kind::Other => None,
        }
    }

    /// Whether it is a later fragment of a datagram that has ports, or may have them behind extension headers.
    #[inline(always)]
    pub(crate) const fn is_later_of_ports(&self) -> bool {
        let next = self.upper().protocol;
        matches!(self.kind(), Kind::Later)
            && (matches!(next, protocol::TCP | protocol::UDP) || ipv6::is_extension(next))
    }

    /// Whether it may be for a port that cannot be read. A later fragment hides none if its first fragment, which
    /// showed the port, is known.
    #[inline(always)]
    pub(crate) const fn hides_port(&self) -> bool {
        matches!(self.kind(), Kind::Unreadable)
            && matches!(self.protocol(), None | Some(protocol::TCP | protocol::UDP))
    }
}

/// Set in the first word of `Unreadable` when the protocol is known.
pub(crate) const PROTOCOL_KNOWN: u64 = 1 << 16;

/// From the lowest bit: kind (8), protocol (8), fragment (8), protocol of the datagram (8), offset in the frame (32);
/// identification (32), boundary (32); two ports (16 each), two bytes (8 each), or the number of a reason.
#[inline(always)]
pub(crate) const fn words(kind: Kind, upper: &Upper, ports: [u16; 2], bytes: [u8; 2]) -> [u64; 3] {
    let fragment = match upper.fragment {
        Fragment::Whole => 0,
        Fragment::First => 1,
        Fragment::Later => 2,
    };
    let ([source, destination], [bits, code]) = (ports, bytes);
    [
        kind as u64
            | (upper.protocol as u64) << 8
            | fragment << 16
            | (upper.datagram_protocol as u64) << 24
            | (upper.at as u64) << 32,
        upper.identification as u64 | (upper.boundary as u64) << 32,
        source as u64 | (destination as u64) << 16 | (bits as u64) << 32 | (code as u64) << 40,
    ]
}

/// What a DNS response adds to the third word: 1 in the first byte, and the identifier in the topmost bits.
#[inline(always)]
pub(crate) const fn dns_bits(dns: Dns) -> u64 {
    (dns.is_response as u64) << 32 | (dns.identifier as u64) << 48
}

/// From the lowest bit: 1 (8), protocol (8), two ports (16 each), identifier (16).
#[inline(always)]
pub(crate) const fn quoted_word(quoted: &Quoted) -> u64 {
    1 | (quoted.protocol as u64) << 8
        | (quoted.source_port as u64) << 16
        | (quoted.destination_port as u64) << 32
        | (quoted.identifier as u64) << 48
}
