//! `cargo xtask setup`: installs what a build or a test needs and this machine lacks.
//!
//! Silent and quick when nothing is missing, because every other command calls it. Installs system packages on Debian
//! and its relatives only; elsewhere the error names the packages. Never starts a service.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use self::version::version_of;
use crate::{process, workspace};

pub(crate) mod book;
mod cargo_tool;
mod debian;
pub(crate) mod deny;
mod disk;
pub(crate) mod dist;
mod machines;
pub(crate) mod python;
mod version;

/// The LLVM that the pinned compiler contains; bpf-linker must read the bitcode of that one.
const LLVM: u32 = 22;
/// The variable that tells llvm-sys, and so bpf-linker, where that LLVM is.
const LLVM_SYS_PREFIX: &str = "LLVM_SYS_221_PREFIX";
const BPF_LINKER: &str = "0.13.0";
/// The browsers that can show the page to tests; the first is Debian's package of that name as well.
const BROWSERS: [&str; 3] = ["chromium-headless-shell", "chromium", "google-chrome"];

/// What the machine is prepared for. Each scope includes the ones before it, except that `Bench` does not include
/// `Lab`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// Building the binary.
    Build,
    /// Network namespaces on top.
    Demo,
    /// The servers and scanners of the laboratory on top.
    Lab,
    /// The filters that the benchmark compares with on top.
    Bench,
    /// The tools that tests compare with on top. Where one cannot be installed, its tests are skipped and say so.
    Test,
    /// All of it; what cannot be installed is an error.
    Everything,
}

/// What was found on the machine, as far as packages are concerned.
struct Found {
    c_compiler: bool,
    protoc: bool,
    ip: bool,
    linker: bool,
    /// The linker's own build, or a way around it.
    llvm: bool,
    binstall: bool,
}

/// Installs what is missing for the scope.
pub(crate) fn run(scope: Scope) -> Result<()> {
    if scope >= Scope::Test {
        disk::check()?;
    }
    rust_source()?;
    let found = Found {
        c_compiler: process::find("cc").is_some(),
        protoc: process::find("protoc").is_some(),
        ip: scope < Scope::Demo || process::find("ip").is_some(),
        linker: linker_fits(),
        llvm: llvm_prefix().is_some(),
        binstall: process::find("cargo-binstall").is_some(),
    };
    let packages = packages(&found);
    if !packages.is_empty() {
        debian::install(&packages)?;
    }
    if !found.linker {
        linker(found.binstall)?;
    }
    if scope == Scope::Everything {
        deny::install()?;
    }
    if scope == Scope::Lab || scope >= Scope::Test {
        match laboratories() {
            Err(error) if scope == Scope::Test => {
                eprintln!("setup: tests of the laboratories will be skipped: {error:#}");
            }
            installed => installed?,
        }
        machines::install();
        python::install();
    }
    if scope >= Scope::Bench {
        match peers() {
            Err(error) if scope == Scope::Test => {
                eprintln!("setup: tests of other filters will be skipped: {error:#}");
            }
            installed => installed?,
        }
    }
    if scope == Scope::Lab || scope >= Scope::Test {
        match monitoring() {
            Err(error) if scope == Scope::Test => {
                eprintln!("setup: tests with Prometheus will be skipped: {error:#}")
            }
            unpacked => unpacked?,
        }
    }
    let has_browser = || {
        BROWSERS
            .iter()
            .any(|program| process::find(program).is_some())
    };
    if scope >= Scope::Test && !has_browser() {
        match debian::install(&BROWSERS[..1]) {
            Err(error) if scope == Scope::Test => {
                eprintln!("setup: tests with a browser will be skipped: {error:#}");
            }
            installed => installed?,
        }
    }
    Ok(())
}

/// Unpacks Prometheus and its tool, whose package brings a service, and installs Alertmanager, which reads files of its
/// own package, without starting it.
fn monitoring() -> Result<()> {
    let missing = ["prometheus", "promtool"]
        .into_iter()
        .filter(|program| process::find(program).is_none());
    let missing: Vec<String> = missing
        .map(|program| format!("usr/bin/{program}"))
        .collect();
    if !missing.is_empty() {
        debian::unpack("prometheus", &missing, &process::tools()?)?;
    }
    if process::find("prometheus-alertmanager").is_none() {
        debian::install_idle(&["prometheus-alertmanager"])?;
    }
    Ok(())
}

