//! What stays in the kernel when the process ends: links and tables, pinned under /sys/fs/bpf.
//!
//! ```text
//! /sys/fs/bpf/geofence/INSTANCE/   0700, as is what is above and below
//!   links/ingress-7, egress-7      by the interface's index: what keeps the programs attached
//!   tables-1/COUNTERS ...          what outlives a program; the number is that of the tables' layout
//! ```
//!
//! Nobody but the pin holds a link, so to remove the pin is to detach, whether a daemon runs or not. Links have no
//! layout: whatever version made one, any other can put its own program behind it. Names here have no dot, which
//! bpffs refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aya::programs::TcAttachType;
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc;
use geofence_common::maps::{TABLES_LAYOUT, name};
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::AttachError;
use super::attach::errno;
use super::call::{OfCall, told};
use super::interface::{Interface, interfaces};
use crate::os::instance::{Instance, InstanceError, private_directory};

/// Where the kernel keeps what has no process.
const BPFFS: &str = "/sys/fs/bpf";

/// The directory of all instances in it.
const ROOT: &str = "/sys/fs/bpf/geofence";

/// How long the kernel may take to let go of an interface whose link is gone.
const RELEASE_PATIENCE: Duration = Duration::from_secs(5);
const RELEASE_INTERVAL: Duration = Duration::from_millis(5);

/// Which program of the two a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    Ingress,
    Egress,
}

impl Hook {
    pub(super) const ALL: [Self; 2] = [Self::Ingress, Self::Egress];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

/// Why pins cannot be made or removed.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    #[error(
        "there is no bpf filesystem at {BPFFS}, and mounting one failed: {cause}. The filter could not outlive this \
         process: run `mount -t bpf bpf {BPFFS}` as root, and see that a container gets the host's"
    )]
    NoFileSystem { cause: io::Error },
    #[error(transparent)]
    Directory(#[from] InstanceError),
    #[error("{doing} {path}: {cause}")]
    File {
        doing: &'static str,
        path: String,
        cause: io::Error,
    },
    #[error("{path} is for root: run this with sudo")]
    Privilege { path: String },
    #[error("pinning {path}: {cause}")]
    Pin { path: String, cause: String },
    #[error("opening {path}: {cause}")]
    Open { path: String, cause: String },
    #[error("the kernel has not let go of interface {index} after {RELEASE_PATIENCE:?}")]
    StillAttached { index: u32 },
}

/// A link and the program behind it, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub link: u32,
    pub program: u32,
}

/// The pins of one instance.
#[derive(Clone, Debug)]
pub struct Pins {
    directory: PathBuf,
}

impl Pins {
    #[must_use]
    pub fn of(instance: &Instance) -> Self {
        Self {
            directory: Path::new(ROOT).join(instance.name()),
        }
    }

