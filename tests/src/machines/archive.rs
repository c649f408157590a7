//! The file system in memory of a machine: an archive in the kernel's "newc" format
//! (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_755;

/// An archive that is being written.
#[derive(Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    names: BTreeSet<String>,
}

impl Archive {
    /// Adds an empty directory, and those above it.
    pub(super) fn directory(&mut self, path: &str) -> Result<()> {
        for (at, _) in path.match_indices('/').chain([(path.len(), "")]) {
            if self.names.insert(path[..at].to_owned()) {
                self.entry(&path[..at], DIRECTORY, &[])?;
            }
        }
        Ok(())
    }

    /// Adds a file, unless there is one of this name.
    pub(super) fn file(&mut self, path: &str, contents: &[u8]) -> Result<()> {
        if let Some((directory, _)) = path.rsplit_once('/') {
            self.directory(directory)?;
        }
        if self.names.insert(path.to_owned()) {
            self.entry(path, FILE, contents)?;
        }
        Ok(())
    }

    /// Adds a program of this machine under a path, without its debugging information, and the libraries it needs.
    pub(super) fn program(&mut self, program: &Path, path: &str) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let small = folder.path().join("program");
        let mut strip = Command::new("strip");
        let is_small = output(strip.arg("-o").arg(&small).arg(program)).is_ok();
        let contents = std::fs::read(if is_small { &small } else { program })
            .with_context(|| format!("reading {}", program.display()))?;
        self.file(path, &contents)?;
        let needed = output(Command::new("ldd").arg(program))?;
        for library in needed
            .split_whitespace()
            .filter(|word| word.starts_with('/'))
        {
            let contents = std::fs::read(library).with_context(|| format!("reading {library}"))?;
            self.file(library.trim_start_matches('/'), &contents)?;
        }
        Ok(())
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Result<Vec<u8>> {
        self.entry("TRAILER!!!", 0, &[])?;
        Ok(self.bytes)
    }

    fn entry(&mut self, name: &str, mode: u32, contents: &[u8]) -> Result<()> {
        let (inode, length) = (self.names.len(), u32::try_from(contents.len())?);
        write!(
            self.bytes,
            "070701{inode:08x}{mode:08x}{zero:08x}{zero:08x}{one:08x}{zero:08x}{length:08x}\
             {zero:08x}{zero:08x}{zero:08x}{zero:08x}{name_length:08x}{zero:08x}{name}\0",
            zero = 0,
            one = 1,
            name_length = name.len() + 1,
        )?;
        self.align();
        self.bytes.extend_from_slice(contents);
        self.align();
        Ok(())
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("starting {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archive_names_each_directory_before_its_files() {
        let mut archive = Archive::default();
        archive.file("a/b/c", b"text").unwrap();
        archive.file("a/b/c", b"again").unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8(bytes).unwrap();
        let at = |name: &str| text.find(name).unwrap();
        assert!(at("a\0") < at("a/b\0") && at("a/b\0") < at("a/b/c\0"));
        assert!(text.contains("text") && !text.contains("again"));
        assert!(text.contains("TRAILER!!!"));
    }
}
