//! What a list is judged by of this machine: its own addresses and those it is managed from, which no list may block,
//! and the traffic that passes.

use std::net::IpAddr;

use ipnet::IpNet;

use super::traffic::Traffic;

/// The addresses that no list may block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalAddresses {
    /// The prefixes that this machine is managed from.
    pub management: Vec<IpNet>,
    /// The addresses of its interfaces.
    pub own: Vec<IpAddr>,
    /// The traffic that passes now, if it is known.
    pub traffic: Option<Traffic>,
}

impl LocalAddresses {
    /// This machine, managed from these prefixes.
    #[must_use]
    pub fn of_this_machine(management: &[IpNet]) -> Self {
        let interfaces = nix::ifaddrs::getifaddrs().into_iter().flatten();
        let own = interfaces.filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| v4.ip().into());
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| v6.ip().into()))
        });
        Self {
            management: management.to_vec(),
            own: own.collect(),
            traffic: None,
        }
    }
}
