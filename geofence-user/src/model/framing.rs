//! What the packets of a device start with, by its link type: the ARPHRD number in /sys/class/net/IF/type.
//!
//! A program reads headers from fixed places, so it judges only devices whose packets start with the header it expects.
//! A device whose packets start with something else is refused by name: attached, a program would pass its packets
//! unread.

use geofence_common::frame::Link;

use super::interface::Interface;
use super::link_type::LinkType;

/// What the packets of such a device are, in words.
#[must_use]
pub const fn describe(link: Link) -> &'static str {
    match link {
        Link::Ethernet => "Ethernet frames",
        Link::Ip => "IP packets without a link header",
    }
}

/// A device whose packets no program here can judge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} carries {content} (link type {}), which geofence cannot judge. {way_out}", link_type.0)]
pub struct Unjudged {
    pub name: String,
    pub link_type: LinkType,
    pub content: &'static str,
    pub way_out: &'static str,
}

const ELSEWHERE: &str = "Protect the device on which these packets are Ethernet or plain IP, or leave this one out of \
                         `interfaces`";
const NO_IP: &str = "Leave it out of `interfaces`: no IP traffic of this machine passes through it";
const OUTER: &str = "Leave it out of `interfaces`, and protect the device that the outer packets arrive on: they are \
                     judged there by their outer address";

/// Link types that carry something else, with what it is and what to do.
const UNJUDGED: &[(u16, &str, &str)] = &[
    (8, "ATM cells", ELSEWHERE),
    (24, "IP over FireWire", ELSEWHERE),
    (32, "IP over InfiniBand", ELSEWHERE),
    (280, "CAN frames", NO_IP),
    (290, "MCTP messages", NO_IP),
    (513, "HDLC frames", ELSEWHERE),
    (518, "raw HDLC frames", ELSEWHERE),
    (770, "Frame Relay frames", ELSEWHERE),
    (779, "multicast packets in PIM registers", OUTER),
    (
        801,
        "802.11 frames",
        "Name the network interface of the radio instead",
    ),
    (802, "802.11 frames in monitor mode", NO_IP),
    (803, "802.11 frames in monitor mode", NO_IP),
    (804, "IEEE 802.15.4 frames", ELSEWHERE),
    (805, "IEEE 802.15.4 frames in monitor mode", NO_IP),
    (820, "Phonet messages", NO_IP),
    (821, "Phonet messages", NO_IP),
    (822, "CAIF messages", ELSEWHERE),
    (824, "copies of netlink messages", NO_IP),
    (825, "compressed IPv6 headers (6LoWPAN)", ELSEWHERE),
    (826, "copies of vsock messages", NO_IP),
];

/// Kinds of device whose packets do not start where their link type says.
///
/// The kernel puts the link header of the encrypted packet in front of the decrypted one (`skb_mac_header_rebuild` in
/// net/xfrm/xfrm_input.c), so what an xfrm or vti packet starts with depends on the device below. amt writes an
/// Ethernet header that its link type does not announce (`amt_multicast_data_handler` in drivers/net/amt.c).
const UNJUDGED_KINDS: &[(&str, &str, &str)] = &[
    (
        "xfrm",
        "decrypted packets behind a foreign link header",
        OUTER,
    ),
    (
        "vti",
        "decrypted packets behind a foreign link header",
        OUTER,
    ),
    (
        "vti6",
        "decrypted packets behind a foreign link header",
        OUTER,
    ),
    ("amt", "multicast packets from a relay", OUTER),
];

/// A GRE device without a fixed remote address shows programs the outer header (`ipgre_header_ops` and
/// `ip6gre_header_ops` in the kernel).
const GRE_OUTER: (&str, &str) = (
    "GRE packets of several remote hosts, in front of which the outer header stays",
    "Give the tunnel a fixed remote address, or leave it out of `interfaces` and protect the device that the outer \
     packets arrive on: they are judged there by their outer address",
);

