//! Conntrack: which packets of our side open a flow, extend it or close it.
//!
//! Recording never stops a packet; `crate::decide::egress` has decided that before. Only flows whose replies ingress
//! would drop are recorded, so a packet to a country that is not blocked costs a look at its ports and one look-up.

use crate::decide::endpoint::{classify, needs_exemption};
use crate::decide::origin::Origin;
use crate::decide::tables::Tables;
use crate::explain::{Observer, Step};
use crate::flow::key::{FlowKey, Table};
use crate::flow::state::{Flow, State, lifetime};
use crate::frame::Frame;
use crate::image::class::Class;
use crate::image::destination::DestinationPolicy;
use crate::image::settings::{Flags, PortRule, Replies};
use crate::opaque::{Opaque as _, opaque};
use crate::packet::{Fragment, Packet, Transport};
use crate::wire::parse::find_upper;
use crate::wire::{dns, protocol, transport, transport::tcp};

/// Tables that can write flows. Only egress does.
pub trait Conntrack: Tables {
    /// Changes a flow in place. Returns whether the flow exists.
    fn update(&self, table: Table, key: &FlowKey, change: impl FnOnce(Flow) -> Flow) -> bool;

    /// Adds a flow. Returns whether there was room.
    fn open(&self, table: Table, key: &FlowKey, flow: Flow) -> bool;
}

/// What a packet that leaves did to the flow tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracking {
    /// Nothing: its replies need no flow, or the policy does not track such flows.
    Nothing,
    Opened(Table),
    Updated(Table),
    /// Nothing: the packet was forwarded, so our side did not open the flow.
    Forwarded(Table),
    /// Nothing: the packet may have come in by a protected interface.
    Unattributed(Table),
    /// The table had no room.
    Full(Table),
    /// Nothing: the policy passes no replies, so nothing that comes back gets in.
    Unanswered(Table),
}

/// A transport header as plain numbers, so that it can be made opaque.
#[derive(Clone, Copy)]
struct Segment {
    protocol: u8,
    /// The source port, or the identifier of an echo.
    source: u16,
    destination: u16,
    /// The flags of TCP, or the type of an ICMP message.
    bits: u8,
    /// The identifier of a DNS query.
    identifier: u16,
}

opaque!(Segment {
    protocol,
    source,
    destination,
    bits,
    identifier
});

impl Segment {
    #[inline(always)]
    const fn of(transport: Transport) -> Self {
        let (protocol, source, destination, bits) = match transport {
            Transport::Tcp {
                source,
                destination,
                flags,
            } => (protocol::TCP, source, destination, flags),
            Transport::Udp {
                source,
                destination,
            } => (protocol::UDP, source, destination, 0),
            Transport::Icmp {
                kind, identifier, ..
            } => (protocol::ICMP, identifier, 0, kind),
            Transport::Icmpv6 {
                kind, identifier, ..
            } => (protocol::ICMPV6, identifier, 0, kind),
            Transport::Other { protocol } => (protocol, 0, 0, 0),
        };
        Self {
            protocol,
            source,
            destination,
            bits,
            identifier: 0,
        }
    }
}

const ECHO_REQUEST: u8 = 8;
const ECHO_REQUEST_V6: u8 = 128;

/// What a packet means for a flow.
struct Intent {
    protocol: u8,
    local_port: u16,
    remote_port: u16,
    /// The identifier of a DNS query over UDP, 0 for anything else.
    identifier: u16,
    /// The state and lifetime of a new flow; nothing if such a packet opens none.
    opens: Option<(State, u64)>,
    effect: Effect,
}

/// What a packet does to an existing flow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Starts a connection, or keeps a datagram flow open.
    Start,
    Carry,
    Finish,
    Reset,
}

