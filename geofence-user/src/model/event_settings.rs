//! What the configuration says of events.

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
    pub ipfix: Option<SocketAddr>,
}

/// A server that takes messages of RFC 5424.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyslogServer {
    pub is_tcp: bool,
    pub address: SocketAddr,
}

impl std::fmt::Display for SyslogServer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let transport = if self.is_tcp { "tcp" } else { "udp" };
        write!(formatter, "{transport}://{}", self.address)
    }
}
