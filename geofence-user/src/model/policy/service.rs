//! Ports that stay open to blocked countries.

use std::fmt;

use geofence_common::wire::protocol;

/// Which mail ports are open to blocked countries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mail {
    /// Transfer, submission and access: 25, 465, 587, 143, 993, 110, 995.
    Full,
    /// Transfer only: 25.
    Mta,
    Off,
}

impl Mail {
    /// The TCP ports that are open.
    #[must_use]
    pub const fn ports(self) -> &'static [u16] {
        match self {
            Self::Full => &[25, 465, 587, 143, 993, 110, 995],
            Self::Mta => &[25],
            Self::Off => &[],
        }
    }
}

/// Whether DNS queries from blocked countries pass, so that senders find our mail servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailDns {
    /// Where mail is open and a name server listens on a protected address.
    Auto,
    On,
    Off,
}

/// A protocol whose ports can be exempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServiceProtocol {
    Tcp,
    Udp,
}

impl ServiceProtocol {
    /// The number in a packet.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => protocol::TCP,
            Self::Udp => protocol::UDP,
        }
    }
}

/// Ports that stay open to blocked countries, first and last included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    pub protocol: ServiceProtocol,
    pub first: u16,
    pub last: u16,
}

/// An exempted service whose packets have a counter of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CountedService {
    /// Echo requests of ICMP and ICMPv6.
    Echo,
    Ports(Service),
}

impl CountedService {
    /// One port.
    #[must_use]
    pub const fn port(protocol: ServiceProtocol, port: u16) -> Self {
        Self::Ports(Service {
            protocol,
            first: port,
            last: port,
        })
    }
}

impl fmt::Display for ServiceProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// `tcp/443`, `udp/9000-9010`.
impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.protocol, self.first)?;
        if self.first == self.last {
            return Ok(());
        }
        write!(f, "-{}", self.last)
    }
}

/// `tcp/443`, `icmp/echo`.
impl fmt::Display for CountedService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Echo => f.write_str("icmp/echo"),
            Self::Ports(service) => service.fmt(f),
        }
    }
}
