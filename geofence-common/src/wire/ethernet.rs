//! The Ethernet header and what may stand between it and an IP header: VLAN tags, PPPoE, LLC/SNAP.
//!
//! ```text
//!  0            6            12      14
//! +------------+------------+-------+-- - -
//! | to         | from       | type  | payload     type 0x8100, 0x88a8 or 0x9100: a tag of 4 bytes,
//! +------------+------------+-------+-- - -      whose last two are the next type
//!
//!  0     1      2         4        6          8
//! +-----+------+---------+--------+----------+-- - -
//! | 0x11| code | session | length | protocol | payload     type 0x8864: PPPoE (RFC 2516). A protocol
//! +-----+------+---------+--------+----------+-- - -       with an odd first byte has one byte (RFC 1661)
//!
//!  0            3        6       8
//! +------------+--------+-------+-- - -
//! | aa  aa  03 | 000000 | type  | payload     type below 0x600, which is a length: LLC/SNAP (RFC 1042)
//! +------------+--------+-------+-- - -
//! ```

use crate::action::Reason;
use crate::frame::{Bytes, Frame};
use crate::opaque::Opaque as _;

pub const IPV4: u16 = 0x0800;
pub const IPV6: u16 = 0x86dd;
const PPPOE_SESSION: u16 = 0x8864;

/// Bits that the offset of an IP header can have: two tags, PPPoE and SNAP take 38 bytes.
///
/// Before Linux 6.8 a mask bounds an opaque offset for the verifier and a comparison may not: the compiler may compare
/// a register and use a copy on the stack.
pub(super) const OFFSET_MASK: usize = 0x3f;

/// Smaller values of the type field are the length of an IEEE 802.3 frame.
const LENGTH_MAX: u16 = 0x05ff;

/// Tags that are read: a customer's inside a provider's (IEEE 802.1ad), as in the kernel.
pub const TAGS_MAX: u8 = 2;

/// The type and offset of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ethernet {
    pub ether_type: u16,
    pub payload: usize,
    pub tags: u8,
}

#[inline(always)]
const fn is_tag(ether_type: u16) -> bool {
    matches!(ether_type, 0x8100 | 0x88a8 | 0x9100)
}

/// Why a frame of this type, which is not IP, is not judged.
///
/// The kernel or a device above may unpack IP packets from an encapsulation. They are judged where they appear: on the
/// device that unpacks them.
#[must_use]
#[inline(always)]
pub const fn unjudged(ether_type: u16) -> Reason {
    match ether_type {
        // batman-adv, TRILL, MPLS (unicast, multicast), PPP, MACsec, IEEE 802.1ah, HSR, PRP, NSH, IEEE 802.1BR; and
        // PPPoE, where its payload is compressed or split.
        0x4305 | 0x22f3 | 0x8847 | 0x8848 | 0x880b | 0x88e5 | 0x88e7 | 0x892f | 0x88fb | 0x894f
        | 0x893f | PPPOE_SESSION => Reason::Encapsulated,
        _ => Reason::NonIp,
    }
}

/// Reads the header and what stands before the IP header.
#[inline(always)]
pub fn read<F: Frame>(frame: &F) -> Result<Ethernet, Reason> {
    let ether_type = u16::from_be_bytes(frame.bytes(12).ok_or(Reason::NonIp)?.0);
    let plain = Ethernet {
        ether_type,
        payload: 14,
        tags: 0,
    };
    if matches!(ether_type, IPV4 | IPV6) {
        return Ok(plain);
    }
    let found = read_pppoe(frame, read_tags(frame, plain)?)?;
    let found = read_snap(frame, found)?;
    // The verifier need not distinguish what stood before the IP header.
    Ok(Ethernet {
        payload: found.payload.opaque(frame) & OFFSET_MASK,
        ..found
    })
}

#[inline(always)]
fn read_tags<F: Frame>(frame: &F, plain: Ethernet) -> Result<Ethernet, Reason> {
    let Ethernet {
        mut ether_type,
        mut payload,
        mut tags,
    } = plain;
    while tags < TAGS_MAX && is_tag(ether_type) {
        ether_type = u16::from_be_bytes(frame.bytes(payload + 2).ok_or(Reason::NonIp)?.0);
        payload += 4;
        tags += 1;
    }
    if is_tag(ether_type) {
        return Err(Reason::TooManyTags);
    }
    Ok(Ethernet {
        ether_type,
        payload,
        tags,
    })
}

/// The type and offset of what a PPPoE session carries. Control protocols of PPP are not IP.
#[inline(always)]
fn read_pppoe<F: Frame>(frame: &F, found: Ethernet) -> Result<Ethernet, Reason> {
    const IPV4_IN_PPP: u16 = 0x0021;
    const IPV6_IN_PPP: u16 = 0x0057;
    /// Link and network control protocols (RFC 1661 section 2).
    const CONTROL_MIN: u16 = 0x8000;

    if found.ether_type != PPPOE_SESSION {
        return Ok(found);
    }
    // An IP packet is longer than a header that ends here.
    let Bytes([first, second]) = frame.bytes(found.payload + 6).ok_or(Reason::NonIp)?;
    let (protocol, size) = if first & 1 == 0 {
        (u16::from_be_bytes([first, second]), 8)
    } else {
        (first.into(), 7)
    };
    let ether_type = match protocol {
        IPV4_IN_PPP => IPV4,
        IPV6_IN_PPP => IPV6,
        CONTROL_MIN.. => return Err(Reason::NonIp),
        _ => return Err(Reason::Encapsulated),
    };
    Ok(Ethernet {
        ether_type,
        payload: found.payload + size,
        ..found
    })
}

/// The type and offset of what an 802.3 frame carries, if it names an EtherType.
#[inline(always)]
fn read_snap<F: Frame>(frame: &F, found: Ethernet) -> Result<Ethernet, Reason> {
    if found.ether_type > LENGTH_MAX {
        return Ok(found);
    }
    let Bytes([dsap, ssap, control, o0, o1, o2, t0, t1]) =
        frame.bytes(found.payload).ok_or(Reason::NonIp)?;
    // RFC 1042, and the bridge tunnel encapsulation of IEEE 802.1H.
    if (dsap, ssap, control) != (0xaa, 0xaa, 3) || !matches!([o0, o1, o2], [0, 0, 0 | 0xf8]) {
        return Err(Reason::NonIp);
    }
    Ok(Ethernet {
        ether_type: u16::from_be_bytes([t0, t1]),
        payload: found.payload + 8,
        ..found
    })
}
