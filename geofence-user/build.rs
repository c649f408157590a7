//! Builds the eBPF programs for the kernel so that `kernel.rs` can embed them.
//!
//! The eBPF target has no precompiled `core`, so cargo builds it from source (`-Z build-std`), which a stable
//! compiler allows only with `RUSTC_BOOTSTRAP=1`. The variable is set here, for that one build, and nowhere else.
#![expect(
    unsafe_code,
    reason = "set_var is the only way to hand the variable through aya-build"
)]

use anyhow::{Context as _, Result};
use aya_build::{Package, Toolchain, build_ebpf};

/// The toolchain of rust-toolchain.toml; `cargo xtask lint` checks that the two agree.
const TOOLCHAIN: &str = "1.95.0";

fn main() -> Result<()> {
    build(&[])
}

/// Builds the programs that these features of geofence-ebpf name.
pub(crate) fn build(features: &[&str]) -> Result<()> {
    println!("cargo:rerun-if-changed=../geofence-common/src");
    // SAFETY: a build script has one thread here, so no other thread reads the environment while it changes.
    unsafe { std::env::set_var("RUSTC_BOOTSTRAP", "1") };
    // SAFETY: as above. Without it aya-build repeats cargo's progress as warnings at every build.
    unsafe { std::env::set_var("CARGO_TERM_QUIET", "true") };
    build_ebpf(
        [Package {
            name: "geofence-ebpf",
            root_dir: "../geofence-ebpf",
            features,
            ..Package::default()
        }],
        Toolchain::Custom(TOOLCHAIN),
    )
    .context("building the eBPF programs; `cargo xtask setup` installs rust-src and bpf-linker if they are missing")
}
