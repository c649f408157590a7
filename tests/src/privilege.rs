//! Whether a test may touch the kernel, and a report when it may not.
//!
//! A test that needs root begins with [`require_root!`](crate::require_root). A skipped test looks like a passed one to
//! the test runner, so each skip is written to standard error, past the runner's capture, and to a file that
//! `cargo xtask test` counts.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
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

/// Returns from the calling test, which is reported as skipped, unless it can run here: as root, and with nothing
/// missing of what is named.
///
/// ```ignore
/// require_root!();
/// require_root!(missing_programs(&[("nft", "nftables")]));
/// ```
#[macro_export]
macro_rules! require_root {
    () => {
        $crate::require_root!([""; 0])
    };
    ($missing:expr) => {
        if !$crate::privilege::can_run($missing) {
            return $crate::privilege::Skipped::skipped();
        }
    };
}

/// What a skipped test returns: the same as one that passed.
pub trait Skipped {
    /// The value.
    fn skipped() -> Self;
}

impl Skipped for () {
    fn skipped() -> Self {}
}

impl<E> Skipped for Result<(), E> {
    fn skipped() -> Self {
        Ok(())
    }
}

/// Whether a test that needs root can run here, with nothing missing; reports that it is skipped if not.
///
/// It must be called on the test's own thread, which the test runner names after the test.
pub fn can_run<'a>(missing: impl IntoIterator<Item = &'a str>) -> bool {
    let missing: Vec<&str> = missing.into_iter().collect();
    let reason = match obstacle() {
        Some(obstacle) => format!("needs root: {obstacle}"),
        None if missing.is_empty() => return true,
        None => format!("not installed: {}", missing.join(", ")),
    };
    skip(thread::current().name().unwrap_or("a test"), &reason);
    false
}

/// The packages of those programs that this machine lacks: each program goes with Debian's name of its package.
#[must_use]
pub fn missing_programs(programs: &[(&str, &'static str)]) -> Vec<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |program: &str| {
        std::env::split_paths(&path)
            .chain(["/usr/sbin", "/sbin"].map(Into::into))
            .any(|folder| Path::new(&folder).join(program).is_file())
    };
    programs
        .iter()
        .filter(|(program, _)| !has(program))
        .map(|(_, package)| *package)
        .collect()
}

/// Reports that the test `name` is skipped and why, in one line.
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
