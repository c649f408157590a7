//! A wall clock of its own for a program. No test may set the machine's clock, and a time namespace shifts every clock
//! but this one.
//!
//! libfaketime answers for CLOCK_REALTIME by what a file says at that moment, and leaves alone the clocks that count
//! from boot, which the kernel goes by too.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The library, where Debian puts it.
fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok);
    folders
        .map(|folder| folder.path().join("faketime/libfaketime.so.1"))
        .find(|path| path.is_file())
}

/// The package that is missing here, if it is.
#[must_use]
pub fn missing() -> Option<&'static str> {
    library().is_none().then_some("faketime")
}

/// What a program needs in its environment to go by the clock of a directory.
pub fn environment(directory: &Path) -> Result<Vec<(&'static str, String)>> {
    let library = library().context("no libfaketime")?;
    Ok(vec![
        ("LD_PRELOAD", library.display().to_string()),
        (
            "FAKETIME_TIMESTAMP_FILE",
            directory.join("clock").display().to_string(),
        ),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        // The times of files are not asked of a clock.
        ("NO_FAKE_STAT", "1".to_owned()),
    ])
}

/// Sets the clock of a directory: `+0` is the machine's, `+10y` ten years ahead of it.
pub fn set(directory: &Path, offset: &str) -> Result<()> {
    let new = directory.join("clock.new");
    std::fs::write(&new, offset)?;
    std::fs::rename(new, directory.join("clock"))?;
    Ok(())
}
