//! The key of a flow, and which of the flow tables it is in.

use crate::address::Address;
use crate::image::settings::{Flags, Replies};
use crate::wire::{dns, protocol};

/// The flow tables. They are separate, so that a flood of one kind does not evict flows of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    /// Mail transfer, submission and access, and MTA-STS policy fetches (RFC 8461) if the policy tracks them.
    Mail = 0,
    /// DNS over UDP, TCP, TLS and QUIC.
    Dns = 1,
    /// Everything else, if the policy lets in all replies.
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

    /// The table of a flow to this remote port, if such flows are tracked. For an echo the port is 0.
    ///
    /// A function of its own in the kernel's program: many comparisons, which answers, quoted packets and what leaves
    /// all need.
    #[must_use]
    #[inline(never)]
    pub const fn of(transport: u8, remote_port: u16, flags: Flags) -> Option<Self> {
        let all = match flags.replies() {
            Replies::None => return None,
            Replies::Mail => false,
            Replies::All => true,
        };
        match (transport, remote_port) {
            (protocol::TCP, 25 | 110 | 143 | 465 | 587 | 993 | 995) => Some(Self::Mail),
            (protocol::TCP, 443) if flags.fetches_mta_sts() => Some(Self::Mail),
            (protocol::TCP | protocol::UDP, dns::PORT | 853) => Some(Self::Dns),
            (protocol::TCP | protocol::UDP | protocol::ICMP | protocol::ICMPV6, _) if all => {
                Some(Self::Other)
            }
            _ => None,
        }
    }
}

/// The key of a flow: both endpoints, seen from our side.
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
    /// The identifier of a DNS query over UDP, so that each query is a flow; 0 for anything else.
    pub identifier: u16,
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
            identifier: 0,
        }
    }

    /// The flow of the DNS query with this identifier.
    #[must_use]
    #[inline(always)]
    pub const fn of_query(self, identifier: u16) -> Self {
        Self { identifier, ..self }
    }

    /// How many datagrams may answer one of ours; nothing where any number may.
    #[must_use]
    #[inline(always)]
    pub const fn answers_max(&self) -> Option<u32> {
        match (self.protocol, self.remote_port) {
            // One answer, and duplicates that the network makes.
            (protocol::UDP, dns::PORT) => Some(4),
            // DNS over QUIC: a window of datagrams for each acknowledgement of ours.
            (protocol::UDP, 853) => Some(64),
            _ => None,
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
