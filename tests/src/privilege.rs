//! Whether a test may touch the kernel, and saying aloud when it may not.
//!
//! A skipped test looks like a passed one to the test runner, so each skip is written past the runner's capture to
//! standard error, and to a file for whoever adds the skips up.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::thread;

use nix::sched::{CloneFlags, unshare};

/// Names the file that collects one line for each skipped test.
pub const SKIPPED: &str = "GEOFENCE_SKIPPED";

/// The bits of `CapEff` needed to load programs and to build networks; capabilities(7) numbers them.
const NEEDED: [(&str, u32); 5] = [
    ("CAP_NET_ADMIN", 12),
    ("CAP_NET_RAW", 13),
    ("CAP_SYS_ADMIN", 21),
    ("CAP_PERFMON", 38),
    ("CAP_BPF", 39),
];

/// Answers whether a privileged test can run here; when not, the test is skipped aloud and should return.
#[must_use]
pub fn privileged(name: &str) -> bool {
    match obstacle() {
        None => true,
        Some(reason) => {
            skip(name, &format!("needs root: {reason}"));
            false
        }
    }
}

/// Says aloud that the test `name` is skipped and why, in one line.
pub fn skip(name: &str, reason: &str) {
    let line = format!("skipped: {name}: {reason}\n");
    // Not eprint!: the test runner swallows that for a test that passes. Nowhere to report a failure to.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(path) = std::env::var_os(SKIPPED) {
        let written = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(line.as_bytes()));
        if let Err(error) = written {
            let _ = writeln!(
                std::io::stderr(),
                "cannot note that in {}: {error}",
                path.display()
            );
        }
    }
}

/// What stands in the way of a privileged test, if anything does.
fn obstacle() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("the tests run as an ordinary user".to_owned());
    }
    let status = match fs::read_to_string("/proc/self/status") {
        Ok(status) => status,
        Err(error) => return Some(format!("/proc/self/status cannot be read ({error})")),
    };
    let missing = missing_capabilities(&status);
    if !missing.is_empty() {
        return Some(format!("{} missing", missing.join(", ")));
    }
    if let Ok(map) = fs::read_to_string("/proc/self/uid_map")
        && !maps_every_user(&map)
    {
        return Some("root of a user namespace may not load programs".to_owned());
    }
    // Capabilities do not tell everything: a seccomp filter may still refuse.
    match thread::spawn(|| unshare(CloneFlags::CLONE_NEWNET)).join() {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("no network namespace can be made ({error})")),
        Err(_) => Some("the thread that tried to make a network namespace panicked".to_owned()),
    }
}

fn missing_capabilities(status: &str) -> Vec<&'static str> {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .unwrap_or(0);
    NEEDED
        .into_iter()
        .filter(|(_, bit)| effective & (1 << bit) == 0)
        .map(|(name, _)| name)
        .collect()
}

/// The initial user namespace maps all of the 32-bit identifiers onto themselves.
fn maps_every_user(map: &str) -> bool {
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_from_the_status_file() {
        assert!(missing_capabilities("Name:\tx\nCapEff:\t000001ffffffffff\n").is_empty());
        assert_eq!(
            missing_capabilities("CapEff:\t0000017fffffffff\n"),
            ["CAP_BPF"]
        );
        assert_eq!(missing_capabilities("").len(), NEEDED.len());
    }

    #[test]
    fn only_the_initial_user_namespace_counts_as_root() {
        assert!(maps_every_user("         0          0 4294967295\n"));
        assert!(!maps_every_user("         0       1000          1\n"));
    }
}
