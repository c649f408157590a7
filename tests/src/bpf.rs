//! What the harness asks of bpf(2) by itself: a flood of live frames, and the number and the end of a pinned link.
//!
//! A flood by a socket costs more for each frame than the filter that is to meet it. So the kernel sends: a program of
//! a few instructions is run on one frame as often as wanted (BPF_PROG_TEST_RUN with BPF_F_TEST_XDP_LIVE_FRAMES, Linux
//! 5.18), gives each frame a source of its own and sends it out of an interface. The receiving end of a veth pair takes
//! such frames only while GRO is on there or a program runs there.
#![expect(
    unsafe_code,
    reason = "bpf(2) is a raw system call, and two of its calls are not worth a library and a second object"
)]

use std::ffi::CString;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;

use crate::frames::Frame;

/// Commands, types and flags of linux/bpf.h.
const PROG_LOAD: libc::c_long = 5;
const OBJ_GET: libc::c_long = 7;
const PROG_TEST_RUN: libc::c_long = 10;
const LINK_DETACH: libc::c_long = 34;
const PROG_TYPE_XDP: u32 = 6;
const TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;

/// Helpers, by number.
const GET_PRANDOM_U32: i32 = 7;
const REDIRECT: i32 = 23;

/// Frames that are in flight at once; fewer than a veth's queue holds.
const BATCH: u32 = 64;

/// Where the program writes: what varies of the source, and what makes up for it in the checksums of IPv4 and TCP.
const SOURCE: i16 = 14 + 12 + 2;
const IDENTIFICATION: i16 = 14 + 4;
const SEQUENCE: i16 = 14 + 20 + 4 + 2;
/// The frame's headers: Ethernet, IPv4 without options, TCP.
const HEADERS: i32 = 14 + 20 + 20;

/// The part of the kernel's union that loads a program, up to what is left out.
#[repr(C)]
struct Load {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
}

/// The part that runs one.
#[repr(C)]
#[derive(Default)]
struct Run {
    program: u32,
    answer: u32,
    data_size: u32,
    data_size_out: u32,
    data: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_size: u32,
    context_size_out: u32,
    context: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
    batch: u32,
    padding: u32,
}

/// The part that opens what is pinned.
#[repr(C)]
struct Get {
    path: u64,
    descriptor: u32,
    flags: u32,
}

fn bpf<T>(command: libc::c_long, attributes: &mut T) -> Result<i32, Errno> {
    // SAFETY: the kernel reads and writes as many bytes as the call says the structure has, and takes what is behind
    // them for zero; every structure here is a prefix of its part of the union, and what they point to outlives the
    // call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<T>(),
        )
    };
    Errno::result(answer).map(|answer| answer as i32)
}

