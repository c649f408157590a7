//! Confines the agent: it writes to its own directory, connects to the engine and to servers of contents, listens on no
//! further port, and runs no program.

use std::slice;

use geofence_user::os::privilege::{self, TcpPorts};

use crate::settings::Settings;

/// Confines this thread and those that it starts; returns whether the kernel can, or why it refused.
pub(super) fn confine(settings: &Settings) -> Result<bool, String> {
    let ports = TcpPorts {
        listen: Vec::new(),
        connect: ports(settings),
    };
    let confined = privilege::confine(slice::from_ref(&settings.state), &ports);
    confined.map_err(|error| error.to_string())
}

/// The ports that the agent connects to.
fn ports(settings: &Settings) -> Vec<u16> {
    const HTTPS: u16 = 443;
    let endpoints = settings.endpoints.iter();
    let ports = endpoints.filter_map(|url| {
        let authority = url.strip_prefix("https://")?.split('/').next()?;
        let (_, port) = authority.rsplit_once(':')?;
        // An IPv6 address without a port ends in a bracket.
        port.parse().ok()
    });
    ports
        .chain(settings.content_ports.iter().copied())
        .chain([HTTPS])
        .collect()
}
