//! The rules on imports inside a crate: none runs in a circle, and none leads up from a lower room.

mod circles;
mod graph;
mod modules;
mod paths;
mod rooms;

use std::collections::BTreeMap;

use self::modules::Crate;
use super::finding::Finding;

/// Checks every crate among these Rust files, given as path and text.
pub(super) fn check(files: &[(String, String)]) -> Vec<Finding> {
    let texts: BTreeMap<&str, &str> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    let roots = texts.keys().copied().filter(|path| is_root(path));
    // A file may belong to a library and a binary.
    let findings: BTreeMap<String, Finding> = roots
        .map(|root| Crate::read(root, &texts))
        .flat_map(|modules| [circles::check(&modules), rooms::check(&modules)].concat())
        .map(|finding| (finding.to_string(), finding))
        .collect();
    findings.into_values().collect()
}

fn is_root(path: &str) -> bool {
    let Some((_, below)) = path.split_once("/src/") else {
        return false;
    };
    matches!(below, "lib.rs" | "main.rs")
        || below
            .strip_prefix("bin/")
            .is_some_and(|name| name.ends_with(".rs") && !name.contains('/'))
}
