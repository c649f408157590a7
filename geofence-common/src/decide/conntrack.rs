//! Which packets of ours open a flow, keep it open or close it.
//!
//! A packet leaves whether it is remembered or not; whether it may is decided before (`crate::leave`). Only what
//! ingress would drop is worth remembering, so a packet to a country that is not blocked costs a look at its ports and
//! one look-up.

use crate::decide::endpoint::{classify, needs_exemption};
use crate::decide::tables::Tables;
use crate::explain::{Observer, Step};
use crate::flow::key::{FlowKey, Table};
use crate::flow::state::{Flow, State, lifetime};
use crate::frame::Frame;
use crate::image::class::Class;
use crate::image::destination::DestinationPolicy;
use crate::image::settings::{Flags, PortRule, Replies};
use crate::opaque::Opaque as _;
use crate::packet::{Fragment, Packet, Transport};
use crate::wire::parse::find_upper;
use crate::wire::{protocol, transport, transport::tcp};

/// Tables whose flows can be written, as egress alone does.
pub trait Conntrack: Tables {
    /// Replaces what is known of a flow, in place; says whether the flow was there.
    fn update(&self, table: Table, key: &FlowKey, change: impl FnOnce(Flow) -> Flow) -> bool;

    /// Adds a flow; says whether there was room.
    fn open(&self, table: Table, key: &FlowKey, flow: Flow) -> bool;
}

/// What a packet that leaves did to the flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracking {
    /// Nothing: its replies pass without, or are not wanted.
    Nothing,
    Opened(Table),
    Updated(Table),
    /// It came in by a protected interface, so it is not our side's.
    Forwarded(Table),
    /// The table did not take it.
    Full(Table),
}

/// What the transport header of a packet means for a flow.
struct Intent {
    protocol: u8,
    local_port: u16,
    remote_port: u16,
    /// What a new flow would be; nothing where a packet cannot open one.
    opens: Option<(State, u64)>,
    segment: Segment,
}

/// What a packet does to a flow that exists.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Segment {
    /// Starts it anew, or keeps a datagram flow open.
    Start,
    Carry,
    Finish,
    Reset,
}

/// Looks at a packet that leaves, as far as it has been read. `destination` is the class of where it goes, where that
/// is known already.
#[inline(always)]
pub(crate) fn conntrack<F: Frame, T: Conntrack, O: Observer>(
    frame: &F,
    packet: &Packet,
    destination: Option<Class>,
    is_forwarded: impl FnOnce() -> bool,
    flags: Flags,
    tables: &T,
    observer: &mut O,
) -> Tracking {
    if flags.replies() == Replies::None {
        return Tracking::Nothing;
    }
    let Ok(upper) = find_upper(frame, packet, observer) else {
        return Tracking::Nothing;
    };
    if upper.fragment == Fragment::Later {
        return Tracking::Nothing;
    }
    let next = upper.opaque(frame);
    let Ok(transport) = transport::read(frame, &upper, packet.end) else {
        return Tracking::Nothing;
    };
    observer.step(Step::Transport(transport));
    let Some((intent, _)) = intent_of(transport, flags) else {
        return Tracking::Nothing;
    };
    // What it is about is many things, each of which would be followed through the look-ups; so it is read again.
    let [transport, local_port]: [u32; 2] =
        [intent.protocol.into(), intent.local_port.into()].opaque(frame);
    let Some(policy) = DestinationPolicy::of(&packet.source, false, flags, tables, observer) else {
        return Tracking::Nothing;
    };
    // An exempt port of ours needs no flow, a protected one must have none, and answering opens none.
    if policy.port_rule(transport as u8, local_port as u16, tables) != PortRule::None {
        return Tracking::Nothing;
    }
    let class = match destination {
        Some(class) => Some(class),
        None => classify(&packet.destination, tables, observer),
    };
    if !class.is_some_and(|class| needs_exemption(class, &policy, tables)) {
        return Tracking::Nothing;
    }
    let Ok(transport) = transport::read(frame, &next, packet.end) else {
        return Tracking::Nothing;
    };
    let Some((intent, table)) = intent_of(transport, flags) else {
        return Tracking::Nothing;
    };
    if is_forwarded() {
        return Tracking::Forwarded(table);
    }
    let key = FlowKey::new(
        &packet.source,
        &packet.destination,
        intent.protocol,
        intent.local_port,
        intent.remote_port,
    );
    let now = tables.now();
    let tracking = record(&intent, table, &key, now, tables);
    if O::IS_ACTIVE {
        observer.step(Step::Flow {
            table,
            key,
            found: tables.flow(table, &key),
            now,
        });
    }
    tracking
}

