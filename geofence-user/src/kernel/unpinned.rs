//! Detaches a filter whose pins this process cannot see, because they are in another mount namespace: finds its links
//! by the interface.
//!
//! Walking the links of the machine needs CAP_SYS_ADMIN.

use std::collections::BTreeSet;
use std::io;

use aya::programs::{SchedClassifier, TcAttachType};
use geofence_common::maps::name;

use super::attach::remove_egress;
use super::hook::Hook;
use super::link_calls::{detach_link, next_link, open_link, place_of};
use super::running::Running;
use super::version::has_tcx;
use crate::model::interface::Interface;

/// Detaches both programs of geofence from an interface; returns whether there were any.
pub fn detach_unpinned(interface: &Interface) -> io::Result<bool> {
    let Some(ingress) = interface.program.filter(|id| Running::is_filter(*id)) else {
        return Ok(false);
    };
    if !has_tcx() {
        remove_egress(interface.index);
    }
    // The indexes of other network namespaces may be equal, so links are found by their program as well.
    let egress = egress_programs(interface.index);
    let mut existed = false;
    let mut id = 0;
    while let Some(next) = next_link(id)? {
        id = next;
        // The link may have gone meanwhile.
        let Ok(link) = open_link(id) else {
            continue;
        };
        let is_meant = place_of(&link)?.is_some_and(|place| {
            let is_its_program = match place.hook {
                Hook::Ingress => place.program == ingress,
                Hook::Egress => egress.contains(&place.program),
            };
            is_its_program && place.interface == interface.index
        });
        if is_meant {
            detach_link(&link)?;
            existed = true;
        }
    }
    Ok(existed)
}

/// The egress programs of geofence on an interface of this network namespace. The kernel cuts their names.
fn egress_programs(interface: u32) -> BTreeSet<u32> {
    let found = SchedClassifier::query_tcx(interface, TcAttachType::Egress);
    let programs = found.map_or_else(|_| Vec::new(), |(_, programs)| programs);
    let is_ours = |name: &str| {
        [name::EGRESS, name::EGRESS_IP]
            .iter()
            .any(|one| one.starts_with(name))
    };
    programs
        .iter()
        .filter(|program| program.name_as_str().is_some_and(is_ours))
        .map(|program| program.id())
        .collect()
}