/// Records the flow of a packet that leaves. `destination` is the class of its destination, if that was looked up.
#[inline(always)]
pub(crate) fn conntrack<F: Frame, T: Conntrack, O: Observer>(
    frame: &F,
    packet: &Packet,
    destination: Option<Class>,
    origin: impl FnOnce() -> Origin,
    flags: Flags,
    tables: &T,
    observer: &mut O,
) -> Tracking {
    let Ok(upper) = find_upper(frame, packet, observer) else {
        return Tracking::Nothing;
    };
    if upper.fragment == Fragment::Later {
        return Tracking::Nothing;
    }
    let Ok(transport) = transport::read(frame, &upper, packet.end) else {
        return Tracking::Nothing;
    };
    observer.step(Step::Transport(transport));
    let mut segment = Segment::of(transport);
    if segment.protocol == protocol::UDP && segment.destination == dns::PORT {
        match dns::read(frame, &upper, packet.end) {
            Some(query) if !query.is_response => segment.identifier = query.identifier,
            // A response of ours, or no DNS at all: nothing comes back.
            _ => return Tracking::Nothing,
        }
    }
    let segment = segment.opaque(frame);
    let next = segment.opaque(frame);
    let Some((intent, _)) = intent_of(&segment, flags) else {
        return Tracking::Nothing;
    };
    // The verifier would follow each intent through the look-ups, so it is derived from `next` again behind them.
    let [transport, local_port]: [u32; 2] =
        [intent.protocol.into(), intent.local_port.into()].opaque(frame);
    let Some(policy) = DestinationPolicy::of(&packet.source, false, flags, tables, observer) else {
        return Tracking::Nothing;
    };
    // An exempted port of ours needs no flow. A protected one must have none: an answer from it must not open it.
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
    let Some((intent, table)) = intent_of(&next, flags) else {
        return Tracking::Nothing;
    };
    match origin() {
        Origin::Local | Origin::Inside => {}
        Origin::Protected => return Tracking::Forwarded(table),
        Origin::Above | Origin::Unknown => return Tracking::Unattributed(table),
    }
    if flags.replies() == Replies::None {
        return Tracking::Unanswered(table);
    }
    let key = FlowKey::new(
        &packet.source,
        &packet.destination,
        intent.protocol,
        intent.local_port,
        intent.remote_port,
    )
    .of_query(intent.identifier);
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

/// What a packet means for a flow and the table of that flow, if replies to it are tracked, or counted as missing.
#[inline(always)]
fn intent_of(segment: &Segment, flags: Flags) -> Option<(Intent, Table)> {
    let intent = Intent::of(segment)?;
    let table = Table::of(intent.protocol, intent.remote_port, flags.at_least_mail())?;
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
    let answers = key.answers_max().unwrap_or(0);
    if tables.update(table, key, |flow| {
        intent.update(flow, now).with_answers(answers)
    }) {
        return Tracking::Updated(table);
    }
    let Some((state, lifetime)) = intent.opens else {
        return Tracking::Nothing;
    };
    if tables.open(
        table,
        key,
        Flow::new(state, lifetime, now).with_answers(answers),
    ) {
        Tracking::Opened(table)
    } else {
        Tracking::Full(table)
    }
}

impl Intent {
    #[inline(always)]
    fn of(segment: &Segment) -> Option<Self> {
        let Segment {
            protocol,
            source,
            destination,
            bits,
            identifier,
        } = *segment;
        Some(match (protocol, bits) {
            (protocol::TCP, flags) => {
                let effect = if flags & tcp::RST != 0 {
                    Effect::Reset
                } else if flags & tcp::FIN != 0 {
                    Effect::Finish
                } else if flags & (tcp::SYN | tcp::ACK) == tcp::SYN {
                    Effect::Start
                } else {
                    Effect::Carry
                };
                Self {
                    protocol: protocol::TCP,
                    local_port: source,
                    remote_port: destination,
                    identifier: 0,
                    // A SYN with ACK answers a peer; the connection is known already, or the peer opened it.
                    opens: if effect == Effect::Start {
                        Some((State::Opening, lifetime::TRANSITORY))
                    } else {
                        None
                    },
                    effect,
                }
            }
            (protocol::UDP, _) => Self {
                protocol: protocol::UDP,
                local_port: source,
                remote_port: destination,
                identifier,
                opens: Some((
                    State::Datagram,
                    if matches!(destination, dns::PORT | 853) {
                        lifetime::DNS
                    } else {
                        lifetime::DATAGRAM
                    },
                )),
                effect: Effect::Start,
            },
            (protocol::ICMP, ECHO_REQUEST) => Self::echo(protocol::ICMP, source),
            (protocol::ICMPV6, ECHO_REQUEST_V6) => Self::echo(protocol::ICMPV6, source),
            _ => return None,
        })
    }

    #[inline(always)]
    fn echo(protocol: u8, identifier: u16) -> Self {
        Self {
            protocol,
            local_port: identifier,
            remote_port: 0,
            identifier: 0,
            opens: Some((State::Datagram, lifetime::ECHO)),
            effect: Effect::Start,
        }
    }

    /// The flow after this packet of ours.
    #[inline(always)]
    fn update(&self, flow: Flow, now: u64) -> Flow {
        let is_state = |state| State::from_number(flow.state) == Some(state);
        let (state, lifetime) = match self.effect {
            Effect::Start => match self.opens {
                Some((state, lifetime)) => return Flow::new(state, lifetime, now).since(flow, now),
                None => return flow,
            },
            // After our RST the connection stays closed, and its last seconds do not start again.
            _ if is_state(State::Closed) => return flow,
            // Before the handshake is complete, our kernel answers a forged segment with a RST and goes on with the
            // handshake (RFC 9293 section 3.10.7.3).
            Effect::Reset if is_state(State::Opening) => return flow,
            Effect::Reset => (State::Closed, lifetime::CLOSED),
            Effect::Finish => (State::Closing, lifetime::TRANSITORY),
            Effect::Carry if is_state(State::Closing) => (State::Closing, lifetime::TRANSITORY),
            Effect::Carry => (State::Established, lifetime::ESTABLISHED),
        };
        Flow {
            deadline: now + lifetime,
            state: state as u32,
            ..flow
        }
    }
}
