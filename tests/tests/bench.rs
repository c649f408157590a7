//! The smoke form of the benchmark: every row of every part, its answers checked, nothing asserted about time.

use std::process::Command;

use geofence_tests::privilege::missing_programs;
use geofence_tests::{daemon, require_root};

/// The programs it compares with or looks at interfaces with, and their packages.
const PROGRAMS: [(&str, &str); 4] = [
    ("nft", "nftables"),
    ("ipset", "ipset"),
    ("iptables-legacy", "iptables"),
    ("ethtool", "ethtool"),
];
/// Tables of all parts, and how many rows each has.
const ROWS: [(&str, usize); 26] = [
    ("lookup_v4", 4),
    ("lookup_v6", 4),
    ("without_world", 10),
    ("without_list", 10),
    ("program_v4_uniform", 8),
    ("program_v4_prefix", 8),
    ("program_v6_prefix", 8),
    ("variants", 9),
    ("peers", 6),
    ("peers_ratios", 6),
    ("load", 3),
    ("interfaces", 3),
    ("growth_prefixes", 3),
    ("growth_cores", 2),
    ("rules_size", 6),
    ("rules_lookup", 3),
    ("rules_unnamed", 9),
    ("rules_named", 6),
    ("rules_path", 6),
    ("two_images", 5),
    ("rules_daemon", 6),
    ("lists_lookup", 6),
    ("lists_daemon", 4),
    ("control_latency", 5),
    ("control_memory", 2),
    ("control_daemon", 2),
];

#[test]
fn every_benchmark_row_gives_the_right_answers() {
    require_root!(missing_programs(&PROGRAMS));
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_geofence-bench"))
        .args(["--smoke", "--json", "--out"])
        .arg(folder.path())
        .arg("--geofence")
        .arg(daemon::binary().expect("geofence is built"))
        .output()
        .expect("starts");
    let error = String::from_utf8_lossy(&output.stderr);
    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no report: {error}"));
    assert_eq!(report["left_out"], serde_json::json!([]), "{error}");
    assert!(output.status.success(), "{error}");
    let tables = report["tables"].as_array().expect("tables");
    for (name, rows) in ROWS {
        let found = tables.iter().find(|table| table["name"] == name);
        let found = found
            .and_then(|table| table["rows"].as_array())
            .map_or(0, Vec::len);
        // A machine with one CPU has nothing to say about two.
        assert!(
            found == rows || name == "growth_cores",
            "{name} has {found} rows"
        );
    }
    for file in ["bench.json", "bench.svg"] {
        assert!(folder.path().join(file).is_file(), "{file} was not written");
    }
}
