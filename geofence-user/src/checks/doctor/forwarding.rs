//! Whether this machine forwards packets of machines behind it, and whether the filter knows where those come in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt as _;
use geofence_common::decide::Origin;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};

use crate::checks::finding::Finding;
use crate::checks::topology::origins;
use crate::model::interface::Interface;

/// What this machine does with packets for others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarding {
    pub is_on: bool,
    /// The indexes of the interfaces that a route leads through, and whether a default route does.
    pub routes: BTreeMap<u32, bool>,
}

impl Forwarding {
    /// Reads it from /proc and netlink.
    pub async fn read() -> anyhow::Result<Self> {
        let keys = ["ipv4/ip_forward", "ipv6/conf/all/forwarding"];
        let is_on = |key: &&str| {
            // Without IPv6 there is no such file.
            let text = fs::read_to_string(format!("/proc/sys/net/{key}"));
            text.is_ok_and(|text| text.trim() != "0")
        };
        let mut forwarding = Self {
            is_on: keys.iter().any(is_on),
            routes: BTreeMap::new(),
        };
        let (connection, handle, _) = rtnetlink::new_connection()?;
        let connection = tokio::spawn(connection);
        for message in [
            RouteMessageBuilder::<Ipv4Addr>::new().build(),
            RouteMessageBuilder::<Ipv6Addr>::new().build(),
        ] {
            let mut found = handle.route().get(message).execute();
            while let Some(route) = found.try_next().await? {
                forwarding.add(&route);
            }
        }
        connection.abort();
        Ok(forwarding)
    }

    fn add(&mut self, route: &RouteMessage) {
        // Every interface has a route for link-local addresses, which are not forwarded.
        let is_local = |attribute: &RouteAttribute| {
            matches!(attribute, RouteAttribute::Destination(RouteAddress::Inet6(address))
                if address.is_unicast_link_local())
        };
        if route.header.kind != RouteType::Unicast || route.attributes.iter().any(is_local) {
            return;
        }
        let is_default = route.header.destination_prefix_length == 0;
        for attribute in &route.attributes {
            if let RouteAttribute::Oif(index) = attribute {
                self.add_route(*index, is_default);
            } else if let RouteAttribute::MultiPath(hops) = attribute {
                for hop in hops {
                    self.add_route(hop.interface_index, is_default);
                }
            }
        }
    }

    fn add_route(&mut self, index: u32, is_default: bool) {
        *self.routes.entry(index).or_default() |= is_default;
    }
}

/// Judges whether packets of machines behind this one can open flows. `protected` and `inner` are the indexes of the
/// interfaces that are configured as such.
#[must_use]
pub fn judge_forwarding(
    forwarding: &Forwarding,
    present: &[Interface],
    protected: &BTreeSet<u32>,
    inner: &BTreeSet<u32>,
) -> Option<Finding> {
    /// The number of a loopback device.
    const LOOPBACK: u16 = 772;

    if !forwarding.is_on || protected.is_empty() {
        return None;
    }
    let routed = present.iter().filter(|one| {
        one.link_type.0 != LOOPBACK && one.is_up && forwarding.routes.contains_key(&one.index)
    });
    let routed: Vec<&Interface> = routed.collect();
    let origins: BTreeMap<u32, Origin> = origins(present, protected, inner).into_iter().collect();
    let is_inside = |one: &&Interface| origins.get(&one.index) == Some(&Origin::Inside);
    if routed.is_empty() || routed.iter().any(is_inside) {
        return None;
    }
    let names = |some: &[&Interface]| {
        let names: Vec<&str> = some.iter().map(|one| one.name.as_str()).collect();
        names.join(", ")
    };
    let key = |some: &[&Interface]| {
        let names: Vec<String> = some.iter().map(|one| format!("{:?}", one.name)).collect();
        format!("inner-interfaces = [{}]", names.join(", "))
    };
    let lost = "geofence takes packets that come in there for packets from outside. The machines behind this one get \
                no answers from blocked countries, not even to their mail";
    if let [only] = routed.as_slice() {
        return Some(Finding::change(
            format!(
                "this machine forwards packets, and they come in and leave by {} alone: {lost}. If there are such \
                 machines, name the interface as inner, and make the network in front of it drop packets from outside \
                 that have addresses of yours",
                only.name
            ),
            key(&routed),
        ));
    }
    let to_inside: Vec<&Interface> = routed
        .iter()
        .filter(|one| forwarding.routes.get(&one.index) == Some(&false))
        .copied()
        .collect();
    let candidates = if to_inside.is_empty() {
        &routed
    } else {
        &to_inside
    };
    Some(Finding::change(
        format!(
            "this machine forwards packets, and every interface with a route ({}) is protected or above a protected \
             one: {lost}. Name the interfaces that lead to them",
            names(&routed)
        ),
        key(candidates),
    ))
}
