//! Detaches a filter whose pins this process cannot see, because they are in another mount namespace: finds its links
//! by the interface.
//!
//! Walking the links of the machine needs CAP_SYS_ADMIN.

#![expect(
    unsafe_code,
    reason = "aya does not say which interface a link is for, so the calls are made here"
)]

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use aya::programs::{SchedClassifier, TcAttachType};
use aya_obj::generated::bpf_cmd::{
    self, BPF_LINK_DETACH, BPF_LINK_GET_FD_BY_ID, BPF_LINK_GET_NEXT_ID, BPF_OBJ_GET_INFO_BY_FD,
};
use aya_obj::generated::bpf_link_type::{BPF_LINK_TYPE_TCX, BPF_LINK_TYPE_XDP};
use aya_obj::generated::{bpf_attr, bpf_link_info};
use geofence_common::maps::name;

use super::attach::remove_egress;
use super::running::Running;
use super::version::has_tcx;
use crate::model::interface::Interface;

/// Detaches both programs of geofence from an interface; returns whether there were any.
pub fn detach_unpinned(interface: &Interface) -> io::Result<bool> {
    let Some(ingress) = interface.program.filter(|id| Running::is_filter(*id)) else {
        return Ok(false);
    };
    if !has_tcx() {
        remove_egress(&interface.name);
    }
    // The indexes of other network namespaces may be equal, so links are found by their program as well.
    let egress = egress_programs(&interface.name);
    let mut existed = false;
    let mut id = 0;
    while let Some(next) = next_link(id)? {
        id = next;
        // The link may have gone meanwhile.
        let Ok(link) = open_link(id) else {
            continue;
        };
        let info = link_info(&link)?;
        // SAFETY: the kernel fills the part of the union that belongs to the type; the other parts are zero.
        let (xdp, tcx) = unsafe { (info.__bindgen_anon_1.xdp, info.__bindgen_anon_1.tcx) };
        let is_meant = if info.type_ == BPF_LINK_TYPE_XDP as u32 {
            xdp.ifindex == interface.index && info.prog_id == ingress
        } else if info.type_ == BPF_LINK_TYPE_TCX as u32 {
            tcx.ifindex == interface.index && egress.contains(&info.prog_id)
        } else {
            false
        };
        if is_meant {
            let mut attributes = no_attributes();
            attributes.link_detach.link_fd = link.as_raw_fd().cast_unsigned();
            call(BPF_LINK_DETACH, &mut attributes)?;
            existed = true;
        }
    }
    Ok(existed)
}

/// The egress programs of geofence on an interface of this network namespace. The kernel cuts their names.
fn egress_programs(interface: &str) -> BTreeSet<u32> {
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

fn next_link(after: u32) -> io::Result<Option<u32>> {
    let mut attributes = no_attributes();
    attributes.__bindgen_anon_6.__bindgen_anon_1.start_id = after;
    match call(BPF_LINK_GET_NEXT_ID, &mut attributes) {
        // SAFETY: this is the part of the union that the call fills.
        Ok(_) => Ok(Some(unsafe { attributes.__bindgen_anon_6.next_id })),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn open_link(id: u32) -> io::Result<OwnedFd> {
    let mut attributes = no_attributes();
    attributes.__bindgen_anon_6.__bindgen_anon_1.link_id = id;
    let descriptor = call(BPF_LINK_GET_FD_BY_ID, &mut attributes)?;
    // SAFETY: the call has opened the descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn link_info(link: &OwnedFd) -> io::Result<bpf_link_info> {
    // SAFETY: zeroes are a valid value of a structure of numbers.
    let mut info: bpf_link_info = unsafe { std::mem::zeroed() };
    let mut attributes = no_attributes();
    attributes.info.bpf_fd = link.as_raw_fd().cast_unsigned();
    attributes.info.info_len = size_of::<bpf_link_info>() as u32;
    attributes.info.info = (&raw mut info) as u64;
    call(BPF_OBJ_GET_INFO_BY_FD, &mut attributes)?;
    Ok(info)
}

fn no_attributes() -> bpf_attr {
    // SAFETY: zeroes are a valid value of a union of structures of numbers.
    unsafe { std::mem::zeroed() }
}

fn call(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<i32> {
    // SAFETY: the attributes, and what they point to, outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_long,
            &raw mut *attributes,
            size_of::<bpf_attr>(),
        )
    };
    i32::try_from(result)
        .ok()
        .filter(|result| *result >= 0)
        .ok_or_else(io::Error::last_os_error)
}
