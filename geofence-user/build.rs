//! Builds the eBPF programs for the kernel so that `kernel.rs` can embed them.
//!
//! The eBPF target has no precompiled `core`, so cargo builds it from source (`-Z build-std`), which a stable
//! compiler allows only with `RUSTC_BOOTSTRAP=1`. The variable is set here, for that one build, and nowhere else.
#![expect(
    unsafe_code,
    reason = "set_var is the only way to hand the variable through aya-build"
)]

#[path = "build/debug_sections.rs"]
mod debug_sections;

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use aya_build::{Package, Toolchain, build_ebpf};

/// The toolchain of rust-toolchain.toml; `cargo xtask lint` checks that the two agree.
const TOOLCHAIN: &str = "1.98.0";

fn main() -> Result<()> {
    let target = std::env::var("TARGET").context("cargo names no TARGET")?;
    println!("cargo:rustc-env=GEOFENCE_TARGET={target}");
    println!("cargo:rustc-env=GEOFENCE_RUST={TOOLCHAIN}");
    if let Some(commit) = commit() {
        println!("cargo:rustc-env=GEOFENCE_COMMIT={commit}");
        println!("cargo:rustc-env=GEOFENCE_REVISION={commit}");
    }
    build(&[])
}

/// The commit that is built, as `cargo xtask dist` names it or git knows it. A debug build has none: each commit would
/// compile the crate anew.
fn commit() -> Option<String> {
    println!("cargo:rerun-if-env-changed=GEOFENCE_COMMIT");
    if let Ok(commit) = std::env::var("GEOFENCE_COMMIT") {
        return Some(commit);
    }
    if std::env::var("PROFILE").ok()? != "release" {
        return None;
    }
    // The log of HEAD grows with each commit and each change of branch.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    println!("cargo:rerun-if-changed={log}");
    let commit = git(&["rev-parse", "HEAD"])?;
    let is_changed = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(commit + if is_changed { ", changed" } else { "" })
}

fn git(words: &[&str]) -> Option<String> {
    let output = Command::new("git").args(words).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| said.trim().to_owned())
}

/// Builds the programs that these features of geofence-ebpf name.
pub(crate) fn build(features: &[&str]) -> Result<()> {
    println!("cargo:rerun-if-changed=../geofence-common/src");
    println!("cargo:rerun-if-changed=../geofence-user/build");
    // SAFETY: a build script has one thread here, so no other thread reads the environment while it changes.
    unsafe { std::env::set_var("RUSTC_BOOTSTRAP", "1") };
    let settings = [
        // Without it aya-build repeats cargo's progress as warnings at every build.
        ("CARGO_TERM_QUIET", "true"),
        // The paths of this machine stay out of the object, so that every clone builds the same one.
        ("CARGO_UNSTABLE_TRIM_PATHS", "true"),
        ("CARGO_PROFILE_RELEASE_TRIM_PATHS", "all"),
    ];
    for (name, value) in settings {
        // SAFETY: as above.
        unsafe { std::env::set_var(name, value) };
    }
    build_ebpf(
        [Package {
            name: "geofence-ebpf",
            root_dir: "../geofence-ebpf",
            features,
            ..Package::default()
        }],
        Toolchain::Custom(TOOLCHAIN),
    )
    .context("building the eBPF programs; `cargo xtask setup` installs rust-src and bpf-linker if they are missing")?;
    let directory = std::env::var_os("OUT_DIR").context("cargo names no OUT_DIR")?;
    leave_out_debug_sections(Path::new(&directory))
}

/// Rewrites the objects in a directory without the debug information that only debuggers read.
fn leave_out_debug_sections(directory: &Path) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if !path.is_file() {
            continue;
        }
        let object = std::fs::read(&path)?;
        let object = debug_sections::remove(&object).with_context(|| path.display().to_string())?;
        std::fs::write(&path, object)?;
    }
    Ok(())
}
