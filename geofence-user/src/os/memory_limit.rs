//! How much memory this process may still take before the limit of its control group ends it.

use std::fs;
use std::path::{Path, PathBuf};

/// The bytes that are left; `None` without a limit.
pub(super) fn headroom() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    groups
        .lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
            if controllers.split(',').any(|name| name == "memory") {
                let group = PathBuf::from("/sys/fs/cgroup/memory").join(path);
                let names = ["memory.limit_in_bytes", "memory.usage_in_bytes"];
                return of_group(&group, names, "total_");
            }
            let group = PathBuf::from("/sys/fs/cgroup").join(path);
            of_group(&group, ["memory.max", "memory.current"], "")
        })
        .min()
}

/// The limit of one group without what is used, except for the cache of files, which the kernel gives up.
fn of_group(group: &Path, [limit, used]: [&str; 2], prefix: &str) -> Option<u64> {
    let number = |name: &str| -> Option<u64> {
        let text = fs::read_to_string(group.join(name)).ok()?;
        text.trim().parse().ok()
    };
    let facts = fs::read_to_string(group.join("memory.stat")).ok()?;
    let cache = |name: &str| -> u64 {
        let name = format!("{prefix}{name}");
        let mut lines = facts.lines().filter_map(|line| line.split_once(' '));
        let value = lines.find_map(|(key, value)| (key == name).then_some(value));
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    };
    let cached = cache("inactive_file").saturating_add(cache("active_file"));
    let used = number(used)?.saturating_sub(cached);
    Some(number(limit)?.saturating_sub(used))
}
