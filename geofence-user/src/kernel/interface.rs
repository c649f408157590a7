//! The interfaces of this network namespace, as the kernel tells of them.

use rtnetlink::packet_route::link::{LinkAttribute, LinkXdp, XdpAttached};

use super::AttachError;
use crate::checks::doctor::driver;

/// What an interface was found to be.
#[derive(Clone, Debug)]
pub struct Interface {
    pub index: u32,
    pub name: String,
    pub driver: Option<String>,
    /// The XDP program that runs on it.
    pub program: Option<u32>,
    /// `native`, `generic` or `offload`, where a program runs.
    pub mode: Option<&'static str>,
}

/// Every interface there is.
pub async fn interfaces() -> Result<Vec<Interface>, AttachError> {
    let failed = |cause: &dyn std::fmt::Display| AttachError::Netlink {
        cause: cause.to_string(),
    };
    let (connection, handle, _) = rtnetlink::new_connection().map_err(|error| failed(&error))?;
    let connection = tokio::spawn(connection);
    let mut links = handle.link().get().execute();
    let mut found = Vec::new();
    while let Some(link) = futures_util::TryStreamExt::try_next(&mut links)
        .await
        .map_err(|error| failed(&error))?
    {
        let name = link.attributes.iter().find_map(|attribute| {
            if let LinkAttribute::IfName(name) = attribute {
                Some(name.clone())
            } else {
                None
            }
        });
        let Some(name) = name else { continue };
        let mut interface = Interface {
            index: link.header.index,
            name,
            driver: driver(&link.attributes),
            program: None,
            mode: None,
        };
        for attribute in link.attributes.iter() {
            if let LinkAttribute::Xdp(facts) = attribute {
                facts.iter().for_each(|fact| interface.learn(fact));
            }
        }
        found.push(interface);
    }
    connection.abort();
    Ok(found)
}

/// The interface of this name, or the names there are.
pub(super) fn named<'a>(
    present: &'a [Interface],
    name: &str,
) -> Result<&'a Interface, AttachError> {
    let found = present.iter().find(|one| one.name == name);
    found.ok_or_else(|| AttachError::NoInterface {
        name: name.to_owned(),
        present: present.iter().map(|one| one.name.clone()).collect(),
    })
}

impl Interface {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the other facts are not asked for"
    )]
    fn learn(&mut self, fact: &LinkXdp) {
        match fact {
            LinkXdp::ProgId(id)
            | LinkXdp::DrvProgId(id)
            | LinkXdp::SkbProgId(id)
            | LinkXdp::HwProgId(id) => {
                self.program = Some(*id).filter(|id| *id != 0);
            }
            LinkXdp::Attached(attached) => {
                self.mode = match attached {
                    XdpAttached::Driver => Some("native"),
                    XdpAttached::SocketBuffer => Some("generic"),
                    XdpAttached::Hardware => Some("offload"),
                    XdpAttached::Multiple => Some("multiple"),
                    XdpAttached::None | XdpAttached::Other(_) => None,
                    _ => None,
                };
            }
            _ => {}
        }
    }
}
