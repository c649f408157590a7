//! Bans, exceptions and protected ports, which come before lists and countries.

use crate::action::{Action, Reason};
use crate::decide::case::{Case, NO_REASON, reason_of};
use crate::decide::endpoint::{Endpoint, find_endpoint};
use crate::decide::tables::Tables;
use crate::explain::{Observer, Step};
use crate::frame::Frame;
use crate::image::destination::DestinationPolicy;
use crate::image::exceptions::{ANYWHERE, BANNED, EXCEPTION_WORDS, RUN_MAX, pair, traffic};
use crate::image::settings::{PortRule, flag};
use crate::opaque::{Opaque, opaque};
use crate::wire::protocol;

/// The reason that a ban, an exception or a protected port gives, and the slot of the first two plus one (0 for none).
#[inline(always)]
pub(crate) fn check_exceptions<F: Frame, T: Tables, O: Observer>(
    frame: &F,
    case: &Case,
    tables: &T,
    observer: &mut O,
) -> Option<(Reason, u32)> {
    let Case {
        packet,
        source,
        policy,
        l4,
        ..
    } = case;
    if !T::HAS_RULES || !policy.flags.has(flag::EXCEPTIONS | flag::PROTECTED) {
        return None;
    }
    let is_excepted = source.class.is_excepted();
    if let Some(slot) = find_ban(frame, source, tables, observer) {
        return Some((Reason::Banned, slot.wrapping_add(1)));
    }
    let has_protected_ports = policy.flags.has(flag::PROTECTED);
    if let Some(later) = reason_of(case.later_fragment)
        && (is_excepted || (has_protected_ports && later.action() == Action::Drop))
    {
        return Some((later, 0));
    }
    // An ICMP error that nothing else passes may be about our answer to a peer that an exception let in.
    let quoted = match l4.quoted(packet) {
        Some(quoted) if case.by_addresses == NO_REASON => Some(quoted),
        _ => None,
    };
    if !is_excepted && !has_protected_ports && quoted.is_none() {
        // No exception concerns this source, so it costs the packet nothing that there are exceptions for others.
        return None;
    }
    let is_lone = l4.is_later_of_ports() && case.later_fragment == NO_REASON;
    let is_hidden = has_protected_ports && (is_lone || l4.hides_port());
    let (transport, port) = (l4.protocol(), l4.port());
    let is_protected = is_hidden
        || match (transport, port) {
            (Some(transport), Some(port)) if has_protected_ports => {
                policy.port_rule(transport, port, tables) == PortRule::Protected
            }
            _ => false,
        };
    let (names, traffic) = match quoted {
        Some(quoted) => (
            find_endpoint(&quoted.destination, tables, observer)
                .map_or([0; 3], |peer| peer.exception_names(tables)),
            Traffic::new(
                Some(quoted.protocol),
                Some(quoted.source_port),
                has_protected_ports
                    && policy.port_rule(quoted.protocol, quoted.source_port, tables)
                        == PortRule::Protected,
            ),
        ),
        None => (
            source.exception_names(tables),
            Traffic::new(transport, port, is_protected),
        ),
    };
    let names = names.opaque(frame);
    let traffic = traffic.opaque(frame);
    let (is_protected, is_quoted) = (
        u32::from(is_protected).opaque(frame),
        u32::from(quoted.is_some()).opaque(frame),
    );
    if let Some(found) = find(frame, names, policy, &traffic, tables, observer) {
        return Some(if is_quoted != 0 {
            (Reason::IcmpError, 0)
        } else if found.is_access {
            (Reason::ProtectedAccess, found.slot.wrapping_add(1))
        } else {
            (Reason::Exception, found.slot.wrapping_add(1))
        });
    }
    if is_protected != 0 {
        observer.step(Step::Protected {
            tenant: policy.tenant(tables),
            transport,
            port,
        });
        return Some((Reason::ProtectedService, 0));
    }
    None
}

/// The traffic that a packet belongs to, as exceptions distinguish it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// The protocol, ICMPv6 counting as ICMP; `NO_PROTOCOL` if it is not known.
    protocol: u32,
    /// The destination port; `NO_PORT` if there is none.
    port: u32,
    /// 1 for a protected port: then only an exception that names the port counts.
    is_protected: u32,
}

pub(crate) const NO_PROTOCOL: u32 = 0x100;

pub(crate) const NO_PORT: u32 = 0x1_0000;

opaque!(Traffic {
    protocol,
    port,
    is_protected
});

impl Traffic {
    #[inline(always)]
    pub(crate) fn new(transport: Option<u8>, port: Option<u16>, is_protected: bool) -> Self {
        let transport = transport.map_or(NO_PROTOCOL, u32::from);
        Self::of(transport, port.map_or(NO_PORT, u32::from), is_protected)
    }

