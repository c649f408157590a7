//! The bpf filesystem: mounted if it is missing, and files in it read and removed.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::pin_error::{BPFFS, PinError};

/// Whether pins made here go away with the mount namespace of this process, as `ip netns exec` makes one: the first
/// process of the machine sees another filesystem in this place.
/// If it cannot be asked, the oldest ancestor is asked that can be.
///
/// The answer is that of the first call, because a daemon that has dropped its privileges gets none.
#[must_use]
pub fn is_private() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let filesystem = |root: &str| {
            let facts = fs::metadata(format!("{root}{BPFFS}"));
            facts.ok().map(|facts| facts.dev())
        };
        let ancestors = std::iter::successors(Some(std::process::id()), |process| parent(*process));
        let seen = ancestors.filter_map(|process| filesystem(&format!("/proc/{process}/root")));
        seen.last() != filesystem("")
    })
}

/// The parent of a process, by /proc/PID/stat (proc(5)).
fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name is in parentheses, and may contain some.
    let (_, facts) = stat.rsplit_once(')')?;
    let parent = facts.split_ascii_whitespace().nth(1)?.parse().ok()?;
    (parent != 0).then_some(parent)
}

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
