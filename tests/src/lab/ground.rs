//! The ground the laboratory stands on: a folder in memory and a resolver's address that only it sees.
//!
//! Both are mounts in a mount namespace of the calling thread, which the programs it starts inherit. So nothing is
//! written to a disk, the machine's own resolver is neither asked nor changed, and however the process ends, the kernel
//! takes everything away with its last program. The thread that calls [`Ground::lay`] keeps the namespace for good.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// An empty folder on every system; what may be mounted there stays visible outside.
const FOLDER: &str = "/mnt";
const RESOLVER: &str = "/etc/resolv.conf";

/// A folder of our own, and what lives in it.
#[derive(Debug)]
pub(super) struct Ground {
    folder: PathBuf,
}

impl Ground {
    /// Leaves the machine's mounts behind and lays out the laboratory's.
    pub(super) fn lay() -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNS)
            .context("making a mount namespace; it needs root (CAP_SYS_ADMIN)")?;
        let nothing: Option<&str> = None;
        mount(
            nothing,
            "/",
            nothing,
            MsFlags::MS_REC | MsFlags::MS_PRIVATE,
            nothing,
        )
        .context("making mounts private")?;
        let options = Some("mode=0755,size=2g");
        mount(
            Some("lab"),
            FOLDER,
            Some("tmpfs"),
            MsFlags::empty(),
            options,
        )
        .with_context(|| format!("mounting a folder in memory on {FOLDER}"))?;
        let ground = Self {
            folder: FOLDER.into(),
        };
        let resolver = ground.folder.join("resolv.conf");
        fs::write(&resolver, "nameserver 127.0.0.1\n").context("writing a resolv.conf")?;
        mount(
            Some(&resolver),
            RESOLVER,
            nothing,
            MsFlags::MS_BIND,
            nothing,
        )
        .with_context(|| format!("mounting a file on {RESOLVER}"))?;
        Ok(ground)
    }

    /// Makes a folder that every user may look into.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        make(&folder)?;
        Ok(folder)
    }
}

/// Makes a folder that every user may look into, whatever the process's mask says.
pub(super) fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)
        .and_then(|()| fs::set_permissions(folder, fs::Permissions::from_mode(0o755)))
        .with_context(|| format!("making {}", folder.display()))
}
