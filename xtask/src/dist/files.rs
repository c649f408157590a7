//! What several steps do with directories and files.

use std::path::Path;

use anyhow::{Context as _, Result};

/// Makes a directory that is empty.
pub(super) fn recreate(directory: &Path) -> Result<()> {
    if directory.exists() {
        std::fs::remove_dir_all(directory)
            .with_context(|| format!("removing {}", directory.display()))?;
    }
    std::fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))
}

/// The size of a file in words.
pub(super) fn size(path: &Path) -> Result<String> {
    let bytes = std::fs::metadata(path)
        .with_context(|| format!("examining {}", path.display()))?
        .len();
    Ok(format!("{:.1} MB", bytes as f64 / 1e6))
}
