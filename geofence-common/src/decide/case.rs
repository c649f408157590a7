//! A case: everything a verdict rests on when the addresses alone do not decide.

use crate::action::Reason;
use crate::decide::endpoint::Endpoint;
use crate::image::destination::DestinationPolicy;
use crate::l4::L4;
use crate::packet::Packet;

/// The input of a verdict that the addresses alone do not decide.
///
/// It fills most of a program's stack, so the kernel keeps it in a map. The verifier knows nothing of what it reads
/// there.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) packet: Packet,
    pub(crate) source: Endpoint,
    pub(crate) policy: DestinationPolicy,
    pub(crate) l4: L4,
    /// The reason for a later fragment, as a number; `NO_REASON` if its first fragment is not known.
    pub(crate) later_fragment: u32,
    /// The reason that the addresses alone give, as a number; `NO_REASON` if they give none.
    pub(crate) by_addresses: u32,
}

/// How much room the kernel keeps for a case.
pub const CASE_SIZE: usize = size_of::<Case>();

/// Stands for no reason, where a reason is a number.
pub(crate) const NO_REASON: u32 = u8::MAX as u32;

#[inline(always)]
pub(crate) fn number(reason: Option<Reason>) -> u32 {
    match reason {
        Some(reason) => reason as u32,
        None => NO_REASON,
    }
}

#[inline(always)]
pub(crate) const fn reason_of(number: u32) -> Option<Reason> {
    Reason::from_number(number as u8)
}
