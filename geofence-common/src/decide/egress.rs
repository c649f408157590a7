//! Decides about a packet that leaves: whether a list blocks its destination, and what it means for flows.
//!
//! Only lists stop a packet that leaves. The operator's own prefixes and exceptions come first, as on ingress: a source
//! that an exception lets in gets its answers. Where no list covers outgoing packets, no destination is looked up for
//! them.

use crate::action::{Action, Direction, Mode, Reason};
use crate::decide::conntrack::{Conntrack, Tracking, conntrack};
use crate::decide::endpoint::{Endpoint, find_endpoint};
use crate::decide::exceptions::{NO_PORT, Traffic, find};
use crate::decide::origin::Origin;
use crate::decide::tables::Tables;
use crate::decide::verdict::Verdict;
use crate::event::NO_REASON;
use crate::explain::{Observer, Step};
use crate::frame::Frame;
use crate::image::destination::DestinationPolicy;
use crate::image::list_set::Peer;
use crate::image::settings::{Flags, PortRule, flag};
use crate::opaque::{Opaque, opaque};
use crate::packet::Packet;
use crate::wire::parse::{parse, ports};

/// The verdict about a packet that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EgressVerdict {
    /// Whether a list blocks the destination, and what the mode does then.
    listed: u32,
    /// The number of the tenant that sent it, if the destination is on a list; 0 for none.
    pub tenant: u32,
    /// The destination as lists see it, if it was looked up.
    pub peer: Peer,
    pub tracking: Tracking,
}

/// Values of `EgressVerdict::listed`: no list blocks it; blocked in monitor mode; blocked and enforced.
const NONE: u32 = 0;

const MONITORED: u32 = 1;

const ENFORCED: u32 = 2;

impl EgressVerdict {
    /// The packet passes, and nothing else happens.
    pub const PASS: Self = Self {
        listed: NONE,
        tenant: 0,
        peer: Peer::NONE,
        tracking: Tracking::Nothing,
    };

    /// What happens to the packet.
    #[must_use]
    #[inline(always)]
    pub const fn action(&self) -> Action {
        if self.listed == ENFORCED {
            Action::Drop
        } else {
            Action::Pass
        }
    }

    /// The number of the reason, as events have it.
    #[must_use]
    #[inline(always)]
    pub const fn reason(&self) -> u8 {
        if self.listed == NONE {
            NO_REASON
        } else {
            Reason::ListedDestination as u8
        }
    }

    /// The verdict of a list that blocks the destination: dropped, or passed in monitor mode. Nothing for any other
    /// packet.
    #[must_use]
    #[inline(always)]
    pub const fn list_verdict(&self) -> Option<Verdict> {
        if self.listed == NONE {
            return None;
        }
        let mode = if self.listed == ENFORCED {
            Mode::Enforce
        } else {
            Mode::Monitor
        };
        let country = self.peer.class.country();
        let verdict = Verdict::new(Reason::ListedDestination, country, mode);
        Some(verdict.with_tenant_and_exception(self.tenant, 0))
    }
}

/// Decides about a packet that leaves. `origin` tells where it came in.
#[inline(always)]
pub fn egress<F: Frame, T: Conntrack, O: Observer>(
    frame: &F,
    origin: impl FnOnce() -> Origin,
    tables: &T,
    observer: &mut O,
) -> EgressVerdict {
    let Some(flags) = tables.flags() else {
        return EgressVerdict::PASS;
    };
    let is_watched = T::HAS_RULES && flags.has(flag::LISTS_OUT);
    let Ok(packet) = parse(frame, observer) else {
        return EgressVerdict::PASS;
    };
    // Opaque copies: the verifier must not follow each outcome of the look-up through conntrack.
    let (packet, next) = (packet.opaque(frame), packet.opaque(frame));
    let verdict = if is_watched {
        watch(frame, &packet, flags, tables, observer)
    } else {
        EgressVerdict::PASS
    };
    let verdict = if T::HAS_RULES {
        verdict.opaque(frame)
    } else {
        verdict
    };
    if verdict.listed == ENFORCED {
        return verdict;
    }
    let class = if T::HAS_RULES && is_watched.opaque(frame) {
        Some(verdict.peer.class)
    } else {
        None
    };
    EgressVerdict {
        tracking: conntrack(frame, &next, class, origin, flags, tables, observer),
        ..verdict
    }
}

opaque!(EgressVerdict { listed, tenant, peer; .. });

/// Looks up the destination, and whether a list blocks it.
#[inline(always)]
fn watch<F: Frame, T: Tables, O: Observer>(
    frame: &F,
    packet: &Packet,
    flags: Flags,
    tables: &T,
    observer: &mut O,
) -> EgressVerdict {
    let Some(to) = find_endpoint(&packet.destination, tables, observer) else {
        return EgressVerdict::PASS;
    };
    let to = to.opaque(frame);
    let class = to.class;
    let unlisted = EgressVerdict {
        peer: to.peer(&DestinationPolicy::everywhere(flags)),
        ..EgressVerdict::PASS
    };
    if !class.is_listed(Direction::Out) {
        return unlisted;
    }
    let is_excepted = class.is_excepted();
    let Some(policy) = DestinationPolicy::of(&packet.source, is_excepted, flags, tables, observer)
    else {
        return unlisted;
    };
    let policy = policy.opaque(frame);
    let listed = if !class.is_denied_out()
        || is_answer_by_exception(frame, packet, &to, &policy, tables, observer)
    {
        NONE
    } else {
        observer.step(Step::Decided(Reason::ListedDestination));
        match policy.flags.mode() {
            Mode::Enforce => ENFORCED,
            Mode::Monitor => MONITORED,
        }
    };
    EgressVerdict {
        listed,
        tenant: policy.tenant(tables),
        peer: to.peer(&policy),
        tracking: Tracking::Nothing,
    }
}

/// Whether an exception or an access to a protected port lets in the packets that this one answers.
#[inline(always)]
fn is_answer_by_exception<F: Frame, T: Tables, O: Observer>(
    frame: &F,
    packet: &Packet,
    to: &Endpoint,
    policy: &DestinationPolicy,
    tables: &T,
    observer: &mut O,
) -> bool {
    if !to.class.is_excepted() || !policy.flags.has(flag::EXCEPTIONS) {
        return false;
    }
    let (next, last) = (policy.opaque(frame), policy.opaque(frame));
    let names = to.exception_names(tables).opaque(frame);
    let [transport, port] = local_end(frame, packet).opaque(frame);
    let is_protected = next.flags.has(flag::PROTECTED)
        && port < NO_PORT
        && next.port_rule(transport as u8, port as u16, tables) == PortRule::Protected;
    let traffic = Traffic::of(transport, port, is_protected).opaque(frame);
    find(frame, names, &last, &traffic, tables, observer).is_some()
}

/// The protocol and source port of a packet of ours. Our side puts no header between the network and the transport
/// header of an answer, except a fragment header, where only an exception for all ports applies.
///
/// Extension headers and options are not walked, as `L4` does, because a packet without a readable port still has its
/// protocol.
#[inline(always)]
fn local_end<F: Frame>(frame: &F, packet: &Packet) -> [u32; 2] {
    let ([port, _], _) = ports(frame, packet);
    let port = match port {
        0 => NO_PORT,
        port => port.into(),
    };
    [packet.protocol.into(), port]
}
