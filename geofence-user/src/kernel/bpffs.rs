//! The bpf filesystem: mounted if it is missing, and files in it read and removed.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::pin_error::{BPFFS, PinError};

/// Whether the filesystem is mounted.
pub(super) fn is_mounted() -> io::Result<bool> {
    Ok(statfs(BPFFS)?.filesystem_type() == BPF_FS_MAGIC)
}

/// Mounts the filesystem if it is missing.
pub(super) fn ensure_mounted() -> Result<(), PinError> {
    let failed = |cause| PinError::NoFileSystem { cause };
    if is_mounted().map_err(failed)? {
        return Ok(());
    }
    // Two mounts on top of each other would hide each other's pins, so processes take turns: they lock the directory
    // beneath the mount.
    let beneath = File::open(BPFFS).map_err(failed)?;
    let _turn =
        Flock::lock(beneath, FlockArg::LockExclusive).map_err(|(_, errno)| failed(errno.into()))?;
    if is_mounted().map_err(failed)? {
        return Ok(());
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("bpf"), BPFFS, Some("bpf"), flags, Some("mode=0700"))
        .map_err(|errno| failed(errno.into()))?;
    tracing::info!("mounted a bpf filesystem at {BPFFS}");
    Ok(())
}

/// The entries of a directory; none if the directory does not exist.
pub(super) fn entries(directory: &Path) -> Result<Vec<PathBuf>, PinError> {
    let failed = PinError::file("read", directory);
    let read = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(&failed)?,
    };
    read.map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(&failed)
}

/// Removes a file, and returns whether it existed.
pub(super) fn remove(path: &Path) -> Result<bool, PinError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(PinError::file("remove", path)(error)),
    }
}
