//! Transport headers: TCP (RFC 9293), UDP (RFC 768), ICMP (RFC 792) and ICMPv6 (RFC 4443).

use crate::action::Reason;
use crate::frame::{Bytes, Frame};
use crate::packet::{Fragment, Transport, Upper};
use crate::wire::protocol;

const TCP_HEADER_MIN: usize = 20;
const UDP_HEADER: usize = 8;
const ICMP_HEADER: usize = 8;

/// Bits of TCP's flags.
pub mod tcp {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const ACK: u8 = 0x10;
}

/// Reads the header that `upper` points at; the datagram ends at `end`.
#[inline(always)]
pub fn read<F: Frame>(frame: &F, upper: &Upper, end: usize) -> Result<Transport, Reason> {
    let broken = if upper.fragment == Fragment::First {
        Reason::ShortFirstFragment
    } else {
        Reason::MalformedTransport
    };
    let room = end - upper.at;
    match upper.protocol {
        protocol::TCP => {
            if room < TCP_HEADER_MIN {
                return Err(broken);
            }
            let Bytes([s0, s1, d0, d1, _, _, _, _, _, _, _, _, offset, flags]) =
                frame.bytes_behind(upper.at).ok_or(broken)?;
            let header = usize::from(offset >> 4) << 2;
            if header < TCP_HEADER_MIN || header > room {
                return Err(broken);
            }
            Ok(Transport::Tcp {
                source: u16::from_be_bytes([s0, s1]),
                destination: u16::from_be_bytes([d0, d1]),
                flags,
            })
        }
        protocol::UDP => {
            if room < UDP_HEADER {
                return Err(broken);
            }
            let Bytes([s0, s1, d0, d1, l0, l1]) = frame.bytes_behind(upper.at).ok_or(broken)?;
            let length = usize::from(u16::from_be_bytes([l0, l1]));
            if length < UDP_HEADER || (length > room && upper.fragment == Fragment::Whole) {
                return Err(broken);
            }
            Ok(Transport::Udp {
                source: u16::from_be_bytes([s0, s1]),
                destination: u16::from_be_bytes([d0, d1]),
            })
        }
        protocol::ICMP | protocol::ICMPV6 => {
            if room < ICMP_HEADER {
                return Err(broken);
            }
            let Bytes([kind, code, _, _, i0, i1]) = frame.bytes_in_loop(upper.at).ok_or(broken)?;
            let identifier = u16::from_be_bytes([i0, i1]);
            if upper.protocol == protocol::ICMP {
                Ok(Transport::Icmp {
                    kind,
                    code,
                    identifier,
                })
            } else {
                Ok(Transport::Icmpv6 {
                    kind,
                    code,
                    identifier,
                })
            }
        }
        other => Ok(Transport::Other { protocol: other }),
    }
}
