//! A program whose bpf() calls fail by order: each is shown to us by the kernel before it is made (seccomp's user
//! notification), and we let it go on or answer with an error in its place.
//!
//! The program is the real one and knows nothing of it. What it calls is counted from a moment that the test chooses,
//! so that "the third call of a reload" can be said.
#![expect(
    unsafe_code,
    reason = "seccomp has no safe interface: a filter is installed between fork and exec, and asked by ioctl"
)]

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context as _, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

use crate::daemon::Daemon;
use crate::namespace::Namespace;

/// Commands of bpf(2) by number (`enum bpf_cmd` of linux/bpf.h).
const COMMANDS: [&str; 37] = [
    "BPF_MAP_CREATE",
    "BPF_MAP_LOOKUP_ELEM",
    "BPF_MAP_UPDATE_ELEM",
    "BPF_MAP_DELETE_ELEM",
    "BPF_MAP_GET_NEXT_KEY",
    "BPF_PROG_LOAD",
    "BPF_OBJ_PIN",
    "BPF_OBJ_GET",
    "BPF_PROG_ATTACH",
    "BPF_PROG_DETACH",
    "BPF_PROG_TEST_RUN",
    "BPF_PROG_GET_NEXT_ID",
    "BPF_MAP_GET_NEXT_ID",
    "BPF_PROG_GET_FD_BY_ID",
    "BPF_MAP_GET_FD_BY_ID",
    "BPF_OBJ_GET_INFO_BY_FD",
    "BPF_PROG_QUERY",
    "BPF_RAW_TRACEPOINT_OPEN",
    "BPF_BTF_LOAD",
    "BPF_BTF_GET_FD_BY_ID",
    "BPF_TASK_FD_QUERY",
    "BPF_MAP_LOOKUP_AND_DELETE_ELEM",
    "BPF_MAP_FREEZE",
    "BPF_BTF_GET_NEXT_ID",
    "BPF_MAP_LOOKUP_BATCH",
    "BPF_MAP_LOOKUP_AND_DELETE_BATCH",
    "BPF_MAP_UPDATE_BATCH",
    "BPF_MAP_DELETE_BATCH",
    "BPF_LINK_CREATE",
    "BPF_LINK_UPDATE",
    "BPF_LINK_GET_FD_BY_ID",
    "BPF_LINK_GET_NEXT_ID",
    "BPF_ENABLE_STATS",
    "BPF_ITER_CREATE",
    "BPF_LINK_DETACH",
    "BPF_PROG_BIND_MAP",
    "BPF_TOKEN_CREATE",
];

/// A call that is to fail, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The command.
    pub call: &'static str,
    /// How often it is made before, since the counting began. Of its own kind only: how many programs others have
    /// loaded changes how often some questions are asked.
    pub after: usize,
    /// The number of the error.
    pub errno: i32,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<&'static str>,
    fault: Option<Fault>,
    has_failed: bool,
}

/// Stands between a program and its bpf() calls for as long as the program lives.
#[derive(Clone, Debug)]
pub struct Supervisor(Arc<Mutex<State>>);

impl Supervisor {
    /// Starts a command, of which one call may fail from the start.
    pub fn spawn(
        namespace: &Namespace,
        mut command: Command,
        fault: Option<Fault>,
    ) -> Result<(Daemon, Self)> {
        let (ours, theirs) = UnixStream::pair()?;
        let socket = theirs.as_raw_fd();
        // SAFETY: the closure calls what may be called between fork and exec, save that it allocates, for which the C
        // library's fork leaves its heap in order.
        unsafe { command.pre_exec(move || listen(socket)) };
        let daemon = Daemon::spawn(namespace, command)?;
        drop(theirs);
        let listener = receive(&ours).context("receiving the seccomp listener")?;
        let state = Self(Arc::default());
        state.begin(fault);
        let answering = state.clone();
        thread::spawn(move || answering.answer(&listener));
        Ok((daemon, state))
    }

    /// Counts calls anew, of which one may fail.
    pub fn begin(&self, fault: Option<Fault>) {
        *self.lock() = State {
            fault,
            ..State::default()
        };
    }

