//! The files of the repository: those git knows or would add, or all of them where there is no git.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::process;

/// Lists the files, sorted.
pub(super) fn list(root: &Path) -> Result<Vec<String>> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    const THIS: &str = "xtask/src/tidy/files.rs";

    #[test]
    fn files_are_found_with_and_without_git() {
        let root = workspace::root();
        let mut walked = Vec::new();
        walk(&root, &root, &mut walked).unwrap();
        assert!(walked.contains(&THIS.to_owned()));
        assert!(
            !walked
                .iter()
                .any(|path| path.starts_with("target/") || path.starts_with(".git/"))
        );
        assert!(list(&root).unwrap().contains(&THIS.to_owned()));
    }
}
