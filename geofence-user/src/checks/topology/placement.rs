//! Which device must carry the filter: what a filter on a device does not see, and the device that sees it.

use super::stack::Stack;
use super::tunnels::encapsulating;
use crate::checks::finding::{Finding, Level};
use crate::model::interface::{Bond, Interface};

/// Bond modes in which the kernel runs native XDP on the bond (`bond_xdp_check` in drivers/net/bonding/bond_main.c).
/// The two that hash need a hash that reads no VLAN tag.
const NATIVE_BONDS: [&str; 4] = ["balance-rr", "active-backup", "balance-xor", "802.3ad"];
const HASHED_BONDS: [&str; 2] = ["balance-xor", "802.3ad"];

const AUTO: &str = "xdp-mode = \"auto\"";

/// Why a filter on this device would judge nothing of what the device is there for.
#[must_use]
pub fn refusal(present: &[Interface], interface: &Interface) -> Option<String> {
    let findings = placement(present, interface, |_| false);
    let trouble = findings
        .into_iter()
        .find(|finding| finding.level == Level::Trouble)?;
    Some(match trouble.line {
        Some(line) => format!("{}. {line}", trouble.text),
        None => trouble.text,
    })
}

/// What a filter on this device misses, where it belongs, and in which mode it can run. `is_named` says which devices
/// are configured.
#[must_use]
pub fn placement(
    present: &[Interface],
    interface: &Interface,
    is_named: impl Fn(&Interface) -> bool,
) -> Vec<Finding> {
    let bond = interface.bond.as_ref();
    let bond = bond.filter(|_| interface.is_kind("bond"));
    let mut findings = coverage(present, interface, is_named);
    findings.extend(bond.and_then(|bond| of_bond(&interface.name, bond)));
    findings
}

/// What a filter on this device misses, and where it belongs.
#[must_use]
pub fn coverage(
    present: &[Interface],
    interface: &Interface,
    is_named: impl Fn(&Interface) -> bool,
) -> Vec<Finding> {
    let stack = Stack(present);
    if let Err(unjudged) = interface.link() {
        let text = unjudged.to_string();
        return vec![Finding {
            line: None,
            ..Finding::trouble(text, "")
        }];
    }
    let mut findings = Vec::new();
    findings.extend(as_controller(stack, interface, &is_named));
    findings.extend(as_port(stack, interface, &is_named));
    findings.extend(as_child(stack, interface, &is_named));
    for (upper, header) in encapsulating(present, interface) {
        if !stack.0.iter().any(|one| one.name == upper && is_named(one)) {
            findings.push(Finding::change(
                format!(
                    "{upper} takes its packets out of {header} on {name}, where the filter does not read them: they \
                     pass there as `encapsulated`",
                    name = interface.name
                ),
                format!("interfaces = [\"{upper}\"]"),
            ));
        }
    }
    findings
}

fn names<'a>(interfaces: impl Iterator<Item = &'a Interface>) -> Vec<&'a str> {
    interfaces.map(|one| one.name.as_str()).collect()
}

/// The key that names these interfaces.
fn key(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    format!("interfaces = [{}]", quoted.join(", "))
}

/// A device that has ports.
fn as_controller(
    stack: Stack<'_>,
    interface: &Interface,
    is_named: impl Fn(&Interface) -> bool,
) -> Option<Finding> {
    let name = &interface.name;
    let ports = || stack.ports(interface);
    match interface.kind.as_deref()? {
        "vrf" => Some(Finding::trouble(
            format!(
                "{name} is a VRF: the packets of its ports are routed by it and do not arrive on it, so a filter on it \
                 judges none of them"
            ),
            format!("Name its ports instead: {}", key(&names(ports()))),
        )),
        "bridge" if !ports().any(&is_named) => Some(Finding::change(
            format!(
                "{name} is a bridge: a filter on it judges only packets for this machine. What its ports exchange with \
                 the machines behind them passes unfiltered"
            ),
            match names(ports()).as_slice() {
                [] => "name the port that leads outside, when there is one".to_owned(),
                ports => format!("{} (the one that leads outside)", key(ports)),
            },
        )),
        "openvswitch" => Some(Finding::change(
            format!(
                "{name} is a port of Open vSwitch that leads to this machine: a filter on it judges only what the \
                 switch hands to this machine"
            ),
            "name the device of the switch that leads outside",
        )),
        _ => None,
    }
}

