//! Reads the interfaces of this network namespace from rtnetlink.

use std::collections::BTreeSet;

use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::link::{
    BondXmitHashPolicy, InfoBond, InfoData, LinkAttribute, LinkFlags, LinkInfo, LinkXdp, Prop,
    XdpAttached,
};

use crate::model::interface::Interface;
use crate::model::link_type::LinkType;

/// Why an interface is not known.
#[derive(Debug, thiserror::Error)]
pub enum InterfaceError {
    #[error("interface {name:?} does not exist; this machine has {}", present.join(", "))]
    Missing { name: String, present: Vec<String> },
    #[error("cannot list the interfaces: rtnetlink: {cause}")]
    Netlink { cause: String },
}

/// Lists every interface of this network namespace.
pub async fn interfaces() -> Result<Vec<Interface>, InterfaceError> {
    let failed = |cause: &dyn std::fmt::Display| InterfaceError::Netlink {
        cause: cause.to_string(),
    };
    let (connection, handle, _) = rtnetlink::new_connection().map_err(|error| failed(&error))?;
    let connection = tokio::spawn(connection);
    let mut links = handle.link().get().execute();
    let mut found = Vec::new();
    while let Some(link) = links.try_next().await.map_err(|error| failed(&error))? {
        let mut interface = Interface {
            index: link.header.index,
            is_up: link.header.flags.contains(LinkFlags::Up),
            link_type: LinkType(link.header.link_layer_type.into()),
            ..Interface::default()
        };
        for attribute in &link.attributes {
            read_attribute(&mut interface, attribute);
        }
        interface.driver = module(&link.attributes).or_else(|| interface.kind.clone());
        if is_elsewhere(&link.attributes) {
            interface.parent = None;
        }
        found.push(interface);
    }
    connection.abort();
    let sessions = pppoe_sessions(&std::fs::read_to_string("/proc/net/pppoe").unwrap_or_default());
    for interface in &mut found {
        interface.has_pppoe = sessions.contains(&interface.name);
    }
    Ok(found)
}

/// The devices that the kernel's table of PPPoE sessions names, in its last column. Without PPPoE there is no table.
fn pppoe_sessions(table: &str) -> BTreeSet<String> {
    let lines = table.lines().skip(1);
    let names = lines.filter_map(|line| line.split_whitespace().last());
    names.map(str::to_owned).collect()
}

/// Finds an interface by name; the error lists the names that exist.
pub fn find_interface<'a>(
    present: &'a [Interface],
    name: &str,
) -> Result<&'a Interface, InterfaceError> {
    let found = present.iter().find(|one| one.is_named(name));
    found.ok_or_else(|| InterfaceError::Missing {
        name: name.to_owned(),
        present: present.iter().map(|one| one.name.clone()).collect(),
    })
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other attributes are not used"
)]
fn read_attribute(interface: &mut Interface, attribute: &LinkAttribute) {
    match attribute {
        LinkAttribute::IfName(name) => interface.name.clone_from(name),
        LinkAttribute::PropList(properties) => {
            let names = properties.iter().filter_map(|property| match property {
                Prop::AltIfName(name) => Some(name.clone()),
                _ => None,
            });
            interface.other_names.extend(names);
        }
        LinkAttribute::Broadcast(address) => interface.broadcast.clone_from(address),
        // A device that is made on no other one names itself or 0.
        LinkAttribute::Link(index) => {
            interface.parent =
                Some(*index).filter(|index| *index != 0 && *index != interface.index);
        }
        LinkAttribute::Controller(index) => {
            interface.controller = Some(*index).filter(|index| *index != 0);
        }
        LinkAttribute::LinkInfo(facts) => facts.iter().for_each(|fact| read_info(interface, fact)),
        LinkAttribute::ParentDevName(_) => interface.is_hardware = true,
        LinkAttribute::Mtu(mtu) => interface.mtu = *mtu,
        LinkAttribute::NumRxQueues(queues) => interface.queues_rx = *queues,
        LinkAttribute::NumTxQueues(queues) => interface.queues_tx = *queues,
        LinkAttribute::Xdp(facts) => facts.iter().for_each(|fact| read_xdp(interface, fact)),
        _ => {}
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other facts are not used"
)]
fn read_xdp(interface: &mut Interface, fact: &LinkXdp) {
    match fact {
        LinkXdp::ProgId(id)
        | LinkXdp::DrvProgId(id)
        | LinkXdp::SkbProgId(id)
        | LinkXdp::HwProgId(id) => interface.program = Some(*id).filter(|id| *id != 0),
        LinkXdp::Attached(attached) => {
            interface.mode = match attached {
                XdpAttached::Driver => Some("native"),
                XdpAttached::SocketBuffer => Some("generic"),
                XdpAttached::Hardware => Some("offload"),
                XdpAttached::Multiple => Some("multiple"),
                _ => None,
            };
        }
        _ => {}
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other facts are not used"
)]
fn read_info(interface: &mut Interface, fact: &LinkInfo) {
    match fact {
        LinkInfo::Kind(kind) => interface.kind = Some(kind.to_string()),
        LinkInfo::Data(InfoData::Bond(facts)) => {
            let bond = interface.bond.get_or_insert_default();
            for fact in facts {
                match fact {
                    InfoBond::Mode(mode) => bond.mode = mode.to_string(),
                    InfoBond::XmitHashPolicy(policy) => {
                        bond.hashes_vlan = *policy == BondXmitHashPolicy::VlanSrcMac;
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// Whether the parent of an interface is in another network namespace, where its index means another device.
fn is_elsewhere(attributes: &[LinkAttribute]) -> bool {
    attributes
        .iter()
        .any(|attribute| matches!(attribute, LinkAttribute::LinkNetNsId(_)))
}

/// The module of the driver, if a device backs the interface.
fn module(attributes: &[LinkAttribute]) -> Option<String> {
    let (mut bus, mut parent) = (None, None);
    for attribute in attributes {
        if let LinkAttribute::ParentDevBusName(name) = attribute {
            bus = Some(name);
        } else if let LinkAttribute::ParentDevName(name) = attribute {
            parent = Some(name);
        }
    }
    // Unlike /sys/class/net, devices on a bus are the same in every network namespace.
    let (bus, parent) = bus.zip(parent)?;
    let target = std::fs::read_link(format!("/sys/bus/{bus}/devices/{parent}/driver")).ok()?;
    Some(target.file_name()?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pppoe_table_names_the_devices_of_sessions() {
        let table = "Id       Address              Device\n\
                     00002A00 02:00:00:00:00:01     eth0\n\
                     00002B00 02:00:00:00:00:02  uplink7\n";
        let expected = ["eth0", "uplink7"].map(str::to_owned);
        assert_eq!(pppoe_sessions(table), expected.into());
        assert!(pppoe_sessions("").is_empty());
    }
}
