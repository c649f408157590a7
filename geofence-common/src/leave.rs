//! The egress side: whether a packet may leave, on which lists its destination is, and what it does to the flows.
//!
//! Only lists stop what leaves. What the operator vouches for comes first, as it does for what comes in, and so does an
//! exception: what it lets in is answered. Where no list is about what goes out, nothing is looked up for them.

use crate::contact::{Direction, Listed};
use crate::country::Country;
use crate::exception::{self, Subject};
use crate::frame::Frame;
use crate::image::{Exemption, Flags, Replies, flag};
use crate::observe::{Observer, Step};
use crate::packet::{Fragment, Packet, Transport, parse};
use crate::policy::{Source, Tables, find_source};
use crate::track::{Tracked, Tracker, track};
use crate::verdict::{Action, Reason, Verdict};
use crate::wire::{protocol, transport};
use crate::zone::Zone;

/// What becomes of a packet that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// What a list has to say against it: dropped, or passed where the mode is monitor. Nothing for any other packet;
    /// it passes.
    pub refusal: Option<Verdict>,
    /// The lists that its destination is on, where packets that leave are counted.
    pub listed: Listed,
    /// The country of a listed destination.
    pub country: Country,
    pub tracked: Tracked,
}

impl Departure {
    /// A packet of which nothing is to be said.
    pub const UNSEEN: Self = Self {
        refusal: None,
        listed: Listed::NOWHERE,
        country: Country::NONE,
        tracked: Tracked::Nothing,
    };

    #[must_use]
    #[inline(always)]
    pub const fn action(&self) -> Action {
        match self.refusal {
            Some(verdict) => verdict.action,
            None => Action::Pass,
        }
    }
}

/// Decides about a packet that leaves. `is_foreign` says that it came in by a protected interface and is only forwarded.
#[inline(always)]
pub fn leave<F: Frame, T: Tracker, O: Observer>(
    frame: &F,
    is_foreign: impl FnOnce() -> bool,
    tables: &T,
    observer: &mut O,
) -> Departure {
    let Some(flags) = tables.flags() else {
        return Departure::UNSEEN;
    };
    let is_watched = flags.has(flag::LISTS_OUT);
    if !is_watched && flags.replies() == Replies::None {
        return Departure::UNSEEN;
    }
    let Ok(packet) = parse(frame, observer) else {
        return Departure::UNSEEN;
    };
    let mut departure = Departure::UNSEEN;
    let mut class = None;
    if is_watched && let Some(to) = find_source(&packet.destination, tables, observer) {
        class = Some(to.class);
        if to.class.is_listed(Direction::Out) {
            departure = watch(frame, &packet, &to, flags, tables, observer);
            if departure.action() == Action::Drop {
                return departure;
            }
        }
    }
    departure.tracked = track(frame, &packet, class, is_foreign, flags, tables, observer);
    departure
}

/// Looks at a packet to a listed address.
#[inline(always)]
fn watch<F: Frame, T: Tables, O: Observer>(
    frame: &F,
    packet: &Packet,
    to: &Source,
    flags: Flags,
    tables: &T,
    observer: &mut O,
) -> Departure {
    let class = to.class;
    let Some(zone) = Zone::of(
        &packet.source,
        class.is_excepted(),
        flags,
        tables,
        observer,
    ) else {
        return Departure::UNSEEN;
    };
    let refusal = if class.is_denied_out()
        && !is_answer_by_exception(frame, packet, to, &zone, tables, observer)
    {
        let reason = Reason::ListedDestination;
        observer.step(Step::Decided(reason));
        let verdict = Verdict::new(reason, class.country(), zone.flags.mode());
        Some(verdict.concerning(zone.tenant(tables), 0))
    } else {
        None
    };
    Departure {
        refusal,
        listed: to.listed(Direction::Out, &zone, tables),
        country: class.country(),
        tracked: Tracked::Nothing,
    }
}

/// Whether an exception, or the access to a protected port, would let in what this packet answers.
#[inline(always)]
fn is_answer_by_exception<F: Frame, T: Tables, O: Observer>(
    frame: &F,
    packet: &Packet,
    to: &Source,
    zone: &Zone,
    tables: &T,
    observer: &mut O,
) -> bool {
    if !to.class.is_excepted() || !zone.flags.has(flag::EXCEPTIONS) {
        return false;
    }
    let (transport, port) = local_end(frame, packet, observer);
    let is_protected = match (transport, port) {
        (Some(transport), Some(port)) if zone.flags.has(flag::PROTECTED) => {
            zone.exemption(transport, port, tables) == Exemption::Protected
        }
        _ => false,
    };
    let names = to.names(tables).map(|name| frame.forget(name));
    let subject = Subject::new(transport, port, is_protected).forgotten(frame);
    exception::find(frame, names, zone, &subject, tables, observer).is_some()
}

/// The protocol of a packet of ours and the port it comes from, as far as they can be told.
#[inline(always)]
fn local_end<F: Frame, O: Observer>(
    frame: &F,
    packet: &Packet,
    observer: &mut O,
) -> (Option<u8>, Option<u16>) {
    let Ok(upper) = packet.upper(frame, observer) else {
        return (None, None);
    };
    if upper.fragment == Fragment::Later {
        return (Some(upper.protocol), None);
    }
    let Ok(transport) = transport::read(frame, &upper, packet.end) else {
        return (Some(upper.protocol), None);
    };
    observer.step(Step::Transport(transport));
    match transport {
        Transport::Tcp { source, .. } => (Some(protocol::TCP), Some(source)),
        Transport::Udp { source, .. } => (Some(protocol::UDP), Some(source)),
        Transport::Icmp { .. } | Transport::Icmpv6 { .. } | Transport::Other { .. } => {
            (Some(upper.protocol), None)
        }
    }
}
