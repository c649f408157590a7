//! What the configuration says of events.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Which events there are, and where they go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventSettings {
    /// Whether drops are sampled while no client follows them.
    pub drops: bool,
    /// How many samples of each reason a second.
    pub rate: u32,
    pub file: Option<PathBuf>,
    /// The size at which the file is renamed, and how many such files are kept.
    pub file_mib: u32,
    pub file_count: u32,
    pub syslog: Option<SyslogServer>,
    /// The certificates that a syslog server over TLS is trusted by; the system's if there is no file.
    pub syslog_ca: Option<PathBuf>,
    pub ipfix: Option<SocketAddr>,
}

/// A server that takes messages of RFC 5424, and how they get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogServer {
    Udp(SocketAddr),
    Tcp(SocketAddr),
    /// The host, a name or an address, is what its certificate must be for.
    Tls {
        host: String,
        port: u16,
    },
}

impl SyslogServer {
    /// The port that is connected to by TCP.
    #[must_use]
    pub const fn tcp_port(&self) -> Option<u16> {
        match self {
            Self::Udp(_) => None,
            Self::Tcp(address) => Some(address.port()),
            Self::Tls { port, .. } => Some(*port),
        }
    }
}

impl fmt::Display for SyslogServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(address) => write!(f, "udp://{address}"),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Tls { host, port } if host.contains(':') => write!(f, "tls://[{host}]:{port}"),
            Self::Tls { host, port } => write!(f, "tls://{host}:{port}"),
        }
    }
}
