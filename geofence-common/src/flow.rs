//! Flows: what our side opened towards a blocked country, and for how long the other side may answer.
//!
//! Only packets that leave create or extend a flow. Deadlines are nanoseconds since boot, time asleep included
//! (CLOCK_BOOTTIME), so that neither a stopped daemon nor a changed clock keeps a door open.

use crate::address::Address;
use crate::image::{Flags, Replies};
use crate::wire::protocol;

/// The tables of flows. They are apart so that no flood of one kind displaces the flows of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    /// Mail transfer and submission, and the policy fetches of MTA-STS (RFC 8461) where they are asked for.
    Mail = 0,
    /// DNS over UDP, TCP, TLS and QUIC.
    Dns = 1,
    /// Everything else, where replies to all of it are wanted.
    Other = 2,
}

impl Table {
    pub const ALL: [Self; 3] = [Self::Mail, Self::Dns, Self::Other];

    /// The spelling used in metrics and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Dns => "dns",
            Self::Other => "other",
        }
    }

    /// The table of flows to a remote port, if such flows are tracked. For an echo there is no port; give 0.
    #[must_use]
    #[inline(always)]
    pub const fn of(transport: u8, remote_port: u16, flags: Flags) -> Option<Self> {
        let all = match flags.replies() {
            Replies::None => return None,
            Replies::Mail => false,
            Replies::All => true,
        };
        match (transport, remote_port) {
            (protocol::TCP, 25 | 465 | 587) => Some(Self::Mail),
            (protocol::TCP, 443) if flags.fetches_mta_sts() => Some(Self::Mail),
            (protocol::TCP | protocol::UDP, 53 | 853) => Some(Self::Dns),
            (protocol::TCP | protocol::UDP | protocol::ICMP | protocol::ICMPV6, _) if all => {
                Some(Self::Other)
            }
            _ => None,
        }
    }
}

/// What a flow is known by: its two ends, seen from our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct FlowKey {
    /// The words of the addresses.
    pub local: [u64; 2],
    pub remote: [u64; 2],
    /// In host order. An echo has its identifier here and 0 as the remote port.
    pub local_port: u16,
    pub remote_port: u16,
    pub protocol: u8,
    /// 1 for IPv6, 0 for IPv4.
    pub is_v6: u8,
    pub padding: [u8; 2],
}

impl FlowKey {
    #[must_use]
    #[inline(always)]
    pub fn new(
        local: &Address,
        remote: &Address,
        protocol: u8,
        local_port: u16,
        remote_port: u16,
    ) -> Self {
        Self {
            local: local.words(),
            remote: remote.words(),
            local_port,
            remote_port,
            protocol,
            is_v6: local.is_v6() as u8,
            padding: [0; 2],
        }
    }

    /// Our side's address.
    #[must_use]
    pub const fn local(&self) -> Address {
        Address::from_words(self.is_v6 != 0, self.local)
    }

    /// The other side's address.
    #[must_use]
    pub const fn remote(&self) -> Address {
        Address::from_words(self.is_v6 != 0, self.remote)
    }
}

/// What is known of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Flow {
    /// When replies cease to pass.
    pub deadline: u64,
    /// When our side opened it.
    pub opened: u64,
    /// A `State`, as its number.
    pub state: u32,
    pub padding: u32,
}

impl Flow {
    #[must_use]
    #[inline(always)]
    pub const fn new(state: State, lifetime: u64, now: u64) -> Self {
        Self {
            deadline: now + lifetime,
            opened: now,
            state: state as u32,
            padding: 0,
        }
    }

    #[must_use]
    #[inline(always)]
    pub const fn is_live(&self, now: u64) -> bool {
        self.deadline > now
    }
}

/// How far a flow has come, by what our side has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    /// A SYN and nothing more.
    Opening = 1,
    Established = 2,
    /// A FIN; the other side may go on for a while.
    Closing = 3,
    /// A RST.
    Closed = 4,
    /// A protocol without connections.
    Datagram = 5,
}

impl State {
    /// The state of this number, if there is one.
    #[must_use]
    #[inline(always)]
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Opening,
            2 => Self::Established,
            3 => Self::Closing,
            4 => Self::Closed,
            5 => Self::Datagram,
            _ => return None,
        })
    }

    /// The spelling used in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Established => "established",
            Self::Closing => "closing",
            Self::Closed => "closed",
            Self::Datagram => "datagram",
        }
    }
}

const SECOND: u64 = 1_000_000_000;

/// How long replies pass after the last packet of ours, in nanoseconds.
pub mod lifetime {
    use super::SECOND;

    /// RFC 5382 section 5: at least two hours and four minutes.
    pub const ESTABLISHED: u64 = 7_440 * SECOND;
    /// RFC 5382 section 5: four minutes while a connection opens or closes.
    pub const TRANSITORY: u64 = 240 * SECOND;
    /// What is under way when we reset a connection.
    pub const CLOSED: u64 = 10 * SECOND;
    /// A resolver gives up on an authority well before.
    pub const DNS: u64 = 60 * SECOND;
    /// RFC 4787 section 4.3 recommends five minutes.
    pub const DATAGRAM: u64 = 300 * SECOND;
    /// RFC 5508 section 3.2: at least a minute.
    pub const ECHO: u64 = 60 * SECOND;
    /// How long an accepted first fragment speaks for the rest; Linux reassembles for as long (net.ipv4.ipfrag_time).
    pub const FRAGMENT: u64 = 30 * SECOND;
}

/// What a fragmented datagram is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct DatagramKey {
    pub source: [u64; 2],
    pub destination: [u64; 2],
    pub identification: u32,
    pub protocol: u8,
    /// 1 for IPv6, 0 for IPv4.
    pub is_v6: u8,
    pub padding: [u8; 2],
}

impl DatagramKey {
    #[must_use]
    #[inline(always)]
    pub fn new(source: &Address, destination: &Address, identification: u32, protocol: u8) -> Self {
        Self {
            source: source.words(),
            destination: destination.words(),
            identification,
            protocol,
            is_v6: source.is_v6() as u8,
            padding: [0; 2],
        }
    }
}

/// A datagram whose first fragment was accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Datagram {
    /// When later fragments cease to pass.
    pub deadline: u64,
    /// Bytes of the datagram that the first fragment carried; later ones start behind them.
    pub first: u32,
    pub padding: u32,
}
