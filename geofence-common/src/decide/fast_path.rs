//! The fast path: tells which packets no rule concerns, where a policy has rules.
//!
//! Most packets come from sources that no exception and no list names, for ports that no rule protects. They are judged
//! as by the bare policy. The others go to the program with rules, which judges them from the beginning.

use crate::action::Reason;
use crate::decide::exemptions::service;
use crate::decide::verdict::Verdict;
use crate::image::class::Class;
use crate::image::destination::DestinationPolicy;
use crate::image::settings::{Flags, PortRule, flag};
use crate::image::words::Words;
use crate::l4::{Kind, L4};
use crate::packet::Fragment;

/// Rules that concern packets by what they carry.
pub(crate) const BY_CONTENT: u32 = flag::PROTECTED | flag::RATE_LIMIT | flag::EXCEPTIONS;

/// Whether one of these rules may decide about a packet from a source that no exception names.
#[inline(always)]
pub(crate) fn concerns_content<W: Words>(policy: &DestinationPolicy, l4: &L4, words: &W) -> bool {
    let flags = policy.flags;
    // It may be about our answer to a peer that an exception let in.
    let may_quote = l4.is_icmp_error();
    if flags.has(flag::PROTECTED) && (may_quote || may_be_for_protected(policy, l4, words)) {
        return true;
    }
    may_quote && flags.has(flag::EXCEPTIONS)
        || flags.has(flag::RATE_LIMIT) && service(policy, l4, words).is_some()
}

/// Whether a packet is for a protected port, or may be because it is a fragment or cannot be read.
#[inline(always)]
fn may_be_for_protected<W: Words>(policy: &DestinationPolicy, l4: &L4, words: &W) -> bool {
    let upper = l4.upper();
    match l4.kind() {
        Kind::Later | Kind::Unreadable => true,
        // A first fragment that passes is remembered.
        _ if upper.fragment != Fragment::Whole => true,
        Kind::Tcp | Kind::Udp => {
            policy.port_rule(upper.protocol, l4.destination(), words) == PortRule::Protected
        }
        Kind::Icmp | Kind::Icmpv6 | Kind::Other => false,
    }
}

/// The verdict by the country alone about a packet from this class, where the program with rules is missing.
#[inline(always)]
pub fn without_rules<W: Words>(class: Class, words: &W) -> Verdict {
    let reason = if class.is_blocked() && !class.is_management() {
        Reason::CountryBlocked
    } else {
        Reason::CountryAllowed
    };
    let mode = words.flags().unwrap_or(Flags(0)).mode();
    Verdict::new(reason, class.country(), mode)
}
