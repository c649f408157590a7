//! Decides about a packet that enters.
//!
//! The order of the questions is the meaning of the policy: read `filter`, `decide` and `decide_case` from top to
//! bottom. The country of a packet needs its network header only. Its transport header is read only where an exception,
//! a protected port or an exemption depends on it.

use crate::action::{Action, Reason};
use crate::country::Country;
use crate::decide::case::{Case, NO_REASON, number, reason_of};
use crate::decide::endpoint::{Endpoint, find_endpoint, verdict_by_addresses};
use crate::decide::exceptions::check_exceptions;
use crate::decide::exemptions::{by_ports, exemption, later_fragment, mark_first_fragment};
use crate::decide::fast_path::{BY_CONTENT, concerns_content};
use crate::decide::link_control::is_link_control;
use crate::decide::tables::Tables;
use crate::decide::verdict::Verdict;
use crate::explain::{Observer, Step};
use crate::frame::Frame;
use crate::image::class::Class;
use crate::image::destination::DestinationPolicy;
use crate::image::settings::{Flags, flag};
use crate::opaque::Opaque as _;
use crate::packet::Packet;
use crate::wire::parse::{parse, read_l4, read_quoted};

/// Decides about a frame. Every frame gets exactly one verdict.
#[inline(always)]
pub fn filter<F: Frame, T: Tables, O: Observer>(
    frame: &F,
    tables: &T,
    observer: &mut O,
) -> Verdict {
    judge(frame, tables, observer).0
}

/// Decides about a frame on the fast path. An error is the class of the source, if rules may concern the frame; then
/// nothing has changed by it.
#[inline(always)]
pub fn filter_fast<F: Frame, T: Tables, O: Observer>(
    frame: &F,
    tables: &T,
    observer: &mut O,
) -> Result<Verdict, Class> {
    let (verdict, is_of_rules) = judge(frame, tables, observer);
    if is_of_rules {
        return Err(verdict.peer.class.opaque(frame));
    }
    Ok(verdict)
}

/// The verdict, and whether it is none because only the rules can decide, which the fast path does not have.
#[inline(always)]
fn judge<F: Frame, T: Tables, O: Observer>(
    frame: &F,
    tables: &T,
    observer: &mut O,
) -> (Verdict, bool) {
    let Some(flags) = tables.flags() else {
        return (no_policy(observer), false);
    };
    let packet = match parse(frame, observer) {
        Ok(packet) => packet,
        Err(reason) => {
            observer.step(Step::Decided(reason));
            return (Verdict::new(reason, Country::NONE, flags.mode()), false);
        }
    };
    let Some(source) = find_endpoint(&packet.source, tables, observer) else {
        return (no_policy(observer), false);
    };
    let is_excepted = source.class.is_excepted();
    let Some(policy) =
        DestinationPolicy::of(&packet.destination, is_excepted, flags, tables, observer)
    else {
        return (no_policy(observer), false);
    };
    let Decision {
        reason,
        policy,
        exception,
        is_of_rules,
    } = if T::IS_FAST_PATH && source.class.is_named() {
        Decision::of_rules(&policy)
    } else {
        decide(frame, &packet, &source, &policy, tables, observer)
    };
    observer.step(Step::Decided(reason));
    let verdict = Verdict::new(reason, source.class.country(), policy.flags.mode())
        .with_tenant_and_exception(policy.tenant(tables), exception)
        .with_peer(source.peer(&policy));
    (verdict, is_of_rules)
}

#[inline(always)]
fn no_policy<O: Observer>(observer: &mut O) -> Verdict {
    observer.step(Step::Decided(Reason::NoPolicy));
    Verdict::NO_POLICY
}

#[inline(always)]
fn decide<F: Frame, T: Tables, O: Observer>(
    frame: &F,
    packet: &Packet,
    source: &Endpoint,
    policy: &DestinationPolicy,
    tables: &T,
    observer: &mut O,
) -> Decision {
    // Opaque copies on the fast path, which goes on behind more of these questions: what the verifier learns here must
    // not follow it.
    let class = if T::IS_FAST_PATH {
        source.class.opaque(frame)
    } else {
        source.class
    };
    let by_addresses = if is_link_control(frame, packet, class, tables) {
        return Decision::new(Reason::LinkControl, policy);
    } else if class.is_mapped() {
        return Decision::new(Reason::Mapped, policy);
    } else if class.is_management() {
        return Decision::new(Reason::Management, policy);
    } else {
        verdict_by_addresses(class, policy, tables)
    };
    match by_addresses {
        Some(reason) if !asks_for_ports::<T>(class, policy.flags) => Decision::new(reason, policy),
        by_addresses => decide_case(
            frame,
            packet,
            source,
            policy,
            by_addresses,
            tables,
            observer,
        ),
    }
}

