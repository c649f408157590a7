//! Facts about the kernel, and about the capabilities of this process.

use std::fs;
use std::path::Path;

use serde::Serialize;

/// The machine. The names of the fields are those of the JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Machine {
    pub kernel: String,
    /// Major and minor number.
    pub version: (u8, u8),
    /// Whether the kernel has type information, which loaders of other programs need.
    pub btf: bool,
    pub jit: bool,
    /// Whether a BPF file system is mounted where links are pinned.
    pub bpffs: bool,
    /// Whether that file system belongs to the mount namespace of this process alone.
    pub private_pins: bool,
    /// The capabilities of this process among those that matter.
    pub capabilities: Vec<&'static str>,
    /// `none`, `integrity` or `confidentiality`, where the kernel can be locked down.
    pub lockdown: Option<String>,
}

const CAPABILITIES: [(u32, &str); 4] = [
    (12, "CAP_NET_ADMIN"),
    (21, "CAP_SYS_ADMIN"),
    (38, "CAP_PERFMON"),
    (39, "CAP_BPF"),
];

impl Machine {
    /// Reads the facts from /proc and /sys.
    #[must_use]
    pub fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let kernel = text("/proc/sys/kernel/osrelease").trim().to_owned();
        Self {
            version: version(&kernel),
            kernel,
            btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
            jit: text("/proc/sys/net/core/bpf_jit_enable").trim() != "0",
            bpffs: is_mounted(&text("/proc/self/mountinfo"), "/sys/fs/bpf", "bpf"),
            private_pins: false,
            capabilities: capabilities(&text("/proc/self/status")),
            lockdown: lockdown(&text("/sys/kernel/security/lockdown")),
        }
    }
}

impl Machine {
    /// The kernel and what it has, in a line.
    #[must_use]
    pub fn features(&self) -> String {
        let yes = |is: bool| if is { "yes" } else { "no" };
        format!(
            "Linux {}; JIT {}, BPF file system {}, type information {}",
            self.kernel,
            yes(self.jit),
            yes(self.bpffs),
            yes(self.btf)
        )
    }
}

/// The interfaces on which this machine takes MPLS packets.
#[must_use]
pub fn mpls_inputs() -> Vec<String> {
    // Without MPLS there is no such directory.
    let interfaces = fs::read_dir("/proc/sys/net/mpls/conf")
        .into_iter()
        .flatten();
    let names = interfaces.filter_map(|entry| {
        let entry = entry.ok()?;
        let input = fs::read_to_string(entry.path().join("input")).ok()?;
        (input.trim() == "1").then(|| entry.file_name().to_string_lossy().into_owned())
    });
    names.collect()
}

fn version(release: &str) -> (u8, u8) {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Whether a file system of this type is mounted at this path, by /proc/self/mountinfo (proc(5)).
fn is_mounted(mountinfo: &str, at: &str, kind: &str) -> bool {
    mountinfo.lines().any(|line| {
        let Some((mount, source)) = line.split_once(" - ") else {
            return false;
        };
        mount.split(' ').nth(4) == Some(at) && source.split(' ').next() == Some(kind)
    })
}

fn capabilities(status: &str) -> Vec<&'static str> {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok())
        .unwrap_or(0);
    CAPABILITIES
        .iter()
        .filter(|(bit, _)| effective >> bit & 1 == 1)
        .map(|(_, name)| *name)
        .collect()
}

/// The mode that is active: the word in brackets.
fn lockdown(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    let (word, _) = rest.split_once(']')?;
    Some(word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_and_sys_texts_give_the_facts() {
        assert_eq!(version("6.1.0-30-cloud-amd64"), (6, 1));
        assert_eq!(version("5.18-rc1"), (5, 18));
        assert_eq!(version(""), (0, 0));
        let mounts = "31 23 0:27 / /sys/fs/bpf rw,nosuid shared:9 - bpf bpf rw,mode=700\n";
        assert!(is_mounted(mounts, "/sys/fs/bpf", "bpf"));
        assert!(!is_mounted(mounts, "/sys/fs", "bpf") && !is_mounted("", "/sys/fs/bpf", "bpf"));
        assert_eq!(
            capabilities("Name:\tx\nCapEff:\t0000008000001000\n"),
            ["CAP_NET_ADMIN", "CAP_BPF"]
        );
        assert_eq!(
            lockdown("none [integrity] confidentiality\n").as_deref(),
            Some("integrity")
        );
        assert_eq!(lockdown(""), None);
    }
}
