//! The routing tables of this machine: gateways, host routes, and which interface leads to an address.

use std::net::IpAddr;

use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteType, RouteVia,
};
use rtnetlink::{Handle, RouteMessageBuilder};

use crate::os::interface_names;

/// The routes through some interfaces.
pub(super) struct Routes {
    handle: Handle,
    /// The indexes of those interfaces.
    indexes: Vec<u32>,
    /// The next hops of their default routes.
    pub(super) gateways: Vec<IpAddr>,
    /// Addresses that have a host route.
    pub(super) hosts: Vec<IpAddr>,
    connection: tokio::task::JoinHandle<()>,
}

impl Drop for Routes {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Routes {
    pub(super) async fn read(interfaces: &[String]) -> anyhow::Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        let mut routes = Self {
            handle,
            indexes: interface_names::indexes(interfaces),
            gateways: Vec::new(),
            hosts: Vec::new(),
            connection: tokio::spawn(connection),
        };
        for message in [
            RouteMessageBuilder::<std::net::Ipv4Addr>::new().build(),
            RouteMessageBuilder::<std::net::Ipv6Addr>::new().build(),
        ] {
            let mut found = routes.handle.route().get(message).execute();
            while let Some(route) = found.try_next().await? {
                routes.add(&route);
            }
        }
        Ok(routes)
    }

    /// Whether packets to this address leave through one of the interfaces.
    pub(super) async fn lead_to(&self, address: IpAddr) -> bool {
        let message = match address {
            IpAddr::V4(address) => RouteMessageBuilder::<std::net::Ipv4Addr>::new()
                .destination_prefix(address, 32)
                .build(),
            IpAddr::V6(address) => RouteMessageBuilder::<std::net::Ipv6Addr>::new()
                .destination_prefix(address, 128)
                .build(),
        };
        let mut found = self.handle.route().get(message).execute();
        // The kernel answers with an error if there is no route.
        let Ok(Some(route)) = found.try_next().await else {
            return false;
        };
        route
            .attributes
            .iter()
            .any(|attribute| matches!(attribute, RouteAttribute::Oif(index) if self.indexes.contains(index)))
    }

    fn add(&mut self, route: &RouteMessage) {
        let header = &route.header;
        if header.kind != RouteType::Unicast {
            return;
        }
        let host_bits = if header.address_family == AddressFamily::Inet {
            32
        } else {
            128
        };
        if header.destination_prefix_length == host_bits {
            self.hosts
                .extend(route.attributes.iter().filter_map(destination));
        }
        if header.destination_prefix_length > 0 {
            return;
        }
        self.add_hop(None, &route.attributes);
        for attribute in &route.attributes {
            if let RouteAttribute::MultiPath(hops) = attribute {
                for hop in hops {
                    self.add_hop(Some(hop.interface_index), &hop.attributes);
                }
            }
        }
    }

    fn add_hop(&mut self, index: Option<u32>, attributes: &[RouteAttribute]) {
        let mut index = index;
        let mut gateway = None;
        for attribute in attributes {
            if let RouteAttribute::Oif(oif) = attribute {
                index = Some(*oif);
            } else if let RouteAttribute::Gateway(address) = attribute {
                gateway = ip(address);
            } else if let RouteAttribute::Via(RouteVia::Inet6(address)) = attribute {
                gateway = Some((*address).into());
            }
        }
        if let (Some(index), Some(gateway)) = (index, gateway)
            && self.indexes.contains(&index)
        {
            self.gateways.push(gateway);
        }
    }
}

fn destination(attribute: &RouteAttribute) -> Option<IpAddr> {
    if let RouteAttribute::Destination(address) = attribute {
        ip(address)
    } else {
        None
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    if let RouteAddress::Inet(address) = address {
        Some((*address).into())
    } else if let RouteAddress::Inet6(address) = address {
        Some((*address).into())
    } else {
        None
    }
}
