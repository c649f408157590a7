//! How `explain` watches a decision. The kernel's observer is `()`, which costs nothing.

use crate::action::Reason;
use crate::address::{Address, Embedding};
use crate::flow::key::{FlowKey, Table};
use crate::flow::state::Flow;
use crate::image::class::Class;
use crate::packet::{Quoted, Transport};

/// A step on the way to a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The Ethernet header and its VLAN tags were read.
    Ethernet { tags: u8, ether_type: u16 },
    /// The network header was read.
    Network {
        source: Address,
        destination: Address,
        protocol: u8,
    },
    /// An IPv6 extension header was skipped.
    Extension { header: u8 },
    /// The transport header was read.
    Transport(Transport),
    /// An address was looked up; this is its class.
    Class { address: Address, class: Class },
    /// The address embeds an IPv4 address, whose country applies.
    Embedded { how: Embedding, inner: Address },
    /// The packet that an ICMP error quotes was read.
    Quoted(Quoted),
    /// A flow was looked up or written.
    Flow {
        table: Table,
        key: FlowKey,
        found: Option<Flow>,
        now: u64,
    },
    /// The destination was looked up; it belongs to this tenant, or to none (0).
    DestinationPolicy { address: Address, tenant: u32 },
    /// An exception matches the packet; this is its slot.
    Exception { slot: u32, is_live: bool },
    /// The port is protected, or the host has protected ports and the packet hides its port.
    Protected {
        tenant: u32,
        transport: Option<u8>,
        port: Option<u16>,
    },
    /// The rate limit of the source was checked.
    RateLimit { is_within: bool },
    /// A later fragment: the table of accepted first fragments was looked up.
    Datagram { is_known: bool },
    /// The decision was made.
    Decided(Reason),
}

/// Watches a decision.
pub trait Observer {
    /// Whether steps are recorded. If not, the data path reads nothing for the sake of a step.
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