impl Interface {
    /// What its packets start with.
    ///
    /// # Errors
    /// When they start with something that no program here reads.
    pub fn link(&self) -> Result<Link, Unjudged> {
        let refuse = |(content, way_out)| {
            Err(Unjudged {
                name: self.name.clone(),
                link_type: self.link_type,
                content,
                way_out,
            })
        };
        let kind = self.kind.as_deref();
        let of_kind = UNJUDGED_KINDS.iter().find(|(one, ..)| kind == Some(*one));
        if let Some((_, content, way_out)) = of_kind {
            return refuse((content, way_out));
        }
        match self.link_type {
            LinkType::ETHERNET | LinkType::LOOPBACK => Ok(Link::Ethernet),
            LinkType::GRE | LinkType::GRE6 if !self.has_fixed_remote() => refuse(GRE_OUTER),
            // SLIP, PPP, raw IP, IPIP, IPv6 tunnels, SIT, GRE, and devices that declare no link header.
            LinkType(256..=259) | LinkType::PPP | LinkType(519 | 768 | 769 | 776) => Ok(Link::Ip),
            LinkType::GRE | LinkType::GRE6 | LinkType::NONE => Ok(Link::Ip),
            LinkType(other) => {
                let known = UNJUDGED.iter().find(|(number, ..)| *number == other);
                refuse(known.map_or(
                    ("packets with an unknown header", ELSEWHERE),
                    |(_, content, way_out)| (*content, *way_out),
                ))
            }
        }
    }

    /// Whether a tunnel has one remote host. The kernel keeps its address where other devices keep the broadcast
    /// address.
    fn has_fixed_remote(&self) -> bool {
        let is_multicast = match self.broadcast.as_slice() {
            [first, _, _, _] => first & 0xf0 == 0xe0,
            [first, ..] => *first == 0xff,
            [] => false,
        };
        !is_multicast && self.broadcast.iter().any(|byte| *byte != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(link_type: u16, kind: &str, broadcast: &[u8]) -> Result<Link, String> {
        let interface = Interface {
            name: "if0".to_owned(),
            link_type: LinkType(link_type),
            kind: Some(kind.to_owned()),
            broadcast: broadcast.to_vec(),
            ..Interface::default()
        };
        interface.link().map_err(|error| error.to_string())
    }

    #[test]
    fn ethernet_and_ip_devices_are_judged_by_their_header() {
        for (link_type, kind) in [(1, "veth"), (1, "gretap"), (772, "lo"), (1, "tun")] {
            assert_eq!(link(link_type, kind, &[]), Ok(Link::Ethernet), "{kind}");
        }
        for (link_type, kind) in [
            (65534, "tun"),
            (65534, "wireguard"),
            (519, "rmnet"),
            (512, "ppp"),
            (256, "slip"),
            (768, "ipip"),
            (769, "ip6tnl"),
            (776, "sit"),
        ] {
            assert_eq!(link(link_type, kind, &[]), Ok(Link::Ip), "{kind}");
        }
    }

    #[test]
    fn gre_is_judged_only_with_one_remote_host() {
        let v6 = |first: u8| [&[first][..], &[0; 14], &[1]].concat();
        assert_eq!(link(778, "gre", &[192, 0, 2, 1]), Ok(Link::Ip));
        assert_eq!(link(823, "ip6gre", &v6(0x20)), Ok(Link::Ip));
        for (link_type, remote) in [
            (778, vec![0; 4]),
            (778, vec![239, 0, 0, 1]),
            (778, Vec::new()),
            (823, vec![0; 16]),
            (823, v6(0xff)),
        ] {
            let refusal = link(link_type, "gre", &remote).unwrap_err();
            assert!(
                refusal.contains("fixed remote address"),
                "{remote:?}: {refusal}"
            );
        }
    }

    #[test]
    fn other_link_types_are_refused_by_name() {
        let refusal = link(32, "ipoib", &[]).unwrap_err();
        assert!(
            refusal.starts_with(
                "if0 carries IP over InfiniBand (link type 32), which geofence cannot judge. "
            ),
            "{refusal}"
        );
        for link_type in [0, 280, 513, 770, 801, 803, 804, 824, 826, 4242, 65535] {
            let refusal = link(link_type, "", &[]).unwrap_err();
            assert!(
                refusal.contains(&format!("link type {link_type})")),
                "{refusal}"
            );
        }
    }

    #[test]
    fn decrypted_packets_behind_a_foreign_header_are_refused() {
        for (link_type, kind) in [(65534, "xfrm"), (768, "vti"), (769, "vti6"), (65534, "amt")] {
            assert!(link(link_type, kind, &[]).is_err(), "{kind}");
        }
    }
}
