//! What the figures were measured on and with, so that they can be compared with others.

use std::fs;
use std::process::Command;

use geofence_user::model::units::UnixSeconds;

use crate::plan::Plan;

/// Facts about machine, kernel, data and run.
pub(crate) fn facts(plan: &Plan) -> Vec<(&'static str, String)> {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown", |(_, model)| model.trim());
    let count = cpus
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let info = plan.prepared.database.info();
    let names: Vec<&str> = info
        .sources
        .iter()
        .map(|source| source.name.as_str())
        .collect();
    let [v4, v6] = plan.prepared.image.prefixes();
    vec![
        ("Machine", format!("{model}, {count} CPUs, {}", guarded())),
        ("Kernel", kernel.trim().to_owned()),
        (
            "Data",
            format!(
                "{}, {} days old, {v4} IPv4 and {v6} IPv6 prefixes",
                names.join(", "),
                info.age_days(UnixSeconds::now())
            ),
        ),
        (
            "Rounds",
            format!(
                "{}, {} where rules are compared with none, in random order",
                plan.rounds,
                plan.places() * plan.place_rounds()
            ),
        ),
        (
            "Compared with",
            [tool("nft"), tool("ipset"), tool("iptables-legacy")].join(", "),
        ),
    ]
}

/// What the kernel does against speculation on calls and returns, which every call of a helper pays for.
fn guarded() -> String {
    let folder = "/sys/devices/system/cpu/vulnerabilities";
    let read = |name: &str| fs::read_to_string(format!("{folder}/{name}")).unwrap_or_default();
    let spectre = read("spectre_v2");
    let spectre = spectre
        .trim()
        .split(';')
        .next()
        .unwrap_or_default()
        .to_owned();
    format!(
        "spectre_v2: {spectre}; spec_rstack_overflow: {}",
        read("spec_rstack_overflow").trim()
    )
}

/// A program and its version, as it says itself.
fn tool(name: &str) -> String {
    let output = Command::new(name).arg("--version").output();
    let text = output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    let line = text
        .lines()
        .next()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    line.map_or_else(|| format!("{name} (absent)"), ToOwned::to_owned)
}