/// Takes the descriptor that a call has answered with.
fn owned(descriptor: i32) -> OwnedFd {
    // SAFETY: the kernel has just made it for us, and nothing else holds it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// One instruction: operation, destination, source, offset, constant.
fn instruction(operation: u8, to: u8, from: u8, offset: i16, constant: i32) -> [u8; 8] {
    let [a, b] = offset.to_ne_bytes();
    let [c, d, e, f] = constant.to_ne_bytes();
    let registers = if cfg!(target_endian = "little") {
        from << 4 | to
    } else {
        to << 4 | from
    };
    [operation, registers, a, b, c, d, e, f]
}

/// Sends frames of one kind from ever new sources of a /16, out of an interface of the calling thread's namespace.
#[derive(Debug)]
pub struct Flood {
    program: OwnedFd,
    frame: Vec<u8>,
}

impl Flood {
    /// A flood of openings of TCP connections: `opening` is one over IPv4 without payload or options, from the first
    /// address of the /16.
    pub fn new(opening: Frame, interface: u32) -> Result<Self> {
        let frame = opening.identification(0xffff).sequence(0xffff).build();
        ensure!(
            frame.len() == HEADERS as usize,
            "a flood takes headers and nothing else"
        );
        let [load32, load_by, add, more] = [0x61, 0xbf, 0x07, 0x2d];
        let (store16, xor, set, call, exit) = (0x6b, 0xa7, 0xb7, 0x85, 0x95);
        let program = [
            instruction(load_by, 6, 1, 0, 0),
            instruction(call, 0, 0, 0, GET_PRANDOM_U32),
            instruction(load32, 2, 6, 0, 0),
            instruction(load32, 3, 6, 4, 0),
            instruction(load_by, 4, 2, 0, 0),
            instruction(add, 4, 0, 0, HEADERS),
            // A frame too short goes nowhere: XDP_DROP.
            instruction(more, 4, 3, 8, 0),
            // One's complement: a word and its inverse add up to the same for every word (RFC 1071).
            instruction(store16, 2, 0, SOURCE, 0),
            instruction(xor, 0, 0, 0, 0xffff),
            instruction(store16, 2, 0, IDENTIFICATION, 0),
            instruction(store16, 2, 0, SEQUENCE, 0),
            instruction(set, 1, 0, 0, interface as i32),
            instruction(set, 2, 0, 0, 0),
            instruction(call, 0, 0, 0, REDIRECT),
            instruction(exit, 0, 0, 0, 0),
            instruction(set, 0, 0, 0, 1),
            instruction(exit, 0, 0, 0, 0),
        ];
        let mut log = vec![0_u8; 1 << 16];
        let license = c"MIT";
        let mut load = Load {
            program_type: PROG_TYPE_XDP,
            instruction_count: program.len() as u32,
            instructions: program.as_ptr() as u64,
            license: license.as_ptr() as u64,
            log_level: 1,
            log_size: log.len() as u32,
            log: log.as_mut_ptr() as u64,
        };
        let loaded = bpf(PROG_LOAD, &mut load);
        let descriptor = loaded.with_context(|| {
            let said = String::from_utf8_lossy(&log);
            format!(
                "loading the program that floods: {}",
                said.trim_end_matches('\0')
            )
        })?;
        Ok(Self {
            program: owned(descriptor),
            frame,
        })
    }

    /// Sends so many frames, or fewer if a signal comes. The thread is to be in the interface's namespace.
    pub fn send(&self, frames: u32) -> Result<()> {
        let mut run = Run {
            program: self.program.as_raw_fd() as u32,
            data_size: self.frame.len() as u32,
            data: self.frame.as_ptr() as u64,
            repeat: frames,
            flags: TEST_XDP_LIVE_FRAMES,
            batch: BATCH,
            ..Run::default()
        };
        match bpf(PROG_TEST_RUN, &mut run) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error).context("sending live frames"),
        }
    }
}

/// The part that detaches a link.
#[repr(C)]
struct Detach {
    link: u32,
}

fn open_link(pin: &Path) -> Result<OwnedFd> {
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let mut get = Get {
        path: path.as_ptr() as u64,
        descriptor: 0,
        flags: 0,
    };
    let link = bpf(OBJ_GET, &mut get).with_context(|| format!("opening {}", pin.display()))?;
    Ok(owned(link))
}

/// Takes the program of a pinned link off its interface, and leaves the pin.
pub fn detach_link(pin: &Path) -> Result<()> {
    let link = open_link(pin)?;
    let mut detach = Detach {
        link: link.as_raw_fd() as u32,
    };
    bpf(LINK_DETACH, &mut detach).with_context(|| format!("detaching {}", pin.display()))?;
    Ok(())
}

/// The kernel's number of a link that is pinned.
pub fn link_id(pin: &Path) -> Result<u32> {
    let link = open_link(pin)?;
    let facts = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", link.as_raw_fd()))?;
    let id = facts
        .lines()
        .find_map(|line| line.strip_prefix("link_id:")?.trim().parse().ok());
    id.with_context(|| format!("{} is no link: {facts}", pin.display()))
}