    /// The same from numbers, which may be `NO_PROTOCOL` and `NO_PORT`.
    #[inline(always)]
    pub(crate) fn of(transport: u32, port: u32, is_protected: bool) -> Self {
        const ICMPV6: u32 = protocol::ICMPV6 as u32;
        Self {
            protocol: match transport {
                ICMPV6 => protocol::ICMP.into(),
                other => other,
            },
            port,
            is_protected: is_protected.into(),
        }
    }

    /// Whether an exception with these two words covers this traffic.
    ///
    /// By arithmetic: the verifier would follow every branch into every later exception.
    #[inline(always)]
    fn is_of(self, traffic: u32, ports: u32) -> bool {
        let bit = |number: u32| traffic >> number & 1;
        // All bits are set unless the exception covers any protocol.
        let is_bound = bit(traffic::ANY).wrapping_sub(1);
        let other_protocol = (traffic & 0xff ^ self.protocol) & is_bound;
        // A negative difference has its highest bit set.
        let below = self.port.wrapping_sub(ports & 0xffff);
        let above = (ports >> 16).wrapping_sub(self.port);
        let other_port = (below | above) >> 31 & bit(traffic::PORTS);
        let unnamed = self.is_protected & (bit(traffic::PORTS) ^ 1);
        let no_access = bit(traffic::ACCESS) & (self.is_protected ^ 1);
        other_protocol | other_port | unnamed | no_access == 0
    }
}

/// An exception that lets a packet pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExceptionMatch {
    pub(crate) slot: u32,
    pub(crate) is_access: bool,
}

/// Finds an exception for a source with these names, this destination and this traffic.
#[inline(always)]
pub(crate) fn find<F: Frame, T: Tables, O: Observer>(
    frame: &F,
    [outer, inner, country]: [u32; 3],
    policy: &DestinationPolicy,
    traffic: &Traffic,
    tables: &T,
    observer: &mut O,
) -> Option<ExceptionMatch> {
    if outer | inner | country == 0 {
        return None;
    }
    let [group, tenant] = policy.targets(tables).opaque(frame);
    let anywhere = if policy.flags.has(flag::ANYWHERE) {
        ANYWHERE
    } else {
        0
    };
    let anywhere = anywhere.opaque(frame);
    for number in 0..9 {
        // By arithmetic, so that the nine pairs stay one loop.
        let source = match number / 3 {
            0 => outer,
            1 => inner,
            _ => country,
        };
        let target = match number % 3 {
            0 => group,
            1 => tenant,
            _ => anywhere,
        };
        let (source, target) = (source.opaque(frame), target.opaque(frame));
        if source == 0 || target == 0 {
            continue;
        }
        let [at, count] = pair(frame, source, target, tables).opaque(frame);
        if count == 0 {
            continue;
        }
        let found = run(frame, at, count, traffic, tables, observer);
        if found.is_some() {
            return found;
        }
    }
    None
}

/// The slot of a ban of a source.
#[inline(always)]
fn find_ban<F: Frame, T: Tables, O: Observer>(
    frame: &F,
    source: &Endpoint,
    tables: &T,
    observer: &mut O,
) -> Option<u32> {
    if !source.class.has_excepted_prefix() {
        return None;
    }
    let all = Traffic::of(NO_PROTOCOL, NO_PORT, false);
    let names = source.exception_names(tables).opaque(frame);
    for number in 0..2 {
        let name = if number == 0 { names[0] } else { names[1] };
        let name = name.opaque(frame);
        if name == 0 {
            continue;
        }
        let [at, count] = pair(frame, name, BANNED, tables).opaque(frame);
        if count == 0 {
            continue;
        }
        if let Some(found) = run(frame, at, count, &all, tables, observer) {
            return Some(found.slot);
        }
    }
    None
}

/// The first exception of a run that covers the traffic and has not expired.
#[inline(always)]
fn run<F: Frame, T: Tables, O: Observer>(
    frame: &F,
    at: u32,
    count: u32,
    traffic: &Traffic,
    tables: &T,
    observer: &mut O,
) -> Option<ExceptionMatch> {
    let (mut at, mut left) = (at, count);
    for _ in 0..RUN_MAX {
        if left == 0 {
            break;
        }
        let [first, ports, low, high] = tables.quad(at)?;
        if traffic.is_of(first, ports) {
            let slot = first >> traffic::SLOT;
            let is_live = (u64::from(high) << 32 | u64::from(low)) > tables.now();
            observer.step(Step::Exception { slot, is_live });
            if is_live {
                return Some(ExceptionMatch {
                    slot,
                    is_access: first >> traffic::ACCESS & 1 != 0,
                });
            }
        }
        at = at.wrapping_add(EXCEPTION_WORDS as u32).opaque(frame);
        left = left.wrapping_sub(1).opaque(frame);
    }
    None
}
