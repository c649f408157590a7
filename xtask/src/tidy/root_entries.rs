//! The rule that the root of the repository stays a table of contents.

use super::finding::{Finding, finding, matches};

/// What may lie at the root of the repository; a star stands for any ending.
const ROOT_ENTRIES: [&str; 20] = [
    ".cargo",
    ".ci",
    ".github",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE*",
    "README.md",
    "SECURITY.md",
    "clippy.toml",
    "deny.toml",
    "deploy",
    "docs",
    "geofence-*",
    "rust-toolchain.toml",
    "tests",
    "xtask",
];

/// Checks the paths of all files.
pub(super) fn check(paths: &[String]) -> Vec<Finding> {
    let mut entries: Vec<&str> = paths
        .iter()
        .filter_map(|path| path.split('/').next())
        .collect();
    entries.dedup();
    entries.retain(|entry| !ROOT_ENTRIES.iter().any(|pattern| matches(pattern, entry)));
    let finding = |entry: &str| finding(entry, 1, "does not belong at the root of the repository");
    entries.into_iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(list: &[&str]) -> Vec<String> {
        list.iter().map(|path| (*path).to_owned()).collect()
    }

    #[test]
    fn known_entries_are_kept() {
        let known = paths(&[
            ".ci/run",
            "Cargo.toml",
            "LICENSE-MIT",
            "geofence-user/src/main.rs",
            "geofence-user/x/y.rs",
        ]);
        assert!(check(&known).is_empty());
    }

    #[test]
    fn unknown_entries_are_refused_once_each() {
        let found = check(&paths(&[
            "Cargo.toml",
            "notes.txt",
            "scripts/a",
            "scripts/b",
        ]));
        let found: Vec<_> = found.iter().map(Finding::to_string).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].starts_with("notes.txt:1: does not belong")
                && found[1].starts_with("scripts:1:"),
            "{found:?}"
        );
    }
}
