//! The name servers of this machine that a protected interface can reach, from the kernel's tables of UDP sockets.
//!
//! Reading the tables needs no privilege. A name server answers over UDP, so the tables of TCP are not read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::interface_names::first_names;

/// The port of DNS.
const DNS: u16 = 53;

/// The addresses at which name servers listen that are addresses of these interfaces, or stand for all addresses.
#[must_use]
pub fn on_interfaces(interfaces: &[String]) -> Vec<SocketAddr> {
    let names = first_names(interfaces);
    let all = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let own: Vec<IpAddr> = all
        .filter(|one| names.contains(&one.interface_name))
        .filter_map(|one| {
            let address = one.address?;
            let v4 = address.as_sockaddr_in().map(|v4| v4.ip().into());
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| v6.ip().into()))
        })
        .collect();
    let tables = ["/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"];
    let texts = tables.map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let mut found: Vec<_> = texts
        .iter()
        .flat_map(|text| text.lines().filter_map(|line| listening(line, &own)))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The local address of a line, if it is a name server's that one of these addresses reaches.
fn listening(line: &str, own: &[IpAddr]) -> Option<SocketAddr> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let (local, peer) = (address(words.next()?)?, address(words.next()?)?);
    let is_reached = local.ip().is_unspecified() || own.contains(&local.ip());
    (local.port() == DNS && peer.port() == 0 && is_reached).then_some(local)
}

/// Reads an address of the table: 32-bit words in native byte order, in hexadecimal.
pub(crate) fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let words: Vec<[u8; 4]> = ip
        .as_bytes()
        .chunks(8)
        .map(|digits| {
            let word = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
            Some(word.to_ne_bytes())
        })
        .collect::<Option<_>>()?;
    let ip: IpAddr = match *words {
        [word] => Ipv4Addr::from(word).into(),
        [_, _, _, _] => {
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Ipv6Addr::from(bytes).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn name_servers_on_loopback_and_other_interfaces_do_not_count() {
        const TABLE: &str = "\
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
  10: 3500007F:0035 00000000:0000 07 0:0 0:0 0 0 0 10
  11: 010200C0:0035 00000000:0000 07 0:0 0:0 0 0 0 11
  12: 017AA8C0:0035 00000000:0000 07 0:0 0:0 0 0 0 12
  13: 010200C0:0035 0808584D:0035 01 0:0 0:0 0 0 0 13
  14: 010200C0:0044 00000000:0000 07 0:0 0:0 0 0 0 14
  15: 00000000000000000000000000000000:0035 00000000000000000000000000000000:0000 07 0:0 0:0 0 0 0 15
";
        let own = ["192.0.2.1".parse().unwrap()];
        let found: Vec<_> = TABLE
            .lines()
            .filter_map(|line| listening(line, &own))
            .collect();
        let expected: [SocketAddr; 2] =
            ["192.0.2.1:53".parse().unwrap(), "[::]:53".parse().unwrap()];
        assert_eq!(found, expected);
    }
}
