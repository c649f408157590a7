//! The rule that the build script of the eBPF programs names the pinned toolchain.

use super::finding::{Finding, finding};
use crate::workspace;

/// The file that names the toolchain a second time: a build script must not run rustup for another one.
pub(super) const BUILD_SCRIPT: &str = "geofence-user/build.rs";

/// Compares the texts of rust-toolchain.toml and of the build script.
pub(super) fn check(pinned: &str, build_script: &str) -> Option<Finding> {
    let Some(pinned) = workspace::pinned_channel(pinned) else {
        let rule = "has no line `channel = \"...\"`";
        return Some(finding("rust-toolchain.toml", 1, rule));
    };
    let named = (1..).zip(build_script.lines()).find_map(|(number, line)| {
        Some((number, workspace::quoted_value(line, "const TOOLCHAIN")?))
    });
    let Some((number, named)) = named else {
        let rule = "has no line `const TOOLCHAIN: &str = \"...\"`";
        return Some(finding(BUILD_SCRIPT, 1, rule));
    };
    let rule = format!("names toolchain {named}, but rust-toolchain.toml pins {pinned}");
    (named != pinned).then(|| finding(BUILD_SCRIPT, number, &rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pinned: &str, build_script: &str) -> Option<String> {
        check(pinned, build_script).map(|finding| finding.to_string())
    }

    #[test]
    fn the_build_script_names_the_pinned_toolchain() {
        let pinned = "[toolchain]\nchannel = \"1.95.0\"\n";
        let script = |version: &str| format!("\nconst TOOLCHAIN: &str = \"{version}\";\n");
        assert_eq!(found(pinned, &script("1.95.0")), None);
        let expected =
            "geofence-user/build.rs:2: names toolchain 1.94.0, but rust-toolchain.toml pins 1.95.0";
        assert_eq!(found(pinned, &script("1.94.0")).as_deref(), Some(expected));
    }

    #[test]
    fn a_file_without_the_line_is_refused() {
        let starts = |found: Option<String>, start: &str| found.unwrap().starts_with(start);
        let pinned = "[toolchain]\nchannel = \"1.95.0\"\n";
        assert!(starts(
            found(pinned, ""),
            "geofence-user/build.rs:1: has no line"
        ));
        assert!(starts(found("", ""), "rust-toolchain.toml:1: has no line"));
    }
}
