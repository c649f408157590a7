//! The target of the static binary: musl in place of the C library of a distribution. The compiler brings the library;
//! C sources of dependencies are compiled against the headers of Debian's musl-tools.

use std::process::Command;

/// The C compiler for it.
pub(crate) const C_COMPILER: &str = "musl-gcc";

/// The target on this machine's architecture, as the compiler names it.
pub(crate) fn triple() -> String {
    format!("{}-unknown-linux-musl", std::env::consts::ARCH)
}

/// Sets what cargo needs for it.
pub(super) fn apply(cargo: &mut Command) {
    let variable = format!("CC_{}", triple().replace('-', "_"));
    cargo.env(variable, C_COMPILER);
}
