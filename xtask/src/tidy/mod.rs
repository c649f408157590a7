//! The rules of the repository that no other tool checks. Each rule is a pure function from text to findings.
//!
//! ARCHITECTURE.md relies on them ("only the kernel module names aya"), so a change of a rule is a change there.

mod boundaries;
mod files;
mod finding;
mod idioms;
mod imports;
mod length;
pub(crate) mod links;
mod purpose;
mod root_entries;
mod source;
mod toolchain;
mod unfinished;

use std::path::Path;

use anyhow::{Context as _, Result};

use self::finding::Finding;

/// Checks the repository.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>> {
    let paths = files::list(root)?;
    let mut findings = root_entries::check(&paths);
    let mut sources = Vec::new();
    let mut pages = Vec::new();
    for path in &paths {
        let path = path.clone();
        let bytes = std::fs::read(root.join(&path)).with_context(|| format!("reading {path}"))?;
        // A file that is not UTF-8 is data, and no rule is about data.
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        findings.extend(unfinished::check(&path, &text));
        findings.extend(idioms::check(&path, &text));
        findings.extend(length::lines(&path, &text));
        if path.ends_with(".rs") {
            findings.extend(purpose::check(&path, &text));
            findings.extend(length::columns(&path, &text));
            findings.extend(boundaries::check(&path, &text));
            sources.push((path, text));
        } else if path.ends_with(".md") {
            pages.push((path, text));
        }
    }
    findings.extend(imports::check(&sources));
    findings.extend(links::check(&paths, &pages));
    let read = |path: &str| {
        std::fs::read_to_string(root.join(path)).with_context(|| format!("reading {path}"))
    };
    findings.extend(toolchain::check(
        &read("rust-toolchain.toml")?,
        &read(toolchain::BUILD_SCRIPT)?,
    ));
    Ok(findings)
}
