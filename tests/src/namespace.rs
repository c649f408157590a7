//! Network namespaces without a name: each is held by a file descriptor and gone when its last holder is.
//!
//! Nothing is mounted under /run/netns, so even a test killed by SIGKILL leaves nothing on the host; programs started
//! inside get SIGTERM when the thread that started them does. A new namespace has its loopback and nothing else:
//! no route leads out of it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::panic;
use std::process::{self, Command, Output, Stdio};
use std::sync::Arc;
use std::thread;

use anyhow::{Context as _, Result, bail};
use nix::sched::{CloneFlags, setns, unshare};

use crate::instance::Instance;

/// What interfaces made inside start with: the kernel says nothing on its own and addresses work at once.
const QUIET: [(&str, &str); 6] = [
    ("accept_dad", "0"),
    ("dad_transmits", "0"),
    ("optimistic_dad", "1"),
    ("router_solicitations", "0"),
    ("accept_ra", "0"),
    // 1 is "none": no link-local address appears unless a test adds one.
    ("addr_gen_mode", "1"),
];

/// An anonymous network namespace; clones hold the same one.
///
/// It stands for a machine: a geofence inside has a name of its own, under which no other namespace finds its pins, its
/// state or its socket, and all of that goes when the last holder does.
#[derive(Clone, Debug)]
pub struct Namespace {
    handle: Arc<OwnedFd>,
    instance: Arc<Instance>,
}

impl Namespace {
    /// Makes a namespace with its loopback up and everything else absent.
    pub fn new() -> Result<Self> {
        // A thread of its own: unshare moves the calling thread for good.
        let handle = thread::spawn(|| -> Result<OwnedFd> {
            unshare(CloneFlags::CLONE_NEWNET)
                .context("unshare refused; it needs root (CAP_SYS_ADMIN)")?;
            for (key, value) in QUIET {
                let path = format!("/proc/sys/net/ipv6/conf/default/{key}");
                // optimistic_dad is a build option of the kernel; accept_dad alone does the job where it is missing.
                match fs::write(&path, value) {
                    Err(error)
                        if error.kind() == std::io::ErrorKind::NotFound
                            && key == "optimistic_dad" => {}
                    written => written
                        .with_context(|| format!("setting {path}; is IPv6 disabled here?"))?,
                }
            }
            let file = File::open("/proc/thread-self/ns/net")
                .context("opening /proc/thread-self/ns/net")?;
            Ok(file.into())
        })
        .join()
        .unwrap_or_else(|payload| panic::resume_unwind(payload))
        .context("making a network namespace")?;
        let namespace = Self {
            handle: Arc::new(handle),
            instance: Arc::new(Instance::new()),
        };
        namespace.run(&["ip", "link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Names the namespace for programs that want a file, for as long as this process lives and holds it.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.handle.as_raw_fd())
    }

    /// The name of a geofence inside, unless a command names another.
    #[must_use]
    pub fn instance(&self) -> &str {
        self.instance.name()
    }

    /// Prepares a program to run inside, with the process identifier of its own and nothing between it and us.
    ///
    /// It gets SIGTERM when the *thread* that spawns it ends, so spawn long-lived programs from the test's own thread,
    /// not from within [`Namespace::enter`].
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "TERM", "--", "nsenter"])
            .arg(format!("--net={}", self.path()))
            .arg("--")
            .arg(program)
            .env("GEOFENCE_INSTANCE", self.instance());
        command
    }

    /// Runs a program inside to its end and returns its output; unless it succeeds, the error quotes its complaint.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        let [program, arguments @ ..] = words else {
            bail!("no program named to run in a namespace");
        };
        let line = words.join(" ");
        let Output {
            status,
            stdout,
            stderr,
        } = self
            .command(program)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .with_context(|| {
                format!("starting `{line}`; it needs setpriv and nsenter (util-linux)")
            })?;
        if !status.success() {
            bail!(
                "`{line}` failed in a namespace ({status}): {}",
                String::from_utf8_lossy(&stderr).trim()
            );
        }
        String::from_utf8(stdout).with_context(|| format!("the output of `{line}` is not text"))
    }

    /// Runs a closure on a thread that lives inside the namespace; sockets opened there stay there.
    ///
    /// A panic of the closure goes on in the caller.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        thread::scope(|scope| {
            scope
                .spawn(|| {
                    setns(&*self.handle, CloneFlags::CLONE_NEWNET)
                        .context("entering a network namespace")?;
                    Ok(work())
                })
                .join()
                .unwrap_or_else(|payload| panic::resume_unwind(payload))
        })
    }
}
