//! The egress side: whether a packet may leave, on which lists its destination is, and what it does to the flows.
//!
//! Only lists stop what leaves. What the operator vouches for comes first, as it does for what comes in, and so does an
//! exception: what it lets in is answered. Where no list is about what goes out, nothing is looked up for them.

use crate::contact::{Direction, Party, ports};
use crate::exception::{self, NO_PORT, Subject};
use crate::frame::Frame;
use crate::image::{Exemption, Flags, Replies, flag};
use crate::observe::{Observer, Step};
use crate::packet::{Packet, parse};
use crate::policy::{Source, Tables, find_source};
use crate::track::{Tracked, Tracker, track};
use crate::verdict::{Action, Mode, Reason, Verdict};
use crate::zone::Zone;

/// What becomes of a packet that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Whether a list has something against it, and what is done then.
    refusal: u32,
    /// The number of the tenant it comes from, where it is to a listed address; 0 for none.
    pub tenant: u32,
    /// Whom it goes to, where that was looked up for lists.
    pub party: Party,
    pub tracked: Tracked,
}

/// Numbers of refusals: none, one that monitor mode passes, one that is carried out.
const NONE: u32 = 0;
const MONITORED: u32 = 1;
const ENFORCED: u32 = 2;

impl Departure {
    /// A packet of which nothing is to be said.
    pub const UNSEEN: Self = Self {
        refusal: NONE,
        tenant: 0,
        party: Party::NOBODY,
        tracked: Tracked::Nothing,
    };

    /// What is done to the packet.
    #[must_use]
    #[inline(always)]
    pub const fn action(&self) -> Action {
        if self.refusal == ENFORCED {
            Action::Drop
        } else {
            Action::Pass
        }
    }

    /// What a list has to say against it: dropped, or passed where the mode is monitor. Nothing for any other packet.
    #[must_use]
    #[inline(always)]
    pub const fn refusal(&self) -> Option<Verdict> {
        if self.refusal == NONE {
            return None;
        }
        let mode = if self.refusal == ENFORCED {
            Mode::Enforce
        } else {
            Mode::Monitor
        };
        let country = self.party.class.country();
        let verdict = Verdict::new(Reason::ListedDestination, country, mode);
        Some(verdict.concerning(self.tenant, 0))
    }
}

/// Decides about a packet that leaves. `is_foreign` says that it came in by a protected interface and is only
/// forwarded.
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
    // What comes next need not know whether anything was looked up, and how that went.
    let (packet, next) = (packet.forgotten(frame), packet.forgotten(frame));
    let departure = if is_watched {
        watch(frame, &packet, flags, tables, observer)
    } else {
        Departure::UNSEEN
    };
    let departure = departure.forgotten(frame);
    if departure.refusal == ENFORCED {
        return departure;
    }
    let class = if frame.forget(is_watched.into()) & 1 != 0 {
        Some(departure.party.class)
    } else {
        None
    };
    Departure {
        tracked: track(frame, &next, class, is_foreign, flags, tables, observer),
        ..departure
    }
}

impl Departure {
    /// The same, of which the verifier knows nothing; nothing was tracked yet.
    #[inline(always)]
    fn forgotten<F: Frame>(&self, frame: &F) -> Self {
        Self {
            refusal: frame.forget(self.refusal),
            tenant: frame.forget(self.tenant),
            party: self.party.forgotten(frame),
            tracked: Tracked::Nothing,
        }
    }
}

/// Looks a packet's destination up, and whether a list has something against it.
#[inline(always)]
fn watch<F: Frame, T: Tables, O: Observer>(
    frame: &F,
    packet: &Packet,
    flags: Flags,
    tables: &T,
    observer: &mut O,
) -> Departure {
    let Some(to) = find_source(&packet.destination, tables, observer) else {
        return Departure::UNSEEN;
    };
    let to = to.forgotten(frame);
    let class = to.class;
    let unlisted = Departure {
        party: to.party(&Zone::everywhere(flags)),
        ..Departure::UNSEEN
    };
    if !class.is_listed(Direction::Out) {
        return unlisted;
    }
    let is_excepted = class.is_excepted();
    let Some(zone) = Zone::of(&packet.source, is_excepted, flags, tables, observer) else {
        return unlisted;
    };
    let zone = zone.forgotten(frame);
    let refusal = if !class.is_denied_out()
        || is_answer_by_exception(frame, packet, &to, &zone, tables, observer)
    {
        NONE
    } else {
        observer.step(Step::Decided(Reason::ListedDestination));
        match zone.flags.mode() {
            Mode::Enforce => ENFORCED,
            Mode::Monitor => MONITORED,
        }
    };
    Departure {
        refusal,
        tenant: zone.tenant(tables),
        party: to.party(&zone),
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
    let (next, last) = (zone.forgotten(frame), zone.forgotten(frame));
    let names = to.names(tables).map(|name| frame.forget(name));
    let [transport, port] = local_end(frame, packet).map(|one| frame.forget(one));
    let is_protected = next.flags.has(flag::PROTECTED)
        && port < NO_PORT
        && next.exemption(transport as u8, port as u16, tables) == Exemption::Protected;
    let subject = Subject::of(transport, port, is_protected).forgotten(frame);
    exception::find(frame, names, &last, &subject, tables, observer).is_some()
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
