//! The Ethernet header and the VLAN tags behind it.
//!
//! ```text
//!  0            6            12      14
//! +------------+------------+-------+-- - -
//! | to         | from       | type  | payload     type 0x8100, 0x88a8 or 0x9100: a tag of 4 bytes,
//! +------------+------------+-------+-- - -      whose last two are the next type
//! ```

use crate::action::Reason;
use crate::frame::Frame;

pub const IPV4: u16 = 0x0800;
pub const IPV6: u16 = 0x86dd;

/// Tags that are read: a customer's inside a provider's (IEEE 802.1ad), as in the kernel.
pub const TAGS_MAX: u8 = 2;

/// The offset and type of the payload.
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

/// Reads the header and up to two tags.
#[inline(always)]
pub fn read<F: Frame>(frame: &F) -> Result<Ethernet, Reason> {
    let mut ether_type = u16::from_be_bytes(frame.bytes(12).ok_or(Reason::NonIp)?.0);
    let mut payload = 14;
    let mut tags = 0;
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