/// Installs the servers and tools of the laboratories, which run their own instances of them.
fn laboratories() -> Result<()> {
    let programs = [
        ("postfix", "postfix"),
        ("unbound", "unbound"),
        ("nsd", "nsd"),
        ("nmap", "nmap"),
        ("openssl", "openssl"),
        ("ethtool", "ethtool"),
        ("dnsmasq", "dnsmasq-base"),
        ("dhclient", "isc-dhcp-client"),
        ("nfacctd", "pmacct"),
        ("tshark", "tshark"),
        ("etcd", "etcd-server"),
        ("etcdctl", "etcd-client"),
        // Not a laboratory's, but tests need them under the same conditions.
        ("faketime", "faketime"),
        ("systemd-analyze", "systemd"),
    ];
    let missing = programs
        .into_iter()
        .filter(|(program, _)| process::find(program).is_none());
    let missing: Vec<&str> = missing.map(|(_, package)| package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    debian::install_idle(&missing)
}

/// Installs the filters that the benchmark compares with, and what looks at interfaces for it.
fn peers() -> Result<()> {
    let programs = [
        ("nft", "nftables"),
        ("ipset", "ipset"),
        ("iptables-legacy", "iptables"),
        ("ethtool", "ethtool"),
    ];
    let missing = programs
        .into_iter()
        .filter(|(program, _)| process::find(program).is_none());
    let missing: Vec<&str> = missing.map(|(_, package)| package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    debian::install(&missing)
}

/// Names the Debian packages that fill the gaps.
fn packages(found: &Found) -> Vec<&'static str> {
    let mut wanted = Vec::new();
    if !found.c_compiler {
        wanted.extend(["gcc", "libc6-dev"]);
    }
    // The client of etcd is made from the definitions of its protocol.
    if !found.protoc {
        wanted.extend(["protobuf-compiler", "libprotobuf-dev"]);
    }
    if !found.ip {
        wanted.push("iproute2");
    }
    if !found.linker && !found.llvm && !found.binstall {
        wanted.push("llvm-22-dev");
    }
    wanted
}

/// Makes sure that the pinned compiler has the source of `core`, which the eBPF target is built from.
fn rust_source() -> Result<()> {
    let version = workspace::toolchain()?;
    if process::find("rustup").is_none() {
        // Whatever compiler there is will build the eBPF programs too.
        if has_source(&mut process::command("rustc")) {
            return Ok(());
        }
        bail!(
            "the Rust library source is missing, and there is no rustup to fetch it. Two ways out:\n\
            - install rustup, from Debian's package rustup or from rustup.rs: it fetches Rust {version} with rust-src\n\
            - on Debian, install rustc-web, cargo-web and rust-web-src and link /usr/lib/rustlib/src/rust to the\n  \
              source: mkdir -p /usr/lib/rustlib/src && ln -s /usr/src/rustc-* /usr/lib/rustlib/src/rust"
        );
    }
    let mut rustc = process::command("rustup");
    rustc.args(["run", &version, "rustc"]);
    if has_source(&mut rustc) {
        return Ok(());
    }
    let toolchains = process::text_of(process::command("rustup").args(["toolchain", "list"]))
        .unwrap_or_default();
    let mut rustup = process::command("rustup");
    if toolchains.lines().any(|line| is_toolchain(line, &version)) {
        eprintln!("setup: adding rust-src to Rust {version}");
        rustup.args(["component", "add", "rust-src", "--toolchain", &version]);
    } else {
        eprintln!("setup: installing Rust {version} with rust-src");
        rustup.args(["toolchain", "install", &version, "--profile", "minimal"]);
        rustup.args(["--component", "rust-src,clippy,rustfmt"]);
    }
    process::capture(&mut rustup).map(drop)
}

/// Decides whether a line of `rustup toolchain list` names this version.
fn is_toolchain(line: &str, version: &str) -> bool {
    line.strip_prefix(version)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', ' ']))
}

/// Asks a compiler for its sysroot and looks for the source of `core` in it.
fn has_source(rustc: &mut std::process::Command) -> bool {
    process::text_of(rustc.args(["--print", "sysroot"])).is_some_and(|sysroot| {
        Path::new(&sysroot)
            .join("lib/rustlib/src/rust/library/core/Cargo.toml")
            .is_file()
    })
}

/// Decides whether there is a bpf-linker that runs, is new enough and reads the bitcode of our compiler.
fn linker_fits() -> bool {
    let Some(path) = process::find("bpf-linker") else {
        return false;
    };
    let version = process::text_of(process::command(&path).arg("--version")).unwrap_or_default();
    // A linker with LLVM inside has no such library, and its makers chose the LLVM for the version.
    let libraries = process::text_of(process::command("ldd").arg(&path)).unwrap_or_default();
    version_of(&version).is_some_and(|version| Some(version) >= version_of(BPF_LINKER))
        && llvm_in(&libraries).is_none_or(|llvm| llvm == LLVM)
}

/// Picks the major version of LLVM out of what `ldd` says: `libLLVM.so.22.1 => ...`, `libLLVM-14.so.1 => ...`.
fn llvm_in(libraries: &str) -> Option<u32> {
    let name = libraries
        .lines()
        .find_map(|line| line.trim().strip_prefix("libLLVM"))?;
    let digits = name.trim_start_matches(|letter: char| !letter.is_ascii_digit());
    let end = digits
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// Finds the LLVM to link bpf-linker with, headers included.
fn llvm_prefix() -> Option<PathBuf> {
    let named = std::env::var_os("LLVM_PREFIX").map(PathBuf::from);
    let candidates = [named, Some(format!("/usr/lib/llvm-{LLVM}").into())];
    let unpacked = candidates
        .into_iter()
        .flatten()
        .find(|prefix| is_llvm(&prefix.join("bin/llvm-config")));
    unpacked.or_else(|| {
        let config = [format!("llvm-config-{LLVM}"), "llvm-config".into()];
        let config = config
            .iter()
            .filter_map(|name| process::find(name))
            .find(|path| is_llvm(path))?;
        process::text_of(process::command(config).arg("--prefix")).map(PathBuf::from)
    })
}

fn is_llvm(config: &Path) -> bool {
    let version = process::text_of(process::command(config).arg("--version")).unwrap_or_default();
    let headers =
        process::text_of(process::command(config).arg("--includedir")).unwrap_or_default();
    version.split('.').next() == Some(LLVM.to_string().as_str())
        && Path::new(&headers).join("llvm-c/Core.h").is_file()
}

/// Installs bpf-linker: ready-made where cargo-binstall finds it, built otherwise.
fn linker(binstall: bool) -> Result<()> {
    if binstall {
        eprintln!("setup: installing bpf-linker {BPF_LINKER} with cargo-binstall");
        let mut cargo = process::cargo(&["binstall", "--no-confirm", "--force"]);
        let installed = process::capture(cargo.arg(format!("bpf-linker@{BPF_LINKER}")));
        if installed.is_ok() && linker_fits() {
            return Ok(());
        }
        eprintln!("setup: cargo-binstall brought no fitting bpf-linker; building it instead");
        if llvm_prefix().is_none() {
            debian::install(&["llvm-22-dev"])?;
        }
    }
    let prefix = llvm_prefix()
        .context("LLVM 22 with its headers is not where it was installed; set LLVM_PREFIX to it")?;
    eprintln!("setup: building bpf-linker {BPF_LINKER} with LLVM {LLVM} (a minute or two)");
    let mut cargo = process::cargo(&[
        "install",
        "bpf-linker",
        "--version",
        BPF_LINKER,
        "--locked",
        "--force",
    ]);
    cargo.args(["--no-default-features", "--features", "llvm-22"]);
    // bpf-linker's build script reads the one, llvm-sys the other.
    cargo
        .env("LLVM_PREFIX", &prefix)
        .env(LLVM_SYS_PREFIX, &prefix);
    process::capture(&mut cargo)?;
    if !linker_fits() {
        bail!(
            "bpf-linker was installed, but another one comes first on PATH: {:?}",
            process::find("bpf-linker")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Found = Found {
        c_compiler: false,
        protoc: false,
        ip: false,
        linker: false,
        llvm: false,
        binstall: false,
    };

    #[test]
    fn packages_fill_the_gaps_and_nothing_else() {
        assert_eq!(
            packages(&NOTHING),
            [
                "gcc",
                "libc6-dev",
                "protobuf-compiler",
                "libprotobuf-dev",
                "iproute2",
                "llvm-22-dev"
            ]
        );
        assert_eq!(
            packages(&Found {
                c_compiler: true,
                protoc: true,
                ip: true,
                ..NOTHING
            }),
            ["llvm-22-dev"]
        );
        assert!(
            packages(&Found {
                c_compiler: true,
                protoc: true,
                ip: true,
                linker: true,
                ..NOTHING
            })
            .is_empty()
        );
        assert!(
            packages(&Found {
                c_compiler: true,
                protoc: true,
                ip: true,
                binstall: true,
                ..NOTHING
            })
            .is_empty()
        );
        assert!(
            packages(&Found {
                c_compiler: true,
                protoc: true,
                ip: true,
                llvm: true,
                ..NOTHING
            })
            .is_empty()
        );
    }

    #[test]
    fn the_llvm_of_the_linker_is_seen() {
        let text = "\tlinux-vdso.so.1 (0x1)\n\tlibLLVM.so.22.1 => /usr/lib/llvm-22/lib/libLLVM.so.22.1 (0x2)\n";
        assert_eq!(llvm_in(text), Some(22));
        assert_eq!(llvm_in("\tlibLLVM-14.so.1 => not found\n"), Some(14));
        assert_eq!(llvm_in("\tlibc.so.6 => /lib/libc.so.6 (0x1)\n"), None);
    }

    #[test]
    fn a_toolchain_is_not_mistaken_for_another() {
        assert!(is_toolchain(
            "1.95.0-x86_64-unknown-linux-gnu (active)",
            "1.95.0"
        ));
        assert!(!is_toolchain("1.95.01-x86_64-unknown-linux-gnu", "1.95.0"));
        assert!(!is_toolchain("stable-x86_64-unknown-linux-gnu", "1.95.0"));
    }
}
