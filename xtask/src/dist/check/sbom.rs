//! The bill of materials has every crate that the binary is made of.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::build::GEOFENCE;
use crate::dist::packages::only;
use crate::{process, workspace};

/// Compares the bill with what cargo says.
pub(super) fn check(out: &Path) -> Result<()> {
    let path = only(out, ".cdx.json")?;
    let bill =
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let root = workspace::root().display().to_string();
    ensure!(!bill.contains(&root), "{} names {root}", path.display());
    let mut cargo = process::cargo(&["tree", "--locked", "--edges", "normal", "--prefix", "none"]);
    cargo.args(["--package", GEOFENCE.0, "--format", "{p}"]);
    let tree = process::capture(cargo.current_dir(workspace::root()))?;
    let crates = crates(&String::from_utf8_lossy(&tree));
    let missing: Vec<_> = crates
        .iter()
        .filter(|purl| !bill.contains(purl.as_str()))
        .collect();
    ensure!(missing.is_empty(), "{} lacks {missing:?}", path.display());
    eprintln!(
        "dist: the bill of materials has the {} crates of the binary",
        crates.len()
    );
    Ok(())
}

/// The crates of a tree, each as a package URL writes it.
fn crates(tree: &str) -> Vec<String> {
    let mut crates: Vec<_> = tree
        .lines()
        .filter_map(|line| line.split_once(" v"))
        .map(|(name, rest)| {
            let version = rest.split(' ').next().unwrap_or_default();
            format!("pkg:cargo/{name}@{version}")
        })
        .collect();
    crates.sort();
    crates.dedup();
    crates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_of_a_tree_are_written_as_package_urls() {
        let tree = "geofence-user v0.1.0 (/usr/src/geofence)\naya v0.14.0\naya v0.14.0 (*)\n\
                    serde_derive v1.0.229 (proc-macro)\n";
        let expected = [
            "pkg:cargo/aya@0.14.0",
            "pkg:cargo/geofence-user@0.1.0",
            "pkg:cargo/serde_derive@1.0.229",
        ];
        assert_eq!(crates(tree), expected);
    }
}