/// What a packet wants of a flow, and of which table, if replies to such packets are let in.
#[inline(always)]
fn intent_of(transport: Transport, flags: Flags) -> Option<(Intent, Table)> {
    let intent = Intent::of(transport)?;
    let table = Table::of(intent.protocol, intent.remote_port, flags)?;
    Some((intent, table))
}

#[inline(always)]
fn record<T: Conntrack>(
    intent: &Intent,
    table: Table,
    key: &FlowKey,
    now: u64,
    tables: &T,
) -> Tracking {
    if tables.update(table, key, |flow| intent.update(flow, now)) {
        return Tracking::Updated(table);
    }
    let Some((state, lifetime)) = intent.opens else {
        return Tracking::Nothing;
    };
    if tables.open(table, key, Flow::new(state, lifetime, now)) {
        Tracking::Opened(table)
    } else {
        Tracking::Full(table)
    }
}

impl Intent {
    #[inline(always)]
    fn of(transport: Transport) -> Option<Self> {
        Some(match transport {
            Transport::Tcp {
                source,
                destination,
                flags,
            } => {
                let segment = if flags & tcp::RST != 0 {
                    Segment::Reset
                } else if flags & tcp::FIN != 0 {
                    Segment::Finish
                } else if flags & (tcp::SYN | tcp::ACK) == tcp::SYN {
                    Segment::Start
                } else {
                    Segment::Carry
                };
                Self {
                    protocol: protocol::TCP,
                    local_port: source,
                    remote_port: destination,
                    // A SYN with ACK is an answer, and what follows it belongs to a flow that is known or not ours.
                    opens: if segment == Segment::Start {
                        Some((State::Opening, lifetime::TRANSITORY))
                    } else {
                        None
                    },
                    segment,
                }
            }
            Transport::Udp {
                source,
                destination,
            } => Self {
                protocol: protocol::UDP,
                local_port: source,
                remote_port: destination,
                opens: Some((
                    State::Datagram,
                    if matches!(destination, 53 | 853) {
                        lifetime::DNS
                    } else {
                        lifetime::DATAGRAM
                    },
                )),
                segment: Segment::Start,
            },
            Transport::Icmp {
                kind: 8,
                identifier,
                ..
            } => Self::echo(protocol::ICMP, identifier),
            Transport::Icmpv6 {
                kind: 128,
                identifier,
                ..
            } => Self::echo(protocol::ICMPV6, identifier),
            Transport::Icmp { .. } | Transport::Icmpv6 { .. } | Transport::Other { .. } => {
                return None;
            }
        })
    }

    #[inline(always)]
    fn echo(protocol: u8, identifier: u16) -> Self {
        Self {
            protocol,
            local_port: identifier,
            remote_port: 0,
            opens: Some((State::Datagram, lifetime::ECHO)),
            segment: Segment::Start,
        }
    }

    /// What becomes of a flow by this packet of ours.
    #[inline(always)]
    fn update(&self, flow: Flow, now: u64) -> Flow {
        let (state, lifetime) = match self.segment {
            Segment::Start => match self.opens {
                Some((state, lifetime)) => return Flow::new(state, lifetime, now).since(flow, now),
                None => return flow,
            },
            Segment::Reset => (State::Closed, lifetime::CLOSED),
            Segment::Finish => (State::Closing, lifetime::TRANSITORY),
            Segment::Carry => match State::from_number(flow.state) {
                Some(State::Closing) => (State::Closing, lifetime::TRANSITORY),
                // Whatever we send on a connection that we reset, it is over.
                Some(State::Closed) => return flow,
                _ => (State::Established, lifetime::ESTABLISHED),
            },
        };
        Flow {
            deadline: now + lifetime,
            state: state as u32,
            ..flow
        }
    }
}
