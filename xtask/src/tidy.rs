//! The rules of the repository that no other tool checks. Each rule is a pure function from text to findings.
//!
//! ARCHITECTURE.md leans on them ("only the kernel module names aya"), so a change of a rule is a change there.

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::source::{code_only, has_word};
use crate::{process, workspace};

const COLUMNS_MAX: usize = 120;
const LINES_MAX: usize = 600;

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

/// Where unsafe code may be. Everywhere else the compiler refuses it, unless a file opts in; this list is the opt-in's
/// limit.
const UNSAFE_FILES: [&str; 10] = [
    "geofence-common/src/maps.rs",
    "geofence-ebpf/src/*",
    "geofence-user/build.rs",
    "geofence-user/src/kernel/batch.rs",
    "geofence-user/src/kernel/events.rs",
    "geofence-user/src/kernel/image_map.rs",
    "geofence-user/src/os/memory.rs",
    "tests/src/bpf.rs",
    "tests/src/packet_socket.rs",
    "tests/src/supervisor.rs",
];

/// Marks of unfinished work, in pieces so that this file has none.
const UNFINISHED: [&str; 4] = [
    concat!("to", "do!"),
    concat!("unimplem", "ented!"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

/// One breach of a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    path: String,
    /// Counted from 1.
    line: usize,
    rule: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.rule)
    }
}

/// Checks the repository.
pub(crate) fn findings(root: &Path) -> Result<Vec<Finding>> {
    let paths = files(root)?;
    let mut findings = root_entries(&paths);
    for path in &paths {
        let bytes = std::fs::read(root.join(path)).with_context(|| format!("reading {path}"))?;
        // Data is not ours to tidy.
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        findings.extend(text_rules(path, &text));
        if path.ends_with(".rs") {
            findings.extend(rust_rules(path, &text));
        }
    }
    let read = |path: &str| {
        std::fs::read_to_string(root.join(path)).with_context(|| format!("reading {path}"))
    };
    findings.extend(toolchain(
        &read("rust-toolchain.toml")?,
        &read(TOOLCHAIN_USER)?,
    ));
    Ok(findings)
}

/// Lists the files of the repository: those git knows or would add, or all of them where there is no git.
fn files(root: &Path) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.arg("-C").arg(root).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let mut paths = Vec::new();
    match process::text_of(&mut git) {
        Some(listed) => paths.extend(listed.split_terminator('\0').map(str::to_owned)),
        None => walk(root, root, &mut paths)?,
    }
    // A deleted file is listed until its deletion is staged, and a link may point anywhere.
    paths.retain(|path| {
        root.join(path)
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.is_file())
    });
    paths.sort();
    paths.dedup();
    Ok(paths)
}

fn walk(root: &Path, directory: &Path, paths: &mut Vec<String>) -> Result<()> {
    for entry in
        std::fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))?
    {
        let entry = entry?;
        let path = entry.path();
        if path == root.join("target") || path == root.join(".git") {
            continue;
        }
        if entry.file_type()?.is_dir() {
            walk(root, &path, paths)?;
        } else {
            paths.push(path.strip_prefix(root)?.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

/// The root stays a table of contents.
fn root_entries(paths: &[String]) -> Vec<Finding> {
    let mut entries: Vec<&str> = paths
        .iter()
        .filter_map(|path| path.split('/').next())
        .collect();
    entries.dedup();
    entries.retain(|entry| !ROOT_ENTRIES.iter().any(|pattern| matches(pattern, entry)));
    let finding = |entry: &str| finding(entry, 1, "does not belong at the root of the repository");
    entries.into_iter().map(finding).collect()
}

fn text_rules(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for mark in UNFINISHED
            .into_iter()
            .filter(|mark| has_word(line, mark.trim_end_matches('!')) && line.contains(mark))
        {
            findings.push(finding(
                path,
                number,
                &format!("{mark} marks unfinished work: finish it or leave it out"),
            ));
        }
    }
    findings
}

fn rust_rules(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let code = code_only(text);
    let may_be_unsafe = UNSAFE_FILES.iter().any(|pattern| matches(pattern, path));
    let may_name_aya =
        !path.starts_with("geofence-user/") || path.starts_with("geofence-user/src/kernel");
    if !opens_with_purpose(text) {
        findings.push(finding(
            path,
            1,
            "does not open with a `//!` paragraph saying what the file is for",
        ));
    }
    for (number, (line, code)) in (1..).zip(text.lines().zip(code.lines())) {
        let columns = line.chars().count();
        if columns > COLUMNS_MAX {
            findings.push(finding(
                path,
                number,
                &format!("{columns} columns, more than {COLUMNS_MAX}"),
            ));
        }
        if !may_be_unsafe && has_word(code, "unsafe") {
            findings.push(finding(
                path,
                number,
                "unsafe code outside the files that may contain it",
            ));
        }
        if !may_name_aya && names_aya(code) {
            findings.push(finding(
                path,
                number,
                "aya is named outside geofence-user/src/kernel",
            ));
        }
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        findings.push(finding(
            path,
            LINES_MAX + 1,
            &format!("{lines} lines, more than {LINES_MAX}: split the file"),
        ));
    }
    findings
}

/// A file says what it is for before anything but its own attributes.
fn opens_with_purpose(text: &str) -> bool {
    let mut open_brackets = 0_usize;
    for line in text.lines().map(str::trim) {
        if open_brackets == 0 && line.starts_with("//!") {
            return true;
        }
        if open_brackets == 0 && !line.is_empty() && !line.starts_with("#![") {
            return false;
        }
        open_brackets =
            (open_brackets + line.matches('[').count()).saturating_sub(line.matches(']').count());
    }
    false
}

fn names_aya(code: &str) -> bool {
    code.match_indices("aya::")
        .any(|(at, _)| has_word(&code[..at + "aya".len()], "aya"))
}

/// The build script that names the toolchain a second time: it must not run rustup for another one.
const TOOLCHAIN_USER: &str = "geofence-user/build.rs";

fn toolchain(pinned: &str, build_script: &str) -> Vec<Finding> {
    let Some(pinned) = workspace::pinned_channel(pinned) else {
        return vec![finding(
            "rust-toolchain.toml",
            1,
            "has no line `channel = \"...\"`",
        )];
    };
    let mut named = (1..).zip(build_script.lines());
    let named = named.find_map(|(number, line)| {
        Some((number, workspace::quoted_value(line, "const TOOLCHAIN")?))
    });
    match named {
        None => vec![finding(
            TOOLCHAIN_USER,
            1,
            "has no line `const TOOLCHAIN: &str = \"...\"`",
        )],
        Some((_, named)) if named == pinned => Vec::new(),
        Some((number, named)) => {
            let rule = format!("names toolchain {named}, but rust-toolchain.toml pins {pinned}");
            vec![finding(TOOLCHAIN_USER, number, &rule)]
        }
    }
}

fn finding(path: &str, line: usize, rule: &str) -> Finding {
    Finding {
        path: path.to_owned(),
        line,
        rule: rule.to_owned(),
    }
}

fn matches(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => path.starts_with(start),
        None => path == pattern,
    }
}

#[cfg(test)]
mod tests;
