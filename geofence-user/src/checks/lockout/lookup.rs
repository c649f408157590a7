//! Looks up the peers that this machine depends on.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use super::dependency::{Dependency, Need};
use super::routes::Routes;
use super::watcher::Watcher;
use super::{environment, metadata, sockets};

/// The peers that this machine depends on through these interfaces; and in sentences, what could not be read. A process
/// without the privilege to see SSH sessions asks the watcher.
pub async fn dependencies(
    interfaces: &[String],
    watcher: Option<&Watcher>,
) -> (Vec<Dependency>, Vec<String>) {
    let mut found = Vec::new();
    let mut unknown = Vec::new();
    let mut add = |need, address: IpAddr| {
        // A peer on this machine does not come through an interface.
        let address = address.to_canonical();
        if !is_own(address) {
            found.push(Dependency { need, address });
        }
    };
    let mut watched = None;
    if let Some(watcher) = watcher {
        match watcher.peers().await {
            Ok(peers) => watched = Some(peers),
            Err(error) => unknown.push(format!(
                "the SSH session helper does not answer ({error}), so every connection to port 22 counts as a session \
                 until geofence is restarted"
            )),
        }
    }
    match watched.map_or_else(sockets::ssh_peers, Ok) {
        Ok(peers) => {
            for (peer, port) in peers {
                add(Need::Ssh { port }, peer.ip());
            }
        }
        Err(error) => unknown.push(format!(
            "cannot read the SSH sessions of this machine, so they are not protected from a lock-out: {error}"
        )),
    }
    if let Some((peer, port)) = environment::ssh_session(is_own) {
        add(Need::Ssh { port }, peer);
    }
    match Routes::read(interfaces).await {
        Ok(routes) => {
            for gateway in &routes.gateways {
                add(Need::Gateway, *gateway);
            }
            for resolver in environment::resolvers() {
                if routes.lead_to(resolver).await {
                    add(Need::Resolver, resolver);
                }
            }
            for address in metadata::addresses(&routes.hosts) {
                if routes.lead_to(address).await {
                    add(Need::Metadata, address);
                }
            }
        }
        Err(error) => unknown.push(format!(
            "cannot read the routes of this machine, so its gateways, resolvers and metadata service are not protected \
             from a lock-out: {error}"
        )),
    }
    found.sort_unstable();
    found.dedup();
    (found, unknown)
}

/// The servers that connections of the fleet agent lead to.
#[must_use]
pub fn fleet_servers(user: u32) -> Vec<Dependency> {
    let peers = sockets::peers_of(user).into_iter();
    let others = peers.filter(|peer| !is_own(peer.ip().to_canonical()));
    let found = others.map(|peer| Dependency {
        need: Need::Fleet { port: peer.port() },
        address: peer.ip().to_canonical(),
    });
    found.collect()
}

/// Whether an address is one of this machine's own: the kernel binds sockets to such addresses only.
fn is_own(address: IpAddr) -> bool {
    address.is_loopback() || UdpSocket::bind(SocketAddr::new(address, 0)).is_ok()
}
