//! What the kernel holds on our behalf, as its memory accounting has it.
//!
//! The group of this process is read before and after, never made or changed. Its kernel memory counts everything the
//! maps take: pages, per-CPU pages, and the slab objects that the kernel's tries are made of, which a map's own
//! figure leaves out.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use geofence_tests::wait::poll;

/// How long maps that were let go may take to be freed: the kernel waits for readers and then works it off.
const SETTLING: Duration = Duration::from_secs(10);

/// Kernel memory of this process's group, in bytes; nothing where the kernel does not account for it.
pub(crate) fn kernel() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
        if controllers.split(',').any(|name| name == "memory") {
            let file = PathBuf::from("/sys/fs/cgroup/memory")
                .join(path)
                .join("memory.kmem.usage_in_bytes");
            return fs::read_to_string(file).ok()?.trim().parse().ok();
        }
        if !controllers.is_empty() {
            return None;
        }
        let statistics = fs::read_to_string(
            PathBuf::from("/sys/fs/cgroup")
                .join(path)
                .join("memory.stat"),
        )
        .ok()?;
        let value = statistics
            .lines()
            .find_map(|line| line.strip_prefix("kernel "))?;
        value.trim().parse().ok()
    })
}

/// The sum of what this process's maps say they take, in bytes; each map once.
pub(crate) fn maps() -> Result<u64> {
    let mut sizes = std::collections::BTreeMap::new();
    for entry in fs::read_dir("/proc/self/fdinfo").context("reading /proc/self/fdinfo")? {
        // The descriptor that lists the directory is gone by now.
        let Ok(text) = fs::read_to_string(entry?.path()) else {
            continue;
        };
        let field = |name: &str| -> Option<u64> {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        };
        if let (Some(id), Some(size)) = (field("map_id:"), field("memlock:")) {
            sizes.insert(id, size);
        }
    }
    Ok(sizes.values().sum())
}

/// What `make` leaves in the kernel as long as what it returns lives: by the accounting, and by the maps' own figures.
pub(crate) fn held<T>(make: impl FnOnce() -> Result<T>) -> Result<(Option<u64>, u64)> {
    let (accounted, listed) = (settled()?, maps()?);
    let made = make()?;
    let grown = match (kernel(), accounted) {
        (Some(now), Some(before)) => Some(now.saturating_sub(before)),
        _ => None,
    };
    let listed = maps()?.saturating_sub(listed);
    drop(made);
    Ok((grown, listed))
}

/// The accounting once it has stopped shrinking.
fn settled() -> Result<Option<u64>> {
    let mut last = kernel();
    let mut steady = 0;
    poll(SETTLING, || {
        let now = kernel();
        steady = if now < last { 0 } else { steady + 1 };
        last = now;
        // Forty looks five milliseconds apart: longer than a grace period.
        Ok((steady >= 40).then_some(()))
    })?;
    Ok(last)
}
