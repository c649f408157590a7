//! Reads all elements of a per-CPU array with few calls. One call each would be a hundred thousand of them at a scrape.

#![expect(
    unsafe_code,
    reason = "aya has no batch look-ups, so the call is made here"
)]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use aya::Pod;
use aya_obj::generated::{bpf_attr, bpf_attr__bindgen_ty_3, bpf_cmd::BPF_MAP_LOOKUP_BATCH};

/// Elements per call.
const BATCH: usize = 4096;

/// Calls `each` with every element in order: its values, one per CPU. The size of a value must be a multiple of eight.
pub(super) fn elements<T: Pod + Default>(
    map: BorrowedFd<'_>,
    cpus: usize,
    mut each: impl FnMut(&[T]),
) -> io::Result<()> {
    let mut keys = vec![0_u32; BATCH];
    let mut values = vec![T::default(); BATCH * cpus];
    // Where the kernel continues.
    let mut next = 0_u32;
    let mut is_first = true;
    loop {
        let mut attributes = bpf_attr {
            batch: bpf_attr__bindgen_ty_3 {
                in_batch: if is_first {
                    0
                } else {
                    (&raw const next) as u64
                },
                out_batch: (&raw mut next) as u64,
                keys: keys.as_mut_ptr() as u64,
                values: values.as_mut_ptr() as u64,
                count: BATCH as u32,
                map_fd: map.as_raw_fd().cast_unsigned(),
                elem_flags: 0,
                flags: 0,
            },
        };
        // The kernel refuses bytes that it does not know, so the size is that of this part of the union.
        let size = size_of::<bpf_attr__bindgen_ty_3>();
        // SAFETY: the buffers have room for as many elements as `count` asks for, with a value of whole words for each
        // CPU; they and the attributes outlive the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                BPF_MAP_LOOKUP_BATCH as libc::c_long,
                &raw mut attributes,
                size,
            )
        };
        let error = io::Error::last_os_error();
        // ENOENT marks the end of the array.
        let is_last = result != 0 && error.raw_os_error() == Some(libc::ENOENT);
        if result != 0 && !is_last {
            return Err(error);
        }
        // SAFETY: this is the part of the union that was written above; the kernel has replaced its count.
        let count = unsafe { attributes.batch.count } as usize;
        values.chunks(cpus.max(1)).take(count).for_each(&mut each);
        if is_last || count == 0 {
            return Ok(());
        }
        is_first = false;
    }
}
