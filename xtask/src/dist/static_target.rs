//! The target of the static binary: musl in place of the C library of a distribution.
//!
//! The compiler is not shipped with a standard library for it everywhere, so `std` is built from source, as `core` is
//! for eBPF. The start files and the C library come from Debian's musl-dev, the unwinder from LLVM.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::files::recreate;
use crate::{process, setup, workspace};

/// What the start files are called, and whether the C compiler has them rather than musl.
const START_FILES: [(&str, bool); 8] = [
    ("crt1.o", false),
    ("rcrt1.o", false),
    ("Scrt1.o", false),
    ("crti.o", false),
    ("crtn.o", false),
    ("crtbeginS.o", true),
    ("crtendS.o", true),
    ("crtbegin.o", true),
];

/// Debian compiles the unwinder with the checks of glibc, which call this in place of `fprintf`.
const CHECKED_FPRINTF: &str = r"
#include <stdarg.h>
#include <stdio.h>

int __fprintf_chk(FILE *file, int flag, const char *format, ...)
{
    (void)flag;
    va_list arguments;
    va_start(arguments, format);
    int written = vfprintf(file, format, arguments);
    va_end(arguments);
    return written;
}
";

pub(super) struct StaticTarget {
    pub(super) triple: String,
    /// The directory with the start files and libraries.
    libraries: PathBuf,
}

/// Collects what linking needs.
pub(super) fn prepare() -> Result<StaticTarget> {
    let architecture = std::env::consts::ARCH;
    let triple = format!("{architecture}-unknown-linux-musl");
    let libraries = workspace::scratch("dist/musl")?;
    recreate(&libraries)?;
    let musl = PathBuf::from(format!("/usr/lib/{architecture}-linux-musl"));
    for (name, is_of_compiler) in START_FILES {
        let from = if is_of_compiler {
            of_compiler(name)?
        } else {
            musl.join(name)
        };
        link(&from, &libraries.join(name))?;
    }
    link(&of_compiler("crtend.o")?, &libraries.join("crtend.o"))?;
    link(&musl.join("libc.a"), &libraries.join("libc.a"))?;
    unwinder(&libraries)?;
    Ok(StaticTarget { triple, libraries })
}

impl StaticTarget {
    /// Sets what cargo and the compiler need for it.
    pub(super) fn apply(&self, cargo: &mut Command, flags: &mut Vec<String>) {
        cargo.args(["-Z", "build-std=std,panic_unwind"]);
        cargo.env("RUSTC_BOOTSTRAP", "1");
        // C sources of dependencies see the headers of musl.
        let variable = format!("CC_{}", self.triple.replace('-', "_"));
        cargo.env(variable, "musl-gcc");
        flags.push("-Clink-self-contained=yes".to_owned());
        flags.push(format!("-Lnative={}", self.libraries.display()));
    }
}

/// Where the C compiler has a start file.
fn of_compiler(name: &str) -> Result<PathBuf> {
    let mut cc = process::command("cc");
    let said = process::capture(cc.arg(format!("-print-file-name={name}")))?;
    let path = PathBuf::from(String::from_utf8_lossy(&said).trim());
    if !path.is_absolute() {
        bail!("the C compiler has no {name}");
    }
    Ok(path)
}

/// Copies LLVM's unwinder, with the one function that it expects of another C library.
fn unwinder(libraries: &Path) -> Result<()> {
    let unwinder = setup::dist::unwinder()
        .context("there is no libunwind.a of LLVM; Debian's package is libunwind-19-dev")?;
    let copy = libraries.join("libunwind.a");
    std::fs::copy(&unwinder, &copy).with_context(|| format!("copying {}", unwinder.display()))?;
    let source = libraries.join("checked.c");
    std::fs::write(&source, CHECKED_FPRINTF)
        .with_context(|| format!("writing {}", source.display()))?;
    let object = libraries.join("checked.o");
    process::capture(
        process::command("musl-gcc")
            .args(["-O2", "-fPIC", "-c", "-o"])
            .args([&object, &source]),
    )?;
    process::capture(process::command("ar").arg("rD").args([&copy, &object]))?;
    Ok(())
}

fn link(from: &Path, to: &Path) -> Result<()> {
    if !from.is_file() {
        bail!(
            "{} is missing; Debian's package musl-tools has it",
            from.display()
        );
    }
    std::os::unix::fs::symlink(from, to).with_context(|| format!("linking {}", to.display()))
}
