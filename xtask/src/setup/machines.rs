//! The emulator and the kernels of the laboratory of machines.
//!
//! Kernels of Debian are unpacked below cargo's output and never installed. A machine that cannot fetch them does
//! without: the laboratory then says that it has no kernel, and its test that it is skipped.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::debian;
use crate::{process, workspace};

/// The series of kernels that are booted: the oldest supported one of Debian, and a newer one with TCX.
const SERIES: [&str; 2] = ["6.1", "6.12"];

/// Installs the emulator and fetches the kernels; says so if it cannot.
pub(super) fn install() {
    if let Err(error) = try_install() {
        eprintln!("setup: the laboratory of machines will be skipped: {error:#}");
    }
}

fn try_install() -> Result<()> {
    // The emulator is of use where the kernels are, which are for this architecture.
    if !cfg!(target_arch = "x86_64") {
        return Ok(());
    }
    let programs = [
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("modprobe", "kmod"),
        ("wg", "wireguard-tools"),
    ];
    let missing = programs
        .into_iter()
        .filter(|(program, _)| process::find(program).is_none());
    let missing: Vec<&str> = missing.map(|(_, package)| package).collect();
    if !missing.is_empty() {
        debian::install(&missing)?;
    }
    let kernels = workspace::scratch("kernels")?;
    for series in SERIES {
        let place = kernels.join(series);
        if !place.exists() {
            fetch(series, &place)?;
        }
    }
    Ok(())
}

fn fetch(series: &str, place: &Path) -> Result<()> {
    let pattern = format!("^linux-image-{}\\..*-amd64$", series.replace('.', "\\."));
    let package = match newest(debian::names(&pattern)) {
        Some(package) => package,
        None => {
            debian::update()?;
            newest(debian::names(&pattern))
                .with_context(|| format!("no package has a kernel {series}"))?
        }
    };
    eprintln!("setup: unpacking {package} into {}", place.display());
    let new = place.with_extension("new");
    if new.exists() {
        std::fs::remove_dir_all(&new).with_context(|| format!("removing {}", new.display()))?;
    }
    debian::unpack_whole(&package, &new)?;
    let release = package.trim_start_matches("linux-image-");
    let mut index = process::command("depmod");
    process::capture(index.arg("--basedir").arg(&new).arg(release))?;
    // Renamed last, so that what is there is whole.
    std::fs::rename(&new, place).with_context(|| format!("renaming {}", new.display()))
}

/// The newest kernel with drivers for hardware and without changes for real-time.
fn newest(packages: Vec<String>) -> Option<String> {
    let is_plain = |name: &String| {
        !["cloud", "rt", "dbg", "unsigned"]
            .iter()
            .any(|other| name.contains(&format!("-{other}")))
    };
    let version = |name: &String| -> Vec<u32> {
        let numbers = name.split(|letter: char| !letter.is_ascii_digit());
        numbers.filter_map(|number| number.parse().ok()).collect()
    };
    packages.into_iter().filter(is_plain).max_by_key(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_plain_kernel_is_chosen_by_number() {
        let names = [
            "linux-image-6.1.0-9-amd64",
            "linux-image-6.1.0-57-amd64",
            "linux-image-6.1.0-58-cloud-amd64",
            "linux-image-6.1.0-59-rt-amd64",
        ];
        let newest = newest(names.map(String::from).to_vec());
        assert_eq!(newest.as_deref(), Some("linux-image-6.1.0-57-amd64"));
    }
}
