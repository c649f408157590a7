//! The operator's own SSH session, from the environment, and the resolvers, from their configuration.

use std::fs;
use std::net::IpAddr;

/// The resolver configuration that programs read, and the servers behind systemd's local stub.
const RESOLV_CONF: &str = "/etc/resolv.conf";
const BEHIND_STUB: &str = "/run/systemd/resolve/resolv.conf";

/// The client and the server's port of the SSH session that geofence was started in, if the server's address `is_own`.
pub(super) fn ssh_session(is_own: impl Fn(IpAddr) -> bool) -> Option<(IpAddr, u16)> {
    let connection = std::env::var("SSH_CONNECTION").ok();
    let client = std::env::var("SSH_CLIENT").ok();
    session(connection.as_deref(), client.as_deref(), is_own)
}

/// `SSH_CONNECTION` is the client's address and port, then the server's. `SSH_CLIENT` lacks the server's address, so
/// the session is assumed to be in this network namespace.
fn session(
    connection: Option<&str>,
    client: Option<&str>,
    is_own: impl Fn(IpAddr) -> bool,
) -> Option<(IpAddr, u16)> {
    if let Some(connection) = connection {
        let mut words = connection.split(' ');
        let peer = words.next()?.parse().ok()?;
        let server = words.nth(1)?.parse().ok()?;
        let port = words.next()?.parse().ok()?;
        return is_own(server).then_some((peer, port));
    }
    let mut words = client?.split(' ');
    let peer = words.next()?.parse().ok()?;
    let port = words.nth(1)?.parse().ok()?;
    Some((peer, port))
}

/// The resolvers in use.
pub(super) fn resolvers() -> Vec<IpAddr> {
    let servers =
        |path| fs::read_to_string(path).map_or_else(|_| Vec::new(), |text| nameservers(&text));
    let mut all = servers(RESOLV_CONF);
    if all.iter().any(IpAddr::is_loopback) {
        all.extend(servers(BEHIND_STUB));
    }
    all
}

fn nameservers(text: &str) -> Vec<IpAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            words.next().filter(|word| *word == "nameserver")?;
            // The interface follows a link-local address.
            let address = words.next()?.split('%').next()?;
            address.parse().ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_session_counts_if_the_server_address_is_this_machines() {
        let own = |address: IpAddr| address == ip("192.0.2.1");
        let found = Some((ip("77.88.8.8"), 2222));
        assert_eq!(
            session(Some("77.88.8.8 50000 192.0.2.1 2222"), None, own),
            found
        );
        assert_eq!(
            session(Some("77.88.8.8 50000 192.0.2.9 2222"), None, own),
            None
        );
        assert_eq!(session(None, Some("77.88.8.8 50000 2222"), own), found);
        for broken in ["", "x", "77.88.8.8", "77.88.8.8 1 2"] {
            assert_eq!(session(Some(broken), None, own), None, "{broken}");
        }
        assert_eq!(session(None, None, own), None);
    }

    #[test]
    fn only_nameserver_lines_are_read() {
        let text = "# nameserver 1.1.1.1\nsearch example.org\nnameserver 77.88.8.8\n nameserver\tfe80::1%eth0\n\
                    nameserver nonsense\noptions edns0\n";
        assert_eq!(nameservers(text), [ip("77.88.8.8"), ip("fe80::1")]);
    }
}
