//! Devices that carry packets inside other packets: what a filter beneath them does not read.

use geofence_common::frame::Link;

use super::stack::Stack;
use crate::checks::finding::Finding;
use crate::model::interface::Interface;

/// Kinds of tunnel that this host unpacks above IP, with their name.
const TUNNELS: [(&str, &str); 24] = [
    ("amt", "AMT"),
    ("bareudp", "bare UDP"),
    ("erspan", "ERSPAN"),
    ("geneve", "GENEVE"),
    ("gre", "GRE"),
    ("gretap", "GRE"),
    ("gtp", "GTP"),
    ("ip6erspan", "ERSPAN"),
    ("ip6gre", "GRE"),
    ("ip6gretap", "GRE"),
    ("ip6tnl", "IPv6 tunnel"),
    ("ipip", "IPIP"),
    ("l2tp", "L2TP"),
    ("ovpn", "OpenVPN"),
    ("ppp", "PPP"),
    ("pfcp", "PFCP"),
    ("sit", "SIT"),
    ("tun", "tun"),
    ("vti", "IPsec"),
    ("vti6", "IPsec"),
    ("vxlan", "VXLAN"),
    ("wireguard", "WireGuard"),
    ("xfrm", "IPsec"),
    ("tipc", "TIPC"),
];

/// The tunnels that this host terminates on devices that are not protected: name and kind.
pub(super) fn tunnels(
    present: &[Interface],
    is_protected: impl Fn(&Interface) -> bool,
) -> Vec<(&str, &'static str)> {
    let open = present.iter().filter(|one| one.is_up && !is_protected(one));
    open.filter_map(|one| {
        // A tap is the network card of a virtual machine.
        if one.is_kind("tun") && one.link() != Ok(Link::Ip) {
            return None;
        }
        let of_kind = TUNNELS.iter().find(|(kind, _)| one.is_kind(kind));
        // Ethernet over L2TP is a device without a kind.
        let is_l2tp = one.kind.is_none() && one.name.starts_with("l2tpeth");
        let word = of_kind
            .map(|(_, word)| *word)
            .or(is_l2tp.then_some("L2TP"))?;
        Some((one.name.as_str(), word))
    })
    .collect()
}

/// What this machine takes out of other packets, and where the filter would have to be to judge it. `mpls` names the
/// interfaces on which it takes MPLS packets.
#[must_use]
pub fn tunnel_findings(
    present: &[Interface],
    is_protected: impl Fn(&Interface) -> bool,
    mpls: &[String],
) -> Vec<Finding> {
    let open = tunnels(present, is_protected);
    let named: Vec<String> = open
        .iter()
        .map(|(name, kind)| format!("{name} ({kind})"))
        .collect();
    let mut findings = Vec::new();
    if !named.is_empty() {
        findings.push(Finding::note(format!(
            "this machine terminates tunnels: {}. Their outer packets are judged by the outer address; what is inside \
             is judged only on a tunnel device that is in `interfaces`",
            named.join(", ")
        )));
    }
    if !mpls.is_empty() {
        findings.push(Finding::note(format!(
            "this machine takes MPLS packets on {}: geofence does not read them, and they pass as `encapsulated`",
            mpls.join(", ")
        )));
    }
    findings
}

/// Devices above this one that take their packets out of a header that the filter below does not read: the device, and
/// what surrounds its packets below.
pub(super) fn encapsulating<'a>(
    present: &'a [Interface],
    lower: &Interface,
) -> Vec<(&'a str, &'static str)> {
    let stack = Stack(present);
    let controller = stack.controller(lower).into_iter();
    stack
        .children(lower)
        .chain(controller)
        .filter_map(|upper| {
            let word = match upper.kind.as_deref()? {
                "macsec" => "MACsec",
                "batadv" => "batman-adv",
                "hsr" => "HSR or PRP",
                "dsa" => "the tag of a switch chip",
                "rmnet" => "the QMAP multiplexing header",
                _ => return None,
            };
            Some((upper.name.as_str(), word))
        })
        .collect()
}
