//! Calls on links of bpf(2) that aya does not make: it does not say which interface a link is for.

#![expect(
    unsafe_code,
    reason = "bpf(2) is a raw system call, and what it fills is a union"
)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use aya_obj::generated::bpf_cmd::{
    self, BPF_LINK_DETACH, BPF_LINK_GET_FD_BY_ID, BPF_LINK_GET_NEXT_ID, BPF_OBJ_GET,
    BPF_OBJ_GET_INFO_BY_FD,
};
use aya_obj::generated::bpf_link_type::{BPF_LINK_TYPE_TCX, BPF_LINK_TYPE_XDP};
use aya_obj::generated::{bpf_attr, bpf_link_info};

use super::hook::Hook;

/// Where a link is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkPlace {
    pub(super) hook: Hook,
    /// 0 once the link was detached.
    pub(super) interface: u32,
    pub(super) program: u32,
}

/// The id of the link after this one, on the whole machine. Needs CAP_SYS_ADMIN.
pub(super) fn next_link(after: u32) -> io::Result<Option<u32>> {
    let mut attributes = no_attributes();
    attributes.__bindgen_anon_6.__bindgen_anon_1.start_id = after;
    match call(BPF_LINK_GET_NEXT_ID, &mut attributes) {
        // SAFETY: this is the part of the union that the call fills.
        Ok(_) => Ok(Some(unsafe { attributes.__bindgen_anon_6.next_id })),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens a link by its id. Needs CAP_SYS_ADMIN.
pub(super) fn open_link(id: u32) -> io::Result<OwnedFd> {
    let mut attributes = no_attributes();
    attributes.__bindgen_anon_6.__bindgen_anon_1.link_id = id;
    call(BPF_LINK_GET_FD_BY_ID, &mut attributes).map(owned)
}

/// Opens what is pinned here.
pub(super) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attributes = no_attributes();
    attributes.__bindgen_anon_4.pathname = path.as_ptr() as u64;
    call(BPF_OBJ_GET, &mut attributes).map(owned)
}

/// Where a link is attached, if it is of a kind that geofence makes.
pub(super) fn place_of(link: &OwnedFd) -> io::Result<Option<LinkPlace>> {
    // SAFETY: zeroes are a valid value of a structure of numbers.
    let mut info: bpf_link_info = unsafe { std::mem::zeroed() };
    let mut attributes = no_attributes();
    attributes.info.bpf_fd = link.as_raw_fd().cast_unsigned();
    attributes.info.info_len = size_of::<bpf_link_info>() as u32;
    attributes.info.info = (&raw mut info) as u64;
    call(BPF_OBJ_GET_INFO_BY_FD, &mut attributes)?;
    // SAFETY: the kernel fills the part of the union that belongs to the type; the other parts are zero.
    let (xdp, tcx) = unsafe { (info.__bindgen_anon_1.xdp, info.__bindgen_anon_1.tcx) };
    let (hook, interface) = if info.type_ == BPF_LINK_TYPE_XDP as u32 {
        (Hook::Ingress, xdp.ifindex)
    } else if info.type_ == BPF_LINK_TYPE_TCX as u32 {
        (Hook::Egress, tcx.ifindex)
    } else {
        return Ok(None);
    };
    Ok(Some(LinkPlace {
        hook,
        interface,
        program: info.prog_id,
    }))
}

/// Takes the program off the interface; what is left of the link runs nothing.
pub(super) fn detach_link(link: &OwnedFd) -> io::Result<()> {
    let mut attributes = no_attributes();
    attributes.link_detach.link_fd = link.as_raw_fd().cast_unsigned();
    call(BPF_LINK_DETACH, &mut attributes).map(drop)
}

fn owned(descriptor: i32) -> OwnedFd {
    // SAFETY: the call has opened the descriptor, and nothing else owns it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
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