    /// Where the pins of every instance are.
    #[must_use]
    pub fn root() -> &'static Path {
        Path::new(ROOT)
    }

    /// The pins of every instance that has any.
    pub fn all() -> Result<Vec<Self>, PinError> {
        let entries = entries(Path::new(ROOT))?;
        Ok(entries
            .into_iter()
            .map(|directory| Self { directory })
            .collect())
    }

    /// Makes the directories, and mounts the filesystem where nobody has.
    pub fn prepare(&self) -> Result<(), PinError> {
        ensure_bpffs()?;
        let directories = [
            Path::new(ROOT),
            &self.directory,
            &self.links(),
            &self.tables(),
        ];
        for directory in directories {
            private_directory(directory)?;
        }
        Ok(())
    }

    fn links(&self) -> PathBuf {
        self.directory.join("links")
    }

    fn tables(&self) -> PathBuf {
        self.directory.join(format!("tables-{TABLES_LAYOUT}"))
    }

    pub(super) fn table(&self, table: &str) -> PathBuf {
        self.tables().join(table)
    }

    /// Where a table would be that an earlier or later version has left.
    pub(super) fn tables_of_other_layouts(&self, table: &str) -> Vec<PathBuf> {
        // What cannot be read is told of when pins are made.
        let directories = entries(&self.directory).unwrap_or_default().into_iter();
        directories
            .filter(|path| *path != self.links() && *path != self.tables())
            .map(|path| path.join(table))
            .collect()
    }

    fn link(&self, hook: Hook, index: u32) -> PathBuf {
        self.links().join(format!("{}-{index}", hook.name()))
    }

    /// What every link is and holds, by the name of its pin.
    pub fn held(&self) -> Result<BTreeMap<String, Held>, PinError> {
        let mut held = BTreeMap::new();
        for index in self.indexes()? {
            for hook in Hook::ALL {
                if let Some(link) = self.open(hook, index)? {
                    let info = link.info();
                    let info = info.map_err(|error| opening(&self.link(hook, index), &error))?;
                    let one = Held {
                        link: info.id(),
                        program: info.program_id(),
                    };
                    held.insert(format!("{}-{index}", hook.name()), one);
                }
            }
        }
        Ok(held)
    }

    /// The interfaces that have a link, by index. A link may have outlived its interface.
    pub fn indexes(&self) -> Result<BTreeSet<u32>, PinError> {
        let mut indexes = BTreeSet::new();
        for path in entries(&self.links())? {
            let name = path.file_name().and_then(OsStr::to_str);
            let index = name.and_then(|name| name.split_once('-'));
            indexes.extend(index.and_then(|(_, index)| index.parse::<u32>().ok()));
        }
        Ok(indexes)
    }

    /// Whether an interface's link for ingress is there.
    #[must_use]
    pub fn has(&self, index: u32) -> bool {
        self.link(Hook::Ingress, index).exists()
    }

    /// Whether a program that is pinned for an interface runs there.
    pub fn is_on(&self, interface: &Interface) -> Result<bool, PinError> {
        let Some(program) = interface.program else {
            return Ok(false);
        };
        Ok(self.program(interface.index)? == Some(program))
    }

    /// Opens a link, if there is one. One that is there and cannot be opened is an error: to take it for none would be
    /// to take our own filter for somebody else's.
    pub(super) fn open(&self, hook: Hook, index: u32) -> Result<Option<FdLink>, PinError> {
        let path = self.link(hook, index);
        if !path.exists() {
            return Ok(None);
        }
        match PinnedLink::from_pin(&path) {
            Ok(link) => Ok(Some(link.into())),
            Err(error) if errno(&error) == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(opening(&path, &error)),
        }
    }

    /// The program behind an interface's link for ingress.
    pub(super) fn program(&self, index: u32) -> Result<Option<u32>, PinError> {
        self.program_of(Hook::Ingress, index)
    }

    /// The program behind one of an interface's links.
    pub(super) fn program_of(&self, hook: Hook, index: u32) -> Result<Option<u32>, PinError> {
        let Some(link) = self.open(hook, index)? else {
            return Ok(None);
        };
        let info = link.info();
        let info = info.map_err(|error| opening(&self.link(hook, index), &error))?;
        Ok(Some(info.program_id()))
    }

    /// Gives a link to the kernel to keep, in place of what was left of an earlier one.
    pub(super) fn keep(&self, hook: Hook, index: u32, link: FdLink) -> Result<(), PinError> {
        let path = self.link(hook, index);
        remove(&path)?;
        link.pin(&path)
            .map(drop)
            .map_err(|error| pinning(&path, &error))
    }

    fn new_table(&self, table: &str) -> PathBuf {
        self.table(&format!("{table}-new"))
    }

    /// Pins a table beside the one that the program in place writes.
    pub(super) fn stage_table(
        &self,
        table: &str,
        pin: impl FnOnce(&Path) -> Result<(), aya::pin::PinError>,
    ) -> Result<(), PinError> {
        let new = self.new_table(table);
        remove(&new)?;
        pin(&new).map_err(|error| pinning(&new, &error))
    }

    /// Puts a table that was pinned beside where the next start finds it, in place of the old one.
    pub(super) fn keep_table(&self, table: &str) -> Result<(), PinError> {
        let path = self.table(table);
        fs::rename(self.new_table(table), &path).map_err(|cause| failed("replacing", &path, cause))
    }

    /// Removes a table that was pinned beside and is not wanted after all.
    pub(super) fn drop_table(&self, table: &str) {
        // What stays is removed by the next start that wants the place.
        let _ = remove(&self.new_table(table));
    }

    /// Removes an interface's links, which detaches it, and answers whether there were any.
    pub(super) fn unlink(&self, index: u32) -> Result<bool, PinError> {
        let mut was_there = false;
        for hook in Hook::ALL {
            was_there |= self.unlink_one(hook, index)?;
        }
        Ok(was_there)
    }

    /// Removes one of an interface's links, and answers whether there was one.
    pub(super) fn unlink_one(&self, hook: Hook, index: u32) -> Result<bool, PinError> {
        remove(&self.link(hook, index))
    }

    /// Removes what is left of an interface that is gone for good.
    pub fn forget(&self, index: u32) {
        // What cannot be removed now is at the next start.
        let _ = self.unlink(index);
    }

    /// Detaches interfaces and waits until the kernel has; answers which of them had been attached.
    pub async fn detach(&self, indexes: &BTreeSet<u32>) -> Result<BTreeSet<u32>, AttachError> {
        let mut attached = BTreeSet::new();
        let mut programs = Vec::new();
        let present = interfaces().await?;
        for index in indexes {
            // In an emergency, what cannot be asked is taken off unasked.
            let program = self.program(*index).ok().flatten();
            if self.unlink(*index)? {
                attached.insert(*index);
                programs.extend(program.map(|program| (*index, program)));
            }
            if !super::attach::has_tcx()
                && let Some(interface) = present.iter().find(|one| one.index == *index)
            {
                // Where there are no links for TC, the name has to do. Nothing there is as good as detached.
                let _ =
                    tc::qdisc_detach_program(&interface.name, TcAttachType::Egress, name::EGRESS);
            }
        }
        // The kernel frees a link in its own time.
        let deadline = Instant::now() + RELEASE_PATIENCE;
        loop {
            let present = interfaces().await?;
            let still = programs.iter().find(|(index, program)| {
                let found = present.iter().find(|one| one.index == *index);
                found.is_some_and(|one| one.program == Some(*program))
            });
            let Some((index, _)) = still else {
                return Ok(attached);
            };
            if Instant::now() > deadline {
                return Err(PinError::StillAttached { index: *index }.into());
            }
            tokio::time::sleep(RELEASE_INTERVAL).await;
        }
    }

    /// Removes what is left when nothing is attached any more.
    pub fn remove(&self) -> Result<(), PinError> {
        // Without the filesystem there are no pins, and what stands there is not ours.
        let is_mounted = statfs(BPFFS).is_ok_and(|facts| facts.filesystem_type() == BPF_FS_MAGIC);
        if !is_mounted || !self.directory.exists() {
            return Ok(());
        }
        fs::remove_dir_all(&self.directory)
            .map_err(|cause| failed("removing", &self.directory, cause))?;
        Ok(())
    }

    /// Removes tables of other layouts, which no version that has come this far reads.
    pub(super) fn remove_strangers(&self) -> Result<(), PinError> {
        for path in entries(&self.directory)? {
            if path != self.links() && path != self.tables() {
                fs::remove_dir_all(&path).map_err(|cause| failed("removing", &path, cause))?;
            }
        }
        Ok(())
    }
}

