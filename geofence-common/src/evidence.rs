//! Evidence: what there is of a packet behind its network header, read once for exceptions, protections and exemptions.
//!
//! It travels as three numbers. The walk that finds it ends in very many ways, and in this form the verifier can be made
//! to forget which it was (`Frame::forget`), so that it follows the decision that comes next once and not for each.

use crate::frame::Frame;
use crate::observe::{Observer, Step};
use crate::packet::{Fragment, Packet, Transport, Upper};
use crate::verdict::Reason;
use crate::wire::{protocol, transport};

/// What there is of a packet behind its network header. Of the fields behind `upper`, those that its kind has not are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Evidence {
    pub(crate) kind: Kind,
    pub(crate) upper: Upper,
    /// The source port, or the identifier of an echo.
    pub(crate) source: u16,
    pub(crate) destination: u16,
    /// The flags of TCP, or the kind of an ICMP message.
    pub(crate) bits: u8,
    code: u8,
    /// The number of the reason why there is no transport header.
    reason: u8,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// No transport header, for a reason.
    Unreadable = 0,
    /// A later fragment, which has none.
    Later = 1,
    Tcp = 2,
    Udp = 3,
    Icmp = 4,
    Icmpv6 = 5,
    Other = 6,
}

impl Evidence {
    #[inline(always)]
    pub(crate) fn read<F: Frame, O: Observer>(
        frame: &F,
        packet: &Packet,
        observer: &mut O,
    ) -> Self {
        let packet = &Packet {
            network: frame.forget(packet.network as u64) as usize,
            payload: frame.forget(packet.payload as u64) as usize,
            ..*packet
        };
        let words = Self::find(frame, packet, observer);
        let evidence = Self::from_words(words.map(|word| frame.forget(word)));
        if let Some(transport) = evidence.transport() {
            observer.step(Step::Transport(transport));
        }
        evidence
    }

    #[inline(always)]
    fn find<F: Frame, O: Observer>(frame: &F, packet: &Packet, observer: &mut O) -> [u64; 3] {
        let unreadable = |reason| [Kind::Unreadable as u64, 0, (reason as u64) << 48];
        let upper = match packet.upper(frame, observer) {
            Err(reason) => return unreadable(reason),
            Ok(upper) => upper,
        };
        if upper.fragment == Fragment::Later {
            return words(Kind::Later, &upper, [0, 0], [0, 0]);
        }
        match transport::read(frame, &upper, packet.end) {
            Err(reason) => unreadable(reason),
            Ok(Transport::Tcp {
                source,
                destination,
                flags,
            }) => words(Kind::Tcp, &upper, [source, destination], [flags, 0]),
            Ok(Transport::Udp {
                source,
                destination,
            }) => words(Kind::Udp, &upper, [source, destination], [0, 0]),
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
            // The protocol is the upper layer's.
            Ok(Transport::Other { .. }) => words(Kind::Other, &upper, [0, 0], [0, 0]),
        }
    }

    #[inline(always)]
    fn from_words([first, second, third]: [u64; 3]) -> Self {
        Self {
            kind: match first & 0xff {
                1 => Kind::Later,
                2 => Kind::Tcp,
                3 => Kind::Udp,
                4 => Kind::Icmp,
                5 => Kind::Icmpv6,
                6 => Kind::Other,
                _ => Kind::Unreadable,
            },
            upper: Upper {
                protocol: (first >> 8) as u8,
                at: (first >> 32) as usize,
                fragment: match first >> 16 & 0xff {
                    0 => Fragment::Whole,
                    1 => Fragment::First,
                    _ => Fragment::Later,
                },
                identification: second as u32,
                offset: (second >> 32) as u32,
            },
            source: third as u16,
            destination: (third >> 16) as u16,
            bits: (third >> 32) as u8,
            code: (third >> 40) as u8,
            reason: (third >> 48) as u8,
        }
    }

    /// Why no transport header was found.
    #[inline(always)]
    pub(crate) const fn reason(&self) -> Reason {
        match Reason::from_number(self.reason) {
            Some(reason) => reason,
            None => Reason::MalformedTransport,
        }
    }

    /// The transport header, if there is one.
    #[inline(always)]
    const fn transport(&self) -> Option<Transport> {
        Some(match self.kind {
            Kind::Unreadable | Kind::Later => return None,
            Kind::Tcp => Transport::Tcp {
                source: self.source,
                destination: self.destination,
                flags: self.bits,
            },
            Kind::Udp => Transport::Udp {
                source: self.source,
                destination: self.destination,
            },
            Kind::Icmp => Transport::Icmp {
                kind: self.bits,
                code: self.code,
                identifier: self.source,
            },
            Kind::Icmpv6 => Transport::Icmpv6 {
                kind: self.bits,
                code: self.code,
                identifier: self.source,
            },
            Kind::Other => Transport::Other {
                protocol: self.upper.protocol,
            },
        })
    }

    /// The transport protocol, if it could be told.
    #[inline(always)]
    pub(crate) const fn protocol(&self, packet: &Packet) -> Option<u8> {
        match self.kind {
            Kind::Unreadable if packet.source.is_v6() => None,
            Kind::Unreadable => Some(packet.protocol),
            _ => Some(self.upper.protocol),
        }
    }

    /// The port it is for, if it is for one.
    #[inline(always)]
    pub(crate) const fn port(&self) -> Option<u16> {
        match self.kind {
            Kind::Tcp | Kind::Udp => Some(self.destination),
            _ => None,
        }
    }

    /// Whether it may be for a port and does not show for which. Of a later fragment the first showed it.
    #[inline(always)]
    pub(crate) const fn hides_port(&self, packet: &Packet) -> bool {
        matches!(self.kind, Kind::Unreadable)
            && matches!(
                self.protocol(packet),
                None | Some(protocol::TCP | protocol::UDP)
            )
    }
}

#[inline(always)]
const fn words(kind: Kind, upper: &Upper, ports: [u16; 2], bytes: [u8; 2]) -> [u64; 3] {
    let fragment = match upper.fragment {
        Fragment::Whole => 0,
        Fragment::First => 1,
        Fragment::Later => 2,
    };
    let ([source, destination], [bits, code]) = (ports, bytes);
    [
        kind as u64 | (upper.protocol as u64) << 8 | fragment << 16 | (upper.at as u64) << 32,
        upper.identification as u64 | (upper.offset as u64) << 32,
        source as u64 | (destination as u64) << 16 | (bits as u64) << 32 | (code as u64) << 40,
    ]
}
