//! The egress side: whether a packet may leave, on which lists its destination is, and what it does to the flows.
//!
//! Only lists stop what leaves. What the operator vouches for comes first, as it does for what comes in, and so does an
//! exception: what it lets in is answered. Where no list is about what goes out, nothing is looked up for them.

use crate::action::{Action, Direction, Mode, Reason};
use crate::decide::conntrack::{Conntrack, Tracking, conntrack};
use crate::decide::endpoint::{Endpoint, find_endpoint};
use crate::decide::exceptions::{NO_PORT, Traffic, find};
use crate::decide::tables::Tables;
use crate::decide::verdict::Verdict;
use crate::explain::{Observer, Step};
use crate::frame::Frame;
use crate::image::destination::DestinationPolicy;
use crate::image::list_set::Peer;
use crate::image::settings::{Flags, PortRule, Replies, flag};
use crate::opaque::{Opaque, opaque};
use crate::packet::Packet;
use crate::wire::parse::{parse, ports};

/// What becomes of a packet that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EgressVerdict {
    /// Whether a list has something against it, and what is done then.
    listed: u32,
    /// The number of the tenant it comes from, where it is to a listed address; 0 for none.
    pub tenant: u32,
    /// Whom it goes to, where that was looked up for lists.
    pub peer: Peer,
    pub tracking: Tracking,
}

/// Numbers of refusals: none, one that monitor mode passes, one that is carried out.
const NONE: u32 = 0;

const MONITORED: u32 = 1;

const ENFORCED: u32 = 2;

impl EgressVerdict {
    /// A packet of which nothing is to be said.
    pub const PASS: Self = Self {
        listed: NONE,
        tenant: 0,
        peer: Peer::NONE,
        tracking: Tracking::Nothing,
    };

    /// What is done to the packet.
    #[must_use]
    #[inline(always)]
    pub const fn action(&self) -> Action {
        if self.listed == ENFORCED {
            Action::Drop
        } else {
            Action::Pass
        }
    }

    /// What a list has to say against it: dropped, or passed where the mode is monitor. Nothing for any other packet.
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

/// Decides about a packet that leaves. `is_forwarded` says that it came in by a protected interface and is only
/// forwarded.
#[inline(always)]
pub fn egress<F: Frame, T: Conntrack, O: Observer>(
    frame: &F,
    is_forwarded: impl FnOnce() -> bool,
    tables: &T,
    observer: &mut O,
) -> EgressVerdict {
    let Some(flags) = tables.flags() else {
        return EgressVerdict::PASS;
    };
    let is_watched = flags.has(flag::LISTS_OUT);
    if !is_watched && flags.replies() == Replies::None {
        return EgressVerdict::PASS;
    }
    let Ok(packet) = parse(frame, observer) else {
        return EgressVerdict::PASS;
    };
    // What comes next need not know whether anything was looked up, and how that went.
    let (packet, next) = (packet.opaque(frame), packet.opaque(frame));
    let verdict = if is_watched {
        watch(frame, &packet, flags, tables, observer)
    } else {
        EgressVerdict::PASS
    };
    let verdict = verdict.opaque(frame);
    if verdict.listed == ENFORCED {
        return verdict;
    }
    let class = if is_watched.opaque(frame) {
        Some(verdict.peer.class)
    } else {
        None
    };
    EgressVerdict {
        tracking: conntrack(frame, &next, class, is_forwarded, flags, tables, observer),
        ..verdict
    }
}

opaque!(EgressVerdict { listed, tenant, peer; .. });

/// Looks a packet's destination up, and whether a list has something against it.
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

/// Whether an exception, or the access to a protected port, would let in what this packet answers.
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
    let subject = Traffic::of(transport, port, is_protected).opaque(frame);
    find(frame, names, &last, &subject, tables, observer).is_some()
}

/// The protocol of a packet of ours and the port it comes from. Our side puts nothing between the headers of what it
/// answers but a fragment header, behind which only whom everything is let in from is answered.
#[inline(always)]
fn local_end<F: Frame>(frame: &F, packet: &Packet) -> [u32; 2] {
    let ([port, _], _) = ports(frame, packet);
    let port = match port {
        0 => NO_PORT,
        port => port.into(),
    };
    [packet.protocol.into(), port]
}
