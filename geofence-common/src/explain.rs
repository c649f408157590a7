//! How `explain` watches a decision being made. The kernel watches with `()`, which costs nothing.

use crate::action::Reason;
use crate::address::{Address, Embedding};
use crate::flow::key::{FlowKey, Table};
use crate::flow::state::Flow;
use crate::image::class::Class;
use crate::packet::{Quoted, Transport};

/// Something that happened on the way to a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Tags were skipped and the EtherType behind them read.
    Ethernet { tags: u8, ether_type: u16 },
    /// The addresses were read.
    Network {
        source: Address,
        destination: Address,
        protocol: u8,
    },
    /// An IPv6 extension header was walked over.
    Extension { header: u8 },
    /// The transport header was looked for.
    Transport(Transport),
    /// An address was looked up and fell into this class.
    Class { address: Address, class: Class },
    /// The address carries an IPv4 address, which is judged in its place.
    Embedded { how: Embedding, inner: Address },
    /// An ICMP error was read up to the packet it quotes.
    Quoted(Quoted),
    /// A flow was looked for, or written.
    Flow {
        table: Table,
        key: FlowKey,
        found: Option<Flow>,
        now: u64,
    },
    /// The destination was looked up; it is this tenant's, or nobody's.
    DestinationPolicy { address: Address, tenant: u32 },
    /// An exception for this packet was found, by its slot.
    Exception { slot: u32, is_live: bool },
    /// The port is protected, or may be: the packet hides which it is for.
    Protected {
        tenant: u32,
        transport: Option<u8>,
        port: Option<u16>,
    },
    /// What the source may send to exempted services was looked at.
    RateLimit { is_within: bool },
    /// A datagram was looked for whose first fragment had passed.
    Datagram { is_known: bool },
    /// The decision was made.
    Decided(Reason),
}

/// Watches a decision being made.
pub trait Observer {
    /// Whether anybody looks; if not, nothing need be asked for the sake of a step.
    const IS_ACTIVE: bool = true;

    /// Called once for each step, in order.
    fn step(&mut self, step: Step);
}

impl Observer for () {
    const IS_ACTIVE: bool = false;

    #[inline(always)]
    fn step(&mut self, _: Step) {}
}

impl<O: Observer> Observer for &mut O {
    const IS_ACTIVE: bool = O::IS_ACTIVE;

    #[inline(always)]
    fn step(&mut self, step: Step) {
        (**self).step(step);
    }
}