/// What is in a directory, if that is there.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, PinError> {
    let read = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|cause| failed("reading", directory, cause))?,
    };
    read.map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(|cause| failed("reading", directory, cause))
}

fn failed(doing: &'static str, path: &Path, cause: io::Error) -> PinError {
    let path = path.display().to_string();
    if cause.kind() == ErrorKind::PermissionDenied {
        return PinError::Privilege { path };
    }
    PinError::File { doing, path, cause }
}

fn pinning(path: &Path, error: &impl OfCall) -> PinError {
    PinError::Pin {
        path: path.display().to_string(),
        cause: told(error),
    }
}

fn opening(path: &Path, error: &impl OfCall) -> PinError {
    PinError::Open {
        path: path.display().to_string(),
        cause: told(error),
    }
}

fn remove(path: &Path) -> Result<bool, PinError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("removing", path, error)),
    }
}

fn ensure_bpffs() -> Result<(), PinError> {
    let is_mounted = || {
        statfs(BPFFS)
            .map(|facts| facts.filesystem_type() == BPF_FS_MAGIC)
            .map_err(|errno| PinError::NoFileSystem {
                cause: errno.into(),
            })
    };
    if is_mounted()? {
        return Ok(());
    }
    // Two that mount at once would hide each other's pins, so they take turns: the lock is on what lies beneath.
    let beneath = File::open(BPFFS).map_err(|cause| PinError::NoFileSystem { cause })?;
    let _turn = Flock::lock(beneath, FlockArg::LockExclusive).map_err(|(_, errno)| {
        PinError::NoFileSystem {
            cause: errno.into(),
        }
    })?;
    if is_mounted()? {
        return Ok(());
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("bpf"), BPFFS, Some("bpf"), flags, Some("mode=0700")).map_err(|errno| {
        PinError::NoFileSystem {
            cause: errno.into(),
        }
    })?;
    tracing::info!("mounted a bpf filesystem at {BPFFS}");
    Ok(())
}
