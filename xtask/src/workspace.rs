//! Where things are: the repository, cargo's output, the pinned toolchain.
//!
//! Assumes it was started by cargo, as the alias `cargo xtask` does.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The arguments that select every crate that is built for the host.
pub(crate) const HOST_CRATES: [&str; 3] = ["--workspace", "--exclude", "geofence-ebpf"];

/// Builds the benchmark too, whose smoke form is a test.
pub(crate) const TEST_FEATURES: [&str; 2] = ["--features", "geofence-tests/bench"];

/// Returns the root of the repository.
pub(crate) fn root() -> PathBuf {
    // At run time cargo names the crate's place; the compiled-in one is stale once the repository has moved.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    manifest
        .parent()
        .map_or_else(|| manifest.clone(), Path::to_path_buf)
}

/// Returns the directory that holds cargo's `debug` and `release`, which is wherever this binary was put: so every
/// way of configuring it is honoured without asking cargo.
pub(crate) fn target_directory() -> Result<PathBuf> {
    let own = std::env::current_exe().context("finding out where xtask itself was built")?;
    let profile = own.parent().context("xtask runs from no directory")?;
    // The unit tests of this crate sit one level deeper.
    let profile = if profile.ends_with("deps") {
        profile.parent().unwrap_or(profile)
    } else {
        profile
    };
    Ok(profile
        .parent()
        .context("cargo's output directory has no parent")?
        .to_path_buf())
}

/// Returns the directory of the binaries that cargo built.
pub(crate) fn binaries(release: bool) -> Result<PathBuf> {
    let profile = if release { "release" } else { "debug" };
    Ok(target_directory()?.join(profile))
}

/// Returns a directory of xtask's own below cargo's output, created if need be.
pub(crate) fn scratch(name: &str) -> Result<PathBuf> {
    let directory = target_directory()?.join("xtask").join(name);
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("creating {}", directory.display()))?;
    Ok(directory)
}

/// Reads the version of the pinned toolchain.
pub(crate) fn toolchain() -> Result<String> {
    let path = root().join("rust-toolchain.toml");
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    pinned_channel(&text).context("rust-toolchain.toml has no line `channel = \"...\"`")
}

/// Picks the channel out of a rust-toolchain.toml.
pub(crate) fn pinned_channel(toml: &str) -> Option<String> {
    toml.lines().find_map(|line| quoted_value(line, "channel"))
}

/// Picks the value out of a line `KEY ... = "VALUE"`.
pub(crate) fn quoted_value(line: &str, key: &str) -> Option<String> {
    let (left, right) = line.trim().strip_prefix(key)?.split_once('=')?;
    if left.starts_with(|first: char| first.is_alphanumeric() || first == '_' || first == '-') {
        return None;
    }
    let value = right.trim().strip_prefix('"')?;
    value.split_once('"').map(|(value, _)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channel_is_read_from_its_own_line_only() {
        let text = "[toolchain]\nchannels = \"9\"\nchannel = \"1.95.0\"\nprofile = \"minimal\"\n";
        assert_eq!(pinned_channel(text).as_deref(), Some("1.95.0"));
        assert_eq!(pinned_channel("[toolchain]\nprofile = \"minimal\"\n"), None);
    }

    #[test]
    fn the_pinned_toolchain_of_this_repository_is_readable() {
        assert!(toolchain().unwrap().starts_with("1."));
    }
}
