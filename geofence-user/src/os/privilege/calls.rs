//! Refuses system calls that the daemon never makes, with seccomp.
//!
//! This is a deny list. A new version of the C library, the runtime or the kernel can invalidate an allow list at any
//! time, and a reload or the return of an interface would fail first. A refused call returns EPERM, as most of them
//! would without their capability, so a mistake in the list is an error that names the call and does not end the
//! daemon.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

/// Calls by number, each with the conditions under which it is refused; without a condition it is always refused.
pub(super) type Refused = BTreeMap<i64, Vec<SeccompRule>>;

/// Calls that run another program, access other processes, or change the machine.
const NEVER: [c_long; 44] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_syslog,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_name_to_handle_at,
];

/// Commands of bpf(2) that create an object in the kernel or attach without a link (`enum bpf_cmd` of linux/bpf.h).
/// Programs and maps are created only before the filter is attached.
const BPF_NEVER: [u64; 10] = [
    0,  // BPF_MAP_CREATE
    5,  // BPF_PROG_LOAD
    8,  // BPF_PROG_ATTACH
    10, // BPF_PROG_TEST_RUN
    17, // BPF_RAW_TRACEPOINT_OPEN
    18, // BPF_BTF_LOAD
    20, // BPF_TASK_FD_QUERY
    32, // BPF_ENABLE_STATS
    33, // BPF_ITER_CREATE
    36, // BPF_TOKEN_CREATE
];

/// The socket families that the daemon needs: for the control socket, HTTP, routes and interfaces.
const FAMILIES: [i32; 4] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];

type Error = seccompiler::Error;

/// The calls refused to the daemon.
pub(super) fn daemon() -> Result<Refused, Error> {
    let mut refused = never();
    let mut bpf = Vec::new();
    for command in BPF_NEVER {
        bpf.push(rule(vec![argument(0, SeccompCmpOp::Eq, command)?])?);
    }
    refused.insert(libc::SYS_bpf, bpf);
    let other_family = FAMILIES
        .iter()
        .map(|family| argument(0, SeccompCmpOp::Ne, *family as u64));
    refused.insert(
        libc::SYS_socket,
        vec![rule(other_family.collect::<Result<_, _>>()?)?],
    );
    Ok(refused)
}

/// The calls refused to the SSH session helper, which only reads below /proc and answers on an open socket.
pub(super) fn session_helper() -> Result<Refused, Error> {
    let mut refused = never();
    for call in [
        libc::SYS_bpf,
        libc::SYS_socket,
        libc::SYS_connect,
        libc::SYS_kill,
        libc::SYS_tkill,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_send_signal,
        libc::SYS_prlimit64,
        libc::SYS_open_by_handle_at,
        libc::SYS_unlinkat,
        libc::SYS_renameat2,
        libc::SYS_linkat,
        libc::SYS_symlinkat,
        libc::SYS_mkdirat,
        libc::SYS_mknodat,
        libc::SYS_fchmodat,
        libc::SYS_fchownat,
        libc::SYS_truncate,
        // Its flags are in memory, which a filter cannot read. The C library does not use it.
        libc::SYS_openat2,
    ] {
        refused.insert(call, Vec::new());
    }
    #[cfg(target_arch = "x86_64")]
    for call in [
        libc::SYS_open,
        libc::SYS_creat,
        libc::SYS_unlink,
        libc::SYS_rmdir,
        libc::SYS_rename,
        libc::SYS_renameat,
        libc::SYS_link,
        libc::SYS_symlink,
        libc::SYS_mkdir,
        libc::SYS_mknod,
        libc::SYS_chmod,
        libc::SYS_chown,
        libc::SYS_lchown,
    ] {
        refused.insert(call, Vec::new());
    }
    // CAP_SYS_PTRACE makes the memory of other processes a writable file below /proc, so no file is opened for writing.
    let flag = |flag: i32| {
        let flag = flag as u64;
        rule(vec![argument(2, SeccompCmpOp::MaskedEq(flag), flag)?])
    };
    let writing = [libc::O_WRONLY, libc::O_RDWR, libc::O_CREAT, libc::O_TRUNC];
    refused.insert(
        libc::SYS_openat,
        writing.map(flag).into_iter().collect::<Result<_, _>>()?,
    );
    Ok(refused)
}

fn never() -> Refused {
    NEVER.map(|call| (call, Vec::new())).into()
}

fn argument(index: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, Error> {
    Ok(SeccompCondition::new(
        index,
        SeccompCmpArgLen::Dword,
        operator,
        value,
    )?)
}

fn rule(conditions: Vec<SeccompCondition>) -> Result<SeccompRule, Error> {
    Ok(SeccompRule::new(conditions)?)
}

/// Refuses these calls to this thread and to the threads it creates later.
pub(super) fn refuse(refused: &Result<Refused, Error>) -> Result<(), String> {
    let refused = refused.as_ref().map_err(ToString::to_string)?;
    let program = compile(refused.clone()).map_err(|error| error.to_string())?;
    seccompiler::apply_filter(&program).map_err(|error| error.to_string())
}

fn compile(refused: Refused) -> Result<BpfProgram, Error> {
    let filter = SeccompFilter::new(
        refused,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM as u32),
        std::env::consts::ARCH.try_into()?,
    )?;
    Ok(filter.try_into()?)
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::io::ErrorKind;
    use std::process::Command;
    use std::thread;

    use nix::errno::Errno;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

    use super::*;

    #[test]
    fn the_daemon_opens_sockets_and_runs_no_program() {
        let done = thread::spawn(|| {
            refuse(&daemon()).unwrap();
            let run = Command::new("/bin/true")
                .status()
                .map_err(|error| error.kind());
            let open = |family| socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None);
            let packet = open(AddressFamily::Packet);
            let netlink = open(AddressFamily::Netlink);
            (
                run,
                packet.err(),
                netlink.is_ok(),
                std::net::UdpSocket::bind("127.0.0.1:0").is_ok(),
            )
        });
        let (run, packet, netlink, udp) = done.join().unwrap();
        assert_eq!(run.unwrap_err(), ErrorKind::PermissionDenied);
        assert_eq!(packet, Some(Errno::EPERM));
        assert!(netlink && udp);
    }

    #[test]
    fn the_session_helper_reads_and_does_not_write() {
        let done = thread::spawn(|| {
            let place = tempfile::tempdir().unwrap();
            let path = place.path().join("one");
            std::fs::write(&path, "one").unwrap();
            refuse(&session_helper()).unwrap();
            let outcomes = (
                File::open("/proc/self/status").is_ok()
                    && std::fs::read_dir("/proc/self/fd").is_ok(),
                OpenOptions::new().write(true).open(&path).is_err(),
                OpenOptions::new()
                    .read(true)
                    .write(true)
                    .open("/proc/self/mem")
                    .is_err(),
                File::create(place.path().join("two")).is_err(),
                std::fs::remove_file(&path).is_err(),
                std::net::UdpSocket::bind("127.0.0.1:0").is_err(),
            );
            // This thread can no longer remove the directory.
            (outcomes, place)
        });
        let (outcomes, place) = done.join().unwrap();
        assert_eq!(outcomes, (true, true, true, true, true, true));
        drop(place);
    }
}
