//! The peers of SSH sessions, from the kernel's tables of TCP sockets in this network namespace.
//!
//! A connection to an SSH server is not yet a session: anyone can hold one open without logging in, and must not
//! prevent a filter from starting that way. The process titles of OpenSSH distinguish the two.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use crate::os::name_servers::address;

/// The default port of SSH servers.
const SSH: u16 = 22;

/// The process names of SSH servers.
const SERVERS: [&str; 4] = ["sshd", "sshd-session", "sshd-auth", "dropbear"];

/// What is needed of a TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Socket {
    local: SocketAddr,
    peer: SocketAddr,
    state: State,
    user: u32,
    inode: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Established,
    Listening,
}

/// The peers of SSH sessions, and the local ports.
pub(super) fn ssh_peers() -> io::Result<BTreeSet<(SocketAddr, u16)>> {
    Ok(sessions(&all()?, &servers()))
}

/// The peers of the established connections of a user's processes.
pub(super) fn peers_of(user: u32) -> BTreeSet<SocketAddr> {
    let sockets = all().unwrap_or_default().into_iter();
    let own = sockets.filter(|one| one.user == user && one.state == State::Established);
    own.map(|one| one.peer).collect()
}

fn all() -> io::Result<Vec<Socket>> {
    let mut sockets = Vec::new();
    for path in ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"] {
        match fs::read_to_string(path) {
            Ok(text) => sockets.extend(text.lines().filter_map(socket)),
            // A kernel without IPv6 has no such table.
            Err(error) if path.ends_with('6') && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sockets)
}

/// The sockets of SSH servers by inode, and whether a user has logged in on each.
fn servers() -> BTreeMap<u64, bool> {
    let mut servers = BTreeMap::new();
    let Ok(processes) = fs::read_dir("/proc") else {
        return servers;
    };
    // Processes may end meanwhile, and without privilege those of other users cannot be read.
    for process in processes.flatten().map(|entry| entry.path()) {
        let is_server = fs::read_to_string(process.join("comm"))
            .is_ok_and(|name| SERVERS.contains(&name.trim_end()));
        if !is_server {
            continue;
        }
        let title = fs::read(process.join("cmdline")).unwrap_or_default();
        let title = String::from_utf8_lossy(&title);
        for inode in inodes(&process) {
            *servers.entry(inode).or_default() |= is_logged_in(&title);
        }
    }
    servers
}

/// Whether a process serves a logged-in user: `sshd: alice@pts/0`. Other servers do not show it, and always count.
fn is_logged_in(title: &str) -> bool {
    match title.split_once(": ") {
        Some((server, user)) if server.starts_with("sshd") => user.contains('@'),
        _ => !title.starts_with("sshd"),
    }
}

fn inodes(process: &Path) -> Vec<u64> {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else {
        return Vec::new();
    };
    descriptors
        .flatten()
        .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
        .filter_map(|target| {
            let target = target.to_str()?.strip_prefix("socket:[")?;
            target.strip_suffix(']')?.parse().ok()
        })
        .collect()
}

fn sessions(sockets: &[Socket], servers: &BTreeMap<u64, bool>) -> BTreeSet<(SocketAddr, u16)> {
    let listening: BTreeSet<u16> = sockets
        .iter()
        .filter(|socket| socket.state == State::Listening)
        .map(|socket| socket.local.port())
        .collect();
    let is_session = |socket: &&Socket| {
        let port = socket.local.port();
        match servers.get(&socket.inode) {
            // Its other connections are forwarded ones of its users.
            Some(logged_in) => *logged_in && (port == SSH || listening.contains(&port)),
            None => port == SSH,
        }
    };
    sockets
        .iter()
        .filter(|socket| socket.state == State::Established)
        .filter(is_session)
        .map(|socket| (socket.peer, socket.local.port()))
        .collect()
}

/// Reads a line of the table (the kernel's `Documentation/networking/proc_net_tcp.rst`).
fn socket(line: &str) -> Option<Socket> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let (local, peer) = (address(words.next()?)?, address(words.next()?)?);
    let state = match words.next()? {
        "01" => State::Established,
        "0A" => State::Listening,
        _ => return None,
    };
    // Before the user come the queues, the timer and the retransmits; before the inode comes the timeout.
    let user = words.nth(3)?.parse().ok()?;
    let inode = words.nth(1)?.parse().ok()?;
    Some(Socket {
        local,
        peer,
        state,
        user,
        inode,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 10 1 0 100 0 0 10 0
   1: 00000000:08AE 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0
   2: 010200C0:0016 0808584D:C350 01 00000000:00000000 02:000A0F2B 00000000     0        0 20 2 0 20 4 30 10 -1
   3: 010200C0:0016 01020304:C351 01 00000000:00000000 02:000A0F2B 00000000     0        0 21 2 0 20 4 30 10 -1
   4: 010200C0:08AE 05060708:C352 01 00000000:00000000 02:000A0F2B 00000000     0        0 22 2 0 20 4 30 10 -1
   5: 010200C0:D431 05060708:0050 01 00000000:00000000 02:000A0F2B 00000000     0        0 23 2 0 20 4 30 10 -1
   6: 010200C0:0016 0A0B0C0D:C353 06 00000000:00000000 03:000A0F2B 00000000     0        0 0 3 0
   7: 0000000000000000FFFF0000010200C0:0016 0000000000000000FFFF00000808584D:C354 01 0:0 0:0 0 0 0 24 1
   8: B80D0120000000000000000001000000:0016 000203FD000000000000000001000000:C355 01 0:0 0:0 0 0 0 25 1
";

    fn peers(servers: &[(u64, bool)]) -> Vec<String> {
        let sockets: Vec<_> = TABLE.lines().filter_map(socket).collect();
        assert_eq!(sockets.len(), 8);
        let peers = sessions(&sockets, &servers.iter().copied().collect());
        peers
            .iter()
            .map(|(peer, port)| format!("{peer} {port}"))
            .collect()
    }

    #[test]
    fn every_connection_to_port_22_counts_if_the_server_is_unknown() {
        assert_eq!(
            peers(&[]),
            [
                "4.3.2.1:50001 22",
                "77.88.8.8:50000 22",
                "77.88.8.8:50004 22",
                "[fd03:200::1]:50005 22",
            ]
        );
    }

    #[test]
    fn only_logged_in_connections_count_on_every_port_of_a_known_server() {
        let known = [
            (11, false),
            (20, true),
            (21, false),
            (22, true),
            (23, true),
            (24, false),
            (25, false),
        ];
        assert_eq!(peers(&known), ["8.7.6.5:50002 2222", "77.88.8.8:50000 22"]);
    }

    #[test]
    fn process_titles_show_a_logged_in_user() {
        for (title, logged_in) in [
            ("sshd: alice@pts/0", true),
            ("sshd-session: alice@notty", true),
            ("sshd: alice [priv]", false),
            ("sshd: [accepted]", false),
            ("sshd: root [net]", false),
            (
                "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups",
                false,
            ),
            ("sshd\0-D", false),
            ("dropbear\0-F", true),
        ] {
            assert_eq!(is_logged_in(title), logged_in, "{title}");
        }
    }
}