/// Whether the reason that the addresses give depends on the port as well.
#[inline(always)]
fn asks_for_ports<T: Tables>(class: Class, flags: Flags) -> bool {
    T::HAS_RULES && class.is_excepted()
        || (T::HAS_RULES || T::IS_FAST_PATH) && flags.has(flag::PROTECTED)
}

/// Decides about a packet that the addresses alone do not decide.
#[inline(always)]
fn decide_case<F: Frame, T: Tables, O: Observer>(
    frame: &F,
    packet: &Packet,
    source: &Endpoint,
    policy: &DestinationPolicy,
    by_addresses: Option<Reason>,
    tables: &T,
    observer: &mut O,
) -> Decision {
    // Opaque copies: the verifier must not follow each way that leads here through the rest.
    let (packet, source, policy) = (
        packet.opaque(frame),
        source.opaque(frame),
        policy.opaque(frame),
    );
    let by_addresses = number(by_addresses).opaque(frame);
    let l4 = read_l4(frame, &packet, observer);
    if T::IS_FAST_PATH {
        let (policy, l4) = (policy.opaque(frame), l4.opaque(frame));
        if policy.flags.has(BY_CONTENT) && concerns_content(&policy, &l4, tables) {
            return Decision::of_rules(&policy);
        }
        if let Some(settled) = reason_of(by_addresses.opaque(frame)) {
            return Decision::new(settled, &policy);
        }
    }
    let has_rules = T::HAS_RULES
        && (source.class.is_excepted() || policy.flags.has(flag::PROTECTED | flag::RATE_LIMIT));
    if !has_rules && by_addresses == NO_REASON {
        let reason = by_ports(&policy, &l4, blocked(source.class), tables);
        if let Some(reason) = reason_of(number(reason).opaque(frame)) {
            return Decision::new(reason, &policy);
        }
    }
    let l4 = read_quoted(frame, &packet, l4, observer);
    let case = Case {
        later_fragment: number(later_fragment(&packet, &l4, tables, observer)),
        packet,
        source,
        policy,
        l4,
        by_addresses,
    };
    let decided = tables.with_case(case, |case| {
        let found = check_exceptions(frame, case, tables, observer);
        let (reason, exception) = match found {
            Some(found) => found,
            None => (check_exemptions(case, tables, observer), 0),
        };
        // Later fragments pass behind a first one that passed here. Where neither the port nor the country of a
        // packet decides, they need none.
        if reason.action() == Action::Pass {
            mark_first_fragment(&case.packet, &case.l4, tables);
        }
        Decision {
            reason: reason_of((reason as u32).opaque(frame)).unwrap_or(Reason::NoPolicy),
            policy: case.policy,
            exception: if T::HAS_RULES {
                exception.opaque(frame)
            } else {
                0
            },
            is_of_rules: false,
        }
    });
    decided.unwrap_or(Decision::new(Reason::NoPolicy, &policy))
}

/// The reason for a packet that no exception or protected port concerns.
#[inline(always)]
fn check_exemptions<T: Tables, O: Observer>(case: &Case, tables: &T, observer: &mut O) -> Reason {
    if let Some(settled) = reason_of(case.by_addresses) {
        return settled;
    }
    exemption(case, tables, observer).unwrap_or(blocked(case.source.class))
}

/// The reason to drop a packet from a blocked source that nothing exempts.
#[inline(always)]
fn blocked(class: Class) -> Reason {
    if class.country() == Country::UNKNOWN {
        Reason::CountryUnknownBlocked
    } else {
        Reason::CountryBlocked
    }
}

/// The reason, the policy of the destination, and the exception that applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decision {
    reason: Reason,
    policy: DestinationPolicy,
    /// The exception's slot plus one, 0 for none.
    exception: u32,
    /// Whether only the rules can decide, which the fast path does not have.
    is_of_rules: bool,
}

impl Decision {
    #[inline(always)]
    const fn new(reason: Reason, policy: &DestinationPolicy) -> Self {
        Self {
            reason,
            policy: *policy,
            exception: 0,
            is_of_rules: false,
        }
    }

    /// There is no decision on the fast path.
    #[inline(always)]
    const fn of_rules(policy: &DestinationPolicy) -> Self {
        Self {
            is_of_rules: true,
            ..Self::new(Reason::NoPolicy, policy)
        }
    }
}