    /// The calls since the counting began.
    #[must_use]
    pub fn calls(&self) -> Vec<&'static str> {
        self.lock().calls.clone()
    }

    /// Whether the call that was to fail has been made, and has failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.lock().has_failed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the kernel until the program has ended.
    fn answer(&self, listener: &OwnedFd) {
        while is_asked(listener) {
            // SAFETY: zeros are a value of the structure, and the kernel wants them.
            let mut asked: libc::seccomp_notif = unsafe { std::mem::zeroed() };
            // SAFETY: the ioctl fills the structure that it is given.
            if unsafe { notif_recv(listener.as_raw_fd(), &raw mut asked) }.is_err() {
                // The calling process has been killed meanwhile.
                continue;
            }
            let command = usize::try_from(asked.data.args[0]).unwrap_or(usize::MAX);
            let name = COMMANDS
                .get(command)
                .copied()
                .unwrap_or("an unknown command");
            let errno = self.note(name);
            let mut answer = libc::seccomp_notif_resp {
                id: asked.id,
                val: 0,
                error: -errno.unwrap_or(0),
                flags: match errno {
                    Some(_) => 0,
                    None => libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
                },
            };
            // SAFETY: the ioctl reads the structure that it is given. It fails when the calling process has ended.
            let _ = unsafe { notif_send(listener.as_raw_fd(), &raw mut answer) };
        }
    }

    /// Notes a call, and answers with the error it is to fail with.
    fn note(&self, name: &'static str) -> Option<i32> {
        let mut state = self.lock();
        let before = state.calls.iter().filter(|call| **call == name).count();
        state.calls.push(name);
        let fault = state
            .fault
            .filter(|fault| fault.call == name && fault.after == before)?;
        state.has_failed = true;
        Some(fault.errno)
    }
}

/// Waits for a call; no for a program that has ended.
fn is_asked(listener: &OwnedFd) -> bool {
    let mut interest = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    loop {
        match poll(&mut interest, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return false,
            Ok(_) => {
                let events = interest[0].revents().unwrap_or(PollFlags::POLLHUP);
                return events.contains(PollFlags::POLLIN);
            }
        }
    }
}

nix::ioctl_readwrite!(notif_recv, b'!', 0, libc::seccomp_notif);
nix::ioctl_readwrite!(notif_send, b'!', 1, libc::seccomp_notif_resp);

/// In the child: has the kernel ask about every bpf() call from now on, and sends whom it asks to the parent.
fn listen(socket: RawFd) -> io::Result<()> {
    let (load, jump_if_equal, give) = (0x20, 0x15, 0x06);
    let instruction = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut program = [
        // The call's number stands first in what the filter sees.
        instruction(load, 0, 0, 0),
        instruction(jump_if_equal, 0, 1, libc::SYS_bpf as u32),
        instruction(give, 0, 0, libc::SECCOMP_RET_USER_NOTIF),
        instruction(give, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the kernel reads the program, which lives until the call is over.
    let listener = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    };
    if listener < 0 {
        return Err(io::Error::last_os_error());
    }
    let rights = [listener as RawFd];
    let text = [IoSlice::new(b"l")];
    sendmsg::<()>(
        socket,
        &text,
        &[ControlMessage::ScmRights(&rights)],
        MsgFlags::empty(),
        None,
    )?;
    // The descriptor closes by itself when the program is executed.
    Ok(())
}

fn receive(socket: &UnixStream) -> Result<OwnedFd> {
    let mut text = [0; 1];
    let mut text = [IoSliceMut::new(&mut text)];
    let mut space = nix::cmsg_space!(RawFd);
    let message = recvmsg::<()>(
        socket.as_raw_fd(),
        &mut text,
        Some(&mut space),
        MsgFlags::MSG_CMSG_CLOEXEC,
    )?;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = control
            && let [descriptor] = descriptors[..]
        {
            // SAFETY: the kernel has just made it for us, and nothing else holds it.
            return Ok(unsafe { OwnedFd::from_raw_fd(descriptor) });
        }
    }
    anyhow::bail!("the child sent no descriptor")
}