fn of_bond(name: &str, bond: &Bond) -> Option<Finding> {
    let mode = bond.mode.as_str();
    if !NATIVE_BONDS.contains(&mode) {
        return Some(Finding::change(
            format!(
                "{name} is a bond in {mode} mode, in which bonding has no native XDP; generic mode works, and costs \
                 several times as much per packet"
            ),
            AUTO,
        ));
    }
    (bond.hashes_vlan && HASHED_BONDS.contains(&mode)).then(|| {
        Finding::change(
            format!(
                "{name} distributes packets by VLAN tags, with which bonding has no native XDP"
            ),
            format!("ip link set dev {name} type bond xmit_hash_policy layer2+3"),
        )
    })
}

/// A device that is a port of another.
fn as_port(
    stack: Stack<'_>,
    interface: &Interface,
    is_named: impl Fn(&Interface) -> bool,
) -> Option<Finding> {
    let controller = stack.controller(interface)?;
    let (name, above) = (&interface.name, &controller.name);
    match (controller.kind.as_deref(), controller.driver.as_deref()) {
        (Some("bond" | "team"), _) => {
            if is_named(controller) {
                return Some(Finding::change(
                    format!(
                        "{name} is a port of {above}, which is named too: packets are judged twice, and the kernel \
                         refuses native mode on one of the two"
                    ),
                    key(&[above]),
                ));
            }
            let others = stack
                .ports(controller)
                .filter(|one| one.index != interface.index);
            let open = names(others.filter(|one| !is_named(one)));
            (!open.is_empty()).then(|| {
                Finding::change(
                    format!(
                        "{name} is a port of {above}: what arrives on its other ports ({}) passes unfiltered",
                        open.join(", ")
                    ),
                    key(&[above]),
                )
            })
        }
        (None, Some("hv_netvsc")) => Some(Finding::trouble(
            format!(
                "{name} is the virtual function behind {above}: packets arrive on {above} whenever the host takes \
                 the function away, and would pass unfiltered"
            ),
            format!(
                "Name {above} instead, whose driver hands the program on to {name}: {}",
                key(&[above])
            ),
        )),
        // net_failover and its like have no kind.
        (None, _) => Some(Finding::change(
            format!(
                "{name} is a port of the failover device {above}: what arrives on its other ports passes unfiltered"
            ),
            key(&[above]),
        )),
        _ => None,
    }
}

/// A device that is made on another.
fn as_child(
    stack: Stack<'_>,
    interface: &Interface,
    is_named: impl Fn(&Interface) -> bool,
) -> Option<Finding> {
    let (name, kind) = (&interface.name, interface.kind.as_deref()?);
    let share = match kind {
        "vlan" => "the packets of its VLAN",
        "macvlan" | "macvtap" => "the packets for its MAC address",
        "ipvlan" | "ipvtap" => "the packets for its IP addresses",
        _ => return None,
    };
    let Some(parent) = stack.parent(interface) else {
        return Some(Finding::note(format!(
            "{name} is a {kind} of a device in another network namespace, and receives only {share}"
        )));
    };
    let below = &parent.name;
    if is_named(parent) {
        return Some(Finding::change(
            format!("{name} is a {kind} of {below}, which is named too: packets are judged twice"),
            key(&[below]),
        ));
    }
    Some(Finding::change(
        format!(
            "{name} is a {kind} of {below}: a filter on it judges only {share}. What {below} receives otherwise passes \
             unfiltered"
        ),
        format!("{} (geofence reads VLAN tags itself)", key(&[below])),
    ))
}
