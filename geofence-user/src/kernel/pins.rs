//! The pins of an instance under /sys/fs/bpf: links and tables that stay in the kernel when the process ends.
//!
//! ```text
//! /sys/fs/bpf/geofence/INSTANCE/   0700, as is what is above and below
//!   links/ingress-7, egress-7      by the interface's index: what keeps the programs attached
//!   tables-1/COUNTERS ...          what outlives a program; the number is that of the tables' layout
//! ```
//!
//! Only the pin holds a link, so removing the pin detaches the program, with or without a daemon. Links have no layout:
//! any version can put its own program behind the link of another. Names here have no dot, which bpffs refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use aya::programs::links::{FdLink, PinnedLink};
use geofence_common::maps::TABLES_LAYOUT;

use super::bpffs::{self, entries, remove};
use super::call::errno;
use super::hook::Hook;
use super::pin_error::PinError;
use crate::model::interface::Interface;
use crate::os::instance::{Instance, private_directory};

/// The directory of all instances.
const ROOT: &str = "/sys/fs/bpf/geofence";

/// The ids of a pinned link and of the program behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinnedIds {
    pub link: u32,
    pub program: u32,
}

/// The pins of one instance.
#[derive(Clone, Debug)]
pub struct Pins {
    pub(super) directory: PathBuf,
}

impl Pins {
    /// The pins of this instance.
    #[must_use]
    pub fn of(instance: &Instance) -> Self {
        Self {
            directory: Path::new(ROOT).join(instance.name()),
        }
    }

    /// The pins of this instance as a process sees them that may have another mount namespace.
    #[must_use]
    pub fn seen_by(process: u64, instance: &Instance) -> Self {
        let root = format!("/proc/{process}/root{ROOT}");
        Self {
            directory: Path::new(&root).join(instance.name()),
        }
    }

    /// The directory of this instance.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The name of this instance, if its directory has one.
    #[must_use]
    pub fn instance(&self) -> Option<&str> {
        self.directory.file_name()?.to_str()
    }

    /// The directory of all instances.
    #[must_use]
    pub fn root() -> &'static Path {
        Path::new(ROOT)
    }

    /// The pins of every instance that has any.
    pub fn all() -> Result<Vec<Self>, PinError> {
        let directories = entries(Path::new(ROOT))?.into_iter();
        Ok(directories.map(|directory| Self { directory }).collect())
    }

    /// Makes the directories, and mounts the filesystem if it is missing.
    pub fn prepare(&self) -> Result<(), PinError> {
        bpffs::ensure_mounted()?;
        for directory in [Self::root(), &self.directory, &self.links(), &self.tables()] {
            private_directory(directory)?;
        }
        Ok(())
    }

    /// Removes the directory of an instance that has nothing attached.
    pub fn remove(&self) -> Result<(), PinError> {
        // Without the filesystem there are no pins, and the directory belongs to something else.
        if !bpffs::is_mounted().unwrap_or(false) || !self.directory.exists() {
            return Ok(());
        }
        fs::remove_dir_all(&self.directory).map_err(PinError::file("remove", &self.directory))
    }

    pub(super) fn links(&self) -> PathBuf {
        self.directory.join("links")
    }

    pub(super) fn tables(&self) -> PathBuf {
        self.directory.join(format!("tables-{TABLES_LAYOUT}"))
    }

    pub(super) fn link(&self, hook: Hook, index: u32) -> PathBuf {
        self.links().join(format!("{}-{index}", hook.name()))
    }

    /// The ids of every link, by the name of its pin.
    pub fn pinned_ids(&self) -> Result<BTreeMap<String, PinnedIds>, PinError> {
        let mut all = BTreeMap::new();
        for index in self.indexes()? {
            for hook in Hook::ALL {
                let ids = self.ids(hook, index)?;
                all.extend(ids.map(|ids| (format!("{}-{index}", hook.name()), ids)));
            }
        }
        Ok(all)
    }

    /// The indexes of the interfaces that have a link. A link may have outlived its interface.
    pub fn indexes(&self) -> Result<BTreeSet<u32>, PinError> {
        let mut indexes = BTreeSet::new();
        for path in entries(&self.links())? {
            let name = path.file_name().and_then(OsStr::to_str);
            let index = name.and_then(|name| name.split_once('-'));
            indexes.extend(index.and_then(|(_, index)| index.parse::<u32>().ok()));
        }
        Ok(indexes)
    }

    /// Whether links can be pinned: `geofence detach --all` removes the directory, and with it what a daemon awaits.
    #[must_use]
    pub fn is_prepared(&self) -> bool {
        self.links().exists()
    }

    /// Whether a daemon of this instance runs.
    #[must_use]
    pub fn has_daemon(&self) -> bool {
        let name = self.instance();
        let instance = name.and_then(|name| name.parse::<Instance>().ok());
        instance.is_some_and(|instance| instance.is_locked(&self.directory))
    }

    /// Whether an interface has a pinned ingress link.
    #[must_use]
    pub fn has(&self, index: u32) -> bool {
        self.link(Hook::Ingress, index).exists()
    }

    /// Whether the program that runs on an interface is the one pinned for it.
    pub fn is_on(&self, interface: &Interface) -> Result<bool, PinError> {
        let Some(program) = interface.program else {
            return Ok(false);
        };
        Ok(self.program(Hook::Ingress, interface.index)? == Some(program))
    }

    /// Opens a link, if there is one. A link that exists and cannot be opened is an error: if it counted as missing,
    /// geofence would take its own program for a foreign one.
    pub(super) fn open(&self, hook: Hook, index: u32) -> Result<Option<FdLink>, PinError> {
        let path = self.link(hook, index);
        if !path.exists() {
            return Ok(None);
        }
        match PinnedLink::from_pin(&path) {
            Ok(link) => Ok(Some(link.into())),
            Err(error) if errno(&error) == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(PinError::opening(&path)(error)),
        }
    }

    /// The id of the program behind a link of an interface.
    pub(super) fn program(&self, hook: Hook, index: u32) -> Result<Option<u32>, PinError> {
        Ok(self.ids(hook, index)?.map(|ids| ids.program))
    }

    fn ids(&self, hook: Hook, index: u32) -> Result<Option<PinnedIds>, PinError> {
        let Some(link) = self.open(hook, index)? else {
            return Ok(None);
        };
        let info = link
            .info()
            .map_err(PinError::opening(&self.link(hook, index)))?;
        Ok(Some(PinnedIds {
            link: info.id(),
            program: info.program_id(),
        }))
    }

    /// Pins a link, in place of what is left of an earlier one.
    pub(super) fn pin_link(&self, hook: Hook, index: u32, link: FdLink) -> Result<(), PinError> {
        let path = self.link(hook, index);
        remove(&path)?;
        link.pin(&path).map(drop).map_err(PinError::pinning(&path))
    }

    /// Removes both links of an interface, which detaches it, and returns whether there were any.
    pub(super) fn unpin_links(&self, index: u32) -> Result<bool, PinError> {
        let mut existed = false;
        for hook in Hook::ALL {
            existed |= self.unpin_link(hook, index)?;
        }
        Ok(existed)
    }

    /// Removes one link of an interface, and returns whether it existed.
    pub(super) fn unpin_link(&self, hook: Hook, index: u32) -> Result<bool, PinError> {
        remove(&self.link(hook, index))
    }

    /// Removes what is left of an interface that is gone.
    pub fn forget(&self, index: u32) {
        // The next start removes what cannot be removed now.
        let _ = self.unpin_links(index);
    }
}
