//! Reads the interfaces of this network namespace from rtnetlink.

use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkXdp, XdpAttached};

use crate::model::interface::Interface;

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
            driver: driver(&link.attributes),
            ..Interface::default()
        };
        for attribute in &link.attributes {
            read_attribute(&mut interface, attribute);
        }
        found.push(interface);
    }
    connection.abort();
    Ok(found)
}

/// Finds an interface by name; the error lists the names that exist.
pub fn find_interface<'a>(
    present: &'a [Interface],
    name: &str,
) -> Result<&'a Interface, InterfaceError> {
    let found = present.iter().find(|one| one.name == name);
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

/// The driver of an interface: its module if a device backs it, else the kind of link.
fn driver(attributes: &[LinkAttribute]) -> Option<String> {
    let (mut bus, mut parent, mut kind) = (None, None, None);
    for attribute in attributes {
        if let LinkAttribute::ParentDevBusName(name) = attribute {
            bus = Some(name);
        } else if let LinkAttribute::ParentDevName(name) = attribute {
            parent = Some(name);
        } else if let LinkAttribute::LinkInfo(infos) = attribute {
            kind = infos.iter().find_map(|info| {
                if let LinkInfo::Kind(kind) = info {
                    Some(kind.to_string())
                } else {
                    None
                }
            });
        }
    }
    // Unlike /sys/class/net, devices on a bus are the same in every network namespace.
    let module = bus.zip(parent).and_then(|(bus, parent)| {
        let path = format!("/sys/bus/{bus}/devices/{parent}/driver");
        let target = std::fs::read_link(path).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    });
    module.or(kind)
}
